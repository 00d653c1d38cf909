//! What a member logs.

use crate::support::cluster::scratch;
use crate::support::poll::eventually;
use crate::support::ports;
use crate::support::process::{Process, synod};

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
