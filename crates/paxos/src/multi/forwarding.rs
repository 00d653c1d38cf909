//! A replica that takes commands anywhere: those it gets while another node leads, it passes on.
//!
//! This is Multi-Paxos as [`Protocol`] has it. Reads of a user are commands of the log like all others. Whoever wants a
//! command executed offers it again if it was lost on the way to a leader that is no more.

use std::collections::VecDeque;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::durable::Token;
use crate::membership::Membership;
use crate::multi::core::Output as LogOutput;
use crate::multi::entry::Command;
use crate::multi::message::Message as LogMessage;
use crate::multi::record::{HardState, Record as LogRecord, Recovered};
use crate::multi::rejection;
use crate::multi::replica::{Options, Replica};
use crate::node::NodeId;
use crate::protocol::{Output, OutputOf, Protocol, Standing, Start};
use crate::quorum::QuorumError;
use crate::slot::Slot;
use crate::time::Time;

/// Slots below the durable state that are kept for others: a short absence is caught up with by them.
const SLOTS_RETAINED: u64 = 32;

/// Commands that may wait for a slot at the leader. More are dropped: their origin offers them again.
const QUEUE_MAX: usize = 100_000;

/// What replicas say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message<C> {
    /// About the log.
    Log(LogMessage<C>),
    /// Commands for the leader, or for one who can reach it.
    Forward(Vec<C>),
    /// Commands for the leader from one whom their origin asked. They are passed on no further.
    Relay(Vec<C>),
}

/// What must survive a crash. Every write ends with a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record<C> {
    /// A fact about the log.
    Log(LogRecord<C>),
    /// Promise and ballot used. The newest counts.
    State(HardState),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The log refuses it.
    #[error(transparent)]
    Log(#[from] rejection::Rejection),
    /// Only members pass commands on.
    #[error("{0} forwards commands and is no member")]
    Stranger(NodeId),
}

/// A replica of the log to which commands may be given at any node.
#[derive(Clone, Debug)]
pub struct Forwarding<C> {
    id: NodeId,
    membership: Membership,
    replica: Replica<C>,
    /// Commands that were offered here and have not been given to anybody.
    offered: VecDeque<C>,
    out: VecDeque<Output<Message<C>, Record<C>, C>>,
    executed: Slot,
    /// What a durable state covers.
    durable: Slot,
}

impl<C: Command> Forwarding<C> {
    /// The replica of the log.
    pub fn replica(&self) -> &Replica<C> {
        &self.replica
    }

    /// Gives a command to this node's leadership, if it has one with room.
    fn lead(&mut self, command: C) -> Result<(), C> {
        match self.replica.core().leadership() {
            Some(leader) if leader.queued() >= QUEUE_MAX => Ok(()),
            _ => self.replica.propose(command),
        }
    }

    /// Passes on what was offered here, if this node does not lead and knows who does. While nobody does, it waits.
    fn pass_on(&mut self) {
        let mut forwarded = Vec::new();
        for command in std::mem::take(&mut self.offered) {
            if let Err(command) = self.lead(command) {
                forwarded.push(command);
            }
        }
        match self.replica.leader().filter(|ballot| ballot.node != self.id) {
            _ if forwarded.is_empty() => {}
            Some(ballot) => {
                let way = self.replica.core().election().way_to(ballot);
                self.out.push_back(Output::Send { to: vec![way], message: Message::Forward(forwarded) });
            }
            None => self.offered = forwarded.into(),
        }
    }

    fn handle_forward(&mut self, from: NodeId, commands: Vec<C>) {
        match self.replica.core().leader_for(from) {
            Some(leader) => {
                self.out.push_back(Output::Send { to: vec![leader], message: Message::Relay(commands) });
            }
            None => self.handle_relay(commands),
        }
    }

    /// Who leads no more drops them: their origin will hear of the next leader too.
    fn handle_relay(&mut self, commands: Vec<C>) {
        for command in commands {
            drop(self.lead(command));
        }
    }

    fn handle_log(&mut self, output: LogOutput<C>) {
        self.out.push_back(match output {
            LogOutput::Send { to, message } => Output::Send { to, message: Message::Log(message) },
            LogOutput::Persist { token, state, records } => {
                let facts = records.into_iter().map(Record::Log);
                Output::Persist { token, records: facts.chain([Record::State(state)]).collect() }
            }
            LogOutput::Chosen { slot, entry } => {
                self.executed = slot;
                // The state machine of a replica executes at once.
                self.replica.handle_applied(slot);
                match entry.commands() {
                    [] => return,
                    commands => Output::Execute { commands: commands.to_vec() },
                }
            }
            LogOutput::CheckpointNeeded { from, .. } => Output::StateNeeded { from },
            LogOutput::ReadReady { ticket, slot } => {
                unreachable!("nobody asked for the read {ticket:?} of {slot}")
            }
        });
    }
}

impl<C: Command + Serialize + DeserializeOwned> Protocol for Forwarding<C> {
    type Command = C;
    type Message = Message<C>;
    type Record = Record<C>;
    type Position = Slot;
    type Rejection = Rejection;

    const NAME: &'static str = "multi";

    fn start(start: Start, position: Slot, records: Vec<Record<C>>) -> Result<Self, QuorumError> {
        let membership = Membership::founding(start.nodes)?;
        let options = Options {
            heartbeat_interval: start.patience / 5,
            election_timeout: start.patience,
            seed: start.seed,
            ..Options::default()
        };
        let mut state = None;
        let mut log = Vec::new();
        for record in records {
            match record {
                Record::State(newer) => state = Some(newer),
                Record::Log(record) => log.push(record),
            }
        }
        let recovered = Recovered { state, checkpoint: position, records: log };
        let (id, members) = (start.id, membership.clone());
        let replica = Replica::new(id, start.incarnation, members, options, recovered, start.now);
        let (offered, out) = (VecDeque::new(), VecDeque::new());
        Ok(Forwarding { id, membership, replica, offered, out, executed: position, durable: position })
    }

    fn propose(&mut self, _: Time, command: C) {
        if self.offered.len() < QUEUE_MAX {
            self.offered.push_back(command);
        }
    }

    fn handle_message(&mut self, now: Time, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        match message {
            Message::Log(message) => return Ok(self.replica.handle_message(now, from, message)?),
            _ if !self.membership.contains(from) => return Err(Rejection::Stranger(from)),
            Message::Forward(commands) => self.handle_forward(from, commands),
            Message::Relay(commands) => self.handle_relay(commands),
        }
        Ok(())
    }

    fn handle_persisted(&mut self, now: Time, token: Token) {
        self.replica.handle_persisted(now, token);
    }

    fn next_timeout(&self) -> Option<Time> {
        Some(self.replica.next_timeout())
    }

    fn handle_timeout(&mut self, now: Time) {
        self.replica.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Time) -> Option<OutputOf<Self>> {
        if !self.offered.is_empty() {
            self.pass_on();
        }
        while self.out.is_empty() {
            let output = self.replica.poll_output(now)?;
            self.handle_log(output);
        }
        self.out.pop_front()
    }

    fn position(&self) -> Slot {
        self.executed
    }

    fn truncate(&mut self, position: &Slot) {
        self.durable = self.durable.max(*position);
        self.replica.truncate(Slot(position.0.saturating_sub(SLOTS_RETAINED)));
    }

    fn remembered(&self) -> Vec<Record<C>> {
        let core = self.replica.core();
        let (acceptor, learner) = (core.acceptor(), core.learner());
        let votes = acceptor.votes_from(self.durable.next()).map(|(slot, vote)| LogRecord::Vote {
            slot,
            ballot: vote.ballot,
            entry: vote.value.clone(),
        });
        let unvoted = learner
            .chosen_from(self.durable.next())
            .filter(|(slot, entry)| acceptor.vote(*slot).is_none_or(|vote| vote.value != **entry));
        let chosen = unvoted.map(|(slot, entry)| LogRecord::Chosen { slot, entry: entry.clone() });
        let commit = LogRecord::Commit { through: learner.through() };
        let log = votes.chain(chosen).chain([commit]).map(Record::Log);
        log.chain([Record::State(core.hard_state())]).collect()
    }

    fn is_ahead(&self, position: &Slot) -> bool {
        *position > self.executed
    }

    fn install(&mut self, _: Time, position: &Slot) -> bool {
        let ahead = self.replica.install(*position);
        if ahead {
            self.executed = *position;
            self.durable = *position;
        }
        ahead
    }

    fn standing(&self) -> Standing {
        Standing {
            happy: self.replica.is_happy(),
            leader: self.replica.leads().or(self.replica.leader().filter(|ballot| ballot.node != self.id)),
        }
    }

    fn describe(message: &Message<C>) -> String {
        match message {
            Message::Log(message) => message.to_string(),
            Message::Forward(commands) => format!("forward [{}]", commands.len()),
            Message::Relay(commands) => format!("relay [{}]", commands.len()),
        }
    }
}
