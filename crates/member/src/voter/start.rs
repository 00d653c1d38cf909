//! What a voter is told when it starts, and why it may not start.

use std::time::Duration;

use bytes::Bytes;
use synod_paxos::config::ConfigId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use thiserror::Error;

use crate::codec::DecodeError;
use crate::identity::roster::Roster;
use crate::introduction::Me;

/// What a voter is told when it starts.
#[derive(Clone, Debug)]
pub struct VoterConfig {
    /// What it says of itself and of its disk. Its starts are durable before the voter is made.
    pub me: Me,
    /// The names of all members of the cluster, this one's included.
    pub names: Vec<String>,
    /// The founding roster that its disk holds, if it holds one.
    pub roster: Option<Roster>,
    /// How often members ask each other how they are. Longer than a round trip.
    pub heartbeat_interval: Duration,
    /// How long without a happy leader before a member offers itself; randomised up to twice this.
    pub election_timeout: Duration,
    /// How long a write or a read may wait for its answer.
    pub request_timeout: Duration,
    /// Slots kept in the log below a checkpoint, so that a member only a little behind needs no checkpoint.
    pub slots_retained: u64,
    /// Seed of the back-off's randomness: different on every member and start.
    pub seed: u64,
}

/// What a member's disk held when it started.
#[derive(Clone, Debug, Default)]
pub struct RecoveredVoter {
    /// The state of the newest batch in the journal.
    pub state: Option<Bytes>,
    /// The journal's records, in order.
    pub records: Vec<Bytes>,
    /// The slot of the newest durable checkpoint, `Slot::ZERO` without one.
    pub checkpoint: Slot,
    /// The starts that this checkpoint shows as registered.
    pub registered: Vec<(NodeId, Incarnation)>,
}

/// Why a voter cannot start from what its disk holds or its configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The journal holds votes or promises, and no roster says among whom.
    #[error("the journal holds records of a cluster, but the disk holds no roster")]
    NoRoster,
    /// The journal's state is not one.
    #[error("the state in the journal cannot be read: {0}")]
    State(DecodeError),
    /// A record of the journal is not one.
    #[error("record {index} of the journal cannot be read: {error}")]
    Record {
        /// Counted from 0 in the order of recovery.
        index: usize,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The journal was written in another configuration.
    #[error("the journal belongs to configuration {found}, not {expected}")]
    Config {
        /// What the journal says.
        found: ConfigId,
        /// What the member list says.
        expected: ConfigId,
    },
}
