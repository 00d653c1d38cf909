//! Catching up: a member that missed chosen slots asks any member that knows them.

use synod_probe::{mark, mutant};

use crate::multi::core::{Core, Output};
use crate::multi::entry::{Command, Entry};
use crate::multi::message::Message;
use crate::multi::record::Record;
use crate::node::NodeId;
use crate::slot::Slot;

impl<C: Command> Core<C> {
    /// Asks for what is missing, unless a request is already under way: `teller`, or a member that says it holds what
    /// `teller` has not said it holds. A leader's notice may speak of slots that the leader lacks itself.
    pub(super) fn fetch_if_behind(&mut self, teller: NodeId) {
        if mutant!(NeverFetches) || self.fetching || !self.learner.is_behind() {
            return;
        }
        let from = self.learner.through().next();
        let held_elsewhere =
            self.election.is_held(from) && !self.election.holders(from).any(|node| node == teller);
        let source = self.election.best_source(from).filter(|_| held_elsewhere).unwrap_or(teller);
        if source == self.id {
            return;
        }
        self.fetching = true;
        self.send(source, Message::Fetch { from });
    }

    /// Tells what is chosen from `from` on, as much as fits one message. One member's word is enough: it
    /// tells only what it knows to be chosen. That may lie above slots that it lacks itself.
    pub(super) fn handle_fetch(&mut self, asker: NodeId, from: Slot) {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if from > self.learner.truncated() {
            for (slot, entry) in self.learner.chosen_from(from) {
                let consecutive = slot.0 == from.0 + entries.len() as u64;
                if !consecutive || bytes >= self.catch_up_bytes {
                    break;
                }
                bytes += entry.size() + 64;
                entries.push(entry.clone());
            }
        }
        if mutant!(VotesTakenForChosen) {
            let votes =
                self.acceptor.votes_from(from).zip(from.0..).take_while(|((slot, _), next)| slot.0 == *next);
            entries = votes.map(|((_, vote), _)| vote.value.clone()).collect();
        }
        let (chosen, truncated) = (self.learner.through(), self.learner.truncated());
        self.send(asker, Message::Fetched { from, entries, chosen, truncated });
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
            self.learn_fetched(slot, entry);
            slot = slot.next();
        }
        if truncated > self.learner.through() {
            mark!(FetchedSlotTruncated);
            let next = self.learner.through().next();
            // As long as another holds the slot in its log, it is asked at the end of the round.
            if !self.election.holders(next).any(|node| node != source) {
                self.out.push_back(Output::CheckpointNeeded { from: source, truncated });
            }
        } else if self.learner.through() > before {
            // Only news leads to another request: a duplicate that did would multiply for ever.
            self.fetch_if_behind(source);
        }
    }

    /// Learns a value from a member that knows it to be chosen.
    pub(super) fn learn_fetched(&mut self, slot: Slot, entry: Entry<C>) {
        if self.learner.learn(slot, entry.clone()) {
            self.record_unless_voted(slot);
            self.leader_learns(slot, &entry);
        }
    }

    /// A commit record speaks of values that the journal holds. A value this node did not vote for last has
    /// to be written for that; no message waits for the write.
    pub(super) fn record_unless_voted(&mut self, slot: Slot) {
        let Some(chosen) = self.learner.chosen(slot) else { return };
        if self
            .acceptor
            .vote(slot)
            .is_some_and(|vote| vote.value == *chosen || mutant!(FetchedValueNotWritten))
        {
            return;
        }
        mark!(OtherThanVotedFetched if self.acceptor.vote(slot).is_some());
        let record = Record::Chosen { slot, entry: chosen.clone() };
        self.write();
        self.records.push(record);
    }

    /// A checkpoint of this node through `through` is durable: its slots need not be held any more.
    ///
    /// # Panics
    /// If a slot up to there was not handed out to be applied.
    pub fn truncate(&mut self, through: Slot) {
        assert!(
            through <= self.delivered,
            "a checkpoint through {through} covers slots beyond {}, the last one handed out",
            self.delivered
        );
        self.learner.truncate(through);
        self.acceptor.truncate(through);
        self.holding.handle_checkpoint(through);
    }

    /// Another member's checkpoint through `slot` is durable here. Promise and later votes stay.
    ///
    /// Returns whether it is ahead of what this node had handed out; otherwise it is ignored.
    pub fn install(&mut self, slot: Slot) -> bool {
        if slot <= self.delivered {
            mark!(OlderCheckpointIgnored);
            return false;
        }
        mark!(CheckpointInstalledUnderVotes if self.acceptor.highest_voted() > slot);
        // What was chosen below is not known any more, so a leader that proposed there cannot tell whether it
        // lost its ballot; and its commit notices would vouch for its own values. One that has yet to propose there
        // has lost it.
        let ahead = self.leader.as_ref().is_some_and(|leader| leader.has_not_come_to(slot));
        if ahead || self.oldest_in_flight().is_some_and(|oldest| oldest <= slot) {
            self.stop_leading();
        }
        if !self.learner.install(slot) {
            self.learner.truncate(slot);
        }
        self.acceptor.truncate(if mutant!(InstallDropsVotes) { Slot::MAX } else { slot });
        self.holding.handle_checkpoint(slot);
        self.delivered = slot;
        self.fetching = false;
        true
    }
}
