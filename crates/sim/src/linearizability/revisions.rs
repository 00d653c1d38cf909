//! Revisions that came with answers: the store's own word about the order of things, held against real time.
//!
//! A store begins at revision 1. Every call that changes something makes the next revision and is answered with it;
//! every other call is answered with the revision that it saw (etcd's `ResponseHeader.revision`).

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::story;
use crate::history::{Answer, Call, Operation, Outcome, Step};

/// The revision of an empty store.
const START: i64 = 1;

/// Revisions contradict each other, real time, or what was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RevisionViolation {
    /// Two writes made the same revision.
    #[error("two writes made one revision: {one}; {other}")]
    Shared {
        /// One write.
        one: String,
        /// The other.
        other: String,
    },
    /// A call was made after another was answered and has an earlier revision, or as a write the same one.
    #[error("time goes on and revisions do not: {earlier}; afterwards {later}")]
    Backwards {
        /// The call that was answered first.
        earlier: String,
        /// The call that came later.
        later: String,
    },
    /// More revisions than writes that can have made them.
    #[error("only {possible} writes can have happened by then: {call}")]
    TooFar {
        /// The call with too high a revision.
        call: String,
        /// How many writes were asked for, those of unknown outcome included.
        possible: usize,
    },
    /// Two calls show different contents of a key at one revision.
    #[error("{key:?} holds two things at one revision: {one}; {other}")]
    TwoContents {
        /// The key.
        key: String,
        /// One call.
        one: String,
        /// The other.
        other: String,
    },
    /// A read shows something else than the last write before its revision left there, and none can be between.
    #[error(
        "{key:?} was not read at the revision that is claimed: {read}; the last write before was {write}"
    )]
    OtherContent {
        /// The key.
        key: String,
        /// The read.
        read: String,
        /// The last write.
        write: String,
    },
}

/// An answered call with a revision.
#[derive(Clone, Copy, Debug)]
struct Dated<'a> {
    call: &'a Call,
    answer: &'a Answer,
    at: u64,
    revision: i64,
    kind: Kind,
}

/// What a call did to the store's revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It made its revision.
    Write,
    /// It saw its revision.
    Read,
    /// One of the two.
    Either,
}

/// Checks the revisions of a whole history. Answers without one are not looked at, but may have made one.
///
/// # Errors
/// What does not fit.
pub fn check_revisions(calls: &[Call]) -> Result<(), RevisionViolation> {
    let dated: Vec<Dated<'_>> = calls.iter().filter_map(dated).collect();
    check_shared(&dated)?;
    check_backwards(&dated)?;
    check_too_far(calls, &dated)?;
    check_contents(calls, &dated)
}

fn dated(call: &Call) -> Option<Dated<'_>> {
    let Outcome::Answered { at, answer, revision: Some(revision) } = &call.outcome else { return None };
    let kind = match (&call.operation, answer) {
        (Operation::Put { .. } | Operation::Append { .. }, _) | (_, Answer::Deleted(true)) => Kind::Write,
        (Operation::Transact { then, otherwise, .. }, Answer::Transacted { succeeded, .. }) => {
            let steps = if *succeeded { then } else { otherwise };
            if steps.iter().any(|step| matches!(step, Step::Put(..))) {
                Kind::Write
            } else if steps.iter().any(|step| matches!(step, Step::Delete(_))) {
                // Nobody is told whether there was something to delete.
                Kind::Either
            } else {
                Kind::Read
            }
        }
        // What is chosen once and for all is not what revisions are about.
        (Operation::Propose { .. }, _) => return None,
        _ => Kind::Read,
    };
    Some(Dated { call, answer, at: *at, revision: *revision, kind })
}

fn check_shared(dated: &[Dated<'_>]) -> Result<(), RevisionViolation> {
    let mut writes = BTreeMap::new();
    for one in dated.iter().filter(|dated| dated.kind == Kind::Write) {
        if let Some(other) = writes.insert(one.revision, one.call) {
            return Err(RevisionViolation::Shared { one: story::call(other), other: story::call(one.call) });
        }
    }
    Ok(())
}

fn check_backwards(dated: &[Dated<'_>]) -> Result<(), RevisionViolation> {
    let (mut by_call, mut by_answer) = (dated.to_vec(), dated.to_vec());
    by_call.sort_by_key(|dated| dated.call.called);
    by_answer.sort_by_key(|dated| dated.at);
    let mut answered = by_answer.into_iter().peekable();
    let mut newest: Option<Dated<'_>> = None;
    for later in by_call {
        while let Some(earlier) = answered.next_if(|earlier| earlier.at < later.call.called) {
            newest = Some(newest.filter(|newest| newest.revision > earlier.revision).unwrap_or(earlier));
        }
        let least = later.revision - i64::from(later.kind == Kind::Write);
        if let Some(earlier) = newest.filter(|newest| newest.revision > least) {
            let (earlier, later) = (story::call(earlier.call), story::call(later.call));
            return Err(RevisionViolation::Backwards { earlier, later });
        }
    }
    Ok(())
}

/// Whether it may have made a revision.
fn may_write(call: &Call) -> bool {
    let asked = match &call.operation {
        Operation::Put { .. } | Operation::Append { .. } | Operation::Delete { .. } => true,
        Operation::Transact { then, otherwise, .. } => {
            then.iter().chain(otherwise).any(|step| !matches!(step, Step::Get(_)))
        }
        Operation::Get { .. }
        | Operation::Overreach { .. }
        | Operation::Compact { .. }
        | Operation::Propose { .. } => false,
    };
    asked && call.outcome != Outcome::Failed && dated(call).is_none_or(|dated| dated.kind != Kind::Read)
}

fn check_too_far(calls: &[Call], dated: &[Dated<'_>]) -> Result<(), RevisionViolation> {
    let mut asked: Vec<u64> = calls.iter().filter(|call| may_write(call)).map(|call| call.called).collect();
    asked.sort_unstable();
    for one in dated {
        let possible = asked.partition_point(|&called| called <= one.at);
        if usize::try_from(one.revision - START).is_ok_and(|made| made > possible) {
            return Err(RevisionViolation::TooFar { call: story::call(one.call), possible });
        }
    }
    Ok(())
}

/// What a call shows of a key as of its revision: `None` that it is not there.
fn shown<'a>(dated: &Dated<'a>) -> Vec<(&'a String, Option<&'a String>)> {
    match (&dated.call.operation, dated.answer) {
        (Operation::Get { key }, Answer::Value(value)) => vec![(key, value.as_ref())],
        (Operation::Put { key, value }, _) => vec![(key, Some(value))],
        (Operation::Delete { key }, _) => vec![(key, None)],
        (Operation::Transact { expected, then, otherwise }, Answer::Transacted { succeeded, read }) => {
            let mut shown = BTreeMap::new();
            if *succeeded {
                shown.extend(expected.iter().map(|(key, value)| (key, value.as_ref())));
            }
            let mut read = read.iter();
            for step in if *succeeded { then } else { otherwise } {
                match step {
                    Step::Get(key) => drop(shown.insert(key, read.next().and_then(Option::as_ref))),
                    Step::Put(key, value) => drop(shown.insert(key, Some(value))),
                    Step::Delete(key) => drop(shown.insert(key, None)),
                }
            }
            shown.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A key at one revision.
#[derive(Clone, Copy, Debug)]
struct Content<'a> {
    value: Option<&'a String>,
    /// Who shows it.
    shown: &'a Call,
    /// Whether this very revision wrote it.
    written: bool,
}

fn check_contents(calls: &[Call], dated: &[Dated<'_>]) -> Result<(), RevisionViolation> {
    let mut contents = BTreeMap::<&String, BTreeMap<i64, Content<'_>>>::new();
    for one in dated {
        for (key, value) in shown(one) {
            let written = one.kind == Kind::Write && writes(one, key);
            let content = Content { value, shown: one.call, written };
            let at_revision = contents.entry(key).or_default().entry(one.revision).or_insert(content);
            if at_revision.value != value {
                let (one, other) = (story::call(at_revision.shown), story::call(one.call));
                return Err(RevisionViolation::TwoContents { key: key.clone(), one, other });
            }
            at_revision.written |= written;
        }
    }
    let made: BTreeSet<i64> =
        dated.iter().filter(|dated| dated.kind == Kind::Write).map(|dated| dated.revision).collect();
    for (key, contents) in contents {
        let silent = Silent::new(key, calls, dated);
        for ((earlier, before), (revision, content)) in contents.iter().zip(contents.iter().skip(1)) {
            let explained = before.value == content.value
                || content.written
                || silent.may_change(*earlier + 1, *revision, &made, content.shown);
            if !explained {
                let (read, write) = (story::call(content.shown), story::call(before.shown));
                return Err(RevisionViolation::OtherContent { key: key.clone(), read, write });
            }
        }
    }
    Ok(())
}

/// Whether the branch that was taken writes `key`.
fn writes(dated: &Dated<'_>, key: &String) -> bool {
    match (&dated.call.operation, dated.answer) {
        (Operation::Transact { then, otherwise, .. }, Answer::Transacted { succeeded, .. }) => {
            let steps = if *succeeded { then } else { otherwise };
            steps.iter().any(|step| matches!(step, Step::Put(at, _) | Step::Delete(at) if at == key))
        }
        _ => true,
    }
}

/// What may change a key without showing its new content.
#[derive(Debug)]
struct Silent {
    /// The revisions of appends.
    appended: BTreeSet<i64>,
    /// When the first write was asked for of which nobody knows the revision.
    unknown: Option<u64>,
}

impl Silent {
    fn new(key: &String, calls: &[Call], dated: &[Dated<'_>]) -> Silent {
        let appends = dated
            .iter()
            .filter(|dated| matches!(&dated.call.operation, Operation::Append { key: at, .. } if at == key));
        let certain = |call: &Call| self::dated(call).is_some_and(|dated| dated.kind == Kind::Write);
        let unknown = calls
            .iter()
            .filter(|call| may_write(call) && !certain(call) && call.operation.keys().contains(key));
        Silent {
            appended: appends.map(|dated| dated.revision).collect(),
            unknown: unknown.map(|call| call.called).min(),
        }
    }

    /// Whether one of the revisions from `first` to `last`, the one that `seen` shows, can have changed the key.
    fn may_change(&self, first: i64, last: i64, made: &BTreeSet<i64>, seen: &Call) -> bool {
        let answered = super::answered_at(seen).expect("what has a revision was answered");
        let known = made.range(first..=last).count();
        let free = usize::try_from(last - first + 1).is_ok_and(|revisions| revisions > known);
        let unknown = self.unknown.is_some_and(|called| free && called <= answered);
        unknown || self.appended.range(first..=last).next().is_some()
    }
}
