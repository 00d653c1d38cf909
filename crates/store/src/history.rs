//! What became of one key: its versions, newest first, shared between the store and its views.

use std::sync::Arc;

use bytes::Bytes;

use crate::revision::Revision;

/// What a key holds from one change to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// The revision that created the key (since it was last absent).
    pub(crate) create_revision: i64,
    /// How often it was put since then.
    pub(crate) version: i64,
    /// The lease it hangs on; 0 for none.
    pub(crate) lease: i64,
    /// Its value.
    pub(crate) value: Bytes,
}

/// One change of a key.
#[derive(Debug)]
pub(crate) struct Version {
    /// When it happened.
    pub(crate) at: Revision,
    /// What was put; `None` is a tombstone: the key was deleted.
    pub(crate) live: Option<Live>,
    older: Option<Arc<Version>>,
    /// A version further down, so that a search takes a logarithmic number of steps however long the history is.
    jump: Option<Arc<Version>>,
    /// How many versions are below.
    depth: u32,
}

impl Version {
    pub(crate) fn has_older(&self) -> bool {
        self.older.is_some()
    }
}

/// The versions of one key: a list that shares its tail with every view taken before.
///
/// It is the random-access list with jump pointers of E. Myers, "An applicative random-access stack" (Information
/// Processing Letters 17, 1983): adding a version takes constant time and touches no other, finding the version of a
/// revision logarithmic time. A copied array would make each put to a busy key cost its whole history.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Version>);

impl History {
    pub(crate) fn new(at: Revision, live: Option<Live>) -> History {
        History(Arc::new(Version { at, live, older: None, jump: None, depth: 0 }))
    }

    /// Adds a version.
    ///
    /// # Panics
    /// If it is not newer than the newest: revisions are handed out in order.
    pub(crate) fn push(&mut self, at: Revision, live: Option<Live>) {
        let newest = &self.0;
        assert!(at > newest.at, "version {at:?} on top of {:?}", newest.at);
        let jump = match newest.jump.as_ref().and_then(|jump| Some((jump, jump.jump.as_ref()?))) {
            // Two jumps of the same length become one of twice the length.
            Some((near, far)) if newest.depth - near.depth == near.depth - far.depth => far.clone(),
            _ => newest.clone(),
        };
        let depth = newest.depth + 1;
        self.0 = Arc::new(Version { at, live, older: Some(self.0.clone()), jump: Some(jump), depth });
    }

    /// Takes the newest version away again; false if it is the only one.
    pub(crate) fn pop(&mut self) -> bool {
        let Some(older) = self.0.older.clone() else { return false };
        self.0 = older;
        true
    }

    pub(crate) fn newest(&self) -> &Version {
        &self.0
    }

    /// The version that was the newest at revision `main`.
    pub(crate) fn at(&self, main: i64) -> Option<&Version> {
        let mut version = &*self.0;
        while version.at.main > main {
            version = match &version.jump {
                Some(jump) if jump.at.main > main => jump,
                _ => version.older.as_deref()?,
            };
        }
        Some(version)
    }

    /// What the key held at revision `main`.
    pub(crate) fn live_at(&self, main: i64) -> Option<(&Version, &Live)> {
        let version = self.at(main)?;
        Some((version, version.live.as_ref()?))
    }

    /// From the newest to the oldest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Version> {
        std::iter::successors(Some(&*self.0), |version| version.older.as_deref())
    }
}

/// A long history must not be freed by recursion: a version for each frame of the stack.
impl Drop for Version {
    fn drop(&mut self) {
        let Some(older) = self.older.take() else { return };
        let mut pending = vec![older];
        pending.extend(self.jump.take());
        while let Some(version) = pending.pop() {
            if let Some(mut version) = Arc::into_inner(version) {
                pending.extend(version.older.take());
                pending.extend(version.jump.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(mains: impl IntoIterator<Item = i64>) -> History {
        let mut mains = mains.into_iter().map(|main| Revision { main, sub: 0 });
        let mut history = History::new(mains.next().unwrap(), None);
        mains.for_each(|at| history.push(at, None));
        history
    }

    #[test]
    fn every_revision_finds_the_version_that_was_the_newest_then() {
        for length in 1..200 {
            let history = history((1..=length).map(|n| n * 10));
            assert_eq!(history.iter().count() as i64, length);
            assert!(history.at(9).is_none());
            for main in 10..length * 10 + 15 {
                let expected = (main / 10).min(length) * 10;
                assert_eq!(history.at(main).unwrap().at.main, expected, "{length} versions, at {main}");
            }
        }
    }

    #[test]
    fn a_search_takes_logarithmically_many_steps() {
        let history = history(1..=1 << 16);
        for main in [1, 2, 3, 777, 30_000, 65_535, 65_536] {
            let mut steps = 0;
            let mut version = history.newest();
            while version.at.main > main {
                steps += 1;
                version = match &version.jump {
                    Some(jump) if jump.at.main > main => jump,
                    _ => version.older.as_deref().unwrap(),
                };
            }
            assert!(steps <= 3 * 16, "{steps} steps to {main}");
        }
    }

    #[test]
    fn a_history_of_a_million_versions_is_freed_without_exhausting_the_stack() {
        let long = history(1..=1_000_000);
        let shared = long.clone();
        drop(long);
        assert_eq!(shared.at(1).unwrap().at.main, 1);
    }

    #[test]
    fn popping_gives_the_history_before_the_push() {
        let mut history = history([3, 5]);
        assert!(history.pop());
        assert_eq!(history.newest().at.main, 3);
        assert!(!history.pop());
        assert_eq!(history.newest().at.main, 3);
    }

    #[test]
    #[should_panic(expected = "on top of")]
    fn a_version_that_is_not_newer_is_a_bug() {
        history([3, 3]);
    }
}
