//! Leaders that are slow, cut off, deaf, or too many.

use super::{ELECTION, led};
use crate::scenarios::Outcome;

/// §8.16 and §8.17 of the scenarios: an old leader that was only slow, with a client's read in its hands.
pub fn slow_leader(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    stage.sleeps(old);
    let new = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(new, "x", "after");
    let stale = stage.client(3).gets("x").at(old);
    stage.pass(50);
    stage.wakes(old);
    let told = stage.told(stale);
    stage.expect(told != Some(super::holds("before")), "the old leader did not answer from memory");
    stage.write(old, "y", "through the old leader");
    for node in stage.others(old) {
        stage.read(node, "y", "through the old leader");
    }
    stage.expect_everybody_learns();
    stage.finish()
}
