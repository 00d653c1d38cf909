//! What runs in the world: one node's program, between a network, a disk and clients.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use synod_journal::MemoryDisk;
use synod_paxos::ballot::Ballot;
use synod_paxos::egalitarian::id::{CommandId, IdSet};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

use crate::clients::Workload;
use crate::history::Answer;
pub use crate::history::Operation;

/// Names a client's operation at the node it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a piece of disk work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// Independent queues of work beside the protocol. Within one, work is done in order; between two, nothing is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// The state machine. It is no disk, but as independent.
    Apply,
    /// The acceptor's memory.
    Journal,
    /// This node's own checkpoints.
    Checkpoint,
    /// Parts of checkpoints to and from other nodes.
    Transfer,
}

/// What a program gets when it starts.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Who it is.
    pub id: NodeId,
    /// Everybody.
    pub nodes: Vec<NodeId>,
    /// Its disk: what the last run of it left there, or an empty or earlier one if that was replaced.
    pub disk: MemoryDisk,
    /// The identity for a disk that has none yet, never zero. The low 64 bits are the machine's address, plus 2^16 for
    /// each time that an empty disk has replaced its disk: those of a first disk are the address.
    pub disk_id: u128,
    /// A random number of this start alone.
    pub nonce: u64,
    /// Its clock.
    pub now: Time,
    /// Seed of its random waiting times, another one at every start.
    pub seed: u64,
}

/// Why a program did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The disk failed, or the process died on the way: to be tried again.
    Disk(String),
    /// What the disk holds was damaged or lost: it refuses to take part, which is right if a fault did that.
    Refused(String),
}

/// What a program wants done. In order, except that sends and disk work overtake each other freely.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send `frame`.
    Send {
        /// To whom.
        to: Vec<NodeId>,
        /// What.
        frame: Bytes,
    },
    /// Call [`Program::work`] with this some time later.
    Work {
        /// In which queue.
        queue: Queue,
        /// Which.
        work: WorkId,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        request: RequestId,
        /// What.
        reply: Reply,
    },
    /// Tell the checkers.
    Fact(Fact),
    /// Stop for good: the program has been refused by its cluster. The machine never starts again on this disk.
    Stop {
        /// Why, for people.
        reason: String,
    },
}

/// What a client is told by a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Answer {
        /// The answer.
        answer: Answer,
        /// The store's revision, where there is one.
        revision: Option<i64>,
    },
    /// Certainly not done.
    Refused,
    /// Perhaps done, perhaps later.
    Unknown,
}

/// A fingerprint of a value or a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u64);

impl Digest {
    /// Of nothing: to add to.
    pub const EMPTY: Digest = Digest(0xcbf2_9ce4_8422_2325);

    /// Of `bytes`, the same on every machine.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut digest = Digest::EMPTY.and(bytes.len() as u64);
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            digest = digest.and(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        for byte in rest {
            digest = digest.and(u64::from(*byte));
        }
        digest
    }

    /// Of this and then `number`.
    #[must_use]
    pub fn and(self, number: u64) -> Digest {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Digest(mixed ^ (mixed >> 29))
    }
}

/// How far a command is at a node, where it has no place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It has no vote there.
    Nothing,
    /// The node voted for what it holds with this ballot, and then perhaps promised higher ones.
    Voted(Ballot),
    /// The node takes what it holds for agreed on.
    Agreed,
}

/// What a node has on its disk of a command that has no place in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which command.
    pub id: CommandId,
    /// Nothing below gets a vote there.
    pub promised: Ballot,
    /// How far it is.
    pub stand: Stand,
    /// Of the command or no-op, and what it depends on.
    pub value: Digest,
    /// Which key the command is about, and whether it only reads; nothing for a no-op.
    pub touches: Option<(Digest, bool)>,
    /// What it depends on.
    pub deps: IdSet,
}

/// What a program knows or did, for the checkers. Programs report what is so; whether it may be is not theirs to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The node may propose `command` because a client asked for it, or to make itself known.
    Proposable {
        /// The command.
        command: Digest,
    },
    /// A promise is durable (again, after a start).
    Promised {
        /// Nothing below will be accepted.
        ballot: Ballot,
    },
    /// A vote is durable (again, after a start).
    Voted {
        /// In which slot; 1 where there is only one.
        slot: Slot,
        /// With which ballot.
        ballot: Ballot,
        /// For what.
        value: Digest,
        /// The clients' commands in it, each proposable by itself.
        commands: Vec<Digest>,
    },
    /// The node claims that this was chosen.
    Chosen {
        /// In which slot.
        slot: Slot,
        /// What.
        value: Digest,
    },
    /// The state machine has applied everything up to `slot`.
    Applied {
        /// The last slot.
        slot: Slot,
        /// Of the whole state then. Not taken in every slot: it is dear.
        state: Option<Digest>,
        /// The state's revision.
        revision: i64,
        /// Whether it came from another node as a whole.
        installed: bool,
    },
    /// The state machine executed a write.
    Executed {
        /// Of which key.
        key: Digest,
        /// How many writes of this key it had executed before.
        index: u64,
        /// What was written, and how.
        write: Digest,
    },
    /// An entry of a log of terms is durable.
    Logged {
        /// Where.
        index: u64,
        /// The term in which it was made.
        term: u64,
        /// The term of the entry before it.
        previous: u64,
        /// What.
        value: Digest,
    },
    /// What the node knows of a command that has no place in a log is durable.
    Knows(Instance),
    /// The node takes the entry at `index` for committed, and all before it.
    Committed {
        /// Where.
        index: u64,
        /// The entry's term.
        term: u64,
        /// The node's own term.
        current: u64,
    },
    /// The node was elected in `term`.
    Elected {
        /// The term.
        term: u64,
        /// Where its log begins, less one.
        base: u64,
        /// The terms of the entries in its log.
        terms: Vec<u64>,
    },
    /// Everything up to `slot` is in a durable checkpoint.
    Checkpointed {
        /// The last slot.
        slot: Slot,
    },
    /// The journal no longer holds `slot` and what is below.
    Truncated {
        /// The last slot.
        slot: Slot,
    },
    /// The command of a client's request is agreed on, and known to be at the node that was asked; it may have to wait
    /// for others before it is executed.
    Decided {
        /// Which request.
        request: RequestId,
    },
    /// The node, just started, remembers exactly this, durably.
    Remembers(Memory),
    /// The node leads with this ballot, or no longer leads.
    Leads {
        /// Its ballot.
        ballot: Option<Ballot>,
    },
    /// The node's disk durably holds the roster of its cluster. Told when it is adopted, and again after each start.
    Roster {
        /// By address, the node id of the disk that belongs there: the low 64 bits of its identity.
        disks: BTreeMap<NodeId, NodeId>,
    },
    /// A peer sent what no correct node sends.
    Rejected {
        /// Who.
        from: NodeId,
        /// What was wrong.
        reason: String,
    },
}

/// What a node remembers when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its promise.
    pub promised: Ballot,
    /// Everything up to here is applied in the checkpoint that it starts from.
    pub checkpoint: Slot,
    /// Its votes above the checkpoint.
    pub votes: Vec<RememberedVote>,
    /// Slots above the checkpoint that it knows to be chosen, vote or not.
    pub chosen: Vec<(Slot, Digest)>,
}

/// A vote found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedVote {
    /// In which slot.
    pub slot: Slot,
    /// With which ballot.
    pub ballot: Ballot,
    /// For what.
    pub value: Digest,
    /// The clients' commands in it.
    pub commands: Vec<Digest>,
}

/// How a node stands, for the checkers of liveness and of bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it believes that it can make progress.
    pub happy: bool,
    /// The last slot applied.
    pub applied: Slot,
    /// The last slot of the chosen prefix.
    pub chosen: Slot,
    /// Everything it keeps for later, in items: waiting requests, unapplied slots, held messages.
    pub queued: usize,
}

/// The program of one node. All times are on the node's own clock.
pub trait Program: Debug + Sized {
    /// What the world is told once for all nodes.
    type Setup: Clone + Debug + Default;

    /// How the nodes of a seed's run are set up.
    fn setup(_seed: u64) -> Self::Setup {
        Self::Setup::default()
    }

    /// Whether a quorum whose nodes all reach each other makes progress, and all of them take part, while nodes
    /// outside it reach some of them or are reached. If not, these are cut off entirely in the end.
    const BEARS_PARTIAL_LINKS: bool = true;

    /// Whether it goes on when its disk was replaced by an empty one, or by an earlier copy. If not, the machine is gone
    /// with its disk.
    const REPLACES_DISKS: bool = false;

    /// What clients ask it for.
    const WORKLOAD: Workload;

    /// The protocol's name.
    const NAME: &'static str;

    /// Starts from what the disk holds. When this returns, everything it will tell others that it remembers is
    /// durable.
    ///
    /// # Errors
    /// If the disk fails, or holds what it must not.
    fn boot(setup: &Self::Setup, boot: Boot) -> Result<Self, BootError>;

    /// A frame arrived.
    fn handle_frame(&mut self, now: Time, from: NodeId, frame: Bytes);

    /// A client asks.
    fn handle_request(&mut self, now: Time, request: RequestId, operation: Operation);

    /// Does disk work, and tells what is durable now. What else follows from it is done in
    /// [`Program::handle_work_done`].
    ///
    /// # Errors
    /// If the disk fails: then the program is stopped, as the driver of a real member stops it.
    fn work(&mut self, now: Time, work: WorkId) -> Result<Vec<Fact>, String>;

    /// The driver tells that the work is done.
    fn handle_work_done(&mut self, now: Time, work: WorkId);

    /// When to call `handle_timeout` at the latest.
    fn next_timeout(&self) -> Option<Time>;

    /// Does what is due.
    fn handle_timeout(&mut self, now: Time);

    /// What to do next.
    fn poll_effect(&mut self) -> Option<Effect>;

    /// How it stands.
    fn standing(&self) -> Standing;

    /// Of the whole state machine, to be compared with other nodes that have applied as much.
    fn state(&self) -> Digest;

    /// Whether it is a member of its cluster: one that waits for the founding, or whose disk the cluster does not know, is
    /// not.
    fn takes_part(&self) -> bool {
        true
    }

    /// Whether it would refuse the node at `of` as rolled back if that came back with `disk`: it has heard from an earlier
    /// process of that disk that more was durable. The disk is a copy, which it may read and change.
    fn tells_rollback(&self, _of: NodeId, _disk: &MemoryDisk) -> bool {
        false
    }

    /// How long a request waits at most before it is answered, whatever happens; `None` if it may wait forever.
    fn request_timeout(_setup: &Self::Setup) -> Option<Duration> {
        None
    }

    /// How long without a happy leader before a node offers itself.
    fn election_timeout(setup: &Self::Setup) -> Duration;

    /// Whether `ballot` is a fast round, in which acceptors may vote differently and a fast quorum chooses.
    fn is_fast(_ballot: Ballot) -> bool {
        false
    }

    /// What a frame is, in a few words for people.
    fn describe(frame: &Bytes) -> String;
}
