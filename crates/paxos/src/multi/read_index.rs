//! How a replica confirms reads: as asker on every node, as asked on the leader. The rule is in
//! [`reads`](crate::multi::reads).

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::multi::core::{Core, Output};
use crate::multi::entry::Command;
use crate::multi::leader::Leader;
use crate::multi::message::{Message, ReadId};
use crate::multi::reads::Ticket;
use crate::node::NodeId;
use crate::slot::Slot;

impl<C: Command> Core<C> {
    /// A read of this node's user. `ReadReady` follows, unless the user gives up with `forget_read`.
    pub fn read(&mut self, ticket: Ticket) {
        self.readers.arrive(ticket);
    }

    /// The user of this read waits no longer.
    pub fn forget_read(&mut self, ticket: Ticket) {
        self.readers.forget(ticket);
    }

    /// A round has passed: asks again for reads whose request or answer may be lost.
    pub fn ask_again(&mut self) {
        self.readers.ask_again(self.election.leader());
    }

    pub(super) fn ask_for_reads(&mut self) {
        let Some(ballot) = self.election.leader() else { return };
        if ballot.node == self.id && self.leader.as_ref().is_none_or(|leader| !leader.is_leading()) {
            return;
        }
        if let Some(read) = self.readers.ask(ballot) {
            self.send(self.election.way_to(ballot), Message::ReadIndex { read });
        }
        self.start_confirmation();
    }

    pub(super) fn handle_read_index(&mut self, from: NodeId, read: ReadId) {
        let takes = |leader: &&Leader<C>| leader.is_leading() || mutant!(ReadTakenByCandidate);
        match self.leader.as_ref().filter(takes).map(Leader::recovered) {
            Some(recovered) => {
                self.confirmations.came_by(read, from);
                let index = self.read_index(recovered);
                if mutant!(ReadWithoutRound) {
                    return self.answer_read(read, Some(index));
                }
                self.confirmations.arrive(read, index);
            }
            None if from == self.id => {}
            None => match self.leader_for(from).filter(|_| from == read.node) {
                Some(leader) => self.send(leader, Message::ReadIndex { read }),
                None => {
                    self.out.push_back(Output::Send {
                        to: vec![from],
                        message: Message::ReadIndexReply { read, slot: None },
                    });
                }
            },
        }
    }

    /// The leader that `from` cannot reach itself, if this node can. Only one node stands between the two: who is
    /// asked by another than the asker passes nothing on.
    pub fn leader_for(&self, from: NodeId) -> Option<NodeId> {
        let leader = self.election.leader()?.node;
        let reached = leader != from && leader != self.id && self.election.connected().contains_key(&leader);
        reached.then_some(leader)
    }

    /// Everything acknowledged before now lies at or below it. What this node's notices have told may have been applied,
    /// and acknowledged, by members that hold it, whether this node holds it or not.
    fn read_index(&mut self, recovered: Slot) -> Slot {
        let held = self.learner.through();
        let committed = if mutant!(ReadIndexFromHeld) { None } else { self.notice() };
        let committed = committed.map_or(held, |(_, through)| through);
        mark!(ReadWaitedForRecoveredSlots if recovered > committed);
        mark!(ReadIndexBeyondHeld if committed > held);
        if mutant!(ReadIgnoresRecoveredSlots) {
            return committed;
        }
        if mutant!(ReadIgnoresChosenSlots) {
            return recovered;
        }
        committed.max(recovered)
    }

    pub(super) fn start_confirmation(&mut self) {
        let Some(ballot) = self.leader.as_ref().filter(|leader| leader.is_leading()).map(Leader::ballot)
        else {
            return;
        };
        if let Some(round) = self.confirmations.start(ballot, self.membership.acceptors()) {
            self.broadcast(Message::Confirm { ballot, round });
            self.handle_confirm(self.id, ballot, round);
        }
    }

    /// The round of confirmation that runs, if one does.
    pub fn unconfirmed(&self) -> Option<(Ballot, u64)> {
        self.confirmations.unanswered()
    }

    /// Repeats the round of confirmation that runs: a question or too many answers were lost, and no other
    /// round starts before this one ends.
    pub fn confirm_again(&mut self) {
        if let Some((ballot, round)) = self.unconfirmed() {
            self.broadcast(Message::Confirm { ballot, round });
        }
    }

    pub(super) fn handle_confirm(&mut self, from: NodeId, ballot: Ballot, round: u64) {
        if self.acceptor.promised() != ballot && !mutant!(ReadConfirmedByAnyPromise) {
            return;
        }
        let confirmed = Message::Confirmed { ballot, round };
        if self.durable_promise().is_some() {
            self.send(from, confirmed);
        } else {
            self.seal(self.gate.issued(), from, Sealed::new(confirmed));
        }
    }

    pub(super) fn handle_confirmed(&mut self, from: NodeId, ballot: Ballot, round: u64) {
        let acceptors = self.membership.acceptors();
        for (read, slot) in self.confirmations.handle_confirmed(from, ballot, round, acceptors) {
            self.answer_read(read, Some(slot));
        }
    }

    pub(super) fn answer_read(&mut self, read: ReadId, slot: Option<Slot>) {
        let way = self.confirmations.way_back(read);
        if way == self.id {
            self.handle_read_index_reply(read, slot);
        } else {
            self.out
                .push_back(Output::Send { to: vec![way], message: Message::ReadIndexReply { read, slot } });
        }
    }

    pub(super) fn handle_read_index_reply(&mut self, read: ReadId, slot: Option<Slot>) {
        if read.node != self.id {
            // This node passed the question on.
            let message = Message::ReadIndexReply { read, slot };
            return self.out.push_back(Output::Send { to: vec![read.node], message });
        }
        for ticket in self.readers.handle_reply(read, slot) {
            if let Some(slot) = slot {
                self.out.push_back(Output::ReadReady { ticket, slot });
            }
        }
    }
}
