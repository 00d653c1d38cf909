//! Forgetting history.

use crate::history::{History, Version};
use crate::request::Key;
use crate::response::Refusal;
use crate::state::{State, key_bytes, version_bytes};

impl State {
    /// Makes `revision` the oldest readable one and gives back the memory of what no read can reach any more.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] if that was done before, [`Refusal::FutureRevision`] if the revision is yet to come.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        if revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = revision;
        let outdated: Vec<Key> = self
            .keys
            .iter()
            .filter(|(_, history)| is_outdated(history, revision))
            .map(|(key, _)| key.clone())
            .collect();
        for key in outdated {
            self.forget(&key, revision);
        }
        Ok(())
    }

    fn forget(&mut self, key: &Key, revision: i64) {
        let history = self.keys.get_mut(key).expect("the key was just seen");
        let total = |history: &History| {
            history.iter().map(|version| version_bytes(version.live.as_ref())).sum::<u64>()
        };
        self.bytes -= total(history);
        match retained(history, revision) {
            Some(kept) => {
                self.bytes += total(&kept);
                *history = kept;
            }
            None => {
                self.bytes -= key_bytes(key);
                self.keys.remove(key);
            }
        }
    }
}

/// Whether a read at `revision` or later can still reach the version: it is newer, or the newest one then and not a
/// tombstone. A tombstone of exactly this revision stays, since whoever watches from here on must learn of it
/// (etcd-io/etcd#19179).
fn is_reachable(version: &Version, newer: Option<&Version>, revision: i64) -> bool {
    match newer {
        Some(newer) if newer.at.main <= revision => false,
        _ => version.at.main >= revision || version.live.is_some(),
    }
}

/// Whether anything of the history is out of reach.
fn is_outdated(history: &History, revision: i64) -> bool {
    history.at(revision).is_some_and(|at| at.has_older() || !is_reachable(at, None, revision))
}

/// The history without what is out of reach; `None` if that is all of it.
fn retained(history: &History, revision: i64) -> Option<History> {
    let mut newer = None;
    let mut kept: Vec<&Version> = Vec::new();
    for version in history.iter() {
        if !is_reachable(version, newer, revision) {
            break;
        }
        kept.push(version);
        newer = Some(version);
    }
    let mut oldest_first = kept.into_iter().rev();
    let oldest = oldest_first.next()?;
    let mut retained = History::new(oldest.at, oldest.live.clone());
    oldest_first.for_each(|version| retained.push(version.at, version.live.clone()));
    Some(retained)
}
