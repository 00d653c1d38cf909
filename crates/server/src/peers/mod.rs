//! Frames between members over TCP.
//!
//! Each member keeps one connection to every other for what it sends ([`dial`]) and accepts theirs for what it
//! receives ([`accept`]). All of it runs on one thread of its own, so that no load on the client port delays a
//! heartbeat. Nothing here is trusted: a connection says first which members it joins ([`handshake`]), and one that says
//! anything that cannot be is closed.

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
use synod_paxos::config::ClusterId;
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
pub(crate) type Deliver = Box<dyn Fn(Arc<str>, Bytes) + Send + Sync>;

/// This member's name, and where the others are reached.
pub(crate) struct PeersConfig {
    pub(crate) name: Arc<str>,
    pub(crate) cluster: ClusterId,
    /// All others by name.
    pub(crate) others: BTreeMap<Arc<str>, Vec<Url>>,
}

/// What both kinds of connections share.
struct Local {
    config: PeersConfig,
    accepted: Accepted,
    deliver: Deliver,
    rejections: Rejections,
}

impl Local {
    fn introduction(&self, to: &str) -> Introduction {
        let PeersConfig { name, cluster, .. } = &self.config;
        Introduction { from: name.to_string(), to: to.to_owned(), cluster: *cluster }
    }

    /// The member that dials, if it may; the reason if not.
    fn check(&self, introduction: &Introduction) -> Result<Arc<str>, String> {
        let Introduction { from, to, cluster } = introduction;
        let own = &self.config.name;
        if *cluster != self.config.cluster {
            return Err(format!(
                "it belongs to cluster {cluster}, this member to {}: compare --initial-cluster and \
                 --initial-cluster-token. A member that does not hold the roster yet has to be started with the \
                 addresses that the founding began with",
                self.config.cluster
            ));
        }
        if **to != **own {
            return Err(format!("it looks for a member called {to:?}, this one is called {own:?}"));
        }
        let known = self.config.others.get_key_value(from.as_str());
        known.map(|(name, _)| name.clone()).ok_or_else(|| {
            format!("it calls itself {from:?}, which is no other member: compare --initial-cluster")
        })
    }

    fn deliver(&self, from: &Arc<str>, frame: Bytes) {
        (self.deliver)(from.clone(), frame);
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
    queues: BTreeMap<Arc<str>, Arc<PeerQueue>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// What the thread of the connections does.
pub(crate) struct PeersLoop {
    runtime: Runtime,
    local: Arc<Local>,
    queues: BTreeMap<Arc<str>, Arc<PeerQueue>>,
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
        let queues: BTreeMap<Arc<str>, Arc<PeerQueue>> =
            config.others.keys().map(|name| (name.clone(), Arc::default())).collect();
        let local = Arc::new(Local {
            config,
            accepted: Accepted::default(),
            deliver,
            rejections: Rejections::default(),
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

    /// Sends a frame once [`Peers::flush`] is called. One for no other member is dropped.
    pub(crate) fn send(&self, to: &str, frame: Bytes) {
        if let Some(queue) = self.queues.get(to) {
            queue.push(frame);
        }
    }

    /// Lets go what was sent since the last time.
    pub(crate) fn flush(&self, to: &str) {
        if let Some(queue) = self.queues.get(to) {
            queue.flush();
        }
    }

    pub(crate) fn stats(&self) -> PeerStats {
        let dropped = self.queues.values().map(|queue| queue.dropped()).sum();
        PeerStats { rejected: self.local.rejections.total(), dropped, unheard: 0 }
    }

    /// Counts and now and then logs what a peer sent that cannot be.
    pub(crate) fn rejected(&self, from: &str, reason: &str) {
        self.local.reject(&format!("{from} sent something that cannot be"), &reason);
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
            for (name, queue) in queues {
                tasks.spawn(dial::dial_loop(local.clone(), name, queue));
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
