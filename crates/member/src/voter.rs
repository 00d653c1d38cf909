//! The half of a member that votes.

use std::time::Duration;

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::config::ClusterId;
use synod_paxos::durable::Token;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use thiserror::Error;

use crate::applier::ToApplier;

/// What a voter is told when it starts.
#[derive(Clone, Debug)]
pub struct VoterConfig {
    /// Which cluster it belongs to.
    pub cluster: ClusterId,
    /// Who it is.
    pub id: NodeId,
    /// Which start of this node this is: durable before the voter is made, higher than every earlier one.
    pub incarnation: Incarnation,
    /// All members of the cluster, this one included.
    pub members: Vec<NodeId>,
    /// How often members ask each other how they are. Longer than a round trip.
    pub heartbeat_interval: Duration,
    /// How long without a happy leader before a member offers itself; randomised up to twice this.
    pub election_timeout: Duration,
    /// How long a write or a read may wait for its answer.
    pub request_timeout: Duration,
    /// Seed of the back-off's randomness: different on every member and start.
    pub seed: u64,
}

/// Names a write of this member's clients, from submission to the applier's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// Names a read of this member's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadTicket(pub u64);

/// Why a write was not taken or not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteFailure {
    /// Not taken: too much is in flight, or the applier is too far behind.
    #[error("too many requests are in flight")]
    TooManyRequests,
    /// Not taken: larger than a slot may be.
    #[error("the command is larger than a slot may be")]
    TooLarge,
    /// No answer in time; it may or may not happen.
    #[error("no answer in time, the outcome is unknown")]
    TimedOut,
}

/// Why a read was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadFailure {
    /// Not taken: too many wait.
    #[error("too many reads wait")]
    TooManyRequests,
    /// No leader confirmed it in time.
    #[error("no leader confirmed the read in time")]
    TimedOut,
}

/// What the driver does for the voter. In order, except that sends and disk writes overtake each other freely.
#[derive(Debug)]
pub enum VoterOutput {
    /// Send `frame` to each of `to`. May be lost, delayed or reordered; better not.
    Send {
        /// Which members.
        to: Vec<NodeId>,
        /// Checksummed bytes, without a length prefix.
        frame: Bytes,
    },
    /// Append to the journal, sync, then call `handle_persisted(token)`. Tokens are cumulative.
    Persist {
        /// Names the write.
        token: Token,
        /// The state that the journal repeats in every batch.
        state: Bytes,
        /// The highest slot that a record speaks of.
        mark: u64,
        /// The records.
        records: Vec<Bytes>,
    },
    /// Hand this to the applier, in this order.
    Apply(ToApplier),
    /// The read may be served from a state that has applied `slot`.
    ReadReady {
        /// Which read.
        ticket: ReadTicket,
        /// What must have been applied.
        slot: Slot,
    },
    /// The read will not be confirmed.
    ReadFailed {
        /// Which read.
        ticket: ReadTicket,
        /// Why.
        failure: ReadFailure,
    },
    /// The write will not be confirmed.
    WriteFailed {
        /// Which write.
        sequence: Sequence,
        /// Why.
        failure: WriteFailure,
    },
    /// Read a part of the newest durable checkpoint and answer with `handle_checkpoint_part`.
    ReadCheckpoint {
        /// Who wants it; to be passed back.
        to: NodeId,
        /// The checkpoint wanted, or none for the newest.
        slot: Option<Slot>,
        /// From which byte on.
        offset: u64,
    },
    /// Store a part of a checkpoint that comes from another member, in a file of its own, unsynced.
    /// Offset 0 starts the file afresh.
    StoreCheckpoint {
        /// The checkpoint's slot.
        slot: Slot,
        /// Where the part belongs.
        offset: u64,
        /// The part.
        bytes: Bytes,
    },
    /// The received checkpoint is complete: sync it, give it its final name, check and load it, then call
    /// `handle_checkpoint_received`.
    FinishCheckpoint {
        /// The checkpoint's slot.
        slot: Slot,
        /// Its size in bytes.
        length: u64,
    },
    /// Delete what the journal holds of slots up to this one; a durable checkpoint covers them.
    Truncate {
        /// The last slot no longer needed.
        through: Slot,
    },
    /// A peer sent something that cannot be; count it and log it at most now and then.
    Rejected {
        /// Who sent it.
        from: NodeId,
        /// What was wrong.
        reason: String,
    },
}

/// How the voter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterStatus {
    /// The leader's ballot, if one is known.
    pub leader: Option<Ballot>,
    /// Whether this member believes that it or its leader can make progress.
    pub happy: bool,
    /// The last slot of the chosen prefix.
    pub chosen: Slot,
    /// The last slot truncated from the log.
    pub truncated: Slot,
}

/// One slot as the voter holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Which slot.
    pub slot: Slot,
    /// The store commands in it (encoded), in order; none for a no-op.
    pub commands: Vec<Bytes>,
    /// The ballot of this member's vote, if it voted.
    pub ballot: Option<Ballot>,
    /// Whether it knows the slot to be chosen.
    pub chosen: bool,
}
