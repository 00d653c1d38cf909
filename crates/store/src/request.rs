//! What clients ask of the store: the etcd v3 requests, parsed.

use bytes::Bytes;

/// A key. Never empty in a request that passed `check`.
pub type Key = Bytes;

/// Which keys a request speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyRange {
    /// One key.
    One(Key),
    /// All keys from the first on that are below the second.
    Span(Key, Key),
    /// All keys from this one on (etcd's `range_end = "\0"`).
    From(Key),
}

/// How the results of a range are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// By key, which is how they are stored.
    #[default]
    None,
    /// Lowest first.
    Ascend,
    /// Highest first.
    Descend,
}

/// What the results of a range are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// How often it was put since it was created.
    Version,
    /// The revision that created it.
    Create,
    /// The revision that changed it last.
    Mod,
    /// The value.
    Value,
}

/// A read of one key or many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// At most so many; 0 for all.
    pub limit: u64,
    /// At this revision; 0 or less for the newest.
    pub revision: i64,
    /// Order of the results.
    pub sort_order: SortOrder,
    /// What they are ordered by.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Leave everything but the count out.
    pub count_only: bool,
    /// Only keys last changed at this revision or later; 0 for no bound. The same for the other three.
    pub min_mod_revision: i64,
    /// Only keys last changed at this revision or earlier.
    pub max_mod_revision: i64,
    /// Only keys created at this revision or later.
    pub min_create_revision: i64,
    /// Only keys created at this revision or earlier.
    pub max_create_revision: i64,
}

/// A write of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Put {
    /// The key.
    pub key: Key,
    /// The value; empty when `ignore_value` is set.
    pub value: Bytes,
    /// The lease it hangs on; 0 for none.
    pub lease: i64,
    /// Answer with what was there before.
    pub prev_kv: bool,
    /// Keep the value that is there.
    pub ignore_value: bool,
    /// Keep the lease that is there.
    pub ignore_lease: bool,
}

/// A removal of one key or many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteRange {
    /// Which keys.
    pub keys: KeyRange,
    /// Answer with what was there before.
    pub prev_kv: bool,
}

/// What of a key a comparison looks at, and the operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompareTarget {
    /// How often it was put since it was created.
    Version(i64),
    /// The revision that created it.
    Create(i64),
    /// The revision that changed it last.
    Mod(i64),
    /// Its value. A key that does not exist never compares as true.
    Value(Bytes),
    /// Its lease.
    Lease(i64),
}

/// How a comparison compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareResult {
    /// =
    Equal,
    /// >
    Greater,
    /// <
    Less,
    /// !=
    NotEqual,
}

/// One condition of a transaction: it must hold for every key of the range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Which keys.
    pub keys: KeyRange,
    /// How to compare.
    pub result: CompareResult,
    /// With what.
    pub target: CompareTarget,
}

/// One step of a branch of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnOp {
    /// Read.
    Range(Range),
    /// Write.
    Put(Put),
    /// Remove.
    DeleteRange(DeleteRange),
    /// A transaction inside the transaction.
    Txn(Txn),
}

/// If all conditions hold, one list of steps, else the other, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Txn {
    /// The conditions.
    pub compare: Vec<Compare>,
    /// The steps if all hold.
    pub success: Vec<TxnOp>,
    /// The steps otherwise.
    pub failure: Vec<TxnOp>,
}

/// Forget the history before a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compact {
    /// The oldest revision that stays readable.
    pub revision: i64,
}

/// What goes through the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Write one key.
    Put(Put),
    /// Remove keys.
    DeleteRange(DeleteRange),
    /// Conditional steps. One without writes may be served as a read.
    Txn(Txn),
    /// Forget history.
    Compact(Compact),
}
