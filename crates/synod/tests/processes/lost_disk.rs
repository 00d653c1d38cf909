//! Data directories that are lost, set back or used twice: the cluster refuses them, and nothing acknowledged is lost.

use std::fs;
use std::path::Path;

use crate::support::cluster::{Cluster, Member};
use crate::support::poll::eventually;
use crate::support::process::{Process, run, stdout, synod};

/// The exit status of a member whose disk the cluster refuses.
const REFUSED: i32 = 3;

/// Waits until the member has ended by itself because it was refused; returns what it printed.
async fn refused(member: &mut Member) -> String {
    let (status, printed) = member.process.take().expect("it runs").ended().await;
    assert_eq!(status.code(), Some(REFUSED), "{printed}");
    assert!(!printed.contains("panicked"), "{printed}");
    printed
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn put(member: &Member, key: &str, value: &str) {
    let what = format!("{} takes a put", member.name);
    eventually(&what, async || member.client().await.put(key, value, None).await).await;
}

async fn value(member: &Member, key: &str) -> Option<Vec<u8>> {
    let what = format!("{} answers", member.name);
    let answer = eventually(&what, async || member.client().await.get(key, None).await).await;
    answer.kvs().first().map(|kv| kv.value().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_directory_does_not_lose_what_it_helped_to_acknowledge() {
    let mut cluster = Cluster::start(3).await;
    // m1 is down while m2 and m3 acknowledge; then the disk of m3 is lost, and m2 is the only one left that knows.
    cluster.members[0].kill();
    put(&cluster.members[1], "k", "acknowledged").await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    fs::remove_dir_all(&cluster.members[2].data).unwrap();
    cluster.members[0].start();
    cluster.members[2].start();
    let printed = refused(&mut cluster.members[2]).await;
    for part in ["another disk", "m1", "must not vote", "leave the member stopped"] {
        assert!(printed.contains(part), "it does not say {part:?}:\n{printed}");
    }
    // m1 alone serves nothing. With m2 it serves what was acknowledged.
    let lonely = cluster.members[0].client().await.get("k", None).await;
    assert!(lonely.is_err(), "{lonely:?}");
    cluster.members[1].start();
    assert_eq!(value(&cluster.members[0], "k").await.as_deref(), Some(&b"acknowledged"[..]));
    // A unit file that always says "new" changes nothing about it.
    let mut again = cluster.members[2].command();
    again.args(["--initial-cluster-state", "new"]);
    cluster.members[2].process = Some(Process::spawn(&mut again, &cluster.members[2].log));
    refused(&mut cluster.members[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_set_back_to_a_copy_of_the_present_start_is_refused_for_good() {
    let mut cluster = Cluster::start(3).await;
    put(&cluster.members[2], "k", "1").await;
    // The copy is taken while the member runs, as a snapshot of its volume would be.
    let saved = cluster.dir.path().join("saved");
    copy(&cluster.members[2].data, &saved);
    for number in 2..30 {
        put(&cluster.members[2], "k", &number.to_string()).await;
    }
    cluster.members[2].kill();
    copy(&saved, &cluster.members[2].data);
    cluster.members[2].start();
    let printed = refused(&mut cluster.members[2]).await;
    assert!(printed.contains("earlier copy") && printed.contains("lift-refusal"), "{printed}");
    // It remembers, so that it does not meet members that know less.
    cluster.members[2].start();
    let again = refused(&mut cluster.members[2]).await;
    assert!(again.contains("earlier copy"), "{again}");
    put(&cluster.members[0], "k", "the others go on").await;

    let mut lift = synod();
    lift.arg("lift-refusal").arg(&cluster.members[2].data);
    assert!(stdout(&run(lift).await).contains("earlier copy"));
    // The members that know better still do.
    cluster.members[2].start();
    refused(&mut cluster.members[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_set_back_to_a_copy_of_an_earlier_start_is_refused_though_the_others_have_restarted() {
    let mut cluster = Cluster::start(3).await;
    put(&cluster.members[0], "k", "1").await;
    cluster.members[2].kill();
    let saved = cluster.dir.path().join("saved");
    copy(&cluster.members[2].data, &saved);
    // The second start of m3 registers itself in the log, and takes part in more.
    cluster.members[2].start();
    put(&cluster.members[2], "k", "2").await;
    cluster.settled().await;
    cluster.kill_all();
    copy(&saved, &cluster.members[2].data);
    // No process is left that was told anything by m3: the log itself tells.
    cluster.members.iter_mut().for_each(Member::start);
    let printed = refused(&mut cluster.members[2]).await;
    assert!(printed.contains("does not know start"), "{printed}");
    assert_eq!(value(&cluster.members[0], "k").await.as_deref(), Some(&b"2"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_directory_that_runs_elsewhere_beside_its_original_takes_no_part() {
    let mut cluster = Cluster::start(3).await;
    put(&cluster.members[2], "k", "1").await;
    cluster.members[2].kill();
    let copied = cluster.dir.path().join("copied");
    copy(&cluster.members[2].data, &copied);
    cluster.members[2].start();
    put(&cluster.members[2], "k", "2").await;
    // The same name and founders, other ports: the others do not look for m3 there.
    let ports = crate::support::ports::free_row(2);
    let member = &cluster.members[2];
    let mut clone = synod();
    clone.args(["serve", "--name", &member.name, "--initial-cluster", &member.founders]);
    clone.args(["--listen-client-urls", &format!("http://127.0.0.1:{ports}")]);
    clone.args(["--listen-peer-urls", &format!("http://127.0.0.1:{}", ports + 1)]);
    clone.arg("--data-dir").arg(&copied);
    let clone = Process::spawn(&mut clone, &cluster.dir.path().join("clone.log"));
    for number in 3..30 {
        put(&cluster.members[2], "k", &number.to_string()).await;
    }
    let mut client = crate::support::cluster::client(ports).await;
    let answer = client.get("k", None).await;
    assert!(answer.is_err(), "the copy serves: {answer:?}");
    assert!(cluster.members[2].process.is_some());
    clone.kill();
    assert_eq!(value(&cluster.members[2], "k").await.as_deref(), Some(&b"29"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founding_names_the_founder_that_is_missing_until_it_comes() {
    let mut cluster = Cluster::found(3);
    cluster.members[0].start();
    cluster.members[1].start();
    let log = &cluster.members[0].log;
    eventually("the log names m3", async || {
        let printed = fs::read_to_string(log).unwrap_or_default();
        let names_m3 = |line: &str| line.contains("not founded yet") && line.contains("m3 has not answered");
        let names_it_alone = printed.lines().any(|line| names_m3(line) && !line.contains("m2"));
        if names_it_alone { Ok(()) } else { Err(printed) }
    })
    .await;
    eventually("the status names m3", async || {
        let mut status = synod();
        status.args(["status", "--endpoints", &cluster.members[0].endpoint()]);
        let output = run(status).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if printed.contains("m3 has not answered") { Ok(()) } else { Err(printed) }
    })
    .await;
    cluster.members[2].start();
    cluster.ready().await;
    put(&cluster.members[0], "k", "founded").await;
}
