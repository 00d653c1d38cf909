//! Nodes, their disks and the messages under way, all moved by hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use synod_paxos::durable::Token;
use synod_paxos::fast::coordinator::Phase;
use synod_paxos::fast::core::Output;
use synod_paxos::fast::message::Message;
use synod_paxos::fast::node::Node;
use synod_paxos::fast::options::{Options, Recovery};
use synod_paxos::fast::record::Record;
use synod_paxos::fast::round::{Round, Vote};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;
use synod_paxos::time::Time;

type Value = String;

/// Begins a line that tells of a mistake in the script itself.
pub(crate) const MISTAKE: &str = "??";

#[derive(Default)]
struct Host {
    node: Option<Node<Value>>,
    synced: Vec<Record<Value>>,
    unsynced: VecDeque<(Token, Vec<Record<Value>>)>,
    starts: u64,
}

struct Packet {
    from: NodeId,
    to: NodeId,
    message: Message<Value>,
}

/// Everything a script can move.
#[derive(Default)]
pub(crate) struct Stage {
    /// What happened and was not yet written down.
    pub(crate) happened: Vec<String>,
    group: Option<Arc<FastQuorumSystem>>,
    options: Options,
    hosts: BTreeMap<NodeId, Host>,
    under_way: Vec<Packet>,
    now: Time,
}

impl Stage {
    /// Plays one command.
    pub(crate) fn play(&mut self, line: &str) {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "nodes" => self.set_up(rest),
            "lead" => {
                let now = self.now;
                self.node(node_id(rest)).lead(now);
                self.settle(node_id(rest));
            }
            "propose" => {
                let (id, value) = rest.split_once(' ').unwrap();
                let now = self.now;
                self.node(node_id(id)).propose(now, value.to_owned()).unwrap();
                self.settle(node_id(id));
            }
            "persist" => {
                if !self.persist(node_id(rest)) {
                    self.happened.push(format!("{MISTAKE} {line}: nothing to write"));
                }
            }
            "deliver" | "drop" | "duplicate" => self.move_message(command, rest),
            "crash" => self.crash(rest),
            "restart" => self.start(node_id(rest)),
            "timeout" => {
                let Some(due) = self.node(node_id(rest)).next_timeout() else {
                    self.happened.push(format!("{MISTAKE} {line}: no deadline is set"));
                    return;
                };
                self.now = self.now.max(due);
                let now = self.now;
                self.node(node_id(rest)).handle_timeout(now);
                self.settle(node_id(rest));
            }
            "learn" => {
                let now = self.now;
                self.node(node_id(rest)).learn(now);
                self.settle(node_id(rest));
            }
            "run" => self.run(),
            "state" => self.show_state(),
            _ => panic!("unknown command: {line}"),
        }
    }

    fn set_up(&mut self, settings: &str) {
        let (count, settings) = settings.split_once(' ').unwrap_or((settings, ""));
        let nodes: Vec<NodeId> = (1..=count.parse().unwrap()).map(NodeId).collect();
        let settings: BTreeMap<&str, &str> = settings
            .split_whitespace()
            .map(|setting| setting.split_once('=').unwrap_or((setting, "")))
            .collect();
        let number = |key: &str| settings.get(key).map(|number| number.parse::<usize>().unwrap());
        let group = match (number("f"), number("e")) {
            (Some(f), Some(e)) => FastQuorumSystem::with_failures(nodes.clone(), f, e),
            _ => FastQuorumSystem::majority(nodes.clone()),
        };
        let mut options = Options::default();
        if settings.contains_key("uncoordinated") {
            options.recovery = Recovery::Uncoordinated;
        }
        *self = Stage { group: Some(Arc::new(group.unwrap())), options, ..Stage::default() };
        for id in nodes {
            self.hosts.insert(id, Host::default());
            self.boot(id);
        }
    }

    fn boot(&mut self, id: NodeId) {
        let group = self.group.clone().unwrap();
        let host = self.hosts.get_mut(&id).unwrap();
        host.starts += 1;
        host.node = Some(Node::new(id, group, self.options, &host.synced, id.0 + 100 * host.starts));
    }

    fn start(&mut self, id: NodeId) {
        assert!(self.hosts[&id].node.is_none(), "{id} is up");
        self.boot(id);
        self.happened.push(format!("{id} starts with {}", show_records(&self.hosts[&id].synced)));
    }

    fn node(&mut self, id: NodeId) -> &mut Node<Value> {
        self.hosts.get_mut(&id).unwrap().node.as_mut().unwrap_or_else(|| panic!("{id} is down"))
    }

    fn persist(&mut self, id: NodeId) -> bool {
        let mut any = false;
        while let Some((token, records)) = self.hosts.get_mut(&id).and_then(|host| host.unsynced.pop_front())
        {
            any = true;
            self.happened.push(format!("{id} has on disk: {}", show_records(&records)));
            self.hosts.get_mut(&id).unwrap().synced.extend(records);
            let now = self.now;
            self.node(id).handle_persisted(now, token);
            self.settle(id);
        }
        any
    }

    fn crash(&mut self, rest: &str) {
        let (id, keep) = rest.split_once(" keep=").unwrap_or((rest, "0"));
        let host = self.hosts.get_mut(&node_id(id)).unwrap();
        assert!(host.node.take().is_some(), "{id} is down already");
        let mut lost = host.unsynced.split_off(keep.parse().unwrap());
        for (_, records) in host.unsynced.drain(..) {
            self.happened.push(format!("n{id} dies, but its disk kept: {}", show_records(&records)));
            host.synced.extend(records);
        }
        let lost: Vec<Record<Value>> = lost.drain(..).flat_map(|(_, records)| records).collect();
        self.happened.push(format!("n{id} dies and forgets: {}", show_records(&lost)));
    }

    /// Puts down what a node wants done.
    fn settle(&mut self, id: NodeId) {
        while let Some(output) = self.node(id).poll_output() {
            match output {
                Output::Send { to, message } => {
                    let names: Vec<String> = to.iter().map(NodeId::to_string).collect();
                    self.happened.push(format!("{id} -> {}: {}", names.join(" "), show(&message)));
                    let packets = to.into_iter().map(|to| Packet { from: id, to, message: message.clone() });
                    self.under_way.extend(packets);
                }
                Output::Persist { token, records } => {
                    self.happened.push(format!("{id} writes: {}", show_records(&records)));
                    self.hosts.get_mut(&id).unwrap().unsynced.push_back((token, records));
                }
                Output::Chosen(Vote { round, value }) => {
                    self.happened.push(format!("{id} knows: {value} is chosen in {round}"));
                }
            }
        }
    }

    fn move_message(&mut self, command: &str, rest: &str) {
        let mut words = rest.splitn(3, ' ');
        let name = words.next().unwrap();
        let (from, tos) = words.next().unwrap().split_once("->").unwrap();
        let text = words.next().unwrap_or("");
        for to in tos.split(',').map(node_id) {
            let is_it = |packet: &Packet| {
                packet.message.name() == name
                    && packet.from == node_id(from)
                    && packet.to == to
                    && show(&packet.message).contains(text)
            };
            let at = self.under_way.iter().position(is_it);
            let Some(at) = at else {
                self.happened.push(format!("{MISTAKE} {command} {rest}: no such message is under way"));
                return;
            };
            let message = self.under_way[at].message.clone();
            if command != "duplicate" {
                self.under_way.remove(at);
            }
            if command != "drop" {
                self.arrive(node_id(from), to, message);
            }
        }
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, message: Message<Value>) {
        let now = self.now;
        let Some(node) = &mut self.hosts.get_mut(&to).unwrap().node else {
            self.happened.push(format!("{to} is down: lost {}", show(&message)));
            return;
        };
        if let Err(rejection) = node.handle_message(now, from, message) {
            self.happened.push(format!("{to} rejects: {rejection}"));
        }
        self.settle(to);
    }

    fn run(&mut self) {
        loop {
            let ids: Vec<NodeId> = self.hosts.keys().copied().collect();
            if ids.into_iter().any(|id| self.hosts[&id].node.is_some() && self.persist(id)) {
                continue;
            }
            if self.under_way.is_empty() {
                return;
            }
            let Packet { from, to, message } = self.under_way.remove(0);
            self.arrive(from, to, message);
        }
    }

    fn show_state(&mut self) {
        for (id, host) in &self.hosts {
            let Some(node) = &host.node else {
                self.happened.push(format!("{id} is down"));
                continue;
            };
            let core = node.core();
            let acceptor = core.acceptor();
            let mut parts = vec![format!("promised {}", show_promise(acceptor.promised()))];
            parts.push(
                acceptor.vote().map_or("no vote".to_owned(), |vote| format!("voted {}", show_vote(vote))),
            );
            let ballot = core.coordinator().ballot();
            match core.coordinator().phase() {
                Phase::Idle => {}
                Phase::Preparing { .. } => parts.push(format!("preparing {ballot}")),
                Phase::Open { .. } => parts.push(format!("opened {ballot}")),
                Phase::Closed { value } => parts.push(format!("proposing {ballot} {value}")),
            }
            let known = match core.chosen() {
                Some(vote) => format!("knows {} is chosen", vote.value),
                None if core.learner().is_in_doubt() => "in doubt".to_owned(),
                None => "knows nothing".to_owned(),
            };
            parts.push(known);
            self.happened.push(format!("{id}: {}", parts.join(", ")));
        }
    }
}

fn node_id(text: &str) -> NodeId {
    NodeId(text.parse().unwrap_or_else(|_| panic!("not a node: {text}")))
}

fn show_promise(promised: Round) -> String {
    match promised {
        Round::ZERO => "nothing".to_owned(),
        _ => promised.to_string(),
    }
}

fn show_vote(vote: &Vote<Value>) -> String {
    format!("{} {}", vote.round, vote.value)
}

fn show_records(records: &[Record<Value>]) -> String {
    let show_record = |record: &Record<Value>| match record {
        Record::Used(ballot) => format!("used {ballot}"),
        Record::Promised(ballot) => format!("promised {ballot}"),
        Record::Voted(vote) => format!("voted {}", show_vote(vote)),
    };
    if records.is_empty() {
        return "nothing".to_owned();
    }
    records.iter().map(show_record).collect::<Vec<_>>().join("; ")
}

fn show(message: &Message<Value>) -> String {
    match message {
        Message::Propose { value } => format!("propose {value}"),
        Message::Prepare { ballot } => format!("prepare {ballot}"),
        Message::Promise { ballot, vote } => {
            let vote =
                vote.as_ref().map_or("no vote".to_owned(), |vote| format!("voted {}", show_vote(vote)));
            format!("promise {ballot}, {vote}")
        }
        Message::Any { ballot, recovery: Recovery::Coordinated } => format!("any {ballot}"),
        Message::Any { ballot, recovery: Recovery::Uncoordinated } => format!("any {ballot}, uncoordinated"),
        Message::Accept { ballot, value } => format!("accept {ballot} {value}"),
        Message::Accepted(vote) => format!("accepted {}", show_vote(vote)),
        Message::Nack { ballot, promised } => format!("nack {ballot}, promised {promised}"),
        Message::Chosen(vote) => format!("chosen {}", show_vote(vote)),
        Message::Inquire => "inquire".to_owned(),
    }
}
