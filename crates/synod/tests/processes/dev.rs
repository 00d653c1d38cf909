//! `synod dev`: one command, a cluster, and the data is still there next time.

use std::path::Path;
use std::process::Command;

use crate::support::cluster::{client, scratch};
use crate::support::poll::eventually;
use crate::support::ports;
use crate::support::process::{Process, run, stdout, synod};

fn dev(port: u16, more: &[&str]) -> Command {
    let mut command = synod();
    command.args(["dev", "--client-port", &port.to_string()]).args(more);
    command
}

async fn start(command: &mut Command, log: &Path) -> Process {
    let process = Process::spawn(command, log);
    eventually("it says that it is ready", async || {
        let printed = process.printed();
        if printed.contains("ready:") { Ok(()) } else { Err(printed) }
    })
    .await;
    process
}

/// Client ports are two apart: the row has one for each of three members.
fn free_port() -> u16 {
    ports::free_row(5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dev_cluster_keeps_its_data_and_stops_cleanly_at_ctrl_c() {
    let (dir, port) = (scratch(), free_port());
    let data = dir.path().join("data").display().to_string();
    let process = start(&mut dev(port, &["--data-dir", &data]), &dir.path().join("first.log")).await;
    let greeting = process.printed();
    for part in [&format!("http://127.0.0.1:{port}"), "synod put", "synod get", "synod status", &data] {
        assert!(greeting.contains(part), "it does not say \"{part}\":\n{greeting}");
    }
    client(port).await.put("greeting", "hello", None).await.unwrap();
    process.interrupt();
    let (status, printed) = process.ended().await;
    assert!(status.success() && printed.ends_with("stopped\n"), "{status}\n{printed}");

    let process = start(&mut dev(port, &["--data-dir", &data]), &dir.path().join("second.log")).await;
    for member in 0..3 {
        let answer = client(port + 2 * member).await.get("greeting", None).await.unwrap();
        assert_eq!(answer.kvs()[0].value(), b"hello", "member {member}");
    }
    process.interrupt();
    let (status, printed) = process.ended().await;
    assert!(status.success(), "{status}\n{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_that_a_dev_cluster_suggests_work() {
    let (dir, port) = (scratch(), free_port());
    let process = start(&mut dev(port, &["--in-memory"]), &dir.path().join("log")).await;
    let suggested: Vec<String> = process
        .printed()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("synod ").map(str::to_owned))
        .collect();
    assert_eq!(suggested.len(), 3, "{suggested:?}");
    let mut printed = Vec::new();
    for line in &suggested {
        let mut command = synod();
        command.args(line.split_whitespace());
        printed.push(stdout(&run(command).await));
    }
    assert!(printed[0].starts_with("OK"), "{printed:?}");
    assert_eq!(printed[1], "greeting\nhello\n");
    for name in ["m1", "m2", "m3"] {
        assert!(printed[2].contains(name), "{printed:?}");
    }
    process.interrupt();
    assert!(process.ended().await.0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dev_cluster_in_memory_leaves_nothing_behind() {
    let (dir, port) = (scratch(), free_port());
    let here = dir.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let process = start(dev(port, &["--in-memory"]).current_dir(&here), &dir.path().join("log")).await;
    client(port).await.put("k", "v", None).await.unwrap();
    process.interrupt();
    assert!(process.ended().await.0.success());
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0);
}
