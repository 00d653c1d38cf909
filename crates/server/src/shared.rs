//! What the threads of a member and its handles share.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use synod_member::applier::Applier;
use synod_member::identity::roster::Roster;
use synod_member::voter::{Sequence, VoterStatus};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

use crate::clock;
use crate::cluster::Founding;
use crate::handle::{WriteError, Written};
use crate::inbox::Inbox;
use crate::peers::Peers;
use crate::repeats::Repeats;
use crate::start_error::WAY_BACK;

/// Why a member stopped by itself. It will not start again in this process.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StopReason {
    /// The disk failed. What was written last may or may not be there, so nothing more is promised.
    #[error("the disk failed, so this member has stopped for good: {0}")]
    Disk(String),
    /// The cluster refuses this member's disk: starting again does not help.
    #[error("the cluster refuses this member: {0}. {WAY_BACK}")]
    Refused(String),
    /// A bug was caught by an assertion.
    #[error("a bug was found, so this member has stopped: {0}")]
    Bug(String),
}

/// One member's shared state.
pub(crate) struct Shared {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    pub(crate) name: String,
    /// All members: names, and where their peers reach them.
    pub(crate) founding: Founding,
    /// Whose disk each member's is, once the cluster is founded.
    pub(crate) roster: OnceLock<Roster>,
    /// Where clients reach each member, by name, as far as it has said.
    pub(crate) client_urls: Mutex<BTreeMap<String, Vec<String>>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) waiters: Waiters,
    /// Locked by the applier's thread while it applies one item, by others only to take a view.
    pub(crate) applier: Mutex<Applier>,
    pub(crate) applied: watch::Sender<Slot>,
    pub(crate) status: Mutex<VoterStatus>,
    /// The round of the leader's ballot known last.
    pub(crate) round: AtomicU64,
    pub(crate) journal_bytes: AtomicU64,
    pub(crate) checkpoint_bytes: AtomicU64,
    pub(crate) peers: Peers,
    pub(crate) troubles: Troubles,
    pub(crate) stopped: watch::Sender<Option<StopReason>>,
}

impl Shared {
    /// Stops the member for good. The first reason counts.
    pub(crate) fn fail(&self, reason: StopReason) {
        let first = self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(reason.clone());
            }
            first
        });
        if first {
            error!(%reason, "this member has stopped");
        }
        self.close();
    }

    /// Takes nothing more and lets everybody know who waits.
    pub(crate) fn close(&self) {
        self.inbox.close();
        self.waiters.close();
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.journal_bytes.load(Ordering::Relaxed) + self.checkpoint_bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("cluster", &self.cluster).field("id", &self.id).finish_non_exhaustive()
    }
}

/// What can be wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// A write to the journal takes long.
    SlowDisk,
    /// The journal has no descriptor for its next segment.
    Segment,
    /// A checkpoint waits for a descriptor to be written.
    Checkpoint,
    /// So does one that is sent or received.
    Transfer,
}

/// What is wrong at the moment, in plain words.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    now: Mutex<BTreeMap<Trouble, String>>,
    logged: Mutex<Repeats>,
}

impl Troubles {
    /// Says what is wrong, or that it is over.
    pub(crate) fn set(&self, trouble: Trouble, words: Option<String>) {
        let mut now = self.now.lock();
        match words {
            Some(words) => {
                if !now.contains_key(&trouble)
                    && let Some(line) = self.logged.lock().line(clock::now(), &words)
                {
                    warn!("{line}");
                }
                now.insert(trouble, words);
            }
            None => drop(now.remove(&trouble)),
        }
    }

    /// All of it.
    pub(crate) fn list(&self) -> Vec<String> {
        self.now.lock().values().cloned().collect()
    }
}

type Answer = Result<Written, WriteError>;

/// Clients that wait for a write: registered by the voter's thread, answered by the applier's. The voter bounds how
/// many there are, and gives each up in time.
#[derive(Debug)]
pub(crate) struct Waiters {
    waiting: Mutex<Option<HashMap<Sequence, oneshot::Sender<Answer>>>>,
}

impl Waiters {
    pub(crate) fn new() -> Waiters {
        Waiters { waiting: Mutex::new(Some(HashMap::new())) }
    }

    /// Once closed, the waiter is dropped, which tells it.
    pub(crate) fn register(&self, sequence: Sequence, waiter: oneshot::Sender<Answer>) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.insert(sequence, waiter);
        }
    }

    /// Answers the one who waits, if anybody still does.
    pub(crate) fn answer(&self, sequence: Sequence, answer: Answer) {
        let waiter = self.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&sequence));
        if let Some(waiter) = waiter {
            // Fails if the client went away.
            let _ = waiter.send(answer);
        }
    }

    fn close(&self) {
        // Dropped outside of the lock: each wakes somebody.
        let waiting = self.waiting.lock().take();
        drop(waiting);
    }
}
