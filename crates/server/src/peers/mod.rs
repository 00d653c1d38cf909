//! Frames between members over TCP.
//!
//! Each member keeps one connection to every other for what it sends ([`dial`]) and accepts theirs for what it
//! receives ([`accept`]). All of it runs on one thread of its own, so that no load on the client port delays a
//! heartbeat. Nothing here is trusted: a connection says first who it is ([`handshake`]), and one that says anything
//! that cannot be is closed.

mod accept;
mod addresses;
mod dial;
mod handshake;
mod queue;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use synod_member::wire::Hello;
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::time::Time;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::warn;

use crate::clock;
use crate::cluster::Url;
use crate::repeats::Repeats;
use accept::Accepted;
use handshake::Introduction;
use queue::PeerQueue;

/// The largest frame a member sends or takes.
const FRAME_MAX: usize = synod_member::wire::FRAME_BYTES_MAX;
/// How long a connection may take to say who it is.
const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
/// A side with nothing to say says so this often.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A connection on which not one byte came for so long is given up, by the end that listens. A frame may take longer.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Rejections are logged at most this often; all are counted.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Where frames from peers go.
pub(crate) type Deliver = Box<dyn Fn(NodeId, Bytes) + Send + Sync>;

/// Who this member is, and who the others are.
pub(crate) struct PeersConfig {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    /// Where clients reach this member.
    pub(crate) client_urls: Vec<String>,
    /// Everybody, this member included: names and where they are reached.
    pub(crate) members: BTreeMap<NodeId, (String, Vec<Url>)>,
}

/// What both kinds of connections share.
struct Local {
    config: PeersConfig,
    accepted: Accepted,
    deliver: Deliver,
    rejections: Rejections,
    client_urls: Mutex<BTreeMap<NodeId, Vec<String>>>,
    /// The newest start of every other member that was met.
    starts: Mutex<BTreeMap<NodeId, Incarnation>>,
}

impl Local {
    fn introduction(&self, to: NodeId) -> Introduction {
        let PeersConfig { cluster, id, incarnation, ref client_urls, .. } = self.config;
        Introduction { hello: Hello { cluster, from: id, to, incarnation }, client_urls: client_urls.clone() }
    }

    /// Whether the two belong together, on either side of a connection; the reason if not.
    fn check_hello(&self, hello: &Hello) -> Result<(), String> {
        let PeersConfig { cluster, id, ref members, .. } = self.config;
        if hello.cluster != cluster {
            return Err(format!(
                "it belongs to cluster {}, this member to {cluster}: compare --initial-cluster and \
                 --initial-cluster-token",
                hello.cluster
            ));
        }
        if hello.to != id {
            return Err(format!("it looks for member {}, this is {}", hello.to, self.describe(id)));
        }
        if hello.from == id || !members.contains_key(&hello.from) {
            return Err(format!("it says that it is {}, which is no other member", hello.from));
        }
        // An identity that starts counting again has lost its disk, and with it what it promised.
        let mut starts = self.starts.lock();
        let newest = starts.entry(hello.from).or_insert(hello.incarnation);
        if hello.incarnation < *newest {
            return Err(format!(
                "{} is at its start {}, but {newest} was seen: its data directory was lost or replaced by an older \
                 copy, so it must not take part under this identity",
                self.describe(hello.from),
                hello.incarnation
            ));
        }
        *newest = hello.incarnation;
        Ok(())
    }

    fn describe(&self, id: NodeId) -> String {
        match self.config.members.get(&id) {
            Some((name, _)) => format!("member {name} ({id})"),
            None => format!("member {id}"),
        }
    }

    fn learn(&self, id: NodeId, client_urls: Vec<String>) {
        self.client_urls.lock().insert(id, client_urls);
    }

    fn deliver(&self, from: NodeId, frame: Bytes) {
        (self.deliver)(from, frame);
    }

    fn reject(&self, what: &str, reason: &dyn Display) {
        self.rejections.count();
        self.rejections.log(what, reason);
    }
}

/// Counts what was refused and logs it now and then: garbage must not fill the log either.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    count: AtomicU64,
    log: Mutex<RejectionLog>,
}

#[derive(Debug, Default)]
struct RejectionLog {
    last: Option<Time>,
    repeats: Repeats,
}

impl Rejections {
    fn count(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A line for each reason is not enough of a bound: strangers choose what they send.
    fn log(&self, what: &str, reason: &dyn Display) {
        let (now, mut log) = (clock::now(), self.log.lock());
        if log.last.is_some_and(|last| now.since(last) < LOG_EVERY) {
            return;
        }
        if let Some(line) = log.repeats.line(now, &format!("{what}: {reason}")) {
            log.last = Some(now);
            let all = self.total();
            warn!(rejected_so_far = all, "{line}");
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// What went wrong between this member and its peers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Connections refused: strangers, other clusters, garbage.
    pub rejected: u64,
    /// Frames not sent: there was no connection, or too much waited.
    pub dropped: u64,
    /// Frames received but not heard: too much waited for the voter.
    pub unheard: u64,
}

/// The connections of a member. Dropping it ends them.
pub(crate) struct Peers {
    local: Arc<Local>,
    queues: BTreeMap<NodeId, Arc<PeerQueue>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// What the thread of the connections does.
pub(crate) struct PeersLoop {
    runtime: Runtime,
    local: Arc<Local>,
    queues: BTreeMap<NodeId, Arc<PeerQueue>>,
    listeners: Vec<tokio::net::TcpListener>,
    stopped: oneshot::Receiver<()>,
}

impl Peers {
    /// Prepares the connections; [`PeersLoop::run`] makes them. `deliver` is called on its thread, and must not block.
    ///
    /// # Errors
    /// If the system gives no event queue or no use of the listeners.
    pub(crate) fn new(
        config: PeersConfig,
        listeners: Vec<TcpListener>,
        deliver: Deliver,
    ) -> io::Result<(Peers, PeersLoop)> {
        let others = config.members.keys().filter(|id| **id != config.id);
        let queues: BTreeMap<NodeId, Arc<PeerQueue>> = others.map(|id| (*id, Arc::default())).collect();
        let client_urls = BTreeMap::from([(config.id, config.client_urls.clone())]);
        let local = Arc::new(Local {
            config,
            accepted: Accepted::default(),
            deliver,
            rejections: Rejections::default(),
            client_urls: Mutex::new(client_urls),
            starts: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners: Vec<tokio::net::TcpListener> = {
            let _context = runtime.enter();
            let usable = listeners.into_iter().map(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            });
            usable.collect::<io::Result<_>>()?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let connections =
            PeersLoop { runtime, local: local.clone(), queues: queues.clone(), listeners, stopped };
        Ok((Peers { local, queues, stop: Mutex::new(Some(stop)) }, connections))
    }

    /// Sends a frame once [`Peers::flush`] is called. One for nobody known is dropped.
    pub(crate) fn send(&self, to: NodeId, frame: Bytes) {
        if let Some(queue) = self.queues.get(&to) {
            queue.push(frame);
        }
    }

    /// Lets go what was sent since the last time.
    pub(crate) fn flush(&self, to: NodeId) {
        if let Some(queue) = self.queues.get(&to) {
            queue.flush();
        }
    }

    /// Where clients reach `id`; empty while unknown.
    pub(crate) fn client_urls(&self, id: NodeId) -> Vec<String> {
        self.local.client_urls.lock().get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn stats(&self) -> PeerStats {
        let dropped = self.queues.values().map(|queue| queue.dropped()).sum();
        PeerStats { rejected: self.local.rejections.total(), dropped, unheard: 0 }
    }

    /// Counts and now and then logs what a peer sent that cannot be.
    pub(crate) fn rejected(&self, from: NodeId, reason: &str) {
        self.local.reject(&format!("{} sent something that cannot be", self.local.describe(from)), &reason);
    }

    /// Ends all connections and frees the ports; [`PeersLoop::run`] returns then.
    pub(crate) fn stop(&self) {
        self.stop.lock().take();
    }
}

impl PeersLoop {
    /// Keeps the connections until [`Peers::stop`].
    ///
    /// # Panics
    /// If a task of a connection did: a bug ends the thread, and with it the member.
    pub(crate) fn run(self) {
        let PeersLoop { runtime, local, queues, listeners, stopped } = self;
        let panic = runtime.block_on(async move {
            let mut tasks = JoinSet::new();
            for listener in listeners {
                tasks.spawn(accept::accept_loop(local.clone(), listener));
            }
            for (id, queue) in queues {
                tasks.spawn(dial::dial_loop(local.clone(), id, queue));
            }
            tokio::select! {
                // An error means that the sender is gone: this is how it is stopped.
                _ = stopped => None,
                panic = first_panic(&mut tasks) => Some(panic),
            }
        });
        // A name look-up under way must not hold the end up.
        runtime.shutdown_background();
        if let Some(panic) = panic {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits until one of `tasks` panics. Never ends if they end otherwise.
async fn first_panic(tasks: &mut JoinSet<()>) -> Box<dyn Any + Send> {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            return panic;
        }
    }
    std::future::pending().await
}
