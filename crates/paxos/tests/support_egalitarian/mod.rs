//! Replicas, their disks and state machines, and the messages under way, all moved by hand; and what must hold of them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use synod_paxos::durable::Token;
use synod_paxos::egalitarian::core::{Core, Output};
use synod_paxos::egalitarian::id::{CommandId, IdSet};
use synod_paxos::egalitarian::instance::{Decree, Held};
use synod_paxos::egalitarian::interference::{Command, Extent};
use synod_paxos::egalitarian::message::Message;
use synod_paxos::egalitarian::record::{Record, Recovered};
use synod_paxos::multi::entry;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::ReplicaQuorums;

/// Plain keys are below this.
const KEYS: u8 = 8;
/// The first two keys at once.
pub const SPAN: u8 = KEYS;
/// All keys at once.
pub const EVERYTHING: u8 = KEYS + 1;

/// A command by its name, acting on one key, or on some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cmd {
    /// Different for all commands.
    pub name: u32,
    /// Commands on one key interfere; [`SPAN`] and [`EVERYTHING`] are several.
    pub key: u8,
}

impl std::fmt::Debug for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", char::from(b'a' + self.key), self.name)
    }
}

impl Cmd {
    /// The keys it acts on.
    pub fn touches(&self) -> std::ops::Range<u8> {
        match self.key {
            EVERYTHING => 0..KEYS,
            SPAN => 0..2,
            key => key..key + 1,
        }
    }
}

impl entry::Command for Cmd {
    fn size(&self) -> usize {
        5
    }
}

impl Command for Cmd {
    type Key = u8;

    fn interferes(&self, other: &Cmd) -> bool {
        let (mine, theirs) = (self.touches(), other.touches());
        mine.start < theirs.end && theirs.start < mine.end
    }

    fn extents(&self) -> Vec<Extent<u8>> {
        match self.key {
            EVERYTHING => vec![Extent::All],
            SPAN => vec![Extent::Range(0, Some(2))],
            key => vec![Extent::Key(key)],
        }
    }
}

pub type Msg = Message<Cmd>;

#[derive(Clone, Debug)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Msg,
}

/// What a state machine holds: what it executed, in order, of each key.
pub type State = BTreeMap<u8, Vec<u32>>;

pub struct Host {
    pub core: Core<Cmd>,
    pub is_up: bool,
    pub state: State,
    /// A durable copy of the state, and what it has executed.
    pub checkpoint: (IdSet, State),
    pub disk: Vec<Record<Cmd>>,
    pub unsynced: VecDeque<(Token, Vec<Record<Cmd>>)>,
    /// Whose state it was told to take.
    pub state_needed: Option<NodeId>,
}

/// Replicas n1, n2, … and everything between them.
pub struct Cluster {
    pub hosts: BTreeMap<NodeId, Host>,
    pub under_way: Vec<Packet>,
    pub quorums: ReplicaQuorums,
    /// Every commit that anybody knows of.
    pub committed: BTreeMap<CommandId, (Decree<Cmd>, IdSet)>,
    /// Of each key, the longest sequence that anybody executed.
    pub order: State,
    /// What was executed, proposed again, and asked for, since somebody looked.
    pub log: Vec<String>,
    /// Names of the commands proposed by replicas whose disks have them.
    pub promised: BTreeSet<u32>,
}

pub fn n(id: u64) -> NodeId {
    NodeId(id)
}

pub fn id(owner: u64, counter: u64) -> CommandId {
    CommandId::new(NodeId(owner), counter)
}

pub fn cmd(name: u32) -> Cmd {
    Cmd { name, key: 0 }
}

impl Cluster {
    pub fn new(count: u64) -> Cluster {
        let quorums = ReplicaQuorums::optimised((1..=count).map(NodeId)).unwrap();
        let hosts = (1..=count).map(|id| {
            let host = Host {
                core: Core::new(NodeId(id), quorums.clone(), Recovered::default()),
                is_up: true,
                state: State::new(),
                checkpoint: (IdSet::default(), State::new()),
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
            committed: BTreeMap::new(),
            order: State::new(),
            log: Vec::new(),
            promised: BTreeSet::new(),
        }
    }

    pub fn host(&self, node: NodeId) -> &Host {
        &self.hosts[&node]
    }

    pub fn core(&mut self, node: NodeId) -> &mut Core<Cmd> {
        &mut self.hosts.get_mut(&node).unwrap().core
    }

    /// Does something with a replica and takes what it wants done.
    pub fn with<T>(&mut self, node: NodeId, action: impl FnOnce(&mut Core<Cmd>) -> T) -> T {
        let result = action(self.core(node));
        self.drain(node);
        result
    }

    pub fn propose(&mut self, node: NodeId, command: Cmd) -> CommandId {
        self.with(node, |core| core.propose(command)).unwrap()
    }

    fn drain(&mut self, node: NodeId) {
        loop {
            let host = self.hosts.get_mut(&node).unwrap();
            let Some(output) = host.core.poll_output() else {
                if host.core.is_busy() {
                    continue;
                }
                break;
            };
            match output {
                Output::Send { to, message } => {
                    let packets =
                        to.into_iter().map(|to| Packet { from: node, to, message: message.clone() });
                    self.under_way.extend(packets);
                }
                Output::Persist { token, records } => host.unsynced.push_back((token, records)),
                Output::Execute { commands } => {
                    let shown: Vec<String> =
                        commands.iter().map(|(id, command)| format!("{id} {command:?}")).collect();
                    self.log.push(format!("   {node} executes {}", shown.join(", ")));
                    for (_, command) in commands {
                        for key in command.touches() {
                            host.state.entry(key).or_default().push(command.name);
                        }
                    }
                    let state = host.state.clone();
                    self.check_order(node, &state);
                }
                Output::ProposedAgain { id, again } => {
                    self.log.push(format!("   {node} proposes {id} again as {again}"));
                }
                Output::StateNeeded { from } => {
                    self.log.push(format!("   {node} needs the state of {from}"));
                    host.state_needed = Some(from);
                }
            }
        }
        self.check_commits(node);
    }

    /// The oldest write of a replica becomes durable.
    pub fn persist(&mut self, node: NodeId) -> bool {
        let host = self.hosts.get_mut(&node).unwrap();
        let Some((token, records)) = host.unsynced.pop_front() else { return false };
        for record in &records {
            if let Record::Instance { id, instance } = record
                && id.owner == node
                && let Some(command) = instance.command
            {
                self.promised.insert(command.name);
            }
        }
        host.disk.extend(records);
        self.with(node, |core| core.handle_persisted(token));
        true
    }

    /// Messages to who is down are lost. So are those it refuses, which none of these replicas may send.
    pub fn deliver(&mut self, packet: Packet) {
        if self.hosts[&packet.to].is_up {
            let Packet { from, to, message } = packet;
            let handled = self.with(to, |core| core.handle_message(from, message.clone()));
            assert_eq!(handled, Ok(()), "{to} refuses {message:?} of {from}");
        }
    }

    /// The process dies; of the writes not synced the first so many survive.
    pub fn crash(&mut self, node: NodeId, keep: usize) {
        let host = self.hosts.get_mut(&node).unwrap();
        host.is_up = false;
        for (_, records) in host.unsynced.drain(..).take(keep) {
            host.disk.extend(records);
        }
        host.unsynced.clear();
    }

    pub fn restart(&mut self, node: NodeId) {
        let quorums = self.quorums.clone();
        let host = self.hosts.get_mut(&node).unwrap();
        let recovered = Recovered { executed: host.checkpoint.0.clone(), records: host.disk.clone() };
        host.is_up = true;
        host.state = host.checkpoint.1.clone();
        host.core = Core::new(node, quorums, recovered);
        self.drain(node);
    }

    /// The state machine's state becomes durable, and the journal is written anew.
    pub fn checkpoint(&mut self, node: NodeId) {
        while self.persist(node) {}
        let host = self.hosts.get_mut(&node).unwrap();
        host.checkpoint = (host.core.executed().clone(), host.state.clone());
        let executed = host.checkpoint.0.clone();
        self.with(node, |core| core.truncate(&executed));
        while self.persist(node) {}
        let host = self.hosts.get_mut(&node).unwrap();
        host.disk = host.core.remembered();
    }

    pub fn tell_status(&mut self, node: NodeId, present: &[NodeId]) {
        let present = present.iter().copied().filter(|other| *other != node).collect();
        self.with(node, |core| core.tell_status(&present));
    }

    /// Takes the state of another replica, if told to.
    pub fn install(&mut self, node: NodeId) -> bool {
        let Some(from) = self.hosts.get_mut(&node).unwrap().state_needed.take() else { return false };
        if !self.hosts[&from].is_up {
            return false;
        }
        let source = &self.hosts[&from];
        let (executed, state) = (source.core.executed().clone(), source.state.clone());
        let host = self.hosts.get_mut(&node).unwrap();
        let taken = host.core.install(&executed);
        if taken {
            host.checkpoint = (executed, state.clone());
            host.state = state.clone();
            self.with(node, |_| {});
            self.check_order(node, &state);
        }
        taken
    }

    /// Disks finish and messages arrive in order until nothing is under way. Those for whom `lost` says so are lost.
    pub fn run(&mut self, lost: impl Fn(&Packet) -> bool) {
        for _ in 0..100_000 {
            let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
            let wrote = nodes.into_iter().filter(|node| self.persist(*node)).count() > 0;
            if self.under_way.is_empty() {
                if !wrote {
                    return;
                }
                continue;
            }
            let packet = self.under_way.remove(0);
            if !lost(&packet) {
                self.deliver(packet);
            }
        }
        panic!("it does not come to rest");
    }

    /// Same order of execution of interfering commands everywhere, each once.
    fn check_order(&mut self, node: NodeId, state: &State) {
        for (key, names) in state {
            let distinct: BTreeSet<u32> = names.iter().copied().collect();
            assert_eq!(distinct.len(), names.len(), "{node} executed a command twice: {names:?}");
            let longest = self.order.entry(*key).or_default();
            let common = names.len().min(longest.len());
            assert_eq!(names[..common], longest[..common], "{node} executed in another order");
            if names.len() > longest.len() {
                longest.clone_from(names);
            }
        }
    }

    /// Agreement and Visibility.
    fn check_commits(&mut self, node: NodeId) {
        let core = &self.hosts[&node].core;
        let mut news = Vec::new();
        let learned = |id: &CommandId| core.has_learned(*id);
        for (id, instance) in
            core.table().instances().filter(|(id, instance)| instance.is_committed() && learned(id))
        {
            let decree = instance.decree().unwrap();
            match self.committed.get(&id) {
                Some((known, deps)) => {
                    assert!(
                        *known == decree && *deps == instance.deps,
                        "Agreement: {id} is {known:?} after {deps} and {decree:?} after {} at {node}",
                        instance.deps
                    );
                }
                None => news.push((id, decree, instance.deps.clone(), instance.held)),
            }
        }
        for (id, decree, deps, held) in news {
            if let (Decree::Command(mine), Held::Command) = (&decree, held) {
                for (other, (theirs, their_deps)) in &self.committed {
                    let Decree::Command(theirs) = theirs else { continue };
                    assert!(
                        !mine.interferes(theirs) || deps.contains(*other) || their_deps.contains(id),
                        "Visibility: neither {id} nor {other} depends on the other"
                    );
                }
            }
            self.committed.insert(id, (decree, deps));
        }
    }
}
