//! What must survive a crash.

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::config::ConfigId;
use crate::multi::entry::{Command, Entry};
use crate::slot::Slot;

/// The acceptor's and proposer's memory that every write to disk repeats, so that the newest batch proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HardState {
    /// The configuration it belongs to.
    pub config: ConfigId,
    /// No proposal below this ballot will be accepted, in any slot.
    pub promised: Ballot,
    /// The highest ballot this node has used as a proposer. It is never used for another leadership.
    pub used: Ballot,
    /// The highest slot this node ever voted in.
    pub highest_voted: Slot,
}

impl HardState {
    /// The memory of a node that has done nothing in `config`.
    pub const fn new(config: ConfigId) -> HardState {
        HardState { config, promised: Ballot::ZERO, used: Ballot::ZERO, highest_voted: Slot::ZERO }
    }
}

/// One fact about the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record<C> {
    /// This node voted. The batch that holds the record also holds the promise that the vote implies.
    Vote {
        /// In which slot.
        slot: Slot,
        /// With which ballot.
        ballot: Ballot,
        /// For what.
        entry: Entry<C>,
    },
    /// This node learned from a member that knows it that `entry` was chosen.
    Chosen {
        /// In which slot.
        slot: Slot,
        /// What was chosen.
        entry: Entry<C>,
    },
    /// Every slot up to this one is chosen, and the last vote or chosen record of each holds the value.
    Commit {
        /// The last slot of the chosen prefix.
        through: Slot,
    },
}

/// What a node remembers when it starts again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered<C> {
    /// The newest state on disk, if anything is.
    pub state: Option<HardState>,
    /// Everything up to here is applied in a durable checkpoint; records at or below are ignored.
    pub checkpoint: Slot,
    /// The records in the order in which they were written.
    pub records: Vec<Record<C>>,
}

impl<C: Command> Recovered<C> {
    /// The memory of a node that starts for the first time.
    pub fn nothing() -> Recovered<C> {
        Recovered { state: None, checkpoint: Slot::ZERO, records: Vec::new() }
    }
}
