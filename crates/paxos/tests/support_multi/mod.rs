//! A small seeded world for replicas of a log: messages lost, delayed, duplicated and reordered, nodes
//! crashed and restarted with exactly what their disks kept. Every step is checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use synod_paxos::backoff::Backoff;
use synod_paxos::ballot::Ballot;
use synod_paxos::config::ConfigId;
use synod_paxos::durable::Token;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::Output;
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::message::Message;
use synod_paxos::multi::reads::Ticket;
use synod_paxos::multi::record::{HardState, Record, Recovered};
use synod_paxos::multi::replica::{Options, Replica};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

/// A command that names itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(pub String);

impl Command for Word {
    fn size(&self) -> usize {
        self.0.len()
    }
}

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

#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Option<HardState>,
    records: Vec<Record<Word>>,
    pending: Vec<(Token, HardState, Vec<Record<Word>>)>,
    checkpoint: Slot,
}

pub struct Node {
    pub replica: Option<Replica<Word>>,
    disk: Disk,
    incarnation: u64,
    /// The applied log, from the checkpoint of the last start on.
    pub applied: Vec<(Slot, Entry<Word>)>,
    reads: BTreeMap<Ticket, Slot>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver { to: NodeId, from: NodeId, message: Message<Word> },
    Synced { node: NodeId, incarnation: u64, token: Token },
}

/// Replicas, their disks, the network between them and what is true of all together.
pub struct World {
    pub nodes: BTreeMap<NodeId, Node>,
    pub now: Time,
    pub faults: Faults,
    /// Links that carry nothing: (from, to).
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// A node whose every sync takes so long.
    pub slow_disk: Option<(NodeId, Duration)>,
    pub random: Backoff,
    pub leader_changes: BTreeSet<Ballot>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    count: u64,
    /// Durable votes by slot and ballot: what is chosen is counted here, never asked of a learner.
    votes: BTreeMap<(Slot, Ballot), (Entry<Word>, BTreeSet<NodeId>)>,
    chosen: BTreeMap<Slot, (Ballot, Entry<Word>)>,
    proposed: BTreeSet<Word>,
    promises: BTreeMap<NodeId, Ballot>,
    tickets: u64,
    pub reads_answered: u64,
    system: QuorumSystem,
    pub options: Options,
}

impl World {
    pub fn new(count: u64, seed: u64) -> World {
        World::with(QuorumSystem::majority((1..=count).map(NodeId)).unwrap(), seed)
    }

    pub fn with(system: QuorumSystem, seed: u64) -> World {
        let mut world = World {
            nodes: BTreeMap::new(),
            now: Time::ZERO,
            faults: Faults::NONE,
            cut: BTreeSet::new(),
            slow_disk: None,
            random: Backoff::new(seed),
            leader_changes: BTreeSet::new(),
            events: BinaryHeap::new(),
            count: 0,
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
            proposed: BTreeSet::new(),
            promises: BTreeMap::new(),
            tickets: 0,
            reads_answered: 0,
            system,
            options: Options::default(),
        };
        for id in world.system.acceptors().collect::<Vec<_>>() {
            let node = Node {
                replica: None,
                disk: Disk::default(),
                incarnation: 0,
                applied: Vec::new(),
                reads: BTreeMap::new(),
            };
            world.nodes.insert(id, node);
            world.start(id);
        }
        world
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.between(Duration::ZERO, Duration::from_nanos(bound)).as_nanos() as u64
    }

    pub fn start(&mut self, id: NodeId) {
        let membership = Membership::new(ConfigId::FIRST, Slot(1), self.system.clone(), []);
        let seed = self.below(u64::MAX);
        let options = Options { seed, ..self.options };
        let node = self.nodes.get_mut(&id).unwrap();
        assert!(node.replica.is_none(), "{id} runs already");
        node.incarnation += 1;
        let recovered = Recovered {
            state: node.disk.state,
            checkpoint: node.disk.checkpoint,
            records: node.disk.records.clone(),
        };
        let incarnation = Incarnation::numbered(node.incarnation);
        node.replica = Some(Replica::new(id, incarnation, membership, options, recovered, self.now));
        node.reads.clear();
        let checkpoint = node.disk.checkpoint;
        node.applied.retain(|(slot, _)| *slot <= checkpoint);
        self.settle(id);
    }

    /// The process dies; of the writes not yet synced a prefix that chance picks survives.
    pub fn crash(&mut self, id: NodeId) {
        let pending = self.nodes[&id].disk.pending.len() as u64;
        let kept = self.below(pending + 1) as usize;
        let node = self.nodes.get_mut(&id).unwrap();
        node.replica = None;
        let survived: Vec<_> = node.disk.pending.drain(..).take(kept).collect();
        for (_, state, records) in survived {
            self.persist(id, state, records);
        }
    }

    pub fn is_up(&self, id: NodeId) -> bool {
        self.nodes[&id].replica.is_some()
    }

    /// A checkpoint of everything applied becomes durable; the log before it goes.
    pub fn checkpoint(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let (Some(replica), Some((slot, _))) = (&mut node.replica, node.applied.last()) else { return };
        node.disk.checkpoint = *slot;
        replica.truncate(*slot);
        let slot = *slot;
        node.disk.records.retain(|record| match record {
            Record::Vote { slot: other, .. } | Record::Chosen { slot: other, .. } => *other > slot,
            Record::Commit { .. } => true,
        });
    }

    pub fn propose(&mut self, id: NodeId, word: &str) -> bool {
        let word = Word(word.to_owned());
        self.proposed.insert(word.clone());
        let taken =
            self.nodes.get_mut(&id).unwrap().replica.as_mut().is_some_and(|r| r.propose(word).is_ok());
        self.settle(id);
        taken
    }

    pub fn read(&mut self, id: NodeId) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        // Whatever was chosen anywhere by now may have been acknowledged.
        let bound = self.contiguous();
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(replica) = &mut node.replica else { return };
        replica.read(ticket);
        node.reads.insert(ticket, bound);
        self.settle(id);
    }

    /// The last slot that some node has applied: what a client may have heard of.
    fn contiguous(&self) -> Slot {
        self.nodes
            .values()
            .filter_map(|node| node.applied.last())
            .map(|(slot, _)| *slot)
            .max()
            .unwrap_or_default()
    }

    pub fn leaders(&self) -> Vec<NodeId> {
        let leads = |node: &Node| node.replica.as_ref().is_some_and(|r| r.leads().is_some() && r.is_happy());
        self.nodes.iter().filter(|(_, node)| leads(node)).map(|(id, _)| *id).collect()
    }

    /// How often another node than before led. A leader that goes above its own ballot is no other.
    pub fn leaders_so_far(&self) -> usize {
        let mut nodes: Vec<NodeId> = self.leader_changes.iter().map(|ballot| ballot.node).collect();
        nodes.dedup();
        nodes.len()
    }

    pub fn replica(&self, id: NodeId) -> &Replica<Word> {
        self.nodes[&id].replica.as_ref().unwrap()
    }

    fn at(&mut self, time: Time, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count, event)));
    }

    /// Takes all outputs of a node.
    fn settle(&mut self, id: NodeId) {
        loop {
            let now = self.now;
            let node = self.nodes.get_mut(&id).unwrap();
            let Some(replica) = &mut node.replica else { return };
            let Some(output) = replica.poll_output(now) else { break };
            match output {
                Output::Send { to, message } => {
                    for to in to {
                        self.transmit(id, to, message.clone());
                    }
                }
                Output::Persist { token, state, records } => {
                    node.disk.pending.push((token, state, records));
                    let incarnation = node.incarnation;
                    let took = self.below(self.faults.sync_max.as_nanos() as u64);
                    let slow = self.slow_disk.filter(|(node, _)| *node == id);
                    let time = now + slow.map_or(Duration::from_nanos(took), |(_, took)| took);
                    self.at(time, Event::Synced { node: id, incarnation, token });
                }
                Output::Chosen { slot, entry } => self.apply(id, slot, entry),
                Output::ReadReady { ticket, slot } => {
                    let bound = node.reads.remove(&ticket).expect("a read is answered once");
                    assert!(slot >= bound, "{id}: a read may miss {bound}: it was told {slot}");
                    self.reads_answered += 1;
                }
                Output::CheckpointNeeded { from, .. } => self.install(id, from),
            }
        }
        if let Some(ballot) = self.replica(id).leads() {
            self.leader_changes.insert(ballot);
        }
    }

    /// Copies another node's checkpoint, as the member above does in parts.
    fn install(&mut self, id: NodeId, from: NodeId) {
        let source = &self.nodes[&from];
        let slot = source.disk.checkpoint;
        let applied: Vec<_> = source.applied.iter().filter(|(s, _)| *s <= slot).cloned().collect();
        let node = self.nodes.get_mut(&id).unwrap();
        if node.replica.as_mut().unwrap().install(slot) {
            node.applied = applied;
            node.disk.checkpoint = slot;
        }
    }

    fn apply(&mut self, id: NodeId, slot: Slot, entry: Entry<Word>) {
        let (_, chosen) = self
            .chosen
            .get(&slot)
            .unwrap_or_else(|| panic!("Safety 3: {id} learned {entry:?} in {slot}, which is not chosen"));
        assert_eq!(*chosen, entry, "{id} learned another value in {slot}");
        let node = self.nodes.get_mut(&id).unwrap();
        let last = node.applied.last().map_or(Slot::ZERO, |(slot, _)| *slot);
        assert_eq!(slot, last.next(), "{id} applies in order");
        node.applied.push((slot, entry));
        node.replica.as_mut().unwrap().handle_applied(slot);
    }

    fn transmit(&mut self, from: NodeId, to: NodeId, message: Message<Word>) {
        let copies = if self.chance(self.faults.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance(self.faults.lose) || self.cut.contains(&(from, to)) {
                continue;
            }
            let took = self.below(self.faults.delay_max.as_nanos() as u64);
            let time = self.now + Duration::from_nanos(took);
            self.at(time, Event::Deliver { to, from, message: message.clone() });
        }
    }

    /// Durable facts: everything is judged by them.
    fn persist(&mut self, id: NodeId, state: HardState, records: Vec<Record<Word>>) {
        let promised = self.promises.entry(id).or_insert(Ballot::ZERO);
        assert!(
            state.promised >= *promised,
            "{id}: a promise went back from {promised} to {}",
            state.promised
        );
        *promised = state.promised;
        for record in &records {
            if let Record::Vote { slot, ballot, entry } = record {
                self.count_vote(id, *slot, *ballot, entry);
            }
        }
        let disk = &mut self.nodes.get_mut(&id).unwrap().disk;
        disk.state = Some(state);
        disk.records.extend(records);
    }

    fn count_vote(&mut self, id: NodeId, slot: Slot, ballot: Ballot, entry: &Entry<Word>) {
        for word in entry.commands() {
            assert!(self.proposed.contains(word), "Safety 1: {word:?} was never proposed");
        }
        let (value, voters) = self.votes.entry((slot, ballot)).or_insert((entry.clone(), BTreeSet::new()));
        assert_eq!(value, entry, "{ballot} carries two values in {slot}");
        voters.insert(id);
        if voters.len() == self.system.phase2_size() {
            let (_, chosen) = self.chosen.entry(slot).or_insert((ballot, entry.clone()));
            assert_eq!(chosen, entry, "Safety 2: two values are chosen in {slot}");
        }
        if let Some((lower, chosen)) = self.chosen.get(&slot)
            && ballot > *lower
        {
            assert_eq!(chosen, entry, "P2a: {ballot} is accepted after {lower} was chosen in {slot}");
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, message } => {
                if let Some(replica) = &mut self.nodes.get_mut(&to).unwrap().replica {
                    replica.handle_message(self.now, from, message).expect("correct nodes send no garbage");
                    self.settle(to);
                }
            }
            Event::Synced { node: id, incarnation, token } => {
                let node = self.nodes.get_mut(&id).unwrap();
                if node.replica.is_none() || node.incarnation != incarnation {
                    return;
                }
                let done: Vec<_> = node.disk.pending.extract_if(.., |(other, ..)| *other <= token).collect();
                for (_, state, records) in done {
                    self.persist(id, state, records);
                }
                if let Some(replica) = &mut self.nodes.get_mut(&id).unwrap().replica {
                    replica.handle_persisted(self.now, token);
                    self.settle(id);
                }
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timeout = |(id, node): (&NodeId, &Node)| Some((node.replica.as_ref()?.next_timeout(), *id));
            let timer = self.nodes.iter().filter_map(timeout).min();
            let event = self.events.peek().map(|Reverse((time, ..))| *time);
            let next = event.into_iter().chain(timer.map(|(time, _)| time)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if event.is_some_and(|time| timer.is_none_or(|(timer, _)| time <= timer)) {
                let Reverse((_, _, event)) = self.events.pop().unwrap();
                self.handle(event);
            } else if let Some((_, id)) = timer {
                let now = self.now;
                self.nodes.get_mut(&id).unwrap().replica.as_mut().unwrap().handle_timeout(now);
                self.settle(id);
            }
        }
    }

    /// Lets time pass until `done`, at most `duration`. Returns whether it came to pass.
    pub fn run_until(&mut self, duration: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + duration;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.run(Duration::from_millis(10));
        }
        done(self)
    }

    pub fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.cut.clear();
        for id in self.ids() {
            if !self.is_up(id) {
                self.start(id);
            }
        }
    }

    pub fn cut_both(&mut self, a: NodeId, b: NodeId) {
        self.cut.insert((a, b));
        self.cut.insert((b, a));
    }

    /// Whether `id` has applied `word`.
    pub fn has_applied(&self, id: NodeId, word: &str) -> bool {
        let word = Word(word.to_owned());
        self.nodes[&id].applied.iter().any(|(_, entry)| entry.commands().contains(&word))
    }

    /// Whether every node that is up has applied `word`.
    pub fn all_applied(&self, word: &str) -> bool {
        self.ids().into_iter().filter(|id| self.is_up(*id)).all(|id| self.has_applied(id, word))
    }
}
