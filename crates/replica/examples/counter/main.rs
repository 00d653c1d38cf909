//! A state machine of your own on real sockets and files, by the protocol that you choose: multi, fast or egalitarian.
//!
//! ```console
//! $ cargo run -p synod-replica --example counter egalitarian
//! ```
//! Three members run in this process. Elsewhere each is a process of its own, on a machine of its own, with the same
//! call of [`driver::run`].

mod client;
mod counters;

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};

use client::ask;
use counters::{Command, Counters};
use synod_journal::Files;
use synod_paxos::config::ClusterId;
use synod_paxos::egalitarian::replica::Replica as Egalitarian;
use synod_paxos::fast::log::replica::Replica as Fast;
use synod_paxos::multi::forwarding::Forwarding as Multi;
use synod_paxos::node::NodeId;
use synod_replica::driver::{self, Settings};
use synod_replica::submission::Submission;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let protocol = std::env::args().nth(1).unwrap_or_else(|| "multi".to_owned());
    let directory = tempfile::tempdir()?;
    let (mut peers, mut clients, mut listeners) = (BTreeMap::new(), Vec::new(), Vec::new());
    for id in (1..=3).map(NodeId) {
        let (for_peers, for_clients) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        peers.insert(id, for_peers.local_addr()?);
        clients.push(for_clients.local_addr()?);
        listeners.push((id, for_peers, for_clients));
    }
    let mut members = JoinSet::new();
    for (id, peer_listener, client_listener) in listeners {
        let settings = Settings {
            cluster: ClusterId(1),
            id,
            members: peers.clone(),
            peer_listener,
            client_listener,
            files: Files::Directory(directory.path().join(id.to_string())),
            seed: RandomState::new().hash_one(id),
        };
        match protocol.as_str() {
            "multi" => members.spawn(driver::run::<Multi<Submission<Command>>, Counters>(settings)),
            "fast" => members.spawn(driver::run::<Fast<Submission<Command>>, Counters>(settings)),
            "egalitarian" => {
                members.spawn(driver::run::<Egalitarian<Submission<Command>>, Counters>(settings))
            }
            other => return Err(format!("{other} is none of multi, fast, egalitarian").into()),
        };
    }
    tokio::select! {
        talked = talk(&clients) => talked?,
        Some(ended) = members.join_next() => ended??,
    }
    members.shutdown().await;
    Ok(())
}

/// Adds through every member, then reads through every member.
async fn talk(clients: &[SocketAddr]) -> Result<(), Box<dyn Error>> {
    // Until they have found each other, what becomes of a command is unknown after a while. A read may be repeated.
    while ask(clients[0], "read visits").await? == "unknown" {}
    for (amount, client) in (1..).zip(clients) {
        let line = format!("add visits {amount}");
        println!("{client}: {line} -> {}", ask(*client, &line).await?);
    }
    let mut answers = Vec::new();
    for client in clients {
        let answer = ask(*client, "read visits").await?;
        println!("{client}: read visits -> {answer}");
        answers.push(answer);
    }
    if answers.iter().any(|answer| *answer != answers[0]) {
        return Err("the members disagree".into());
    }
    println!("all members answer the same");
    Ok(())
}
