//! The textbook store, replicated by any protocol: the host that ships, on simulated disks.

mod hosted;
pub mod watched;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_journal::Files;
use synod_paxos::ballot::Ballot;
use synod_paxos::config::ClusterId;
use synod_paxos::time::Time;
use synod_replica::home::{Home, HomeError, Owner};
use synod_replica::host::{Config, Host, Outcome, Output, Request, Write};
use synod_replica::snapshot::{self, Snapshot};
use synod_replica::submission::Submission;
use synod_replica::textbook::{Command, Reply as StoreReply};
use synod_replica::wire::{Frame, decode};

pub use hosted::Hosted;
use watched::Watched;

use crate::clients::Workload;
use crate::history::{Answer, Operation};
use crate::program::{
    Boot, BootError, Digest, Effect, Fact, Program, Queue, Reply, RequestId, Standing, WorkId,
};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

const CLUSTER: ClusterId = ClusterId(0x51d);

/// How replicas are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How long a protocol waits in vain before it does something about it.
    pub patience: Duration,
    /// How long a request may wait.
    pub request_timeout: Duration,
    /// A snapshot is due when so many bytes of records were written.
    pub snapshot_bytes: u64,
    /// A segment of the journal is closed when it has grown to so many bytes.
    pub segment_bytes: u64,
    /// Bytes in one part of a snapshot on its way to another replica.
    pub part_bytes: usize,
}

impl Default for Setup {
    /// Timeouts as in production; snapshots, segments and parts so small that each run has many.
    fn default() -> Setup {
        Setup {
            patience: Duration::from_millis(500),
            request_timeout: Duration::from_secs(3),
            snapshot_bytes: 6_000,
            segment_bytes: 3_000,
            part_bytes: 3_000,
        }
    }
}

/// Work that waits or is under way.
#[derive(Debug)]
enum Task {
    /// One sync for everything that waits.
    Journal {
        facts: Vec<Fact>,
        write: Option<Write>,
        truncate: Option<u64>,
    },
    Snapshot {
        generation: u64,
        bytes: Bytes,
    },
}

/// What the driver hears of finished work.
#[derive(Debug)]
enum Done {
    Persisted(Write),
    Snapshot,
    Nothing,
}

/// A replica's program.
#[derive(Debug)]
pub struct Replicated<P: Hosted> {
    host: Host<P, Watched>,
    home: Home,
    tasks: BTreeMap<WorkId, Task>,
    done: BTreeMap<WorkId, Done>,
    next_work: u64,
    /// The journal's task that was announced and still takes more.
    open_journal: Option<WorkId>,
    leads: Option<Ballot>,
    /// What was last told of the protocol's position.
    position: P::Position,
    /// Commands of clients that are not known to be committed, where that is told.
    undecided: BTreeMap<RequestId, P::Command>,
    out: VecDeque<Effect>,
}

impl<P: Hosted> Program for Replicated<P> {
    type Setup = Setup;

    const BEARS_PARTIAL_LINKS: bool = P::BEARS_PARTIAL_LINKS;

    const WORKLOAD: Workload = Workload::Textbook;

    const NAME: &'static str = P::PROGRAM;

    fn setup(seed: u64) -> Setup {
        P::setup(seed)
    }

    fn boot(setup: &Setup, boot: Boot) -> Result<Replicated<P>, BootError> {
        let owner = Owner { cluster: CLUSTER, node: boot.id, protocol: P::NAME };
        let files = Files::Memory(boot.disk);
        let (home, memory) = Home::open(&files, owner, setup.segment_bytes).map_err(|error| match error {
            HomeError::Disk(reason) => BootError::Disk(reason),
            HomeError::Refused(reason) => BootError::Refused(reason),
        })?;
        let refused = |error: &dyn std::fmt::Display| BootError::Refused(error.to_string());
        let remembered =
            remembered::<P>(memory.snapshot.as_ref(), &memory.records).map_err(|error| refused(&error))?;
        let config = Config {
            nodes: boot.nodes,
            patience: setup.patience,
            request_timeout: setup.request_timeout,
            snapshot_bytes: setup.snapshot_bytes,
            part_bytes: setup.part_bytes,
        };
        let host: Host<P, Watched> =
            Host::start(config, boot.id, memory, boot.seed, boot.now).map_err(|error| refused(&error))?;
        Ok(Replicated {
            position: host.protocol().position(),
            host,
            home,
            tasks: BTreeMap::new(),
            done: BTreeMap::new(),
            next_work: 0,
            open_journal: None,
            leads: None,
            undecided: BTreeMap::new(),
            out: remembered.into_iter().map(Effect::Fact).collect(),
        })
    }

    fn handle_frame(&mut self, now: Time, from: NodeId, frame: Bytes) {
        self.host.handle_frame(now, from, &frame);
    }

    fn handle_request(&mut self, now: Time, request: RequestId, operation: Operation) {
        let Some(command) = command(operation) else { return self.reply(request, Reply::Refused) };
        // What it will submit, so that nobody votes for what no client asked for.
        let submission = self.host.next_submission(command.clone());
        self.out.push_back(Effect::Fact(Fact::Proposable { command: hosted::digest(&submission) }));
        if self.host.protocol().is_decided(&submission).is_some() {
            self.undecided.insert(request, submission);
        }
        if self.host.submit(now, Request(request.0), command).is_err() {
            self.reply(request, Reply::Refused);
        }
    }

    fn work(&mut self, _: Time, work: WorkId) -> Result<Vec<Fact>, String> {
        let failed = |error: HomeError| error.to_string();
        let (done, facts) = match self.tasks.remove(&work).expect("work is done once") {
            Task::Journal { facts, write, truncate } => {
                if self.open_journal == Some(work) {
                    self.open_journal = None;
                }
                self.home.sync().map_err(failed)?;
                if let Some(mark) = truncate {
                    self.home.truncate(mark).map_err(failed)?;
                }
                (write.map_or(Done::Nothing, Done::Persisted), facts)
            }
            Task::Snapshot { generation, bytes } => {
                self.home.write_snapshot(generation, &bytes).map_err(failed)?;
                (Done::Snapshot, checkpointed::<P>(&bytes))
            }
        };
        self.done.insert(work, done);
        Ok(facts)
    }

    fn handle_work_done(&mut self, now: Time, work: WorkId) {
        match self.done.remove(&work).expect("work is reported once") {
            Done::Persisted(write) => self.host.handle_persisted(now, write),
            Done::Snapshot => self.host.handle_snapshot_durable(now),
            Done::Nothing => {}
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        self.host.next_timeout()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.host.handle_timeout(now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        loop {
            self.notice_decided();
            self.out.extend(self.host.machine_mut().take_facts().into_iter().map(Effect::Fact));
            if let Some(effect) = self.out.pop_front() {
                return Some(effect);
            }
            if let Some(output) = self.host.poll_output() {
                self.handle_output(output);
                continue;
            }
            if !self.notice() {
                return None;
            }
        }
    }

    fn standing(&self) -> Standing {
        let slot = P::slot(&self.host.protocol().position());
        let applied = slot.unwrap_or(Slot(self.host.executed()));
        Standing {
            happy: self.host.standing().happy,
            applied,
            chosen: applied,
            queued: self.host.queued() + self.tasks.len(),
        }
    }

    fn state(&self) -> Digest {
        use synod_replica::machine::StateMachine;
        Digest(self.host.machine().digest())
    }

    fn request_timeout(setup: &Setup) -> Option<Duration> {
        Some(setup.request_timeout)
    }

    fn election_timeout(setup: &Setup) -> Duration {
        setup.patience
    }

    fn is_fast(ballot: Ballot) -> bool {
        P::is_fast(ballot)
    }

    fn describe(frame: &Bytes) -> String {
        match decode::<Frame<P::Message>>(frame) {
            Ok(Frame::Protocol(message)) => P::describe(&message),
            Ok(Frame::WantSnapshot { offset, .. }) => format!("want-snapshot @{offset}"),
            Ok(Frame::SnapshotPart { offset, .. }) => format!("snapshot-part @{offset}"),
            Err(error) => format!("garbage ({error})"),
        }
    }
}

impl<P: Hosted> Replicated<P> {
    /// The replica, for scenarios that look into it.
    pub fn host(&self) -> &Host<P, Watched> {
        &self.host
    }

    /// Tells what has changed in the protocol, if anything has.
    fn notice(&mut self) -> bool {
        let protocol = self.host.protocol();
        let position = protocol.position();
        if position != self.position {
            self.out.extend(protocol.committed().map(Effect::Fact));
            self.position = position;
            return true;
        }
        let leads = protocol.standing().leader.filter(|ballot| ballot.node == self.host.id());
        if leads == self.leads {
            return false;
        }
        let elected = leads.and_then(|_| protocol.elected());
        self.leads = leads;
        self.out
            .extend([Some(Fact::Leads { ballot: leads }), elected].into_iter().flatten().map(Effect::Fact));
        true
    }

    /// Tells which commands of clients are committed now.
    fn notice_decided(&mut self) {
        let protocol = self.host.protocol();
        let decided = self.undecided.extract_if(.., |_, command| protocol.is_decided(command) == Some(true));
        self.out.extend(decided.map(|(request, _)| Effect::Fact(Fact::Decided { request })));
    }

    fn reply(&mut self, request: RequestId, reply: Reply) {
        self.undecided.remove(&request);
        self.out.push_back(Effect::Reply { request, reply });
    }

    fn start(&mut self, queue: Queue, task: Task) -> WorkId {
        self.next_work += 1;
        let work = WorkId(self.next_work);
        self.tasks.insert(work, task);
        self.out.push_back(Effect::Work { queue, work });
        work
    }

    fn journal_task(&mut self) -> (&mut Vec<Fact>, &mut Option<Write>, &mut Option<u64>) {
        let work = match self.open_journal {
            Some(work) => work,
            None => {
                let task = Task::Journal { facts: Vec::new(), write: None, truncate: None };
                self.start(Queue::Journal, task)
            }
        };
        self.open_journal = Some(work);
        match self.tasks.get_mut(&work) {
            Some(Task::Journal { facts, write, truncate }) => (facts, write, truncate),
            other => unreachable!("the open journal task is {other:?}"),
        }
    }

    fn handle_output(&mut self, output: Output<StoreReply>) {
        match output {
            Output::Send { to, frame } => self.out.push_back(Effect::Send { to, frame }),
            Output::Append { write, mark, records, again } => {
                self.home.append(mark, &records);
                let read = |record: &Bytes| decode(record).expect("a replica reads what it wrote");
                let (facts, newest, _) = self.journal_task();
                if !again {
                    facts.extend(P::durable(records.iter().map(read)));
                }
                *newest = Some(write);
            }
            Output::WriteSnapshot { generation, bytes } => {
                self.start(Queue::Checkpoint, Task::Snapshot { generation, bytes });
            }
            Output::Truncate { mark } => *self.journal_task().2 = Some(mark),
            Output::Reply { request, outcome } => {
                let reply = match outcome {
                    Outcome::Executed(reply) => Reply::Answer { answer: answer(reply), revision: None },
                    Outcome::Unknown => Reply::Unknown,
                };
                self.reply(RequestId(request.0), reply);
            }
            Output::Rejected { from, reason } => {
                self.out.push_back(Effect::Fact(Fact::Rejected { from, reason }));
            }
        }
    }
}

/// What a start finds.
fn remembered<P: Hosted>(snapshot: Option<&Bytes>, records: &[Bytes]) -> Result<Option<Fact>, String> {
    let Snapshot { position, .. }: Snapshot<P::Position, Watched> = match snapshot {
        Some(bytes) => snapshot::read(bytes).map_err(|error| error.to_string())?,
        None => Snapshot::default(),
    };
    let records = records.iter().map(|record| decode(record).map_err(|error| error.to_string()));
    let records: Vec<P::Record> = records.collect::<Result<_, _>>()?;
    Ok(P::memory(&position, &records).map(Fact::Remembers))
}

fn checkpointed<P: Hosted>(snapshot: &Bytes) -> Vec<Fact> {
    let Snapshot { position, .. }: Snapshot<P::Position, Watched> =
        snapshot::read(snapshot).expect("a replica writes what it can read");
    P::slot(&position).map(|slot| Fact::Checkpointed { slot }).into_iter().collect()
}

/// The command that does `operation`; `None` for what the texts' store cannot do.
fn command(operation: Operation) -> Option<Command> {
    match operation {
        Operation::Get { key } => Some(Command::Get { key }),
        Operation::Put { key, value } => Some(Command::Put { key, value }),
        Operation::Append { key, text } => Some(Command::Append { key, text }),
        Operation::Delete { key } => Some(Command::Delete { key }),
        Operation::Transact { .. }
        | Operation::Overreach { .. }
        | Operation::Compact { .. }
        | Operation::Propose { .. } => None,
    }
}

fn answer(reply: StoreReply) -> Answer {
    match reply {
        StoreReply::Value(value) => Answer::Value(value),
        StoreReply::Done => Answer::Done,
        StoreReply::Deleted(was_there) => Answer::Deleted(was_there),
    }
}

/// Multi-Paxos.
pub type Multi = Replicated<synod_paxos::multi::forwarding::Forwarding<Submission<Command>>>;

/// Fast Paxos as a log.
pub type FastLog = Replicated<synod_paxos::fast::log::replica::Replica<Submission<Command>>>;

/// Egalitarian Paxos.
pub type Egalitarian = Replicated<synod_paxos::egalitarian::replica::Replica<Submission<Command>>>;

/// Raft.
pub type Raft = Replicated<crate::raft::Raft<Submission<Command>>>;
