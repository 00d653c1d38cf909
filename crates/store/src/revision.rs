//! When something changed.

/// A point in the store's history: `main` counts the commands that changed something, `sub` the changes within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Revision {
    /// What clients see as *the* revision.
    pub(crate) main: i64,
    /// The place of the change within its transaction, from 0.
    pub(crate) sub: u32,
}

/// The revision of a store that nothing was written to, as in etcd: the first put gets 2.
pub(crate) const FIRST: i64 = 1;

/// Stands for "never compacted", as in etcd: below every revision that can be asked for.
pub(crate) const NEVER: i64 = -1;
