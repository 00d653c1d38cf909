//! Forgetting history.
//!
//! A compaction is over at once: reads below its revision are refused from then on, and neither hash nor snapshot
//! contain what no read can reach any more. The memory is given back bit by bit by the commands that follow, so that
//! none of them has to wait until all keys were looked at.

use std::ops::Bound;

use synod_probe::mutant;

use crate::history::{History, Version};
use crate::response::Refusal;
use crate::state::{State, key_bytes, version_bytes};
use crate::stored_key::StoredKey;

/// How many keys a command looks at on its way, and of how many it forgets something: well below a microsecond for
/// each looked at, a few for each that has something to forget. More than one, so that the work gets done.
const LOOKS: usize = 64;
const FORGETS: usize = 4;

impl State {
    /// Makes `revision` the oldest readable one.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] if that was done before, [`Refusal::FutureRevision`] if the revision is yet to come.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision && !mutant!(CompactionAhead) {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    /// Gives back what of one key is out of reach.
    fn forget(&mut self, key: &StoredKey) {
        let history = self.keys.get_mut(key).expect("the key was just seen");
        let bytes = |history: &History| {
            history.iter().map(|version| version_bytes(version.live.as_ref())).sum::<u64>()
        };
        self.bytes -= bytes(history);
        match history.compacted(self.compacted) {
            Some(kept) => {
                self.bytes += bytes(&kept);
                *history = kept;
            }
            None => {
                self.bytes -= key_bytes(key.as_slice());
                self.keys.remove(key);
            }
        }
    }
}

impl History {
    /// The versions that reads at `compacted` or later can reach, from the newest to the oldest.
    pub(crate) fn reachable(&self, compacted: i64) -> impl Iterator<Item = &Version> {
        let mut newer = None;
        self.iter().take_while(move |version| is_reachable(version, newer.replace(*version), compacted))
    }

    /// Whether there are other versions too.
    fn is_outdated(&self, compacted: i64) -> bool {
        self.at(compacted).is_some_and(|at| at.has_older() || !is_reachable(at, None, compacted))
    }

    /// A history of the reachable versions; `None` if there are none.
    fn compacted(&self, compacted: i64) -> Option<History> {
        let mut versions: Vec<&Version> = self.reachable(compacted).collect();
        let oldest = versions.pop()?;
        let mut kept = History::new(oldest.at, oldest.live.clone());
        versions.into_iter().rev().for_each(|version| kept.push(version.at, version.live.clone()));
        Some(kept)
    }
}

/// A version can be reached if it is newer than the compaction, or was the newest then and is no tombstone. A
/// tombstone of exactly this revision stays, since whoever watches from here on must learn of it
/// (etcd-io/etcd#19179).
fn is_reachable(version: &Version, newer: Option<&Version>, compacted: i64) -> bool {
    match newer {
        Some(newer) if newer.at.main <= compacted => false,
        _ => version.at.main >= compacted || version.live.is_some(),
    }
}

/// Walks through all keys after a compaction, a step at a time, and forgets what is out of reach.
#[derive(Default)]
pub(crate) struct Sweep {
    walk: Walk,
    /// A compaction came while walking: what lies behind has to be looked at again. The walk is finished first, or
    /// frequent compactions would keep it from ever getting to the last keys.
    again: bool,
}

#[derive(Default)]
enum Walk {
    #[default]
    Idle,
    First,
    After(StoredKey),
}

impl Sweep {
    /// To be called after each compaction.
    pub(crate) fn start(&mut self) {
        match self.walk {
            Walk::Idle => self.walk = Walk::First,
            Walk::First | Walk::After(_) => self.again = true,
        }
    }

    /// Looks at some more keys; false if there is nothing left to look at.
    pub(crate) fn step(&mut self, state: &mut State) -> bool {
        let from = match &self.walk {
            Walk::Idle => return false,
            Walk::First => Bound::Unbounded,
            Walk::After(key) => Bound::Excluded(key),
        };
        let (mut seen, mut last, mut outdated) = (0, None, Vec::new());
        for (key, history) in state.keys.range::<_, StoredKey>((from, Bound::Unbounded)).take(LOOKS) {
            (seen, last) = (seen + 1, Some(key));
            if history.is_outdated(state.compacted) {
                outdated.push(key.clone());
            }
            if outdated.len() == FORGETS {
                break;
            }
        }
        let is_over = seen < LOOKS && outdated.len() < FORGETS;
        self.walk = match last {
            Some(key) if !is_over => Walk::After(key.clone()),
            _ if std::mem::take(&mut self.again) => Walk::First,
            _ => Walk::Idle,
        };
        outdated.iter().for_each(|key| state.forget(key));
        !matches!(self.walk, Walk::Idle)
    }
}
