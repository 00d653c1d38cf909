//! Short words for the requests that tests make.

use synod_store::Store;
use synod_store::request::*;
use synod_store::response::*;

pub(crate) fn one(key: &'static str) -> KeyRange {
    KeyRange::One(key.into())
}

pub(crate) fn span(from: &'static str, to: &'static str) -> KeyRange {
    KeyRange::Span(from.into(), to.into())
}

pub(crate) fn from(key: &'static str) -> KeyRange {
    KeyRange::From(key.into())
}

/// All keys that a test uses.
pub(crate) fn all() -> KeyRange {
    from("\0")
}

pub(crate) fn delete(keys: KeyRange) -> DeleteRange {
    DeleteRange { keys, prev_kv: false }
}

pub(crate) fn compare(keys: KeyRange, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { keys, result, target }
}

/// A transaction without conditions.
pub(crate) fn steps(success: impl Into<Vec<TxnOp>>) -> Txn {
    Txn { success: success.into(), ..Txn::default() }
}

pub(crate) fn op_put(key: &'static str, value: &'static str) -> TxnOp {
    TxnOp::Put(Put::new(key, value))
}

pub(crate) fn op_delete(keys: KeyRange) -> TxnOp {
    TxnOp::DeleteRange(delete(keys))
}

pub(crate) fn op_range(keys: KeyRange) -> TxnOp {
    TxnOp::Range(Range::new(keys))
}

pub(crate) fn kv(
    key: &'static str,
    value: &'static str,
    create: i64,
    modified: i64,
    version: i64,
) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: create,
        mod_revision: modified,
        version,
        lease: 0,
    }
}

/// The keys of an answer, in its order.
pub(crate) fn keys(response: &RangeResponse) -> Vec<&str> {
    response.kvs.iter().map(|kv| std::str::from_utf8(&kv.key).unwrap()).collect()
}

pub(crate) trait StoreExt {
    fn put(&mut self, key: &'static str, value: &'static str) -> i64;
    fn delete(&mut self, keys: KeyRange) -> i64;
    fn txn(&mut self, txn: Txn) -> Result<TxnResponse, Refusal>;
    fn compact(&mut self, revision: i64) -> Result<(), Refusal>;
    /// The key now.
    fn get(&self, key: &'static str) -> Option<KeyValue>;
    /// The key at a revision.
    fn get_at(&self, key: &'static str, revision: i64) -> Result<Option<KeyValue>, Refusal>;
}

impl StoreExt for Store {
    fn put(&mut self, key: &'static str, value: &'static str) -> i64 {
        let applied = self.apply(&Command::Put(Put::new(key, value)));
        assert_eq!(applied.result, Ok(Response::Put(PutResponse::default())));
        applied.revision
    }

    fn delete(&mut self, keys: KeyRange) -> i64 {
        match self.apply(&Command::DeleteRange(delete(keys))).result {
            Ok(Response::DeleteRange(response)) => response.deleted,
            other => panic!("a removal answered {other:?}"),
        }
    }

    fn txn(&mut self, txn: Txn) -> Result<TxnResponse, Refusal> {
        match self.apply(&Command::Txn(txn)).result? {
            Response::Txn(response) => Ok(response),
            other => panic!("a transaction answered {other:?}"),
        }
    }

    fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        let response = self.apply(&Command::Compact(Compact { revision })).result?;
        assert_eq!(response, Response::Compact);
        Ok(())
    }

    fn get(&self, key: &'static str) -> Option<KeyValue> {
        self.get_at(key, 0).unwrap()
    }

    fn get_at(&self, key: &'static str, revision: i64) -> Result<Option<KeyValue>, Refusal> {
        let mut response = self.view().range(&Range { revision, ..Range::new(one(key)) })?;
        assert_eq!(response.count as usize, response.kvs.len());
        Ok(response.kvs.pop())
    }
}
