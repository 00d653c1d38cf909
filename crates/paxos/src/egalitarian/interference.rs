//! Which commands interfere, and how to find them without looking at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Bound;

use crate::egalitarian::id::{CommandId, Floor};
use crate::multi::entry;

/// A command, and the relation that says which are executed in the same order everywhere.
pub trait Command: entry::Command {
    /// What commands touch: a key of a store.
    type Key: Clone + Ord + Hash + Debug;

    /// Whether the order of the two matters: whether they commute neither in what they do nor in what they answer.
    /// Symmetric. A command that answers with what it read interferes with every one that writes there.
    fn interferes(&self, other: &Self) -> bool;

    /// Where it acts. Two commands that interfere must touch in at least one place; those that touch need not
    /// interfere.
    fn extents(&self) -> Vec<Extent<Self::Key>>;
}

/// A place where a command acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extent<K> {
    /// One key.
    Key(K),
    /// All keys from the first to below the second, or to the end.
    Range(K, Option<K>),
    /// All keys.
    All,
}

impl<K: Ord> Extent<K> {
    fn bounds(&self) -> (Bound<&K>, Bound<&K>) {
        match self {
            Extent::Key(key) => (Bound::Included(key), Bound::Included(key)),
            Extent::Range(from, to) => {
                (Bound::Included(from), to.as_ref().map_or(Bound::Unbounded, Bound::Excluded))
            }
            Extent::All => (Bound::Unbounded, Bound::Unbounded),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Extent::Range(from, Some(to)) if from >= to)
    }

    fn touches(&self, other: &Extent<K>) -> bool {
        let below = |(_, end): (Bound<&K>, Bound<&K>), (start, _): (Bound<&K>, Bound<&K>)| match (end, start)
        {
            (Bound::Included(end), Bound::Included(start)) => end < start,
            (Bound::Excluded(end), Bound::Included(start)) => end <= start,
            _ => false,
        };
        let (mine, theirs) = (self.bounds(), other.bounds());
        !self.is_empty() && !other.is_empty() && !below(mine, theirs) && !below(theirs, mine)
    }
}

/// Commands by where they act.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index<K> {
    keys: BTreeMap<K, BTreeSet<CommandId>>,
    wide: BTreeMap<CommandId, Vec<Extent<K>>>,
}

impl<K> Default for Index<K> {
    fn default() -> Index<K> {
        Index { keys: BTreeMap::new(), wide: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Index<K> {
    /// Puts in a command that acts in `extents`.
    pub fn insert(&mut self, id: CommandId, extents: Vec<Extent<K>>) {
        let (keys, wide): (Vec<_>, Vec<_>) =
            extents.into_iter().partition(|extent| matches!(extent, Extent::Key(_)));
        for extent in keys {
            if let Extent::Key(key) = extent {
                self.keys.entry(key).or_default().insert(id);
            }
        }
        if !wide.is_empty() {
            self.wide.insert(id, wide);
        }
    }

    /// Takes out a command that acts in `extents`.
    pub fn remove(&mut self, id: CommandId, extents: &[Extent<K>]) {
        self.wide.remove(&id);
        for extent in extents {
            if let Extent::Key(key) = extent
                && let Some(there) = self.keys.get_mut(key)
            {
                there.remove(&id);
                if there.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
    }

    /// The commands above `floor` that touch `extents`, in order.
    pub fn touching(&self, extents: &[Extent<K>], floor: &Floor) -> Vec<CommandId> {
        let mut found = Vec::new();
        for extent in extents.iter().filter(|extent| !extent.is_empty()) {
            let keys = self.keys.range(extent.bounds());
            keys.for_each(|(_, ids)| collect_above(ids, floor, &mut found));
        }
        let touches = |wide: &Vec<Extent<K>>| wide.iter().any(|w| extents.iter().any(|e| e.touches(w)));
        let wide = self.wide.iter().filter(|(id, wide)| !floor.contains(**id) && touches(wide));
        found.extend(wide.map(|(id, _)| *id));
        // One run, of one key, mostly: sorted already.
        found.sort();
        found.dedup();
        found
    }
}

/// Those of `ids` above `floor`, without a look at the others: a key that many write has many.
fn collect_above(ids: &BTreeSet<CommandId>, floor: &Floor, found: &mut Vec<CommandId>) {
    let mut next = ids.first().copied();
    while let Some(CommandId { owner, .. }) = next {
        let (low, high) = (CommandId::new(owner, floor.of(owner) + 1), CommandId::new(owner, u64::MAX));
        found.extend(ids.range(low..=high));
        next = ids.range((Bound::Excluded(high), Bound::Unbounded)).next().copied();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeId;

    fn extents() -> Vec<Extent<u8>> {
        let mut all = vec![Extent::All];
        for from in 0..4 {
            all.push(Extent::Key(from));
            all.push(Extent::Range(from, None));
            all.extend((0..4).map(|to| Extent::Range(from, Some(to))));
        }
        all
    }

    fn keys(extent: &Extent<u8>) -> Vec<u8> {
        let within = |key: &u8| match extent {
            Extent::Key(only) => key == only,
            Extent::Range(from, to) => key >= from && to.is_none_or(|to| *key < to),
            Extent::All => true,
        };
        (0..5).filter(within).collect()
    }

    #[test]
    fn the_index_finds_exactly_those_that_share_a_key() {
        for left in extents() {
            for right in extents() {
                let share = keys(&left).iter().any(|key| keys(&right).contains(key));
                let id = CommandId::new(NodeId(1), 1);
                let mut index = Index::default();
                index.insert(id, vec![left.clone()]);
                let touching = |floor: &Floor| index.touching(std::slice::from_ref(&right), floor);
                assert_eq!(touching(&Floor::default()).contains(&id), share, "{left:?} {right:?}");
                let floor = Floor::from_iter([(NodeId(1), 1)]);
                assert_eq!(touching(&floor), [], "what is in the floor is not asked for");
                index.remove(id, std::slice::from_ref(&left));
                assert_eq!(index, Index::default(), "{left:?}");
            }
        }
    }
}
