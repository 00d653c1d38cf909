//! What replicas of the log say to each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::fast::log::grant::Grant;
use crate::fast::round::Vote;
use crate::multi::entry::{Command, Entry};
use crate::multi::message::Health;
use crate::slot::Slot;

/// What an acceptor tells of one slot when it promises. A slot it does not mention it has not voted in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Report<C> {
    /// It knows this value to be chosen.
    Chosen(Entry<C>),
    /// Its vote with the highest round.
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

/// What a leader tells with its heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lead {
    /// Its ballot, and what it has opened.
    pub grant: Grant,
    /// The last slot of the chosen prefix it knows.
    pub chosen: Slot,
}

/// Messages between replicas. The sender's identity comes with the transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message<C> {
    /// Phase 1a for every slot from `from` on.
    Prepare {
        /// The leader's ballot.
        ballot: Ballot,
        /// The first slot that it does not know to be chosen.
        from: Slot,
    },
    /// Phase 1b.
    Promise(Promise<C>),
    /// A refusal of `Prepare`, `Accept` or `Propose`.
    Nack {
        /// The ballot refused.
        ballot: Ballot,
        /// The durable promise in its way.
        promised: Ballot,
    },
    /// Phase 2a of fast rounds, leader to everybody: in these slots, vote for the first value you get from anybody.
    Any(Grant),
    /// A writer to the acceptors: an entry for each of these slots, which are open in `ballot`.
    Propose {
        /// The ballot whose leader opened the slots.
        ballot: Ballot,
        /// What is to be voted for, if nothing came first.
        entries: Vec<(Slot, Entry<C>)>,
    },
    /// Phase 2a of the classic rounds of these slots.
    Accept {
        /// The leader's ballot.
        ballot: Ballot,
        /// The only values that the classic round of the ballot ever carries there.
        entries: Vec<(Slot, Entry<C>)>,
    },
    /// Phase 2b, to everybody: the sender's votes.
    Accepted {
        /// In which slots, and for what.
        votes: Vec<(Slot, Vote<Entry<C>>)>,
    },
    /// Commands for the leader, or for one who can reach it.
    Forward(Vec<C>),
    /// Commands for the leader from one whom their origin asked. They are passed on no further.
    Relay(Vec<C>),
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
        /// The last slot that the sender no longer holds: its durable state has them.
        truncated: Slot,
    },
    /// How are you?
    Heartbeat {
        /// The asker's round.
        round: u64,
        /// What it says if it leads.
        lead: Option<Lead>,
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
}

impl<C> Message<C> {
    /// Its name, for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Prepare { .. } => "prepare",
            Message::Promise(_) => "promise",
            Message::Nack { .. } => "nack",
            Message::Any(_) => "any",
            Message::Propose { .. } => "propose",
            Message::Accept { .. } => "accept",
            Message::Accepted { .. } => "accepted",
            Message::Forward(_) => "forward",
            Message::Relay(_) => "relay",
            Message::Fetch { .. } => "fetch",
            Message::Fetched { .. } => "fetched",
            Message::Heartbeat { .. } => "heartbeat",
            Message::HeartbeatReply { .. } => "heartbeat-reply",
            Message::PreCheck { .. } => "pre-check",
            Message::PreCheckReply { .. } => "pre-check-reply",
        }
    }

    /// The ballot in whose name the sender speaks: it must be its own.
    pub(super) fn speaks_for(&self) -> Option<Ballot> {
        match self {
            Message::Prepare { ballot, .. }
            | Message::Accept { ballot, .. }
            | Message::PreCheck { ballot } => Some(*ballot),
            Message::Any(grant) => Some(grant.ballot),
            Message::Heartbeat { lead, .. } => lead.map(|lead| lead.grant.ballot),
            _ => None,
        }
    }

    /// The highest ballot that the sender tells of.
    pub(super) fn mentions(&self) -> Option<Ballot> {
        match self {
            Message::Nack { promised, .. } => Some(*promised),
            Message::Propose { ballot, .. } => Some(*ballot),
            Message::Accepted { votes } => votes.iter().map(|(_, vote)| vote.round.ballot).max(),
            Message::HeartbeatReply { health, .. } => health.promised.max(health.leader),
            Message::PreCheckReply { promised, .. } => *promised,
            _ => None,
        }
    }

    /// The slots that somebody is to vote in, or has voted in.
    pub(super) fn voted(&self) -> Vec<Slot> {
        match self {
            Message::Propose { entries, .. } | Message::Accept { entries, .. } => {
                entries.iter().map(|(slot, _)| *slot).collect()
            }
            Message::Accepted { votes } => votes.iter().map(|(slot, _)| *slot).collect(),
            _ => Vec::new(),
        }
    }

    /// The lowest slot that must exist, and the highest spoken of.
    pub(super) fn slots(&self) -> (Option<Slot>, Slot) {
        match self {
            Message::Prepare { from, .. } | Message::Fetch { from } => (Some(*from), *from),
            Message::Any(grant) => (None, grant.to),
            Message::Heartbeat { lead: Some(lead), .. } => (None, lead.chosen.max(lead.grant.to)),
            Message::Fetched { from, chosen, truncated, entries } => {
                let last = Slot(from.0.saturating_add(entries.len() as u64));
                (Some(*from), last.max(*chosen).max(*truncated))
            }
            Message::HeartbeatReply { health, .. } => (None, health.last_slot()),
            Message::Promise(promise) => {
                let last = promise.reports.last().map_or(Slot::ZERO, |(slot, _)| *slot);
                (Some(promise.from), last.max(promise.chosen).max(promise.from))
            }
            _ => {
                let voted = self.voted();
                (voted.iter().min().copied(), voted.iter().max().copied().unwrap_or(Slot::ZERO))
            }
        }
    }
}

impl<C: Command> fmt::Display for Message<C> {
    /// In a few words for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Message::Prepare { ballot, from } => write!(f, "{name} {ballot} from {from}"),
            Message::Promise(promise) => {
                write!(f, "{name} {}", promise.ballot)?;
                for (slot, report) in &promise.reports {
                    match report {
                        Report::Chosen(entry) => write!(f, ", {slot} chosen {entry}")?,
                        Report::Vote(vote) => write!(f, ", {slot} {} {}", vote.round, vote.value)?,
                    }
                }
                Ok(())
            }
            Message::Nack { ballot, promised } => write!(f, "{name} {ballot}, promised {promised}"),
            Message::Any(grant) => write!(f, "{name} {grant}"),
            Message::Propose { ballot, entries } | Message::Accept { ballot, entries } => {
                write!(f, "{name} {ballot}")?;
                entries.iter().try_for_each(|(slot, entry)| write!(f, " {slot} {entry}"))
            }
            Message::Accepted { votes } => {
                write!(f, "{name}")?;
                votes.iter().try_for_each(|(slot, vote)| write!(f, " {} {slot} {}", vote.round, vote.value))
            }
            Message::Forward(commands) | Message::Relay(commands) => write!(f, "{name} [{}]", commands.len()),
            Message::Fetch { from } => write!(f, "{name} from {from}"),
            Message::Fetched { from, entries, .. } => write!(f, "{name} {} from {from}", entries.len()),
            Message::Heartbeat { round, .. } | Message::HeartbeatReply { round, .. } => {
                write!(f, "{name} {round}")
            }
            Message::PreCheck { ballot } => write!(f, "{name} {ballot}"),
            Message::PreCheckReply { ballot, granted, .. } => {
                write!(f, "{name} {ballot} {}", if *granted { "yes" } else { "no" })
            }
        }
    }
}
