//! Scenarios of one decision: the shipped single-decree nodes, message by message (`facts/paxos.md` §8 by number).

pub(super) mod exact;
pub(super) mod loose;

use std::time::Duration;

use synod_paxos::synod::options::Options;

use super::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};
use crate::history::Answer;
use crate::program::Program;
use crate::programs::single_decree::SingleDecree;

/// Nodes that never lose patience and inquire of nobody: only what is ordered happens. n1 asks for promises at its
/// start, as a member does that wants to know what was chosen; its messengers wait until they are let go.
fn patient(seed: u64, count: u64) -> Stage<SingleDecree> {
    let majority = usize::try_from(count / 2 + 1).expect("a few nodes");
    let patience = Duration::from_secs(1_000_000);
    let mut stage = Stage::of(seed, count, majority, Options { patience, ..Options::default() });
    stage.lose("inquire", FROM_ANYONE, TO_ANYONE);
    stage.hold("prepare", from(1), TO_ANYONE);
    stage.pass(10);
    stage
}

fn chosen(value: &str) -> Answer {
    Answer::Chosen(value.to_owned())
}

impl Stage<SingleDecree> {
    /// `node` asks only `quorum` for promises, itself included or not.
    fn consults(&mut self, node: u64, quorum: &[u64]) {
        for other in 1..=self.world.nodes().len() as u64 {
            if other != node && !quorum.contains(&other) {
                self.lose("prepare", from(node), to(other));
            }
        }
    }

    /// `node` asks only `quorum` for promises, proposes `value`, and its requests to accept reach only `voters`
    /// beside itself.
    fn proposes_to(&mut self, node: u64, value: &str, quorum: &[u64], voters: &[u64]) {
        self.consults(node, quorum);
        for other in 1..=self.world.nodes().len() as u64 {
            if other != node && !voters.contains(&other) {
                self.lose("accept", from(node), to(other));
            }
        }
        self.client(node).proposes(value).at(node);
        self.pass(50);
    }

    /// A node dies with its power and starts again, remembering what it wrote.
    fn is_restarted(&mut self, node: u64) {
        self.loses_power(node);
        self.pass(1);
        self.starts(node);
        self.pass(20);
    }

    /// Nothing is chosen, and nobody believes it.
    fn expect_nothing_chosen(&mut self) {
        let nodes = self.world.nodes().to_vec();
        let mut running = nodes.iter().filter_map(|node| self.world.program(*node));
        let unknown = running.all(|program| program.standing().chosen.0 == 0);
        let nothing = unknown && self.world.ledger().is_empty();
        self.expect(nothing, "nothing is chosen, and nobody believes that anything is");
    }
}
