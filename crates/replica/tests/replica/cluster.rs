//! A few replicas whose messages arrive at once and whose disks never wait.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_journal::{Files, MemoryDisk};
use synod_paxos::config::ClusterId;
use synod_paxos::multi::forwarding::Forwarding;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::Protocol;
use synod_paxos::time::Time;
use synod_replica::home::{Home, Owner};
use synod_replica::host::{Config, Host, Outcome, Output, Request};
use synod_replica::submission::Submission;
use synod_replica::textbook::{Command, Reply, Textbook};

pub type Multi = Forwarding<Submission<Command>>;

pub type Replica = Host<Multi, Textbook>;

pub fn owner(node: NodeId) -> Owner {
    Owner { cluster: ClusterId(7), node, protocol: Multi::NAME }
}

pub fn config(nodes: &[NodeId]) -> Config {
    Config {
        nodes: nodes.to_vec(),
        patience: Duration::from_millis(500),
        request_timeout: Duration::from_secs(3),
        snapshot_bytes: 2_000,
        part_bytes: 100,
    }
}

pub struct Cluster {
    nodes: Vec<NodeId>,
    disks: BTreeMap<NodeId, MemoryDisk>,
    running: BTreeMap<NodeId, (Replica, Home)>,
    frames: VecDeque<(NodeId, NodeId, Bytes)>,
    replies: BTreeMap<u64, Outcome<Reply>>,
    pub rejected: Vec<String>,
    /// What was sent to replicas that do not run.
    pub undelivered: Vec<Bytes>,
    requests: u64,
    now: Time,
}

impl Cluster {
    pub fn new(count: u64) -> Cluster {
        let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let mut cluster = Cluster {
            disks: nodes.iter().map(|node| (*node, MemoryDisk::new())).collect(),
            running: BTreeMap::new(),
            frames: VecDeque::new(),
            replies: BTreeMap::new(),
            rejected: Vec::new(),
            undelivered: Vec::new(),
            requests: 0,
            now: Time::from_millis(1),
            nodes: nodes.clone(),
        };
        nodes.into_iter().for_each(|node| cluster.start(node));
        cluster
    }

    pub fn start(&mut self, node: NodeId) {
        let files = Files::Memory(self.disks[&node].clone());
        let (home, memory) = Home::open(&files, owner(node), 500).unwrap();
        let host = Host::start(config(&self.nodes), node, memory, node.0, self.now).unwrap();
        self.running.insert(node, (host, home));
        self.settle();
    }

    pub fn stop(&mut self, node: NodeId) {
        self.running.remove(&node);
    }

    pub fn replica(&self, node: NodeId) -> &Replica {
        &self.running[&node].0
    }

    pub fn deliver(&mut self, from: NodeId, to: NodeId, frame: &[u8]) {
        self.frames.push_back((from, to, Bytes::copy_from_slice(frame)));
        self.settle();
    }

    /// Gives a command to a replica and waits for its outcome.
    pub fn ask(&mut self, node: NodeId, command: Command) -> Outcome<Reply> {
        self.requests += 1;
        let request = self.requests;
        let (host, _) = self.running.get_mut(&node).unwrap();
        host.submit(self.now, Request(request), command).unwrap();
        self.settle();
        self.wait_until(|cluster| cluster.replies.contains_key(&request));
        self.replies.remove(&request).unwrap()
    }

    /// Lets time pass until `done`, at most ten seconds of it.
    pub fn wait_until(&mut self, done: impl Fn(&Cluster) -> bool) {
        let deadline = self.now + Duration::from_secs(10);
        while !done(self) {
            assert!(self.now < deadline, "it does not come to pass");
            let next = self.running.values().filter_map(|(host, _)| host.next_timeout()).min();
            self.now = next.unwrap_or(deadline).max(self.now);
            for (host, _) in self.running.values_mut() {
                host.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let nodes: Vec<NodeId> = self.running.keys().copied().collect();
            nodes.into_iter().for_each(|node| self.do_what_it_wants(node));
            let Some((from, to, frame)) = self.frames.pop_front() else { return };
            match self.running.get_mut(&to) {
                Some((host, _)) => host.handle_frame(self.now, from, &frame),
                None => self.undelivered.push(frame),
            }
        }
    }

    fn do_what_it_wants(&mut self, node: NodeId) {
        let (host, home) = self.running.get_mut(&node).unwrap();
        while let Some(output) = host.poll_output() {
            match output {
                Output::Send { to, frame } => {
                    self.frames.extend(to.into_iter().map(|to| (node, to, frame.clone())));
                }
                Output::Append { write, mark, records, .. } => {
                    home.append(mark, &records);
                    home.sync().unwrap();
                    host.handle_persisted(self.now, write);
                }
                Output::WriteSnapshot { generation, bytes } => {
                    home.write_snapshot(generation, &bytes).unwrap();
                    host.handle_snapshot_durable(self.now);
                }
                Output::Truncate { mark } => home.truncate(mark).unwrap(),
                Output::Reply { request, outcome } => drop(self.replies.insert(request.0, outcome)),
                Output::Rejected { reason, .. } => self.rejected.push(reason),
            }
        }
    }
}
