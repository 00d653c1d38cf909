//! A frozen state of the store, to read from.

use std::fmt;

use bytes::Bytes;

use crate::range;
use crate::request::{Range, Txn};
use crate::response::{RangeResponse, Refusal, TxnResponse};
use crate::snapshot::Encoder;
use crate::state::State;
use crate::txn::Execution;

/// The store as it was at one moment. Cheap to clone, may be sent to other threads, and neither blocks nor sees
/// later commands.
#[derive(Clone)]
pub struct View {
    state: State,
}

impl View {
    pub(crate) fn new(state: State) -> View {
        View { state }
    }

    /// Reads one key or many.
    ///
    /// # Errors
    /// [`Refusal::Compacted`] or [`Refusal::FutureRevision`] if the revision asked for is not readable.
    pub fn range(&self, range: &Range) -> Result<RangeResponse, Refusal> {
        range::read(&self.state, self.state.revision, range)
    }

    /// What the transaction would answer here. Meant for those that only read ([`Txn::is_read_only`]); the writes of
    /// others are run on the side and forgotten.
    ///
    /// # Errors
    /// What [`Store::apply`](crate::Store::apply) would answer.
    pub fn txn(&self, txn: &Txn) -> Result<TxnResponse, Refusal> {
        Execution::new(&mut self.state.clone(), true).txn(txn)
    }

    /// The revision of the last change.
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The oldest readable revision; -1 before the first compaction, as in etcd.
    pub fn compacted(&self) -> i64 {
        self.state.compacted
    }

    /// A digest of all content and history that is readable, for comparing members. Reads everything.
    pub fn hash(&self) -> u64 {
        self.state.hash()
    }

    /// About how much memory keys, values and history took, in bytes.
    pub fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// The view as a snapshot: chunks of about 256 KiB, made one at a time, that [`Restore`](crate::Restore) takes
    /// in the same order.
    pub fn encode(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        Encoder::new(self.state.clone())
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.describe("View", f)
    }
}
