//! One node: its term, its log, its role, and what waits for the disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use synod_paxos::backoff::Backoff;
use synod_paxos::durable::Token;
use synod_paxos::multi::entry::Command;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::Output;
use synod_paxos::time::Time;
use synod_probe::mutant;

use crate::raft::log::{Log, Position};
use crate::raft::message::{Message, Record};

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// It follows a leader, or waits for one.
    Follower { leader: Option<NodeId> },
    /// It asks whether it would be elected.
    PreCandidate { granted: BTreeSet<NodeId> },
    /// It asks for votes.
    Candidate { granted: BTreeSet<NodeId> },
    /// It leads.
    Leader { followers: BTreeMap<NodeId, Progress> },
}

/// What a leader knows of a follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// What to send next.
    pub(super) next: u64,
    /// Up to here the logs match, durably.
    pub(super) matched: u64,
    /// `matched` at the last heartbeat: if it has not moved since, something was lost.
    pub(super) seen: u64,
    /// Where its log departs from the leader's is not known, or something was lost: one message at a time.
    pub(super) probing: bool,
    /// When it last answered.
    pub(super) answered: Time,
}

/// A node of Raft.
#[derive(Debug)]
pub struct Raft<C> {
    pub(super) id: NodeId,
    pub(super) nodes: Vec<NodeId>,
    pub(super) patience: Duration,
    pub(super) backoff: Backoff,
    pub(super) term: u64,
    pub(super) voted: Option<NodeId>,
    pub(super) log: Log<C>,
    pub(super) commit: u64,
    pub(super) executed: Position,
    /// What a durable snapshot covers.
    pub(super) snapshot: Position,
    pub(super) role: Role,
    /// When a follower or candidate begins an election, and a leader sends heartbeats.
    pub(super) deadline: Time,
    /// When a leader was last heard of.
    pub(super) heard: Option<Time>,
    /// Commands that no leader was given yet.
    pub(super) offered: VecDeque<C>,
    issued: Token,
    durable: Token,
    /// Whether the write that is being gathered has begun.
    open: bool,
    records: Vec<Record<C>>,
    /// The last index of each write under way.
    ends: VecDeque<(Token, u64)>,
    /// Up to here this node's own log is durable.
    pub(super) own_durable: u64,
    held: VecDeque<(Token, NodeId, Message<C>)>,
    pub(super) out: VecDeque<Output<Message<C>, Record<C>, C>>,
}

impl<C: Command> Raft<C> {
    /// A node that remembers this.
    #[expect(clippy::too_many_arguments, reason = "all that a node is made of, named, once")]
    pub(super) fn new(
        id: NodeId,
        nodes: Vec<NodeId>,
        patience: Duration,
        seed: u64,
        now: Time,
        term: u64,
        voted: Option<NodeId>,
        log: Log<C>,
        position: Position,
    ) -> Raft<C> {
        let mut backoff = Backoff::new(seed);
        let deadline = now + backoff.between(patience / 5, patience);
        Raft {
            id,
            nodes,
            patience,
            backoff,
            term,
            voted,
            own_durable: log.last().index,
            log,
            commit: position.index,
            executed: position,
            snapshot: position,
            role: Role::Follower { leader: None },
            deadline,
            heard: None,
            offered: VecDeque::new(),
            issued: Token(0),
            durable: Token(0),
            open: false,
            records: Vec::new(),
            ends: VecDeque::new(),
            held: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The log.
    pub fn log(&self) -> &Log<C> {
        &self.log
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// The leader that it follows, perhaps itself.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader } => *leader,
            Role::Leader { .. } => Some(self.id),
            Role::PreCandidate { .. } | Role::Candidate { .. } => None,
        }
    }

    pub(super) fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    pub(super) fn others(&self) -> Vec<NodeId> {
        self.nodes.iter().copied().filter(|node| *node != self.id).collect()
    }

    /// A random time between one patience and two.
    pub(super) fn put_off(&mut self, now: Time) {
        self.deadline = now + self.backoff.between(self.patience, self.patience * 2);
    }

    /// Enters a later term, or settles its vote in this one.
    pub(super) fn set_term(&mut self, term: u64, voted: Option<NodeId>) {
        (self.term, self.voted) = (term, voted);
        self.record(Record::Term { term, voted });
    }

    // ---- durability -------------------------------------------------------------------------------

    pub(super) fn record(&mut self, record: Record<C>) {
        self.open = true;
        self.records.push(record);
    }

    /// Sends `message` once everything that this node has decided so far is durable.
    pub(super) fn hold(&mut self, to: NodeId, message: Message<C>) {
        let token = if self.open { Token(self.issued.0 + 1) } else { self.issued };
        if to != self.id && (token <= self.durable || mutant!(ReplyBeforeWrite)) {
            self.send(vec![to], message);
        } else {
            self.held.push_back((token, to, message));
        }
    }

    /// Sends `message` at once: it reveals nothing that could be forgotten.
    pub(super) fn send(&mut self, to: Vec<NodeId>, message: Message<C>) {
        if !to.is_empty() {
            self.out.push_back(Output::Send { to, message });
        }
    }

    /// The write that was gathered since the last one.
    pub(super) fn flush(&mut self) {
        if self.open {
            self.open = false;
            self.issued.0 += 1;
            self.ends.push_back((self.issued, self.log.last().index));
            let records = std::mem::take(&mut self.records);
            self.out.push_back(Output::Persist { token: self.issued, records });
        }
    }

    /// Writes up to `token` are durable. Returns the messages of this node to itself that waited for that.
    pub(super) fn release(&mut self, token: Token) -> Vec<Message<C>> {
        assert!(token <= self.issued, "{token:?} was never issued (last: {:?})", self.issued);
        self.durable = self.durable.max(token);
        while let Some((_, end)) = self.ends.pop_front_if(|(waiting, _)| *waiting <= token) {
            // A later write may already have replaced the end of what this one held.
            self.own_durable = end.min(self.log.last().index);
        }
        let mut own = Vec::new();
        while let Some((_, to, message)) = self.held.pop_front_if(|(waiting, ..)| *waiting <= token) {
            if to == self.id {
                own.push(message);
            } else {
                self.send(vec![to], message);
            }
        }
        own
    }
}
