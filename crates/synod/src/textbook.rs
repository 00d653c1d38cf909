//! `synod dev --protocol`: the key-value store of the texts, by any protocol of the family.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::ValueEnum;
use synod_journal::{Files, MemoryDisk};
use synod_paxos::config::ClusterId;
use synod_paxos::egalitarian::replica::Replica;
use synod_paxos::fast::log::replica::Replica as FastReplica;
use synod_paxos::multi::forwarding::Forwarding;
use synod_paxos::node::NodeId;
use synod_replica::driver::{self, Settings};
use synod_replica::submission::Submission;
use synod_replica::textbook::{Command, Textbook};
use tokio::task::JoinSet;

use crate::dev::DevOptions;
use crate::serve::StopSignals;

/// By what the store is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Multi-Paxos: a leader and a log
    Multi,
    /// Fast Paxos: a leader that opens slots of the log to any one busy writer
    Fast,
    /// Egalitarian Paxos: no leader, and an order only where it shows
    Egalitarian,
}

impl Protocol {
    /// As users write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Multi => "multi",
            Protocol::Fast => "fast",
            Protocol::Egalitarian => "egalitarian",
        }
    }
}

/// All textbook clusters of one machine are told apart by their ports and directories.
const CLUSTER: ClusterId = ClusterId(0x7e87);

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn listen(port: u16) -> Result<TcpListener, String> {
    let address = address(port);
    TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))
}

/// Runs the members until one fails or the user asks to stop. Each has its clients' port, and the next one for the
/// other members.
pub(crate) async fn run(protocol: Protocol, options: &DevOptions) -> Result<(), String> {
    let signals = StopSignals::catch()?;
    let port = |number: u16| options.client_port + 2 * (number - 1);
    let numbers = 1..=options.members;
    if let Some(only) = options.only.filter(|only| !numbers.contains(only)) {
        return Err(format!("--only {only}: there are {} members", options.members));
    }
    let members: BTreeMap<NodeId, SocketAddr> =
        numbers.clone().map(|number| (NodeId(number.into()), address(port(number) + 1))).collect();
    let mut running = JoinSet::new();
    for number in numbers.filter(|number| options.only.is_none_or(|only| only == *number)) {
        let settings = Settings {
            cluster: CLUSTER,
            id: NodeId(number.into()),
            members: members.clone(),
            peer_listener: listen(port(number) + 1)?,
            client_listener: listen(port(number))?,
            files: if options.in_memory {
                Files::Memory(MemoryDisk::new())
            } else {
                let cluster = options.data_dir.join(format!("textbook-{}", protocol.name()));
                Files::Directory(cluster.join(format!("m{number}")))
            },
            seed: seed(number),
        };
        running.spawn(async move {
            let ended = match protocol {
                Protocol::Multi => driver::run::<Forwarding<Submission<Command>>, Textbook>(settings).await,
                Protocol::Fast => driver::run::<FastReplica<Submission<Command>>, Textbook>(settings).await,
                Protocol::Egalitarian => {
                    driver::run::<Replica<Submission<Command>>, Textbook>(settings).await
                }
            };
            let reason = ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
            format!("m{number}: {reason}")
        });
        println!("  m{number}   clients {}   peers {}", address(port(number)), address(port(number) + 1));
    }
    println!(
        "\nready: the store of the texts by {}. In another terminal, one line a request:\n\
         \x20 echo put greeting hello | nc -N 127.0.0.1 {}\n\
         \x20 echo append greeting ! | nc -N 127.0.0.1 {}\n\
         \x20 echo get greeting | nc -N 127.0.0.1 {}\n",
        protocol.name(),
        port(1),
        port(options.members),
        port(1)
    );
    tokio::select! {
        () = signals.asked_to_stop() => Ok(()),
        Some(ended) = running.join_next() => Err(ended.unwrap_or_else(|error| error.to_string())),
    }
}

/// Another one at every start of every member.
fn seed(number: u16) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ (u64::from(number) << 48)
}
