//! Messages that no correct peer sends here.

use thiserror::Error;

use crate::ballot::Ballot;
use crate::fast::message::Message;
use crate::fast::round::{Round, Vote};
use crate::node::NodeId;
use crate::quorum::FastQuorumSystem;

/// Why a message was not looked at. The sender, the transport or somebody's settings are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// The sender is not in the group.
    #[error("{from} sent {message} but is not in the group")]
    Stranger {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
    },
    /// A coordinator asks with its own ballots only.
    #[error("{from} sent {message} with {ballot}, which is not its ballot")]
    NotItsBallot {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// An answer to a question that this node never asked.
    #[error("{from} answers {message} to {ballot}, with which this node never asked")]
    NeverAsked {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// A number that nobody can have reached, or that nobody uses.
    #[error("{from} sent {message} with {ballot}: rounds go from 1 to {}", Ballot::ROUND_MAX)]
    ImpossibleRound {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// A ballot of a node that is not in the group.
    #[error("{from} sent {message} with {ballot}, whose owner is not in the group")]
    NobodysBallot {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// A promise reports a vote that is not below the ballot promised.
    #[error("{from} promises {ballot} and reports a vote of {vote}, which is not below")]
    VoteNotBelow {
        /// The sender.
        from: NodeId,
        /// The ballot promised.
        ballot: Ballot,
        /// The round of the vote.
        vote: Round,
    },
    /// A refusal names a promise that does not stand in the way.
    #[error("{from} refuses {ballot} because of {promised}, which is not above")]
    NackWithoutReason {
        /// The sender.
        from: NodeId,
        /// The ballot refused.
        ballot: Ballot,
        /// The promise named.
        promised: Ballot,
    },
}

/// Whether a correct node `from` could have sent `message` to `node`, which has used ballots up to `used`.
pub(super) fn check<V>(
    quorums: &FastQuorumSystem,
    node: NodeId,
    used: Ballot,
    from: NodeId,
    message: &Message<V>,
) -> Result<(), Rejection> {
    let name = message.name();
    if !quorums.classic().contains(from) {
        return Err(Rejection::Stranger { from, message: name });
    }
    check_ballots(quorums, from, message)?;
    match message {
        Message::Prepare { ballot } | Message::Any { ballot, .. } | Message::Accept { ballot, .. }
            if ballot.node != from =>
        {
            Err(Rejection::NotItsBallot { from, message: name, ballot: *ballot })
        }
        Message::Promise { ballot, .. } | Message::Nack { ballot, .. }
            if ballot.node != node || *ballot > used =>
        {
            Err(Rejection::NeverAsked { from, message: name, ballot: *ballot })
        }
        Message::Accepted(Vote { round: Round { ballot, .. }, .. })
            if ballot.node == node && *ballot > used =>
        {
            Err(Rejection::NeverAsked { from, message: name, ballot: *ballot })
        }
        Message::Promise { ballot, vote: Some(vote) } if vote.round >= Round::open(*ballot) => {
            Err(Rejection::VoteNotBelow { from, ballot: *ballot, vote: vote.round })
        }
        Message::Nack { ballot, promised } if promised <= ballot => {
            Err(Rejection::NackWithoutReason { from, ballot: *ballot, promised: *promised })
        }
        _ => Ok(()),
    }
}

/// Every ballot must be one that somebody may have used.
fn check_ballots<V>(quorums: &FastQuorumSystem, from: NodeId, message: &Message<V>) -> Result<(), Rejection> {
    let second = match message {
        Message::Promise { vote: Some(vote), .. } => Some(vote.round.ballot),
        Message::Nack { promised, .. } => Some(*promised),
        _ => None,
    };
    for ballot in message.ballot().into_iter().chain(second) {
        if !(1..=Ballot::ROUND_MAX).contains(&ballot.round) {
            return Err(Rejection::ImpossibleRound { from, message: message.name(), ballot });
        }
        if !quorums.classic().contains(ballot.node) {
            return Err(Rejection::NobodysBallot { from, message: message.name(), ballot });
        }
    }
    Ok(())
}
