//! Replication without consensus: a primary, a backup, and somebody who decides which is which.
//!
//! Each of these is shown to fail: whoever decides can fail itself, or take slow for dead.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};
use synod_paxos::node::NodeId;

use super::Outcome;
use super::stage::Stage;
use super::toy::{Acts, Host, Toy};
use crate::clients::Workload;
use crate::history::{Answer, Operation};
use crate::network::between;
use crate::program::RequestId;

/// The servers that hold data.
const SERVERS: [u64; 2] = [1, 2];

/// Ticks of silence after which somebody is taken for dead.
const SILENCE_MAX: u32 = 5;

/// What they say to each other. Nodes above 2 are view servers, of which the first that lives decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Word {
    /// I am alive.
    Ping,
    /// In this view, this server is primary, and has a backup or not.
    View(u64, u64, bool),
    /// Store this too.
    Copy(u64, String, String),
    /// Stored.
    Copied(u64),
}

impl Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Ping => write!(f, "ping"),
            Word::View(view, primary, backup) => {
                let backup = if *backup { "with a backup" } else { "alone" };
                write!(f, "view {view}: n{primary} is primary, {backup}")
            }
            Word::Copy(_, key, value) => write!(f, "copy {key} = {value}"),
            Word::Copied(_) => write!(f, "copied"),
        }
    }
}

/// A server or a view server.
#[derive(Debug)]
pub struct Node {
    id: u64,
    nodes: Vec<u64>,
    silent: BTreeMap<u64, u32>,
    view: (u64, u64, bool),
    data: BTreeMap<String, String>,
    copying: BTreeMap<u64, RequestId>,
}

impl Toy for Node {
    type Setup = ();
    type Message = Word;
    const NAME: &'static str = "primary-backup";
    const WORKLOAD: Workload = Workload::KeyValue;

    fn new((): &(), id: u64, nodes: Vec<u64>) -> Node {
        let silent = nodes.iter().map(|node| (*node, 0)).collect();
        let (data, copying) = (BTreeMap::new(), BTreeMap::new());
        Node { id, nodes, silent, view: (1, SERVERS[0], true), data, copying }
    }

    fn hear(&mut self, from: u64, message: Word, acts: &mut Acts) {
        self.silent.insert(from, 0);
        match message {
            Word::Ping => {}
            Word::View(view, primary, backup) if view > self.view.0 => {
                self.turn_to((view, primary, backup), acts);
            }
            Word::View(..) => {}
            Word::Copy(number, key, value) => {
                self.data.insert(key, value);
                acts.send(&[from], &Word::Copied(number));
            }
            Word::Copied(number) => {
                if let Some(request) = self.copying.remove(&number) {
                    acts.answer(request, Answer::Done);
                }
            }
        }
    }

    fn asked(&mut self, request: RequestId, operation: Operation, acts: &mut Acts) {
        let (_, primary, has_backup) = self.view;
        match operation {
            _ if primary != self.id => acts.refuse(request),
            Operation::Get { key } => acts.answer(request, Answer::Value(self.data.get(&key).cloned())),
            Operation::Put { key, value } => {
                self.data.insert(key.clone(), value.clone());
                if has_backup {
                    self.copying.insert(request.0, request);
                    acts.send(&[SERVERS[0] + SERVERS[1] - self.id], &Word::Copy(request.0, key, value));
                } else {
                    acts.answer(request, Answer::Done);
                }
            }
            _ => acts.refuse(request),
        }
    }

    fn tick(&mut self, acts: &mut Acts) {
        let others: Vec<u64> = self.nodes.iter().copied().filter(|node| *node != self.id).collect();
        acts.send(&others, &Word::Ping);
        for node in &others {
            *self.silent.entry(*node).or_default() += 1;
        }
        if self.decides() {
            self.decide(acts);
        }
    }

    fn knows(&self) -> bool {
        true
    }
}

impl Node {
    fn lives(&self, node: u64) -> bool {
        node == self.id || self.silent.get(&node).is_none_or(|ticks| *ticks <= SILENCE_MAX)
    }

    /// With view servers, the first of them that lives decides. Without, each server decides for itself.
    fn decides(&self) -> bool {
        let mut deciders = self.nodes.iter().filter(|node| !SERVERS.contains(node)).peekable();
        match deciders.peek() {
            Some(_) => deciders.find(|node| self.lives(**node)) == Some(&self.id),
            None => true,
        }
    }

    fn decide(&mut self, acts: &mut Acts) {
        let (view, primary, has_backup) = self.view;
        let backup = SERVERS[0] + SERVERS[1] - primary;
        let next = match (self.lives(primary), self.lives(backup)) {
            (true, alive) => (primary, alive && has_backup),
            (false, true) => (backup, false),
            (false, false) => return,
        };
        if next != (primary, has_backup) {
            self.turn_to((view + 1, next.0, next.1), acts);
        }
        if !SERVERS.contains(&self.id) {
            let (view, primary, backup) = self.view;
            acts.send(&self.nodes, &Word::View(view, primary, backup));
        }
    }

    fn turn_to(&mut self, view: (u64, u64, bool), acts: &mut Acts) {
        self.view = view;
        if !view.2 {
            for (_, request) in std::mem::take(&mut self.copying) {
                acts.answer(request, Answer::Done);
            }
        }
    }
}

/// How long until silence is taken for death, in milliseconds.
const PATIENCE: u64 = 1_000;

/// The link between primary and backup breaks: each takes the other for dead, and both serve.
pub fn split_brain(seed: u64) -> Outcome {
    let mut stage: Stage<Host<Node>> = Stage::new(seed, 2);
    let first = stage.client(1).puts("x", "old").at(1);
    stage.expect_told(first, &Answer::Done);
    stage.isolate(2);
    stage.pass(PATIENCE);
    let second = stage.client(1).puts("x", "new").at(1);
    stage.expect_told(second, &Answer::Done);
    let read = stage.client(2).gets("x").at(2);
    stage.told(read);
    stage.finish_broken("Linearizability")
}

/// The primary is only slow: the backup takes over, and a client of the old primary reads from memory.
pub fn slow_primary(seed: u64) -> Outcome {
    let mut stage: Stage<Host<Node>> = Stage::new(seed, 2);
    let first = stage.client(1).puts("x", "old").at(1);
    stage.expect_told(first, &Answer::Done);
    stage.sleeps(1);
    stage.pass(PATIENCE);
    let second = stage.client(1).puts("x", "new").at(2);
    stage.expect_told(second, &Answer::Done);
    let read = stage.client(2).gets("x").at(1);
    stage.pass(10);
    stage.wakes(1);
    stage.told(read);
    stage.finish_broken("Linearizability")
}

/// A view server knows who is primary, until it fails: then nobody may take over from a dead primary.
pub fn view_server(seed: u64) -> Outcome {
    let mut stage: Stage<Host<Node>> = Stage::new(seed, 3);
    let first = stage.client(1).puts("x", "old").at(1);
    stage.expect_told(first, &Answer::Done);
    stage.dies(3);
    stage.dies(1);
    stage.pass(10 * PATIENCE);
    let read = stage.client(2).gets("x").at(2);
    let told = stage.told(read);
    stage.expect(told.is_none(), "Liveness 1 is lost: the backup holds everything and may not serve");
    stage.finish()
}

/// A view server with a replica is a primary with a backup: cut off from each other, they make two views.
pub fn view_server_replica(seed: u64) -> Outcome {
    let mut stage: Stage<Host<Node>> = Stage::new(seed, 4);
    let first = stage.client(1).puts("x", "old").at(1);
    stage.expect_told(first, &Answer::Done);
    let halves = between(&[NodeId(1), NodeId(3)], &[NodeId(2), NodeId(4)]);
    stage.cut("n1 and n3 are cut off from n2 and n4", &halves);
    stage.pass(2 * PATIENCE);
    let second = stage.client(1).puts("x", "new").at(1);
    stage.expect_told(second, &Answer::Done);
    let read = stage.client(2).gets("x").at(2);
    stage.told(read);
    stage.finish_broken("Linearizability")
}
