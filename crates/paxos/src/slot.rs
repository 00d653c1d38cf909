//! Slots: the numbered places of the replicated log, each decided by one instance of consensus.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in the log. The first is 1; `Slot::ZERO` means "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u64);

impl Slot {
    /// Before the first slot: what has been chosen, applied or truncated when nothing has.
    pub const ZERO: Slot = Slot(0);

    /// No log gets this far; a peer that speaks of a later slot sends garbage.
    pub const MAX: Slot = Slot(1 << 62);

    /// The slot after this one.
    #[must_use]
    pub const fn next(self) -> Slot {
        assert!(self.0 < u64::MAX, "the log has no slot after the last");
        Slot(self.0 + 1)
    }

    /// The slot before this one.
    #[must_use]
    pub const fn previous(self) -> Slot {
        assert!(self.0 > 0, "there is no slot before the first");
        Slot(self.0 - 1)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}
