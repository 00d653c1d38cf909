//! What a call does to a partition's keys, and whether its answer fits.

use std::collections::BTreeSet;

use super::values::{Text, Value, Values};
use crate::history::{Answer, Call, Operation, Outcome, Step};

/// What the keys of a partition hold, by their number.
pub type State = Box<[Value]>;

/// A call with its answer, if it had one. Equal effects are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Found exactly this.
    Get { key: usize, found: Value },
    /// Writes.
    Put { key: usize, value: Value },
    /// Removes, and told whether there was something to remove.
    Delete { key: usize, found: Option<bool> },
    /// Adds to the end.
    Append { key: usize, text: Text },
    /// Several things at once.
    Transact(Box<Transaction>),
    /// Chooses `value` unless something is chosen, and told what that is. The chosen value is key 0.
    Propose { value: Value, chosen: Option<Value> },
    /// The answer does not belong to the question.
    Senseless,
}

/// See [`Operation::Transact`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transaction {
    expected: Vec<(usize, Value)>,
    then: Vec<Part>,
    otherwise: Vec<Part>,
    /// Whether it told that the conditions held.
    succeeded: Option<bool>,
}

/// One step of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Found exactly this; `None` if nobody knows what it found.
    Get(usize, Option<Value>),
    /// Holds this from now on; `Value::ABSENT` removes.
    Set(usize, Value),
}

/// Per key: what the calls' answers and conditions name.
pub fn seen(calls: &[Call], keys: &[String]) -> Vec<BTreeSet<String>> {
    let mut seen = vec![BTreeSet::new(); keys.len().max(1)];
    let mut chosen = Vec::new();
    let mut see = |key: &String, value: &Option<String>| {
        if let Some(value) = value {
            seen[number(keys, key)].insert(value.clone());
        }
    };
    for call in calls {
        if let Operation::Transact { expected, .. } = &call.operation {
            expected.iter().for_each(|(key, value)| see(key, value));
        }
        let Outcome::Answered { answer, .. } = &call.outcome else { continue };
        match (&call.operation, answer) {
            (Operation::Get { key }, Answer::Value(value)) => see(key, value),
            (Operation::Transact { then, otherwise, .. }, Answer::Transacted { succeeded, read }) => {
                let steps = if *succeeded { then } else { otherwise };
                gets(steps).zip(read).for_each(|(key, value)| see(key, value));
            }
            (Operation::Propose { .. }, Answer::Chosen(value)) => chosen.push(value.clone()),
            _ => {}
        }
    }
    seen[0].extend(chosen);
    seen
}

fn gets(steps: &[Step]) -> impl Iterator<Item = &String> {
    steps.iter().filter_map(|step| match step {
        Step::Get(key) => Some(key),
        Step::Put(..) | Step::Delete(_) => None,
    })
}

fn number(keys: &[String], key: &String) -> usize {
    keys.binary_search(key).expect("a partition has the keys of its calls")
}

impl Effect {
    /// Of `call`, in a partition of `keys`.
    pub fn new(call: &Call, keys: &[String], values: &mut Values) -> Effect {
        let answer = match &call.outcome {
            Outcome::Answered { answer, .. } => Some(answer),
            Outcome::Failed | Outcome::Unknown => None,
        };
        let number = |key| number(keys, key);
        match (&call.operation, answer) {
            (Operation::Get { key }, Some(Answer::Value(found))) => {
                let key = number(key);
                Effect::Get { key, found: values.maybe(key, found.as_ref()) }
            }
            (Operation::Put { key, value }, None | Some(Answer::Done)) => {
                let key = number(key);
                Effect::Put { key, value: values.value(key, value) }
            }
            (Operation::Delete { key }, None) => Effect::Delete { key: number(key), found: None },
            (Operation::Delete { key }, Some(Answer::Deleted(found))) => {
                Effect::Delete { key: number(key), found: Some(*found) }
            }
            (Operation::Append { key, text }, None | Some(Answer::Done)) => {
                let key = number(key);
                Effect::Append { key, text: values.text(key, text) }
            }
            (Operation::Transact { .. }, answer) => transaction(&call.operation, answer, keys, values),
            (Operation::Propose { value }, None) => {
                Effect::Propose { value: values.value(0, value), chosen: None }
            }
            (Operation::Propose { value }, Some(Answer::Chosen(chosen))) => {
                Effect::Propose { value: values.value(0, value), chosen: Some(values.value(0, chosen)) }
            }
            _ => Effect::Senseless,
        }
    }

    /// What the keys hold if it takes effect now; `None` if its answer would have been another.
    pub fn apply(&self, state: &State, values: &mut Values) -> Option<State> {
        let set = |key: usize, value| {
            let mut state = state.clone();
            state[key] = value;
            state
        };
        match self {
            Effect::Get { key, found } => (state[*key] == *found).then(|| state.clone()),
            Effect::Put { key, value } => Some(set(*key, *value)),
            Effect::Delete { key, found } => {
                let fits = found.is_none_or(|found| found == (state[*key] != Value::ABSENT));
                fits.then(|| set(*key, Value::ABSENT))
            }
            Effect::Append { key, text } => Some(set(*key, values.append(*key, state[*key], *text))),
            Effect::Transact(transaction) => transaction.apply(state),
            Effect::Propose { value, chosen } => {
                let now = if state[0] == Value::ABSENT { *value } else { state[0] };
                chosen.is_none_or(|chosen| chosen == now).then(|| set(0, now))
            }
            Effect::Senseless => None,
        }
    }

    /// The keys whose holdings decide what it does or answers.
    pub fn reads(&self) -> BTreeSet<usize> {
        match self {
            Effect::Get { key, .. } | Effect::Append { key, .. } | Effect::Delete { key, found: Some(_) } => {
                [*key].into()
            }
            Effect::Transact(transaction) => transaction.reads(),
            Effect::Propose { .. } => [0].into(),
            Effect::Put { .. } | Effect::Delete { found: None, .. } | Effect::Senseless => BTreeSet::new(),
        }
    }

    /// What the keys that it reads must hold if it is to do or answer what it did; `None` if several things will do.
    pub fn wants(&self) -> Vec<(usize, Option<Value>)> {
        match self {
            Effect::Get { key, found } => vec![(*key, Some(*found))],
            Effect::Delete { key, found: Some(false) } => vec![(*key, Some(Value::ABSENT))],
            Effect::Transact(transaction) => transaction.wants(),
            _ => self.reads().into_iter().map(|key| (key, None)).collect(),
        }
    }

    /// Whether it can leave `wanted` in `key`.
    pub fn gives(&self, key: usize, wanted: Option<Value>) -> bool {
        let leaves = |value| wanted.is_none_or(|wanted| wanted == value);
        match self {
            Effect::Put { key: at, value } => *at == key && leaves(*value),
            Effect::Delete { key: at, .. } => *at == key && leaves(Value::ABSENT),
            Effect::Append { key: at, .. } => *at == key && wanted != Some(Value::ABSENT),
            Effect::Transact(transaction) => {
                let mut parts = transaction.then.iter().chain(&transaction.otherwise);
                parts.any(|part| matches!(part, Part::Set(at, value) if *at == key && leaves(*value)))
            }
            Effect::Propose { .. } => key == 0,
            Effect::Get { .. } | Effect::Senseless => false,
        }
    }

    /// Whether what it leaves behind depends on what it found even if its answer is known.
    pub fn builds_on(&self) -> bool {
        matches!(self, Effect::Append { .. } | Effect::Propose { .. })
    }

    /// The keys that it may change.
    pub fn writes(&self) -> BTreeSet<usize> {
        match self {
            Effect::Put { key, .. } | Effect::Append { key, .. } | Effect::Delete { key, .. } => {
                [*key].into()
            }
            Effect::Transact(transaction) => transaction.writes(),
            Effect::Propose { .. } => [0].into(),
            Effect::Get { .. } | Effect::Senseless => BTreeSet::new(),
        }
    }
}

fn transaction(
    operation: &Operation,
    answer: Option<&Answer>,
    keys: &[String],
    values: &mut Values,
) -> Effect {
    let Operation::Transact { expected, then, otherwise } = operation else { return Effect::Senseless };
    let (succeeded, read) = match answer {
        None => (None, None),
        Some(Answer::Transacted { succeeded, read }) => (Some(*succeeded), Some(read)),
        Some(_) => return Effect::Senseless,
    };
    let chosen = if succeeded == Some(true) { then } else { otherwise };
    if read.is_some_and(|read| read.len() != gets(chosen).count()) {
        return Effect::Senseless;
    }
    let mut parts = |steps: &[Step], read: Option<&Vec<Option<String>>>| -> Vec<Part> {
        let mut read = read.into_iter().flatten();
        let part = |step: &Step| match step {
            Step::Get(key) => {
                let key = number(keys, key);
                Part::Get(key, read.next().map(|found| values.maybe(key, found.as_ref())))
            }
            Step::Put(key, value) => {
                let key = number(keys, key);
                Part::Set(key, values.value(key, value))
            }
            Step::Delete(key) => Part::Set(number(keys, key), Value::ABSENT),
        };
        steps.iter().map(part).collect()
    };
    let then = parts(then, read.filter(|_| succeeded == Some(true)));
    let otherwise = parts(otherwise, read.filter(|_| succeeded == Some(false)));
    let expected = expected.iter().map(|(key, value)| {
        let key = number(keys, key);
        (key, values.maybe(key, value.as_ref()))
    });
    let expected = expected.collect();
    Effect::Transact(Box::new(Transaction { expected, then, otherwise, succeeded }))
}

impl Transaction {
    fn apply(&self, state: &State) -> Option<State> {
        let holds = self.expected.iter().all(|(key, value)| state[*key] == *value);
        if self.succeeded.is_some_and(|succeeded| succeeded != holds) {
            return None;
        }
        let mut state = state.clone();
        for part in if holds { &self.then } else { &self.otherwise } {
            match *part {
                Part::Get(key, found) if found.is_some_and(|found| found != state[key]) => return None,
                Part::Get(..) => {}
                Part::Set(key, value) => state[key] = value,
            }
        }
        Some(state)
    }

    fn reads(&self) -> BTreeSet<usize> {
        let steps = self.then.iter().chain(&self.otherwise).filter_map(|part| match part {
            Part::Get(key, found) => found.map(|_| *key),
            Part::Set(..) => None,
        });
        self.expected.iter().map(|(key, _)| *key).chain(steps).collect()
    }

    fn wants(&self) -> Vec<(usize, Option<Value>)> {
        let changes = |parts: &[Part]| parts.iter().any(|part| matches!(part, Part::Set(..)));
        // One of unknown outcome whose other branch changes nothing is of use only if it succeeds.
        let succeeds = self.succeeded.unwrap_or_else(|| !changes(&self.otherwise));
        let conditions = self.expected.iter().map(|(key, value)| (*key, succeeds.then_some(*value)));
        let parts = if succeeds { &self.then } else { &self.otherwise };
        let found = parts.iter().enumerate().filter_map(|(position, part)| match part {
            Part::Get(key, Some(found)) => {
                // Unless an earlier step of its own wrote it.
                let own = parts[..position].iter().any(|part| matches!(part, Part::Set(at, _) if at == key));
                (!own).then_some((*key, Some(*found)))
            }
            Part::Get(_, None) | Part::Set(..) => None,
        });
        conditions.chain(found).collect()
    }

    fn writes(&self) -> BTreeSet<usize> {
        let steps = self.then.iter().chain(&self.otherwise).filter_map(|part| match part {
            Part::Get(..) => None,
            Part::Set(key, _) => Some(*key),
        });
        steps.collect()
    }
}
