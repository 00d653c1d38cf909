//! A scenario of Raft, for comparison with those of Paxos.

use synod_paxos::node::NodeId;

use crate::history::Answer;
use crate::programs::replicated::Raft;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{Stage, TO_ANYONE, from, to};

const NODES: std::ops::RangeInclusive<u64> = 1..=5;

/// Nobody else stands for election until `node` leads.
fn elect(stage: &mut Stage<Raft>, node: u64) {
    for other in NODES.filter(|other| *other != node) {
        stage.lose("pre-vote", from(other), TO_ANYONE);
    }
    stage.until(&format!("n{node} leads"), 10_000, |world| world.leader() == Some(NodeId(node)));
    for other in NODES.filter(|other| *other != node) {
        stage.let_through("pre-vote", from(other), TO_ANYONE);
    }
}

/// Figure 8 (Ongaro 2014, §3.6.2). n1 leads again and brings entries of its first term to a majority, but nothing of its
/// present one. They do not count as committed: n5, which has an entry of a term between, is elected by others and
/// replaces them. In Paxos the new leader would have proposed them again with its own ballot.
pub fn figure_8(seed: u64) -> Outcome {
    let mut stage = Stage::<Raft>::new(seed, 5);
    elect(&mut stage, 1);
    stage.pass(100);
    for other in 3..=5 {
        stage.lose("append", from(1), to(other));
    }
    // As many entries as one message holds.
    for client in 1..=4 {
        stage.client(client).puts("x", &client.to_string()).at(1);
        stage.pass(10);
    }
    stage.dies(1);
    stage.lose("append", from(5), TO_ANYONE);
    elect(&mut stage, 5);
    stage.client(5).puts("x", "5").at(5);
    stage.pass(20);
    stage.dies(5);
    for other in [3, 5] {
        stage.let_through("append", from(1), to(other));
    }
    stage.hold("append t3 [1] after 5,", from(1), to(3));
    stage.starts(1);
    elect(&mut stage, 1);
    // n3 refuses what does not follow its log, and gets what comes before it instead.
    stage.deliver("append t3 [1] after 5,", from(1), to(3));
    stage.until_held("append t3 [1] after 5,", from(1), to(3), 1_000);
    stage.pass(20);
    stage.dies(1);
    stage.let_through("append", from(5), TO_ANYONE);
    stage.starts(5);
    elect(&mut stage, 5);
    let asked = stage.client(6).gets("x").at(5);
    stage.expect_told(asked, &Answer::Value(Some("5".to_owned())));
    stage.starts(1);
    let asked = stage.client(6).puts("x", "6").at(5);
    stage.expect_told(asked, &Answer::Done);
    for node in NODES {
        let asked = stage.client(10 + node).gets("x").at(node);
        stage.expect_told(asked, &Answer::Value(Some("6".to_owned())));
    }
    stage.finish()
}
