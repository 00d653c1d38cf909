//! What can be told wrong of a request before it goes into the log, as etcd checks it.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::MAX_TXN_DEPTH;
use crate::request::{Command, DeleteRange, Key, KeyRange, Put, Range, Txn, TxnOp};
use crate::response::Refusal;

/// How large a transaction may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most so many conditions, and so many steps in each branch. What the largest of the three leaves of it is
    /// the limit of the transactions nested inside.
    pub max_txn_ops: usize,
}

impl Default for Limits {
    /// etcd's: 128.
    fn default() -> Limits {
        Limits { max_txn_ops: 128 }
    }
}

/// Checks a command before it is proposed.
///
/// # Errors
/// The refusal that the client should see. What depends on the state of the store comes from
/// [`Store::apply`](crate::Store::apply).
pub fn check(command: &Command, limits: &Limits) -> Result<(), Refusal> {
    match command {
        Command::Put(put) => check_put(put),
        Command::DeleteRange(delete) => check_delete_range(delete),
        Command::Txn(txn) => {
            check_txn(txn, limits.max_txn_ops, 1)?;
            Writes::of(&txn.success)?;
            Writes::of(&txn.failure)?;
            Ok(())
        }
        Command::Compact(_) => Ok(()),
    }
}

/// Checks a read before it is served.
///
/// # Errors
/// [`Refusal::EmptyKey`].
pub fn check_range(range: &Range) -> Result<(), Refusal> {
    check_keys(&range.keys)
}

fn check_keys(keys: &KeyRange) -> Result<(), Refusal> {
    let (KeyRange::One(first) | KeyRange::Span(first, _) | KeyRange::From(first)) = keys;
    check_key(first)
}

fn check_key(key: &Key) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

fn check_put(put: &Put) -> Result<(), Refusal> {
    check_key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if put.ignore_lease && put.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

fn check_delete_range(delete: &DeleteRange) -> Result<(), Refusal> {
    check_keys(&delete.keys)
}

fn check_txn(txn: &Txn, budget: usize, depth: usize) -> Result<(), Refusal> {
    let used = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    // The depth matters only with a larger budget than the default: each level but the last takes one off it.
    let Some(left) = budget.checked_sub(used).filter(|_| depth <= MAX_TXN_DEPTH) else {
        return Err(Refusal::TooManyOps);
    };
    txn.compare.iter().try_for_each(|compare| check_keys(&compare.keys))?;
    txn.success.iter().chain(&txn.failure).try_for_each(|op| match op {
        TxnOp::Range(range) => check_range(range),
        TxnOp::Put(put) => check_put(put),
        TxnOp::DeleteRange(delete) => check_delete_range(delete),
        TxnOp::Txn(txn) => check_txn(txn, left, depth + 1),
    })
}

/// What a list of steps may write and remove, whichever way its nested transactions go.
#[derive(Default)]
struct Writes<'a> {
    puts: BTreeSet<&'a Key>,
    deletes: KeySet<'a>,
}

impl<'a> Writes<'a> {
    /// # Errors
    /// [`Refusal::DuplicateKey`] if a key may be put twice, or put and removed. The two branches of a nested
    /// transaction exclude each other, so both may put the same key. The order of the checks is etcd's, with its
    /// one gap: what a nested transaction removes is not held against the puts of the ones before it.
    fn of(ops: &'a [TxnOp]) -> Result<Writes<'a>, Refusal> {
        let mut writes = Writes::default();
        for op in ops {
            if let TxnOp::DeleteRange(delete) = op {
                writes.deletes.insert(&delete.keys);
            }
        }
        for op in ops {
            let TxnOp::Txn(txn) = op else { continue };
            let success = Writes::of(&txn.success)?;
            let failure = Writes::of(&txn.failure)?;
            let either: BTreeSet<&Key> = success.puts.union(&failure.puts).copied().collect();
            either.into_iter().try_for_each(|key| writes.put(key))?;
            writes.deletes.merge(success.deletes);
            writes.deletes.merge(failure.deletes);
        }
        for op in ops {
            if let TxnOp::Put(put) = op {
                writes.put(&put.key)?;
            }
        }
        Ok(writes)
    }

    fn put(&mut self, key: &'a Key) -> Result<(), Refusal> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(Refusal::DuplicateKey);
        }
        Ok(())
    }
}

/// A set of keys given as ranges; looking a key up does not depend on how many there are.
#[derive(Default)]
struct KeySet<'a> {
    singles: BTreeSet<&'a Key>,
    /// Disjoint spans: first key, and the first one behind or `None` for no end.
    spans: BTreeMap<&'a Key, Option<&'a Key>>,
}

impl<'a> KeySet<'a> {
    fn insert(&mut self, keys: &'a KeyRange) {
        match keys {
            KeyRange::One(key) => {
                self.singles.insert(key);
            }
            KeyRange::Span(from, to) if from >= to => {}
            KeyRange::Span(from, to) => self.insert_span(from, Some(to)),
            KeyRange::From(from) => self.insert_span(from, None),
        }
    }

    /// Joins the span with all that it touches.
    fn insert_span(&mut self, mut from: &'a Key, mut to: Option<&'a Key>) {
        if let Some((&before, &end)) = self.spans.range::<&Key, _>(..=from).next_back()
            && end.is_none_or(|end| end >= from)
        {
            from = before;
            to = later(to, end);
        }
        while let Some((&next, &end)) = self.spans.range::<&Key, _>(from..).next()
            && to.is_none_or(|to| next <= to)
        {
            to = later(to, end);
            self.spans.remove(next);
        }
        self.spans.insert(from, to);
    }

    fn merge(&mut self, other: KeySet<'a>) {
        self.singles.extend(other.singles);
        other.spans.into_iter().for_each(|(from, to)| self.insert_span(from, to));
    }

    fn contains(&self, key: &Key) -> bool {
        let span = self.spans.range::<&Key, _>(..=key).next_back();
        self.singles.contains(key) || span.is_some_and(|(_, to)| to.is_none_or(|to| key < to))
    }
}

/// The later of two ends of spans.
fn later<'a>(a: Option<&'a Key>, b: Option<&'a Key>) -> Option<&'a Key> {
    Some(a?.max(b?))
}
