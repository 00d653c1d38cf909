use super::*;

fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }
}

fn step(request: RequestOp) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

#[test]
fn an_empty_range_end_means_one_key_a_zero_byte_means_to_the_end() {
    let keys = |end: &'static [u8]| key_range("k".into(), end.into());
    assert_eq!(keys(b""), KeyRange::One("k".into()));
    assert_eq!(keys(b"\0"), KeyRange::From("k".into()));
    assert_eq!(keys(b"l"), KeyRange::Span("k".into(), "l".into()));
    assert_eq!(keys(b"\0\0"), KeyRange::Span("k".into(), Bytes::from_static(b"\0\0")));
}

#[test]
fn every_option_of_a_range_arrives() {
    use pb::range_request::{SortOrder as Order, SortTarget as Target};
    let request = pb::RangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        limit: 3,
        revision: 4,
        sort_order: Order::Descend.into(),
        sort_target: Target::Create.into(),
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 10,
        max_mod_revision: 11,
        min_create_revision: 12,
        max_create_revision: 13,
    };
    let expected = Range {
        keys: KeyRange::Span("a".into(), "b".into()),
        limit: 3,
        revision: 4,
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::Create,
        keys_only: true,
        count_only: true,
        min_mod_revision: 10,
        max_mod_revision: 11,
        min_create_revision: 12,
        max_create_revision: 13,
    };
    assert_eq!(range(request), Ok(expected));
}

#[test]
fn a_negative_limit_is_no_limit() {
    assert_eq!(range(pb::RangeRequest { limit: -1, ..get("k") }).map(|range| range.limit), Ok(0));
}

#[test]
fn unknown_sort_options_are_refused() {
    let invalid = Err(ApiError::Refused(Refusal::InvalidSortOption));
    assert_eq!(range(pb::RangeRequest { sort_order: 3, ..get("k") }), invalid);
    assert_eq!(range(pb::RangeRequest { sort_target: 5, ..get("k") }), invalid);
    assert_eq!(range(pb::RangeRequest { sort_target: -1, ..get("k") }), invalid);
}

#[test]
fn each_comparison_reads_the_operand_of_its_target() {
    let of = |target: i32, operand| {
        let request = pb::Compare { key: "k".into(), target, target_union: operand, ..Default::default() };
        compare(request).map(|compare| compare.target)
    };
    assert_eq!(of(0, Some(TargetUnion::Version(5))), Ok(CompareTarget::Version(5)));
    assert_eq!(of(1, Some(TargetUnion::CreateRevision(6))), Ok(CompareTarget::Create(6)));
    assert_eq!(of(2, Some(TargetUnion::ModRevision(7))), Ok(CompareTarget::Mod(7)));
    assert_eq!(of(3, Some(TargetUnion::Value("v".into()))), Ok(CompareTarget::Value("v".into())));
    assert_eq!(of(4, Some(TargetUnion::Lease(8))), Ok(CompareTarget::Lease(8)));
    // One of another kind counts as none.
    assert_eq!(of(2, Some(TargetUnion::Version(5))), Ok(CompareTarget::Mod(0)));
    assert_eq!(of(3, None), Ok(CompareTarget::Value(Bytes::new())));
}

#[test]
fn unknown_comparisons_are_refused_by_name() {
    let target = compare(pb::Compare { target: 9, ..Default::default() });
    assert_eq!(target, Err(ApiError::UnknownEnum { field: "compare target", value: 9 }));
    let result = compare(pb::Compare { result: 4, ..Default::default() });
    assert_eq!(result, Err(ApiError::UnknownEnum { field: "compare result", value: 4 }));
}

#[test]
fn an_empty_step_is_a_key_that_is_not_found() {
    let nested = pb::TxnRequest { failure: vec![pb::RequestOp { request: None }], ..Default::default() };
    let request =
        pb::TxnRequest { success: vec![step(RequestOp::RequestTxn(Box::new(nested)))], ..Default::default() };
    assert_eq!(txn(request), Err(ApiError::Refused(Refusal::KeyNotFound)));
}

#[test]
fn a_transaction_is_serializable_if_all_it_does_is_to_read_so() {
    let stale =
        || step(RequestOp::RequestRange(Box::new(pb::RangeRequest { serializable: true, ..get("k") })));
    let fresh = || step(RequestOp::RequestRange(Box::new(get("k"))));
    let put = || step(RequestOp::RequestPut(Box::default()));
    let of = |success: Vec<_>, failure: Vec<_>| {
        is_serializable(&pb::TxnRequest { success, failure, ..Default::default() })
    };
    assert!(of(vec![stale(), stale()], vec![stale()]));
    assert!(!of(vec![stale()], vec![fresh()]));
    assert!(!of(vec![stale(), put()], vec![]));
    assert!(!of(vec![], vec![]), "its conditions read, and did not ask for a stale state");
}

#[test]
fn answers_inside_a_transaction_tell_its_revision_and_nothing_else() {
    let inner = TxnResponse { succeeded: true, responses: vec![], revision: 7 };
    let outer = TxnResponse {
        succeeded: false,
        responses: vec![OpResponse::Put(PutResponse::default()), OpResponse::Txn(inner)],
        revision: 7,
    };
    let header = pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 7, raft_term: 3 };
    let answer = txn_response(header, outer);
    assert_eq!((answer.header, answer.succeeded), (Some(header), false));
    let only_revision = Some(pb::ResponseHeader { revision: 7, ..Default::default() });
    let headers = answer.responses.into_iter().map(|op| match op.response {
        Some(ResponseOp::ResponsePut(put)) => put.header,
        Some(ResponseOp::ResponseTxn(txn)) => txn.header,
        other => panic!("{other:?}"),
    });
    assert_eq!(headers.collect::<Vec<_>>(), [only_revision, only_revision]);
}
