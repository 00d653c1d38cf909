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
    /// The revision that came with the answer.
    revision: Option<i64>,
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
struct Search {
    values: Values,
    keys: usize,
    answered: Vec<Answered>,
    classes: Vec<Class>,
    /// Per set of placed answered calls and state: what was used up on arrival.
    visited: HashMap<(Placed, State), Vec<Used>>,
    /// How many more configurations and chains are looked at before the search gives up.
    patience: u64,
    /// If only orders are tried that the revisions suggest: the revisions that answered calls made.
    made: Option<BTreeSet<i64>>,
}

/// Nothing was found.
#[derive(Debug)]
pub struct Stuck {
    /// The order of calls that got furthest, by their place in the partition.
    pub order: Vec<usize>,
    /// Whether there is nothing, rather than that the search gave up.
    pub decided: bool,
}

/// Finds an order of all calls, giving up after so many `steps`.
///
/// If every answer has its revision, only orders that agree with these are tried at first: calls of higher revision
/// come later, and before a call there are no more calls of unknown outcome than revisions are missing below its
/// own. An order that explains the answers does so wherever it comes from; and where there is none of this kind and
/// too many of any other to try, the store has contradicted itself. `made` are the revisions that the answered calls
/// of the whole history made.
pub fn search(partition: &Partition, made: &BTreeSet<i64>, steps: u64) -> Result<(), Stuck> {
    let mut dated = Search::new(partition, steps);
    let has_revisions = dated.answered.iter().all(|answered| answered.revision.is_some());
    let contradicted = if has_revisions && !partition.keys.is_empty() {
        dated.made = Some(made.clone());
        match dated.run() {
            Ok(()) => return Ok(()),
            Err(stuck) => stuck.decided,
        }
    } else {
        false
    };
    let any = Search::new(partition, steps).run();
    any.map_err(|stuck| Stuck { decided: stuck.decided || contradicted, ..stuck })
}

/// The revisions that answered calls made.
pub fn revisions_made(calls: &[Call]) -> BTreeSet<i64> {
    let made = calls.iter().filter_map(|call| match &call.outcome {
        Outcome::Answered { answer, revision, .. } if changes(&call.operation, answer) => *revision,
        _ => None,
    });
    made.collect()
}

fn bit(key: usize) -> u64 {
    u32::try_from(key).ok().and_then(|key| 1_u64.checked_shl(key)).unwrap_or(0)
}

impl Search {
    fn new(partition: &Partition, steps: u64) -> Search {
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
                    revision: *revision,
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
        Search { values, keys, answered, classes, visited: HashMap::new(), patience: steps, made: None }
    }

    fn run(mut self) -> Result<(), Stuck> {
        let start = Configuration {
            placed: vec![0; self.answered.len().div_ceil(64)].into(),
            state: vec![Value::ABSENT; self.keys].into(),
            used: vec![0; self.classes.len()].into(),
        };
        let (mut stack, mut deepest, mut order) = (vec![self.frame(start, Vec::new(), 0)], 0, Vec::new());
        while let Some(frame) = stack.last_mut() {
            if frame.first == self.answered.len() {
                return Ok(());
            }
            if let Some(way) = frame.ways.next().filter(|_| self.patience > 0) {
                if self.arrive(&way.to) {
                    let first = frame.first;
                    stack.push(self.frame(way.to, way.via, first));
                }
            } else if !frame.chained && self.patience > 0 {
                frame.chained = true;
                frame.ways = self.chained_ways(frame).into_iter();
            } else {
                if stack.len() > deepest {
                    deepest = stack.len();
                    order = stack.iter().flat_map(|frame| &frame.via).copied().collect();
                }
                stack.pop();
            }
        }
        Err(Stuck { order, decided: self.patience > 0 })
    }

    /// Notes that the search got here. `false` if it was here before, with no more used up.
    fn arrive(&mut self, at: &Configuration) -> bool {
        self.patience = self.patience.saturating_sub(1);
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
        if self.made.is_some() {
            let left = (first..self.answered.len()).filter(|&number| !configuration.has(number));
            let next = left.map(|number| self.answered[number].revision).min();
            candidates.retain(|&number| Some(self.answered[number].revision) == next);
        }
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
            let fits = effect.apply(&frame.configuration.state, &mut self.values).is_some();
            let spare = self.spare(number);
            for (link, chain) in self.chains(frame, &effect, fits, spare) {
                if let Some(state) = effect.apply(&link.state, &mut self.values) {
                    let via = chain.into_iter().chain([call]).collect();
                    ways.push(Way { via, to: frame.configuration.with(number, state, link.used) });
                }
            }
        }
        ways
    }

    /// Every sequence of calls of unknown outcome that `effect` could be the reason for, shortest first.
    fn chains(
        &mut self,
        frame: &Frame,
        effect: &Effect,
        fits: bool,
        spare: usize,
    ) -> Vec<(Link, Vec<usize>)> {
        let classes = self.relevant(effect, fits);
        if classes.is_empty() {
            return Vec::new();
        }
        let Configuration { state, used, .. } = frame.configuration.clone();
        let start = Link { state, used, unread: 0 };
        let mut seen = BTreeSet::from([start.clone()]);
        let (mut chains, mut queue) = (Vec::new(), VecDeque::from([(start, Vec::new())]));
        while let Some((link, chain)) = queue.pop_front() {
            let used: usize = link.used.iter().map(|used| usize::from(*used)).sum();
            if used >= spare || self.patience == 0 {
                break;
            }
            for &number in &classes {
                let Some((next, call)) = self.longer(&link, number, frame.deadline) else { continue };
                if seen.insert(next.clone()) {
                    self.patience = self.patience.saturating_sub(1);
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

    /// How many calls of unknown outcome can have happened before an answered one.
    fn spare(&self, number: usize) -> usize {
        let (Some(made), Some(revision)) = (&self.made, self.answered[number].revision) else {
            return usize::MAX;
        };
        // Revision 1 is the empty store's.
        let known = made.range(..=revision).count();
        usize::try_from(revision - 1).unwrap_or(0).saturating_sub(known)
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

    /// The classes that could have to come before `effect`, or before one of themselves that has to: those that can
    /// leave what it must find. Of those that touch several keys also the ones that touch what it overwrites, since
    /// they would read or leave something else after it. `fits` is whether `effect` can come next without them.
    fn relevant(&self, effect: &Effect, fits: bool) -> Vec<usize> {
        let mut overwritten = effect.writes();
        let several = |class: &Class, overwritten: &BTreeSet<usize>| {
            let touched: BTreeSet<usize> = class.reads.union(&class.writes).copied().collect();
            touched.len() > 1 && !touched.is_disjoint(overwritten)
        };
        let needless = fits && !effect.builds_on();
        if needless && !self.classes.iter().any(|class| several(class, &overwritten)) {
            return Vec::new();
        }
        let mut wanted = effect.wants();
        let mut relevant = BTreeSet::new();
        loop {
            let more = self.classes.iter().enumerate().find(|(number, class)| {
                let gives = || wanted.iter().any(|(key, value)| class.effect.gives(*key, *value));
                !relevant.contains(number) && (several(class, &overwritten) || gives())
            });
            let Some((number, class)) = more else { return relevant.into_iter().collect() };
            relevant.insert(number);
            wanted.extend(class.effect.wants());
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
