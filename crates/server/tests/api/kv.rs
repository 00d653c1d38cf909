use prost::Message;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::request_op::Request as Step;
use synod_server::proto::etcdserverpb::response_op::Response as Answer;
use tonic::{Code, Request};

use crate::support::{Server, refused};

pub fn put(key: &str, value: impl Into<Vec<u8>>) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.into().into(), ..Default::default() }
}

pub fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

fn everything() -> pb::RangeRequest {
    pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() }
}

fn step(step: Step) -> pb::RequestOp {
    pb::RequestOp { request: Some(step) }
}

#[tokio::test]
async fn what_was_put_is_read_with_true_headers() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    let header = kv.put(put("k", "v")).await.unwrap().into_inner().header.unwrap();
    let status = server.handle().status();
    assert_eq!((header.cluster_id, header.member_id), (status.cluster.0, status.id.0));
    assert_eq!(header.revision, 2, "the first change makes the second revision, as in etcd");
    assert_eq!(Some(header.raft_term), status.leader.map(|ballot| ballot.round));
    for serializable in [false, true] {
        let range = pb::RangeRequest { serializable, ..get("k") };
        let answer = kv.range(range).await.unwrap().into_inner();
        assert_eq!((answer.kvs[0].value.as_ref(), answer.count), (&b"v"[..], 1));
        assert_eq!(answer.header, Some(header));
    }
}

#[tokio::test]
async fn a_removal_tells_what_it_removed() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    for key in ["a", "b", "c"] {
        kv.put(put(key, key)).await.unwrap();
    }
    let request = pb::DeleteRangeRequest { key: "a".into(), range_end: "c".into(), prev_kv: true };
    let answer = kv.delete_range(request).await.unwrap().into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (2, 2));
    assert_eq!(kv.range(everything()).await.unwrap().into_inner().count, 1);
}

#[tokio::test]
async fn a_nested_transaction_runs_at_one_revision() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    let inner = pb::TxnRequest {
        success: vec![
            step(Step::RequestPut(Box::new(put("b", "2")))),
            step(Step::RequestRange(Box::new(get("a")))),
        ],
        ..Default::default()
    };
    let outer = pb::TxnRequest {
        success: vec![
            step(Step::RequestPut(Box::new(put("a", "1")))),
            step(Step::RequestTxn(Box::new(inner))),
        ],
        ..Default::default()
    };
    let answer = kv.txn(outer).await.unwrap().into_inner();
    assert!(answer.succeeded);
    let Some(Answer::ResponseTxn(inner)) = &answer.responses[1].response else { panic!("{answer:?}") };
    let Some(Answer::ResponseRange(range)) = &inner.responses[1].response else { panic!("{answer:?}") };
    assert_eq!(range.kvs[0].value, "1", "a step sees those before it");
    let found = kv.range(everything()).await.unwrap().into_inner();
    assert!(found.kvs.iter().all(|kv| kv.mod_revision == 2), "{found:?}");
}

#[tokio::test]
async fn a_transaction_that_only_reads_takes_no_slot() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    kv.put(put("k", "v")).await.unwrap();
    let before = server.handle().status().chosen;
    let txn =
        pb::TxnRequest { success: vec![step(Step::RequestRange(Box::new(get("k"))))], ..Default::default() };
    let answer = kv.txn(txn).await.unwrap().into_inner();
    assert!(answer.succeeded);
    assert_eq!(answer.header.unwrap().revision, 2);
    assert_eq!(server.handle().status().chosen, before);
}

#[tokio::test]
async fn a_streamed_range_merges_to_the_range() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    for index in 0..5 {
        kv.put(put(&format!("k{index}"), vec![index; 400_000])).await.unwrap();
    }
    for request in [everything(), pb::RangeRequest { limit: 3, ..everything() }, get("k1"), get("nothing")] {
        let mut stream = kv.range_stream(request.clone()).await.unwrap().into_inner();
        let mut merged = pb::RangeResponse::default();
        while let Some(piece) = stream.message().await.unwrap() {
            let piece = piece.range_response.expect("every piece holds one");
            merged.merge(piece.encode_to_vec().as_slice()).unwrap();
        }
        assert_eq!(merged, kv.range(request).await.unwrap().into_inner());
    }
    let sorted = pb::RangeRequest { sort_order: 2, ..everything() };
    let status = kv.range_stream(sorted).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_etcds_words() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    kv.put(put("k", "1")).await.unwrap();
    kv.put(put("k", "2")).await.unwrap();
    kv.compact(pb::CompactionRequest { revision: 3, physical: true }).await.unwrap();

    let no_key = "etcdserver: key is not provided";
    refused(kv.put(put("", "v")).await, Code::InvalidArgument, no_key);
    refused(kv.range(get("")).await, Code::InvalidArgument, no_key);
    refused(kv.delete_range(pb::DeleteRangeRequest::default()).await, Code::InvalidArgument, no_key);
    let value = pb::PutRequest { ignore_value: true, ..put("k", "v") };
    refused(kv.put(value).await, Code::InvalidArgument, "etcdserver: value is provided");
    let absent = pb::PutRequest { ignore_value: true, ..put("nothing", "") };
    refused(kv.put(absent).await, Code::InvalidArgument, "etcdserver: key not found");
    let lease = pb::PutRequest { lease: 7, ..put("k", "v") };
    refused(kv.put(lease).await, Code::NotFound, "etcdserver: requested lease not found");
    let sorted = pb::RangeRequest { sort_target: 9, ..get("k") };
    refused(kv.range(sorted).await, Code::InvalidArgument, "etcdserver: invalid sort option");
    let old = pb::RangeRequest { revision: 2, ..get("k") };
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    refused(kv.range(old).await, Code::OutOfRange, compacted);
    refused(
        kv.compact(pb::CompactionRequest { revision: 3, physical: false }).await,
        Code::OutOfRange,
        compacted,
    );
    let future = "etcdserver: mvcc: required revision is a future revision";
    refused(kv.range(pb::RangeRequest { revision: 99, ..get("k") }).await, Code::OutOfRange, future);
    refused(
        kv.compact(pb::CompactionRequest { revision: 99, physical: false }).await,
        Code::OutOfRange,
        future,
    );
    assert_eq!(kv.range(get("k")).await.unwrap().into_inner().kvs[0].value, "2", "nothing was changed");
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_said_in_etcds_words() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    let puts = |keys: usize| pb::TxnRequest {
        success: (0..keys).map(|key| step(Step::RequestPut(Box::new(put(&key.to_string(), "v"))))).collect(),
        ..Default::default()
    };
    kv.txn(puts(128)).await.unwrap();
    let too_many = "etcdserver: too many operations in txn request";
    refused(kv.txn(puts(129)).await, Code::InvalidArgument, too_many);
    let nested =
        pb::TxnRequest { success: vec![step(Step::RequestTxn(Box::new(puts(128))))], ..Default::default() };
    refused(kv.txn(nested).await, Code::InvalidArgument, too_many);
    let twice = pb::TxnRequest { success: [puts(1).success, puts(1).success].concat(), ..Default::default() };
    let duplicate = "etcdserver: duplicate key given in txn request";
    refused(kv.txn(twice).await, Code::InvalidArgument, duplicate);
    let empty = pb::TxnRequest { success: vec![pb::RequestOp::default()], ..Default::default() };
    refused(kv.txn(empty).await, Code::InvalidArgument, "etcdserver: key not found");
    let unknown = pb::Compare { key: "k".into(), result: 7, ..Default::default() };
    let compared = pb::TxnRequest { compare: vec![unknown], ..Default::default() };
    let text = "etcdserver: invalid compare result: 7 names nothing";
    refused(kv.txn(compared).await, Code::InvalidArgument, text);
}

/// A put as a later version might send it.
#[derive(Clone, PartialEq, Message)]
struct LaterPut {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(string, tag = "999")]
    novelty: String,
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = Server::start().await;
    let mut grpc = tonic::client::Grpc::new(server.connect().await);
    grpc.ready().await.unwrap();
    let request = LaterPut { key: "k".into(), value: "v".into(), novelty: "what is this?".into() };
    let codec = tonic_prost::ProstCodec::<LaterPut, pb::PutResponse>::default();
    let path = "/etcdserverpb.KV/Put".parse().unwrap();
    grpc.unary(Request::new(request), path, codec).await.unwrap();
    let found = server.kv().await.range(get("k")).await.unwrap().into_inner();
    assert_eq!(found.kvs[0].value, "v");
}
