//! Breadth first through every reachable state.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::check::fingerprint::{BuildMixed, Fingerprint};
use crate::check::{Model, Violation, panics};

/// How far to go, and with how many threads. The counts do not depend on the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps from the beginning; none means until nothing new is found.
    pub depth: Option<u32>,
    /// States to visit before it stops, about.
    pub states: Option<u64>,
    /// Threads to work on. With one, everything runs on the caller's.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth: None, states: None, threads: 1 }
    }
}

/// How far an exploration is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Different states found.
    pub states: u64,
    /// Steps tried that changed something.
    pub transitions: u64,
    /// Steps from the beginning to where it is now.
    pub depth: u32,
    /// Since when it runs.
    pub elapsed: Duration,
}

/// Who is told of progress.
pub type Listener<'a> = dyn FnMut(&Progress) + 'a;

/// What an exploration found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: u64,
    /// Steps that changed something, those to states known already included.
    pub transitions: u64,
    /// The largest number of steps that the shortest way to a state takes.
    pub depth: u32,
    /// Whether every reachable state was visited: no limit was hit and nothing broke.
    pub closed: bool,
    /// A shortest way to a broken invariant.
    pub counterexample: Option<Counterexample>,
}

impl Report {
    /// The invariant that broke.
    pub fn violation(&self) -> Option<&Violation> {
        self.counterexample.as_ref().map(|counterexample| &counterexample.violation)
    }
}

/// A broken invariant and the steps that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What broke.
    pub violation: Violation,
    /// One sentence a step, the last being the one that broke it.
    pub steps: Vec<String>,
}

/// How many states are expanded before their successors are merged: it bounds what is in memory twice.
const BATCH: usize = 8192;

/// Visits every state of `model` within `limits`. `progress` is told now and then.
pub fn explore<M: Model>(model: &M, limits: &Limits, progress: &mut Listener<'_>) -> Report {
    let mut visit = Visit::new(model);
    let began = Instant::now();
    while !visit.frontier.is_empty() && !visit.is_limited(limits) {
        visit.depth += 1;
        let level = std::mem::take(&mut visit.frontier);
        for batch in level.chunks(BATCH) {
            for expansion in visit.expand(batch, limits.threads) {
                if let Some(report) = visit.merge(expansion) {
                    return report;
                }
            }
            progress(&visit.progress(began));
        }
    }
    if visit.frontier.is_empty() {
        // The last level led nowhere new.
        visit.depth = visit.depth.saturating_sub(1);
    }
    visit.report(visit.frontier.is_empty(), None)
}

/// A state that waits to be expanded, by its number.
struct Found<S> {
    number: u32,
    state: S,
}

/// What one thread found from its share of a batch.
struct Expansion<M: Model> {
    successors: Vec<(u32, Fingerprint, M::State)>,
    transitions: u64,
    broken: Option<(u32, M::Action, Violation)>,
}

struct Visit<'a, M: Model> {
    model: &'a M,
    /// Never iterated over.
    seen: HashSet<u128, BuildMixed>,
    /// By number: the fingerprint, and the number of the state it was first reached from.
    origins: Vec<(Fingerprint, u32)>,
    frontier: Vec<Found<M::State>>,
    transitions: u64,
    depth: u32,
}

/// The origin of those that were there at the beginning.
const NOWHERE: u32 = u32::MAX;

impl<'a, M: Model> Visit<'a, M> {
    fn new(model: &'a M) -> Visit<'a, M> {
        let mut visit = Visit {
            model,
            seen: HashSet::default(),
            origins: Vec::new(),
            frontier: Vec::new(),
            transitions: 0,
            depth: 0,
        };
        for state in model.initial() {
            visit.add(NOWHERE, model.fingerprint(&state), state);
        }
        visit
    }

    fn is_limited(&self, limits: &Limits) -> bool {
        limits.depth.is_some_and(|depth| self.depth >= depth)
            || limits.states.is_some_and(|states| self.origins.len() as u64 >= states)
    }

    fn add(&mut self, origin: u32, fingerprint: Fingerprint, state: M::State) {
        if self.seen.insert(fingerprint.0) {
            let number =
                u32::try_from(self.origins.len()).expect("memory ends before four thousand million states");
            self.origins.push((fingerprint, origin));
            self.frontier.push(Found { number, state });
        }
    }

    /// Splits `batch` among threads. The results come in the order of the batch.
    fn expand(&self, batch: &[Found<M::State>], threads: usize) -> Vec<Expansion<M>> {
        if threads <= 1 || batch.len() < threads * 64 {
            return vec![self.expand_share(batch)];
        }
        std::thread::scope(|scope| {
            let shares = batch.chunks(batch.len().div_ceil(threads));
            let workers: Vec<_> = shares.map(|share| scope.spawn(|| self.expand_share(share))).collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(|share| share.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    }

    fn expand_share(&self, share: &[Found<M::State>]) -> Expansion<M> {
        let mut expansion = Expansion { successors: Vec::new(), transitions: 0, broken: None };
        let mut actions = Vec::new();
        for Found { number, state } in share {
            actions.clear();
            self.model.actions(state, &mut actions);
            for action in &actions {
                match step(self.model, state, action) {
                    Ok(None) => {}
                    Ok(Some((same, _))) if same == self.origins[*number as usize].0 => {}
                    Ok(Some((fingerprint, next))) => {
                        expansion.transitions += 1;
                        if !self.seen.contains(&fingerprint.0) {
                            expansion.successors.push((*number, fingerprint, next));
                        }
                    }
                    Err(violation) => {
                        expansion.broken = Some((*number, action.clone(), violation));
                        return expansion;
                    }
                }
            }
        }
        expansion
    }

    /// Adds what is new. Returns the end of the exploration if something broke.
    fn merge(&mut self, expansion: Expansion<M>) -> Option<Report> {
        self.transitions += expansion.transitions;
        for (origin, fingerprint, state) in expansion.successors {
            self.add(origin, fingerprint, state);
        }
        let (number, action, violation) = expansion.broken?;
        let steps = self.story(number, &action);
        Some(self.report(false, Some(Counterexample { violation, steps })))
    }

    /// How the state with this number was reached, and what was done in it: only numbers were kept, so the way is
    /// walked again.
    fn story(&self, number: u32, last: &M::Action) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = number;
        while at != NOWHERE {
            let (fingerprint, origin) = self.origins[at as usize];
            way.push(fingerprint);
            at = origin;
        }
        let mut way = way.into_iter().rev();
        let first = way.next();
        let begins = |state: &M::State| Some(self.model.fingerprint(state)) == first;
        let mut state =
            self.model.initial().into_iter().find(begins).expect("every way begins in an initial state");
        let mut steps = Vec::new();
        for fingerprint in way {
            let (action, next) = self.towards(&state, fingerprint);
            steps.push(self.model.describe(&state, &action));
            state = next;
        }
        steps.push(self.model.describe(&state, last));
        steps
    }

    fn towards(&self, state: &M::State, fingerprint: Fingerprint) -> (M::Action, M::State) {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        let taken = actions.into_iter().find_map(|action| match step(self.model, state, &action) {
            Ok(Some((reached, next))) if reached == fingerprint => Some((action, next)),
            _ => None,
        });
        taken.expect("a model takes the same steps each time")
    }

    fn progress(&self, began: Instant) -> Progress {
        Progress {
            states: self.origins.len() as u64,
            transitions: self.transitions,
            depth: self.depth,
            elapsed: began.elapsed(),
        }
    }

    fn report(&self, closed: bool, counterexample: Option<Counterexample>) -> Report {
        Report {
            states: self.origins.len() as u64,
            transitions: self.transitions,
            depth: self.depth,
            closed,
            counterexample,
        }
    }
}

/// One step. An assertion of the code that fails in it is a violation too.
fn step<M: Model>(
    model: &M,
    state: &M::State,
    action: &M::Action,
) -> Result<Option<(Fingerprint, M::State)>, Violation> {
    let taken = panics::catch(|| {
        let next = model.step(state, action)?;
        Ok(next.map(|next| (model.fingerprint(&next), next)))
    });
    taken.unwrap_or_else(|what| Err(Violation { invariant: "an assertion of the code", what }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters that go up to 3 and 2, one at a time. What the function says of them is a violation.
    struct Counters(fn(u8, u8) -> bool);

    impl Model for Counters {
        type State = (u8, u8);
        type Action = bool;

        fn initial(&self) -> Vec<(u8, u8)> {
            vec![(0, 0)]
        }

        fn actions(&self, _: &(u8, u8), actions: &mut Vec<bool>) {
            actions.extend([false, true]);
        }

        fn step(&self, (a, b): &(u8, u8), left: &bool) -> Result<Option<(u8, u8)>, Violation> {
            let next = if *left { (a + 1, *b) } else { (*a, b + 1) };
            if (self.0)(next.0, next.1) {
                return Err(Violation { invariant: "counters", what: format!("{next:?}") });
            }
            Ok((next.0 <= 3 && next.1 <= 2).then_some(next))
        }

        fn fingerprint(&self, state: &(u8, u8)) -> Fingerprint {
            Fingerprint::of(state)
        }

        fn describe(&self, _: &(u8, u8), left: &bool) -> String {
            if *left { "left" } else { "right" }.to_owned()
        }
    }

    fn run(broken: fn(u8, u8) -> bool, limits: Limits) -> Report {
        explore(&Counters(broken), &limits, &mut |_| {})
    }

    #[test]
    fn every_state_is_visited_once_and_every_step_counted() {
        let report = run(|_, _| false, Limits::default());
        let expected = Report { states: 12, transitions: 17, depth: 5, closed: true, counterexample: None };
        assert_eq!(report, expected);
    }

    #[test]
    fn the_story_of_a_violation_is_a_shortest_one() {
        let report = run(|a, b| a == 2 && b == 2, Limits::default());
        assert!(!report.closed);
        let counterexample = report.counterexample.unwrap();
        assert_eq!(counterexample.violation, Violation { invariant: "counters", what: "(2, 2)".to_owned() });
        let left = counterexample.steps.iter().filter(|step| *step == "left").count();
        assert_eq!((left, counterexample.steps.len()), (2, 4));
    }

    #[test]
    fn an_assertion_that_fails_is_a_violation_with_its_words() {
        let assertion = |a, b| {
            assert!((a, b) != (1, 2), "one and two");
            false
        };
        let report = run(assertion, Limits::default());
        let violation = report.violation().unwrap();
        assert_eq!(violation.invariant, "an assertion of the code");
        assert!(violation.what.starts_with("one and two"), "{violation:?}");
        assert_eq!(report.counterexample.unwrap().steps.len(), 3);
    }

    #[test]
    fn a_depth_that_is_reached_leaves_the_space_open() {
        let report = run(|_, _| false, Limits { depth: Some(2), ..Limits::default() });
        assert_eq!((report.states, report.depth, report.closed), (6, 2, false));
    }
}
