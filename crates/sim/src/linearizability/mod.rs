//! Whether one order of all calls, each taking effect at once and between its call and its answer, explains every
//! answer that clients got: linearizability (Herlihy and Wing 1990, "Linearizability: a correctness condition for
//! concurrent objects").
//!
//! [`check()`] decides it from the answers alone. [`check_revisions`] and [`check_appends`] look at the same
//! history from two further sides, which are cheap and whose complaints are easier to understand.
//!
//! What is taken for granted: the store is empty at first, and nobody but the history's clients writes. Times of
//! different clients that are equal order nothing.

mod appends;
mod effect;
mod partition;
mod revisions;
mod search;
pub mod store;
mod story;
mod values;

use std::collections::BTreeSet;

use thiserror::Error;

pub use self::appends::{AppendViolation, check_appends};
use self::partition::{Partition, partitions};
pub use self::revisions::{RevisionViolation, check_revisions};
use self::search::{Stuck, revisions_made, search};
use crate::history::{Call, Outcome};

/// Enough for every honest history of a few thousand calls. Deciding is exponential in the number of transactions of
/// unknown outcome over several keys, of which there may be dozens.
const STEPS: u64 = 300_000;

/// For each prefix of a history that is known to have no order: where it ends need not be told at any price.
const STEPS_OF_STORY: u64 = 10_000;

/// No order explains the answers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not linearizable: {story}")]
pub struct NotLinearizable {
    /// The keys that are concerned; none if it is the value that proposals are about.
    pub keys: Vec<String>,
    /// The history up to this time, in nanoseconds, has no order; up to any earlier time it has one.
    pub until: u64,
    /// The shortest part of the history that has no order, how far one gets with it, and what does not fit.
    pub story: String,
}

/// Finds an order that explains all answers. Calls that failed have no effect; calls of unknown outcome have theirs
/// at some time after the call, or never.
///
/// # Errors
/// There is none.
///
/// # Panics
/// If so many calls of unknown outcome conflict that it cannot be decided; see [`check_within`].
pub fn check(calls: &[Call]) -> Result<(), NotLinearizable> {
    let decided = check_within(calls, STEPS)?;
    assert!(decided, "undecided after {STEPS} steps");
    Ok(())
}

/// The same, giving up on a partition after `steps` of the search. Returns whether every partition was decided.
///
/// # Errors
/// There is none.
pub fn check_within(calls: &[Call], steps: u64) -> Result<bool, NotLinearizable> {
    let made = revisions_made(calls);
    let mut decided = true;
    for partition in partitions(calls) {
        match search(&partition, &made, steps) {
            Ok(()) => {}
            Err(stuck) if stuck.decided => {
                return Err(shortest(&partition, &made, steps.min(STEPS_OF_STORY)));
            }
            Err(_) => decided = false,
        }
    }
    Ok(decided)
}

/// What is wrong with a partition that has no order. Any prefix of a history that has an order has one, so the
/// shortest that has none is found by halving.
fn shortest(partition: &Partition, made: &BTreeSet<i64>, steps: u64) -> NotLinearizable {
    let mut times: Vec<u64> = partition.calls.iter().filter_map(answered_at).collect();
    times.sort_unstable();
    times.dedup();
    let known = |time| {
        let prefix = until(partition, time);
        // What was answered later made its revision as a call of unknown outcome.
        let later: BTreeSet<i64> = &revisions_made(&partition.calls) - &revisions_made(&prefix.calls);
        search(&prefix, &(made - &later), steps).map_err(|Stuck { order, .. }| (prefix, order))
    };
    let time = times[times.partition_point(|&time| known(time).is_ok())];
    let (prefix, order) = known(time).expect_err("this was found just now");
    let story = story::tell(&prefix, &order, time);
    NotLinearizable { keys: partition.keys.clone(), until: time, story }
}

fn answered_at(call: &Call) -> Option<u64> {
    match call.outcome {
        Outcome::Answered { at, .. } => Some(at),
        Outcome::Failed | Outcome::Unknown => None,
    }
}

/// What an observer knew at `time`.
fn until(partition: &Partition, time: u64) -> Partition {
    let mut calls: Vec<Call> = partition.calls.iter().filter(|call| call.called <= time).cloned().collect();
    for call in &mut calls {
        if answered_at(call).is_some_and(|at| at > time) {
            call.outcome = Outcome::Unknown;
        }
    }
    Partition { keys: partition.keys.clone(), calls }
}
