//! What a voter wants done, and what it shows of itself.

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use thiserror::Error;

use crate::applier::ToApplier;
use crate::identity::roster::Roster;

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
    /// Given up in time, and never offered to any leader: it certainly does not happen.
    #[error("no leader to offer the command to")]
    NotOffered,
    /// No answer in time; it may or may not happen.
    #[error("no answer in time, the outcome is unknown")]
    TimedOut,
}

impl WriteFailure {
    /// Whether the write certainly does not happen. Of anything that was offered to a leader that cannot be said.
    pub fn is_refusal(self) -> bool {
        match self {
            WriteFailure::TooManyRequests | WriteFailure::TooLarge | WriteFailure::NotOffered => true,
            WriteFailure::TimedOut => false,
        }
    }
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
    /// Send `frame` to the address of the member called `to`: it says who this process is.
    Introduce {
        /// Which member.
        to: String,
        /// As in `Send`.
        frame: Bytes,
    },
    /// The process at the address of the member called `name` has said where clients reach it.
    Met {
        /// Which member.
        name: String,
        /// Its addresses.
        client_urls: Vec<String>,
    },
    /// Make this founding roster durable, then call `handle_roster_held`.
    HoldRoster(Roster),
    /// The cluster was founded with this roster: checkpoints and the applier need it.
    Founded(Roster),
    /// The cluster refuses this member's disk: stop for good.
    Stop {
        /// In words.
        reason: String,
        /// Whether the disk must remember it, so that no later process starts on it.
        remember: bool,
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
    /// The received checkpoint is complete: sync it, read it back, load it and give it its final name, then call
    /// `handle_checkpoint_received`; or remove it, if it is none, and call `handle_checkpoint_refused`.
    FinishCheckpoint {
        /// The checkpoint's slot.
        slot: Slot,
        /// Its size in bytes.
        length: u64,
    },
    /// No more parts of the checkpoint that is being stored come: remove what there is of it.
    GiveUpCheckpoint,
    /// Delete what the journal holds of slots up to this one; a durable checkpoint covers them.
    Truncate {
        /// The last slot no longer needed.
        through: Slot,
    },
    /// A peer sent something that cannot be; count it and log it at most now and then.
    Rejected {
        /// From the address of which member it came.
        from: String,
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
    /// The founders that founding waits for, with the reason in words; nothing once the cluster is founded.
    pub missing: Vec<(String, String)>,
    /// The peers with which this member does not get on, with the reason in words.
    pub strangers: Vec<(String, String)>,
}

/// One thing in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A process of a member makes itself known, before its first command.
    Register(NodeId, Incarnation),
    /// A command of the store, encoded.
    Store(Bytes),
}

/// One slot as the voter holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Which slot.
    pub slot: Slot,
    /// What is in it, in order; nothing for a no-op.
    pub operations: Vec<Operation>,
    /// The ballot of this member's vote, if it voted.
    pub ballot: Option<Ballot>,
    /// Whether it knows the slot to be chosen.
    pub chosen: bool,
}
