//! Every handler of single-decree Paxos in every relation of ballots and votes.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not see helpers of tests")]

mod acceptor;
mod core;
mod learner;
mod proposer;

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::durable::{Gate, Sealed};
use synod_paxos::node::NodeId;
use synod_paxos::synod::options::Group;

/// Breaks the seal as a driver would: by finishing the write.
fn open<T>(sealed: Sealed<T>) -> T {
    let mut gate = Gate::default();
    let token = gate.issue();
    gate.hold(token, sealed);
    assert!(gate.pop().is_none(), "nothing leaves before the write is durable");
    gate.persisted(token);
    gate.pop().unwrap()
}

fn ballot(round: u64, node: u64) -> Ballot {
    Ballot::new(round, NodeId(node))
}

fn vote(ballot: Ballot, value: char) -> Vote<char> {
    Vote { ballot, value }
}

fn nodes(count: u64) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

fn combined(count: u64) -> Arc<Group> {
    Arc::new(Group::combined(nodes(count)).unwrap())
}
