//! The identity of a disk.

use std::fmt;

use synod_paxos::node::NodeId;

/// The identity of a disk: 128 bits drawn at random when its first file is written, derived from nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(u128);

impl DiskId {
    /// The identity made of `random` bits. The node id 0 means "no node" to clients, so it is never used.
    pub fn new(random: u128) -> DiskId {
        DiskId(if random as u64 == 0 { random | 1 } else { random })
    }

    /// All bits.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// The node that this disk makes: its lower 64 bits.
    pub fn node(self) -> NodeId {
        NodeId(self.0 as u64)
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
