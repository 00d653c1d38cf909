//! The threads that write checkpoints and exchange them with other members. Neither delays a vote.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use synod_journal::is_out_of_descriptors;
use synod_member::checkpoint_files::{Checkpoints, Part, ReceiveError};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use tracing::{info, warn};

use crate::applier_loop::ApplierWork;
use crate::clock;
use crate::inbox::CheckpointDone;
use crate::shared::{Shared, StopReason, Trouble};
use crate::voter_loop::Queues;

/// How long to wait when no more files can be opened.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(200);

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
            let written = patiently(shared, Trouble::Checkpoint, || {
                Ok(checkpoints.write(clock::now(), slot, checkpoint.parts())?)
            });
            if !written {
                return;
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
            if !patiently(shared, Trouble::Transfer, || transfer(checkpoints, shared, queues, &item)) {
                return;
            }
        }
    }
}

/// Does `work`, and again as long as no more files can be opened: that passes when others are closed. False if it was
/// not done: the disk failed, which stops the member, or the member is stopping.
fn patiently(shared: &Shared, trouble: Trouble, mut work: impl FnMut() -> Result<(), ReceiveError>) -> bool {
    loop {
        let Err(error) = work() else {
            shared.troubles.set(trouble, None);
            return true;
        };
        if !matches!(&error, ReceiveError::Disk(error) if is_out_of_descriptors(error)) {
            shared.fail(StopReason::Disk(format!("a checkpoint cannot be kept: {}", reason(&error))));
            return false;
        }
        let words = "no more files can be opened (ulimit -n): a checkpoint waits";
        shared.troubles.set(trouble, Some(words.to_owned()));
        if shared.inbox.is_closed() {
            return false;
        }
        std::thread::sleep(DESCRIPTOR_PAUSE);
    }
}

/// With the next step where there is one.
fn reason(error: &ReceiveError) -> String {
    match error {
        ReceiveError::Disk(error) if error.kind() == io::ErrorKind::StorageFull => {
            "the disk is full. Free some space and start the member again".to_owned()
        }
        error => error.to_string(),
    }
}

/// # Errors
/// If the disk failed, or no more files can be opened. That another member sent garbage is none.
fn transfer(
    checkpoints: &Checkpoints,
    shared: &Shared,
    queues: &Queues,
    item: &TransferWork,
) -> Result<(), ReceiveError> {
    match item {
        TransferWork::Read { to, slot, offset } => {
            if let Some(part) = checkpoints.read_part(clock::now(), *slot, *offset)? {
                let Part { slot, offset, length, bytes } = part;
                shared.inbox.checkpoint(CheckpointDone::Part { to: *to, slot, offset, length, bytes });
            }
        }
        TransferWork::Store { slot, offset, bytes } => checkpoints.store_part(*slot, *offset, bytes)?,
        TransferWork::GiveUp => checkpoints.give_up()?,
        TransferWork::Finish { slot, length } => match checkpoints.finish(clock::now(), *slot, *length) {
            Ok(loaded) => {
                info!(%slot, bytes = length, "checkpoint received from another member");
                shared.checkpoint_bytes.store(checkpoints.bytes(), Ordering::Relaxed);
                queues.applier.push(ApplierWork::Install(loaded));
            }
            Err(ReceiveError::Unusable(error)) => {
                warn!(%slot, reason = %error, "a checkpoint from another member cannot be used");
                shared.inbox.checkpoint(CheckpointDone::Refused);
            }
            Err(error) => return Err(error),
        },
    }
    Ok(())
}
