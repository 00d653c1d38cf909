//! Grants: which slots of a ballot anybody may write in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::slot::Slot;

/// The window of slots that the leader of a ballot has opened to all writers, or that it has none open.
///
/// A slot that was granted stays open in its ballot for ever; a later grant without it only asks writers to leave it.
/// That is why grants need not be durable and may come late, twice or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Whose slots.
    pub ballot: Ballot,
    /// Counts the grants of the ballot: the highest is in force.
    pub number: u64,
    /// The first slot that is open.
    pub from: Slot,
    /// The slot behind the last one that is open; `from` if none is.
    pub to: Slot,
}

impl Grant {
    /// What a ballot begins with: nothing is open.
    pub const fn nothing(ballot: Ballot) -> Grant {
        Grant { ballot, number: 0, from: Slot::ZERO, to: Slot::ZERO }
    }

    /// Whether writers may use any slot.
    pub fn is_open(&self) -> bool {
        self.from < self.to
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_open() {
            write!(f, "{} open {}-{}", self.ballot, self.from, self.to.previous())
        } else {
            write!(f, "{} closed", self.ballot)
        }
    }
}
