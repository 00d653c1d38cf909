//! Replicas, their disks, and the messages under way, all moved by hand; and what must hold of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::fast::log::core::{Core, Output};
use synod_paxos::fast::log::message::Message;
use synod_paxos::fast::log::record::Record;
use synod_paxos::fast::round::Round;
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;
use synod_paxos::slot::Slot;

/// A command that is its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Word(pub u32);

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl Command for Word {
    fn size(&self) -> usize {
        4
    }
}

pub type Msg = Message<Word>;

#[derive(Clone, Debug)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Msg,
}

pub struct Host {
    pub core: Core<Word>,
    pub is_up: bool,
    /// What was handed out to be executed since the checkpoint.
    pub executed: Vec<(Slot, Entry<Word>)>,
    pub checkpoint: Slot,
    pub disk: Vec<Record<Word>>,
    pub unsynced: VecDeque<(Token, Vec<Record<Word>>)>,
    pub state_needed: Option<NodeId>,
}

/// Replicas n1, n2, … and everything between them.
pub struct Cluster {
    pub hosts: BTreeMap<NodeId, Host>,
    pub under_way: Vec<Packet>,
    pub quorums: Arc<FastQuorumSystem>,
    /// Everything said and written since somebody looked.
    pub log: Vec<String>,
    /// Who durably voted for what.
    votes: BTreeMap<(Slot, Round), BTreeMap<Entry<Word>, BTreeSet<NodeId>>>,
    pub chosen: BTreeMap<Slot, Entry<Word>>,
}

pub fn n(id: u64) -> NodeId {
    NodeId(id)
}

pub fn ballot(round: u64, node: u64) -> Ballot {
    Ballot::new(round, NodeId(node))
}

pub fn entry(names: &[u32]) -> Entry<Word> {
    match names {
        [] => Entry::Noop,
        names => Entry::Commands(names.iter().copied().map(Word).collect()),
    }
}

fn show(entry: &Entry<Word>) -> String {
    match entry {
        Entry::Noop => "no-op".to_owned(),
        Entry::Commands(words) => format!("{words:?}"),
    }
}

/// A message with its values.
pub fn describe(message: &Msg) -> String {
    let mut text = match message {
        Message::Propose { ballot, .. } => format!("propose {ballot}"),
        Message::Accepted { .. } => "accepted".to_owned(),
        Message::Accept { ballot, .. } => format!("accept {ballot}"),
        Message::Forward(words) | Message::Relay(words) => format!("{} {words:?}", message.name()),
        Message::Fetched { from, entries, .. } => {
            let entries: Vec<String> = entries.iter().map(show).collect();
            format!("fetched from {from}: {}", entries.join(", "))
        }
        other => other.to_string(),
    };
    if let Message::Propose { entries, .. } | Message::Accept { entries, .. } = message {
        for (slot, entry) in entries {
            write!(text, " {slot} {}", show(entry)).unwrap();
        }
    }
    if let Message::Accepted { votes } = message {
        for (slot, vote) in votes {
            write!(text, " {} {slot} {}", vote.round, show(&vote.value)).unwrap();
        }
    }
    text
}

fn describe_record(record: &Record<Word>) -> String {
    match record {
        Record::Used(ballot) => format!("used {ballot}"),
        Record::Promised(ballot) => format!("promised {ballot}"),
        Record::Voted { slot, vote } => format!("voted {} {slot} {}", vote.round, show(&vote.value)),
        Record::Chosen { slot, entry } => format!("chosen {slot} {}", show(entry)),
        Record::Commit { through } => format!("commit {through}"),
    }
}

impl Cluster {
    pub fn new(count: u64) -> Cluster {
        let quorums = Arc::new(FastQuorumSystem::majority((1..=count).map(NodeId)).unwrap());
        let hosts = (1..=count).map(|id| {
            let host = Host {
                core: Core::new(NodeId(id), quorums.clone(), Slot::ZERO, &[]),
                is_up: true,
                executed: Vec::new(),
                checkpoint: Slot::ZERO,
                disk: Vec::new(),
                unsynced: VecDeque::new(),
                state_needed: None,
            };
            (NodeId(id), host)
        });
        Cluster {
            hosts: hosts.collect(),
            under_way: Vec::new(),
            quorums: quorums.clone(),
            log: Vec::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
        }
    }

    pub fn host(&self, node: u64) -> &Host {
        &self.hosts[&n(node)]
    }

    pub fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// Does something with a replica and takes what it wants done.
    pub fn with<T>(&mut self, node: NodeId, action: impl FnOnce(&mut Core<Word>) -> T) -> T {
        let result = action(&mut self.hosts.get_mut(&node).unwrap().core);
        self.drain(node);
        result
    }

    fn drain(&mut self, node: NodeId) {
        while let Some(output) = self.hosts.get_mut(&node).unwrap().core.poll_output() {
            let host = self.hosts.get_mut(&node).unwrap();
            match output {
                Output::Send { to, message } => {
                    let names: Vec<String> = to.iter().map(ToString::to_string).collect();
                    self.log.push(format!("{node} -> {}: {}", names.join(" "), describe(&message)));
                    let packets =
                        to.into_iter().map(|to| Packet { from: node, to, message: message.clone() });
                    self.under_way.extend(packets);
                }
                Output::Persist { token, records } => {
                    let shown: Vec<String> = records.iter().map(describe_record).collect();
                    self.log.push(format!("{node} writes: {}", shown.join(", ")));
                    host.unsynced.push_back((token, records));
                }
                Output::Chosen { slot, entry } => {
                    self.log.push(format!("{node} executes {slot}: {}", show(&entry)));
                    assert_eq!(self.chosen.get(&slot), Some(&entry), "{node} executes what is not chosen");
                    host.executed.push((slot, entry));
                }
                Output::StateNeeded { from } => {
                    self.log.push(format!("{node} needs the state of {from}"));
                    host.state_needed = Some(from);
                }
            }
        }
    }

    /// Runs phase 1 at `node` with the next ballot.
    pub fn campaign(&mut self, node: u64) {
        self.with(n(node), |core| {
            let above = core.acceptor().promised().max(core.used());
            core.campaign(core.election().next_ballot().max(above.successor(core.id())));
        });
    }

    /// `node` leads with an open window, and everybody knows.
    pub fn led_by(count: u64, node: u64) -> Cluster {
        let mut cluster = Cluster::new(count);
        cluster.campaign(node);
        cluster.run();
        for _ in 0..2 {
            for node in cluster.nodes() {
                cluster.with(node, Core::end_round);
                cluster.run();
            }
        }
        cluster.with(n(node), Core::open_window);
        cluster.run();
        cluster.log.clear();
        cluster
    }

    pub fn propose(&mut self, node: u64, name: u32) {
        self.with(n(node), |core| core.propose(Word(name)));
    }

    /// The oldest write of a replica becomes durable.
    pub fn persist(&mut self, node: NodeId) -> bool {
        let host = self.hosts.get_mut(&node).unwrap();
        let Some((token, records)) = host.unsynced.pop_front() else { return false };
        host.disk.extend(records.iter().cloned());
        for record in records {
            if let Record::Voted { slot, vote } = record {
                self.note(node, slot, vote.round, vote.value);
            }
        }
        self.with(node, |core| core.handle_persisted(token));
        true
    }

    /// What the durable votes have chosen: one value a slot, for ever.
    fn note(&mut self, node: NodeId, slot: Slot, round: Round, entry: Entry<Word>) {
        let values = self.votes.entry((slot, round)).or_default();
        values.entry(entry.clone()).or_default().insert(node);
        assert!(round.is_fast() || values.len() == 1, "{round} carries several values in {slot}");
        let needed = if round.is_fast() { self.quorums.fast_size() } else { self.quorums.classic_size() };
        if values[&entry].len() >= needed {
            let known = self.chosen.entry(slot).or_insert_with(|| entry.clone());
            assert_eq!(*known, entry, "{slot} is chosen twice, the second time in {round}");
        }
    }

    /// Messages to who is down are lost. None of these replicas may send what another refuses.
    pub fn deliver(&mut self, packet: Packet) {
        if self.hosts[&packet.to].is_up {
            let Packet { from, to, message } = packet;
            self.log.push(format!("{from} => {to}: {}", message.name()));
            let handled = self.with(to, |core| core.handle_message(from, message.clone()));
            assert_eq!(handled, Ok(()), "{to} refuses {message:?} of {from}");
        }
    }

    /// The oldest such message arrives, and the receiver's disk writes what it changed.
    pub fn pass(&mut self, from: u64, to: u64, name: &str) {
        let packet = self.take(from, to, name);
        self.deliver(packet);
        while self.persist(n(to)) {}
    }

    pub fn take(&mut self, from: u64, to: u64, name: &str) -> Packet {
        let matches =
            |packet: &Packet| packet.from == n(from) && packet.to == n(to) && packet.message.name() == name;
        let at = self.under_way.iter().position(matches);
        self.under_way.remove(at.unwrap_or_else(|| panic!("no {name} from {from} to {to}")))
    }

    /// The process dies; of the writes not synced the first so many survive.
    pub fn crash(&mut self, node: u64, keep: usize) {
        let host = self.hosts.get_mut(&n(node)).unwrap();
        host.is_up = false;
        let kept: Vec<Record<Word>> =
            host.unsynced.drain(..).take(keep).flat_map(|(_, records)| records).collect();
        host.disk.extend(kept);
        host.unsynced.clear();
        self.under_way.retain(|packet| packet.to != n(node));
    }

    pub fn restart(&mut self, node: u64) {
        let quorums = self.quorums.clone();
        let host = self.hosts.get_mut(&n(node)).unwrap();
        // What survived without having been synced counts from now on.
        let voted: Vec<_> = host
            .disk
            .iter()
            .filter_map(|record| match record {
                Record::Voted { slot, vote } => Some((*slot, vote.clone())),
                _ => None,
            })
            .collect();
        host.core = Core::new(n(node), quorums, host.checkpoint, &host.disk);
        host.is_up = true;
        host.executed.clear();
        for (slot, vote) in voted {
            self.note(n(node), slot, vote.round, vote.value);
        }
        self.drain(n(node));
    }

    /// What was executed is durable as a state, and the log is cut so that at most `retained` slots are left of it.
    pub fn checkpoint(&mut self, node: u64, retained: u64) {
        while self.persist(n(node)) {}
        let host = self.hosts.get_mut(&n(node)).unwrap();
        host.checkpoint = host.core.delivered();
        let through = Slot(host.checkpoint.0.saturating_sub(retained));
        self.with(n(node), |core| core.truncate(through));
    }

    /// Takes the state of another replica, if told to.
    pub fn install(&mut self, node: u64) -> bool {
        let Some(from) = self.hosts.get_mut(&n(node)).unwrap().state_needed.take() else { return false };
        let slot = self.hosts[&from].checkpoint;
        let taken = self.with(n(node), |core| core.install(slot));
        if taken {
            self.hosts.get_mut(&n(node)).unwrap().checkpoint = slot;
        }
        taken
    }

    /// Disks finish and messages arrive in order until nothing is under way.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let wrote = self.nodes().into_iter().filter(|node| self.persist(*node)).count() > 0;
            if self.under_way.is_empty() {
                if !wrote {
                    return;
                }
                continue;
            }
            let packet = self.under_way.remove(0);
            self.deliver(packet);
        }
        panic!("it does not come to rest");
    }

    /// The commands that `node` executed, in order.
    pub fn executed(&self, node: u64) -> Vec<u32> {
        let entries = self.host(node).executed.iter();
        entries.flat_map(|(_, entry)| entry.commands().iter().map(|word| word.0)).collect()
    }
}
