//! Garbage on the ports, and members that belong elsewhere.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::cluster::Cluster;
use crate::support::poll::{eventually, in_time};
use crate::support::ports;
use crate::support::process::{Process, synod};

/// What browsers, encrypted clients and broken programs send. The last announces more bytes than there are.
fn garbage() -> Vec<Vec<u8>> {
    let noise: u32 = 0x9e37_79b9;
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        (0..100_000_u32).map(|index| (noise.wrapping_mul(index) >> 13) as u8).collect(),
        vec![0; 4096],
        vec![0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
    ]
}

/// Sends `bytes` and reads until the other end has had enough.
async fn send(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // Both fail if the other end has closed already, which is what is wanted.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = in_time("the connection is closed", stream.read_to_end(&mut answer)).await;
    assert!(answer.len() < 64 * 1024, "{read:?}: garbage was answered at length");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_client_and_peer_ports_is_refused_and_harms_nobody() {
    let cluster = Cluster::start(3).await;
    let mut client = cluster.members[0].client().await;
    client.put("before", "it", None).await.unwrap();
    for member in &cluster.members {
        for bytes in garbage() {
            send(member.client, &bytes).await;
            send(member.peer, &bytes).await;
        }
    }
    client.put("after", "it", None).await.unwrap();
    for member in &cluster.members {
        let mut client = member.client().await;
        for key in ["before", "after"] {
            assert_eq!(client.get(key, None).await.unwrap().kvs()[0].value(), b"it", "{}", member.name);
        }
        let printed = member.process.as_ref().unwrap().printed();
        assert!(printed.contains("does not speak this protocol between members"), "it is logged:\n{printed}");
        assert!(!printed.contains("panicked"), "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused_and_told_why() {
    let cluster = Cluster::start(3).await;
    let mut client = cluster.members[0].client().await;
    client.put("key", "value", None).await.unwrap();
    let term = client.status().await.unwrap().raft_term();

    // It knows the same members, and calls itself one of them, but under another token.
    let first = ports::free_row(2);
    let stranger = &cluster.members[2];
    let (own, elsewhere) =
        (format!("http://127.0.0.1:{}", stranger.peer), format!("http://127.0.0.1:{}", first + 1));
    let mut command = synod();
    command.args(["serve", "--name", &stranger.name, "--initial-cluster-token", "another"]);
    command.args(["--initial-cluster", &stranger.founders.replace(&own, &elsewhere)]);
    command.args(["--listen-client-urls", &format!("http://127.0.0.1:{first}")]);
    command
        .args(["--listen-peer-urls", &elsewhere])
        .arg("--data-dir")
        .arg(cluster.dir.path().join("stranger"));
    let intruder = Process::spawn(&mut command, &cluster.dir.path().join("stranger.log"));

    let told = ["it belongs to cluster", "compare --initial-cluster and --initial-cluster-token"];
    let logs = || [intruder.printed(), cluster.members[0].process.as_ref().unwrap().printed()];
    eventually("both sides log why", async || {
        let logs = logs();
        if logs.iter().all(|log| told.iter().all(|part| log.contains(part))) {
            Ok(())
        } else {
            Err(logs.join("\n"))
        }
    })
    .await;
    client.put("key", "later", None).await.unwrap();
    assert_eq!(client.status().await.unwrap().raft_term(), term, "it did not disturb the leader");
    for member in &cluster.members {
        let answer = member.client().await.get("key", None).await.unwrap();
        assert_eq!(answer.kvs()[0].value(), b"later");
    }
}
