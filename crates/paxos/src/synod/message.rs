//! What the roles say to each other.

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::node::NodeId;

/// Messages of single-decree Paxos. The sender's identity comes with the transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message<V> {
    /// Phase 1a, proposer to acceptors: promise me `ballot`, and tell me what you voted for.
    Prepare {
        /// The proposer's ballot.
        ballot: Ballot,
    },
    /// Phase 1b, acceptor to proposer: nothing below `ballot` will get my vote any more.
    Promise {
        /// The ballot promised.
        ballot: Ballot,
        /// My vote with the highest ballot, which is below `ballot`.
        vote: Option<Vote<V>>,
    },
    /// Phase 2a, proposer to acceptors: vote for `value`.
    Accept {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The only value this ballot ever carries.
        value: V,
    },
    /// Phase 2b, acceptor to proposer and learners: I voted.
    Accepted {
        /// The ballot of the vote.
        ballot: Ballot,
        /// What the vote is for: a learner has not seen the proposal.
        value: V,
    },
    /// Acceptor to proposer: I refuse `ballot`. Never needed for safety.
    Nack {
        /// The ballot refused.
        ballot: Ballot,
        /// The durable promise in its way.
        promised: Ballot,
    },
    /// To a learner, from one who knows: a phase 2 quorum voted for `value` with `ballot`.
    Chosen {
        /// A ballot with which the value was chosen.
        ballot: Ballot,
        /// The value.
        value: V,
    },
    /// Learner to proposer: I cannot tell whether something was chosen. Have a higher ballot run.
    Inquire,
}

impl<V> Message<V> {
    /// Its name, for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Prepare { .. } => "prepare",
            Message::Promise { .. } => "promise",
            Message::Accept { .. } => "accept",
            Message::Accepted { .. } => "accepted",
            Message::Nack { .. } => "nack",
            Message::Chosen { .. } => "chosen",
            Message::Inquire => "inquire",
        }
    }

    /// The ballot it speaks of.
    pub fn ballot(&self) -> Option<Ballot> {
        match self {
            Message::Prepare { ballot }
            | Message::Promise { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Accepted { ballot, .. }
            | Message::Nack { ballot, .. }
            | Message::Chosen { ballot, .. } => Some(*ballot),
            Message::Inquire => None,
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
