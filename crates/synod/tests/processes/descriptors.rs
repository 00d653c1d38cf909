//! A member that may open few files: what its clients hold does not stop it, and when nothing more can be opened it
//! goes on, says so, and does what waits later.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;

use etcd_client::Client;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

use crate::support::cluster::{Cluster, Member};
use crate::support::poll::eventually;
use crate::support::process::{Process, in_shell};

/// As few as leave a member any clients at all beside what it needs itself.
const OPEN_FILES: u64 = 256;
/// Idle connections to each member: more than all the files that it may open.
const IDLE: usize = 300;

const OUT_OF_FILES: &str = "no more files can be opened";

/// Starts a member that writes a checkpoint every few hundred kilobytes.
fn start(member: &mut Member, limit: Option<u64>) {
    let mut command = member.command();
    command.args(["--checkpoint-bytes", "300000", "--max-request-bytes", "10000000"]);
    if let Some(limit) = limit {
        command = in_shell(&format!("ulimit -n {limit}"), &command);
    }
    member.process = Some(Process::spawn(&mut command, &member.log));
}

async fn put_much(client: &mut Client, times: usize, bytes: usize) {
    let value = "v".repeat(bytes);
    for number in 0..times {
        client.put(format!("key{number}"), value.as_str(), None).await.unwrap();
    }
}

fn checkpoints_written(member: &Member) -> usize {
    member.process.as_ref().unwrap().printed().matches("checkpoint written").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_idle_connections_than_files_may_be_open_stop_no_member_and_give_way_to_new_ones() {
    // The connections' other ends are in this process, whose limit is usually 1,024 at first.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let mut cluster = Cluster::found(3);
    for member in &mut cluster.members {
        start(member, Some(OPEN_FILES));
    }
    cluster.ready().await;
    let mut client = cluster.members[0].client().await;
    client.put("before", "", None).await.unwrap();
    let mut idle = Vec::new();
    for member in &cluster.members {
        idle.extend((0..IDLE).map(|_| TcpStream::connect(("127.0.0.1", member.client)).unwrap()));
    }
    let before: Vec<usize> = cluster.members.iter().map(checkpoints_written).collect();
    put_much(&mut client, 40, 50_000).await;
    for (member, before) in cluster.members.iter().zip(before) {
        eventually(&format!("{} writes a checkpoint", member.name), async || {
            if checkpoints_written(member) > before { Ok(()) } else { Err("it has not") }
        })
        .await;
        let printed = member.process.as_ref().unwrap().printed();
        assert!(!printed.contains(OUT_OF_FILES), "{printed}");
    }
    // New clients get in, because the idle ones give way.
    cluster.ready().await;
    drop(idle);
}

/// From now on the process may have `limit` files open, or as many as it may at all.
fn set_limit(member: &Member, limit: Option<u64>) {
    let process = Pid::from_raw(member.process.as_ref().unwrap().id() as i32);
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(process, Resource::Nofile, Rlimit { current: limit.or(maximum), maximum }).unwrap();
}

/// The number that the next file would get: with this as the limit, nothing more can be opened.
fn next_file(member: &Member) -> u64 {
    let files = fs::read_dir(format!("/proc/{}/fd", member.process.as_ref().unwrap().id())).unwrap();
    let open: BTreeSet<u64> =
        files.filter_map(|file| file.unwrap().file_name().to_str()?.parse().ok()).collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}

async fn errors(client: &mut Client) -> Vec<String> {
    client.status().await.unwrap().errors().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_can_open_nothing_more_goes_on_says_so_and_catches_up() {
    let mut cluster = Cluster::found(1);
    start(&mut cluster.members[0], None);
    cluster.ready().await;
    let member = &cluster.members[0];
    let mut client = member.client().await;
    assert_eq!(errors(&mut client).await, Vec::<String>::new());
    set_limit(member, Some(next_file(member)));
    // A checkpoint is due, and then the next segment of the journal.
    let (before, segments) = (checkpoints_written(member), member.journal());
    put_much(&mut client, 10, 8_000_000).await;
    for what in ["a checkpoint waits", "in a segment that is full"] {
        eventually(&format!("it says: {what}"), async || {
            client.put("more", "", None).await.unwrap();
            let errors = errors(&mut client).await;
            let told = errors.iter().any(|error| error.contains(OUT_OF_FILES) && error.contains(what));
            if told { Ok(()) } else { Err(format!("{errors:?}")) }
        })
        .await;
    }
    assert_eq!((checkpoints_written(member), member.journal()), (before, segments.clone()));
    set_limit(member, None);
    eventually("it has caught up", async || {
        client.put("more", "", None).await.unwrap();
        let errors = errors(&mut client).await;
        let rolled = member.journal().last() > segments.last();
        let done = errors.is_empty() && checkpoints_written(member) > before && rolled;
        if done { Ok(()) } else { Err(format!("{errors:?}")) }
    })
    .await;
}
