//! Receiving another member's checkpoint, part by part.

use std::time::Duration;

use bytes::Bytes;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use synod_probe::mark;

/// Bytes of one part, at most.
pub const PART_BYTES_MAX: u64 = 256 << 10;

/// A part not received by then is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(1000);

/// After so many silent requests the transfer is given up, and the next source tried.
const ATTEMPTS_MAX: u32 = 5;

/// A checkpoint on its way here.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) source: NodeId,
    pub(crate) slot: Option<Slot>,
    received: u64,
    length: u64,
    deadline: Time,
    attempts: u32,
    complete: bool,
}

/// What a part led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not the part that was asked for.
    Ignored,
    /// Store it and ask for the next.
    Stored,
    /// Store it; it was the last.
    Complete,
}

impl Transfer {
    pub(crate) fn start(source: NodeId, now: Time) -> Transfer {
        Transfer {
            source,
            slot: None,
            received: 0,
            length: 0,
            deadline: now + ASK_AGAIN,
            attempts: 0,
            complete: false,
        }
    }

    /// The part to ask for.
    pub(crate) fn wanted(&self) -> (Option<Slot>, u64) {
        (self.slot, self.received)
    }

    pub(crate) fn handle_part(
        &mut self,
        now: Time,
        source: NodeId,
        slot: Slot,
        offset: u64,
        length: u64,
        bytes: &Bytes,
    ) -> Progress {
        if source != self.source || self.complete || bytes.is_empty() {
            return Progress::Ignored;
        }
        if self.slot != Some(slot) {
            // The source has replaced its checkpoint: start over with the newer one.
            if offset != 0 || Some(slot) < self.slot {
                return Progress::Ignored;
            }
            mark!(TransferStartedOver if self.slot.is_some());
            (self.slot, self.received) = (Some(slot), 0);
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != self.received || end > length {
            return Progress::Ignored;
        }
        (self.received, self.length) = (end, length);
        (self.deadline, self.attempts) = (now + ASK_AGAIN, 0);
        self.complete = self.received == self.length;
        if self.complete { Progress::Complete } else { Progress::Stored }
    }

    /// Whether anything of it was stored.
    pub(crate) fn has_begun(&self) -> bool {
        self.received > 0
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.complete).then_some(self.deadline)
    }

    /// Whether the last request has gone unanswered for longer than it should: another source may be better.
    pub(crate) fn is_silent(&self) -> bool {
        self.attempts > 0 && !self.complete
    }

    /// The deadline passed. Returns whether to ask again; otherwise the transfer is given up.
    pub(crate) fn try_again(&mut self, now: Time) -> bool {
        self.attempts += 1;
        self.deadline = now + ASK_AGAIN;
        self.attempts <= ATTEMPTS_MAX
    }
}
