//! Raft as any protocol is run.

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::membership::Membership;
use synod_paxos::multi::entry::Command;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::{Output, OutputOf, Protocol, Standing, Start};
use synod_paxos::quorum::QuorumError;
use synod_paxos::time::Time;

use crate::raft::log::{Log, Position};
use crate::raft::message::{Message, Record, Rejection};
use crate::raft::node::{Raft, Role};

/// Entries below a snapshot that are kept for others.
const RETAINED: u64 = 32;

/// Commands that may wait at a node. More are dropped: their origin offers them again.
const OFFERED_MAX: usize = 20_000;

/// Term, vote and log as the records left them.
fn recover<C: Command>(position: Position, records: Vec<Record<C>>) -> (u64, Option<NodeId>, Log<C>) {
    let (mut term, mut voted, mut log) = (0, None, Log::default());
    for record in records {
        match record {
            Record::Term { term: newer, voted: newer_vote } => (term, voted) = (newer, newer_vote),
            Record::Base(position) => log.rebase(position),
            // Older records may be gone in part: all that counts is said again behind a base.
            Record::Entry { index, entry, .. } => {
                if index > log.base().index && index <= log.last().index + 1 {
                    log.put(index, entry);
                }
            }
        }
    }
    log.rebase(position);
    (term, voted, log)
}

impl<C: Command> Raft<C> {
    /// Keeps a command until there is somebody to give it to.
    fn offer(&mut self, command: C) {
        if self.offered.len() < OFFERED_MAX {
            self.offered.push_back(command);
        }
    }

    /// Passes on what was offered to a node that does not lead.
    fn forward(&mut self) {
        if let Some(leader) = self.leader().filter(|leader| *leader != self.id)
            && !self.offered.is_empty()
        {
            let commands = std::mem::take(&mut self.offered).into();
            self.send(vec![leader], Message::Forward(commands));
        }
    }

    fn handle(&mut self, now: Time, from: NodeId, message: Message<C>) {
        if let Some(term) = message.term() {
            let leader = matches!(message, Message::Append { .. } | Message::TakeSnapshot { .. });
            if term > self.term || (leader && term == self.term) {
                self.follow(now, term, leader.then_some(from));
            } else if leader {
                let last = self.log.last().index;
                return self.hold(from, Message::Refused { term: self.term, previous: 0, last });
            }
        }
        match message {
            Message::PreVote { term, last } => self.handle_pre_vote(now, from, term, last),
            Message::PreVoted { term, granted } => self.handle_pre_voted(now, from, term, granted),
            Message::Vote { term, last } => self.handle_vote(now, from, term, last),
            Message::Voted { term, granted } => self.handle_voted(now, from, term, granted),
            Message::Append { previous, entries, commit, .. } => {
                self.handle_append(from, previous, entries, commit);
            }
            Message::Appended { term, matched } => self.handle_appended(now, from, term, matched),
            Message::Refused { term, previous, last } => {
                self.handle_refused(now, from, term, previous, last);
            }
            Message::TakeSnapshot { term } => {
                // What was executed here is committed, so the leader has it as well.
                let matched = self.snapshot.index;
                self.hold(from, Message::Appended { term, matched });
                self.out.push_back(Output::StateNeeded { from });
            }
            Message::Forward(commands) if !self.leads() => {
                if let Some(leader) = self.leader().filter(|leader| *leader != from) {
                    self.send(vec![leader], Message::Relay(commands));
                }
            }
            Message::Forward(commands) | Message::Relay(commands) => {
                if self.leads() {
                    commands.into_iter().for_each(|command| self.offer(command));
                }
            }
        }
    }
}

impl<C: Command + Serialize + DeserializeOwned> Protocol for Raft<C> {
    type Command = C;
    type Message = Message<C>;
    type Record = Record<C>;
    type Position = Position;
    type Rejection = Rejection;

    const NAME: &'static str = "raft";

    fn start(start: Start, position: Position, records: Vec<Record<C>>) -> Result<Self, QuorumError> {
        // The same lists of nodes are refused as elsewhere.
        Membership::founding(start.nodes.iter().copied())?;
        let (term, voted, log) = recover(position, records);
        let Start { id, nodes, patience, seed, now, .. } = start;
        Ok(Raft::new(id, nodes, patience, seed, now, term, voted, log, position))
    }

    fn propose(&mut self, _: Time, command: C) {
        self.offer(command);
    }

    /// Perhaps the link to the leader is cut: somebody else may reach it.
    fn propose_again(&mut self, _: Time, command: C) {
        if self.leads() || self.leader().is_none() {
            self.offer(command);
        } else {
            self.send(self.others(), Message::Forward(vec![command]));
        }
    }

    fn handle_message(&mut self, now: Time, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        if !self.nodes.contains(&from) {
            return Err(Rejection::Stranger(from));
        }
        message.check()?;
        self.handle(now, from, message);
        Ok(())
    }

    fn handle_persisted(&mut self, now: Time, token: Token) {
        for message in self.release(token) {
            self.handle(now, self.id, message);
        }
        self.advance();
    }

    fn next_timeout(&self) -> Option<Time> {
        Some(self.deadline)
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.deadline > now {
            return;
        }
        match self.role {
            Role::Leader { .. } => self.beat(now),
            _ => self.ask_around(now),
        }
    }

    fn poll_output(&mut self, _: Time) -> Option<OutputOf<Self>> {
        if self.out.is_empty() {
            self.append_offered();
            self.forward();
            self.flush();
        }
        if self.out.is_empty() {
            self.execute();
        }
        self.out.pop_front()
    }

    fn position(&self) -> Position {
        self.executed
    }

    fn truncate(&mut self, position: &Position) {
        self.snapshot = self.snapshot.max(*position);
        let index = position.index.saturating_sub(RETAINED);
        if let Some(term) = self.log.term(index) {
            self.log.rebase(Position { index, term });
        }
    }

    fn remembered(&self) -> Vec<Record<C>> {
        let first = self.snapshot.index + 1;
        let mut previous = self.snapshot.term;
        let mut records =
            vec![Record::Base(self.snapshot), Record::Term { term: self.term, voted: self.voted }];
        for (index, entry) in (first..).zip(self.log.from(first)) {
            records.push(Record::Entry { index, previous, entry: entry.clone() });
            previous = entry.term;
        }
        records
    }

    fn is_ahead(&self, position: &Position) -> bool {
        position.index > self.executed.index
    }

    fn install(&mut self, _: Time, position: &Position) -> bool {
        if !self.is_ahead(position) {
            return false;
        }
        self.log.rebase(*position);
        self.executed = *position;
        self.snapshot = *position;
        self.commit = self.commit.max(position.index);
        true
    }

    fn standing(&self) -> Standing {
        let leader = self.leader();
        // A leader can commit nothing before its own term has.
        let happy = match self.role {
            Role::Leader { .. } => self.log.term(self.commit) == Some(self.term),
            _ => leader.is_some(),
        };
        Standing { happy, leader: leader.map(|leader| Ballot::new(self.term, leader)) }
    }

    fn describe(message: &Message<C>) -> String {
        let name = message.name();
        match message {
            Message::PreVote { term, last } | Message::Vote { term, last } => {
                format!("{name} t{term}, log to {}", last.index)
            }
            Message::PreVoted { term, granted } | Message::Voted { term, granted } => {
                format!("{name} t{term} {}", if *granted { "yes" } else { "no" })
            }
            Message::Append { term, previous, entries, commit } => {
                format!("{name} t{term} [{}] after {}, commit {commit}", entries.len(), previous.index)
            }
            Message::Appended { term, matched } => format!("{name} t{term} to {matched}"),
            Message::Refused { term, previous, .. } => format!("{name} t{term} after {previous}"),
            Message::TakeSnapshot { term } => format!("{name} t{term}"),
            Message::Forward(commands) | Message::Relay(commands) => format!("{name} [{}]", commands.len()),
        }
    }
}
