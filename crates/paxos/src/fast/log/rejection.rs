//! Messages that no correct peer sends here.

use thiserror::Error;

use crate::ballot::Ballot;
use crate::fast::log::message::{Message, Promise, Report};
use crate::fast::round::{Round, Step};
use crate::node::NodeId;
use crate::quorum::QuorumSystem;
use crate::slot::Slot;

/// How far ahead of the chosen prefix a slot may be before it is taken for garbage.
pub const SLOTS_AHEAD_MAX: u64 = 1 << 16;

/// Why a message was refused: a peer's garbage or misbehaviour, never a reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The sender is not in the group.
    #[error("{0} is not in the group")]
    Stranger(NodeId),
    /// Only the owner of a ballot speaks for it.
    #[error("{from} speaks for {ballot}, which is not its own")]
    NotItsBallot {
        /// Who sent it.
        from: NodeId,
        /// The ballot used.
        ballot: Ballot,
    },
    /// A round nobody could have reached, or a ballot of nobody.
    #[error("nobody can have used ballot {0}")]
    ImpossibleBallot(Ballot),
    /// A step of a ballot that the log does not have.
    #[error("{from} voted in {round}: slots have no such round")]
    ImpossibleRound {
        /// Who sent it.
        from: NodeId,
        /// The round.
        round: Round,
    },
    /// A slot that does not exist, or one absurdly far ahead.
    #[error("{slot} is out of reach: chosen through {heard}")]
    SlotOutOfReach {
        /// Which slot.
        slot: Slot,
        /// The last slot anybody said is chosen.
        heard: Slot,
    },
    /// A promise whose contents contradict its ballot or order.
    #[error("the promise of {ballot} by {from} contradicts itself")]
    BadPromise {
        /// Who sent it.
        from: NodeId,
        /// The ballot promised.
        ballot: Ballot,
    },
}

/// Whether a correct node `from` could have sent `message` to one that has heard that everything up to `heard` is chosen.
/// `collecting` is the ballot for which that one collects promises.
pub(super) fn check<C>(
    nodes: &QuorumSystem,
    heard: Slot,
    collecting: Option<Ballot>,
    from: NodeId,
    message: &Message<C>,
) -> Result<(), Rejection> {
    if !nodes.contains(from) {
        return Err(Rejection::Stranger(from));
    }
    let spoken = message.speaks_for();
    if let Some(ballot) = spoken.filter(|ballot| ballot.node != from) {
        return Err(Rejection::NotItsBallot { from, ballot });
    }
    let impossible = |ballot: &Ballot| {
        ballot.round > Ballot::ROUND_MAX || !(ballot.is_zero() || nodes.contains(ballot.node))
    };
    if let Some(ballot) = spoken.or(message.mentions()).filter(impossible) {
        return Err(Rejection::ImpossibleBallot(ballot));
    }
    let (lowest, highest) = message.slots();
    let far = |slot: Slot, from: Slot| slot.0 > from.0.saturating_add(SLOTS_AHEAD_MAX);
    let reach = message.voted().into_iter().max().unwrap_or(Slot::ZERO);
    if highest > Slot::MAX || lowest == Some(Slot::ZERO) || far(reach, heard) {
        return Err(Rejection::SlotOutOfReach { slot: highest, heard });
    }
    match message {
        Message::Accepted { votes } => {
            let wrong = votes.iter().find(|(_, vote)| vote.round.step == Step::Again);
            wrong.map_or(Ok(()), |(_, vote)| Err(Rejection::ImpossibleRound { from, round: vote.round }))
        }
        Message::Any(grant) if grant.to.0.saturating_sub(grant.from.0) > SLOTS_AHEAD_MAX => {
            Err(Rejection::SlotOutOfReach { slot: grant.to, heard })
        }
        Message::Promise(promise) if !is_sound(promise, heard, collecting) => {
            Err(Rejection::BadPromise { from, ballot: promise.ballot })
        }
        _ => Ok(()),
    }
}

fn is_sound<C>(promise: &Promise<C>, heard: Slot, collecting: Option<Ballot>) -> bool {
    let ordered = promise.reports.is_sorted_by(|(a, _), (b, _)| a < b);
    let above = promise
        .reports
        .first()
        .is_none_or(|(slot, _)| *slot >= promise.from && *slot > promise.chosen && *slot != Slot::ZERO);
    let near = promise
        .reports
        .last()
        .is_none_or(|(slot, _)| slot.0 <= promise.chosen.max(heard).0.saturating_add(SLOTS_AHEAD_MAX));
    // A promise repeated after the leader's own proposals reports them; it comes too late to count.
    let late = collecting != Some(promise.ballot);
    let below = promise.reports.iter().all(|(_, report)| match report {
        Report::Vote(vote) => vote.round < Round::open(promise.ballot),
        Report::Chosen(_) => true,
    });
    ordered && above && near && (below || late)
}
