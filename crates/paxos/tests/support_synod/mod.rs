//! A small seeded world for single-decree Paxos: messages lost, delayed, duplicated and reordered, nodes
//! crashed and restarted with exactly what their disks kept. One seed is one history. Every step is checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use synod_paxos::backoff::Backoff;
use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::durable::Token;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::Phase2Quorum;
use synod_paxos::synod::core::Output;
use synod_paxos::synod::message::Message;
use synod_paxos::synod::node::Node;
use synod_paxos::synod::options::{Group, Options};
use synod_paxos::synod::record::Record;
use synod_paxos::time::Time;

/// What may go wrong, in percent or as bounds.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub lose: u64,
    pub duplicate: u64,
    pub delay_max: Duration,
    pub sync_max: Duration,
}

impl Faults {
    pub const NONE: Faults = Faults {
        lose: 0,
        duplicate: 0,
        delay_max: Duration::from_millis(3),
        sync_max: Duration::from_millis(2),
    };
}

/// What is true of all nodes together, seen by somebody who sees everything.
#[derive(Debug)]
pub struct Checker {
    group: Arc<Group>,
    pub proposed: BTreeSet<char>,
    /// Every proposal ever issued: one value per ballot.
    issued: BTreeMap<Ballot, char>,
    /// Votes that lie on disks.
    votes: BTreeMap<Ballot, Phase2Quorum>,
    /// Ballots with which a quorum voted.
    pub chosen: BTreeMap<Ballot, char>,
    /// The highest promise that each acceptor told anybody.
    told: BTreeMap<NodeId, Ballot>,
}

impl Checker {
    fn issue(&mut self, ballot: Ballot, value: char) {
        assert!(self.proposed.contains(&value), "validity: nobody proposed {value}");
        let known = *self.issued.entry(ballot).or_insert(value);
        assert_eq!(known, value, "{ballot} carries two values");
        self.check_p2b();
    }

    fn vote(&mut self, acceptor: NodeId, vote: &Vote<char>) {
        let issued = self.issued.get(&vote.ballot);
        assert_eq!(issued, Some(&vote.value), "{acceptor} voted for what was never proposed");
        let acceptors = self.group.acceptors();
        let votes = self.votes.entry(vote.ballot).or_insert_with(|| acceptors.phase2());
        votes.insert(acceptors, acceptor);
        if votes.is_met() {
            self.chosen.insert(vote.ballot, vote.value);
            self.check_p2b();
        }
    }

    /// P2b, word for word: if a proposal with value v is chosen, then every higher-numbered proposal issued
    /// by any proposer has value v. Agreement follows.
    fn check_p2b(&self) {
        let Some((first, value)) = self.chosen.first_key_value() else { return };
        for (ballot, other) in self.issued.range(first..) {
            assert_eq!(other, value, "{value} was chosen with {first}, and {ballot} carries {other}");
        }
    }

    fn learned(&self, id: NodeId, ballot: Ballot, value: char) {
        assert_eq!(self.chosen.get(&ballot), Some(&value), "{id} learned what was never chosen");
    }

    /// What a node says is on its disk; what an acceptor says never goes back, restarts or not.
    fn said(&mut self, id: NodeId, message: &Message<char>, disk: &[Record<char>]) {
        let promised = match message {
            Message::Prepare { ballot } => {
                assert!(disk.contains(&Record::Used(*ballot)), "{id} prepares {ballot} before it is durable");
                return;
            }
            Message::Accept { ballot, value } => {
                assert!(disk.contains(&Record::Used(*ballot)), "{id} proposes before {ballot} is durable");
                return self.issue(*ballot, *value);
            }
            Message::Promise { ballot, .. } => *ballot,
            Message::Accepted { ballot, value } => {
                let record = Record::Voted(Vote { ballot: *ballot, value: *value });
                assert!(disk.contains(&record), "{id} tells of a vote that is not durable: {record:?}");
                *ballot
            }
            Message::Nack { promised, .. } => *promised,
            Message::Chosen { ballot, value } => return self.learned(id, *ballot, *value),
            Message::Inquire => return,
        };
        let durable = disk.iter().filter_map(promise_in).max();
        assert!(durable >= Some(promised), "{id} says {message:?} and its disk says {durable:?}");
        let told = self.told.entry(id).or_insert(promised);
        assert!(promised >= *told, "{id} says {message:?} after it had promised {told}");
        *told = promised;
    }
}

fn promise_in(record: &Record<char>) -> Option<Ballot> {
    match record {
        Record::Used(_) => None,
        Record::Promised(ballot) => Some(*ballot),
        Record::Voted(vote) => Some(vote.ballot),
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver { to: NodeId, from: NodeId, message: Message<char> },
    Synced { node: NodeId, start: u64, token: Token },
}

#[derive(Debug, Default)]
struct Machine {
    node: Option<Node<char>>,
    starts: u64,
    disk: Vec<Record<char>>,
    unsynced: Vec<(Token, Record<char>)>,
}

/// Nodes, their disks and the network between them.
#[derive(Debug)]
pub struct World {
    group: Arc<Group>,
    options: Options,
    machines: BTreeMap<NodeId, Machine>,
    pub checker: Checker,
    pub faults: Faults,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    scheduled: u64,
    random: Backoff,
    pub starts: u64,
}

impl World {
    pub fn new(group: Group, options: Options, seed: u64) -> World {
        let group = Arc::new(group);
        let acceptors: BTreeSet<NodeId> = group.acceptors().acceptors().collect();
        let ids = &(&acceptors | group.proposers()) | group.learners();
        let checker = Checker {
            group: group.clone(),
            proposed: BTreeSet::new(),
            issued: BTreeMap::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        let mut world = World {
            group,
            options,
            machines: ids.iter().map(|id| (*id, Machine::default())).collect(),
            checker,
            faults: Faults::NONE,
            now: Time::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            random: Backoff::new(seed),
            starts: 0,
        };
        ids.into_iter().for_each(|id| world.start(id));
        world
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from(self.random.between(Duration::ZERO, Duration::from_nanos(bound)).as_nanos())
            .expect("below a bound of 64 bits")
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.machines.keys().copied().collect()
    }

    pub fn is_up(&self, id: NodeId) -> bool {
        self.machines[&id].node.is_some()
    }

    /// What a node that is up knows to be chosen.
    pub fn knows(&self, id: NodeId) -> Option<char> {
        self.machines[&id].node.as_ref().and_then(|node| node.core().chosen()).map(|vote| vote.value)
    }

    fn machine(&mut self, id: NodeId) -> &mut Machine {
        self.machines.get_mut(&id).expect("every node of the group has a machine")
    }

    pub fn start(&mut self, id: NodeId) {
        let (seed, group, options) = (self.below(u64::MAX), self.group.clone(), self.options);
        self.starts += 1;
        let machine = self.machine(id);
        machine.starts += 1;
        machine.node = Some(Node::new(id, group, options, &machine.disk, seed));
    }

    /// The process ends. Of what was not synced, any prefix may have reached the disk.
    pub fn crash(&mut self, id: NodeId) {
        self.machine(id).node = None;
        let unsynced = std::mem::take(&mut self.machine(id).unsynced);
        let kept = self.below(unsynced.len() as u64 + 1) as usize;
        unsynced.into_iter().take(kept).for_each(|(_, record)| self.write(id, record));
    }

    fn write(&mut self, id: NodeId, record: Record<char>) {
        if let Record::Voted(vote) = &record {
            self.checker.vote(id, vote);
        }
        self.machine(id).disk.push(record);
    }

    /// Offers `value` to a node, which may have another or be down.
    pub fn propose(&mut self, id: NodeId, value: char) {
        let now = self.now;
        self.checker.proposed.insert(value);
        self.act(id, |node| {
            let _ = node.propose(now, value);
        });
    }

    pub fn learn(&mut self, id: NodeId) {
        let now = self.now;
        self.act(id, |node| node.learn(now));
    }

    fn act(&mut self, id: NodeId, verb: impl FnOnce(&mut Node<char>)) {
        let Some(node) = self.machine(id).node.as_mut() else { return };
        verb(node);
        let outputs: Vec<Output<char>> = std::iter::from_fn(|| node.poll_output()).collect();
        outputs.into_iter().for_each(|output| self.carry_out(id, output));
    }

    fn carry_out(&mut self, id: NodeId, output: Output<char>) {
        match output {
            Output::Persist { token, records } => {
                for record in &records {
                    if let Record::Voted(vote) = record {
                        // A proposer's message to its own acceptor is seen by nobody else.
                        self.checker.issue(vote.ballot, vote.value);
                    }
                }
                let delay = self.delay(self.faults.sync_max);
                let machine = self.machine(id);
                machine.unsynced.extend(records.into_iter().map(|record| (token, record)));
                let start = machine.starts;
                self.schedule(delay, Event::Synced { node: id, start, token });
            }
            Output::Chosen { ballot, value } => self.checker.learned(id, ballot, value),
            Output::Send { to, message } => {
                self.checker.said(id, &message, &self.machines[&id].disk);
                for to in to {
                    self.post(id, to, &message);
                }
            }
        }
    }

    fn post(&mut self, from: NodeId, to: NodeId, message: &Message<char>) {
        if self.below(100) < self.faults.lose {
            return;
        }
        let copies = 1 + u64::from(self.below(100) < self.faults.duplicate);
        for _ in 0..copies {
            let delay = self.delay(self.faults.delay_max);
            self.schedule(delay, Event::Deliver { to, from, message: message.clone() });
        }
    }

    fn delay(&mut self, max: Duration) -> Duration {
        self.random.between(Duration::from_micros(50), max)
    }

    fn schedule(&mut self, delay: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + delay, self.scheduled, event)));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Deliver { to, from, message } => self.act(to, |node| {
                let handled = node.handle_message(now, from, message);
                assert_eq!(handled, Ok(()), "no node here sends what another rejects");
            }),
            Event::Synced { node: id, start, token } => {
                let machine = self.machine(id);
                if machine.starts != start || machine.node.is_none() {
                    return;
                }
                let later = machine.unsynced.partition_point(|(written, _)| *written <= token);
                let synced: Vec<_> = machine.unsynced.drain(..later).collect();
                synced.into_iter().for_each(|(_, record)| self.write(id, record));
                self.act(id, |node| node.handle_persisted(now, token));
            }
        }
    }

    /// Runs until `done` or for `duration`. Returns whether it is done.
    pub fn run_until(&mut self, duration: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + duration;
        while !done(self) {
            let event = self.events.peek().map(|Reverse((at, _, _))| *at);
            let timeouts = self.machines.iter().filter_map(|(id, machine)| {
                machine.node.as_ref().and_then(Node::next_timeout).map(|at| (at, *id))
            });
            let timeout = timeouts.min();
            let next = event.into_iter().chain(timeout.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            match timeout {
                Some((at, id)) if event.is_none_or(|event| at < event) => {
                    let now = self.now;
                    self.act(id, |node| node.handle_timeout(now));
                }
                _ => {
                    if let Some(Reverse((_, _, event))) = self.events.pop() {
                        self.handle(event);
                    }
                }
            }
        }
        true
    }

    pub fn run(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }
}
