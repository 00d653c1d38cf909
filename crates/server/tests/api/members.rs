use synod_server::api::{EMULATED_VERSION, Limits};
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::cluster_client::ClusterClient;
use synod_server::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use synod_server::proto::synod::v1::SlotsRequest;
use synod_server::proto::synod::v1::log_client::LogClient;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::kv::{get, put};
use crate::support::{Server, refused};

fn wants_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    request
}

async fn health(server: &Server) -> ServingStatus {
    let mut client = HealthClient::new(server.connect().await);
    client.check(HealthCheckRequest::default()).await.unwrap().into_inner().status()
}

#[tokio::test]
async fn status_and_member_list_tell_the_truth() {
    let server = Server::start().await;
    for key in ["a", "b"] {
        server.kv().await.put(put(key, "v")).await.unwrap();
    }
    let truth = server.handle().status();
    let channel = server.connect().await;
    let status =
        MaintenanceClient::new(channel.clone()).status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.version, EMULATED_VERSION);
    assert_eq!((status.raft_index, status.raft_applied_index), (truth.chosen.0, truth.applied.0));
    assert_eq!(
        (status.leader, Some(status.raft_term)),
        (truth.id.0, truth.leader.map(|ballot| ballot.round))
    );
    assert_eq!(status.header.map(|header| header.revision), Some(3));
    assert_eq!(status.errors, Vec::<String>::new());
    assert!(status.db_size_in_use > 0);

    let list = pb::MemberListRequest { linearizable: true };
    let members = ClusterClient::new(channel).member_list(list).await.unwrap().into_inner().members;
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].id, members[0].name.as_str()), (truth.id.0, "n1"));
    assert_eq!(members[0].client_ur_ls, [format!("http://{}", server.address)]);
    assert_eq!(members[0].peer_ur_ls.len(), 1);
}

#[tokio::test]
async fn a_member_without_a_leader_says_so_and_serves_what_it_has() {
    let server = Server::start_founder_of(3, Limits::default()).await;
    let mut kv = server.kv().await;
    let no_leader = "etcdserver: no leader";
    refused(kv.put(wants_leader(put("k", "v"))).await, Code::Unavailable, no_leader);
    refused(kv.range(wants_leader(get("k"))).await, Code::Unavailable, no_leader);
    let read = kv.range(get("k")).await.unwrap_err();
    assert_eq!(read.code(), Code::Unavailable, "{read}");
    let stale = pb::RangeRequest { serializable: true, ..get("k") };
    assert_eq!(kv.range(stale).await.unwrap().into_inner().count, 0);
    assert_eq!(health(&server).await, ServingStatus::NotServing);
    let mut maintenance = MaintenanceClient::new(server.connect().await);
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    let [founding, leader] = &status.errors[..] else { panic!("{:?}", status.errors) };
    assert!(founding.contains("n2 has not answered; n3 has not answered"), "{founding}");
    assert_eq!((status.leader, leader.as_str()), (0, no_leader));
}

#[tokio::test]
async fn a_member_with_a_leader_serves_those_who_want_one() {
    let server = Server::start().await;
    server.kv().await.put(wants_leader(put("k", "v"))).await.unwrap();
    assert_eq!(health(&server).await, ServingStatus::Serving);
    let mut client = HealthClient::new(server.connect().await);
    let other = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(client.check(other).await.unwrap_err().code(), Code::NotFound);
    let mut watched = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
}

#[tokio::test]
async fn the_log_shows_the_operations_in_words() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    kv.put(put("k1", "v1")).await.unwrap();
    kv.put(put("k2", "v2")).await.unwrap();
    let mut log = LogClient::new(server.connect().await);
    let answer = log.slots(SlotsRequest { from: 0, limit: 0 }).await.unwrap().into_inner();
    assert_eq!((answer.member_id, answer.member_name.as_str()), (server.handle().status().id.0, "n1"));
    let operations: Vec<String> = answer.slots.iter().flat_map(|slot| slot.operations.clone()).collect();
    let first = operations.iter().position(|words| words == "Put k1 v1");
    let second = operations.iter().position(|words| words == "Put k2 v2");
    assert!(first.is_some() && first < second, "{operations:?}");
    assert!(
        answer.slots.iter().all(|slot| slot.chosen && slot.applied && slot.ballot.is_some()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let server = Server::start().await;
    let mut grpc = tonic::client::Grpc::new(server.connect().await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::StatusRequest, pb::StatusResponse>::default();
    let path = "/etcdserverpb.Lease/LeaseGrant".parse().unwrap();
    let answer = grpc.unary(Request::new(pb::StatusRequest {}), path, codec).await;
    let text = "synod: etcdserverpb.Lease/LeaseGrant is not implemented in this version";
    refused(answer, Code::Unimplemented, text);
    let mut cluster = ClusterClient::new(server.connect().await);
    let add = cluster.member_add(pb::MemberAddRequest::default()).await.unwrap_err();
    assert_eq!(add.code(), Code::Unimplemented);
    assert!(add.message().contains("the members are fixed"), "{add}");
}

#[tokio::test]
async fn members_with_the_same_content_have_the_same_hash() {
    let (one, other) = (Server::start().await, Server::start().await);
    let mut hashes = Vec::new();
    for server in [&one, &other] {
        server.kv().await.put(put("k", "v")).await.unwrap();
        let mut maintenance = MaintenanceClient::new(server.connect().await);
        let hash = maintenance.hash_kv(pb::HashKvRequest { revision: 0 }).await.unwrap().into_inner();
        assert_eq!((hash.hash_revision, hash.compact_revision), (2, -1));
        hashes.push(hash.hash);
        let future = maintenance.hash_kv(pb::HashKvRequest { revision: 9 }).await;
        refused(future, Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
    }
    assert_eq!(hashes[0], hashes[1]);
    let mut kv = one.kv().await;
    kv.put(put("k", "w")).await.unwrap();
    let mut maintenance = MaintenanceClient::new(one.connect().await);
    let changed = maintenance.hash_kv(pb::HashKvRequest { revision: 0 }).await.unwrap().into_inner();
    assert_ne!(changed.hash, hashes[0]);
}
