//! Which cluster and which configuration of it a message or a record belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a cluster, agreed when it is founded. Members of two clusters refuse each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The number of a configuration: who the acceptors are. The first is 1. Votes and promises of two
/// configurations never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigId(pub u64);

impl ConfigId {
    /// The configuration a cluster is founded with.
    pub const FIRST: ConfigId = ConfigId(1);
}

impl fmt::Display for ConfigId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}
