//! The client's verbs, run as a user runs them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::cluster::Cluster;
use super::process::synod;

/// A verb that talks to the only member of a cluster.
pub fn verb(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = synod();
    command.args(words).args(["--endpoints", &cluster.endpoints(), "--timeout", "30s"]);
    command
}

/// Runs `command` with `input` on its standard input.
pub async fn fed(mut command: Command, input: Vec<u8>) -> Output {
    command.stdin(Stdio::piped());
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Whoever does not read it has its reasons.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    });
    ended.await.unwrap()
}

/// Runs `command` with nothing on its standard input, and keeps what it says.
pub async fn said(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    fed(command, Vec::new()).await
}
