//! The search for an order that explains all answers.
//!
//! Wing and Gong 1993 ("Testing and verifying concurrent objects"): depth first, always one of the calls that nothing
//! answered and not yet placed precedes. Lowe 2017 ("Testing for linearizability"): never again from a configuration,
//! which is a set of placed calls and a state, that was tried before.
//!
//! What is new is how calls of unknown outcome are kept from doubling the configurations each. There are four rules,
//! and none of them changes a verdict:
//!
//! 1. *Only when needed.* Such a call may be left out of any order. So in an order that cannot be made shorter, each
//!    one matters to a later call, and it can be moved down to just before the first call that looks at or overwrites
//!    what it writes, or overwrites what it looks at (nothing ends its interval). It is tried only there: as part of a [`chain`](Search::chains) in front of an
//!    answered call, and never where the next to touch its key overwrites without looking.
//! 2. *Interchangeable.* Of calls with equal effects the earliest called goes first: wherever another can be, it
//!    can be too.
//! 3. *Fewer is better.* A configuration that used up a superset of the unknown calls that another with the same
//!    answered calls and the same state used has no future that the other has not.
//! 4. *Unseen values are one*, see [`Value::UNSEEN`](super::values::Value::UNSEEN): this keeps appends from
//!    multiplying the states, since a list that no later read begins with is like any other such list.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::effect::{self, Effect, State};
use super::partition::Partition;
use super::values::{Value, Values};
use crate::history::{Answer, Call, Operation, Outcome, Step};

/// An answered call.
#[derive(Debug)]
struct Answered {
    effect: Effect,
    called: u64,
    returned: u64,
    /// Its place in the partition.
    call: usize,
    /// The same client's call that was answered at the very time of this one, which times alone do not order.
    before: Option<usize>,
    /// What is likely to come first has less. Decides how long the search takes, not what it finds.
    rank: (i64, bool, u64),
}

/// Calls of unknown outcome with equal effects.
#[derive(Debug)]
struct Class {
    effect: Effect,
    /// When each was called and its place in the partition, in order.
    members: Vec<(u64, usize)>,
    reads: BTreeSet<usize>,
    writes: BTreeSet<usize>,
}

/// A bit for each answered call: whether it was placed.
type Placed = Box<[u64]>;
/// How many of each class were placed.
type Used = Box<[u16]>;

/// Which calls were placed, and what the keys hold then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    placed: Placed,
    state: State,
    used: Used,
}

impl Configuration {
    fn has(&self, answered: usize) -> bool {
        self.placed[answered / 64] & (1 << (answered % 64)) != 0
    }

    fn with(&self, answered: usize, state: State, used: Used) -> Configuration {
        let mut placed = self.placed.clone();
        placed[answered / 64] |= 1 << (answered % 64);
        Configuration { placed, state, used }
    }
}

/// A configuration on the way down, and the ways on from it.
#[derive(Debug)]
struct Frame {
    configuration: Configuration,
    /// Calls that were placed to get here, by their place in the partition.
    via: Vec<usize>,
    /// All answered calls before this one are placed.
    first: usize,
    /// Answered calls that may be next, the likely ones first.
    candidates: Vec<usize>,
    /// No call made later may be next.
    deadline: u64,
    ways: std::vec::IntoIter<Way>,
    /// Whether `ways` are those that need calls of unknown outcome.
    chained: bool,
}

/// A way on: these calls are placed next.
#[derive(Debug)]
struct Way {
    via: Vec<usize>,
    to: Configuration,
}

/// What calls of unknown outcome lead to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    state: State,
    used: Used,
    /// The keys that one of them wrote, as its only key, and that nothing has looked at since, as bits. Keys beyond
    /// the 64th have none.
    unread: u64,
}

#[derive(Debug)]
pub struct Search {
    values: Values,
    keys: usize,
    answered: Vec<Answered>,
    classes: Vec<Class>,
    /// Per set of placed answered calls and state: what was used up on arrival.
    visited: HashMap<(Placed, State), Vec<Used>>,
    furthest: Vec<usize>,
}

fn bit(key: usize) -> u64 {
    u32::try_from(key).ok().and_then(|key| 1_u64.checked_shl(key)).unwrap_or(0)
}

impl Search {
    pub fn new(partition: &Partition) -> Search {
        let Partition { keys, calls } = partition;
        let mut values = Values::new(effect::seen(calls, keys));
        let mut answered = Vec::new();
        let mut classes = BTreeMap::<Effect, Vec<(u64, usize)>>::new();
        for (number, call) in calls.iter().enumerate() {
            let effect = Effect::new(call, keys, &mut values);
            match &call.outcome {
                Outcome::Answered { at, answer, revision } => answered.push(Answered {
                    effect,
                    called: call.called,
                    returned: *at,
                    call: number,
                    before: None,
                    rank: (revision.unwrap_or(0), !changes(&call.operation, answer), *at),
                }),
                Outcome::Unknown if effect.writes().is_empty() => {}
                Outcome::Unknown => classes.entry(effect).or_default().push((call.called, number)),
                Outcome::Failed => {}
            }
        }
        answered.sort_by_key(|answered| answered.called);
        follow_clients(&mut answered, calls);
        let classes = classes.into_iter().map(|(effect, mut members)| {
            members.sort_unstable();
            let (reads, writes) = (effect.reads(), effect.writes());
            Class { effect, members, reads, writes }
        });
        let classes = classes.collect();
        let keys = keys.len().max(1);
        Search { values, keys, answered, classes, visited: HashMap::new(), furthest: Vec::new() }
    }

    /// Whether an order explains all answers. If none does: the order of calls that explains the most of them.
    pub fn run(self) -> Result<(), Vec<usize>> {
        self.run_within(u64::MAX).expect("it does not give up")
    }

    /// The same, or `None` if that is not decided after so many steps.
    pub fn run_within(mut self, steps: u64) -> Option<Result<(), Vec<usize>>> {
        let mut left = steps;
        let start = Configuration {
            placed: vec![0; self.answered.len().div_ceil(64)].into(),
            state: vec![Value::ABSENT; self.keys].into(),
            used: vec![0; self.classes.len()].into(),
        };
        let (mut stack, mut deepest) = (vec![self.frame(start, Vec::new(), 0)], 0);
        while let Some(frame) = stack.last_mut() {
            if frame.first == self.answered.len() {
                return Some(Ok(()));
            }
            left = left.checked_sub(1)?;
            if let Some(way) = frame.ways.next() {
                if self.arrive(&way.to) {
                    let first = frame.first;
                    stack.push(self.frame(way.to, way.via, first));
                }
            } else if !frame.chained {
                frame.chained = true;
                frame.ways = self.chained_ways(frame).into_iter();
            } else {
                if stack.len() > deepest {
                    deepest = stack.len();
                    self.furthest = stack.iter().flat_map(|frame| &frame.via).copied().collect();
                }
                stack.pop();
            }
        }
        Some(Err(self.furthest))
    }

    /// Notes that the search got here. `false` if it was here before, with no more used up.
    fn arrive(&mut self, at: &Configuration) -> bool {
        let key = (at.placed.clone(), at.state.clone());
        let before = self.visited.entry(key).or_default();
        let covers = |less: &[u16], more: &[u16]| less.iter().zip(more).all(|(less, more)| less <= more);
        if before.iter().any(|before| covers(before, &at.used)) {
            return false;
        }
        before.retain(|before| !covers(&at.used, before));
        before.push(at.used.clone());
        true
    }

    fn frame(&mut self, configuration: Configuration, via: Vec<usize>, first: usize) -> Frame {
        let mut first = first;
        while first < self.answered.len() && configuration.has(first) {
            first += 1;
        }
        let (mut candidates, mut deadline) = (Vec::new(), u64::MAX);
        for (number, answered) in self.answered.iter().enumerate().skip(first) {
            if answered.called > deadline {
                break;
            }
            if configuration.has(number) {
                continue;
            }
            deadline = deadline.min(answered.returned);
            if answered.before.is_none_or(|before| configuration.has(before)) {
                candidates.push(number);
            }
        }
        candidates.sort_by_key(|&number| self.answered[number].rank);
        let mut ways = Vec::new();
        for &number in &candidates {
            let Answered { effect, call, .. } = &self.answered[number];
            if let Some(state) = effect.apply(&configuration.state, &mut self.values) {
                let to = configuration.with(number, state, configuration.used.clone());
                ways.push(Way { via: vec![*call], to });
            }
        }
        let ways = ways.into_iter();
        Frame { configuration, via, first, candidates, deadline, ways, chained: false }
    }

    /// The ways on that place calls of unknown outcome in front of an answered one.
    fn chained_ways(&mut self, frame: &Frame) -> Vec<Way> {
        let mut ways = Vec::new();
        for &number in &frame.candidates {
            let answered = &self.answered[number];
            let (effect, call) = (answered.effect.clone(), answered.call);
            // Of a lone key, what only looks leaves the same state behind whatever is put in front of it.
            let only_looks = matches!(effect, Effect::Get { .. } | Effect::Delete { .. });
            let fits = only_looks && effect.apply(&frame.configuration.state, &mut self.values).is_some();
            if !(self.keys == 1 && fits) {
                for (link, chain) in self.chains(frame, &effect) {
                    if let Some(state) = effect.apply(&link.state, &mut self.values) {
                        let via = chain.into_iter().chain([call]).collect();
                        ways.push(Way { via, to: frame.configuration.with(number, state, link.used) });
                    }
                }
            }
        }
        ways
    }

    /// Every sequence of calls of unknown outcome that `effect` could be the reason for, shortest first.
    fn chains(&mut self, frame: &Frame, effect: &Effect) -> Vec<(Link, Vec<usize>)> {
        let classes = self.relevant(effect);
        if classes.is_empty() {
            return Vec::new();
        }
        let Configuration { state, used, .. } = frame.configuration.clone();
        let start = Link { state, used, unread: 0 };
        let mut seen = BTreeSet::from([start.clone()]);
        let (mut chains, mut queue) = (Vec::new(), VecDeque::from([(start, Vec::new())]));
        while let Some((link, chain)) = queue.pop_front() {
            for &number in &classes {
                let Some((next, call)) = self.longer(&link, number, frame.deadline) else { continue };
                if seen.insert(next.clone()) {
                    let chain: Vec<usize> = chain.iter().copied().chain([call]).collect();
                    queue.push_back((next.clone(), chain.clone()));
                    chains.push((next, chain));
                }
            }
        }
        let blind = blind(&effect.reads(), &effect.writes());
        chains.retain(|(link, _)| link.unread & blind == 0);
        chains
    }

    /// `link` and one more call of a class. `None` if there is none, or if it is of no use there.
    fn longer(&mut self, link: &Link, number: usize, deadline: u64) -> Option<(Link, usize)> {
        let Class { effect, members, reads, writes } = &self.classes[number];
        let &(called, call) = members.get(usize::from(link.used[number]))?;
        let useless = link.unread & blind(reads, writes) != 0;
        if called > deadline || useless {
            return None;
        }
        let state = effect.apply(&link.state, &mut self.values).filter(|state| *state != link.state)?;
        let mut used = link.used.clone();
        used[number] += 1;
        let looked_at = reads.iter().fold(0, |bits, key| bits | bit(*key));
        let written = if writes.len() == 1 { writes.iter().fold(0, |bits, key| bits | bit(*key)) } else { 0 };
        Some((Link { state, used, unread: link.unread & !looked_at | written }, call))
    }

    /// The classes that could have to come before `effect`, or before one of themselves that has to: those that write
    /// what it looks at. Of those that touch several keys also the ones that touch what it overwrites, since they
    /// would read or leave something else after it.
    fn relevant(&self, effect: &Effect) -> Vec<usize> {
        let (mut looked_at, mut overwritten) = (effect.reads(), effect.writes());
        let mut relevant = BTreeSet::new();
        loop {
            let more = self.classes.iter().enumerate().find(|(number, class)| {
                let touched: BTreeSet<usize> = class.reads.union(&class.writes).copied().collect();
                let several = touched.len() > 1 && !touched.is_disjoint(&overwritten);
                !relevant.contains(number) && (several || !class.writes.is_disjoint(&looked_at))
            });
            let Some((number, class)) = more else { return relevant.into_iter().collect() };
            relevant.insert(number);
            looked_at.extend(&class.reads);
            overwritten.extend(&class.writes);
        }
    }
}

/// The keys that are written without being looked at, as bits.
fn blind(reads: &BTreeSet<usize>, writes: &BTreeSet<usize>) -> u64 {
    writes.difference(reads).fold(0, |bits, key| bits | bit(*key))
}

/// Whether a call with this answer is likely to have made a revision.
fn changes(operation: &Operation, answer: &Answer) -> bool {
    match (operation, answer) {
        (Operation::Put { .. } | Operation::Append { .. }, _) | (_, Answer::Deleted(true)) => true,
        (Operation::Transact { then, otherwise, .. }, Answer::Transacted { succeeded, .. }) => {
            let steps = if *succeeded { then } else { otherwise };
            steps.iter().any(|step| matches!(step, Step::Put(..)))
        }
        _ => false,
    }
}

/// A client whose next call has the very time of its last answer made it afterwards.
fn follow_clients(answered: &mut [Answered], calls: &[Call]) {
    let mut last = BTreeMap::<u64, usize>::new();
    for number in 0..answered.len() {
        let Answered { called, call, .. } = answered[number];
        let before = last.insert(calls[call].client, number);
        answered[number].before = before.filter(|&before| answered[before].returned == called);
    }
}
