//! A history without an order, told so that a person can follow it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::partition::Partition;
use super::store::Store;
use crate::history::{Answer, Call, Operation, Outcome, Step};

/// How many of the calls that could be ordered are told.
const TOLD: usize = 12;
/// Longer values are told by their two ends, of so many characters each.
const ENDS: usize = 40;

/// Tells how far `order`, of calls by their place in the partition, gets, and what cannot come next.
pub fn tell(partition: &Partition, order: &[usize], until: u64) -> String {
    let mut story = String::new();
    let subject = match &*partition.keys {
        [] => "the chosen value".to_owned(),
        keys => keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" and "),
    };
    let calls = &partition.calls;
    line(&mut story, format_args!("the calls on {subject} up to {} have no order.", seconds(until)));
    line(&mut story, format_args!("This one goes furthest ({} of {} calls):", order.len(), calls.len()));
    let mut store = Store::default();
    let silent = order.len().saturating_sub(TOLD);
    if silent > 0 {
        line(&mut story, format_args!("  … {silent} calls"));
    }
    for (position, &number) in order.iter().enumerate() {
        let would = store.apply(&calls[number].operation);
        assert!(fits(&calls[number].outcome, &would), "the search and the story agree: {:?}", calls[number]);
        if position >= silent {
            line(&mut story, format_args!("  {}; {}", call(&calls[number]), holds(&store, partition)));
        }
    }
    line(&mut story, format_args!("Then none of these can be next:"));
    let placed: BTreeSet<usize> = order.iter().copied().collect();
    let left =
        || calls.iter().enumerate().filter(|(number, _)| !placed.contains(number)).map(|(_, call)| call);
    let answered = |call: &&Call| matches!(call.outcome, Outcome::Answered { .. });
    for left in left().filter(answered) {
        let would = store.clone().apply(&left.operation);
        let instead = if fits(&left.outcome, &would) {
            "is too late for another".to_owned()
        } else {
            format!("would be told {}", told(&would))
        };
        line(&mut story, format_args!("  {}; {instead}", call(left)));
    }
    let unknown = left().filter(|call| !answered(call)).count();
    if unknown > 0 {
        line(
            &mut story,
            format_args!("and {unknown} calls of which nobody knows whether they happened do not help."),
        );
    }
    story
}

fn line(story: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(story, "{text}").expect("writing to a string does not fail");
}

fn fits(outcome: &Outcome, would: &Answer) -> bool {
    match outcome {
        Outcome::Answered { answer, .. } => answer == would,
        Outcome::Failed | Outcome::Unknown => true,
    }
}

fn holds(store: &Store, partition: &Partition) -> String {
    if partition.keys.is_empty() {
        return format!("chosen is {}", value(store.chosen.as_ref()));
    }
    let holds = partition.keys.iter().map(|key| format!("{key:?} is {}", value(store.keys.get(key))));
    holds.collect::<Vec<_>>().join(", ")
}

/// One call in words.
pub fn call(call: &Call) -> String {
    let who = format!("client {} {}", call.client, asked(&call.operation));
    match &call.outcome {
        Outcome::Answered { at, answer, revision } => {
            let revision = revision.map(|revision| format!(" at revision {revision}")).unwrap_or_default();
            format!("{who}, told {}{revision} [{} – {}]", told(answer), seconds(call.called), seconds(*at))
        }
        Outcome::Failed => format!("{who}, failed [{}]", seconds(call.called)),
        Outcome::Unknown => format!("{who}, not told anything [{} – …]", seconds(call.called)),
    }
}

fn asked(operation: &Operation) -> String {
    match operation {
        Operation::Get { key } => format!("gets {key:?}"),
        Operation::Put { key, value } => format!("puts {key:?} = {}", text(value)),
        Operation::Delete { key } => format!("deletes {key:?}"),
        Operation::Append { key, text: added } => format!("appends {} to {key:?}", text(added)),
        Operation::Transact { expected, then, otherwise } => {
            let condition =
                |(key, held): &(String, Option<String>)| format!("{key:?} is {}", value(held.as_ref()));
            let expected: Vec<String> = expected.iter().map(condition).collect();
            let steps = |steps: &[Step]| steps.iter().map(step).collect::<Vec<_>>().join(", ");
            let (then, otherwise) = (steps(then), steps(otherwise));
            format!("does, if {}: ({then}), else: ({otherwise})", expected.join(" and "))
        }
        Operation::Overreach { key, value } => {
            format!("puts {key:?} = {} and reads what is yet to come", text(value))
        }
        Operation::Compact { revision } => format!("compacts through revision {revision}"),
        Operation::Propose { value } => format!("proposes {}", text(value)),
    }
}

fn step(step: &Step) -> String {
    match step {
        Step::Get(key) => format!("get {key:?}"),
        Step::Put(key, value) => format!("put {key:?} = {}", text(value)),
        Step::Delete(key) => format!("delete {key:?}"),
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Value(held) => value(held.as_ref()),
        Answer::Done => "done".to_owned(),
        Answer::Deleted(true) => "it was there".to_owned(),
        Answer::Deleted(false) => "it was not there".to_owned(),
        Answer::Transacted { succeeded, read } => {
            let read: Vec<String> = read.iter().map(|held| value(held.as_ref())).collect();
            format!(
                "{} ({})",
                if *succeeded { "the conditions held" } else { "they did not hold" },
                read.join(", ")
            )
        }
        Answer::Chosen(chosen) => format!("{} is chosen", text(chosen)),
    }
}

fn value(value: Option<&String>) -> String {
    value.map_or("nothing".to_owned(), |value| text(value))
}

/// A text in quotes. Lists that were appended to differ at their ends.
fn text(text: &str) -> String {
    let length = text.chars().count();
    if length <= 2 * ENDS {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(ENDS).collect();
    let end: String = text.chars().skip(length - ENDS).collect();
    format!("{start:?} … {} … {end:?}", length - 2 * ENDS)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(nanoseconds: u64) -> String {
    format!("{:.6} s", nanoseconds as f64 / 1e9)
}
