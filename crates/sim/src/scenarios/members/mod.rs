//! Scenarios of whole members: the code that ships, with journals, checkpoints and clients.

pub(super) mod catching_up;
pub(super) mod crashes;
pub(super) mod disks;
pub(super) mod leaders;

use crate::history::Answer;
use crate::program::Program;
use crate::programs::member::Member;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// An election timeout of members set up as usual, in milliseconds.
const ELECTION: u64 = 500;

/// What a key holds.
fn holds(value: &str) -> Answer {
    Answer::Value(Some(value.to_owned()))
}

/// A stage with a leader, and who leads.
fn led(seed: u64, count: u64) -> (Stage<Member>, u64) {
    let mut stage = Stage::new(seed, count);
    let leader = stage.expect_leader(10 * ELECTION, &[]);
    (stage, leader)
}

impl Stage<Member> {
    /// Somebody who is not in `except` leads and can make progress within so many milliseconds. Returns who.
    fn expect_leader(&mut self, milliseconds: u64, except: &[u64]) -> u64 {
        let mut leader = 0;
        self.until("a leader can make progress", milliseconds, |world| {
            let Some(node) = world.leader().filter(|node| !except.contains(&node.0)) else { return false };
            leader = node.0;
            world.program(node).is_some_and(|program| program.standing().happy)
        });
        self.say(format_args!("n{leader} leads"));
        leader
    }

    /// Whatever is sent to or by `node` from now on gets lost. Unlike behind a cut, what was held back may still arrive.
    fn silence(&mut self, node: u64) {
        self.lose("", from(node), TO_ANYONE);
        self.lose("", FROM_ANYONE, to(node));
    }

    /// Ends [`Stage::silence`].
    fn end_silence(&mut self, node: u64) {
        self.let_through("", from(node), TO_ANYONE);
        self.let_through("", FROM_ANYONE, to(node));
    }

    /// Everybody but `leader`, in order.
    fn others(&self, leader: u64) -> Vec<u64> {
        self.world.nodes().iter().map(|node| node.0).filter(|node| *node != leader).collect()
    }

    /// Writes and expects to be told that it is done.
    fn write(&mut self, node: u64, key: &str, value: &str) {
        let asked = self.client(1).puts(key, value).at(node);
        self.expect_told(asked, &Answer::Done);
    }

    /// Reads and expects to be told this.
    fn read(&mut self, node: u64, key: &str, value: &str) {
        self.expect_told_by(node, key, &holds(value));
    }

    /// Reads and expects this answer.
    fn expect_told_by(&mut self, node: u64, key: &str, expected: &Answer) {
        let asked = self.client(2).gets(key).at(node);
        self.expect_told(asked, expected);
    }
}
