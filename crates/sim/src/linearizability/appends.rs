//! Appends happen once: the texts in a list are those that were appended, none twice, none lost.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::history::{Answer, Call, Operation, Outcome, Step};

/// A list holds what nobody's appends explain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AppendViolation {
    /// A text occurs more than once.
    #[error("{text:?} is twice in {key:?}: {value:?}")]
    Twice {
        /// The list.
        key: String,
        /// The text.
        text: String,
        /// What the list holds.
        value: String,
    },
    /// Something is there that nobody appended, or not yet, or whose append certainly failed.
    #[error("{rest:?} in {key:?} was appended by nobody by then: {value:?}")]
    Unasked {
        /// The list.
        key: String,
        /// From there on nothing was appended.
        rest: String,
        /// What the list holds.
        value: String,
    },
    /// An append was acknowledged before the read, which does not find it.
    #[error("{text:?} was acknowledged and is not in {key:?}: {value:?}")]
    Lost {
        /// The list.
        key: String,
        /// The text.
        text: String,
        /// What the list holds.
        value: String,
    },
    /// One append was acknowledged before the other was asked for, and comes after it.
    #[error(
        "{first:?} was acknowledged before {second:?} was appended, and is behind it in {key:?}: {value:?}"
    )]
    Order {
        /// The list.
        key: String,
        /// What was appended first.
        first: String,
        /// What was appended second.
        second: String,
        /// What the list holds.
        value: String,
    },
    /// Of two contents neither is how the other began.
    #[error("{key:?} held both {one:?} and {other:?}")]
    Forked {
        /// The list.
        key: String,
        /// The shorter content.
        one: String,
        /// The longer content.
        other: String,
    },
}

/// One append of a text.
#[derive(Debug)]
struct Append {
    called: u64,
    /// When it was acknowledged; `u64::MAX` if nobody knows, `None` if it certainly failed.
    done: Option<u64>,
}

/// One look at a list.
#[derive(Debug)]
struct Look {
    value: String,
    called: u64,
    answered: u64,
}

/// Compares what reads found, and what the keys hold at the very end (`last`), with what was appended. Looks at keys
/// that nothing but appends write.
///
/// # Errors
/// What does not fit.
///
/// # Panics
/// If the clients did not keep to what makes texts recognisable: none is empty, and none is contained in another of
/// the same key.
pub fn check_appends(calls: &[Call], last: &BTreeMap<String, String>) -> Result<(), AppendViolation> {
    let mut appends = BTreeMap::<&String, BTreeMap<&str, Append>>::new();
    let mut looks = BTreeMap::<&String, Vec<Look>>::new();
    for call in calls {
        match (&call.operation, &call.outcome) {
            (Operation::Append { key, text }, outcome) => {
                let done = match outcome {
                    Outcome::Answered { at, .. } => Some(*at),
                    Outcome::Unknown => Some(u64::MAX),
                    Outcome::Failed => None,
                };
                let append = Append { called: call.called, done };
                let before = appends.entry(key).or_default().insert(text, append);
                assert!(
                    before.is_none() && !text.is_empty(),
                    "{text:?} cannot be told from others in {key:?}"
                );
            }
            (Operation::Get { key }, Outcome::Answered { at, answer: Answer::Value(value), .. }) => {
                let value = value.clone().unwrap_or_default();
                looks.entry(key).or_default().push(Look { value, called: call.called, answered: *at });
            }
            _ => {}
        }
    }
    let otherwise = calls.iter().flat_map(|call| written_otherwise(&call.operation)).collect::<BTreeSet<_>>();
    for (key, appends) in &appends {
        distinguishable(key, appends);
        if otherwise.contains(key) {
            continue;
        }
        let mut looks = looks.remove(key).unwrap_or_default();
        let value = last.get(*key).cloned().unwrap_or_default();
        looks.push(Look { value, called: u64::MAX - 1, answered: u64::MAX });
        looks.iter().try_for_each(|look| check_look(key, appends, look))?;
        looks.sort_by_key(|look| look.value.len());
        if let Some([one, other]) =
            looks.array_windows().find(|[one, other]| !other.value.starts_with(&one.value))
        {
            let (one, other) = (one.value.clone(), other.value.clone());
            return Err(AppendViolation::Forked { key: (*key).clone(), one, other });
        }
    }
    Ok(())
}

/// The keys that it writes other than by appending.
fn written_otherwise(operation: &Operation) -> Vec<&String> {
    match operation {
        Operation::Put { key, .. } | Operation::Delete { key } => vec![key],
        Operation::Transact { then, otherwise, .. } => {
            let written = then.iter().chain(otherwise).filter_map(|step| match step {
                Step::Put(key, _) | Step::Delete(key) => Some(key),
                Step::Get(_) => None,
            });
            written.collect()
        }
        Operation::Get { .. }
        | Operation::Append { .. }
        | Operation::Overreach { .. }
        | Operation::Compact { .. }
        | Operation::Propose { .. } => Vec::new(),
    }
}

fn distinguishable(key: &str, appends: &BTreeMap<&str, Append>) {
    // A text that begins with another comes behind it with nothing but such texts between.
    let texts: Vec<&&str> = appends.keys().collect();
    for [one, other] in texts.array_windows() {
        assert!(!other.starts_with(**one), "{one:?} cannot be told from {other:?} in {key:?}");
    }
}

fn check_look(key: &str, appends: &BTreeMap<&str, Append>, look: &Look) -> Result<(), AppendViolation> {
    let (key, value) = (key.to_owned(), look.value.clone());
    let (mut found, mut rest) = (Vec::new(), look.value.as_str());
    while !rest.is_empty() {
        // As no text begins with another, only the greatest that is not greater can be it.
        let text = appends.range(..=rest).next_back();
        let text = text.filter(|(text, append)| {
            rest.starts_with(**text) && append.called <= look.answered && append.done.is_some()
        });
        let Some((text, append)) = text else {
            return Err(AppendViolation::Unasked { key, rest: rest.to_owned(), value });
        };
        found.push((*text, append));
        rest = &rest[text.len()..];
    }
    let mut seen = BTreeSet::new();
    if let Some((text, _)) = found.iter().find(|(text, _)| !seen.insert(*text)) {
        return Err(AppendViolation::Twice { key, text: (*text).to_owned(), value });
    }
    let must = |append: &Append| append.done.is_some_and(|done| done < look.called);
    if let Some((text, _)) = appends.iter().find(|(text, append)| must(append) && !seen.contains(*text)) {
        return Err(AppendViolation::Lost { key, text: (*text).to_owned(), value });
    }
    // From the end: the earliest acknowledgement of anything behind.
    let mut earliest: Option<(u64, &str)> = None;
    for (text, append) in found.into_iter().rev() {
        if let Some((_, first)) = earliest.filter(|(done, _)| *done < append.called) {
            let (first, second) = (first.to_owned(), text.to_owned());
            return Err(AppendViolation::Order { key, first, second, value });
        }
        let done = (append.done.unwrap_or(u64::MAX), text);
        earliest = Some(earliest.map_or(done, |earliest| earliest.min(done)));
    }
    Ok(())
}
