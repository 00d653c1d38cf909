//! `synod dev`: a whole cluster in one process, on loopback, to try things out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use synod_server::api::Limits;
use synod_server::cluster::{Founder, Founding, Url};
use synod_server::descriptors::client_connections;
use synod_server::member::{MemberConfig, MemoryDisk, RunningMember, StartError, Storage, listen};
use tokio::task::JoinSet;

use crate::config::LogFormat;
use crate::serve::{ClientPorts, READY_TIME, StopSignals, stop_in_time};
use crate::{block_on, logging, textbook};

pub(crate) const EXAMPLES: &str = "\
Examples:
  synod dev                          three members, data in ./synod-data, which survives a restart
  synod dev --members 5              five of them
  synod dev --in-memory              nothing is written to disk, nothing is left behind
  synod dev --protocol egalitarian   the textbook store without a leader; one line a request, to each member:
                                     echo append log x | nc -N 127.0.0.1 2379
  synod dev --client-port 12379      clients at 12379, 12381 and 12383";

/// What `synod dev` can be told.
#[derive(Debug, Args)]
pub struct DevOptions {
    /// How many members
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) members: u16,
    /// The first member's client port; every further one's is two higher
    #[arg(long, default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..=65_519))]
    pub(crate) client_port: u16,
    /// Where the members keep their data
    #[arg(long, default_value = "synod-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Keep everything in memory and nothing afterwards
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) in_memory: bool,
    /// Run the key-value store of the texts (Put, Append, Get, Delete) by this protocol, instead of the etcd service
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<textbook::Protocol>,
    /// Run only this member of it; the others are processes of their own
    #[arg(long, value_name = "NUMBER", requires = "protocol", value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) only: Option<u16>,
    /// What is logged to standard error
    #[arg(long, env = "SYNOD_LOG_LEVEL", default_value = "warn", value_name = "LEVEL")]
    log_level: String,
}

const HOST: &str = "127.0.0.1";
/// How long to wait before a member that does not answer yet is asked again.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// Runs the cluster until it is asked to stop.
pub(crate) fn run(options: &DevOptions) -> ExitCode {
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&options.log_level) {
        eprintln!("synod dev: --log-level: {error}");
        return ExitCode::from(2);
    }
    logging::start(&options.log_level, LogFormat::Text);
    let code = block_on(async {
        let ended = match options.protocol {
            Some(protocol) => textbook::run(protocol, options).await,
            None => dev(options).await,
        };
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                logging::say(&format!("synod dev: {reason}"));
                ExitCode::FAILURE
            }
        }
    });
    logging::finish();
    code
}

async fn dev(options: &DevOptions) -> Result<(), String> {
    let signals = StopSignals::catch()?;
    let ports = Ports::open(options).map_err(|error| error.to_string())?;
    let founding = ports.founding()?;
    let limits = Limits::default();
    let max_connections = client_connections(limits.max_connections, options.members.into());
    let limits = Limits { max_connections, ..limits };
    let mut clients = ClientPorts::new();
    let mut members = Vec::new();
    for port in ports.members {
        let config = MemberConfig {
            client_urls: vec![port.client.to_string()],
            ..MemberConfig::new(&port.name, founding.clone(), storage(options, &port.name))
        };
        let member =
            RunningMember::start(config, port.peer_listeners).map_err(|error| explain(&error, options))?;
        clients.add(port.client_listeners, &member, limits)?;
        members.push((port.name, port.client, port.peer, member));
    }
    let ended = tokio::select! {
        () = signals.asked_to_stop() => Ok(()),
        failed = run_members(&members, options) => failed,
        reason = clients.failed() => Err(reason),
    };
    clients.close().await;
    let stopped = stop_in_time(move || {
        for (.., member) in members {
            member.stop();
        }
    });
    let ended = ended.and(stopped.await);
    if ended.is_ok() {
        println!("stopped");
    }
    ended
}

type Member = (String, Url, Url, RunningMember);

/// Says when the cluster is ready; ends only when a member fails.
async fn run_members(members: &[Member], options: &DevOptions) -> Result<(), String> {
    let mut failures = JoinSet::new();
    for (name, _, _, member) in members {
        let (name, stopped) = (name.clone(), member.stopped());
        failures.spawn(async move { format!("{name}: {}", stopped.await) });
    }
    let failed = async {
        match failures.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    };
    let announced = async {
        match tokio::time::timeout(READY_TIME, ready(members)).await {
            Ok(()) => {
                print!("{}", greeting(members, options));
                std::future::pending().await
            }
            Err(_) => format!("the cluster did not answer within {} s", READY_TIME.as_secs()),
        }
    };
    tokio::select! {
        reason = failed => Err(reason),
        reason = announced => Err(reason),
    }
}

/// Waits until every member answers reads.
async fn ready(members: &[Member]) {
    for (.., member) in members {
        while member.handle().read().await.is_err() {
            tokio::time::sleep(READY_PAUSE).await;
        }
    }
}

/// What is running, where, and what to do with it.
fn greeting(members: &[Member], options: &DevOptions) -> String {
    let mut text = String::from("\n");
    for (name, client, peer, _) in members {
        text += &format!("  {name}   clients {client}   peers {peer}\n");
    }
    let kept = if options.in_memory {
        "nothing is kept: everything is in memory".to_owned()
    } else {
        format!("data in {}, kept for the next start", options.data_dir.display())
    };
    let elsewhere = options.client_port != 2379;
    let flag = if elsewhere { format!(" --endpoints {}", members[0].1) } else { String::new() };
    let plural = if members.len() == 1 { "" } else { "s" };
    text + &format!(
        "\n\
         ready: {count} member{plural}, {kept}\n\
         \n\
         In another terminal:\n\
         \x20 synod put{flag} greeting hello\n\
         \x20 synod get{flag} greeting\n\
         \x20 synod status{flag}\n\
         \n\
         etcdctl works as well. Ctrl-C stops.\n",
        count = members.len()
    )
}

fn storage(options: &DevOptions, name: &str) -> Storage {
    if options.in_memory {
        Storage::Memory(MemoryDisk::default())
    } else {
        Storage::Directory(options.data_dir.join(name))
    }
}

/// The commonest mistake said plainly: the directory holds a cluster of another size.
fn explain(error: &StartError, options: &DevOptions) -> String {
    match error {
        StartError::OtherMembers { members, .. } => format!(
            "{} holds a cluster of {} members; start it with --members {}, or choose another --data-dir",
            options.data_dir.display(),
            members.len(),
            members.len()
        ),
        error => error.to_string(),
    }
}

/// Where one member will listen.
struct Port {
    name: String,
    client: Url,
    peer: Url,
    client_listeners: Vec<std::net::TcpListener>,
    peer_listeners: Vec<std::net::TcpListener>,
}

struct Ports {
    members: Vec<Port>,
}

impl Ports {
    /// Client ports are those asked for; peer ports are any that are free.
    fn open(options: &DevOptions) -> Result<Ports, StartError> {
        let mut members = Vec::new();
        for index in 0..options.members {
            let client = Url::new(HOST, options.client_port + 2 * index);
            let client_listeners = listen("client", std::slice::from_ref(&client))?;
            let peer_listeners = listen("peer", &[Url::new(HOST, 0)])?;
            let port = peer_listeners[0].local_addr().map_err(StartError::System)?.port();
            let peer = Url::new(HOST, port);
            members.push(Port {
                name: format!("m{}", index + 1),
                client,
                peer,
                client_listeners,
                peer_listeners,
            });
        }
        Ok(Ports { members })
    }

    fn founding(&self) -> Result<Founding, String> {
        let founders = self
            .members
            .iter()
            .map(|port| Founder { name: port.name.clone(), peer_urls: vec![port.peer.clone()] })
            .collect();
        Founding::new("synod-dev", founders).map_err(|error| error.to_string())
    }
}
