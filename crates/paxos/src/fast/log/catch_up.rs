//! Catching up: a node that missed chosen slots asks any node that knows them.

use synod_probe::{mark, mutant};

use crate::fast::log::core::{Core, Output};
use crate::fast::log::message::Message;
use crate::fast::log::record::Record;
use crate::multi::entry::{Command, Entry};
use crate::node::NodeId;
use crate::slot::Slot;

/// Bytes of values in one answer.
const FETCHED_BYTES: usize = 1 << 20;

impl<C: Command> Core<C> {
    /// Asks `source` for what is missing, unless a request is already under way.
    pub(super) fn fetch_if_behind(&mut self, source: NodeId) {
        if mutant!(NeverFetches) || source == self.id || self.fetching || !self.learner.is_behind() {
            return;
        }
        self.fetching = true;
        let from = self.learner.through().next();
        self.send(vec![source], Message::Fetch { from });
    }

    /// Tells what is chosen from `from` on, as much as fits one message. One node's word is enough: it tells only what
    /// it knows to be chosen.
    pub(super) fn tell_chosen(&mut self, asker: NodeId, from: Slot) {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (slot, entry) in self.learner.chosen_from(from) {
            if slot.0 != from.0 + entries.len() as u64 || bytes >= FETCHED_BYTES {
                break;
            }
            bytes += entry.size() + 64;
            entries.push(entry.clone());
        }
        if mutant!(VotesTakenForChosen) {
            let votes =
                self.acceptor.votes_from(from).zip(from.0..).take_while(|((slot, _), next)| slot.0 == *next);
            entries = votes.map(|((_, vote), _)| vote.value.clone()).collect();
        }
        self.send_fetched(asker, from, entries);
    }

    pub(super) fn send_fetched(&mut self, asker: NodeId, from: Slot, entries: Vec<Entry<C>>) {
        let (chosen, truncated) = (self.learner.through(), self.learner.truncated());
        self.send(vec![asker], Message::Fetched { from, entries, chosen, truncated });
    }

    pub(super) fn handle_fetched(
        &mut self,
        source: NodeId,
        from: Slot,
        entries: Vec<Entry<C>>,
        chosen: Slot,
        truncated: Slot,
    ) {
        self.fetching = false;
        self.learner.hear(chosen);
        let before = self.learner.through();
        let mut slot = from;
        for entry in entries {
            self.learn(slot, entry);
            slot = slot.next();
        }
        if truncated > self.learner.through() {
            mark!(FetchedSlotTruncated);
            self.out.push_back(Output::StateNeeded { from: source });
        } else if self.learner.through() > before {
            // Only news leads to another request: a duplicate that did would multiply for ever.
            self.fetch_if_behind(source);
        }
    }

    /// Learns what is chosen in a slot, and tells every role of this node.
    pub(super) fn learn(&mut self, slot: Slot, entry: Entry<C>) {
        if !self.learner.learn(slot, entry.clone()) {
            return;
        }
        self.tallies.forget(slot);
        self.record_unless_voted(slot, &entry);
        self.writer.settle(slot, &entry);
        if let Some(leader) = &mut self.leader {
            leader.settle(slot);
        }
    }

    /// A commit record speaks of values that the journal holds. One that this node did not vote for last has to be
    /// written for that; no message waits for the write.
    fn record_unless_voted(&mut self, slot: Slot, entry: &Entry<C>) {
        let vote = self.acceptor.vote(slot);
        if vote.is_some_and(|vote| vote.value == *entry || mutant!(FetchedValueNotWritten)) {
            return;
        }
        mark!(OtherThanVotedFetched if vote.is_some());
        self.write();
        self.records.push(Record::Chosen { slot, entry: entry.clone() });
    }

    /// A durable state of this node covers everything up to `through`: its slots need not be held any more.
    ///
    /// # Panics
    /// If a slot up to there was not handed out to be executed.
    pub fn truncate(&mut self, through: Slot) {
        assert!(
            through <= self.delivered,
            "a state through {through} covers slots beyond {}, the last one handed out",
            self.delivered
        );
        self.learner.truncate(through);
        self.acceptor.truncate(through);
    }

    /// Another node's state through `slot` is durable here. Promise and later votes stay. Returns whether it is ahead of
    /// what was handed out here; otherwise nothing has changed.
    pub fn install(&mut self, slot: Slot) -> bool {
        if slot <= self.delivered {
            mark!(OlderCheckpointIgnored);
            return false;
        }
        mark!(CheckpointInstalledUnderVotes if self.acceptor.votes_from(slot.next()).next().is_some());
        if !self.learner.install(slot) {
            self.learner.truncate(slot);
        }
        self.acceptor.truncate(if mutant!(InstallDropsVotes) { Slot::MAX } else { slot });
        self.tallies.forget_through(slot);
        self.writer.forget_through(slot);
        if let Some(leader) = &mut self.leader {
            leader.forget_through(slot);
        }
        self.delivered = slot;
        self.fetching = false;
        true
    }
}
