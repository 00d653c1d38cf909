//! What the store answers.

use bytes::Bytes;
use thiserror::Error;

use crate::request::Key;

/// A key with its value and its history's figures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Key,
    /// The revision that created it (since it was last absent).
    pub create_revision: i64,
    /// The revision that changed it last.
    pub mod_revision: i64,
    /// How often it was put since it was created.
    pub version: i64,
    /// The value.
    pub value: Bytes,
    /// The lease it hangs on; 0 for none.
    pub lease: i64,
}

/// What a range found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeResponse {
    /// The keys, in the order asked for, at most `limit`.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut the list.
    pub more: bool,
    /// How many keys the range holds, whatever limit and filters said.
    pub count: i64,
}

/// What a put replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutResponse {
    /// What was there, if it was asked for and there was something.
    pub prev_kv: Option<KeyValue>,
}

/// What a removal removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeResponse {
    /// How many keys were there.
    pub deleted: i64,
    /// What was there, if it was asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnResponse {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// One answer a step.
    pub responses: Vec<OpResponse>,
    /// The store's revision inside this transaction, for the headers of nested answers.
    pub revision: i64,
}

/// The answer to one step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpResponse {
    /// To a read.
    Range(RangeResponse),
    /// To a write.
    Put(PutResponse),
    /// To a removal.
    DeleteRange(DeleteRangeResponse),
    /// To a nested transaction.
    Txn(TxnResponse),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// To a put.
    Put(PutResponse),
    /// To a removal.
    DeleteRange(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a compaction.
    Compact,
}

/// An applied command: its answer, and the store's revision after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// The answer, or why the command was refused. A refused command changed nothing.
    pub result: Result<Response, Refusal>,
    /// The store's revision after the command.
    pub revision: i64,
}

/// Why a request was refused, in etcd's words (`facts/etcd.md` §1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// No key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// An empty step of a transaction, or `ignore_value`/`ignore_lease` on a key that is not there.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` together with a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More conditions or steps than allowed.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction writes a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// No such sort order or target.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// The revision was compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision has not come to pass.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// There is no such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
}
