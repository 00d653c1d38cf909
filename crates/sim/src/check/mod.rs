//! Exhaustive exploration of small configurations of the shipped protocol code.

use std::fmt::Debug;
use std::hash::Hash;

/// A finite, or bounded, transition system whose every reachable state is visited once.
pub trait Model: Sync {
    /// Everything that the future depends on.
    type State: Clone + Eq + Hash + Debug + Send + Sync;
    /// One thing that may happen next.
    type Action: Clone + Debug + Send;

    /// Where it begins.
    fn initial(&self) -> Vec<Self::State>;

    /// Appends everything that may happen in `state`.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// What `action` leads to: `None` if it changes nothing.
    ///
    /// # Errors
    /// The invariant that broke on the way or in the new state.
    fn step(&self, state: &Self::State, action: &Self::Action) -> Result<Option<Self::State>, Violation>;

    /// The representative of all states that are `state` with interchangeable names swapped.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }

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
