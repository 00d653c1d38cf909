//! Clients' operations as commands of the store, and its answers as theirs.

use synod_store::View;
use synod_store::request::{
    Command, Compact, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, Put, Range, Txn, TxnOp,
};
use synod_store::response::{Applied, OpResponse, RangeResponse, Response};

use crate::history::{Answer, Operation, Step};
use crate::program::Reply;

fn one(key: &str) -> KeyRange {
    KeyRange::One(key.to_owned().into())
}

fn steps(steps: &[Step]) -> Vec<TxnOp> {
    let step = |step: &Step| match step {
        Step::Get(key) => TxnOp::Range(Range::new(one(key))),
        Step::Put(key, value) => TxnOp::Put(Put::new(key.clone(), value.clone())),
        Step::Delete(key) => TxnOp::DeleteRange(DeleteRange { keys: one(key), prev_kv: false }),
    };
    steps.iter().map(step).collect()
}

/// The condition that `key` holds `value`, or is not there.
fn compare((key, value): &(String, Option<String>)) -> Compare {
    let target = match value {
        Some(value) => CompareTarget::Value(value.clone().into()),
        None => CompareTarget::Create(0),
    };
    Compare { keys: one(key), result: CompareResult::Equal, target }
}

/// The command that does `operation`; `None` for what a store cannot do, or does not need a command for.
pub(super) fn command(operation: &Operation) -> Option<Command> {
    match operation {
        Operation::Put { key, value } => Some(Command::Put(Put::new(key.clone(), value.clone()))),
        Operation::Delete { key } => {
            Some(Command::DeleteRange(DeleteRange { keys: one(key), prev_kv: false }))
        }
        Operation::Transact { expected, then, otherwise } => Some(Command::Txn(Txn {
            compare: expected.iter().map(compare).collect(),
            success: steps(then),
            failure: steps(otherwise),
        })),
        Operation::Overreach { key, value } => Some(Command::Txn(Txn {
            compare: Vec::new(),
            success: vec![
                TxnOp::Put(Put::new(key.clone(), value.clone())),
                TxnOp::Range(Range { revision: i64::MAX, ..Range::new(one(key)) }),
            ],
            failure: Vec::new(),
        })),
        Operation::Compact { revision } => Some(Command::Compact(Compact { revision: *revision })),
        Operation::Get { .. } | Operation::Append { .. } | Operation::Propose { .. } => None,
    }
}

fn found(range: &RangeResponse) -> Option<String> {
    let kv = range.kvs.first()?;
    Some(String::from_utf8_lossy(&kv.value).into_owned())
}

/// What a client is told of an applied command.
pub(super) fn reply(applied: Applied) -> Reply {
    let answer = match applied.result {
        // A refused command changed nothing.
        Err(_) => return Reply::Refused,
        Ok(Response::Put(_) | Response::Compact) => Answer::Done,
        Ok(Response::DeleteRange(response)) => Answer::Deleted(response.deleted > 0),
        Ok(Response::Txn(response)) => {
            let ranges = response.responses.iter().filter_map(|response| match response {
                OpResponse::Range(range) => Some(found(range)),
                _ => None,
            });
            Answer::Transacted { succeeded: response.succeeded, read: ranges.collect() }
        }
    };
    Reply::Answer { answer, revision: Some(applied.revision) }
}

/// What a client is told that reads `key` in `view`.
pub(super) fn read(view: &View, key: &str) -> Reply {
    match view.range(&Range::new(one(key))) {
        Ok(range) => Reply::Answer { answer: Answer::Value(found(&range)), revision: Some(view.revision()) },
        Err(_) => Reply::Refused,
    }
}
