//! `synod serve`: one member of a cluster.

use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use synod_server::api;
use synod_server::descriptors::client_connections;
use synod_server::member::{MemberConfig, RunningMember, StartError, StopReason, Storage, listen};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::config::{ServeConfig, ServeOptions};
use crate::{block_on, logging};

/// The command line was right, its content was not.
const WRONG_CONFIG: u8 = 2;
/// The cluster refuses the member's disk.
const REFUSED: u8 = 3;

/// Why a member does not serve any more, or never did.
struct Ended {
    reason: String,
    code: u8,
}

impl Ended {
    fn failed(reason: impl ToString) -> Ended {
        Ended { reason: reason.to_string(), code: 1 }
    }
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  synod serve                        a cluster of one member, data in ./default.synod
  synod serve --name a --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 \\
      --listen-peer-urls http://10.0.0.1:2380 --listen-client-urls http://10.0.0.1:2379
                                     one of three; start the others with their own name and addresses
  synod serve --config-file a.toml --print-config
                                     show what would be in effect, in the form of such a file

Every flag can be given as a variable (SYNOD_NAME, …) or in the file; flags count most, the file least.
A cluster is founded once, and every member of --initial-cluster has to be up for that: until then the log and
`synod status` name those that are missing. Afterwards more than half of the members are enough.

Exit codes: 0 stopped as asked, 1 the member could not start, go on or stop in time, 2 wrong configuration, 3 the
cluster refuses this member's data directory: it is new, an earlier copy or another one than the cluster knows. Starting
again does not help then (for systemd: RestartPreventExitStatus=3).";

/// Runs the member until it is asked to stop or cannot go on.
pub(crate) fn run(options: ServeOptions, matches: &ArgMatches) -> ExitCode {
    let config = match ServeConfig::resolve(options, matches) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("synod serve: {error}");
            return ExitCode::from(WRONG_CONFIG);
        }
    };
    if let Some(printed) = config.printed {
        print!("{printed}");
        return ExitCode::SUCCESS;
    }
    logging::start(&config.log_level, config.log_format);
    let code = block_on(async move {
        match serve(config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(Ended { reason, code }) => {
                logging::say(&format!("synod serve: {reason}"));
                ExitCode::from(code)
            }
        }
    });
    logging::finish();
    code
}

async fn serve(config: ServeConfig) -> Result<(), Ended> {
    let signals = StopSignals::catch().map_err(Ended::failed)?;
    // Ports first: nothing was touched if one is taken.
    let ports = listen("client", &config.listen_client_urls)
        .and_then(|clients| listen("peer", &config.listen_peer_urls).map(|peers| (clients, peers)));
    let (client_listeners, peer_listeners) = ports.map_err(Ended::failed)?;
    let name = config.name.clone();
    let member = MemberConfig {
        client_urls: config.advertise_client_urls.iter().map(ToString::to_string).collect(),
        heartbeat_interval: config.heartbeat_interval,
        election_timeout: config.election_timeout,
        checkpoint_bytes: config.checkpoint_bytes,
        founds: config.founds,
        ..MemberConfig::new(config.name, config.founding, Storage::Directory(config.data_dir))
    };
    let asked_to_stop = signals.asked_to_stop();
    tokio::pin!(asked_to_stop);
    let starting = tokio::task::spawn_blocking(move || RunningMember::start(member, peer_listeners));
    let member = tokio::select! {
        started = starting => flatten(started)?,
        // A start has answered nothing yet. It may be cut off anywhere, and its disk may hang.
        () = &mut asked_to_stop => return Ok(()),
    };
    let max_connections = client_connections(config.limits.max_connections, 1);
    let limits = api::Limits { max_connections, ..config.limits };
    let clients = ClientPorts::open(client_listeners, &member, limits).map_err(Ended::failed)?;
    let urls: Vec<String> = config.listen_client_urls.iter().map(ToString::to_string).collect();
    info!(name, clients = urls.join(","), "listening");
    let ended = tokio::select! {
        () = asked_to_stop => Ok(()),
        reason = member.stopped() => Err(stopped(&reason)),
        reason = clients.failed() => Err(Ended::failed(reason)),
    };
    clients.close().await;
    let ended = ended.and(stop_in_time(move || member.stop()).await.map_err(Ended::failed));
    if ended.is_ok() {
        info!("stopped");
    }
    ended
}

fn stopped(reason: &StopReason) -> Ended {
    let code = if matches!(reason, StopReason::Refused(_)) { REFUSED } else { 1 };
    Ended { reason: reason.to_string(), code }
}

/// Stops members, but does not wait forever: a disk that hangs may never finish what it was given.
///
/// # Errors
/// If it takes too long.
pub(crate) async fn stop_in_time(stop: impl FnOnce() + Send + 'static) -> Result<(), String> {
    match tokio::time::timeout(STOP_TIME, tokio::task::spawn_blocking(stop)).await {
        Ok(stopped) => stopped.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "it did not stop within {} s, because its disk does not finish what it was given; it ends as in a crash, \
             in which nothing acknowledged is lost",
            STOP_TIME.as_secs()
        )),
    }
}

/// A task that panicked is reported like any other failure.
fn flatten(
    started: Result<Result<RunningMember, StartError>, tokio::task::JoinError>,
) -> Result<RunningMember, Ended> {
    match started {
        Ok(Ok(member)) => Ok(member),
        Ok(Err(error)) if error.is_refusal() => Err(Ended { reason: error.to_string(), code: REFUSED }),
        Ok(Err(error)) => Err(Ended::failed(error)),
        Err(error) => Err(Ended::failed(error)),
    }
}

/// The running client ports of one or more members.
pub(crate) struct ClientPorts {
    stop: watch::Sender<bool>,
    serving: tokio::sync::Mutex<JoinSet<()>>,
}

impl ClientPorts {
    pub(crate) fn new() -> ClientPorts {
        ClientPorts { stop: watch::Sender::new(false), serving: tokio::sync::Mutex::default() }
    }

    fn open(
        listeners: Vec<std::net::TcpListener>,
        member: &RunningMember,
        limits: api::Limits,
    ) -> Result<ClientPorts, String> {
        let mut ports = ClientPorts::new();
        ports.add(listeners, member, limits)?;
        Ok(ports)
    }

    /// Serves clients of `member` on `listeners`.
    pub(crate) fn add(
        &mut self,
        listeners: Vec<std::net::TcpListener>,
        member: &RunningMember,
        limits: api::Limits,
    ) -> Result<(), String> {
        let clients = api::Clients::new(member.handle(), limits);
        for listener in listeners {
            listener.set_nonblocking(true).map_err(|error| error.to_string())?;
            let listener = TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            let (clients, mut stopping) = (clients.clone(), self.stop.subscribe());
            let shutdown = async move {
                // An error means that the sender is gone, which is a stop as well.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            self.serving.get_mut().spawn(clients.serve(listener, shutdown));
        }
        Ok(())
    }

    /// Ends when one of them fails, and says why.
    pub(crate) async fn failed(&self) -> String {
        loop {
            match self.serving.lock().await.join_next().await {
                Some(Ok(())) => {}
                Some(Err(error)) => return format!("the client port failed: {error}"),
                None => std::future::pending().await,
            }
        }
    }

    /// Lets requests under way finish, for a moment.
    pub(crate) async fn close(self) {
        self.stop.send_replace(true);
        let mut serving = self.serving.into_inner();
        while let Some(served) = serving.join_next().await {
            if let Err(error) = served {
                error!(%error, "a client port closed badly");
            }
        }
    }
}

/// Ctrl-C and SIGTERM, caught from the moment this is made.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// # Errors
    /// If the system does not let them be caught.
    pub(crate) fn catch() -> Result<StopSignals, String> {
        let catch = |kind| signal(kind).map_err(|error| format!("signals cannot be caught: {error}"));
        Ok(StopSignals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Waits for the first. A second one ends the process at once.
    pub(crate) async fn asked_to_stop(mut self) {
        self.next().await;
        logging::say("stopping; once more to stop at once");
        tokio::spawn(async move {
            self.next().await;
            // Nothing acknowledged is lost by this: it is as safe as a crash.
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How long a cluster may take until it answers.
pub(crate) const READY_TIME: Duration = Duration::from_secs(30);
/// How long members may take to stop, once their clients' requests are done with.
const STOP_TIME: Duration = Duration::from_secs(10);
