//! One way to run any protocol of the family: what a driver sees of a replica.
//!
//! The driver gives commands, messages, finished writes and the time; it takes what [`Protocol::poll_output`] wants
//! done. It knows nothing of ballots and logs: every [`Output::Execute`] is for its state machine, and what it has
//! executed has a [`Protocol::Position`] that it stores with the state, so that the protocol may forget what lies
//! behind.
//!
//! **What is promised of execution.** Commands that interfere are executed in the same order everywhere. Protocols
//! with a log execute all in one order; Egalitarian Paxos only those that interfere. A command may be executed more
//! than once, if it was proposed again: the driver's state machine knows its commands by name.

use std::fmt::{Debug, Display};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ballot::Ballot;
use crate::durable::Token;
use crate::multi::entry::Command;
use crate::node::{Incarnation, NodeId};
use crate::quorum::QuorumError;
use crate::time::Time;

/// What a replica is told when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who it is.
    pub id: NodeId,
    /// Which process of it: one more than any before, durably.
    pub incarnation: Incarnation,
    /// Everybody, itself included.
    pub nodes: Vec<NodeId>,
    /// How long it waits in vain before it does something about it: an election where there are leaders, the recovery of
    /// a command where there are none. At least five round trips.
    pub patience: Duration,
    /// Seed of its random waiting times: another one on every node and start.
    pub seed: u64,
    /// Its clock.
    pub now: Time,
}

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M, R, C> {
    /// Send `message` to each of `to`. It may be lost.
    Send {
        /// Other nodes.
        to: Vec<NodeId>,
        /// What to send.
        message: M,
    },
    /// Write `records` after all earlier ones and sync, then call [`Protocol::handle_persisted`].
    Persist {
        /// Names the write.
        token: Token,
        /// What must not be forgotten.
        records: Vec<R>,
    },
    /// Execute these, in order. [`Protocol::position`] then covers all of them.
    Execute {
        /// Clients' commands: at least one.
        commands: Vec<C>,
    },
    /// The others no longer hold what is missing here: take the state and its position from `from`, make them
    /// durable, and call [`Protocol::install`].
    StateNeeded {
        /// Who has it.
        from: NodeId,
    },
}

/// What a replica wants done, by its protocol.
pub type OutputOf<P> = Output<<P as Protocol>::Message, <P as Protocol>::Record, <P as Protocol>::Command>;

/// How a replica stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it believes that commands proposed here get through.
    pub happy: bool,
    /// The ballot of who leads, as far as it knows; none ever where there are no leaders.
    pub leader: Option<Ballot>,
}

/// A replica of some protocol, with its deadlines.
///
/// The same inputs give the same outputs. After every call, take outputs until there are none.
pub trait Protocol: Debug + Sized {
    /// What clients want executed.
    type Command: Command + Serialize + DeserializeOwned;

    /// What replicas say to each other.
    type Message: Clone + Debug + Serialize + DeserializeOwned;

    /// What must survive a crash.
    type Record: Clone + Debug + PartialEq + Serialize + DeserializeOwned;

    /// How much was executed. The default is: nothing.
    type Position: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned;

    /// Why a message was refused: a peer's garbage or misbehaviour, never a reason to stop.
    type Rejection: Display;

    /// The protocol's name, as users write it.
    const NAME: &'static str;

    /// A replica whose state machine stands at `position`, and which remembers `records`, in the order in which they
    /// were written.
    ///
    /// A record may be among them more than once, and records that `position` covers may be there or not. What was
    /// executed after `position` is executed again.
    ///
    /// # Errors
    /// If the nodes cannot form quorums.
    fn start(start: Start, position: Self::Position, records: Vec<Self::Record>)
    -> Result<Self, QuorumError>;

    /// Has `command` executed everywhere, if it can. At any replica; without any promise.
    fn propose(&mut self, now: Time, command: Self::Command);

    /// The same command again: it has not been executed here for some time, so it may have been lost. A protocol
    /// that knows it to be on its way leaves it at that.
    fn propose_again(&mut self, now: Time, command: Self::Command) {
        self.propose(now, command);
    }

    /// Takes a message of another node.
    ///
    /// # Errors
    /// If no correct node could have sent it. Nothing has changed then.
    fn handle_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Self::Message,
    ) -> Result<(), Self::Rejection>;

    /// Every write up to `token` is durable.
    fn handle_persisted(&mut self, now: Time, token: Token);

    /// When to call [`Protocol::handle_timeout`] at the latest.
    fn next_timeout(&self) -> Option<Time>;

    /// Does what is due.
    fn handle_timeout(&mut self, now: Time);

    /// What to do next, or `None` when there is nothing.
    fn poll_output(&mut self, now: Time) -> Option<OutputOf<Self>>;

    /// What has been executed: everything handed out so far, and what was installed.
    fn position(&self) -> Self::Position;

    /// State and `position`, which was this replica's at some time, are durable: what only serves to execute up to
    /// there need not be held.
    fn truncate(&mut self, position: &Self::Position);

    /// Everything that this replica must not forget beside the durable state it was last told of: a journal that
    /// holds nothing else is as good as one that holds all that was ever written. What is not durable yet may be
    /// among it.
    fn remembered(&self) -> Vec<Self::Record>;

    /// Whether a state at `position` has executed something that was not executed here, and all it lacks would be
    /// executed again.
    fn is_ahead(&self, position: &Self::Position) -> bool;

    /// A state at `position`, which is ahead, is on its way to the disk, where it takes the place of this replica's own.
    fn prepare_install(&mut self, _position: &Self::Position) {}

    /// Another replica's state at `position` is durable here. Returns whether it is ahead: then the state machine is to
    /// be replaced by it before it executes anything else, and otherwise nothing has changed.
    fn install(&mut self, now: Time, position: &Self::Position) -> bool;

    /// How it stands.
    fn standing(&self) -> Standing;

    /// What a message is, in a few words for people.
    fn describe(message: &Self::Message) -> String {
        format!("{message:?}")
    }
}
