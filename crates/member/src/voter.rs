//! The half of a member that votes.

mod output;
mod start;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::config::ConfigId;
use synod_paxos::durable::Token;
use synod_paxos::multi::core::Output;
use synod_paxos::multi::leader::Window;
use synod_paxos::multi::reads::Ticket;
use synod_paxos::multi::record::{Record, Recovered};
use synod_paxos::multi::replica::{Options, Replica};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};
use synod_store::request::Command;

use crate::applier::ToApplier;
use crate::identity::roster::Roster;
use crate::introduction::{Action, Introductions};
use crate::outstanding::Outstanding;
use crate::record;
use crate::submission::{Body, Submission};
use crate::transfer::{Progress, Transfer};
use crate::wire::{self, Header, PeerMessage};

pub use output::{
    Operation, ReadFailure, ReadTicket, Sequence, SlotView, VoterOutput, VoterStatus, WriteFailure,
};
pub use start::{RecoveredVoter, StartError, VoterConfig};

/// Chosen slots that the applier may lag behind before new writes are refused.
const APPLIER_LAG_MAX: u64 = 5_000;

/// How many slots below a checkpoint a member usually keeps.
pub const SLOTS_RETAINED: u64 = 256;

/// Reads that may wait at once.
const READS_MAX: usize = 20_000;

/// Forwarded commands that may wait for a slot at the leader.
const QUEUE_MAX: usize = 100_000;

/// The protocol replica of a member, its clients' requests in flight, and what it sends and stores.
pub struct Voter {
    config: VoterConfig,
    header: Header,
    now: Time,
    introductions: Introductions,
    /// When peers are asked next who they are, unless all are known.
    introduce_at: Time,
    /// Whether all introductions were complete when the last output was taken.
    introduced: bool,
    /// None before the cluster is founded.
    replica: Option<Replica<Submission>>,
    /// How many protocol records were given to the disk, ever, and how many of them at which write.
    written: u64,
    writing: VecDeque<(Token, u64)>,
    outstanding: Outstanding,
    reads: BTreeMap<ReadTicket, Time>,
    last_ticket: u64,
    applied: Slot,
    handed_over: Slot,
    transfer: Option<Transfer>,
    /// Members whose checkpoint could not be used.
    refused_sources: Vec<NodeId>,
    out: VecDeque<VoterOutput>,
}

impl Voter {
    /// A voter that remembers what the disk held.
    ///
    /// # Errors
    /// If the journal's contents cannot be used.
    pub fn new(mut config: VoterConfig, recovered: RecoveredVoter, now: Time) -> Result<Voter, StartError> {
        let decode =
            |(index, bytes)| record::decode(bytes).map_err(|error| StartError::Record { index, error });
        let records: Vec<_> =
            recovered.records.into_iter().enumerate().map(decode).collect::<Result<_, _>>()?;
        let state = recovered.state.map(record::decode_state).transpose().map_err(StartError::State)?;
        let (state, stated) = state.map_or((None, 0), |(state, written)| (Some(state), written));
        let written = if mutant!(RecordsCountedAfresh) { records.len() as u64 } else { stated };
        if config.roster.is_none() && (state.is_some() || !records.is_empty()) {
            return Err(StartError::NoRoster);
        }
        config.me.recovered = written;
        let header = Header {
            cluster: config.me.cluster,
            config: ConfigId::FIRST,
            from: config.me.node,
            incarnation: config.me.incarnation(),
            written,
        };
        let mut introductions =
            Introductions::new(config.me.clone(), config.names.clone(), config.roster.clone());
        for (node, incarnation) in recovered.registered.into_iter().chain(registrations(&records)) {
            introductions.handle_registered(node, incarnation);
        }
        let checkpoint = recovered.checkpoint;
        let replica = match &config.roster {
            Some(roster) => {
                Some(start_replica(&config, roster, Recovered { state, checkpoint, records }, now)?)
            }
            None => None,
        };
        Ok(Voter {
            outstanding: Outstanding::new(header.from, header.incarnation, now),
            config,
            header,
            now,
            introductions,
            introduce_at: now,
            introduced: false,
            replica,
            written,
            writing: VecDeque::new(),
            reads: BTreeMap::new(),
            last_ticket: 0,
            applied: checkpoint,
            handed_over: checkpoint,
            transfer: None,
            refused_sources: Vec::new(),
            out: VecDeque::new(),
        })
    }

    /// A frame arrived from the address of the member called `name`. Garbage is answered with a `Rejected` output and
    /// otherwise ignored.
    pub fn handle_frame(&mut self, now: Time, name: &str, frame: Bytes) {
        self.now = now;
        if let Err(reason) = self.try_frame(name, frame) {
            self.out.push_back(VoterOutput::Rejected { from: name.to_owned(), reason });
        }
    }

    fn try_frame(&mut self, name: &str, frame: Bytes) -> Result<(), String> {
        let (header, message) =
            wire::decode(frame).map_err(|error| format!("a frame cannot be read: {error}"))?;
        let (from, speaker) = (header.from, header.speaker());
        if let PeerMessage::Hello(hello) = message {
            return self.introductions.handle_hello(name, speaker, *hello);
        }
        if !self.introductions.admits(name, &speaker) {
            mark!(FrameOfStrangerDropped);
            self.introductions.handle_unknown(name, &speaker);
            return Ok(());
        }
        if header.config != self.header.config {
            return Err(format!("its frame belongs to configuration {}", header.config));
        }
        self.introductions.handle_told(from, header.incarnation, header.written);
        let Some(replica) = &mut self.replica else { return Ok(()) };
        match message {
            PeerMessage::Hello(_) => unreachable!("taken above"),
            PeerMessage::Protocol(message) => {
                let name = message.name();
                let handled = replica.handle_message(self.now, from, message);
                handled.map_err(|rejection| format!("its {name} is refused: {rejection}"))?;
            }
            PeerMessage::Forward(submissions) => {
                let stranger = submissions.iter().find(|submission| submission.origin != from);
                check_forwarded(&submissions, stranger)?;
                match replica.core().leader_for(from) {
                    Some(leader) => self.send(vec![leader], &PeerMessage::Relay(submissions)),
                    None => submissions.into_iter().for_each(|submission| self.propose(submission)),
                }
            }
            PeerMessage::Relay(submissions) => {
                let members = replica.core().membership();
                let stranger = submissions.iter().find(|submission| !members.contains(submission.origin));
                check_forwarded(&submissions, stranger)?;
                submissions.into_iter().for_each(|submission| self.propose(submission));
            }
            PeerMessage::WantCheckpoint { slot, offset } => {
                self.out.push_back(VoterOutput::ReadCheckpoint { to: from, slot, offset });
            }
            PeerMessage::CheckpointPart { slot, offset, length, bytes } => {
                self.handle_part(from, slot, offset, length, bytes);
            }
        }
        Ok(())
    }

    /// The founding roster that a `HoldRoster` named is durable: the cluster is founded, as far as this member is
    /// concerned.
    ///
    /// # Panics
    /// If no roster was to be made durable.
    pub fn handle_roster_held(&mut self, now: Time, roster: Roster) {
        self.now = now;
        let replica = start_replica(&self.config, &roster, Recovered::nothing(), now);
        let mut replica = replica.expect("nothing was recovered that could belong to another configuration");
        // Reads that came before wait for a leader from now on.
        for ticket in self.reads.keys() {
            replica.read(Ticket(ticket.0));
        }
        self.replica = Some(replica);
        self.introductions.handle_held(roster.clone());
        self.out.push_back(VoterOutput::Founded(roster));
    }

    /// The applier says that the log registered this start of `node`.
    pub fn handle_registered(&mut self, now: Time, node: NodeId, incarnation: Incarnation) {
        self.now = now;
        self.introductions.handle_registered(node, incarnation);
    }

    /// The founding roster, once this disk holds it.
    pub fn roster(&self) -> Option<&Roster> {
        self.introductions.roster()
    }

    /// What this process knows of the others.
    pub fn introductions(&self) -> &Introductions {
        &self.introductions
    }

    /// The driver's disk has every write up to `token`.
    pub fn handle_persisted(&mut self, now: Time, token: Token) {
        self.now = now;
        while let Some((_, written)) = self.writing.pop_front_if(|(written, _)| *written <= token) {
            self.header.written = written;
        }
        if let Some(replica) = &mut self.replica {
            replica.handle_persisted(now, token);
        }
    }

    /// When to call `handle_timeout` next, at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        let write = self.outstanding.next_timeout(self.config.request_timeout);
        let read = self.reads.values().next().copied();
        let transfer = self.transfer.as_ref().and_then(Transfer::deadline);
        let replica = self.replica.as_ref().map(Replica::next_timeout);
        let introduce = (!self.introduced).then_some(self.introduce_at);
        // The simulator asks for this after every event, and a chain of optional values is slow.
        [introduce, write, read, transfer].into_iter().fold(replica, earlier)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        if let Some(replica) = self.replica.as_mut().filter(|replica| replica.next_timeout() <= now) {
            replica.handle_timeout(now);
        }
        if self.introduce_at <= now {
            self.introduce_at = now + self.config.heartbeat_interval;
            self.introductions.ask();
        }
        for (sequence, failure) in self.outstanding.expire(now, self.config.request_timeout) {
            self.out.push_back(VoterOutput::WriteFailed { sequence, failure });
        }
        // Tickets grow with time, so the first is always the oldest.
        while let Some((ticket, deadline)) =
            self.reads.first_key_value().map(|(ticket, time)| (*ticket, *time))
        {
            if deadline > now {
                break;
            }
            self.reads.remove(&ticket);
            if let Some(replica) = &mut self.replica {
                replica.forget_read(Ticket(ticket.0));
            }
            self.out.push_back(VoterOutput::ReadFailed { ticket, failure: ReadFailure::TimedOut });
        }
        if self.transfer.as_ref().and_then(Transfer::deadline).is_some_and(|deadline| deadline <= now) {
            self.ask_for_part_again();
        }
    }

    /// A client's write: an encoded command of the store. The applier replies under the sequence returned.
    ///
    /// # Errors
    /// If it is not taken; then it certainly does not happen.
    pub fn write(&mut self, now: Time, command: Bytes) -> Result<Sequence, WriteFailure> {
        self.now = now;
        if self.chosen().0 > self.applied.0 + APPLIER_LAG_MAX {
            mark!(WriteRefusedUnderLoad);
            return Err(WriteFailure::TooManyRequests);
        }
        self.outstanding.submit(now, command)
    }

    /// A client's linearizable read: `ReadReady` or `ReadFailed` follows.
    ///
    /// # Errors
    /// If too many wait.
    pub fn read(&mut self, now: Time) -> Result<ReadTicket, ReadFailure> {
        self.now = now;
        if self.reads.len() >= READS_MAX {
            return Err(ReadFailure::TooManyRequests);
        }
        self.last_ticket += 1;
        let ticket = ReadTicket(self.last_ticket);
        self.reads.insert(ticket, now + self.config.request_timeout);
        if let Some(replica) = &mut self.replica {
            replica.read(Ticket(ticket.0));
        }
        Ok(ticket)
    }

    /// The applier has applied everything up to `slot`.
    pub fn handle_applied(&mut self, now: Time, slot: Slot) {
        self.now = now;
        self.applied = self.applied.max(slot);
        if let Some(replica) = &mut self.replica {
            replica.handle_applied(slot);
        }
    }

    /// A checkpoint of this member through `slot` is durable: the log below can go.
    pub fn handle_checkpoint_durable(&mut self, now: Time, slot: Slot) {
        self.now = now;
        let slot = if mutant!(TruncatedBeyondCheckpoint) { self.applied } else { slot };
        let through = Slot(slot.0.saturating_sub(self.config.slots_retained));
        let Some(replica) = &mut self.replica else { return };
        if through > replica.core().learner().truncated() {
            replica.truncate(through);
            self.out.push_back(VoterOutput::Truncate { through });
        }
    }

    /// The driver read what a `ReadCheckpoint` asked for. `length` is the size of the whole checkpoint.
    pub fn handle_checkpoint_part(
        &mut self,
        now: Time,
        to: NodeId,
        slot: Slot,
        offset: u64,
        length: u64,
        bytes: Bytes,
    ) {
        self.now = now;
        self.send(vec![to], &PeerMessage::CheckpointPart { slot, offset, length, bytes });
    }

    /// A checkpoint from another member is durable here and loaded into the applier.
    pub fn handle_checkpoint_received(&mut self, now: Time, slot: Slot) {
        self.now = now;
        self.transfer = None;
        self.refused_sources.clear();
        if self.replica.as_mut().is_some_and(|replica| replica.install(slot)) {
            self.applied = self.applied.max(slot);
            self.handed_over = self.handed_over.max(slot);
            self.out.push_back(VoterOutput::Truncate { through: slot });
        }
    }

    /// A checkpoint from another member could not be stored or read: it is asked for afresh when needed, and of
    /// somebody else.
    pub fn handle_checkpoint_refused(&mut self, now: Time) {
        mark!(CheckpointRefused);
        self.now = now;
        if let Some(transfer) = self.transfer.take().filter(|_| !mutant!(RottenSourceAskedAgain)) {
            self.refused_sources.push(transfer.source);
        }
    }

    /// How this voter stands.
    pub fn status(&self) -> VoterStatus {
        let replica = self.replica.as_ref();
        VoterStatus {
            leader: self.leader(),
            happy: self.is_happy(),
            chosen: self.chosen(),
            truncated: replica.map_or(Slot::ZERO, |replica| replica.core().learner().truncated()),
            missing: self.introductions.missing(),
            strangers: if replica.is_some() { self.introductions.strangers() } else { Vec::new() },
        }
    }

    /// The ballot whose leader this member follows, its own if it leads.
    pub fn leader(&self) -> Option<Ballot> {
        self.replica.as_ref().and_then(|replica| replica.leads().or(replica.leader()))
    }

    /// Whether progress is possible, as far as this member can see.
    pub fn is_happy(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::is_happy)
    }

    /// The last slot of the chosen prefix.
    pub fn chosen(&self) -> Slot {
        self.replica.as_ref().map_or(Slot::ZERO, |replica| replica.core().learner().through())
    }

    /// At most `limit` slots that are still held, from `from` on.
    pub fn slots(&self, from: Slot, limit: usize) -> Vec<SlotView> {
        let Some(core) = self.replica.as_ref().map(Replica::core) else { return Vec::new() };
        let mut slot = from.max(core.learner().truncated().next());
        let last = core.learner().through().max(core.acceptor().highest_voted());
        let mut views = Vec::new();
        while slot <= last && views.len() < limit {
            let vote = core.acceptor().vote(slot);
            let entry = core.learner().chosen(slot).or(vote.map(|vote| &vote.value));
            if let Some(entry) = entry {
                let operations = entry.commands().iter().map(|submission| match &submission.body {
                    Body::Store(command) => Operation::Store(command.clone()),
                    Body::Register => Operation::Register(submission.origin, submission.incarnation),
                });
                views.push(SlotView {
                    slot,
                    operations: operations.collect(),
                    ballot: vote.map(|vote| vote.ballot),
                    chosen: core.learner().is_chosen(slot),
                });
            }
            slot = slot.next();
        }
        views
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, or after a burst
    /// of them: what gathers in between shares slots, writes and rounds.
    pub fn poll_output(&mut self) -> Option<VoterOutput> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        while let Some(action) = self.introductions.poll_action() {
            self.introduce(action);
        }
        self.introduced = self.introductions.is_complete();
        self.offer();
        while self.out.is_empty() {
            let output = self.replica.as_mut()?.poll_output(self.now)?;
            self.translate(output);
        }
        self.out.pop_front()
    }

    fn introduce(&mut self, action: Action) {
        self.out.push_back(match action {
            Action::Send { to, hello } => {
                let frame = wire::encode(self.header, &PeerMessage::Hello(hello));
                VoterOutput::Introduce { to, frame }
            }
            Action::Met { name, client_urls } => VoterOutput::Met { name, client_urls },
            Action::Hold(roster) => VoterOutput::HoldRoster(roster),
            Action::Refused(reason) => VoterOutput::Stop { reason, remember: true },
            Action::End(reason) => VoterOutput::Stop { reason, remember: false },
        });
    }

    fn translate(&mut self, output: Output<Submission>) {
        match output {
            Output::Send { to, message } => self.send(to, &PeerMessage::Protocol(message)),
            Output::Persist { token, state, records } => {
                let mark = record::mark(&records).0;
                self.written += 1 + records.len() as u64;
                self.writing.push_back((token, self.written));
                let state = record::encode_state(&state, self.written);
                let records = records.iter().map(record::encode).collect();
                self.out.push_back(VoterOutput::Persist { token, state, mark, records });
            }
            Output::Chosen { slot, entry } => {
                for submission in entry.commands() {
                    self.outstanding.settle(submission);
                }
                self.handed_over = slot;
                self.out.push_back(VoterOutput::Apply(ToApplier::new(slot, entry)));
            }
            Output::ReadReady { ticket, slot } => {
                let ticket = ReadTicket(ticket.0);
                if self.reads.remove(&ticket).is_some() {
                    let slot = if mutant!(ReadNotWaitingForApply) { Slot::ZERO } else { slot };
                    self.out.push_back(VoterOutput::ReadReady { ticket, slot });
                }
            }
            Output::CheckpointNeeded { from, .. } => {
                let source = self.checkpoint_source(from);
                let better = |transfer: &Transfer| transfer.is_silent() && transfer.source != source;
                if self.transfer.as_ref().is_none_or(better) {
                    self.give_up_transfer();
                    self.transfer = Some(Transfer::start(source, self.now));
                    self.ask_for_part();
                }
            }
        }
    }

    /// Sends to those of `to` that hold the roster and may take part.
    fn send(&mut self, mut to: Vec<NodeId>, message: &PeerMessage) {
        to.retain(|node| self.introductions.welcomes(*node));
        if !to.is_empty() {
            let frame = wire::encode(self.header, message);
            self.out.push_back(VoterOutput::Send { to, frame });
        }
    }

    // ---- writes -----------------------------------------------------------------------------------

    fn offer(&mut self) {
        let Some(replica) = &self.replica else { return };
        let own = replica.core().leadership().map(|leader| leader.ballot());
        let Some(ballot) = own.or(replica.leader()) else { return };
        let offered = self.outstanding.offer(self.now, ballot);
        if offered.is_empty() {
            return;
        }
        if own.is_some() {
            for submission in offered {
                self.propose(submission);
            }
        } else if ballot.node != self.header.from {
            let way = replica.core().election().way_to(ballot);
            self.send(vec![way], &PeerMessage::Forward(offered));
        }
    }

    /// Gives a command to this node's leader, if it has one. Otherwise, or if too much waits, it is
    /// dropped: its origin offers it again.
    fn propose(&mut self, submission: Submission) {
        let Some(replica) = &mut self.replica else { return };
        let queued = replica.core().leadership().map_or(0, |leader| leader.queued());
        if queued < QUEUE_MAX {
            drop(replica.propose(submission));
        }
    }

    // ---- checkpoints ------------------------------------------------------------------------------

    fn handle_part(&mut self, from: NodeId, slot: Slot, offset: u64, length: u64, bytes: Bytes) {
        if slot <= self.handed_over {
            self.give_up_transfer();
            return;
        }
        let Some(transfer) = &mut self.transfer else { return };
        let progress = transfer.handle_part(self.now, from, slot, offset, length, &bytes);
        let length = transfer.length();
        if progress == Progress::Ignored {
            return;
        }
        self.out.push_back(VoterOutput::StoreCheckpoint { slot, offset, bytes });
        if progress == Progress::Complete {
            self.out.push_back(VoterOutput::FinishCheckpoint { slot, length });
        } else {
            self.ask_for_part();
        }
    }

    /// Whom to ask for a checkpoint that `offered` says it has: another one if what came from it was no good. Its
    /// disk may have rotted, and it would send the same again.
    fn checkpoint_source(&mut self, offered: NodeId) -> NodeId {
        let others = |node: &&NodeId| **node != self.header.from && !self.refused_sources.contains(node);
        if !self.refused_sources.contains(&offered) {
            return offered;
        }
        let members = self.roster().map(Roster::nodes).unwrap_or_default();
        match members.iter().find(others) {
            Some(other) => *other,
            None => {
                self.refused_sources.clear();
                offered
            }
        }
    }

    fn ask_for_part(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        let (source, (slot, offset)) = (transfer.source, transfer.wanted());
        self.send(vec![source], &PeerMessage::WantCheckpoint { slot, offset });
    }

    fn ask_for_part_again(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        if transfer.try_again(self.now) {
            self.ask_for_part();
        } else {
            mark!(TransferGivenUp);
            self.give_up_transfer();
        }
    }

    /// What of it is on disk goes: nobody would miss it, and the next transfer begins anew.
    fn give_up_transfer(&mut self) {
        if self.transfer.take().is_some_and(|transfer| transfer.has_begun()) {
            self.out.push_back(VoterOutput::GiveUpCheckpoint);
        }
    }
}

impl std::fmt::Debug for Voter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voter").field("id", &self.header.from).field("status", &self.status()).finish()
    }
}

/// The protocol replica of a member of `roster`.
fn start_replica(
    config: &VoterConfig,
    roster: &Roster,
    recovered: Recovered<Submission>,
    now: Time,
) -> Result<Replica<Submission>, StartError> {
    let membership = roster.membership();
    if let Some(state) = recovered.state.filter(|state| state.config != membership.config()) {
        return Err(StartError::Config { found: state.config, expected: membership.config() });
    }
    let options = Options {
        heartbeat_interval: config.heartbeat_interval,
        election_timeout: config.election_timeout,
        stall_limit: config.election_timeout * 4,
        window: Window::default(),
        seed: config.seed,
    };
    Ok(Replica::new(config.me.node, config.me.incarnation(), membership, options, recovered, now))
}

/// The starts that registered themselves in these records. Only the process of such a start submits its registration, so a
/// vote for it is as good a proof that the start was, as that it was chosen.
fn registrations(records: &[Record<Submission>]) -> Vec<(NodeId, Incarnation)> {
    let entries = records.iter().filter_map(|record| match record {
        Record::Vote { entry, .. } | Record::Chosen { entry, .. } => Some(entry),
        Record::Commit { .. } => None,
    });
    let submissions = entries.flat_map(|entry| entry.commands());
    let registrations = submissions.filter(|submission| submission.body == Body::Register);
    registrations.map(|submission| (submission.origin, submission.incarnation)).collect()
}

/// Once chosen it would have to be applied everywhere: nothing unreadable gets that far.
fn check_forwarded(submissions: &[Submission], stranger: Option<&Submission>) -> Result<(), String> {
    if let Some(submission) = stranger {
        return Err(format!("it forwards a command of {}", submission.origin));
    }
    for submission in submissions {
        if let Body::Store(command) = &submission.body {
            let decoded = Command::decode(command.clone());
            decoded.map_err(|error| format!("it forwards what is no command: {error}"))?;
        }
    }
    Ok(())
}

fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
