//! What nodes say to each other, and what they must not forget.

use serde::{Deserialize, Serialize};
use synod_paxos::node::NodeId;
use thiserror::Error;

use crate::raft::log::{Entry, Position};

/// Messages. Each carries the sender's term, except where said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<C> {
    /// Would you vote for me in `term`? Changes nothing (§9.6).
    PreVote {
        /// The term to come: one above the sender's.
        term: u64,
        /// The end of the sender's log.
        last: Position,
    },
    /// The answer.
    PreVoted {
        /// The term asked about if granted, else the sender's own.
        term: u64,
        /// Whether it would.
        granted: bool,
    },
    /// Vote for me.
    Vote {
        /// The candidate's term.
        term: u64,
        /// The end of its log.
        last: Position,
    },
    /// The answer.
    Voted {
        /// The sender's term.
        term: u64,
        /// Whether it is a vote.
        granted: bool,
    },
    /// Append these; or, with none, I lead.
    Append {
        /// The leader's term.
        term: u64,
        /// What stands in front of them.
        previous: Position,
        /// The entries.
        entries: Vec<Entry<C>>,
        /// The last entry known to be committed.
        commit: u64,
    },
    /// My log matches yours up to `matched`.
    Appended {
        /// The sender's term.
        term: u64,
        /// The last index that matches, durably.
        matched: u64,
    },
    /// My log does not hold what should stand in front of these entries, or the sender is no leader any more.
    Refused {
        /// The sender's term.
        term: u64,
        /// Where the entries were to begin, less one.
        previous: u64,
        /// The end of the sender's log.
        last: u64,
    },
    /// What you need is in my snapshot (§5; the snapshot itself goes another way).
    TakeSnapshot {
        /// The leader's term.
        term: u64,
    },
    /// Commands for the leader. Of no term.
    Forward(Vec<C>),
    /// Commands for the leader from one whom their origin asked, to be passed on no further. Of no term.
    Relay(Vec<C>),
}

/// What must survive a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record<C> {
    /// The current term and the vote in it.
    Term {
        /// The term.
        term: u64,
        /// Whom it voted for.
        voted: Option<NodeId>,
    },
    /// An entry. What stood there or behind is gone.
    Entry {
        /// Where.
        index: u64,
        /// The term of the entry before it.
        previous: u64,
        /// What.
        entry: Entry<C>,
    },
    /// Everything up to here is in a durable snapshot.
    Base(Position),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The sender is no member.
    #[error("{0} is no member")]
    Stranger(NodeId),
    /// A number that nobody can have reached.
    #[error("{0} is beyond any term or index")]
    TooHigh(u64),
}

/// Terms and indexes above this are garbage.
const NUMBER_MAX: u64 = 1 << 62;

impl<C> Message<C> {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Message::PreVote { .. } => "pre-vote",
            Message::PreVoted { .. } => "pre-voted",
            Message::Vote { .. } => "vote",
            Message::Voted { .. } => "voted",
            Message::Append { .. } => "append",
            Message::Appended { .. } => "appended",
            Message::Refused { .. } => "refused",
            Message::TakeSnapshot { .. } => "take-snapshot",
            Message::Forward(_) => "forward",
            Message::Relay(_) => "relay",
        }
    }

    /// The term that its sender is in, if it says so: that of a pre-vote is still to come.
    pub(super) fn term(&self) -> Option<u64> {
        match self {
            Message::PreVote { .. } | Message::PreVoted { granted: true, .. } => None,
            Message::PreVoted { term, .. }
            | Message::Vote { term, .. }
            | Message::Voted { term, .. }
            | Message::Append { term, .. }
            | Message::Appended { term, .. }
            | Message::Refused { term, .. }
            | Message::TakeSnapshot { term } => Some(*term),
            Message::Forward(_) | Message::Relay(_) => None,
        }
    }

    /// # Errors
    /// If a number in it is beyond any.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let highest = match self {
            Message::PreVote { term, last } | Message::Vote { term, last } => {
                (*term).max(last.index).max(last.term)
            }
            Message::Append { term, previous, commit, entries } => {
                let last = entries.last().map_or(0, |entry| entry.term);
                (*term).max(previous.index).max(previous.term).max(*commit).max(last)
            }
            Message::Appended { term, matched } => (*term).max(*matched),
            Message::Refused { term, previous, last } => (*term).max(*previous).max(*last),
            Message::PreVoted { term, .. } | Message::Voted { term, .. } | Message::TakeSnapshot { term } => {
                *term
            }
            Message::Forward(_) | Message::Relay(_) => 0,
        };
        if highest > NUMBER_MAX { Err(Rejection::TooHigh(highest)) } else { Ok(()) }
    }
}
