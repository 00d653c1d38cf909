//! One member, running: its threads, its connections, its data directory.
//!
//! ```text
//! peers' frames ─┐                        ┌─▶ journal thread ──(written and synced)──┐
//! clients ───────┼─▶ inbox ─▶ voter thread ┼─▶ peers                                  │
//! finished work ─┘      ▲                 └─▶ applier thread ─▶ answers              │
//!                       └────────────────────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
pub use synod_journal::MemoryDisk;
use synod_member::applier::Applier;
use synod_member::identity::file::Identity;
use synod_member::introduction::Me;
use synod_member::introduction::hello::Beginning;
use synod_member::voter::{RecoveredVoter, SLOTS_RETAINED, Voter, VoterConfig};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::cluster::{Founding, Url};
use crate::data_dir::{DataDir, Found};
use crate::handle::MemberHandle;
use crate::inbox::Inbox;
use crate::peers::{Peers, PeersConfig, PeersLoop};
use crate::shared::{Shared, Troubles, Waiters};
use crate::voter_loop::{Queues, VoterLoop};
use crate::{applier_loop, checkpoint_loop, clock, journal_loop};

pub use crate::data_dir::lift_refusal;
pub use crate::peers::PeerStats;
pub use crate::shared::StopReason;
pub use crate::start_error::StartError;

/// A checkpoint is due once the journal has grown by so many bytes, or by the size of the state if that is more.
pub const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// What a request may take besides two elections.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Where a member keeps its data.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In a directory of its own.
    Directory(PathBuf),
    /// In memory: gone when it is dropped. For tests and throw-away clusters.
    Memory(MemoryDisk),
}

/// What a member needs to know to start.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Its name: one of the founders'.
    pub name: String,
    /// The members that the cluster is founded with.
    pub founding: Founding,
    /// Whether this member may decide the founding. If not, it only joins one that another founder has decided
    /// (`--initial-cluster-state existing`). Either way a cluster that was founded goes on.
    pub founds: bool,
    /// Where its data is.
    pub storage: Storage,
    /// Where clients reach it, to be told to those who ask.
    pub client_urls: Vec<String>,
    /// How often members ask each other how they are. Longer than a round trip.
    pub heartbeat_interval: Duration,
    /// How long without a happy leader before a member offers itself.
    pub election_timeout: Duration,
    /// By how many bytes the journal grows, at least, between two checkpoints.
    pub checkpoint_bytes: u64,
}

impl MemberConfig {
    /// A member with the usual settings: heartbeats every 100 ms, elections after 500 ms, checkpoints every
    /// [`CHECKPOINT_BYTES`].
    pub fn new(name: impl Into<String>, founding: Founding, storage: Storage) -> MemberConfig {
        MemberConfig {
            name: name.into(),
            founding,
            founds: true,
            storage,
            client_urls: Vec::new(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            checkpoint_bytes: CHECKPOINT_BYTES,
        }
    }

    /// How long a request may wait for its answer.
    fn request_timeout(&self) -> Duration {
        REQUEST_TIME + 2 * self.election_timeout
    }
}

/// A running member. Stop it with [`RunningMember::stop`]; dropping it stops it too.
#[derive(Debug)]
pub struct RunningMember {
    shared: Arc<Shared>,
    queues: Arc<Queues>,
    request_timeout: Duration,
    threads: Vec<JoinHandle<()>>,
    /// Locked until everything has stopped.
    _data_dir: Arc<DataDir>,
}

impl RunningMember {
    /// Recovers what the disk holds and starts. `peer_listeners` are where the others reach this member; see
    /// [`listen`]. Blocks for as long as reading the disk takes.
    ///
    /// # Errors
    /// If the data directory cannot be used, belongs to somebody else or is damaged, or the system gives no threads.
    pub fn start(
        config: MemberConfig,
        peer_listeners: Vec<TcpListener>,
    ) -> Result<RunningMember, StartError> {
        let request_timeout = config.request_timeout();
        let (data_dir, found) = DataDir::open(&config.storage, &config.founding, &config.name)?;
        let data_dir = Arc::new(data_dir);
        let Found { identity, journal, recovered, loaded } = found;
        let (cluster, id, incarnation) =
            (cluster(&config, &identity), identity.disk.node(), identity.newest().unwrap_or_default());
        let checkpoint = loaded.slot();
        if let Some(torn) = &recovered.torn {
            let (file, offset, bytes) = (&torn.file, torn.offset, torn.bytes);
            warn!(file, offset, bytes, "the end of the journal was torn; nothing acknowledged was in it");
        }
        let registered = loaded.registered().collect();
        let recovered =
            RecoveredVoter { state: recovered.state, records: recovered.records, checkpoint, registered };
        info!(
            %cluster, member = %id, start = incarnation.start,
            %checkpoint, records = recovered.records.len(), "recovered"
        );
        let voter = Voter::new(voter_config(&config, &identity), recovered, clock::now())
            .map_err(|error| data_dir.unusable(&error))?;
        let roster = identity.held.map(|held| held.roster);
        let mut applier = Applier::new(roster.clone(), id, incarnation, loaded);
        applier.set_checkpoint_every(config.checkpoint_bytes);

        let inbox = Arc::new(Inbox::default());
        let (peers, connections) = peers(&config, cluster, peer_listeners, &inbox)?;
        let shared = Arc::new(Shared {
            cluster,
            id,
            name: config.name.clone(),
            founding: config.founding.clone(),
            roster: roster.map_or_else(OnceLock::new, OnceLock::from),
            client_urls: Mutex::new(BTreeMap::from([(config.name.clone(), config.client_urls.clone())])),
            inbox,
            waiters: Waiters::new(),
            applied: watch::Sender::new(applier.applied()),
            applier: Mutex::new(applier),
            status: Mutex::new(voter.status()),
            round: AtomicU64::new(0),
            journal_bytes: AtomicU64::new(journal.bytes()),
            checkpoint_bytes: AtomicU64::new(data_dir.checkpoints().bytes()),
            peers,
            troubles: Troubles::default(),
            stopped: watch::Sender::new(None),
        });
        let queues = Arc::new(Queues::new());
        let mut member = RunningMember {
            shared: shared.clone(),
            queues: queues.clone(),
            request_timeout,
            threads: Vec::new(),
            _data_dir: data_dir.clone(),
        };
        member.spawn("synod-peers", move |_, _| connections.run())?;
        member.spawn("synod-journal", move |shared, queues| journal_loop::run(journal, shared, queues))?;
        member.spawn("synod-applier", applier_loop::run)?;
        let (written, exchanged) = (data_dir.clone(), data_dir.clone());
        member.spawn("synod-checkpoint", move |shared, queues| {
            checkpoint_loop::write_all(written.checkpoints(), shared, queues);
        })?;
        member.spawn("synod-transfer", move |shared, queues| {
            checkpoint_loop::transfer_all(exchanged.checkpoints(), shared, queues);
        })?;
        let voting = VoterLoop::new(voter, shared, queues, data_dir);
        member.spawn("synod-voter", move |_, queues| {
            voting.run();
            // It alone feeds the others, so they end when they have done what waits.
            queues.close();
        })?;
        Ok(member)
    }

    /// Starts a thread whose end by a bug stops the member.
    fn spawn(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&Shared, &Queues) + Send + 'static,
    ) -> Result<(), StartError> {
        let (shared, queues) = (self.shared.clone(), self.queues.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let guard = PanicGuard { name, shared: shared.clone(), queues: queues.clone() };
            run(&shared, &queues);
            drop(guard);
        });
        self.threads.push(thread.map_err(StartError::System)?);
        Ok(())
    }

    /// A way to this member for whoever serves clients.
    pub fn handle(&self) -> MemberHandle {
        MemberHandle::new(self.shared.clone(), self.request_timeout)
    }

    /// Its identity.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Waits until the member stops by itself, and says why. Never ends if the member is asked to stop.
    pub fn stopped(&self) -> impl Future<Output = StopReason> + Send + use<> {
        let mut stopped = self.shared.stopped.subscribe();
        async move {
            let reason = stopped.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    /// What went wrong between this member and its peers so far.
    pub fn peer_stats(&self) -> PeerStats {
        PeerStats { unheard: self.shared.inbox.dropped(), ..self.shared.peers.stats() }
    }

    /// Stops: takes nothing more, lets everybody know who waits, finishes the disk's work under way, gives the ports
    /// and the data directory back.
    pub fn stop(self) {
        drop(self);
    }

    fn stop_threads(&mut self) {
        self.shared.close();
        self.shared.peers.stop();
        for thread in self.threads.drain(..) {
            // A panic was reported by its guard.
            let _ = thread.join();
        }
    }
}

impl Drop for RunningMember {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

/// Stops the member when a thread of it ends by a bug.
struct PanicGuard {
    name: &'static str,
    shared: Arc<Shared>,
    queues: Arc<Queues>,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail(StopReason::Bug(format!("thread {} panicked; its message is above", self.name)));
            self.queues.close();
        }
    }
}

/// The cluster that the disk belongs to, or that the configuration means if it belongs to none.
fn cluster(config: &MemberConfig, identity: &Identity) -> ClusterId {
    let held = identity.held.as_ref().map(|held| held.roster.cluster());
    held.unwrap_or_else(|| config.founding.cluster_id())
}

fn voter_config(config: &MemberConfig, identity: &Identity) -> VoterConfig {
    let me = Me {
        cluster: cluster(config, identity),
        name: config.name.clone(),
        node: identity.disk.node(),
        starts: identity.starts.clone(),
        recovered: 0,
        beginning: Beginning::default(),
        founds: config.founds,
        client_urls: config.client_urls.clone(),
    };
    VoterConfig {
        me,
        names: config.founding.founders().iter().map(|founder| founder.name.clone()).collect(),
        roster: identity.held.as_ref().map(|held| held.roster.clone()),
        heartbeat_interval: config.heartbeat_interval,
        election_timeout: config.election_timeout,
        request_timeout: config.request_timeout(),
        slots_retained: SLOTS_RETAINED,
        seed: rand::random(),
    }
}

fn peers(
    config: &MemberConfig,
    cluster: ClusterId,
    listeners: Vec<TcpListener>,
    inbox: &Arc<Inbox>,
) -> Result<(Peers, PeersLoop), StartError> {
    let founders = config.founding.founders().iter();
    let others = founders.filter(|founder| founder.name != config.name);
    let others = others.map(|founder| (Arc::from(founder.name.as_str()), founder.peer_urls.clone()));
    let peers = PeersConfig { name: config.name.as_str().into(), cluster, others: others.collect() };
    let inbox = inbox.clone();
    let deliver = Box::new(move |from, frame| inbox.frame(from, frame));
    Peers::new(peers, listeners, deliver).map_err(StartError::System)
}

/// Opens ports. `purpose` is said if one cannot be had.
///
/// # Errors
/// If an address does not exist here, or its port is in use.
pub fn listen(purpose: &'static str, urls: &[Url]) -> Result<Vec<TcpListener>, StartError> {
    let mut everywhere = BTreeSet::new();
    // The wildcards of both families mean the same port, once.
    let mut news = |url: &&Url| !url.is_wildcard() || url.port() == 0 || everywhere.insert(url.port());
    urls.iter().filter(|url| news(url)).map(|url| listen_at(purpose, url)).collect()
}

fn listen_at(purpose: &'static str, url: &Url) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Port { purpose, url: url.clone(), source };
    if url.is_wildcard() {
        return listen_everywhere(url.port()).map_err(failed);
    }
    let mut addresses: Vec<SocketAddr> =
        (url.host(), url.port()).to_socket_addrs().map_err(failed)?.collect();
    // A name may have several; another one must not be taken silently because the first is in use.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = addresses.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    TcpListener::bind(address).map_err(failed)
}

/// At every address of this machine, of both families where there are both, as etcd does.
fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wildcards_of_both_families_are_one_port_that_answers_on_both() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let urls = ["0.0.0.0", "::"].map(|host| Url::new(host, free));
        let listeners = listen("client", &urls).unwrap();
        assert_eq!(listeners.len(), 1);
        std::net::TcpStream::connect(("127.0.0.1", free)).unwrap();
        if listeners[0].local_addr().unwrap().is_ipv6() {
            std::net::TcpStream::connect(("::1", free)).unwrap();
        }
    }
}
