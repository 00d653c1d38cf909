//! Messages that no correct peer sends here.

use thiserror::Error;

use crate::ballot::Ballot;
use crate::node::NodeId;
use crate::synod::message::Message;
use crate::synod::options::Group;

/// Why a message was not looked at. The sender, the transport or somebody's settings are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// Only acceptors promise, vote and refuse.
    #[error("{from} sent {message} but is no acceptor")]
    NotAnAcceptor {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
    },
    /// Only proposers ask for promises and votes.
    #[error("{from} sent {message} but is no proposer")]
    NotAProposer {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
    },
    /// Only learners ask what was chosen; only learners and proposers know.
    #[error("{from} sent {message} but has no role that does")]
    NotALearner {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
    },
    /// This node does not play the role that the message is for.
    #[error("{node} got {message} but does not play the role it is for")]
    NotMyRole {
        /// This node.
        node: NodeId,
        /// The message's name.
        message: &'static str,
    },
    /// A proposer asks with its own ballots only.
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
    /// A round that nobody can have reached, or that nobody uses.
    #[error("{from} sent {message} with {ballot}: rounds go from 1 to {}", Ballot::ROUND_MAX)]
    ImpossibleRound {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// A ballot of a node that does not propose.
    #[error("{from} sent {message} with {ballot}, whose owner is no proposer")]
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
        /// The ballot of the vote.
        vote: Ballot,
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

/// Whether a correct node `from` could have sent `message` to `node`.
pub(super) fn check<V>(
    group: &Group,
    node: NodeId,
    from: NodeId,
    message: &Message<V>,
) -> Result<(), Rejection> {
    check_roles(group, node, from, message)?;
    check_ballots(group, from, message)?;
    let name = message.name();
    match message {
        Message::Prepare { ballot } | Message::Accept { ballot, .. } if ballot.node != from => {
            Err(Rejection::NotItsBallot { from, message: name, ballot: *ballot })
        }
        Message::Promise { ballot, .. } | Message::Nack { ballot, .. } if ballot.node != node => {
            Err(Rejection::NeverAsked { from, message: name, ballot: *ballot })
        }
        Message::Promise { ballot, vote: Some(vote) } if vote.ballot >= *ballot => {
            Err(Rejection::VoteNotBelow { from, ballot: *ballot, vote: vote.ballot })
        }
        Message::Nack { ballot, promised } if promised <= ballot => {
            Err(Rejection::NackWithoutReason { from, ballot: *ballot, promised: *promised })
        }
        _ => Ok(()),
    }
}

fn check_roles<V>(group: &Group, node: NodeId, from: NodeId, message: &Message<V>) -> Result<(), Rejection> {
    let name = message.name();
    let proposes = |node: NodeId| group.proposers().contains(&node);
    let learns = |node: NodeId| group.learners().contains(&node);
    let mine = match message {
        Message::Prepare { .. } | Message::Accept { .. } => group.acceptors().contains(node),
        Message::Promise { .. } | Message::Nack { .. } | Message::Inquire => proposes(node),
        Message::Accepted { ballot, .. } => learns(node) || (proposes(node) && ballot.node == node),
        Message::Chosen { .. } => learns(node) || proposes(node),
    };
    match message {
        Message::Prepare { .. } | Message::Accept { .. } if !proposes(from) => {
            Err(Rejection::NotAProposer { from, message: name })
        }
        Message::Promise { .. } | Message::Accepted { .. } | Message::Nack { .. }
            if !group.acceptors().contains(from) =>
        {
            Err(Rejection::NotAnAcceptor { from, message: name })
        }
        Message::Inquire if !learns(from) => Err(Rejection::NotALearner { from, message: name }),
        Message::Chosen { .. } if !learns(from) && !proposes(from) => {
            Err(Rejection::NotALearner { from, message: name })
        }
        _ if !mine => Err(Rejection::NotMyRole { node, message: name }),
        _ => Ok(()),
    }
}

/// Every ballot must be one that somebody may have used.
fn check_ballots<V>(group: &Group, from: NodeId, message: &Message<V>) -> Result<(), Rejection> {
    let second = match message {
        Message::Promise { vote: Some(vote), .. } => Some(vote.ballot),
        Message::Nack { promised, .. } => Some(*promised),
        _ => None,
    };
    for ballot in message.ballot().into_iter().chain(second) {
        if !(1..=Ballot::ROUND_MAX).contains(&ballot.round) {
            return Err(Rejection::ImpossibleRound { from, message: message.name(), ballot });
        }
        if !group.proposers().contains(&ballot.node) {
            return Err(Rejection::NobodysBallot { from, message: message.name(), ballot });
        }
    }
    Ok(())
}
