//! How much of the chosen prefix a node holds for good: what it can still serve after a crash.

use std::collections::VecDeque;

use crate::durable::Token;
use crate::slot::Slot;

/// What the commit records and checkpoints on this node's disk cover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    /// The last slot that a commit record speaks of, be it on its way to the disk.
    recorded: Slot,
    /// Commit records on their way to the disk.
    writing: VecDeque<(Token, Slot)>,
    durable: Slot,
}

impl Holding {
    /// What was recovered is on the disk.
    pub(super) fn new(recovered: Slot) -> Holding {
        Holding { recorded: recovered, writing: VecDeque::new(), durable: recovered }
    }

    /// The last slot through which everything is held for good.
    pub(super) fn durable(&self) -> Slot {
        self.durable
    }

    /// Whether no commit record speaks of `through` yet.
    pub(super) fn lacks(&self, through: Slot) -> bool {
        self.recorded < through
    }

    /// A commit record of `through` is given to the disk with the write `token`, all values below before it.
    pub(super) fn record(&mut self, token: Token, through: Slot) {
        self.recorded = through;
        self.writing.push_back((token, through));
    }

    /// The disk has everything up to `token`.
    pub(super) fn handle_persisted(&mut self, token: Token) {
        while let Some((_, through)) = self.writing.pop_front_if(|(written, _)| *written <= token) {
            self.durable = self.durable.max(through);
        }
    }

    /// A durable checkpoint covers everything up to `through`.
    pub(super) fn handle_checkpoint(&mut self, through: Slot) {
        self.durable = self.durable.max(through);
    }
}
