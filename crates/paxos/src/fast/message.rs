//! What the roles say to each other.

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::fast::options::Recovery;
use crate::fast::round::{Round, Vote};
use crate::node::NodeId;

/// Messages of Fast Paxos. The sender's identity comes with the transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message<V> {
    /// Proposer to acceptors: a client wants `value`. In a fast round that is all it takes.
    Propose {
        /// What the client wants.
        value: V,
    },
    /// Phase 1a, coordinator to acceptors: promise me `ballot`, and tell me what you voted for.
    Prepare {
        /// The coordinator's ballot.
        ballot: Ballot,
    },
    /// Phase 1b, acceptor to coordinator: nothing below `ballot` will get my vote any more.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// My vote with the highest round, which is below `ballot`.
        vote: Option<Vote<V>>,
    },
    /// Phase 2a of the fast round of `ballot`, coordinator to acceptors: vote for the first value you get.
    Any {
        /// The coordinator's ballot.
        ballot: Ballot,
        /// What is done about a collision. The same for ever for one ballot.
        recovery: Recovery,
    },
    /// Phase 2a of the classic round of `ballot`, coordinator to acceptors: vote for `value`.
    Accept {
        /// The coordinator's ballot.
        ballot: Ballot,
        /// The only value the classic round of this ballot ever carries.
        value: V,
    },
    /// Phase 2b, acceptor to everybody: I voted.
    Accepted(Vote<V>),
    /// Acceptor to coordinator: I refuse `ballot`. Never needed for safety.
    Nack {
        /// The ballot refused.
        ballot: Ballot,
        /// The durable promise in its way.
        promised: Ballot,
    },
    /// From one who knows: this is chosen. An answer to whoever still tries.
    Chosen(Vote<V>),
    /// To everybody: if you know what was chosen, tell me.
    Inquire,
}

impl<V> Message<V> {
    /// Its name, for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Propose { .. } => "propose",
            Message::Prepare { .. } => "prepare",
            Message::Promise { .. } => "promise",
            Message::Any { .. } => "any",
            Message::Accept { .. } => "accept",
            Message::Accepted(_) => "accepted",
            Message::Nack { .. } => "nack",
            Message::Chosen(_) => "chosen",
            Message::Inquire => "inquire",
        }
    }

    /// The ballot it speaks of.
    pub fn ballot(&self) -> Option<Ballot> {
        match self {
            Message::Propose { .. } | Message::Inquire => None,
            Message::Prepare { ballot }
            | Message::Promise { ballot, .. }
            | Message::Any { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Nack { ballot, .. } => Some(*ballot),
            Message::Accepted(Vote { round: Round { ballot, .. }, .. })
            | Message::Chosen(Vote { round: Round { ballot, .. }, .. }) => Some(*ballot),
        }
    }
}

/// A message and who gets it, the sender itself perhaps among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Letter<V> {
    /// In order, each node once.
    pub to: Vec<NodeId>,
    /// What to send.
    pub message: Message<V>,
}
