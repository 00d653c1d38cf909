//! The applier's thread: chosen slots go in, answers to clients come out.

use std::sync::atomic::Ordering;

use synod_member::applier::{ApplierOutput, ToApplier};
use synod_member::checkpoint::LoadedCheckpoint;
use synod_member::identity::roster::Roster;
use synod_paxos::slot::Slot;

use crate::handle::{WriteError, Written};
use crate::inbox::CheckpointDone;
use crate::shared::Shared;
use crate::voter_loop::Queues;

/// What the applier is given.
#[derive(Debug)]
pub(crate) enum ApplierWork {
    /// A chosen slot.
    Apply(ToApplier),
    /// Its checkpoint is on disk.
    Written(Slot),
    /// The cluster was founded with this roster. It comes before the first slot.
    Found(Roster),
    /// A state from another member, on disk already.
    Install(LoadedCheckpoint),
}

/// Runs until the queue is closed.
pub(crate) fn run(shared: &Shared, queues: &Queues) {
    let (mut work, mut outputs) = (Vec::new(), Vec::new());
    while queues.applier.take(&mut work) {
        for item in work.drain(..) {
            let installed = {
                // One item at a time: readers who want a view wait no longer than one slot takes.
                let mut applier = shared.applier.lock();
                let installed = match item {
                    ApplierWork::Apply(item) => {
                        applier.handle(item);
                        None
                    }
                    ApplierWork::Written(slot) => {
                        applier.handle_checkpoint_written(slot);
                        None
                    }
                    ApplierWork::Found(roster) => {
                        applier.found(roster);
                        None
                    }
                    ApplierWork::Install(loaded) => {
                        let slot = loaded.slot();
                        applier.install(loaded);
                        Some(slot)
                    }
                };
                outputs.extend(std::iter::from_fn(|| applier.poll_output()));
                installed
            };
            for output in outputs.drain(..) {
                carry_out(shared, queues, output);
            }
            // Slots above it reach this queue only after the voter has heard of it, so none overtakes it.
            if let Some(slot) = installed {
                shared.inbox.checkpoint(CheckpointDone::Received(slot));
            }
        }
    }
}

fn carry_out(shared: &Shared, queues: &Queues, output: ApplierOutput) {
    match output {
        ApplierOutput::Reply { sequence, slot, applied } => {
            let round = shared.round.load(Ordering::Relaxed);
            shared.waiters.answer(sequence, Ok(Written { applied, slot, round }));
        }
        ApplierOutput::ReplyUnknown { sequence } => {
            shared.waiters.answer(sequence, Err(WriteError::Unknown));
        }
        ApplierOutput::Registered { node, incarnation } => shared.inbox.registered(node, incarnation),
        ApplierOutput::Applied { slot } => {
            shared.applied.send_replace(slot);
            shared.inbox.applied(slot);
        }
        ApplierOutput::WriteCheckpoint(checkpoint) => queues.checkpoints.push(checkpoint),
    }
}
