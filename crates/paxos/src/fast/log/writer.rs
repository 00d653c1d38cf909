//! The writer: puts the commands of this node's clients into slots that are open to all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::fast::log::grant::Grant;
use crate::multi::entry::{Command, Entry};
use crate::slot::Slot;

/// Commands in one slot.
pub const BATCH_COMMANDS: usize = 1024;

/// Bytes of commands in one slot; a single larger command has a slot of its own.
pub const BATCH_BYTES: usize = 1 << 20;

/// Slots in which a writer has entries that are not decided.
pub const WRITING_MAX: usize = 16;

/// Commands that may wait for a slot. More are dropped: their origin offers them again.
pub const QUEUE_MAX: usize = 100_000;

/// A node's commands on their way into the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Writer<C> {
    queue: VecDeque<C>,
    grant: Option<Grant>,
    /// What it has proposed in open slots of the grant's ballot that are not decided.
    writing: BTreeMap<Slot, Entry<C>>,
}

impl<C: Command> Default for Writer<C> {
    fn default() -> Self {
        Writer { queue: VecDeque::new(), grant: None, writing: BTreeMap::new() }
    }
}

impl<C: Command> Writer<C> {
    /// Takes a command.
    pub fn enqueue(&mut self, command: C) {
        if self.queue.len() < QUEUE_MAX {
            self.queue.push_back(command);
        }
    }

    /// How many commands wait for a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether `command` waits, or is proposed in a slot that is not decided.
    pub fn has(&self, command: &C) -> bool {
        self.queue.contains(command) || self.writing.values().any(|entry| entry.commands().contains(command))
    }

    /// The grant in force, as far as this node knows.
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// What it has proposed that is not decided.
    pub fn writing(&self) -> &BTreeMap<Slot, Entry<C>> {
        &self.writing
    }

    /// Takes a grant, unless a newer one is known.
    pub fn take(&mut self, grant: Grant) {
        self.follow(grant.ballot);
        if self.grant.is_none_or(|known| (known.ballot, known.number) < (grant.ballot, grant.number)) {
            self.grant = Some(grant);
        }
    }

    /// The leader of `ballot` is followed. What was proposed under another one will be decided, but perhaps not soon: its
    /// origin offers it again.
    pub fn follow(&mut self, ballot: Ballot) {
        if let Some(grant) = self.grant.as_mut().filter(|grant| grant.ballot < ballot) {
            if mutant!(FastLogGrantOutlivesBallot) {
                grant.ballot = ballot;
                grant.number = 0;
                return;
            }
            self.grant = None;
            self.writing.clear();
        }
    }

    /// The next entry for an open slot of `ballot`, behind all that are known to be used.
    pub fn next(&mut self, ballot: Ballot, used: Slot) -> Option<(Slot, Entry<C>)> {
        let grant = self.grant.filter(|grant| grant.ballot == ballot && grant.is_open())?;
        let last = self.writing.keys().next_back().copied().unwrap_or(Slot::ZERO);
        let slot = grant.from.max(used.max(last).next());
        if self.queue.is_empty() || self.writing.len() >= WRITING_MAX || slot >= grant.to {
            return None;
        }
        let entry = self.batch();
        self.writing.insert(slot, entry.clone());
        Some((slot, entry))
    }

    /// The commands for one slot.
    ///
    /// # Panics
    /// If none waits.
    pub fn batch(&mut self) -> Entry<C> {
        assert!(!self.queue.is_empty(), "an entry is made of commands that wait");
        let mut bytes = 0;
        let mut count = 0;
        for command in self.queue.iter().take(BATCH_COMMANDS) {
            bytes += command.size();
            if count > 0 && bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        Entry::Commands(self.queue.drain(..count).collect::<Arc<[C]>>())
    }

    /// All commands that wait, for the leader.
    pub fn drain(&mut self) -> Vec<C> {
        self.queue.drain(..).collect()
    }

    /// `entry` is chosen in `slot`. Commands of this node that lost the slot are proposed again.
    pub fn settle(&mut self, slot: Slot, entry: &Entry<C>) {
        let Some(mine) = self.writing.remove(&slot).filter(|mine| mine != entry) else { return };
        mark!(FastLogLoserProposedAgain);
        for command in mine.commands().iter().rev() {
            self.queue.push_front(command.clone());
        }
    }

    /// What was chosen up to `through` is not known any more.
    pub fn forget_through(&mut self, through: Slot) {
        self.writing = self.writing.split_off(&through.next());
    }
}
