//! The half of a member that applies what was chosen.

use bytes::Bytes;
use synod_paxos::slot::Slot;
use synod_store::response::Applied;
use synod_store::View;

use crate::voter::Sequence;

/// What the voter hands to the applier, in order. Opaque to the driver.
#[derive(Debug)]
pub struct ToApplier {}

/// What the driver does for the applier.
#[derive(Debug)]
pub enum ApplierOutput {
    /// A write of this member's clients was applied.
    Reply {
        /// Which write.
        sequence: Sequence,
        /// In which slot.
        slot: Slot,
        /// The store's answer.
        applied: Applied,
    },
    /// A write of this member's clients was applied in a state that came as a checkpoint: it happened, or
    /// not, and its answer is lost.
    ReplyUnknown {
        /// Which write.
        sequence: Sequence,
    },
    /// Everything up to `slot` is applied: tell the voter with `handle_applied`, wake readers.
    Applied {
        /// The last slot applied.
        slot: Slot,
    },
    /// Write this checkpoint in the background: stream the parts to a new file, sync, give it its final
    /// name, sync the directory, then tell the voter with `handle_checkpoint_durable` and call
    /// [`Applier::handle_checkpoint_written`]. Later checkpoints wait until then.
    WriteCheckpoint(Checkpoint),
}

/// A state of a member at one slot, as bytes to be written. Holds an immutable view: writing it stops nothing.
#[derive(Debug)]
pub struct Checkpoint {
    slot: Slot,
    view: View,
}

impl Checkpoint {
    /// The last slot applied in it.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Its parts in order, each of moderate size.
    pub fn parts(&self) -> impl Iterator<Item = Bytes> + '_ {
        let _ = &self.view;
        std::iter::empty()
    }
}
