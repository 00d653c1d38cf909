//! Histories of a store that is atomic: each call takes effect at one moment that is drawn, or never.

use std::collections::BTreeMap;

use synod_sim::history::{Answer, Call, Operation, Outcome, Step};
use synod_sim::linearizability::store::Store;
use synod_sim::random::Random;

use crate::words::{append, delete, get, propose, put, set};

/// What the clients ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Gets and puts.
    Register,
    /// Gets, puts, deletes and appends, each of one key.
    Keys,
    /// Gets and appends.
    Lists,
    /// All of these, and transactions over up to two keys.
    Transactions,
    /// Proposals.
    Proposals,
}

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub clients: u64,
    pub calls: usize,
    pub keys: u64,
    /// In a thousand.
    pub unknown: u64,
    pub mix: Mix,
    /// Written values come from so few that they meet; `None`: each is written once.
    pub values: Option<u64>,
}

/// What happens at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asked,
    Happened,
}

/// A history, in the order of its calls, with all revisions.
pub fn history(random: &mut Random, shape: Shape) -> Vec<Call> {
    history_and_end(random, shape).0
}

/// A history and what the store holds when all is over.
pub fn history_and_end(random: &mut Random, shape: Shape) -> (Vec<Call>, Store) {
    let (mut events, mut calls) = (BTreeMap::new(), Vec::new());
    let mut free: Vec<u64> = (0..shape.clients).map(|_| random.below(1000)).collect();
    for number in 0..shape.calls {
        let client = (0..free.len()).min_by_key(|&client| free[client]).unwrap();
        // Distinct times, so that all checkers mean the same by their order.
        let time = |time: u64| (time << 20) + (number as u64) * 2;
        let called = free[client];
        let answered = called + 2 + random.skewed(2000);
        free[client] = answered + 1 + random.skewed(500);
        events.insert(time(called), (Event::Asked, number));
        let outcome = match random.below(1000) {
            fate if fate < shape.unknown => {
                if random.chance(700) {
                    events.insert(time(called + 1 + random.skewed(20_000)), (Event::Happened, number));
                }
                Outcome::Unknown
            }
            fate if fate < shape.unknown + 20 => Outcome::Failed,
            _ => {
                events.insert(time(random.between(called + 1, answered - 1)), (Event::Happened, number));
                Outcome::Answered { at: time(answered) + 1, answer: Answer::Done, revision: None }
            }
        };
        let operation = get("x");
        calls.push(Call { client: client as u64, called: time(called), operation, outcome });
    }
    let end = play(random, shape, &mut calls, events);
    calls.sort_by_key(|call| call.called);
    (calls, end)
}

/// Draws the operations when they are asked for, and the answers when they take effect.
fn play(
    random: &mut Random,
    shape: Shape,
    calls: &mut [Call],
    events: BTreeMap<u64, (Event, usize)>,
) -> Store {
    let (mut store, mut now) = (Store::default(), 1);
    for (event, number) in events.into_values() {
        let call = &mut calls[number];
        if event == Event::Asked {
            call.operation = operation(random, shape, &store, number);
            continue;
        }
        let before = store.clone();
        let would = store.apply(&call.operation);
        now += i64::from(wrote(&call.operation, &would, &before));
        if let Outcome::Answered { answer, revision, .. } = &mut call.outcome {
            (*answer, *revision) = (would, Some(now));
        }
    }
    store
}

fn wrote(operation: &Operation, answer: &Answer, before: &Store) -> bool {
    match (operation, answer) {
        (Operation::Put { .. } | Operation::Append { .. }, _) => true,
        (_, Answer::Deleted(found)) => *found,
        (Operation::Transact { then, otherwise, .. }, Answer::Transacted { succeeded, .. }) => {
            (if *succeeded { then } else { otherwise }).iter().any(|step| match step {
                Step::Get(_) => false,
                Step::Put(..) => true,
                Step::Delete(key) => before.keys.contains_key(key),
            })
        }
        _ => false,
    }
}

fn operation(random: &mut Random, shape: Shape, store: &Store, number: usize) -> Operation {
    let key = key(random, shape);
    let value = shape.values.map_or(format!("<{number}>"), |values| random.below(values).to_string());
    let kinds = match shape.mix {
        Mix::Register => 20,
        Mix::Keys => 40,
        Mix::Transactions => 50,
        Mix::Lists => return if random.chance(500) { get(&key) } else { append(&key, &value) },
        Mix::Proposals => return propose(&value),
    };
    match random.below(kinds) {
        0..10 => get(&key),
        10..20 => put(&key, &value),
        20..25 => delete(&key),
        25..40 => append(&key, &value),
        _ => {
            let other = self::key(random, shape);
            let expected =
                if random.chance(500) { store.keys.get(&key).cloned() } else { Some(value.clone()) };
            let written = if random.chance(800) { set(&other, &value) } else { Step::Delete(other.clone()) };
            let otherwise = if random.chance(500) { vec![Step::Get(other)] } else { Vec::new() };
            let read = Step::Get(self::key(random, shape));
            Operation::Transact { expected: vec![(key, expected)], then: vec![read, written], otherwise }
        }
    }
}

fn key(random: &mut Random, shape: Shape) -> String {
    format!("k{}", random.below(shape.keys))
}

/// Changes one answer to another that the same question can have. `None` if nothing was answered.
pub fn lie(random: &mut Random, history: &[Call]) -> Option<Vec<Call>> {
    let mut history = history.to_vec();
    let values: Vec<Option<String>> = [None].into_iter().chain(history.iter().flat_map(values)).collect();
    let other = random.pick(&values).clone();
    let answers: Vec<&mut Answer> = history
        .iter_mut()
        .filter_map(|call| match &mut call.outcome {
            Outcome::Answered { answer, .. } if *answer != Answer::Done => Some(answer),
            _ => None,
        })
        .collect();
    if answers.is_empty() {
        return None;
    }
    let chosen = usize::try_from(random.below(answers.len() as u64)).unwrap();
    match answers.into_iter().nth(chosen)? {
        Answer::Value(found) => *found = other,
        Answer::Deleted(found) => *found = !*found,
        Answer::Transacted { read, .. } => *read.first_mut()? = other,
        Answer::Chosen(value) => *value = other?,
        Answer::Done => return None,
    }
    Some(history)
}

/// What a call wrote or found.
fn values(call: &Call) -> Vec<Option<String>> {
    let written = match &call.operation {
        Operation::Put { value, .. } | Operation::Propose { value } => Some(value.clone()),
        Operation::Append { text, .. } => Some(text.clone()),
        _ => None,
    };
    match &call.outcome {
        Outcome::Answered { answer: Answer::Value(found), .. } => vec![found.clone(), written],
        _ => vec![written],
    }
}

/// As of a store that tells none.
pub fn forget_revisions(history: &mut [Call]) {
    for call in history {
        if let Outcome::Answered { revision, .. } = &mut call.outcome {
            *revision = None;
        }
    }
}
