//! A whole member: voter, applier, journal and checkpoints, driven as the server drives them.

mod boot;
mod describe;
mod facts;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_journal::{Files, Journal, MemoryDisk};
use synod_member::applier::{Applier, ApplierOutput, ToApplier};
use synod_member::checkpoint::{Checkpoint, LoadedCheckpoint};
use synod_member::checkpoint_files::{Checkpoints, ReceiveError};
use synod_member::identity::directory;
use synod_member::identity::file::Identity;
use synod_member::identity::roster::Roster;
use synod_member::voter::{ReadTicket, Sequence, Voter, VoterOutput};
use synod_member::wire;
use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

use crate::clients::Workload;
use crate::history::Operation;
use crate::program::{
    Boot, BootError, Digest, Effect, Fact, Program, Queue, Reply, RequestId, Standing, WorkId,
};

/// How members are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How long without a happy leader before a member offers itself.
    pub election_timeout: Duration,
    /// How long a request may wait.
    pub request_timeout: Duration,
    /// A checkpoint is due when the journal has grown by so many bytes.
    pub checkpoint_bytes: u64,
    /// A segment of the journal is closed when it has grown to so many bytes.
    pub segment_bytes: u64,
    /// Bytes in one part of a checkpoint on its way to another member.
    pub part_bytes: usize,
    /// Slots kept in the log below a checkpoint.
    pub slots_retained: u64,
}

impl Default for Setup {
    /// Timeouts as in production; checkpoints, segments and parts so small that each run has many.
    fn default() -> Setup {
        Setup {
            election_timeout: Duration::from_millis(500),
            request_timeout: Duration::from_secs(3),
            checkpoint_bytes: 6_000,
            segment_bytes: 3_000,
            part_bytes: 3_000,
            slots_retained: 8,
        }
    }
}

/// Work that waits or is under way.
enum Task {
    Journal { facts: Vec<Fact>, token: Option<Token>, truncate: Option<Slot> },
    Hold(Roster),
    Refuse(String),
    Apply(Applying),
    Checkpoint(Checkpoint),
    Read { to: NodeId, slot: Option<Slot>, offset: u64 },
    Store { slot: Slot, offset: u64, bytes: Bytes },
    Finish { slot: Slot, length: u64 },
    GiveUp,
}

/// What the applier is given.
enum Applying {
    Slot(ToApplier),
    Written(Slot),
    Install(LoadedCheckpoint),
}

/// What the driver hears of finished work.
enum Done {
    Persisted(Token),
    Held(Roster),
    Stopped(String),
    Applied(Vec<ApplierOutput>, Option<Slot>),
    Checkpointed(Slot),
    Part { to: NodeId, slot: Slot, offset: u64, length: u64, bytes: Bytes },
    Received(LoadedCheckpoint),
    Refused,
    Nothing,
}

/// A client's read.
struct Reading {
    request: RequestId,
    key: String,
    /// Until then it waits for its slot, if the voter has not given up before.
    until: Time,
}

/// A member's program.
pub struct Member {
    id: NodeId,
    incarnation: Incarnation,
    /// Where the members are reached, by name.
    addresses: BTreeMap<String, NodeId>,
    files: Files,
    setup: Setup,
    identity: Identity,
    voter: Voter,
    applier: Applier,
    journal: Journal,
    checkpoints: Checkpoints,
    tasks: BTreeMap<WorkId, Task>,
    done: BTreeMap<WorkId, Done>,
    next_work: u64,
    /// The journal's task that was announced and still takes more.
    open_journal: Option<WorkId>,
    writes: BTreeMap<Sequence, RequestId>,
    request_timeout: Duration,
    reads: BTreeMap<ReadTicket, Reading>,
    /// Confirmed reads that wait for a slot.
    ready: Vec<(Slot, Reading)>,
    leads: Option<Ballot>,
    out: VecDeque<Effect>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("voter", &self.voter).finish_non_exhaustive()
    }
}

/// A state is hashed whole in every so manieth slot, and by its revision in the others.
const HASH_EVERY: u64 = 8;

impl Program for Member {
    type Setup = Setup;

    const WORKLOAD: Workload = Workload::KeyValue;

    const NAME: &'static str = "multi";

    const REPLACES_DISKS: bool = true;

    fn boot(setup: &Setup, boot: Boot) -> Result<Member, BootError> {
        boot::boot(setup, boot)
    }

    fn handle_frame(&mut self, now: Time, from: NodeId, frame: Bytes) {
        self.voter.handle_frame(now, &boot::name(from), frame);
    }

    fn handle_request(&mut self, now: Time, request: RequestId, operation: Operation) {
        if let Operation::Get { key } = operation {
            match self.voter.read(now) {
                Ok(ticket) => {
                    let until = now + self.request_timeout * 2;
                    self.reads.insert(ticket, Reading { request, key, until });
                }
                Err(_) => self.reply(request, Reply::Refused),
            }
            return;
        }
        let Some(command) = requests::command(&operation) else { return self.reply(request, Reply::Refused) };
        let command = command.encode();
        match self.voter.write(now, command.clone()) {
            Ok(sequence) => {
                let command = facts::command(self.id, self.incarnation, sequence.0, Some(&command));
                self.out.push_back(Effect::Fact(Fact::Proposable { command }));
                self.writes.insert(sequence, request);
            }
            Err(_) => self.reply(request, Reply::Refused),
        }
    }

    fn work(&mut self, now: Time, work: WorkId) -> Result<Vec<Fact>, String> {
        let task = self.tasks.remove(&work).expect("work is done once");
        let (done, facts) = self.carry_out(now, work, task)?;
        self.done.insert(work, done);
        Ok(facts)
    }

    fn handle_work_done(&mut self, now: Time, work: WorkId) {
        match self.done.remove(&work).expect("work is reported once") {
            Done::Persisted(token) => self.voter.handle_persisted(now, token),
            Done::Held(roster) => self.voter.handle_roster_held(now, roster),
            Done::Stopped(reason) => self.out.push_back(Effect::Stop { reason }),
            Done::Applied(outputs, installed) => {
                for output in outputs {
                    self.handle_applier(now, output);
                }
                if let Some(slot) = installed {
                    self.voter.handle_checkpoint_received(now, slot);
                }
            }
            Done::Checkpointed(slot) => {
                self.start(Queue::Apply, Task::Apply(Applying::Written(slot)));
                self.voter.handle_checkpoint_durable(now, slot);
            }
            Done::Part { to, slot, offset, length, bytes } => {
                self.voter.handle_checkpoint_part(now, to, slot, offset, length, bytes);
            }
            Done::Received(loaded) => self.start(Queue::Apply, Task::Apply(Applying::Install(loaded))),
            Done::Refused => self.voter.handle_checkpoint_refused(now),
            Done::Nothing => {}
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        let reads = self.ready.iter().map(|(_, reading)| reading.until);
        self.voter.next_timeout().into_iter().chain(reads).min()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.voter.handle_timeout(now);
        for (_, Reading { request, .. }) in self.ready.extract_if(.., |(_, reading)| reading.until <= now) {
            self.out.push_back(Effect::Reply { request, reply: Reply::Refused });
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.out.pop_front() {
                return Some(effect);
            }
            if let Some(output) = self.voter.poll_output() {
                self.handle_voter(output);
                continue;
            }
            let leads = self.voter.leader().filter(|ballot| ballot.node == self.id);
            if leads == self.leads {
                return None;
            }
            self.leads = leads;
            self.out.push_back(Effect::Fact(Fact::Leads { ballot: leads }));
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            happy: self.voter.is_happy(),
            applied: self.applier.applied(),
            chosen: self.voter.chosen(),
            queued: self.tasks.len() + self.writes.len() + self.reads.len() + self.ready.len(),
        }
    }

    fn state(&self) -> Digest {
        Digest(self.applier.view().hash())
    }

    fn takes_part(&self) -> bool {
        self.voter.roster().is_some()
    }

    fn tells_rollback(&self, _of: NodeId, disk: &MemoryDisk) -> bool {
        self.knows_better(disk)
    }

    fn request_timeout(setup: &Setup) -> Option<Duration> {
        Some(setup.request_timeout)
    }

    fn election_timeout(setup: &Setup) -> Duration {
        setup.election_timeout
    }

    fn describe(frame: &Bytes) -> String {
        match wire::decode(frame.clone()) {
            Ok((_, message)) => describe::describe(&message),
            Err(error) => format!("garbage ({error})"),
        }
    }
}

impl Member {
    fn reply(&mut self, request: RequestId, reply: Reply) {
        self.out.push_back(Effect::Reply { request, reply });
    }

    /// Where the disk of `node` belongs.
    fn address(&self, node: NodeId) -> Option<NodeId> {
        let name = self.voter.roster()?.name(node)?;
        self.addresses.get(name).copied()
    }

    fn start(&mut self, queue: Queue, task: Task) {
        self.next_work += 1;
        let work = WorkId(self.next_work);
        if matches!(task, Task::Journal { .. }) {
            self.open_journal = Some(work);
        }
        self.tasks.insert(work, task);
        self.out.push_back(Effect::Work { queue, work });
    }

    /// Everything that waits for the journal is written with one sync.
    fn journal_task(&mut self) -> &mut Task {
        let work = match self.open_journal {
            Some(work) => work,
            None => {
                self.start(Queue::Journal, Task::Journal { facts: Vec::new(), token: None, truncate: None });
                WorkId(self.next_work)
            }
        };
        self.tasks.get_mut(&work).expect("an open task waits")
    }

    fn carry_out(&mut self, now: Time, work: WorkId, task: Task) -> Result<(Done, Vec<Fact>), String> {
        let disk = |error: std::io::Error| error.to_string();
        Ok(match task {
            Task::Journal { mut facts, token, truncate } => {
                if self.open_journal == Some(work) {
                    self.open_journal = None;
                }
                self.journal.sync().map_err(|error| error.to_string())?;
                if let Some(slot) = truncate {
                    self.journal.truncate(slot.0).map_err(|error| error.to_string())?;
                    facts.push(Fact::Truncated { slot });
                }
                (token.map_or(Done::Nothing, Done::Persisted), facts)
            }
            Task::Hold(roster) => {
                directory::hold(&self.files, &mut self.identity, boot::TOKEN, roster.clone())
                    .map_err(disk)?;
                let facts = vec![boot::disks(&roster, &self.addresses)];
                (Done::Held(roster), facts)
            }
            Task::Refuse(reason) => {
                directory::refuse(&self.files, &mut self.identity, &reason).map_err(disk)?;
                (Done::Stopped(reason), Vec::new())
            }
            Task::Apply(item) => self.apply(item),
            Task::Checkpoint(checkpoint) => {
                let slot = checkpoint.slot();
                self.checkpoints.write(now, slot, checkpoint.parts()).map_err(disk)?;
                (Done::Checkpointed(slot), vec![Fact::Checkpointed { slot }])
            }
            Task::Read { to, slot, offset } => {
                let part = self.checkpoints.read_part(now, slot, offset).map_err(disk)?;
                let done = part.map_or(Done::Nothing, |part| Done::Part {
                    to,
                    slot: part.slot,
                    offset: part.offset,
                    length: part.length,
                    bytes: part.bytes,
                });
                (done, Vec::new())
            }
            Task::Store { slot, offset, bytes } => {
                self.checkpoints.store_part(slot, offset, &bytes).map_err(disk)?;
                (Done::Nothing, Vec::new())
            }
            Task::GiveUp => {
                self.checkpoints.give_up().map_err(disk)?;
                (Done::Nothing, Vec::new())
            }
            Task::Finish { slot, length } => match self.checkpoints.finish(now, slot, length) {
                Ok(loaded) => (Done::Received(loaded), vec![Fact::Checkpointed { slot }]),
                Err(ReceiveError::Unusable(_)) => (Done::Refused, Vec::new()),
                Err(ReceiveError::Disk(error)) => return Err(error.to_string()),
            },
        })
    }

    fn apply(&mut self, item: Applying) -> (Done, Vec<Fact>) {
        let before = self.applier.applied();
        let installed = match item {
            Applying::Slot(item) => {
                self.applier.handle(item);
                None
            }
            Applying::Written(slot) => {
                self.applier.handle_checkpoint_written(slot);
                None
            }
            Applying::Install(loaded) => {
                let slot = loaded.slot();
                self.applier.install(loaded);
                Some(slot)
            }
        };
        let slot = self.applier.applied();
        let outputs = std::iter::from_fn(|| self.applier.poll_output()).collect();
        let facts = if slot > before { vec![self.applied(installed.is_some())] } else { Vec::new() };
        (Done::Applied(outputs, installed), facts)
    }

    fn applied(&self, installed: bool) -> Fact {
        let (slot, view) = (self.applier.applied(), self.applier.view());
        let state = slot.0.is_multiple_of(HASH_EVERY).then(|| Digest(view.hash()));
        Fact::Applied { slot, state, revision: view.revision(), installed }
    }

    fn handle_applier(&mut self, now: Time, output: ApplierOutput) {
        match output {
            ApplierOutput::Reply { sequence, applied, .. } => {
                if let Some(request) = self.writes.remove(&sequence) {
                    self.reply(request, requests::reply(applied));
                }
            }
            ApplierOutput::ReplyUnknown { sequence } => self.give_up(sequence, Reply::Unknown),
            ApplierOutput::Registered { node, incarnation } => {
                self.voter.handle_registered(now, node, incarnation);
            }
            ApplierOutput::Applied { slot } => {
                self.voter.handle_applied(now, slot);
                self.serve();
            }
            ApplierOutput::WriteCheckpoint(checkpoint) => {
                self.start(Queue::Checkpoint, Task::Checkpoint(checkpoint));
            }
        }
    }

    fn give_up(&mut self, sequence: Sequence, reply: Reply) {
        if let Some(request) = self.writes.remove(&sequence) {
            self.reply(request, reply);
        }
    }

    /// Answers the reads whose slot is applied.
    fn serve(&mut self) {
        let (applied, view) = (self.applier.applied(), self.applier.view());
        let ready: Vec<_> = self.ready.extract_if(.., |(slot, ..)| *slot <= applied).collect();
        for (_, Reading { request, key, .. }) in ready {
            self.reply(request, requests::read(&view, &key));
        }
    }

    fn handle_voter(&mut self, output: VoterOutput) {
        match output {
            VoterOutput::Send { to, frame } => {
                let to = to.iter().filter_map(|node| self.address(*node)).collect();
                self.out.push_back(Effect::Send { to, frame });
            }
            VoterOutput::Introduce { to, frame } => {
                let to = self.addresses.get(&to).into_iter().copied().collect();
                self.out.push_back(Effect::Send { to, frame });
            }
            VoterOutput::Met { .. } => {}
            VoterOutput::HoldRoster(roster) => self.start(Queue::Journal, Task::Hold(roster)),
            VoterOutput::Founded(roster) => {
                self.checkpoints.found(roster.clone());
                self.applier.found(roster);
            }
            VoterOutput::Stop { reason, remember: true } => self.start(Queue::Journal, Task::Refuse(reason)),
            VoterOutput::Stop { reason, remember: false } => self.out.push_back(Effect::Stop { reason }),
            VoterOutput::Persist { token, state, mark, records } => {
                self.journal.append(&state, mark, &records);
                let new = facts::of_batch(&state, &records).expect("a member reads what it wrote");
                if let Task::Journal { facts, token: newest, .. } = self.journal_task() {
                    facts.extend(new);
                    *newest = Some(token);
                }
            }
            VoterOutput::Truncate { through } => {
                if let Task::Journal { truncate, .. } = self.journal_task() {
                    *truncate = Some(truncate.map_or(through, |slot| slot.max(through)));
                }
            }
            VoterOutput::Apply(item) => {
                let (slot, value) = (item.slot(), facts::entry(item.entry()));
                self.out.push_back(Effect::Fact(Fact::Chosen { slot, value }));
                self.start(Queue::Apply, Task::Apply(Applying::Slot(item)));
            }
            VoterOutput::ReadReady { ticket, slot } => {
                if let Some(reading) = self.reads.remove(&ticket) {
                    self.ready.push((slot, reading));
                    self.serve();
                }
            }
            VoterOutput::ReadFailed { ticket, .. } => {
                if let Some(Reading { request, .. }) = self.reads.remove(&ticket) {
                    self.reply(request, Reply::Refused);
                }
            }
            VoterOutput::WriteFailed { sequence, failure } => {
                let reply = if failure.is_refusal() { Reply::Refused } else { Reply::Unknown };
                self.give_up(sequence, reply);
            }
            VoterOutput::ReadCheckpoint { to, slot, offset } => {
                self.start(Queue::Transfer, Task::Read { to, slot, offset });
            }
            VoterOutput::StoreCheckpoint { slot, offset, bytes } => {
                self.start(Queue::Transfer, Task::Store { slot, offset, bytes });
            }
            VoterOutput::FinishCheckpoint { slot, length } => {
                self.start(Queue::Transfer, Task::Finish { slot, length });
            }
            VoterOutput::GiveUpCheckpoint => self.start(Queue::Transfer, Task::GiveUp),
            VoterOutput::Rejected { from, reason } => {
                let from = self.addresses.get(&from).copied().unwrap_or(NodeId(0));
                self.out.push_back(Effect::Fact(Fact::Rejected { from, reason }));
            }
        }
    }
}
