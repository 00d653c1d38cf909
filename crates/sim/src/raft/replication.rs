//! Replication: a leader's log becomes everybody's, and entries on a majority are committed.

use synod_paxos::multi::entry::Command;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::Output;
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};

use crate::raft::log::{Entry, Position};
use crate::raft::message::{Message, Record};
use crate::raft::node::{Raft, Role};

/// Entries in one message at most: few, so that a new leader's log comes to others bit by bit.
const BATCH: usize = 4;

/// Entries sent and not answered at most.
const WINDOW: u64 = 256;

impl<C: Command> Raft<C> {
    /// Puts an entry at the end of a leader's own log.
    pub(super) fn append(&mut self, entry: Entry<C>) {
        let previous = self.log.last().term;
        let index = self.log.push(entry.clone());
        self.record(Record::Entry { index, previous, entry });
    }

    /// Turns what was offered into an entry, if this node leads.
    pub(super) fn append_offered(&mut self) {
        if self.leads() && !self.offered.is_empty() {
            let commands = std::mem::take(&mut self.offered).into();
            self.append(Entry { term: self.term, commands });
            self.replicate();
        }
    }

    /// Sends every follower what it has not been sent.
    pub(super) fn replicate(&mut self) {
        for node in self.others() {
            while self.send_entries(node, false) {}
        }
    }

    /// Sends a follower the next entries, unless it is probed. A `probe` goes out in any case, and may be empty.
    /// Returns whether there were entries.
    pub(super) fn send_entries(&mut self, node: NodeId, probe: bool) -> bool {
        let (term, commit) = (self.term, self.commit);
        let Role::Leader { followers } = &mut self.role else { return false };
        let Some(progress) = followers.get_mut(&node).filter(|progress| probe || !progress.probing) else {
            return false;
        };
        let Some(before) = self.log.term(progress.next - 1) else {
            // What it needs is held no more.
            if probe {
                self.send(vec![node], Message::TakeSnapshot { term });
            }
            return false;
        };
        let previous = Position { index: progress.next - 1, term: before };
        let full = progress.next > progress.matched + WINDOW && !progress.probing;
        let room = if full { 0 } else { BATCH };
        let entries: Vec<_> = self.log.from(progress.next).iter().take(room).cloned().collect();
        let some = !entries.is_empty();
        if !progress.probing {
            progress.next += entries.len() as u64;
        }
        if some || probe {
            self.send(vec![node], Message::Append { term, previous, entries, commit });
        }
        some
    }

    /// Followers hear at once of what is committed, with the next entries if there are any, so that their clients need not
    /// wait for a heartbeat.
    fn tell_commit(&mut self) {
        for node in self.others() {
            let Role::Leader { followers } = &self.role else { return };
            let probing = followers.get(&node).is_none_or(|progress| progress.probing);
            if !probing && !self.send_entries(node, false) {
                self.send_entries(node, true);
            }
        }
    }

    /// Heartbeats. Whoever confirmed nothing since the last one is probed.
    pub(super) fn beat(&mut self, now: Time) {
        self.deadline = now + self.patience / 5;
        if self.check_quorum(now) {
            return;
        }
        for node in self.others() {
            let Role::Leader { followers } = &mut self.role else { return };
            let Some(progress) = followers.get_mut(&node) else { continue };
            if progress.matched + 1 < progress.next && progress.matched == progress.seen {
                mark!(ProposalSentAgain);
                progress.probing = true;
                if progress.matched > 0 {
                    progress.next = progress.matched + 1;
                }
            }
            progress.seen = progress.matched;
            self.send_entries(node, true);
        }
    }

    pub(super) fn handle_append(
        &mut self,
        from: NodeId,
        previous: Position,
        entries: Vec<Entry<C>>,
        commit: u64,
    ) {
        let term = self.term;
        // What lies below the base is committed, so it is as the leader has it.
        let matches = previous.index < self.log.base().index
            || self.log.term(previous.index) == Some(previous.term)
            || (mutant!(RaftPreviousUnchecked) && previous.index <= self.log.last().index);
        if !matches {
            mark!(LogDidNotMatch);
            let last = self.log.last().index;
            return self.hold(from, Message::Refused { term, previous: previous.index, last });
        }
        let matched = previous.index + entries.len() as u64;
        let mut before = previous.term;
        for (index, entry) in (previous.index + 1..).zip(entries) {
            let this = entry.term;
            if index > self.log.base().index && self.log.term(index) != Some(this) {
                assert!(
                    index > self.commit,
                    "{index} is committed and would be replaced by {from} in t{term}"
                );
                mark!(ConflictingEntryReplaced if index <= self.log.last().index);
                self.log.put(index, entry.clone());
                self.record(Record::Entry { index, previous: before, entry });
            }
            before = this;
        }
        // Only what this message vouches for: behind it may lie entries of other leaders.
        self.commit_to(commit.min(matched));
        self.hold(from, Message::Appended { term, matched });
    }

    pub(super) fn handle_appended(&mut self, now: Time, from: NodeId, term: u64, matched: u64) {
        let last = self.log.last().index;
        if let Role::Leader { followers } = &mut self.role
            && let Some(progress) = followers.get_mut(&from)
            && term == self.term
            && matched <= last
        {
            progress.answered = now;
            progress.matched = progress.matched.max(matched);
            progress.next = progress.next.max(progress.matched + 1);
            progress.probing = false;
            self.advance();
            while self.send_entries(from, false) {}
        }
    }

    pub(super) fn handle_refused(&mut self, now: Time, from: NodeId, term: u64, previous: u64, last: u64) {
        if let Role::Leader { followers } = &mut self.role
            && let Some(progress) = followers.get_mut(&from)
            && term == self.term
        {
            progress.answered = now;
            // Late refusals of what is known by now say nothing; of several on the way the first is enough.
            let news =
                if progress.probing { previous + 1 == progress.next } else { previous < progress.next };
            if news && previous > progress.matched {
                progress.probing = true;
                progress.next = previous.min(last + 1).max(progress.matched + 1);
                self.send_entries(from, true);
            }
        }
    }

    /// The commit rule: what a majority holds durably, if it is of the current term. What is before it is then
    /// committed with it; counted by itself it might still be replaced (§3.6.2).
    pub(super) fn advance(&mut self) {
        let Role::Leader { followers } = &self.role else { return };
        let mut held: Vec<u64> = followers.values().map(|follower| follower.matched).collect();
        held.push(if mutant!(OwnVoteCountedAtOnce) { self.log.last().index } else { self.own_durable });
        held.sort_unstable();
        let index = held[self.nodes.len() - self.majority()];
        let current = self.log.term(index) == Some(self.term);
        mark!(EarlierTermNotCommitted if index > self.commit && !current);
        if index > self.commit && (current || mutant!(RaftCommitsEarlierTerms)) {
            self.commit_to(index);
            self.tell_commit();
        }
    }

    fn commit_to(&mut self, index: u64) {
        self.commit = self.commit.max(index.min(self.log.last().index));
    }

    /// Hands out the committed entries that were not.
    pub(super) fn execute(&mut self) {
        while self.executed.index < self.commit {
            let index = self.executed.index + 1;
            let Some(entry) = self.log.get(index) else { return };
            self.executed = Position { index, term: entry.term };
            if !entry.commands.is_empty() {
                self.out.push_back(Output::Execute { commands: entry.commands.clone() });
                return;
            }
        }
    }
}
