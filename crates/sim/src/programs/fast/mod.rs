//! A node of Fast Paxos with a journal: one decision, for ever.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use synod_journal::{Identity, Journal, OpenError};
use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::fast::core::Output;
use synod_paxos::fast::message::Message;
use synod_paxos::fast::node::Node;
use synod_paxos::fast::options::{Options, Recovery};
use synod_paxos::fast::record::Record;
use synod_paxos::fast::round::{Round, Step, Vote};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

use crate::clients::Workload;
use crate::history::{Answer, Operation};
use crate::program::{
    Boot, BootError, Digest, Effect, Fact, Memory, Program, Queue, RememberedVote, Reply, RequestId,
    Standing, WorkId,
};

/// The only slot there is.
const SLOT: Slot = Slot(1);

/// A node that plays every role.
#[derive(Debug)]
pub struct Fast {
    node: Node<String>,
    journal: Journal,
    /// Writes that wait for the journal, and those done that were not reported.
    writes: BTreeMap<WorkId, (Token, Vec<Record<String>>)>,
    done: BTreeMap<WorkId, Token>,
    next_work: u64,
    waiting: Vec<RequestId>,
    out: VecDeque<Effect>,
}

fn digest(value: &str) -> Digest {
    Digest::of(value.as_bytes())
}

/// A round as the checkers know it: a ballot, in the same order.
pub(super) fn numbered(round: Round) -> Ballot {
    let step = match round.step {
        Step::Open => 0,
        Step::Again => 1,
        Step::Closed => 2,
    };
    Ballot::new(round.ballot.round, NodeId(round.ballot.node.0 * STEPS + step))
}

/// Rounds of one ballot.
const STEPS: u64 = 3;

/// Whether it is the number of a fast round.
pub(super) fn is_fast(ballot: Ballot) -> bool {
    ballot.node.0 % STEPS != 2
}

/// What the records leave in force.
fn memory(records: &[Record<String>]) -> Memory {
    let (mut promised, mut vote) = (Ballot::ZERO, None);
    for record in records {
        match record {
            Record::Used(_) => {}
            Record::Promised(ballot) => promised = promised.max(numbered(Round::open(*ballot))),
            Record::Voted(voted) => {
                let (ballot, value) = (numbered(voted.round), digest(&voted.value));
                promised = promised.max(ballot);
                vote = Some(RememberedVote { slot: SLOT, ballot, value, commands: vec![value] });
            }
        }
    }
    Memory { promised, checkpoint: Slot::ZERO, votes: vote.into_iter().collect(), chosen: Vec::new() }
}

impl Program for Fast {
    /// All nodes' choices; if `None`, every other one recovers without its coordinator.
    type Setup = Option<Options>;

    const WORKLOAD: Workload = Workload::Decree;

    const NAME: &'static str = "fast";

    fn boot(setup: &Option<Options>, boot: Boot) -> Result<Fast, BootError> {
        let identity = Identity { cluster: 1, node: boot.id.0 };
        let opened = Journal::open(boot.disk, identity, synod_journal::Options::default());
        let (journal, recovered) = opened.map_err(|error| match error {
            OpenError::Io { .. } | OpenError::Write(_) => BootError::Disk(error.to_string()),
            _ => BootError::Refused(error.to_string()),
        })?;
        let records: Option<Vec<_>> =
            recovered.records.iter().map(|record| serde_json::from_slice(record).ok()).collect();
        let records = records.ok_or_else(|| BootError::Refused("a record cannot be read".to_owned()))?;
        let quorums =
            FastQuorumSystem::majority(boot.nodes).map_err(|error| BootError::Refused(error.to_string()))?;
        let memory = memory(&records);
        // Coordinators need not agree on how they recover: here they differ.
        let recovery = if boot.id.0 % 2 == 1 { Recovery::Uncoordinated } else { Recovery::Coordinated };
        let options = setup.unwrap_or(Options { recovery, ..Options::default() });
        let mut node = Node::new(boot.id, Arc::new(quorums), options, &records, boot.seed);
        // It cannot know what was chosen while it was away, or whether every message to it is lost.
        node.learn(boot.now);
        Ok(Fast {
            node,
            journal,
            writes: BTreeMap::new(),
            done: BTreeMap::new(),
            next_work: 0,
            waiting: Vec::new(),
            out: VecDeque::from([Effect::Fact(Fact::Remembers(memory))]),
        })
    }

    fn handle_frame(&mut self, now: Time, from: NodeId, frame: Bytes) {
        let reason = match decode(&frame) {
            Some(message) => match self.node.handle_message(now, from, message) {
                Ok(()) => return,
                Err(rejection) => rejection.to_string(),
            },
            None => "it cannot be read".to_owned(),
        };
        self.out.push_back(Effect::Fact(Fact::Rejected { from, reason }));
    }

    fn handle_request(&mut self, now: Time, request: RequestId, operation: Operation) {
        let Operation::Propose { value } = operation else {
            return self.out.push_back(Effect::Reply { request, reply: Reply::Refused });
        };
        self.waiting.push(request);
        if self.node.core().chosen().is_some() {
            return self.answer();
        }
        let command = digest(&value);
        // A node with a candidate of its own has that one chosen, or another's.
        if self.node.propose(now, value).is_ok() {
            self.out.push_back(Effect::Fact(Fact::Proposable { command }));
        }
    }

    fn work(&mut self, _: Time, work: WorkId) -> Result<Vec<Fact>, String> {
        let (token, records) = self.writes.remove(&work).expect("work is done once");
        let encoded: Vec<Bytes> = records.iter().map(encode).collect();
        self.journal.append(b"", SLOT.0, &encoded);
        self.journal.sync().map_err(|error| error.to_string())?;
        self.done.insert(work, token);
        let facts = records.into_iter().filter_map(|record| match record {
            Record::Used(_) => None,
            Record::Promised(ballot) => Some(Fact::Promised { ballot: numbered(Round::open(ballot)) }),
            Record::Voted(vote) => {
                let (ballot, value) = (numbered(vote.round), digest(&vote.value));
                Some(Fact::Voted { slot: SLOT, ballot, value, commands: vec![value] })
            }
        });
        Ok(facts.collect())
    }

    fn handle_work_done(&mut self, now: Time, work: WorkId) {
        let token = self.done.remove(&work).expect("work is reported once");
        self.node.handle_persisted(now, token);
    }

    fn next_timeout(&self) -> Option<Time> {
        self.node.next_timeout()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.node.handle_timeout(now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(effect) = self.out.pop_front() {
            return Some(effect);
        }
        match self.node.poll_output()? {
            Output::Send { to, message } => {
                return Some(Effect::Send { to, frame: encode(&message) });
            }
            Output::Persist { token, records } => {
                self.next_work += 1;
                let work = WorkId(self.next_work);
                self.writes.insert(work, (token, records));
                return Some(Effect::Work { queue: Queue::Journal, work });
            }
            Output::Chosen(Vote { value, .. }) => {
                let value = digest(&value);
                let applied = Fact::Applied { slot: SLOT, state: Some(value), revision: 1, installed: false };
                self.out.push_back(Effect::Fact(Fact::Chosen { slot: SLOT, value }));
                self.out.push_back(Effect::Fact(applied));
                self.answer();
            }
        }
        self.out.pop_front()
    }

    fn standing(&self) -> Standing {
        let chosen = if self.node.core().chosen().is_some() { SLOT } else { Slot::ZERO };
        // Nobody leads, so nothing is ever in want of a leader.
        Standing { happy: true, applied: chosen, chosen, queued: self.waiting.len() + self.writes.len() }
    }

    fn state(&self) -> Digest {
        self.node.core().chosen().map_or(Digest::EMPTY, |vote| digest(&vote.value))
    }

    fn election_timeout(setup: &Option<Options>) -> Duration {
        setup.unwrap_or_default().patience
    }

    fn is_fast(ballot: Ballot) -> bool {
        is_fast(ballot)
    }

    fn describe(frame: &Bytes) -> String {
        decode(frame).map_or_else(|| "garbage".to_owned(), |message| describe(&message))
    }
}

impl Fast {
    /// The node's program, for scenarios that look into it.
    pub fn node(&self) -> &Node<String> {
        &self.node
    }

    fn answer(&mut self) {
        let Some(chosen) = self.node.core().chosen() else { return };
        for request in self.waiting.drain(..) {
            let answer = Answer::Chosen(chosen.value.clone());
            self.out.push_back(Effect::Reply { request, reply: Reply::Answer { answer, revision: None } });
        }
    }
}

/// Only the simulator sends and stores them like this.
fn encode(something: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(something).expect("messages and records are plain data").into()
}

fn decode(frame: &[u8]) -> Option<Message<String>> {
    serde_json::from_slice(frame).ok()
}

fn describe(message: &Message<String>) -> String {
    let name = message.name();
    match message {
        Message::Propose { value } => format!("{name} {value}"),
        Message::Promise { ballot, vote: Some(vote) } => {
            format!("{name} {ballot}, voted {} {}", vote.round, vote.value)
        }
        Message::Prepare { ballot }
        | Message::Any { ballot, .. }
        | Message::Promise { ballot, vote: None } => {
            format!("{name} {ballot}")
        }
        Message::Accept { ballot, value } => format!("{name} {ballot} {value}"),
        Message::Accepted(vote) | Message::Chosen(vote) => format!("{name} {} {}", vote.round, vote.value),
        Message::Nack { ballot, promised } => format!("{name} {ballot}, promised {promised}"),
        Message::Inquire => name.to_owned(),
    }
}
