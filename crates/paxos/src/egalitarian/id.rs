//! The identities of commands, and sets of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::node::NodeId;

/// The identity of a command: who proposed it, and how many it had proposed by then.
///
/// An owner counts 1, 2, 3, … and leaves none out, so that "all through the fifth" says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The replica that proposed it, and that leads its ballot 0.
    pub owner: NodeId,
    /// From 1.
    pub counter: u64,
}

impl CommandId {
    /// Peers' counters above this are garbage: they could only serve to exhaust the numbers.
    pub const COUNTER_MAX: u64 = u64::MAX / 2;

    /// The command of `owner` with this number.
    pub const fn new(owner: NodeId, counter: u64) -> CommandId {
        CommandId { owner, counter }
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.owner, self.counter)
    }
}

/// For each owner, all its commands through a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<(NodeId, u64)>")]
pub struct Floor(
    /// Owners in order, each once, none with 0: one floor has one form.
    Vec<(NodeId, u64)>,
);

impl Floor {
    /// The last command of `owner` that is in it; 0 if none is.
    pub fn of(&self, owner: NodeId) -> u64 {
        self.0.iter().find(|(known, _)| *known == owner).map_or(0, |(_, counter)| *counter)
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: CommandId) -> bool {
        id.counter <= self.of(id.owner)
    }

    /// Puts in all commands of `owner` through `counter`. Takes none out.
    pub fn raise(&mut self, owner: NodeId, counter: u64) {
        match self.0.binary_search_by_key(&owner, |(known, _)| *known) {
            Ok(at) => self.0[at].1 = counter.max(self.0[at].1),
            Err(at) if counter > 0 => self.0.insert(at, (owner, counter)),
            Err(_) => {}
        }
    }

    /// Puts in all that are in `other`.
    pub fn raise_to(&mut self, other: &Floor) {
        for (owner, counter) in other.iter() {
            self.raise(owner, counter);
        }
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Floor) -> Floor {
        let common = self.iter().map(|(owner, counter)| (owner, counter.min(other.of(owner))));
        common.collect()
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Floor) -> bool {
        other.iter().all(|(owner, counter)| counter <= self.of(owner))
    }

    /// Owners and how far their commands are in it, in order; none with 0.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(NodeId, u64)> for Floor {
    fn from_iter<T: IntoIterator<Item = (NodeId, u64)>>(counters: T) -> Floor {
        let mut floor = Floor::default();
        for (owner, counter) in counters {
            floor.raise(owner, counter);
        }
        floor
    }
}

impl From<Vec<(NodeId, u64)>> for Floor {
    // A peer's floor need not have the one form.
    fn from(counters: Vec<(NodeId, u64)>) -> Floor {
        counters.into_iter().collect()
    }
}

/// A set of commands, kept small: what an owner's first commands without a gap are is one number.
///
/// One set has one form, so equal sets are equal values. The rest is a sorted vector: sets are copied, sent and merged
/// far more often than something is put into the middle of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(Floor, Vec<CommandId>)")]
pub struct IdSet {
    floor: Floor,
    /// In order, each once. None of them is in the floor, nor the next above it.
    above: Vec<CommandId>,
}

impl IdSet {
    /// For each owner, how far the set has no gap.
    pub fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Those above the floor, in order.
    pub fn above(&self) -> impl ExactSizeIterator<Item = CommandId> + '_ {
        self.above.iter().copied()
    }

    /// Whether `id` is in it.
    pub fn contains(&self, id: CommandId) -> bool {
        self.floor.contains(id) || self.above.binary_search(&id).is_ok()
    }

    /// Puts in `id`. Returns whether it was not there.
    pub fn insert(&mut self, id: CommandId) -> bool {
        if self.floor.contains(id) {
            return false;
        }
        let Err(at) = self.above.binary_search(&id) else { return false };
        self.above.insert(at, id);
        self.absorb(id.owner);
        true
    }

    /// Puts in all of `ids`, at the price of one sort.
    pub fn insert_all(&mut self, ids: impl IntoIterator<Item = CommandId>) {
        let before = self.above.len();
        self.above.extend(ids);
        if self.above.len() == before {
            return;
        }
        let floor = &self.floor;
        self.above.retain(|id| !floor.contains(*id));
        // Two sorted runs, mostly: what a merge sort is quick at.
        self.above.sort();
        self.above.dedup();
        self.absorb_all();
    }

    /// Puts in every command of a floor.
    pub fn insert_floor(&mut self, floor: &Floor) {
        if self.floor.covers(floor) {
            return;
        }
        self.floor.raise_to(floor);
        let raised = &self.floor;
        self.above.retain(|id| !raised.contains(*id));
        self.absorb_all();
    }

    /// Puts in all of `other`.
    pub fn extend(&mut self, other: &IdSet) {
        self.insert_floor(&other.floor);
        self.insert_all(other.above());
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &IdSet) -> bool {
        other.floor.iter().all(|(owner, _)| other.above_floor(owner, &self.floor).all(|id| self.contains(id)))
            && other.above.iter().all(|id| self.contains(*id))
    }

    /// Whether a floor is in it.
    pub fn covers_floor(&self, floor: &Floor) -> bool {
        self.floor.covers(floor)
    }

    /// Those of the floor's commands of `owner` that are above another floor.
    fn above_floor(&self, owner: NodeId, other: &Floor) -> impl Iterator<Item = CommandId> + use<> {
        (other.of(owner) + 1..=self.floor.of(owner)).map(move |counter| CommandId::new(owner, counter))
    }

    /// The first command after `after` that is in this set and not in `done`.
    pub fn next_not_in(&self, done: &IdSet, after: Option<CommandId>) -> Option<CommandId> {
        let from_floor = self.next_of_floor(done, after);
        let passed = after.map_or(0, |after| self.above.partition_point(|id| *id <= after));
        let from_above = self.above[passed..].iter().copied().find(|id| !done.contains(*id));
        from_floor.into_iter().chain(from_above).min()
    }

    fn next_of_floor(&self, done: &IdSet, after: Option<CommandId>) -> Option<CommandId> {
        let first = after.map_or(NodeId(0), |id| id.owner);
        self.floor.iter().filter(|(owner, _)| *owner >= first).find_map(|(owner, last)| {
            let passed = after.filter(|id| id.owner == owner).map_or(0, |id| id.counter);
            let mut next = CommandId::new(owner, passed.max(done.floor.of(owner)) + 1);
            while done.above.binary_search(&next).is_ok() {
                next.counter += 1;
            }
            (next.counter <= last).then_some(next)
        })
    }

    /// Every owner of a command in it, in order, perhaps more than once.
    pub fn owners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.floor.iter().map(|(owner, _)| owner).chain(self.above.iter().map(|id| id.owner))
    }

    /// The highest number of each owner in it.
    pub fn highest(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.floor.iter().chain(self.above.iter().map(|id| (id.owner, id.counter)))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.floor.is_empty() && self.above.is_empty()
    }

    /// Moves what has no gap below it any more into the floor.
    fn absorb(&mut self, owner: NodeId) {
        let first = self.above.partition_point(|id| id.owner < owner);
        let mut last = self.floor.of(owner);
        let mut end = first;
        while self.above.get(end).is_some_and(|id| *id == CommandId::new(owner, last + 1)) {
            last += 1;
            end += 1;
        }
        if end > first {
            self.above.drain(first..end);
            self.floor.raise(owner, last);
        }
    }

    fn absorb_all(&mut self) {
        let mut at = 0;
        while let Some(owner) = self.above.get(at).map(|id| id.owner) {
            self.absorb(owner);
            at += self.above[at..].partition_point(|id| id.owner <= owner);
        }
    }
}

impl FromIterator<CommandId> for IdSet {
    fn from_iter<T: IntoIterator<Item = CommandId>>(ids: T) -> IdSet {
        let mut set = IdSet::default();
        set.insert_all(ids);
        set
    }
}

impl From<Floor> for IdSet {
    fn from(floor: Floor) -> IdSet {
        IdSet { floor, above: Vec::new() }
    }
}

impl From<(Floor, Vec<CommandId>)> for IdSet {
    // A peer's set need not have the one form.
    fn from((floor, above): (Floor, Vec<CommandId>)) -> IdSet {
        let in_order = above.is_sorted_by(|a, b| a < b);
        if in_order && above.iter().all(|id| id.counter > floor.of(id.owner) + 1) {
            return IdSet { floor, above };
        }
        let mut set = IdSet::from(floor);
        set.insert_all(above.into_iter().filter(|id| id.counter > 0));
        set
    }
}

impl fmt::Display for IdSet {
    /// `{n1.1-3, n2.7}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown: Vec<String> = Vec::new();
        for (owner, last) in self.floor.iter() {
            let through = if last > 1 { format!("-{last}") } else { String::new() };
            shown.push(format!("{owner}.1{through}"));
        }
        shown.extend(self.above.iter().map(CommandId::to_string));
        write!(f, "{{{}}}", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(owner: u64, counter: u64) -> CommandId {
        CommandId::new(NodeId(owner), counter)
    }

    #[test]
    fn a_set_has_one_form_however_it_came_about() {
        let forward: IdSet = [id(1, 1), id(1, 2), id(2, 4), id(1, 3)].into_iter().collect();
        let mut backward: IdSet = [id(1, 3), id(2, 4), id(1, 2)].into_iter().collect();
        assert!(!backward.contains(id(1, 1)));
        backward.insert_floor(&Floor::from_iter([(NodeId(1), 1)]));
        assert_eq!(forward, backward);
        assert_eq!(forward.to_string(), "{n1.1-3, n2.4}");
        let unordered = vec![id(2, 4), id(1, 2), id(2, 4), id(2, 0)];
        assert_eq!(
            IdSet::from((backward.floor.clone(), unordered)),
            forward,
            "a peer's set takes the one form"
        );
    }

    /// Every set over two owners with three commands each, against a plain set.
    #[test]
    fn sets_do_what_plain_sets_do() {
        let all: Vec<CommandId> = (1..=2).flat_map(|owner| (1..=3).map(move |c| id(owner, c))).collect();
        let subsets = || (0_u32..64).map(|bits| (0..6).filter(move |at| bits >> at & 1 == 1));
        for left in subsets() {
            let plain: BTreeSet<CommandId> = left.map(|at| all[at]).collect();
            let set: IdSet = plain.iter().copied().collect();
            for right in subsets() {
                let other: BTreeSet<CommandId> = right.map(|at| all[at]).collect();
                let done: IdSet = other.iter().copied().collect();
                assert_eq!(set.covers(&done), plain.is_superset(&other), "{set} {done}");
                let mut both = set.clone();
                both.extend(&done);
                assert_eq!(both, plain.union(&other).copied().collect(), "{set} {done}");
                let mut walked = Vec::new();
                let mut at = None;
                while let Some(next) = set.next_not_in(&done, at) {
                    walked.push(next);
                    at = Some(next);
                }
                assert_eq!(walked, plain.difference(&other).copied().collect::<Vec<_>>(), "{set} {done}");
            }
        }
    }

    #[test]
    fn what_two_floors_have_in_common_is_in_both() {
        let low = Floor::from_iter([(NodeId(1), 3), (NodeId(2), 1)]);
        let high = Floor::from_iter([(NodeId(1), 2), (NodeId(3), 9)]);
        let common = low.common(&high);
        assert_eq!(common, Floor::from_iter([(NodeId(1), 2)]));
        assert!(low.covers(&common) && high.covers(&common) && !common.covers(&low));
    }
}
