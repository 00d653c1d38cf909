use std::time::{Duration, Instant};

use synod_server::api::Limits;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::kv_client::KvClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use crate::http2::{GOAWAY, Http2};
use crate::kv::{get, put};
use crate::support::{PATIENCE, Server, refused};

#[tokio::test]
async fn a_request_of_the_largest_size_is_taken_and_a_larger_one_is_refused() {
    let limits = Limits::default();
    let server = Server::start_with(limits).await;
    let mut kv = server.kv().await;
    // Two field headers and two lengths take nine bytes beside key and value.
    let largest = limits.max_request_bytes - 1 - 2 - 4;
    kv.put(put("k", vec![b'v'; largest])).await.unwrap();
    let larger = kv.put(put("k", vec![b'v'; largest + 1])).await;
    refused(larger, Code::InvalidArgument, "etcdserver: request is too large");
    let found = kv.range(get("k")).await.unwrap().into_inner();
    assert_eq!(found.kvs[0].value.len(), largest);
}

#[tokio::test]
async fn a_frame_that_is_far_too_large_is_refused_by_its_header() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    let status = kv.put(put("k", vec![b'v'; 3_000_000])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "grpc: received message larger than max (3000008 vs. 2097152)");
    kv.put(put("k", "v")).await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_client_port_disturbs_nobody() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    for garbage in
        [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense", b""]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // An answer or none, but the connection ends; a reset is an end, too.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    }
    kv.put(put("k", "v")).await.unwrap();
}

#[tokio::test]
async fn a_connection_above_the_limit_is_closed_until_another_one_ends() {
    let server = Server::start_with(Limits { max_connections: 1, ..Limits::default() }).await;
    let first = server.connect().await;
    let mut kv = KvClient::new(first);
    kv.put(put("k", "v")).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, second.read(&mut [0; 64])).await.expect("it is closed");
    assert!(!matches!(read, Ok(1..)), "nothing is said on it: {read:?}");
    drop(kv);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        if let Ok(channel) = endpoint.connect().await
            && KvClient::new(channel).range(get("k")).await.is_ok()
        {
            break;
        }
        assert!(Instant::now() < deadline, "the place becomes free");
    }
}

#[tokio::test]
async fn serving_ends_although_a_client_stays_connected() {
    let mut server = Server::start().await;
    let mut kv = server.kv().await;
    kv.put(put("k", "v")).await.unwrap();
    server.stop_serving().await;
    assert_eq!(kv.range(get("k")).await.unwrap_err().code(), Code::Unavailable);
}

/// A client that asks for a large answer and reads next to nothing of it. The answer goes on as long as it is held.
async fn hoarder(server: &Server) -> (KvClient<Channel>, Streaming<pb::RangeStreamResponse>) {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let mut kv = KvClient::new(channel);
    let answer = kv.range_stream(get("large")).await.expect("those before give way").into_inner();
    (kv, answer)
}

#[tokio::test]
async fn a_write_that_was_done_is_answered_although_others_do_not_read_theirs() {
    let limits = Limits { max_unread_bytes: 512 * 1024, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut kv = server.kv().await;
    kv.put(put("large", vec![b'v'; 600_000])).await.unwrap();
    kv.put(put("k", vec![b'o'; 40_000])).await.unwrap();
    let _unread = hoarder(&server).await;
    let asked = pb::PutRequest { prev_kv: true, ..put("k", vec![b'n'; 40_000]) };
    let answer = kv.put(asked).await.expect("what was done is not refused").into_inner();
    assert_eq!(answer.prev_kv.unwrap().value, vec![b'o'; 40_000]);
    let all = pb::DeleteRangeRequest { key: "k".into(), prev_kv: true, ..Default::default() };
    let answer = kv.delete_range(all).await.expect("what was done is not refused").into_inner();
    assert_eq!(answer.deleted, 1);
    assert_eq!(kv.range(get("k")).await.unwrap().into_inner().count, 0);
}

#[tokio::test]
async fn clients_that_do_not_read_pay_for_what_they_hold_and_no_other_does() {
    let limits = Limits { max_unread_bytes: 4 << 20, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let mut kv = server.kv().await;
    kv.put(put("large", vec![b'v'; 600_000])).await.unwrap();
    kv.put(put("k", vec![b'v'; 40_000])).await.unwrap();
    let mut hoarders = Vec::new();
    for _ in 0..12 {
        hoarders.push(hoarder(&server).await);
    }
    for (key, bytes) in [("k", 40_000), ("large", 600_000)].repeat(5) {
        let answer = kv.range(get(key)).await.expect("there is room").into_inner();
        assert_eq!(answer.kvs[0].value.len(), bytes);
    }
}

#[tokio::test]
async fn answers_that_no_client_reads_give_their_places_back() {
    let server = Server::start_with(Limits { max_requests: 20, ..Limits::default() }).await;
    let mut kv = server.kv().await;
    kv.put(put("k", "v")).await.unwrap();
    let mut deaf = Http2::connect(server.address, 0).await;
    for _ in 0..20 {
        let stream = deaf.begin("/etcdserverpb.KV/Range");
        deaf.say(stream, &get("k"));
    }
    deaf.flush().await;
    let deadline = Instant::now() + PATIENCE;
    // All places are taken at first, by answers that have not stood still for long enough.
    while let Err(busy) = kv.range(get("k")).await {
        assert_eq!(busy.message(), "etcdserver: too many requests");
        assert!(Instant::now() < deadline, "a place becomes free");
        // A pause between two looks, so that asking does not take the processor from what is waited for.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kv.put(put("k", "w")).await.unwrap();
}

#[tokio::test]
async fn a_client_that_cancels_many_calls_keeps_its_connection() {
    let server = Server::start().await;
    let mut client = Http2::connect(server.address, 65_535).await;
    for _ in 0..1000 {
        let stream = client.begin("/etcdserverpb.KV/Range");
        client.cancel(stream);
    }
    let last = client.begin("/etcdserverpb.KV/Range");
    client.say(last, &get("k"));
    client.flush().await;
    let (answered, before) = client.until(|frame| frame.ends(last)).await;
    assert!(answered.is_some(), "the connection was closed: {before:?}");
}

#[tokio::test]
async fn a_flood_of_cancelled_calls_ends_the_connection() {
    let server = Server::start_with(Limits { max_streams_per_connection: 10, ..Limits::default() }).await;
    let mut client = Http2::connect(server.address, 65_535).await;
    for _ in 0..1000 {
        let stream = client.begin("/etcdserverpb.KV/Range");
        client.cancel(stream);
    }
    client.flush().await;
    let (goaway, before) = client.until(|frame| frame.kind == GOAWAY).await;
    assert!(goaway.is_some(), "it is told why: {before:?}");
    server.kv().await.put(put("k", "v")).await.expect("others are served");
}

fn with_metadata(bytes: usize) -> tonic::Request<pb::PutRequest> {
    let mut request = tonic::Request::new(put("k", "v"));
    let mut left = bytes;
    while left > 0 {
        let length = left.min(50_000);
        request.metadata_mut().append("padding", "x".repeat(length).parse().unwrap());
        left -= length;
    }
    request
}

#[tokio::test]
async fn metadata_is_taken_as_etcd_takes_it_and_more_is_refused_in_grpcs_words() {
    let server = Server::start().await;
    let mut kv = server.kv().await;
    for bytes in [16_000, 100_000, 1_000_000] {
        let answer = kv.put(with_metadata(bytes)).await;
        answer.unwrap_or_else(|status| panic!("{bytes} bytes: {status}"));
    }
    let status = kv.put(with_metadata(1_100_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("synod: metadata larger than max ("), "{status}");
    assert!(synod_server::api::is_refusal(&status));
    kv.put(put("k", "v")).await.expect("the connection is as good as before");
}
