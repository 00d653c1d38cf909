//! What a member logs.

use std::net::TcpStream;

use tempfile::TempDir;

use crate::support::cluster::{Cluster, scratch};
use crate::support::poll::eventually;
use crate::support::ports;
use crate::support::process::{Process, in_shell, synod};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_are_not_reached_are_named_with_the_reason_and_not_again_and_again() {
    let dir = scratch();
    let port = ports::free_row(4);
    let url = |offset| format!("http://127.0.0.1:{}", port + offset);
    let members = format!("m1={},m2={},m3=http://no-such-host.invalid:2380", url(1), url(2));
    let mut command = synod();
    command
        .args(["serve", "--name", "m1", "--initial-cluster", &members, "--data-dir"])
        .arg(dir.path().join("m1"));
    command.args(["--listen-client-urls", &url(0), "--listen-peer-urls", &url(1)]);
    let process = Process::spawn(&mut command, &dir.path().join("m1.log"));
    let refused = format!("peer m2 at {}: connection refused", url(2));
    let unresolved = "peer m3 at http://no-such-host.invalid:2380: its name is not found";
    // The last comes after seconds, so m2 was dialled many times.
    for line in [&refused, unresolved, "no member has led for"] {
        eventually(line, async || {
            let printed = process.printed();
            if printed.contains(line) { Ok(()) } else { Err(format!("it says\n{printed}")) }
        })
        .await;
    }
    let printed = process.printed();
    assert_eq!(printed.matches(&refused).count(), 1, "{printed}");
}

/// So many files at once are enough for a member alone, and for few clients.
const FILES: u32 = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_port_that_takes_no_more_connections_says_so_and_not_again_and_again() {
    let cluster = Cluster::found(1);
    let member = &cluster.members[0];
    let mut command = in_shell(&format!("ulimit -n {FILES}"), &member.command());
    let process = Process::spawn(&mut command, &member.log);
    let mut client = member.client().await;
    eventually("it serves", async || client.get("key", None).await).await;
    let connect = || (0..2 * FILES).filter_map(|_| TcpStream::connect(member.endpoint()).ok());
    let connections: Vec<TcpStream> = connect().collect();
    let line = "a client's connection was closed: there are as many as are allowed";
    // The second such line, after a while, tells how many were left out.
    eventually("repetitions are counted", async || {
        // Refused, and given up at once: this process may not open many files either.
        connect().for_each(drop);
        let printed = process.printed();
        let counted =
            printed.lines().any(|printed| printed.contains(line) && printed.contains(" more since"));
        if counted {
            Ok(())
        } else {
            Err(format!("it says\n{}", &printed[printed.len().saturating_sub(2000)..]))
        }
    })
    .await;
    let lines = process.printed().matches(line).count();
    assert!(lines <= 3, "{lines} lines");
    drop(connections);
    eventually("it serves again", async || client.get("key", None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_data_is_in_memory_says_so_when_it_starts() {
    let memory = TempDir::with_prefix_in("synod-", "/dev/shm").unwrap();
    let mut cluster = Cluster::found(1);
    let member = &mut cluster.members[0];
    for (data, warned) in [(memory.path().join("m1"), true), (member.data.clone(), false)] {
        member.data = data;
        let process = Process::spawn(&mut member.command(), &member.log.with_extension(warned.to_string()));
        let mut client = member.client().await;
        eventually("it serves", async || client.get("key", None).await).await;
        let printed = process.printed();
        assert_eq!(printed.contains("lies on tmpfs, which is memory"), warned, "{printed}");
    }
}
