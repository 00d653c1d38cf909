//! A log that is not read: the pipe is full, and holds the member up in nothing.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::support::cluster::Cluster;
use crate::support::process::Process;

/// A pipe that takes nothing more and is not read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_whose_log_is_not_read_serve_and_stop_when_asked() {
    let mut cluster = Cluster::found(3);
    let mut pipes = Vec::new();
    for member in &mut cluster.members {
        let mut command = member.command();
        command.args(["--log-level", "trace"]);
        let (reader, writer) = full_pipe();
        pipes.push(reader);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
        member.process = Some(Process::spawn_unlogged(&mut command, &member.log));
    }
    cluster.ready().await;
    let mut client = cluster.members[0].client().await;
    for number in 0..100 {
        client.put(format!("key{number}"), "value", None).await.unwrap();
    }
    for member in &mut cluster.members {
        let process = member.process.take().unwrap();
        process.terminate();
        let (status, _) = process.ended().await;
        assert_eq!(status.code(), Some(0), "{}", member.name);
    }
}
