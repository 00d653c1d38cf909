//! Exhaustive exploration of small configurations of the shipped protocol code.
//!
//! A [`Model`] says what may happen next; [`explore()`](explore::explore) visits every state there is, breadth first,
//! so that the first violation has a shortest story. A [`Space`](spaces::Space) is a named configuration with its
//! known number of states, and [`spaces()`](spaces::spaces) lists them all:
//!
//! ```
//! use synod_sim::check::explore::Limits;
//! use synod_sim::check::spaces::spaces;
//!
//! let space = spaces().iter().find(|space| space.name == "single-decree-3x2x2").expect("it is listed");
//! let report = space.run(&Limits::default(), &mut |_| {});
//! assert_eq!((report.violation(), report.states), (None, space.expected));
//! ```
//!
//! Who switches a wrong rule on before a run must ask for one thread (`Limits::default()` does): such switches are
//! per thread, and with one thread everything runs on the caller's.

pub mod egalitarian;
pub mod explore;
pub mod fast;
pub mod fast_log;
pub mod fingerprint;
pub mod founding;
pub mod ledger;
pub mod multi_paxos;
mod panics;
pub mod single_decree;
pub mod spaces;

use std::fmt::Debug;

use fingerprint::Fingerprint;

/// A finite, or bounded, transition system whose every reachable state is visited once.
pub trait Model: Sync {
    /// Everything that the future depends on.
    type State: Clone + Send + Sync;
    /// One thing that may happen next.
    type Action: Clone + Debug + Send;

    /// Where it begins.
    fn initial(&self) -> Vec<Self::State>;

    /// Appends everything that may happen in `state`, in an order that depends on nothing else.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// What `action` leads to: `None` if it changes nothing.
    ///
    /// # Errors
    /// The invariant that broke on the way or in the new state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Result<Option<Self::State>, Violation>;

    /// Identifies `state`. States that differ only in interchangeable names, or in what no later step depends on,
    /// share it: one of them stands for all.
    fn fingerprint(&self, state: &Self::State) -> Fingerprint;

    /// One line of a counterexample for people: what `action` does in `state`.
    fn describe(&self, state: &Self::State, action: &Self::Action) -> String;
}

/// An invariant, by the name the literature gives it, and how it was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `P1`, `P2b`, `Safety 2`, ….
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// All orders of `0..count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}
