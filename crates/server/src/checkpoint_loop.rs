//! The threads that write checkpoints and exchange them with other members. Neither delays a vote.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use synod_member::checkpoint_files::{Checkpoints, Part, ReceiveError};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use tracing::{info, warn};

use crate::applier_loop::ApplierWork;
use crate::clock;
use crate::inbox::CheckpointDone;
use crate::shared::{Shared, StopReason};
use crate::voter_loop::Queues;

/// What another member wants, or sent.
#[derive(Debug)]
pub(crate) enum TransferWork {
    /// It wants a part.
    Read { to: NodeId, slot: Option<Slot>, offset: u64 },
    /// It sent a part.
    Store { slot: Slot, offset: u64, bytes: Bytes },
    /// That was the last part.
    Finish { slot: Slot, length: u64 },
    /// No more parts come.
    GiveUp,
}

/// Writes this member's checkpoints until the queue is closed.
pub(crate) fn write_all(checkpoints: &Checkpoints, shared: &Shared, queues: &Queues) {
    let mut work = Vec::new();
    while queues.checkpoints.take(&mut work) {
        for checkpoint in work.drain(..) {
            let slot = checkpoint.slot();
            if let Err(error) = checkpoints.write(clock::now(), slot, checkpoint.parts()) {
                return shared.fail(StopReason::Disk(error.to_string()));
            }
            info!(%slot, bytes = checkpoints.bytes(), "checkpoint written");
            shared.checkpoint_bytes.store(checkpoints.bytes(), Ordering::Relaxed);
            queues.applier.push(ApplierWork::Written(slot));
            shared.inbox.checkpoint(CheckpointDone::Durable(slot));
        }
    }
}

/// Serves and receives parts until the queue is closed.
pub(crate) fn transfer_all(checkpoints: &Checkpoints, shared: &Shared, queues: &Queues) {
    let mut work = Vec::new();
    while queues.transfer.take(&mut work) {
        for item in work.drain(..) {
            if let Err(reason) = transfer(checkpoints, shared, queues, item) {
                return shared.fail(StopReason::Disk(reason));
            }
        }
    }
}

/// # Errors
/// If the disk failed. That another member sent garbage is none.
fn transfer(
    checkpoints: &Checkpoints,
    shared: &Shared,
    queues: &Queues,
    item: TransferWork,
) -> Result<(), String> {
    match item {
        TransferWork::Read { to, slot, offset } => {
            let part =
                checkpoints.read_part(clock::now(), slot, offset).map_err(|error| error.to_string())?;
            if let Some(Part { slot, offset, length, bytes }) = part {
                shared.inbox.checkpoint(CheckpointDone::Part { to, slot, offset, length, bytes });
            }
        }
        TransferWork::Store { slot, offset, bytes } => {
            checkpoints.store_part(slot, offset, &bytes).map_err(|error| error.to_string())?;
        }
        TransferWork::GiveUp => checkpoints.give_up().map_err(|error| error.to_string())?,
        TransferWork::Finish { slot, length } => match checkpoints.finish(clock::now(), slot, length) {
            Ok(loaded) => {
                info!(%slot, bytes = length, "checkpoint received from another member");
                shared.checkpoint_bytes.store(checkpoints.bytes(), Ordering::Relaxed);
                queues.applier.push(ApplierWork::Install(loaded));
            }
            Err(ReceiveError::Unusable(error)) => {
                warn!(%slot, reason = %error, "a checkpoint from another member cannot be used");
                shared.inbox.checkpoint(CheckpointDone::Refused);
            }
            Err(ReceiveError::Disk(error)) => return Err(error.to_string()),
        },
    }
    Ok(())
}
