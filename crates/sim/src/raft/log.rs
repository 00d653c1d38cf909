//! The log: entries behind a snapshot.

use serde::{Deserialize, Serialize};
use synod_probe::mutant;

/// A place in the log, and the term of the entry there. Nothing is at index 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The index.
    pub index: u64,
    /// The term in which its entry was made.
    pub term: u64,
}

/// An entry: clients' commands that a leader appended at once, none at the beginning of its term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<C> {
    /// The leader's term.
    pub term: u64,
    /// What is to be executed.
    pub commands: Vec<C>,
}

/// A node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<C> {
    /// The last entry that is not held any more.
    base: Position,
    entries: Vec<Entry<C>>,
}

impl<C> Default for Log<C> {
    fn default() -> Log<C> {
        Log { base: Position::default(), entries: Vec::new() }
    }
}

impl<C: Clone> Log<C> {
    /// The last entry that is held no more.
    pub fn base(&self) -> Position {
        self.base
    }

    /// The last entry.
    pub fn last(&self) -> Position {
        let index = self.base.index + self.entries.len() as u64;
        Position { index, term: self.entries.last().map_or(self.base.term, |entry| entry.term) }
    }

    /// The term of the entry at `index`, if it is known.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base.index { Some(self.base.term) } else { self.get(index).map(|entry| entry.term) }
    }

    /// The entry at `index`, if it is held.
    pub fn get(&self, index: u64) -> Option<&Entry<C>> {
        let place = index.checked_sub(self.base.index + 1)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// The entries held from `index` on.
    pub fn from(&self, index: u64) -> &[Entry<C>] {
        let place = usize::try_from(index.saturating_sub(self.base.index + 1)).unwrap_or(usize::MAX);
        self.entries.get(place..).unwrap_or_default()
    }

    /// Adds an entry; returns where it is.
    pub fn push(&mut self, entry: Entry<C>) -> u64 {
        self.entries.push(entry);
        self.last().index
    }

    /// Puts an entry at `index` and removes what stood there and behind.
    ///
    /// # Panics
    /// If that would leave a gap, or change what is held no more.
    pub fn put(&mut self, index: u64, entry: Entry<C>) {
        let place = index.checked_sub(self.base.index + 1).and_then(|place| usize::try_from(place).ok());
        let place = place.filter(|place| *place <= self.entries.len());
        let place =
            place.unwrap_or_else(|| panic!("{index} is not in or behind the log to {:?}", self.last()));
        self.entries.truncate(place);
        self.entries.push(entry);
    }

    /// A snapshot covers everything up to `position`. What follows stays if it follows that very entry.
    pub fn rebase(&mut self, position: Position) {
        if position.index < self.base.index {
            return;
        }
        let kept = match self.term(position.index) {
            Some(term) if term == position.term => self.from(position.index + 1).to_vec(),
            _ => Vec::new(),
        };
        *self = Log { base: position, entries: kept };
    }

    /// Whether a log that ends with `other` is as up to date as this one (§3.6.1).
    pub fn is_matched_by(&self, other: Position) -> bool {
        (other.term, other.index) >= (self.last().term, self.last().index) || mutant!(RaftElectsStaleLog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(base: Position, terms: &[u64]) -> Log<u64> {
        let mut log = Log { base, entries: Vec::new() };
        for term in terms {
            log.push(Entry { term: *term, commands: vec![*term] });
        }
        log
    }

    fn at(index: u64, term: u64) -> Position {
        Position { index, term }
    }

    #[test]
    fn a_conflicting_entry_removes_what_follows_it() {
        let mut log = log(at(0, 0), &[1, 1, 2]);
        log.put(2, Entry { term: 3, commands: vec![] });
        assert_eq!((log.last(), log.term(1), log.term(3)), (at(2, 3), Some(1), None));
    }

    #[test]
    fn a_snapshot_keeps_what_follows_its_last_entry_and_nothing_else() {
        let mut same = log(at(0, 0), &[1, 1, 2]);
        same.rebase(at(2, 1));
        assert_eq!((same.base(), same.last(), same.from(1).len()), (at(2, 1), at(3, 2), 1));
        let mut other = log(at(0, 0), &[1, 1, 2]);
        other.rebase(at(2, 5));
        assert_eq!((other.base(), other.last()), (at(2, 5), at(2, 5)));
        other.rebase(at(1, 1));
        assert_eq!(other.base(), at(2, 5), "an older snapshot says nothing new");
    }

    #[test]
    fn a_later_term_counts_more_than_a_longer_log() {
        let log = log(at(0, 0), &[1, 2]);
        assert!(log.is_matched_by(at(1, 3)) && log.is_matched_by(at(2, 2)) && log.is_matched_by(at(9, 2)));
        assert!(!log.is_matched_by(at(9, 1)) && !log.is_matched_by(at(1, 2)));
    }
}
