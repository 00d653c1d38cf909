//! What replicas of a log say to each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::multi::entry::{Command, Entry};
use crate::node::{Incarnation, NodeId};
use crate::slot::Slot;

/// What an acceptor tells of one slot when it promises. A slot it does not mention it has not voted in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Report<C> {
    /// It knows this value to be chosen.
    Chosen(Entry<C>),
    /// Its highest vote.
    Vote(Vote<Entry<C>>),
}

/// The answer to `Prepare`: never again anything below `ballot`, and what was voted so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Promise<C> {
    /// The ballot promised.
    pub ballot: Ballot,
    /// The first slot it was asked about: the promise counts for none below.
    pub from: Slot,
    /// Every slot up to here is chosen, perhaps truncated: fetch them. Never to be taken for "nothing".
    pub chosen: Slot,
    /// Slots above `chosen`, in order.
    pub reports: Vec<(Slot, Report<C>)>,
}

/// Names a read across members; the incarnation keeps a restarted asker from taking an old answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReadId {
    /// Who asks.
    pub node: NodeId,
    /// Which process of it.
    pub incarnation: Incarnation,
    /// Its count of requests.
    pub number: u64,
}

/// How a member says it is, in answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Health {
    /// Its promise; none while a higher one is on its way to the disk.
    pub promised: Option<Ballot>,
    /// The leader it knows.
    pub leader: Option<Ballot>,
    /// Whether it believes that this leader makes progress.
    pub happy: bool,
    /// The last slot of the chosen prefix that it can serve. In Multi-Paxos even after a crash: what a synced commit
    /// record covers, values included, or a durable checkpoint.
    pub holds: Slot,
    /// The last slot of the prefix that it knows to be chosen, perhaps without the values.
    pub knows: Slot,
    /// The last slot that is gone from its log: below lies its checkpoint.
    pub truncated: Slot,
    /// Whether it should not lead if another can: it needs a checkpoint, or its applier, its disk or its oldest
    /// proposal is too far behind.
    pub stalled: bool,
    /// Whether it may lead and was connected to a phase 1 quorum in its last round.
    pub electable: bool,
}

impl Health {
    /// The highest slot that it speaks of.
    pub fn last_slot(&self) -> Slot {
        self.holds.max(self.knows).max(self.truncated)
    }
}

/// Messages between replicas. The sender's identity comes with the transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message<C> {
    /// Phase 1a for every slot from `from` on.
    Prepare {
        /// The proposer's ballot.
        ballot: Ballot,
        /// The first slot the proposer does not know to be chosen.
        from: Slot,
    },
    /// Phase 1b.
    Promise(Promise<C>),
    /// A refusal of `Prepare` or `Accept`.
    Nack {
        /// The ballot refused.
        ballot: Ballot,
        /// The (durable) promise in its way.
        promised: Ballot,
    },
    /// Phase 2a, with a commit notice.
    Accept {
        /// The leader's ballot.
        ballot: Ballot,
        /// Which slot.
        slot: Slot,
        /// What to vote for.
        entry: Entry<C>,
        /// As in `Commit`.
        commit: Slot,
    },
    /// Phase 2b for several slots.
    Accepted {
        /// The ballot of the votes.
        ballot: Ballot,
        /// The slots voted in.
        slots: Vec<Slot>,
    },
    /// Every slot through `through` is chosen, and in none did the leader propose another value at `ballot`.
    Commit {
        /// The leader's ballot.
        ballot: Ballot,
        /// The last slot of the prefix that the leader knows to be chosen. It need not hold all of it.
        through: Slot,
    },
    /// Asks for chosen values.
    Fetch {
        /// The first slot wanted.
        from: Slot,
    },
    /// Chosen values.
    Fetched {
        /// The first slot asked for.
        from: Slot,
        /// The values of consecutive slots, as many as fit.
        entries: Vec<Entry<C>>,
        /// The last slot of the sender's chosen prefix.
        chosen: Slot,
        /// The last slot the sender no longer holds: below lies its checkpoint.
        truncated: Slot,
    },
    /// How are you?
    Heartbeat {
        /// The asker's round.
        round: u64,
        /// A commit notice, if the asker leads.
        commit: Option<(Ballot, Slot)>,
    },
    /// How I am.
    HeartbeatReply {
        /// The round asked.
        round: u64,
        /// How.
        health: Health,
    },
    /// Would you promise this ballot? Changes nothing.
    PreCheck {
        /// The ballot.
        ballot: Ballot,
    },
    /// Whether I would.
    PreCheckReply {
        /// The ballot asked about.
        ballot: Ballot,
        /// Whether it would be promised.
        granted: bool,
        /// The promise held, so that the asker can go above it.
        promised: Option<Ballot>,
    },
    /// Is your promise still exactly my ballot? Sent after the reads that wait for it arrived.
    Confirm {
        /// The leader's ballot.
        ballot: Ballot,
        /// The leader's count of such rounds.
        round: u64,
    },
    /// It is.
    Confirmed {
        /// The ballot asked about.
        ballot: Ballot,
        /// The round asked.
        round: u64,
    },
    /// From which slot on may this read be answered?
    ReadIndex {
        /// Which read.
        read: ReadId,
    },
    /// From `slot` on; none if the asked does not lead.
    ReadIndexReply {
        /// Which read.
        read: ReadId,
        /// The slot that must have been applied.
        slot: Option<Slot>,
    },
}

impl<C> Message<C> {
    /// Its name, for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Prepare { .. } => "prepare",
            Message::Promise(_) => "promise",
            Message::Nack { .. } => "nack",
            Message::Accept { .. } => "accept",
            Message::Accepted { .. } => "accepted",
            Message::Commit { .. } => "commit",
            Message::Fetch { .. } => "fetch",
            Message::Fetched { .. } => "fetched",
            Message::Heartbeat { .. } => "heartbeat",
            Message::HeartbeatReply { .. } => "heartbeat-reply",
            Message::PreCheck { .. } => "pre-check",
            Message::PreCheckReply { .. } => "pre-check-reply",
            Message::Confirm { .. } => "confirm",
            Message::Confirmed { .. } => "confirmed",
            Message::ReadIndex { .. } => "read-index",
            Message::ReadIndexReply { .. } => "read-index-reply",
        }
    }

    /// The ballot in whose name the sender speaks: it must be its own.
    pub(super) fn speaks_for(&self) -> Option<Ballot> {
        match self {
            Message::Prepare { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::Commit { ballot, .. }
            | Message::PreCheck { ballot }
            | Message::Confirm { ballot, .. } => Some(*ballot),
            Message::Heartbeat { commit, .. } => commit.map(|(ballot, _)| ballot),
            _ => None,
        }
    }

    /// The highest ballot that the sender tells of.
    pub(super) fn mentions(&self) -> Option<Ballot> {
        match self {
            Message::Nack { promised, .. } => Some(*promised),
            Message::HeartbeatReply { health, .. } => health.promised.max(health.leader),
            Message::PreCheckReply { promised, .. } => *promised,
            _ => None,
        }
    }

    /// The lowest slot that must exist, and the highest spoken of.
    pub(super) fn slots(&self) -> (Option<Slot>, Slot) {
        match self {
            Message::Prepare { from, .. } | Message::Fetch { from } => (Some(*from), *from),
            Message::Accept { slot, commit, .. } => (Some(*slot), *slot.max(commit)),
            Message::Commit { through, .. } | Message::Heartbeat { commit: Some((_, through)), .. } => {
                (None, *through)
            }
            Message::Fetched { from, chosen, truncated, entries } => {
                let last = Slot(from.0.saturating_add(entries.len() as u64));
                (Some(*from), last.max(*chosen).max(*truncated))
            }
            Message::HeartbeatReply { health, .. } => (None, health.last_slot()),
            Message::Promise(promise) => {
                let last = promise.reports.last().map_or(Slot::ZERO, |(slot, _)| *slot);
                (Some(promise.from), last.max(promise.chosen).max(promise.from))
            }
            Message::ReadIndexReply { slot: Some(slot), .. } => (None, *slot),
            _ => (None, Slot::ZERO),
        }
    }
}

impl<C: Command> fmt::Display for Message<C> {
    /// In a few words for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Message::Prepare { ballot, from } => write!(f, "{name} {ballot} from {from}"),
            Message::Promise(promise) => write!(f, "{name} {}", promise.ballot),
            Message::Nack { ballot, promised } => write!(f, "{name} {ballot}, promised {promised}"),
            Message::Accept { ballot, slot, entry, .. } => write!(f, "{name} {ballot} {slot} {entry}"),
            Message::Accepted { ballot, slots } => match (slots.first(), slots.last()) {
                (Some(first), Some(last)) if first == last => write!(f, "{name} {ballot} {first}"),
                (Some(first), Some(last)) => write!(f, "{name} {ballot} {first}-{last}"),
                _ => write!(f, "{name} {ballot}"),
            },
            Message::Commit { ballot, through } => write!(f, "{name} {ballot} through {through}"),
            Message::Fetch { from } => write!(f, "{name} from {from}"),
            Message::Fetched { from, entries, .. } => write!(f, "{name} {} from {from}", entries.len()),
            Message::Heartbeat { round, .. } | Message::HeartbeatReply { round, .. } => {
                write!(f, "{name} {round}")
            }
            Message::PreCheck { ballot } => write!(f, "{name} {ballot}"),
            Message::PreCheckReply { ballot, granted, .. } => {
                write!(f, "{name} {ballot} {}", if *granted { "yes" } else { "no" })
            }
            Message::Confirm { ballot, round } | Message::Confirmed { ballot, round } => {
                write!(f, "{name} {ballot} round {round}")
            }
            Message::ReadIndex { .. } => f.write_str(name),
            Message::ReadIndexReply { slot: Some(slot), .. } => write!(f, "{name} {slot}"),
            Message::ReadIndexReply { slot: None, .. } => write!(f, "{name} none"),
        }
    }
}
