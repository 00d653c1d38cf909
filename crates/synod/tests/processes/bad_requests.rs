//! Requests that cannot be served: each is refused with etcd's own words, and nothing changes.

use etcd_client::{Client, Compare, CompareOp, Error, GetOptions, PutOptions, Txn, TxnOp};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::support::cluster::Cluster;

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: Code, text: &str) {
    match result {
        Err(Error::GRpcStatus(status)) => assert_eq!((status.code(), status.message()), (code, text)),
        other => panic!("expected \"{text}\", got {other:?}"),
    }
}

fn put(key: &str) -> TxnOp {
    TxnOp::put(key, "value", None)
}

/// What the cluster holds, as far as a refused request could have changed it.
async fn state(client: &mut Client) -> (i64, u32) {
    let hash = client.hash_kv(0).await.unwrap();
    (hash.hash_revision(), hash.hash())
}

/// A cluster of one with a key that was put twice, and a client.
async fn with_a_key() -> (Cluster, Client) {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.members[0].client().await;
    client.put("key", "first", None).await.unwrap();
    client.put("key", "second", None).await.unwrap();
    (cluster, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_keys_large_requests_and_wrong_transactions_are_refused_and_nothing_changes() {
    let (_cluster, mut client) = with_a_key().await;
    let before = state(&mut client).await;
    let invalid = Code::InvalidArgument;

    refused(client.put("", "value", None).await, invalid, "etcdserver: key is not provided");
    refused(client.get("", None).await, invalid, "etcdserver: key is not provided");
    refused(client.delete("", None).await, invalid, "etcdserver: key is not provided");
    let keep = PutOptions::new().with_ignore_value();
    refused(client.put("absent", "", Some(keep)).await, invalid, "etcdserver: key not found");

    let large = "v".repeat(1_572_864);
    refused(client.put("large", large, None).await, invalid, "etcdserver: request is too large");
    let huge = client.put("huge", "v".repeat(4 << 20), None).await;
    assert!(
        matches!(&huge, Err(Error::GRpcStatus(status)) if status.code() == Code::ResourceExhausted),
        "{huge:?}"
    );

    let many: Vec<TxnOp> = (0..129).map(|number| put(&format!("many{number}"))).collect();
    let too_many = "etcdserver: too many operations in txn request";
    refused(client.txn(Txn::new().and_then(many)).await, invalid, too_many);
    let checks: Vec<Compare> = (0..129).map(|_| Compare::version("key", CompareOp::Equal, 1)).collect();
    refused(client.txn(Txn::new().when(checks).and_then([put("checked")])).await, invalid, too_many);

    let duplicate = "etcdserver: duplicate key given in txn request";
    refused(client.txn(Txn::new().and_then([put("twice"), put("twice")])).await, invalid, duplicate);
    let delete_and_put = [TxnOp::delete("key", None), put("key")];
    refused(client.txn(Txn::new().and_then(delete_and_put)).await, invalid, duplicate);

    let with_lease = PutOptions::new().with_lease(7);
    let no_lease = "etcdserver: requested lease not found";
    refused(client.put("leased", "value", Some(with_lease)).await, Code::NotFound, no_lease);
    assert_eq!(state(&mut client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_operations_and_bytes_as_allowed_are_taken() {
    let (_cluster, mut client) = with_a_key().await;
    let many: Vec<TxnOp> = (0..128).map(|number| put(&format!("many{number}"))).collect();
    assert!(client.txn(Txn::new().and_then(many)).await.unwrap().succeeded());
    client.put("large", "v".repeat(1_572_864 - 64), None).await.unwrap();
    let answer = client.get("large", None).await.unwrap();
    assert_eq!(answer.kvs()[0].value().len(), 1_572_864 - 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_of_the_future_and_of_a_compacted_past_are_refused() {
    let (_cluster, mut client) = with_a_key().await;
    let (revision, _) = state(&mut client).await;
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    let future = "etcdserver: mvcc: required revision is a future revision";
    let compacted = "etcdserver: mvcc: required revision has been compacted";

    refused(client.get("key", at(revision + 1)).await, Code::OutOfRange, future);
    refused(client.compact(revision + 1, None).await, Code::OutOfRange, future);
    let then = client.get("key", at(revision - 1)).await.unwrap();
    assert_eq!(then.kvs()[0].value(), b"first");

    client.compact(revision, None).await.unwrap();
    refused(client.get("key", at(revision - 1)).await, Code::OutOfRange, compacted);
    refused(client.compact(revision, None).await, Code::OutOfRange, compacted);
    let in_txn = TxnOp::get("key", at(revision - 1));
    refused(client.txn(Txn::new().and_then([in_txn, put("other")])).await, Code::OutOfRange, compacted);
    let now = client.get("key", at(revision)).await.unwrap();
    assert_eq!(now.kvs()[0].value(), b"second");
    assert_eq!(client.get("other", None).await.unwrap().count(), 0, "a refused transaction does nothing");
}

/// A put as a later version of the interface might have it: with fields that nobody knows yet.
#[derive(Clone, PartialEq, Message)]
struct PutOfTheFuture {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(string, tag = "1000")]
    novelty: String,
    #[prost(fixed64, repeated, tag = "1001")]
    novelties: Vec<u64>,
}

/// An answer of which nothing is read.
#[derive(Clone, PartialEq, Message)]
struct Whatever {}

async fn call<M: Message + 'static>(port: u16, path: &'static str, message: M) -> Result<(), tonic::Status> {
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut grpc = Grpc::new(Channel::from_shared(endpoint).unwrap().connect().await.unwrap());
    grpc.ready().await.unwrap();
    let codec: ProstCodec<M, Whatever> = ProstCodec::default();
    grpc.unary(Request::new(message), PathAndQuery::from_static(path), codec).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_ignored_and_unknown_methods_refused() {
    let (cluster, mut client) = with_a_key().await;
    let port = cluster.members[0].client;
    let (key, value) = (b"known".to_vec(), b"value".to_vec());
    let message = PutOfTheFuture { key, value, novelty: "?".into(), novelties: vec![1, 2] };
    call(port, "/etcdserverpb.KV/Put", message).await.unwrap();
    assert_eq!(client.get("known", None).await.unwrap().kvs()[0].value(), b"value");

    let before = state(&mut client).await;
    let unknown = call(port, "/etcdserverpb.KV/Conjure", Whatever {}).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented, "{unknown}");
    assert_eq!(state(&mut client).await, before);
}

/// Field 1 as a number: in a put it has to be bytes.
#[derive(Clone, PartialEq, Message)]
struct NotAPut {
    #[prost(uint64, tag = "1")]
    key: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_not_what_the_method_takes_is_refused() {
    let (cluster, mut client) = with_a_key().await;
    let before = state(&mut client).await;
    let refused =
        call(cluster.members[0].client, "/etcdserverpb.KV/Put", NotAPut { key: 7 }).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Internal | Code::InvalidArgument), "{refused}");
    assert_eq!(state(&mut client).await, before);
}
