//! Whole nodes: the shipped [`Core`] of every acceptor and proposer, their disks, and crashes between any two steps.
//!
//! Messages are never removed, as in [`messages`](super::messages), but everything else is as it runs: a handler
//! runs, its write becomes durable later, what depended on the write leaves only then, and a crash in between loses
//! the write and everything in memory. A proposer that restarts may be given another value. Learners are the
//! shipped ones, and have received every vote that was told.
//!
//! Acceptors own no ballot, so their names may be swapped; so may the values. Refusals are dropped unless asked for:
//! they influence only when a proposer retries.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::durable::Token;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::core::{Core, Output};
use synod_paxos::synod::learner::Learner;
use synod_paxos::synod::message::Message;
use synod_paxos::synod::options::{Audience, Group, Learning, Options};
use synod_paxos::synod::proposer::Phase;
use synod_paxos::synod::record::Record;

use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::{Ledger, Pairs, Sizes, name};
use crate::check::{Model, Violation, permutations};

/// What may happen to whom.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Acceptors, named from 1.
    pub acceptors: usize,
    /// Proposers, and how many ballots each may use: the rounds from 1 on.
    pub rounds: &'static [u64],
    /// Different values that clients want.
    pub values: usize,
    /// How often a node may crash, all together.
    pub crashes: u8,
    /// The nodes' choices.
    pub options: Options,
    /// Whether refusals are delivered.
    pub refusals: bool,
}

/// A configuration of whole nodes.
#[derive(Clone, Debug)]
pub struct Nodes {
    setting: Setting,
    sizes: Sizes,
    group: Arc<Group>,
    /// Every ballot that may be used, in order.
    ballots: Vec<Ballot>,
    renamings: Vec<Vec<usize>>,
}

/// Every node, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    /// Acceptors first, then proposers. States that follow each other share those that did nothing.
    nodes: Vec<Arc<Node>>,
    /// In order, each once.
    sent: Vec<Packet>,
    proposals: Pairs,
    crashes: u8,
}

impl State {
    fn node(&mut self, at: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[at])
    }
}

#[derive(Clone, Debug)]
struct Node {
    core: Core<char>,
    disk: Vec<Record<char>>,
    /// Given to the disk and not yet durable.
    writes: VecDeque<(Token, Vec<Record<char>>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    from: NodeId,
    to: NodeId,
    message: Message<char>,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client gives a proposer a value.
    Propose {
        /// Which node.
        node: usize,
        /// The value.
        value: usize,
    },
    /// A proposer has a higher ballot run.
    Start {
        /// Which node.
        node: usize,
    },
    /// A proposer asks everybody again who has not answered.
    AskAgain {
        /// Which node.
        node: usize,
    },
    /// A message arrives.
    Deliver {
        /// Its place among those sent.
        packet: usize,
    },
    /// The oldest write of a node becomes durable, and the node hears of it.
    Persist {
        /// Which node.
        node: usize,
    },
    /// A node crashes, and starts again with what was durable.
    Crash {
        /// Which node.
        node: usize,
    },
}

const LEARNER: NodeId = NodeId(99);

impl Nodes {
    /// The model of this setting, with majorities.
    pub fn new(setting: Setting) -> Nodes {
        let acceptors = QuorumSystem::majority((1..=setting.acceptors as u64).map(NodeId))
            .expect("the acceptors of the spaces are different ones");
        let proposers: Vec<NodeId> = (0..setting.rounds.len() as u64).map(|at| NodeId(11 + at)).collect();
        let rounds = proposers.iter().zip(setting.rounds);
        let mut ballots: Vec<Ballot> =
            rounds.flat_map(|(node, rounds)| (1..=*rounds).map(|round| Ballot::new(round, *node))).collect();
        ballots.sort_unstable();
        let group = Group::new(acceptors, proposers, [LEARNER], Learning::Everyone)
            .expect("a group with proposers that has nobody distinguished");
        let sizes = Sizes::majority(setting.acceptors, ballots.len(), setting.values);
        let renamings = permutations(setting.values);
        Nodes { setting, sizes, group: Arc::new(group), ballots, renamings }
    }

    fn start(&self, id: NodeId, disk: &[Record<char>]) -> Core<char> {
        Core::new(id, self.group.clone(), self.setting.options, disk)
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        let at = usize::try_from(node.0).ok()?;
        match at {
            1..=10 => Some(at - 1),
            11..=98 => Some(self.setting.acceptors + at - 11),
            _ => None,
        }
    }

    fn number(&self, ballot: Ballot) -> usize {
        self.ballots
            .binary_search(&ballot)
            .unwrap_or_else(|_| panic!("{ballot} is used, which nobody may use"))
    }

    fn votes(&self, state: &State) -> Vec<Pairs> {
        let acceptors = state.nodes.iter().take(self.setting.acceptors);
        acceptors.map(|node| self.votes_on(&node.disk)).collect()
    }

    fn votes_on(&self, disk: &[Record<char>]) -> Pairs {
        let mut votes = Pairs::default();
        for record in disk {
            if let Record::Voted(vote) = record {
                votes.insert(&self.sizes, self.number(vote.ballot), value_number(vote.value));
            }
        }
        votes
    }

    /// Takes what a node wants done. Writes wait, messages join the network.
    fn collect(&self, state: &mut State, at: usize) -> Result<(), Violation> {
        let mut told = false;
        while let Some(output) = state.node(at).core.poll_output() {
            match output {
                Output::Persist { token, records } => state.node(at).writes.push_back((token, records)),
                Output::Chosen { value, .. } => {
                    let votes = self.votes(state);
                    let who = format!("proposer {}", state.nodes[at].core.id());
                    self.ledger(&votes, state.proposals).check_learned(&who, value_number(value))?;
                }
                Output::Send { to, message } => {
                    self.check_durable(&state.nodes[at], &message)?;
                    if let Message::Accept { ballot, value } = &message {
                        state.proposals.insert(&self.sizes, self.number(*ballot), value_number(*value));
                    }
                    if matches!(message, Message::Nack { .. }) && !self.setting.refusals {
                        continue;
                    }
                    told |= matches!(message, Message::Accepted { .. });
                    self.send(state, at, &to, &message);
                }
            }
        }
        if told { self.learn(state) } else { Ok(()) }
    }

    fn send(&self, state: &mut State, at: usize, to: &[NodeId], message: &Message<char>) {
        let from = state.nodes[at].core.id();
        for to in to {
            let packet = Packet { from, to: *to, message: message.clone() };
            if let Err(place) = state.sent.binary_search(&packet) {
                state.sent.insert(place, packet);
            }
        }
    }

    fn ledger<'a>(&'a self, votes: &'a [Pairs], proposals: Pairs) -> Ledger<'a> {
        Ledger { sizes: &self.sizes, votes, proposals }
    }

    /// What a message reveals must be on the sender's disk.
    fn check_durable(&self, node: &Node, message: &Message<char>) -> Result<(), Violation> {
        let (used, promised) = (used(&node.disk), promised(&node.disk));
        let durable = match message {
            Message::Prepare { ballot } => used >= *ballot,
            Message::Promise { ballot, .. } => promised >= *ballot,
            Message::Nack { promised: told, .. } => promised >= *told,
            Message::Accepted { ballot, value } => {
                self.votes_on(&node.disk).contains(&self.sizes, self.number(*ballot), value_number(*value))
            }
            Message::Accept { .. } | Message::Chosen { .. } | Message::Inquire => true,
        };
        if durable {
            return Ok(());
        }
        let what = format!("{} says {message:?}, and its disk holds {:?}", node.core.id(), node.disk);
        Err(Violation { invariant: "durable before it is told", what })
    }

    /// A learner that has received every vote told, the old ones first or the new ones first.
    fn learn(&self, state: &State) -> Result<(), Violation> {
        let votes = self.votes(state);
        let ledger = self.ledger(&votes, state.proposals);
        let mut told: Vec<(Ballot, NodeId, char)> = Vec::new();
        for packet in state.sent.iter().filter(|packet| packet.to == LEARNER) {
            if let Message::Accepted { ballot, value } = packet.message {
                told.push((ballot, packet.from, value));
            }
        }
        told.sort_unstable();
        for _ in 0..2 {
            let mut learner = Learner::new(self.group.clone());
            for (ballot, from, value) in &told {
                if let Some(vote) = learner.handle_accepted(*from, *ballot, value) {
                    ledger.check_learned("a learner", value_number(vote.value))?;
                }
            }
            told.reverse();
        }
        Ok(())
    }

    fn check(&self, state: &State) -> Result<(), Violation> {
        let votes = self.votes(state);
        self.ledger(&votes, state.proposals).check(|_| true)?;
        for packet in &state.sent {
            let Some(at) = self.place(packet.from).filter(|at| *at < self.setting.acceptors) else {
                continue;
            };
            self.check_answer(&state.nodes[at], votes[at], &packet.message)?;
        }
        Ok(())
    }

    /// What an acceptor said binds it for ever, whatever it forgets.
    fn check_answer(&self, node: &Node, votes: Pairs, message: &Message<char>) -> Result<(), Violation> {
        let Some(acceptor) = node.core.acceptor() else { return Ok(()) };
        let (Message::Promise { ballot, .. } | Message::Accepted { ballot, .. }) = message else {
            return Ok(());
        };
        if acceptor.promised() < *ballot {
            let what = format!(
                "{} said {message:?} and holds itself bound to {}",
                node.core.id(),
                acceptor.promised()
            );
            return Err(Violation { invariant: "promises and votes never go back", what });
        }
        if let Message::Promise { ballot, vote } = message {
            let truth = votes.highest_below(&self.sizes, self.number(*ballot));
            let report = vote.as_ref().map(|vote| (self.number(vote.ballot), value_number(vote.value)));
            if truth != report {
                let truth = truth.map(|(ballot, value)| (self.ballots[ballot], name(value)));
                let what =
                    format!("{} said {message:?}; its highest vote below is {truth:?}", node.core.id());
                return Err(Violation { invariant: "phase 1b", what });
            }
        }
        Ok(())
    }

    /// A vote became durable: no promise above it may have been given.
    fn check_p1a(&self, state: &State, at: usize, records: &[Record<char>]) -> Result<(), Violation> {
        let id = state.nodes[at].core.id();
        for record in records {
            let Record::Voted(vote) = record else { continue };
            let higher =
                state.sent.iter().filter(|packet| packet.from == id).find(|packet| match packet.message {
                    Message::Promise { ballot, .. } => ballot > vote.ballot,
                    _ => false,
                });
            if let Some(packet) = higher {
                let what = format!("{id} voted {vote:?} after it said {:?}", packet.message);
                return Err(Violation { invariant: "P1a", what });
            }
        }
        Ok(())
    }

    fn crash(&self, state: &mut State, at: usize) {
        let id = state.nodes[at].core.id();
        let node = state.node(at);
        node.writes.clear();
        node.core = self.start(id, &node.disk);
        state.crashes += 1;
    }

    /// Returns who received the packet, or `None` if that changed nothing: most of what arrives twice does not.
    fn deliver(&self, state: &mut State, packet: usize) -> Result<Option<usize>, Violation> {
        let Packet { from, to, message } = state.sent[packet].clone();
        let at = self.place(to).expect("only messages to nodes are delivered");
        let mut core = state.nodes[at].core.clone();
        if let Err(rejection) = core.handle_message(from, message) {
            return Err(Violation { invariant: "nobody sends nonsense", what: rejection.to_string() });
        }
        let mut quiet = core.clone();
        while let Some(output) = quiet.poll_output() {
            let Output::Send { to: receivers, message } = output else {
                state.node(at).core = core;
                return Ok(Some(at));
            };
            let known = |receiver: &NodeId| {
                let packet = Packet { from: to, to: *receiver, message: message.clone() };
                state.sent.binary_search(&packet).is_ok()
            };
            if !receivers.iter().all(known) {
                state.node(at).core = core;
                return Ok(Some(at));
            }
        }
        if quiet == state.nodes[at].core {
            return Ok(None);
        }
        state.node(at).core = core;
        Ok(Some(at))
    }

    /// The messages that would leave if the waiting writes became durable one after the other. How often each was
    /// asked for meanwhile does not matter.
    fn held_back(&self, node: &Node) -> Vec<(usize, Vec<NodeId>, Message<char>)> {
        let mut core = node.core.clone();
        let mut held = Vec::new();
        for (write, (token, _)) in node.writes.iter().enumerate() {
            core.handle_persisted(*token);
            while let Some(output) = core.poll_output() {
                if let Output::Send { to, message } = output
                    && (self.setting.refusals || !matches!(message, Message::Nack { .. }))
                    && !held.iter().any(|(_, sent_to, sent)| (sent_to, sent) == (&to, &message))
                {
                    held.push((write, to, message));
                }
            }
        }
        held
    }
}

fn value_number(value: char) -> usize {
    usize::from(value as u8 - b'A')
}

fn used(disk: &[Record<char>]) -> Ballot {
    let used = disk.iter().filter_map(|record| match record {
        Record::Used(ballot) => Some(*ballot),
        Record::Promised(_) | Record::Voted(_) => None,
    });
    used.max().unwrap_or(Ballot::ZERO)
}

fn promised(disk: &[Record<char>]) -> Ballot {
    let promised = disk.iter().filter_map(|record| match record {
        Record::Used(_) => None,
        Record::Promised(ballot) => Some(*ballot),
        Record::Voted(vote) => Some(vote.ballot),
    });
    promised.max().unwrap_or(Ballot::ZERO)
}

// ---- what a state is, whatever its acceptors and values are called ---------------------------------------

/// Values under other names.
struct Renamed<'a, T>(&'a T, &'a [usize]);

impl Hash for Renamed<'_, char> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.1[value_number(*self.0)].hash(hasher);
    }
}

impl Hash for Renamed<'_, Option<Vote<char>>> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self.0 {
            None => 0_u8.hash(hasher),
            Some(vote) => (vote.ballot, Renamed(&vote.value, self.1)).hash(hasher),
        }
    }
}

impl Hash for Renamed<'_, Message<char>> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self.0).hash(hasher);
        self.0.ballot().hash(hasher);
        match self.0 {
            Message::Accept { value, .. }
            | Message::Accepted { value, .. }
            | Message::Chosen { value, .. } => {
                Renamed(value, self.1).hash(hasher);
            }
            Message::Promise { vote, .. } => Renamed(vote, self.1).hash(hasher),
            Message::Nack { promised, .. } => promised.hash(hasher),
            Message::Prepare { .. } | Message::Inquire => {}
        }
    }
}

impl Hash for Renamed<'_, Record<char>> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self.0 {
            Record::Used(ballot) => (0_u8, ballot).hash(hasher),
            Record::Promised(ballot) => (1_u8, ballot).hash(hasher),
            Record::Voted(vote) => (2_u8, vote.ballot, Renamed(&vote.value, self.1)).hash(hasher),
        }
    }
}

impl Nodes {
    /// An acceptor, with everything that others know of it: its own name is left out.
    fn acceptor_print(&self, state: &State, at: usize, names: &[usize]) -> Fingerprint {
        let node = &state.nodes[at];
        let id = node.core.id();
        let acceptor = node.core.acceptor().map(|acceptor| {
            let vote = acceptor.vote().cloned();
            (acceptor.promised(), Fingerprint::of(&Renamed(&vote, names)))
        });
        let heard: Vec<Fingerprint> = state.nodes[self.setting.acceptors..]
            .iter()
            .map(|proposer| Fingerprint::of(&self.known_of(proposer, id, names)))
            .collect();
        let packets: Vec<Fingerprint> = state
            .sent
            .iter()
            .filter(|packet| packet.from == id || packet.to == id)
            .map(|packet| {
                let other = if packet.from == id { packet.to } else { packet.from };
                Fingerprint::of(&(other, Renamed(&packet.message, names)))
            })
            .collect();
        let mut packets = packets;
        packets.sort_unstable();
        Fingerprint::of(&(acceptor, self.disk_print(node, names), heard, packets))
    }

    fn disk_print(&self, node: &Node, names: &[usize]) -> Fingerprint {
        let votes = self.votes_on(&node.disk).iter(&self.sizes);
        let votes: Vec<(usize, usize)> = votes.map(|(ballot, value)| (ballot, names[value])).collect();
        let writes: Vec<Vec<Renamed<'_, Record<char>>>> = node
            .writes
            .iter()
            .map(|(_, records)| records.iter().map(|record| Renamed(record, names)).collect())
            .collect();
        let held = if node.writes.is_empty() { Vec::new() } else { self.held_back(node) };
        let held: Vec<_> = held.iter().map(|(at, to, message)| (at, to, Renamed(message, names))).collect();
        Fingerprint::of(&(used(&node.disk), promised(&node.disk), votes, writes, held))
    }

    /// What a proposer has received of acceptor `id`.
    fn known_of(&self, proposer: &Node, id: NodeId, names: &[usize]) -> (u8, Option<Fingerprint>) {
        match proposer.core.proposer().map(|proposer| proposer.phase()) {
            Some(Phase::Preparing { reported, .. }) => match reported.get(&id) {
                Some(vote) => (1, Some(Fingerprint::of(&Renamed(vote, names)))),
                None => (0, None),
            },
            Some(Phase::Accepting { promises, votes, .. }) => {
                let promised =
                    self.setting.options.audience == Audience::OneQuorumFirst && promises.contains(id);
                (u8::from(votes.contains(id)) * 2 + u8::from(promised), None)
            }
            Some(Phase::Idle) | None => (0, None),
        }
    }

    /// A proposer, without what [`Nodes::known_of`] tells.
    fn proposer_print(&self, node: &Node, names: &[usize]) -> Fingerprint {
        let proposer = node.core.proposer().map(|proposer| {
            let candidate = proposer.candidate().map(|value| Renamed(value, names));
            let phase = match proposer.phase() {
                Phase::Idle => (0_u8, None),
                Phase::Preparing { .. } => (1, None),
                Phase::Accepting { value, .. } => (2, Some(Renamed(value, names))),
            };
            let refused = self.setting.refusals.then(|| proposer.refusals());
            Fingerprint::of(&(proposer.ballot(), candidate, phase, refused))
        });
        let chosen = node.core.chosen().cloned();
        Fingerprint::of(&(proposer, Renamed(&chosen, names), self.disk_print(node, names)))
    }

    fn print(&self, state: &State, names: &[usize]) -> Fingerprint {
        let acceptors = self.setting.acceptors;
        let mut prints: Vec<Fingerprint> =
            (0..acceptors).map(|at| self.acceptor_print(state, at, names)).collect();
        prints.sort_unstable();
        prints.extend(state.nodes[acceptors..].iter().map(|node| self.proposer_print(node, names)));
        let proposals = state.proposals.iter(&self.sizes);
        let proposals: Vec<(usize, usize)> =
            proposals.map(|(ballot, value)| (ballot, names[value])).collect();
        Fingerprint::of(&(prints, proposals, state.crashes))
    }
}

impl Model for Nodes {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        let acceptors = (1..=self.setting.acceptors as u64).map(NodeId);
        let proposers = self.group.proposers().iter().copied();
        let nodes = acceptors.chain(proposers).map(|id| {
            Arc::new(Node { core: self.start(id, &[]), disk: Vec::new(), writes: VecDeque::new() })
        });
        vec![State { nodes: nodes.collect(), sent: Vec::new(), proposals: Pairs::default(), crashes: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, node) in state.nodes.iter().enumerate() {
            if !node.writes.is_empty() {
                actions.push(Action::Persist { node: at });
            }
            if state.crashes < self.setting.crashes {
                actions.push(Action::Crash { node: at });
            }
            let Some(proposer) = node.core.proposer() else { continue };
            let last = self.setting.rounds[at - self.setting.acceptors];
            if proposer.candidate().is_none() && proposer.ballot().round < last {
                actions.extend((0..self.setting.values).map(|value| Action::Propose { node: at, value }));
            } else if proposer.ballot().round < last {
                actions.push(Action::Start { node: at });
            }
            if self.setting.options.audience == Audience::OneQuorumFirst && !proposer.is_idle() {
                actions.push(Action::AskAgain { node: at });
            }
        }
        let arrives = |packet: &Packet| self.place(packet.to).is_some();
        let packets = state.sent.iter().enumerate().filter(|(_, packet)| arrives(packet));
        actions.extend(packets.map(|(packet, _)| Action::Deliver { packet }));
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let at = match *action {
            Action::Propose { node, value } => {
                let taken = next.node(node).core.propose(name(value));
                assert!(taken.is_ok(), "a proposer without a candidate takes one");
                node
            }
            Action::Start { node } => {
                next.node(node).core.start_ballot();
                node
            }
            Action::AskAgain { node } => {
                next.node(node).core.ask_again();
                node
            }
            Action::Deliver { packet } => match self.deliver(&mut next, packet)? {
                Some(at) => at,
                None => return Ok(None),
            },
            Action::Persist { node } => {
                let written = next.node(node).writes.pop_front();
                let (token, records) = written.expect("only a node that waits for a write persists");
                self.check_p1a(&next, node, &records)?;
                next.node(node).disk.extend(records);
                next.node(node).core.handle_persisted(token);
                node
            }
            Action::Crash { node } => {
                self.crash(&mut next, node);
                node
            }
        };
        self.collect(&mut next, at)?;
        self.check(&next)?;
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let prints = self.renamings.iter().map(|names| self.print(state, names));
        prints.min().expect("there is at least the renaming that changes nothing")
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        let id = |node: usize| state.nodes[node].core.id().0;
        match *action {
            Action::Propose { node, value } => {
                format!("a client gives proposer {} the value {}", id(node), name(value))
            }
            Action::Start { node } => format!("proposer {} starts its next ballot", id(node)),
            Action::AskAgain { node } => format!("proposer {} asks again whoever has not answered", id(node)),
            Action::Deliver { packet } => {
                let Packet { from, to, message } = &state.sent[packet];
                format!("{} -> {}: {}", from.0, to.0, words(message))
            }
            Action::Persist { node } => {
                let records = state.nodes[node].writes.front().map(|(_, records)| records);
                format!("the disk of {} has {records:?}", id(node))
            }
            Action::Crash { node } => format!("{} crashes and starts again with its disk", id(node)),
        }
    }
}

fn words(message: &Message<char>) -> String {
    match message {
        Message::Prepare { ballot } => format!("prepare{ballot}"),
        Message::Promise { ballot, vote: None } => format!("promise{ballot}, no vote so far"),
        Message::Promise { ballot, vote: Some(vote) } => {
            format!("promise{ballot}, voted {} with {}", vote.value, vote.ballot)
        }
        Message::Accept { ballot, value } => format!("accept{ballot} {value}"),
        Message::Accepted { ballot, value } => format!("accepted{ballot} {value}"),
        Message::Nack { ballot, promised } => format!("refuses {ballot}, promised {promised}"),
        Message::Chosen { ballot, value } => format!("chosen {value} with {ballot}"),
        Message::Inquire => "what was chosen?".to_owned(),
    }
}
