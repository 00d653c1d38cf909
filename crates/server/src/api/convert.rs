//! Between the wire and the store's vocabulary. What the wire can say and the store cannot is refused here.

use bytes::Bytes;
use synod_store::request::{
    Compact, Compare, CompareResult, CompareTarget, DeleteRange, KeyRange, Put, Range, SortOrder, SortTarget,
    Txn, TxnOp,
};
use synod_store::response::{
    DeleteRangeResponse, KeyValue, OpResponse, PutResponse, RangeResponse, Refusal, TxnResponse,
};

use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::compare::TargetUnion;
use crate::proto::etcdserverpb::request_op::Request as RequestOp;
use crate::proto::etcdserverpb::response_op::Response as ResponseOp;
use crate::proto::mvccpb;

use super::error::ApiError;

fn key_range(key: Bytes, range_end: Bytes) -> KeyRange {
    match range_end.as_ref() {
        [] => KeyRange::One(key),
        [0] => KeyRange::From(key),
        _ => KeyRange::Span(key, range_end),
    }
}

/// # Errors
/// [`Refusal::InvalidSortOption`] for an order or a target that nobody knows.
pub(crate) fn range(request: pb::RangeRequest) -> Result<Range, ApiError> {
    use pb::range_request::{SortOrder as Order, SortTarget as Target};
    let order = Order::try_from(request.sort_order).map_err(|_| Refusal::InvalidSortOption)?;
    let target = Target::try_from(request.sort_target).map_err(|_| Refusal::InvalidSortOption)?;
    Ok(Range {
        keys: key_range(request.key, request.range_end),
        // etcd takes a negative limit for none.
        limit: u64::try_from(request.limit).unwrap_or(0),
        revision: request.revision,
        sort_order: match order {
            Order::None => SortOrder::None,
            Order::Ascend => SortOrder::Ascend,
            Order::Descend => SortOrder::Descend,
        },
        sort_target: match target {
            Target::Key => SortTarget::Key,
            Target::Version => SortTarget::Version,
            Target::Create => SortTarget::Create,
            Target::Mod => SortTarget::Mod,
            Target::Value => SortTarget::Value,
        },
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

pub(crate) fn put(request: pb::PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

pub(crate) fn delete_range(request: pb::DeleteRangeRequest) -> DeleteRange {
    DeleteRange { keys: key_range(request.key, request.range_end), prev_kv: request.prev_kv }
}

pub(crate) fn compact(request: &pb::CompactionRequest) -> Compact {
    Compact { revision: request.revision }
}

/// # Errors
/// [`Refusal::KeyNotFound`] for an empty step, as in etcd; enumerations with unknown numbers.
pub(crate) fn txn(request: pb::TxnRequest) -> Result<Txn, ApiError> {
    Ok(Txn {
        compare: request.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        success: request.success.into_iter().map(txn_op).collect::<Result<_, _>>()?,
        failure: request.failure.into_iter().map(txn_op).collect::<Result<_, _>>()?,
    })
}

fn txn_op(op: pb::RequestOp) -> Result<TxnOp, ApiError> {
    match op.request {
        Some(RequestOp::RequestRange(request)) => Ok(TxnOp::Range(range(*request)?)),
        Some(RequestOp::RequestPut(request)) => Ok(TxnOp::Put(put(*request))),
        Some(RequestOp::RequestDeleteRange(request)) => Ok(TxnOp::DeleteRange(delete_range(*request))),
        Some(RequestOp::RequestTxn(request)) => Ok(TxnOp::Txn(txn(*request)?)),
        None => Err(Refusal::KeyNotFound.into()),
    }
}

/// An operand of another kind than the target, or none, counts as 0 or empty, as in etcd.
fn compare(compare: pb::Compare) -> Result<Compare, ApiError> {
    use pb::compare::{CompareResult as Result_, CompareTarget as Target};
    let unknown = |field, value| ApiError::UnknownEnum { field, value };
    let result = Result_::try_from(compare.result).map_err(|_| unknown("compare result", compare.result))?;
    let target = Target::try_from(compare.target).map_err(|_| unknown("compare target", compare.target))?;
    let operand = compare.target_union;
    Ok(Compare {
        keys: key_range(compare.key, compare.range_end),
        result: match result {
            Result_::Equal => CompareResult::Equal,
            Result_::Greater => CompareResult::Greater,
            Result_::Less => CompareResult::Less,
            Result_::NotEqual => CompareResult::NotEqual,
        },
        target: match (target, operand) {
            (Target::Version, Some(TargetUnion::Version(number))) => CompareTarget::Version(number),
            (Target::Version, _) => CompareTarget::Version(0),
            (Target::Create, Some(TargetUnion::CreateRevision(number))) => CompareTarget::Create(number),
            (Target::Create, _) => CompareTarget::Create(0),
            (Target::Mod, Some(TargetUnion::ModRevision(number))) => CompareTarget::Mod(number),
            (Target::Mod, _) => CompareTarget::Mod(0),
            (Target::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
            (Target::Value, _) => CompareTarget::Value(Bytes::new()),
            (Target::Lease, Some(TargetUnion::Lease(number))) => CompareTarget::Lease(number),
            (Target::Lease, _) => CompareTarget::Lease(0),
        },
    })
}

/// Whether a transaction that only reads may be answered from a stale state: everything in it asks for that.
/// (etcd takes one without any read for such a one, although its conditions read too.)
pub(crate) fn is_serializable(request: &pb::TxnRequest) -> bool {
    let mut steps = request.success.iter().chain(&request.failure).peekable();
    steps.peek().is_some()
        && steps.all(|op| matches!(&op.request, Some(RequestOp::RequestRange(range)) if range.serializable))
}

pub(crate) fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

pub(crate) fn range_response(header: pb::ResponseHeader, response: RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: response.kvs.into_iter().map(key_value).collect(),
        more: response.more,
        count: response.count,
    }
}

pub(crate) fn put_response(header: pb::ResponseHeader, response: PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: response.prev_kv.map(key_value) }
}

pub(crate) fn delete_range_response(
    header: pb::ResponseHeader,
    response: DeleteRangeResponse,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: response.deleted,
        prev_kvs: response.prev_kvs.into_iter().map(key_value).collect(),
    }
}

/// The headers of the answers inside tell only the revision, as in etcd.
pub(crate) fn txn_response(header: pb::ResponseHeader, response: TxnResponse) -> pb::TxnResponse {
    let after = response.revision;
    let mut now = if response.responses.iter().any(changes) { after - 1 } else { after };
    steps_response(header, response, &mut now, after)
}

/// Each step names the revision it saw or made: `now` until the first change, `after` from then on, as in etcd.
fn steps_response(
    header: pb::ResponseHeader,
    response: TxnResponse,
    now: &mut i64,
    after: i64,
) -> pb::TxnResponse {
    let at = |revision| pb::ResponseHeader { revision, ..Default::default() };
    let mut responses = Vec::with_capacity(response.responses.len());
    for op in response.responses {
        let nested = matches!(op, OpResponse::Txn(_));
        if !nested && changes(&op) {
            *now = after;
        }
        let answer = match op {
            OpResponse::Range(range) => ResponseOp::ResponseRange(range_response(at(*now), range)),
            OpResponse::Put(put) => ResponseOp::ResponsePut(put_response(at(*now), put)),
            OpResponse::DeleteRange(delete) => {
                ResponseOp::ResponseDeleteRange(delete_range_response(at(*now), delete))
            }
            OpResponse::Txn(txn) => ResponseOp::ResponseTxn(steps_response(at(after), txn, now, after)),
        };
        responses.push(pb::ResponseOp { response: Some(answer) });
    }
    pb::TxnResponse { header: Some(header), succeeded: response.succeeded, responses }
}

/// Whether a step changed anything.
fn changes(op: &OpResponse) -> bool {
    match op {
        OpResponse::Range(_) => false,
        OpResponse::Put(_) => true,
        OpResponse::DeleteRange(delete) => delete.deleted > 0,
        OpResponse::Txn(txn) => txn.responses.iter().any(changes),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
