//! What the rest of a server sees of its member: submit a write, confirm a read, ask for the state of things.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use synod_member::voter::VoterStatus;
use synod_paxos::ballot::Ballot;
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use synod_store::View;
use synod_store::request::Command;
use synod_store::response::Applied;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::inbox::{Full, Request};
use crate::shared::Shared;
use crate::words;

/// A cheap, cloneable way to one running member.
#[derive(Clone, Debug)]
pub struct MemberHandle {
    shared: Arc<Shared>,
    request_timeout: Duration,
}

/// A command that went through the log and was applied here.
#[derive(Clone, Debug)]
pub struct Written {
    /// The answer of the store.
    pub applied: Applied,
    /// Where in the log it stands.
    pub slot: Slot,
    /// The round of the leader's ballot this member knew then (etcd's `raft_term`).
    pub round: u64,
}

/// A state of the store to read from, with what the header of an answer tells.
#[derive(Clone, Debug)]
pub struct ReadView {
    /// The immutable state.
    pub view: View,
    /// The last slot applied to it.
    pub applied: Slot,
    /// The round of the leader's ballot (etcd's `raft_term`).
    pub round: u64,
}

/// Why a write was not confirmed. Texts and codes for clients are in `api::error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Certainly not done: the member has too much in flight.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// Certainly not done: the command is larger than the log takes.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// Certainly not done: there was no leader to offer it to in time.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// Outcome unknown: no answer within the time allowed, for want of a leader or a quorum.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// Outcome unknown: the leader changed or the member caught up by a snapshot meanwhile.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    Unknown,
    /// Outcome unknown: the member is stopping or has stopped voting because its disk failed.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// Why a linearizable read could not be confirmed. Nothing was changed, so it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Too many reads wait.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// There is no leader that could confirm.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// No confirmation in time.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// The member is stopping or has stopped.
    #[error("etcdserver: server stopped")]
    Stopped,
}

/// One member of the cluster as its configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Identity.
    pub id: NodeId,
    /// The operator's name for it.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty while unknown.
    pub client_urls: Vec<String>,
}

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The cluster's identity.
    pub cluster: ClusterId,
    /// This member's identity.
    pub id: NodeId,
    /// The leader's ballot, if one is known.
    pub leader: Option<Ballot>,
    /// Whether this member believes that it or its leader can make progress.
    pub happy: bool,
    /// The last slot of the chosen prefix.
    pub chosen: Slot,
    /// The last slot applied.
    pub applied: Slot,
    /// The last slot covered by a durable checkpoint and truncated from the log.
    pub truncated: Slot,
    /// Bytes on disk: journal and checkpoints.
    pub disk_bytes: u64,
    /// Live bytes of the store.
    pub store_bytes: u64,
    /// What is wrong, in plain words; empty when nothing is.
    pub errors: Vec<String>,
}

/// One slot as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// Which slot.
    pub slot: Slot,
    /// The operations in words, e.g. `Put k1 v1`; `Register m1 #2` when a process
    /// made itself known; `no-op` for a gap filled; empty when truncated.
    pub operations: Vec<String>,
    /// The ballot of this member's vote, if it voted.
    pub ballot: Option<Ballot>,
    /// Whether it knows the slot to be chosen.
    pub chosen: bool,
    /// Whether it has applied the slot.
    pub applied: bool,
    /// Whether the slot is gone from the log, covered by a checkpoint.
    pub truncated: bool,
}

impl MemberHandle {
    pub(crate) fn new(shared: Arc<Shared>, request_timeout: Duration) -> MemberHandle {
        MemberHandle { shared, request_timeout }
    }

    /// Has `command` chosen and applied.
    ///
    /// # Errors
    /// See [`WriteError`]: some say that nothing happened, some that nobody knows.
    pub async fn write(&self, command: Command) -> Result<Written, WriteError> {
        let (reply, answer) = oneshot::channel();
        let command = command.encode();
        self.shared.inbox.request(Request::Write { command, reply }).map_err(|full| match full {
            Full::TooMany => WriteError::TooManyRequests,
            Full::Closed => WriteError::Stopped,
        })?;
        // The member gives up in time; it drops the waiter only when it stops.
        answer.await.unwrap_or(Err(WriteError::Stopped))
    }

    /// A state at least as new as everything acknowledged anywhere before this call.
    ///
    /// # Errors
    /// If no leader confirms it in time.
    pub async fn read(&self) -> Result<ReadView, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.request(Request::Read { reply }).map_err(|full| match full {
            Full::TooMany => ReadError::TooManyRequests,
            Full::Closed => ReadError::Stopped,
        })?;
        let slot = answer.await.unwrap_or(Err(ReadError::Stopped))?;
        self.wait_applied(slot).await?;
        Ok(self.local())
    }

    async fn wait_applied(&self, slot: Slot) -> Result<(), ReadError> {
        if *self.shared.applied.borrow() >= slot {
            return Ok(());
        }
        let (mut applied, mut stopped) = (self.shared.applied.subscribe(), self.shared.stopped.subscribe());
        // The senders live in `shared`, which this handle keeps, so waiting ends only with what is waited for.
        tokio::select! {
            _ = applied.wait_for(|applied| *applied >= slot) => Ok(()),
            _ = stopped.wait_for(Option::is_some) => Err(ReadError::Stopped),
            () = tokio::time::sleep(self.request_timeout) => Err(ReadError::TimedOut),
        }
    }

    /// This member's state as it is, perhaps stale.
    pub fn local(&self) -> ReadView {
        let round = self.shared.round.load(Ordering::Relaxed);
        let applier = self.shared.applier.lock();
        ReadView { view: applier.view(), applied: applier.applied(), round }
    }

    /// How this member stands.
    pub fn status(&self) -> MemberStatus {
        let shared = &self.shared;
        let voter = shared.status.lock().clone();
        let (view, applied) = {
            let applier = shared.applier.lock();
            (applier.view(), applier.applied())
        };
        let stopped = shared.stopped.borrow().as_ref().map(ToString::to_string);
        MemberStatus {
            cluster: shared.cluster,
            id: shared.id,
            leader: voter.leader,
            happy: voter.happy && stopped.is_none(),
            chosen: voter.chosen,
            applied,
            truncated: voter.truncated,
            disk_bytes: shared.disk_bytes(),
            store_bytes: view.bytes(),
            errors: stopped
                .into_iter()
                .chain(shared.troubles.list())
                .chain(cluster_trouble(&voter))
                .collect(),
        }
    }

    /// The members. Before the cluster is founded, only this one: the others' disks are not settled.
    pub fn members(&self) -> Vec<MemberInfo> {
        let shared = &self.shared;
        let client_urls = shared.client_urls.lock();
        let described = shared.founding.founders().iter().filter_map(|founder| {
            let id = match shared.roster.get() {
                Some(roster) => roster.node(&founder.name)?,
                None => Some(shared.id).filter(|_| founder.name == shared.name)?,
            };
            Some(MemberInfo {
                id,
                name: founder.name.clone(),
                peer_urls: founder.peer_urls.iter().map(ToString::to_string).collect(),
                client_urls: client_urls.get(&founder.name).cloned().unwrap_or_default(),
            })
        });
        described.collect()
    }

    fn name(&self, member: NodeId) -> String {
        let name = self.shared.roster.get().and_then(|roster| roster.name(member));
        name.map_or_else(|| member.to_string(), str::to_owned)
    }

    /// At most `limit` slots of this member's log from `from` on, in order. All slots that are gone from the log are
    /// shown as one, the last of them.
    ///
    /// # Errors
    /// If the member has stopped, or too many requests wait.
    pub async fn slots(&self, from: Slot, limit: usize) -> Result<Vec<SlotInfo>, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.request(Request::Slots { from, limit, reply }).map_err(|full| match full {
            Full::TooMany => ReadError::TooManyRequests,
            Full::Closed => ReadError::Stopped,
        })?;
        let slots = answer.await.map_err(|_| ReadError::Stopped)?;
        let truncated = self.shared.status.lock().truncated;
        let applied = *self.shared.applied.borrow();
        let gone = (from <= truncated && truncated > Slot::ZERO).then(|| SlotInfo {
            slot: truncated,
            operations: Vec::new(),
            ballot: None,
            chosen: true,
            applied: true,
            truncated: true,
        });
        let held = slots.into_iter().filter(|slot| slot.slot > truncated).map(|view| SlotInfo {
            slot: view.slot,
            operations: words::operations(&view.operations, |member| self.name(member)),
            ballot: view.ballot,
            chosen: view.chosen,
            applied: view.slot <= applied,
            truncated: false,
        });
        Ok(gone.into_iter().chain(held).take(limit).collect())
    }
}

/// What stands between this member and others, in words.
fn cluster_trouble(voter: &VoterStatus) -> Vec<String> {
    let founding = (!voter.missing.is_empty()).then(|| words::missing(&voter.missing));
    let strangers = voter.strangers.iter().map(|(name, reason)| format!("{name} {reason}"));
    founding.into_iter().chain(strangers).collect()
}
