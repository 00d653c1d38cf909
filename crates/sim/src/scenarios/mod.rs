//! Scenarios by name: small schedules, told as sentences, each with a verdict of the world's own checkers.
//!
//! ```
//! let scenario = synod_sim::scenarios::named("slow-leader").expect("it is listed");
//! let outcome = scenario.play(7);
//! assert_eq!(outcome.verdict, Ok(()));
//! ```
//!
//! How to add one is told in `docs/scenarios.md`.

mod members;
pub mod stage;

use crate::trace::Trace;

/// A schedule with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Plays it. The seed decides what the schedule leaves open: delays, and who leads first.
    pub run: fn(seed: u64) -> Outcome,
}

/// How a scenario went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that happened.
    pub trace: Trace,
    /// The director's orders and what came of them, one line each.
    pub story: Vec<String>,
    /// Whether it showed what its title says; if not, why.
    pub verdict: Result<(), String>,
}

impl Scenario {
    /// Plays it and puts its name on the trace.
    pub fn play(&self, seed: u64) -> Outcome {
        let mut outcome = (self.run)(seed);
        outcome.trace.scenario = Some(self.name.to_owned());
        outcome
    }
}

/// All scenarios, in the order in which they are best read.
pub fn all() -> &'static [Scenario] {
    ALL
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

const ALL: &[Scenario] = &[Scenario {
    name: "slow-leader",
    title: "a leader that is only slow is replaced, and learns it when it wakes up",
    run: members::leaders::slow_leader,
}];
