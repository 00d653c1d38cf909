//! The voter's thread: everything that waits goes in, then everything that is to be done comes out. What gathered in
//! between shares slots, disk writes and frames, so batches grow with the load and there is no delay without it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use synod_member::identity::roster::Roster;
use synod_member::voter::{ReadFailure, ReadTicket, Voter, VoterOutput, VoterStatus, WriteFailure};
use synod_paxos::durable::Token;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::applier_loop::ApplierWork;
use crate::checkpoint_loop::TransferWork;
use crate::clock;
use crate::data_dir::DataDir;
use crate::handle::{ReadError, WriteError};
use crate::inbox::{Burst, CheckpointDone, Request};
use crate::journal_loop::JournalWork;
use crate::leader_watch::{LeaderNews, LeaderWatch};
use crate::shared::{Shared, StopReason, Trouble};
use crate::words;
use crate::work_queue::WorkQueue;

/// With more than this on its way to a disk that does not take it, frames are as good as lost.
const JOURNAL_BACKLOG_MAX: u64 = 256 * 1024 * 1024;
/// With more slots than this on their way to the applier, frames are as good as lost.
const APPLIER_BACKLOG_MAX: usize = 20_000;
/// Parts that other members want, at most; they ask again.
const PARTS_WANTED_MAX: usize = 64;
/// A disk that takes longer is reported as trouble.
const DISK_PATIENCE: Duration = Duration::from_secs(2);
/// The voter looks around at least this often.
const IDLE: Duration = Duration::from_secs(1);

/// The queues behind the voter.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Bounded by [`JOURNAL_BACKLOG_MAX`]: with more, the voter hears nothing that makes it write.
    pub(crate) journal: WorkQueue<JournalWork>,
    pub(crate) journal_backlog: AtomicU64,
    /// Bounded by [`APPLIER_BACKLOG_MAX`] in the same way, and by the voter, which then refuses writes.
    pub(crate) applier: WorkQueue<ApplierWork>,
    /// Bounded by [`PARTS_WANTED_MAX`], and by the one part of a checkpoint that the voter asks for at a time.
    pub(crate) transfer: WorkQueue<TransferWork>,
    /// Bounded by the applier: one checkpoint is under way at a time.
    pub(crate) checkpoints: WorkQueue<synod_member::checkpoint::Checkpoint>,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        Queues {
            journal: WorkQueue::new(),
            journal_backlog: AtomicU64::new(0),
            applier: WorkQueue::new(),
            transfer: WorkQueue::new(),
            checkpoints: WorkQueue::new(),
        }
    }

    pub(crate) fn close(&self) {
        self.journal.close();
        self.applier.close();
        self.transfer.close();
        self.checkpoints.close();
    }
}

/// Members by name, each with a reason in words.
type Reasons = Vec<(String, String)>;

/// The voter with what its thread keeps for it.
pub(crate) struct VoterLoop {
    voter: Voter,
    shared: Arc<Shared>,
    queues: Arc<Queues>,
    data_dir: Arc<DataDir>,
    readers: HashMap<ReadTicket, oneshot::Sender<Result<Slot, ReadError>>>,
    /// Peers that something was sent to in this burst.
    touched: Vec<Arc<str>>,
    /// What was last logged of the founding and of peers that are refused.
    told: (Reasons, Reasons),
    /// The newest write, and since when one has been under way without a pause.
    unsynced: Option<(Token, Time)>,
    leader_watch: LeaderWatch,
}

impl VoterLoop {
    pub(crate) fn new(
        voter: Voter,
        shared: Arc<Shared>,
        queues: Arc<Queues>,
        data_dir: Arc<DataDir>,
    ) -> VoterLoop {
        VoterLoop {
            voter,
            shared,
            queues,
            data_dir,
            readers: HashMap::new(),
            touched: Vec::new(),
            told: Default::default(),
            unsynced: None,
            leader_watch: LeaderWatch::new(clock::now()),
        }
    }

    /// Runs until the inbox is closed.
    pub(crate) fn run(mut self) {
        let mut burst = Burst::default();
        self.act();
        loop {
            let patience = self.voter.next_timeout().map_or(IDLE, |at| at.since(clock::now()).min(IDLE));
            self.shared.inbox.take(&mut burst, patience);
            if burst.closed {
                return;
            }
            self.hear(&mut burst);
            self.act();
        }
    }

    /// Gives the voter everything that waited, finished work first: it lets answers go.
    fn hear(&mut self, burst: &mut Burst) {
        let now = clock::now();
        if let Some(token) = burst.persisted {
            self.voter.handle_persisted(now, token);
            self.unsynced =
                self.unsynced.filter(|(newest, _)| *newest > token).map(|(newest, _)| (newest, now));
        }
        for (node, incarnation) in burst.registered.drain(..) {
            self.voter.handle_registered(now, node, incarnation);
        }
        if let Some(slot) = burst.applied {
            self.voter.handle_applied(now, slot);
        }
        for done in burst.checkpoints.drain(..) {
            self.hear_checkpoint(now, done);
        }
        let overloaded = self.overloaded();
        for (from, frame) in burst.frames.drain(..) {
            if !overloaded {
                self.voter.handle_frame(now, &from, frame);
            }
        }
        for request in burst.requests.drain(..) {
            self.hear_request(now, request, overloaded);
        }
        if self.voter.next_timeout().is_some_and(|at| at <= now) {
            self.voter.handle_timeout(now);
        }
        self.watch_disk(now);
    }

    fn hear_checkpoint(&mut self, now: Time, done: CheckpointDone) {
        match done {
            CheckpointDone::Durable(slot) => self.voter.handle_checkpoint_durable(now, slot),
            CheckpointDone::Received(slot) => self.voter.handle_checkpoint_received(now, slot),
            CheckpointDone::Refused => self.voter.handle_checkpoint_refused(now),
            CheckpointDone::Part { to, slot, offset, length, bytes } => {
                self.voter.handle_checkpoint_part(now, to, slot, offset, length, bytes);
            }
        }
    }

    fn hear_request(&mut self, now: Time, request: Request, overloaded: bool) {
        // Each answer fails to arrive only if its client went away.
        match request {
            Request::Write { reply, .. } if overloaded => {
                let _ = reply.send(Err(WriteError::TooManyRequests));
            }
            Request::Write { command, reply } => match self.voter.write(now, command) {
                Ok(sequence) => self.shared.waiters.register(sequence, reply),
                Err(failure) => {
                    let _ = reply.send(Err(write_error(failure)));
                }
            },
            Request::Read { reply } => match self.voter.read(now) {
                Ok(ticket) => {
                    self.readers.insert(ticket, reply);
                }
                Err(failure) => {
                    let _ = reply.send(Err(self.read_error(failure)));
                }
            },
            Request::Slots { from, limit, reply } => {
                let _ = reply.send(self.voter.slots(from, limit));
            }
        }
    }

    fn overloaded(&self) -> bool {
        self.queues.journal_backlog.load(Ordering::Relaxed) > JOURNAL_BACKLOG_MAX
            || self.queues.applier.len() > APPLIER_BACKLOG_MAX
    }

    /// Tells the operator of a disk that hangs.
    fn watch_disk(&self, now: Time) {
        let slow = self.unsynced.map(|(_, since)| now.since(since)).filter(|age| *age >= DISK_PATIENCE);
        let trouble = slow.map(|age| format!("the disk has not finished a write for {} s", age.as_secs()));
        self.shared.troubles.set(Trouble::SlowDisk, trouble);
    }

    /// Does everything the voter wants done.
    fn act(&mut self) {
        while let Some(output) = self.voter.poll_output() {
            self.carry_out(output);
        }
        for peer in self.touched.drain(..) {
            self.shared.peers.flush(&peer);
        }
        let status = self.voter.status();
        self.tell_of_cluster(&status);
        self.watch_leader(status.leader.map(|ballot| ballot.node));
        if let Some(ballot) = status.leader {
            self.shared.round.fetch_max(ballot.round, Ordering::Relaxed);
        }
        *self.shared.status.lock() = status;
    }

    /// Logs what the founding waits for, and the peers that are refused, whenever that changes.
    fn tell_of_cluster(&mut self, status: &VoterStatus) {
        if (&status.missing, &status.strangers) == (&self.told.0, &self.told.1) {
            return;
        }
        if status.missing != self.told.0 && !status.missing.is_empty() {
            info!("{}", words::missing(&status.missing));
        }
        let news = status.strangers.iter().filter(|stranger| !self.told.1.contains(stranger));
        for (name, reason) in news {
            warn!(peer = name, "{name} {reason}");
        }
        self.told = (status.missing.clone(), status.strangers.clone());
    }

    /// Written here and now: nothing is voted before a roster is held, nor after a refusal.
    fn hold(&mut self, roster: Roster) {
        match self.data_dir.hold(roster.clone()) {
            Ok(()) => {
                let names: Vec<&str> = roster.members().keys().map(String::as_str).collect();
                info!(cluster = %roster.cluster(), members = names.join(","), "the cluster is founded");
                self.voter.handle_roster_held(clock::now(), roster);
            }
            Err(error) => self.shared.fail(StopReason::Disk(error.to_string())),
        }
    }

    fn found(&self, roster: Roster) {
        self.data_dir.checkpoints().found(roster.clone());
        self.queues.applier.push(ApplierWork::Found(roster.clone()));
        self.shared.roster.get_or_init(|| roster);
    }

    fn stop(&self, reason: String, remember: bool) {
        if remember && let Err(error) = self.data_dir.refuse(&reason) {
            return self.shared.fail(StopReason::Disk(error.to_string()));
        }
        self.shared.fail(StopReason::Refused(reason));
    }

    fn watch_leader(&mut self, leader: Option<NodeId>) {
        let roster = self.shared.roster.get();
        let name = |node| {
            let name = roster.and_then(|roster| roster.name(node));
            name.map_or_else(|| node.to_string(), str::to_owned)
        };
        match self.leader_watch.look(clock::now(), leader, name) {
            Some(LeaderNews::Leads(line)) => info!("{line}"),
            Some(LeaderNews::Missing(line)) => warn!("{line}"),
            None => {}
        }
    }

    fn carry_out(&mut self, output: VoterOutput) {
        match output {
            VoterOutput::Send { to, frame } => self.send(&to, &frame),
            VoterOutput::Introduce { to, frame } => self.send_to(&to, frame),
            VoterOutput::Met { name, client_urls } => {
                self.shared.client_urls.lock().insert(name, client_urls);
            }
            VoterOutput::HoldRoster(roster) => self.hold(roster),
            VoterOutput::Founded(roster) => self.found(roster),
            VoterOutput::Stop { reason, remember } => self.stop(reason, remember),
            VoterOutput::Persist { token, state, mark, records } => {
                self.persist(token, JournalWork::Persist { token, state, mark, records });
            }
            VoterOutput::Apply(item) => self.queues.applier.push(ApplierWork::Apply(item)),
            VoterOutput::ReadReady { ticket, slot } => self.answer_read(ticket, Ok(slot)),
            VoterOutput::ReadFailed { ticket, failure } => {
                let error = self.read_error(failure);
                self.answer_read(ticket, Err(error));
            }
            VoterOutput::WriteFailed { sequence, failure } => {
                self.shared.waiters.answer(sequence, Err(write_error(failure)));
            }
            VoterOutput::ReadCheckpoint { to, slot, offset } => {
                let wanted = TransferWork::Read { to, slot, offset };
                self.queues.transfer.push_below(wanted, PARTS_WANTED_MAX);
            }
            VoterOutput::StoreCheckpoint { slot, offset, bytes } => {
                self.queues.transfer.push(TransferWork::Store { slot, offset, bytes });
            }
            VoterOutput::FinishCheckpoint { slot, length } => {
                self.queues.transfer.push(TransferWork::Finish { slot, length });
            }
            VoterOutput::GiveUpCheckpoint => self.queues.transfer.push(TransferWork::GiveUp),
            VoterOutput::Truncate { through } => self.queues.journal.push(JournalWork::Truncate { through }),
            VoterOutput::Rejected { from, reason } => self.shared.peers.rejected(&from, &reason),
        }
    }

    fn send(&mut self, to: &[NodeId], frame: &Bytes) {
        let shared = self.shared.clone();
        let Some(roster) = shared.roster.get() else { return };
        for name in to.iter().filter_map(|node| roster.name(*node)) {
            self.send_to(name, frame.clone());
        }
    }

    fn send_to(&mut self, name: &str, frame: Bytes) {
        self.shared.peers.send(name, frame);
        if !self.touched.iter().any(|touched| **touched == *name) {
            self.touched.push(name.into());
        }
    }

    fn persist(&mut self, token: Token, work: JournalWork) {
        let since = self.unsynced.map_or_else(clock::now, |(_, since)| since);
        self.unsynced = Some((token, since));
        self.queues.journal_backlog.fetch_add(work.bytes(), Ordering::Relaxed);
        self.queues.journal.push(work);
    }

    fn answer_read(&mut self, ticket: ReadTicket, answer: Result<Slot, ReadError>) {
        if let Some(reader) = self.readers.remove(&ticket) {
            // Fails only if the client went away.
            let _ = reader.send(answer);
        }
    }

    fn read_error(&self, failure: ReadFailure) -> ReadError {
        match failure {
            ReadFailure::TooManyRequests => ReadError::TooManyRequests,
            ReadFailure::TimedOut if self.voter.leader().is_none() => ReadError::NoLeader,
            ReadFailure::TimedOut => ReadError::TimedOut,
        }
    }
}

fn write_error(failure: WriteFailure) -> WriteError {
    match failure {
        WriteFailure::TooManyRequests => WriteError::TooManyRequests,
        WriteFailure::TooLarge => WriteError::TooLarge,
        WriteFailure::NotOffered => WriteError::NoLeader,
        WriteFailure::TimedOut => WriteError::TimedOut,
    }
}
