//! Histories that can be judged apart.

use std::collections::BTreeMap;

use crate::history::{Call, Operation, Outcome};

/// Calls that no call outside speaks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its keys in order; none for the proposals.
    pub keys: Vec<String>,
    /// Its calls in the order of the history, without those that certainly did not happen.
    pub calls: Vec<Call>,
}

/// Splits a history. An object made of independent objects is linearizable exactly if each of them is (Herlihy and
/// Wing 1990, section 3.1, "locality"; Horn and Kroening 2015 call it P-compositionality). A key is such an object as
/// long as no call speaks of two of them: keys that one transaction names are one object, whatever the transaction's
/// outcome may be, unless it certainly failed. The value that proposals are about is an object of its own.
pub fn partitions(calls: &[Call]) -> Vec<Partition> {
    let mut groups = Groups::default();
    let happened = || calls.iter().filter(|call| call.outcome != Outcome::Failed);
    for call in happened() {
        groups.join(&call.operation.keys().into_iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut partitions = BTreeMap::<Option<usize>, Partition>::new();
    for call in happened() {
        let keys = call.operation.keys();
        let group = match &call.operation {
            Operation::Propose { .. } => None,
            _ => match keys.first() {
                Some(key) => Some(groups.root(groups.numbers[key.as_str()])),
                // A transaction without conditions and steps says nothing about anything.
                None => continue,
            },
        };
        let partition =
            partitions.entry(group).or_insert_with(|| Partition { keys: Vec::new(), calls: Vec::new() });
        partition.calls.push(call.clone());
    }
    for (key, &number) in &groups.numbers {
        let partition = partitions.get_mut(&Some(groups.root(number)));
        partition.expect("a key comes from a call").keys.push((*key).to_owned());
    }
    partitions.into_values().collect()
}

/// Sets of keys that only ever grow together (union-find).
#[derive(Debug, Default)]
struct Groups<'a> {
    numbers: BTreeMap<&'a str, usize>,
    parents: Vec<usize>,
}

impl<'a> Groups<'a> {
    fn join(&mut self, keys: &[&'a str]) {
        let mut first = None;
        for key in keys {
            let fresh = self.parents.len();
            let number = *self.numbers.entry(key).or_insert(fresh);
            if number == fresh {
                self.parents.push(fresh);
            }
            let root = self.root(number);
            let first = *first.get_or_insert(root);
            self.parents[root] = first;
        }
    }

    fn root(&self, mut number: usize) -> usize {
        while self.parents[number] != number {
            number = self.parents[number];
        }
        number
    }
}
