//! The learner: what is chosen, slot by slot, and how far without a gap.

use std::collections::BTreeMap;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::multi::acceptor::Acceptor;
use crate::multi::entry::{Command, Entry};
use crate::slot::Slot;

/// What a replica knows to be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learner<C> {
    chosen: BTreeMap<Slot, Entry<C>>,
    through: Slot,
    truncated: Slot,
    heard: Slot,
}

impl<C: Command> Learner<C> {
    /// A learner whose checkpoint covers everything up to `checkpoint`.
    pub fn new(checkpoint: Slot) -> Learner<C> {
        Learner { chosen: BTreeMap::new(), through: checkpoint, truncated: checkpoint, heard: checkpoint }
    }

    /// The last slot before the first gap.
    pub fn through(&self) -> Slot {
        self.through
    }

    /// The last slot whose value is no longer held.
    pub fn truncated(&self) -> Slot {
        self.truncated
    }

    /// The last slot that anybody said is chosen.
    pub fn heard(&self) -> Slot {
        self.heard
    }

    /// Whether others know of chosen slots that are missing here.
    pub fn is_behind(&self) -> bool {
        self.heard > self.through
    }

    /// Whether `slot` is known to be chosen.
    pub fn is_chosen(&self, slot: Slot) -> bool {
        slot <= self.through || self.chosen.contains_key(&slot)
    }

    /// The chosen value of `slot`, if it is known and still held.
    pub fn chosen(&self, slot: Slot) -> Option<&Entry<C>> {
        self.chosen.get(&slot)
    }

    /// The chosen values held from `slot` on, in order, perhaps with gaps.
    pub fn chosen_from(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Entry<C>)> {
        self.chosen.range(slot..).map(|(slot, entry)| (*slot, entry))
    }

    /// Somebody who knows says that everything up to `slot` is chosen.
    pub fn hear(&mut self, slot: Slot) {
        self.heard = self.heard.max(slot);
    }

    /// Learns that `entry` is chosen in `slot`. Returns whether that is news.
    ///
    /// # Panics
    /// If another value was learned before: agreement is broken, and going on would spread it.
    pub fn learn(&mut self, slot: Slot, entry: Entry<C>) -> bool {
        if let Some(known) = self.chosen.get(&slot) {
            assert!(
                *known == entry,
                "agreement is broken in {slot}: {known:?} and {entry:?} are both chosen"
            );
            return false;
        }
        if slot <= self.truncated {
            return false;
        }
        self.chosen.insert(slot, entry);
        if mutant!(GapSkipped) {
            self.through = self.through.max(slot);
        }
        while self.chosen.contains_key(&self.through.next()) {
            self.through = self.through.next();
        }
        self.hear(self.through);
        true
    }

    /// Takes a commit notice of `ballot` for everything up to `through`. Returns what it chose here.
    ///
    /// A vote is the chosen value only if it was cast with the notice's own ballot: an older vote in the
    /// same slot may be for a value that was not chosen (facts §2.3). The rest has to be fetched.
    pub fn handle_commit(
        &mut self,
        ballot: Ballot,
        through: Slot,
        acceptor: &Acceptor<C>,
    ) -> Vec<(Slot, Entry<C>)> {
        self.hear(through);
        let mut learned = Vec::new();
        if through > self.through {
            for (slot, vote) in acceptor.votes_from(self.through.next()) {
                if slot > through {
                    break;
                }
                mark!(OtherVoteUnderCommitNotice if vote.ballot != ballot && !self.is_chosen(slot));
                if (vote.ballot == ballot || mutant!(CommitNoticeUnchecked)) && !self.is_chosen(slot) {
                    learned.push((slot, vote.value.clone()));
                }
            }
        }
        for (slot, entry) in &learned {
            self.learn(*slot, entry.clone());
        }
        learned
    }

    /// Forgets the values up to `through`, which a durable local checkpoint covers.
    ///
    /// # Panics
    /// If a slot up to there is not known to be chosen.
    pub fn truncate(&mut self, through: Slot) {
        assert!(
            through <= self.through,
            "cannot truncate to {through}: chosen only through {}",
            self.through
        );
        self.chosen = self.chosen.split_off(&through.next());
        self.truncated = self.truncated.max(through);
    }

    /// Everything up to `slot` is in a checkpoint that came from another member. Returns whether that is
    /// ahead of what was known; an older one is ignored.
    pub fn install(&mut self, slot: Slot) -> bool {
        if slot <= self.through {
            return false;
        }
        self.chosen = self.chosen.split_off(&slot.next());
        self.truncated = slot;
        self.through = slot;
        while self.chosen.contains_key(&self.through.next()) {
            self.through = self.through.next();
        }
        self.hear(self.through);
        true
    }
}
