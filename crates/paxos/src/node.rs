//! Who takes part: node identities and the incarnations of one node's processes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a node: 64 bits of its disk's. An acceptor that lost its disk is another acceptor, with another
/// identity, not one that forgot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:x}", self.0)
    }
}

/// One start of a node, and so one process of it: durable before that process says anything.
///
/// The number tells earlier processes from later ones. The nonce tells apart two processes that count alike, because
/// one of them runs on a copy of the other's disk: an answer to one is none to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// How many starts this disk has seen, this one included.
    pub start: u64,
    /// Drawn at random for this start.
    pub nonce: u64,
}

impl Incarnation {
    /// The start with this number, where no nonce is drawn.
    pub const fn numbered(start: u64) -> Incarnation {
        Incarnation { start, nonce: 0 }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.start)
    }
}
