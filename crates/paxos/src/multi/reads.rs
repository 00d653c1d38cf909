//! Linearizable reads without writing: the confirmed read index.
//!
//! The leader notes how far the log may have been acknowledged when the read arrives, then asks a phase 2
//! quorum, in a round sent after that, whether its ballot is still their promise. If it is, no higher
//! ballot can have chosen anything before the read arrived.

use std::collections::{BTreeMap, VecDeque};

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::multi::message::ReadId;
use crate::node::{Incarnation, NodeId};
use crate::quorum::{Phase2Quorum, QuorumSystem};
use crate::slot::Slot;

/// The leader's side: reads that wait for a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Confirmations {
    round: u64,
    running: Option<Round>,
    /// Reads that arrived while a round ran: they need one that is sent after they arrived.
    waiting: VecDeque<(ReadId, Slot)>,
    /// By whom reads came that their asker did not send itself.
    ways: BTreeMap<ReadId, NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    ballot: Ballot,
    answers: Phase2Quorum,
    reads: Vec<(ReadId, Slot)>,
}

impl Confirmations {
    /// A read arrived when everything up to `index` may have been acknowledged.
    pub fn arrive(&mut self, read: ReadId, index: Slot) {
        let known = self.waiting.iter().any(|(other, _)| *other == read)
            || self.running.iter().flat_map(|round| &round.reads).any(|(other, _)| *other == read);
        mark!(ReadWaitedForNextRound if self.running.is_some() && !known);
        if let Some(round) = self.running.as_mut().filter(|_| mutant!(ReadSharesSentRound) && !known) {
            round.reads.push((read, index));
        } else if !known {
            self.waiting.push_back((read, index));
        }
    }

    /// `read` came by `from`, who is not its asker if that could not reach this node.
    pub fn came_by(&mut self, read: ReadId, from: NodeId) {
        if from != read.node {
            self.ways.insert(read, from);
        }
    }

    /// Where the answer to `read` goes: the way it came.
    pub fn way_back(&mut self, read: ReadId) -> NodeId {
        self.ways.remove(&read).unwrap_or(read.node)
    }

    /// Starts a round if reads wait and none runs. Returns its number.
    pub fn start(&mut self, ballot: Ballot, acceptors: &QuorumSystem) -> Option<u64> {
        if self.running.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.round += 1;
        let reads = self.waiting.drain(..).collect();
        self.running = Some(Round { ballot, answers: acceptors.phase2(), reads });
        Some(self.round)
    }

    /// The round to ask again for, if one runs.
    pub fn unanswered(&self) -> Option<(Ballot, u64)> {
        self.running.as_ref().map(|round| (round.ballot, self.round))
    }

    /// Counts an answer. Returns the reads that are confirmed by it.
    pub fn handle_confirmed(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        number: u64,
        acceptors: &QuorumSystem,
    ) -> Vec<(ReadId, Slot)> {
        let Some(round) = &mut self.running else { return Vec::new() };
        if (number != self.round && !mutant!(ReadRoundUnchecked)) || ballot != round.ballot {
            return Vec::new();
        }
        round.answers.insert(acceptors, from);
        if !round.answers.is_met() {
            return Vec::new();
        }
        self.running.take().map_or(Vec::new(), |round| round.reads)
    }

    /// The leadership ended: whose reads were not confirmed.
    pub fn abandon(&mut self) -> Vec<ReadId> {
        let running = self.running.take().map_or(Vec::new(), |round| round.reads);
        mark!(ReadsLostWithLeadership if !running.is_empty() || !self.waiting.is_empty());
        running.into_iter().chain(self.waiting.drain(..)).map(|(read, _)| read).collect()
    }
}

/// Names a read of this node's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The asker's side, on every node: reads that want an index from the leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Readers {
    node: NodeId,
    incarnation: Incarnation,
    requests: u64,
    unsent: Vec<Ticket>,
    asked: BTreeMap<u64, Request>,
}

/// Reads that share a request, and how many rounds they have waited for its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    ballot: Ballot,
    tickets: Vec<Ticket>,
    rounds: u32,
}

/// An answer takes two round trips, and a round at least one: this many mean that something was lost.
const ROUNDS_MAX: u32 = 5;

impl Readers {
    /// Nobody reads yet.
    pub fn new(node: NodeId, incarnation: Incarnation) -> Readers {
        Readers { node, incarnation, requests: 0, unsent: Vec::new(), asked: BTreeMap::new() }
    }

    /// A read that arrived just now. It may share a request only with others that have not been sent.
    pub fn arrive(&mut self, ticket: Ticket) {
        match self.asked.values_mut().next_back().filter(|_| mutant!(ReadSharesSentRequest)) {
            Some(request) => request.tickets.push(ticket),
            None => self.unsent.push(ticket),
        }
    }

    /// The request to send to the leader of `ballot` now, if some reads have not been sent.
    pub fn ask(&mut self, ballot: Ballot) -> Option<ReadId> {
        if self.unsent.is_empty() {
            return None;
        }
        self.requests += 1;
        let tickets = std::mem::take(&mut self.unsent);
        self.asked.insert(self.requests, Request { ballot, tickets, rounds: 0 });
        Some(ReadId { node: self.node, incarnation: self.incarnation, number: self.requests })
    }

    /// Takes the answer to a request of this process; others' are ignored. Without a slot the reads go back
    /// to wait for a leader.
    pub fn handle_reply(&mut self, read: ReadId, slot: Option<Slot>) -> Vec<Ticket> {
        let mine = read.incarnation == self.incarnation || mutant!(ReadAnswerOfOtherProcess);
        mark!(ReadAnswerOfEarlierProcess if read.incarnation < self.incarnation);
        if read.node != self.node || !mine {
            return Vec::new();
        }
        let Some(Request { tickets, .. }) = self.asked.remove(&read.number) else { return Vec::new() };
        if slot.is_some() {
            return tickets;
        }
        self.unsent.extend(tickets);
        Vec::new()
    }

    /// A round has passed. Requests to another than the present leader, or that have waited for many rounds,
    /// are asked again: the asked may be gone, or the message lost.
    pub fn ask_again(&mut self, leader: Option<Ballot>) {
        let mut stale = Vec::new();
        for (number, request) in &mut self.asked {
            request.rounds += 1;
            if Some(request.ballot) != leader || request.rounds > ROUNDS_MAX {
                stale.push(*number);
            }
        }
        for number in stale {
            if let Some(request) = self.asked.remove(&number) {
                self.unsent.extend(request.tickets);
            }
        }
    }

    /// Nobody waits for `ticket` any more.
    pub fn forget(&mut self, ticket: Ticket) {
        self.unsent.retain(|other| *other != ticket);
        for request in self.asked.values_mut() {
            request.tickets.retain(|other| *other != ticket);
        }
        self.asked.retain(|_, request| !request.tickets.is_empty());
    }
}
