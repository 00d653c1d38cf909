//! Running the steps of one command: all of them at one revision, or none.

use bytes::Bytes;
use synod_probe::mutant;

use crate::history::Live;
use crate::range;
use crate::request::{DeleteRange, Key, Put, Range, Txn, TxnOp};
use crate::response::{
    DeleteRangeResponse, KeyValue, OpResponse, PutResponse, RangeResponse, Refusal, TxnResponse,
};
use crate::revision::Revision;
use crate::state::{State, key_value};

impl Txn {
    /// Whether no branch writes, nested ones included. Such a transaction may be served as a read.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            TxnOp::Range(_) => true,
            TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
            TxnOp::Txn(txn) => txn.is_read_only(),
        })
    }
}

impl Put {
    /// Writes `value` to `key`, without a lease.
    pub fn new(key: impl Into<Key>, value: impl Into<Bytes>) -> Put {
        Put {
            key: key.into(),
            value: value.into(),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }
    }
}

/// Changes to a state that become one revision, or are taken back together.
pub(crate) struct Execution<'a> {
    state: &'a mut State,
    /// The keys changed so far, in order; how many there are is the sub-revision of the next change.
    changes: Vec<Key>,
    /// Whether answers are wanted. If not, they are left empty, and nothing is read for their sake.
    answers: bool,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(state: &'a mut State, answers: bool) -> Execution<'a> {
        Execution { state, changes: Vec::new(), answers }
    }

    /// Makes the changes a revision of their own; without changes nothing happened.
    pub(crate) fn commit(self) {
        self.state.revision = self.now();
    }

    /// Takes every change back.
    pub(crate) fn roll_back(self) {
        for key in self.changes.iter().rev() {
            self.state.unwrite(key);
        }
    }

    /// The newest revision a step sees: the one being made as soon as there is a change.
    pub(crate) fn now(&self) -> i64 {
        self.state.revision + i64::from(!self.changes.is_empty())
    }

    fn change(&mut self, key: &Key, live: Option<Live>) {
        let sub = u32::try_from(self.changes.len()).expect("fewer keys change at once than fit into memory");
        self.state.write(key, Revision { main: self.state.revision + 1, sub }, live);
        self.changes.push(key.clone());
    }

    /// # Errors
    /// [`Refusal::LeaseNotFound`], or [`Refusal::KeyNotFound`] if the value or lease of nothing is to be kept.
    pub(crate) fn put(&mut self, put: &Put) -> Result<PutResponse, Refusal> {
        // There are no leases yet, so none can be found.
        if put.lease != 0 {
            return Err(Refusal::LeaseNotFound);
        }
        let newest = self.state.keys.get(&put.key[..]).map(|history| history.newest());
        let present = newest.and_then(|version| Some((version, version.live.as_ref()?)));
        if present.is_none() && (put.ignore_value || put.ignore_lease) {
            return Err(Refusal::KeyNotFound);
        }
        let before = present.map(|(_, live)| live);
        let live = Live {
            create_revision: before.map_or(self.state.revision + 1, |live| live.create_revision),
            version: before.map_or(0, |live| live.version) + 1,
            lease: before.filter(|_| put.ignore_lease).map_or(put.lease, |live| live.lease),
            value: match before {
                Some(live) if put.ignore_value => live.value.clone(),
                // A copy: a slice of the command would keep the command's whole buffer in memory.
                _ => Bytes::copy_from_slice(&put.value),
            },
        };
        let prev_kv = present
            .filter(|_| put.prev_kv && self.answers)
            .map(|(version, live)| key_value(put.key.clone(), version, live));
        self.change(&put.key, Some(live));
        Ok(PutResponse { prev_kv })
    }

    pub(crate) fn delete_range(&mut self, delete: &DeleteRange) -> DeleteRangeResponse {
        let now = self.now();
        let mut keys = Vec::new();
        let mut prev_kvs: Vec<KeyValue> = Vec::new();
        for (key, history) in self.state.span(&delete.keys) {
            let Some((version, live)) = history.live_at(now) else { continue };
            keys.push(key.to_bytes());
            if delete.prev_kv && self.answers {
                prev_kvs.push(key_value(key.to_bytes(), version, live));
            }
        }
        for key in &keys {
            self.change(key, None);
        }
        DeleteRangeResponse { deleted: keys.len() as i64, prev_kvs }
    }

    /// A read inside a transaction sees the steps before it, but may name only revisions that were complete when the
    /// transaction began.
    fn range(&self, range: &Range) -> Result<RangeResponse, Refusal> {
        if range.revision > self.state.revision {
            return Err(Refusal::FutureRevision);
        }
        if !self.answers {
            range::revision(self.state, self.now(), range)?;
            return Ok(RangeResponse { kvs: Vec::new(), more: false, count: 0 });
        }
        range::read(self.state, self.now(), range)
    }

    /// # Errors
    /// The first refusal of a step. The steps before it have left changes to be rolled back.
    pub(crate) fn txn(&mut self, txn: &Txn) -> Result<TxnResponse, Refusal> {
        let mut response = self.branch(txn)?;
        stamp(&mut response, self.now());
        Ok(response)
    }

    fn branch(&mut self, txn: &Txn) -> Result<TxnResponse, Refusal> {
        // The conditions of nested transactions too are about the state before the first step.
        let before = self.state.revision;
        let holds = txn.compare.iter().all(|compare| compare.holds(self.state, before));
        let succeeded = holds || mutant!(CompareIgnored);
        let steps = if succeeded { &txn.success } else { &txn.failure };
        let mut responses = Vec::with_capacity(steps.len());
        for step in steps {
            responses.push(match step {
                TxnOp::Range(range) => OpResponse::Range(self.range(range)?),
                TxnOp::Put(put) => OpResponse::Put(self.put(put)?),
                TxnOp::DeleteRange(delete) => OpResponse::DeleteRange(self.delete_range(delete)),
                TxnOp::Txn(txn) => OpResponse::Txn(self.branch(txn)?),
            });
        }
        Ok(TxnResponse { succeeded, responses, revision: before })
    }
}

/// Writes the revision that the transaction came to into it and all nested ones.
fn stamp(response: &mut TxnResponse, revision: i64) {
    response.revision = revision;
    for response in &mut response.responses {
        if let OpResponse::Txn(nested) = response {
            stamp(nested, revision);
        }
    }
}
