//! How long everything takes that is no message between nodes.

use super::World;
use crate::program::{Program, Queue};

/// Nanoseconds: at least the first, and up to as many as the second more, mostly much less.
pub type Span = (u64, u64);

/// How fast machines and clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A client's request on its way to its node.
    pub request: Span,
    /// A node's reply on its way to its client.
    pub reply: Span,
    /// One step of the state machine.
    pub apply: Span,
    /// One synced write of the journal.
    pub journal: Span,
    /// One checkpoint.
    pub checkpoint: Span,
    /// One part of a checkpoint on its way.
    pub transfer: Span,
    /// Until a node hears that work is done.
    pub notice: Span,
}

impl Pace {
    /// Machines side by side, whose disks are now and then slow.
    pub const USUAL: Pace = Pace {
        request: (50_000, 1_000_000),
        reply: (50_000, 1_000_000),
        apply: (5_000, 200_000),
        journal: (300_000, 3_000_000),
        checkpoint: (1_000_000, 20_000_000),
        transfer: (200_000, 3_000_000),
        notice: (0, 200_000),
    };

    /// Nothing takes any time but a synced write, which always takes `journal`: what is left is the network's.
    pub const fn steady(journal: u64) -> Pace {
        let (none, disk) = ((0, 0), (journal, 0));
        Pace {
            request: none,
            reply: none,
            apply: none,
            journal: disk,
            checkpoint: disk,
            transfer: disk,
            notice: none,
        }
    }

    pub(super) fn of(&self, queue: Queue) -> Span {
        match queue {
            Queue::Apply => self.apply,
            Queue::Journal => self.journal,
            Queue::Checkpoint => self.checkpoint,
            Queue::Transfer => self.transfer,
        }
    }
}

impl<P: Program> World<P> {
    /// From now on everything takes so long.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }
}
