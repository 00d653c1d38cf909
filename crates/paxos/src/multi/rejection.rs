//! Messages that no correct peer sends here.

use thiserror::Error;

use crate::ballot::Ballot;
use crate::membership::Membership;
use crate::multi::message::{Message, Promise, Report};
use crate::node::NodeId;
use crate::slot::Slot;

/// How far ahead of the chosen prefix a slot may be before it is taken for garbage.
pub const SLOTS_AHEAD_MAX: u64 = 1 << 20;

/// Why a message was refused: a peer's garbage or misbehaviour, never a reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The sender is not of this configuration.
    #[error("{0} is no member of this configuration")]
    Stranger(NodeId),
    /// Only the owner of a ballot speaks for it.
    #[error("{from} speaks for {ballot}, which is not its own")]
    NotItsBallot {
        /// Who sent it.
        from: NodeId,
        /// The ballot used.
        ballot: Ballot,
    },
    /// A round nobody could have reached.
    #[error("ballot {0} is beyond any that could have been used")]
    BallotTooHigh(Ballot),
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
    /// A read of somebody who is no member.
    #[error("{from} asks or answers for the reads of {node}, which is no member")]
    StrangersRead {
        /// Who sent it.
        from: NodeId,
        /// Whose read it is.
        node: NodeId,
    },
}

/// Whether a correct node `from` could have sent `message` to one that has heard that everything up to `heard` is chosen.
/// `collecting` is the ballot for which that one collects promises.
pub(super) fn check<C>(
    members: &Membership,
    heard: Slot,
    collecting: Option<Ballot>,
    from: NodeId,
    message: &Message<C>,
) -> Result<(), Rejection> {
    if !members.contains(from) {
        return Err(Rejection::Stranger(from));
    }
    let spoken = message.speaks_for();
    if let Some(ballot) = spoken.filter(|ballot| ballot.node != from) {
        return Err(Rejection::NotItsBallot { from, ballot });
    }
    if let Some(ballot) = spoken.or(message.mentions()).filter(|ballot| ballot.round > Ballot::ROUND_MAX) {
        return Err(Rejection::BallotTooHigh(ballot));
    }
    let (lowest, highest) = message.slots();
    if highest > Slot::MAX || lowest == Some(Slot::ZERO) {
        return Err(Rejection::SlotOutOfReach { slot: highest, heard });
    }
    match message {
        Message::Accept { slot, .. } if is_far(*slot, heard) => {
            Err(Rejection::SlotOutOfReach { slot: *slot, heard })
        }
        Message::Promise(promise) if !is_sound(promise, heard, collecting) => {
            Err(Rejection::BadPromise { from, ballot: promise.ballot })
        }
        Message::ReadIndex { read } | Message::ReadIndexReply { read, .. }
            if !members.contains(read.node) =>
        {
            Err(Rejection::StrangersRead { from, node: read.node })
        }
        _ => Ok(()),
    }
}

fn is_far(slot: Slot, from: Slot) -> bool {
    slot.0 > from.0.saturating_add(SLOTS_AHEAD_MAX)
}

fn is_sound<C>(promise: &Promise<C>, heard: Slot, collecting: Option<Ballot>) -> bool {
    let ordered = promise.reports.is_sorted_by(|(a, _), (b, _)| a < b);
    let above = promise
        .reports
        .first()
        .is_none_or(|(slot, _)| *slot >= promise.from && *slot > promise.chosen && *slot != Slot::ZERO);
    let near = promise.reports.last().is_none_or(|(slot, _)| !is_far(*slot, promise.chosen.max(heard)));
    // A promise repeated after this leader's own proposals reports them; it comes too late to count.
    let late = collecting != Some(promise.ballot);
    let below = promise.reports.iter().all(|(_, report)| match report {
        Report::Vote(vote) => vote.ballot < promise.ballot,
        Report::Chosen(_) => true,
    });
    ordered && above && near && (below || late)
}
