//! What a verb says and how it ends: never that a write was not done when it was.

use std::fs::File;
use std::process::Stdio;

use crate::support::cluster::{Cluster, Member};
use crate::support::poll::eventually;
use crate::support::process::{Process, stdout, synod};
use crate::support::verb::{fed, said, verb};

/// Done, but the answer could not be shown.
const NOT_SHOWN: i32 = 5;
const REFUSED: i32 = 1;

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

async fn value_of(cluster: &Cluster, key: &str) -> String {
    stdout(&said(verb(cluster, &["get", key, "--print-value-only"])).await)
}

fn start_with(member: &mut Member, arguments: &[&str]) {
    let mut command = member.command();
    command.args(arguments);
    member.process = Some(Process::spawn(&mut command, &member.log));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_answered_however_large_the_value_that_was_there_before() {
    let mut cluster = Cluster::found(1);
    start_with(&mut cluster.members[0], &["--max-request-bytes", "16777216"]);
    cluster.ready().await;
    let (old, new) = (vec![b'o'; 8 << 20], vec![b'n'; 8 << 20]);
    for (value, before) in [(&old, "no such key".as_bytes()), (&new, &old)] {
        let mut command = verb(&cluster, &["put", "k", "--prev-kv"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = fed(command, value.clone()).await;
        let printed = stdout(&output);
        let told = printed.lines().nth(1).unwrap().strip_prefix("before: ").unwrap();
        assert!(told.as_bytes() == before, "{} bytes were there before", told.len());
    }
    assert_eq!(value_of(&cluster, "k").await.trim_end().as_bytes(), new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_cannot_be_shown_is_reported_as_done() {
    let cluster = Cluster::start(1).await;
    let txn = b"\nput t 1\n".to_vec();
    let writes: [(&[&str], Vec<u8>); 6] = [
        (&["put", "k", "1"], Vec::new()),
        (&["append", "k", "2"], Vec::new()),
        (&["txn"], txn),
        (&["put", "gone", "1"], Vec::new()),
        (&["del", "gone", "--json"], Vec::new()),
        (&["compact", "3"], Vec::new()),
    ];
    for (words, input) in writes {
        let mut command = verb(&cluster, words);
        command.stdout(full()).stderr(Stdio::piped());
        let output = fed(command, input).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(NOT_SHOWN), "{words:?}: {text}");
        assert!(text.contains("has been done"), "{words:?}: {text}");
    }
    assert_eq!(value_of(&cluster, "k").await, "12\n");
    assert_eq!(value_of(&cluster, "t").await, "1\n");
    assert_eq!(value_of(&cluster, "gone").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_tells_the_outcome_when_nothing_can_be_written_anywhere() {
    let cluster = Cluster::start(1).await;
    for (words, code) in [(["put", "k", "1"], NOT_SHOWN), (["put", "", "1"], REFUSED)] {
        let mut command = verb(&cluster, &words);
        command.stdout(full()).stderr(full());
        assert_eq!(fed(command, Vec::new()).await.status.code(), Some(code), "{words:?}");
    }
    assert_eq!(value_of(&cluster, "k").await, "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_no_leader_was_offered_is_refused_and_never_happens() {
    let mut cluster = Cluster::found(3);
    cluster.members[0].start();
    let alone = &cluster.members[0].endpoint();
    let output = eventually("it listens", async || {
        let mut command = synod();
        command.args(["put", "k", "never", "--endpoints", alone, "--timeout", "30s"]);
        let output = said(command).await;
        if output.status.code() == Some(3) { Err("no connection yet") } else { Ok(output) }
    })
    .await;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(REFUSED), "{text}");
    assert!(text.starts_with("refused: etcdserver: no leader\nNothing was changed."), "{text}");
    cluster.members[1].start();
    cluster.members[2].start();
    cluster.ready().await;
    assert_eq!(value_of(&cluster, "k").await, "");
}
