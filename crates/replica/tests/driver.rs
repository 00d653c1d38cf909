//! A user's own state machine, the counters of the example, on real sockets and directories.

#![allow(clippy::unwrap_used)]

#[path = "../examples/counter/client.rs"]
mod client;
#[path = "../examples/counter/counters.rs"]
mod counters;
#[path = "../../synod/tests/support/poll.rs"]
mod poll;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};

use client::ask;
use counters::{Command, Counters};
use poll::{eventually, in_time};
use synod_journal::Files;
use synod_paxos::config::ClusterId;
use synod_paxos::egalitarian::replica::Replica as Egalitarian;
use synod_paxos::fast::log::replica::Replica as Fast;
use synod_paxos::multi::forwarding::Forwarding as Multi;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::Protocol;
use synod_replica::driver::{self, Settings};
use synod_replica::submission::Submission;
use tempfile::TempDir;
use tokio::task::JoinHandle;

const MEMBERS: usize = 3;

/// One member: running or not, its sockets and its directory stay the same.
struct Member {
    peers: TcpListener,
    clients: TcpListener,
    running: Option<JoinHandle<()>>,
}

struct Cluster<P> {
    members: Vec<Member>,
    directory: TempDir,
    protocol: PhantomData<P>,
}

fn node(member: usize) -> NodeId {
    NodeId(member as u64 + 1)
}

impl<P: Protocol<Command = Submission<Command>, Position: Send> + Send + 'static> Cluster<P> {
    fn start() -> Cluster<P> {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let members = (0..MEMBERS).map(|_| Member { peers: listen(), clients: listen(), running: None });
        // On the disk that the build uses, so not in memory.
        let directory = TempDir::with_prefix_in("driver-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut cluster = Cluster { members: members.collect(), directory, protocol: PhantomData };
        (0..MEMBERS).for_each(|member| cluster.start_member(member));
        cluster
    }

    fn start_member(&mut self, member: usize) {
        let addresses: BTreeMap<NodeId, SocketAddr> = (0..)
            .map(node)
            .zip(self.members.iter().map(|member| member.peers.local_addr().unwrap()))
            .collect();
        let Member { peers, clients, running } = &mut self.members[member];
        let settings = Settings {
            cluster: ClusterId(1),
            id: node(member),
            members: addresses,
            peer_listener: peers.try_clone().unwrap(),
            client_listener: clients.try_clone().unwrap(),
            files: Files::Directory(self.directory.path().join(node(member).to_string())),
            seed: RandomState::new().hash_one(member),
        };
        let run = async { driver::run::<P, Counters>(settings).await.unwrap() };
        assert!(running.replace(tokio::spawn(run)).is_none(), "it runs already");
    }

    async fn stop_member(&mut self, member: usize) {
        let running = self.members[member].running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled(), "it had stopped before");
    }

    async fn ask(&self, member: usize, line: &str) -> std::io::Result<String> {
        in_time(line, ask(self.members[member].clients.local_addr().unwrap(), line)).await
    }

    /// What a member reads once it can. A read may be repeated.
    async fn read(&self, member: usize) -> i64 {
        eventually("the member answers a read", async || {
            let answer = self.ask(member, "read visits").await.map_err(|error| error.to_string())?;
            answer.parse().map_err(|_| answer)
        })
        .await
    }

    async fn all_read(&self, expected: i64) {
        for member in 0..MEMBERS {
            assert_eq!(self.read(member).await, expected, "member {member}");
        }
    }
}

async fn counters_survive<P: Protocol<Command = Submission<Command>, Position: Send> + Send + 'static>() {
    let mut cluster = Cluster::<P>::start();
    cluster.all_read(0).await;
    for member in 0..MEMBERS {
        assert_eq!(cluster.ask(member, "add visits 2").await.unwrap(), "done");
    }
    cluster.all_read(6).await;
    assert_eq!(cluster.ask(0, "add visits").await.unwrap(), "error add NAME N or read NAME");

    cluster.stop_member(2).await;
    // The others have settled who leads when a read comes through.
    assert_eq!(cluster.read(0).await, 6);
    assert_eq!(cluster.ask(0, "add visits 5").await.unwrap(), "done");
    cluster.start_member(2);
    assert_eq!(cluster.read(2).await, 11);

    for member in 0..MEMBERS {
        cluster.stop_member(member).await;
    }
    // Now nothing but the directories knows.
    (0..MEMBERS).for_each(|member| cluster.start_member(member));
    cluster.all_read(11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_by_multi_paxos_survive_their_members() {
    counters_survive::<Multi<_>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_by_fast_paxos_survive_their_members() {
    counters_survive::<Fast<_>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_by_egalitarian_paxos_survive_their_members() {
    counters_survive::<Egalitarian<_>>().await;
}
