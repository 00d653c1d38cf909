//! A protocol and a state machine, joined: one replica, without I/O.
//!
//! Outputs of the protocol are taken at once: what it executes is applied before anything else happens, so the
//! machine always stands at the protocol's position.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use synod_paxos::durable::Token;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::{Output as Wanted, OutputOf, Protocol, Standing, Start};
use synod_paxos::quorum::QuorumError;
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};
use thiserror::Error;

use crate::home::Memory;
use crate::machine::StateMachine;
use crate::sessions::Sessions;
use crate::snapshot::{self, Snapshot, SnapshotError};
use crate::submission::{Origin, Submission};
use crate::transfer::{Incoming, Progress};
use crate::wire::{DecodeError, Frame, decode, encode};

/// Commands of clients that may wait at once.
const WAITING_MAX: usize = 20_000;

/// How a replica is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// All nodes, this one included.
    pub nodes: Vec<NodeId>,
    /// See [`Start::patience`].
    pub patience: Duration,
    /// How long a client waits at most; then the outcome of its command is unknown.
    pub request_timeout: Duration,
    /// A snapshot is due when so many bytes of records were written since the last, or twice as many as had to be
    /// said again after it.
    pub snapshot_bytes: u64,
    /// Bytes of a snapshot in one frame.
    pub part_bytes: usize,
}

/// Names a client's command at this replica; the driver chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(pub u64);

/// Names a write to the journal. Cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Write(pub u64);

/// What became of a client's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It had its effect, once.
    Executed(R),
    /// Nobody knows here: it may have had its effect, or may have it later.
    Unknown,
}

/// Too many clients wait: the command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many commands wait")]
pub struct Overloaded;

/// Why a replica cannot start from what was found on its disk.
#[derive(Debug, Error)]
pub enum StartError {
    /// The nodes cannot form quorums.
    #[error(transparent)]
    Nodes(#[from] QuorumError),
    /// The snapshot is none.
    #[error("the snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A record is none.
    #[error("a record: {0}")]
    Record(#[from] DecodeError),
}

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<R> {
    /// Send `frame` to each of `to`.
    Send {
        /// Other nodes.
        to: Vec<NodeId>,
        /// What.
        frame: Bytes,
    },
    /// Append to the journal and sync, then call [`Host::handle_persisted`].
    Append {
        /// Names the write.
        write: Write,
        /// Its mark.
        mark: u64,
        /// What to write.
        records: Vec<Bytes>,
        /// Whether all of it was written before, and is now written again after a snapshot.
        again: bool,
    },
    /// Replace the snapshot on disk, then call [`Host::handle_snapshot_durable`]. The next one comes only after that. All
    /// that was appended before must be durable before it: what it lacks may be held by these records only.
    WriteSnapshot {
        /// Its number.
        generation: u64,
        /// The whole of it.
        bytes: Bytes,
    },
    /// The journal's records up to this mark are superfluous.
    Truncate {
        /// The mark.
        mark: u64,
    },
    /// Answer a client.
    Reply {
        /// Which request.
        request: Request,
        /// What became of it.
        outcome: Outcome<R>,
    },
    /// A peer sent what no correct node sends. Nothing has changed.
    Rejected {
        /// Who.
        from: NodeId,
        /// What was wrong.
        reason: String,
    },
}

/// A command whose client waits.
#[derive(Debug)]
struct Waiting<C> {
    request: Request,
    submission: Submission<C>,
    since: Time,
    offered: Time,
}

/// What a write to the journal was for.
#[derive(Debug)]
enum Purpose {
    Protocol(Token),
    /// All that must be remembered stands in the journal again.
    Generation(u64),
}

/// A snapshot that the driver writes.
#[derive(Debug)]
struct Writing<P> {
    position: P,
    bytes: Bytes,
    /// Whether it came from another replica.
    received: bool,
}

/// The newest durable snapshot.
#[derive(Debug)]
struct Durable<P> {
    position: P,
    /// The sum over its bytes, which names it.
    sum: u32,
    bytes: Bytes,
}

impl<P> Durable<P> {
    fn new(position: P, bytes: Bytes) -> Durable<P> {
        Durable { position, sum: crc32c::crc32c(&bytes), bytes }
    }
}

/// Another replica's snapshot, all of it.
struct Received<P> {
    from: NodeId,
    position: P,
    bytes: Bytes,
}

/// A snapshot that another replica fetches.
struct Lent {
    sum: u32,
    bytes: Bytes,
    /// When it is taken for gone.
    until: Time,
}

/// A replica of `S` by protocol `P`.
pub struct Host<P: Protocol, S: StateMachine> {
    config: Config,
    id: NodeId,
    origin: Origin,
    protocol: P,
    machine: S,
    sessions: Sessions,
    waiting: BTreeMap<u64, Waiting<S::Command>>,
    sequence: u64,
    /// When to look after those who wait.
    look_at: Option<Time>,
    last_write: Write,
    writes: VecDeque<(Write, Purpose)>,
    generation: u64,
    /// Bytes of records since the last snapshot.
    written: u64,
    /// As many make one due.
    due: u64,
    writing: Option<Writing<P::Position>>,
    /// The newest durable snapshot, for others.
    durable: Option<Durable<P::Position>>,
    incoming: Option<Incoming>,
    received: Option<Received<P::Position>>,
    /// Of each replica the last snapshot that was of no use.
    useless: BTreeMap<NodeId, u32>,
    /// What others are in the middle of fetching. The newest snapshot may have taken its place.
    lent: BTreeMap<NodeId, Lent>,
    out: VecDeque<Output<S::Reply>>,
}

impl<P: Protocol, S: StateMachine> Debug for Host<P, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut host = f.debug_struct("Host");
        host.field("protocol", &self.protocol).field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl<P, S> Host<P, S>
where
    P: Protocol<Command = Submission<S::Command>>,
    S: StateMachine,
{
    /// The replica that remembers `memory`. `seed` is for its random waiting times.
    ///
    /// # Errors
    /// If what it remembers cannot be read, or the nodes form no quorums.
    pub fn start(
        config: Config,
        id: NodeId,
        memory: Memory,
        seed: u64,
        now: Time,
    ) -> Result<Host<P, S>, StartError> {
        let Memory { incarnation, generation, snapshot, records } = memory;
        let Snapshot { position, sessions, machine } = match &snapshot {
            Some(bytes) => snapshot::read(bytes)?,
            None => Snapshot::default(),
        };
        let durable = snapshot.map(|bytes| Durable::new(P::Position::clone(&position), bytes));
        let records = records.iter().map(|record| decode(record)).collect::<Result<_, _>>()?;
        let nodes = config.nodes.clone();
        let start = Start { id, incarnation, nodes, patience: config.patience, seed, now };
        let protocol = P::start(start, position, records)?;
        let due = config.snapshot_bytes;
        let mut host = Host {
            config,
            id,
            origin: Origin { node: id, incarnation },
            protocol,
            machine,
            sessions,
            waiting: BTreeMap::new(),
            sequence: 0,
            look_at: None,
            last_write: Write(0),
            writes: VecDeque::new(),
            generation,
            written: 0,
            due,
            writing: None,
            durable,
            incoming: None,
            received: None,
            useless: BTreeMap::new(),
            lent: BTreeMap::new(),
            out: VecDeque::new(),
        };
        host.settle(now);
        Ok(host)
    }

    /// Who this is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The process that this is.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The protocol's replica.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The state machine.
    pub fn machine(&self) -> &S {
        &self.machine
    }

    /// The state machine, for one who has something to take out of it that is no part of its state.
    pub fn machine_mut(&mut self) -> &mut S {
        &mut self.machine
    }

    /// How many commands had their effect.
    pub fn executed(&self) -> u64 {
        self.sessions.total()
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.protocol.standing()
    }

    /// Everything that is kept for later, in items.
    pub fn queued(&self) -> usize {
        self.waiting.len() + self.writes.len() + self.out.len()
    }

    /// What [`Host::submit`] would make of `command` now.
    pub fn next_submission(&self, command: S::Command) -> Submission<S::Command> {
        let bytes = u32::try_from(S::size(&command)).unwrap_or(u32::MAX);
        Submission { origin: self.origin, sequence: self.sequence + 1, bytes, command }
    }

    /// Has `command` executed; an [`Output::Reply`] to `request` follows.
    ///
    /// # Errors
    /// If too many wait. The command was not taken then.
    pub fn submit(&mut self, now: Time, request: Request, command: S::Command) -> Result<(), Overloaded> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(Overloaded);
        }
        let submission = self.next_submission(command);
        self.sequence = submission.sequence;
        let waiting = Waiting { request, submission: submission.clone(), since: now, offered: now };
        self.waiting.insert(self.sequence, waiting);
        self.look_at.get_or_insert(now + self.config.patience / 2);
        self.protocol.propose(now, submission);
        self.settle(now);
        Ok(())
    }

    /// Takes a frame of another node.
    pub fn handle_frame(&mut self, now: Time, from: NodeId, frame: &[u8]) {
        let handled = match decode(frame) {
            _ if !self.config.nodes.contains(&from) => Err(format!("{from} is no member")),
            Ok(Frame::Protocol(message)) => {
                self.protocol.handle_message(now, from, message).map_err(|rejection| rejection.to_string())
            }
            Ok(Frame::WantSnapshot { snapshot, offset }) => {
                self.send_part(now, from, snapshot, offset);
                Ok(())
            }
            Ok(Frame::SnapshotPart { snapshot, offset, length, bytes }) => {
                self.take_part(now, from, snapshot, offset, length, &bytes);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = handled {
            self.out.push_back(Output::Rejected { from, reason });
        }
        self.settle(now);
    }

    /// Every write up to `write` is durable.
    pub fn handle_persisted(&mut self, now: Time, write: Write) {
        while let Some((_, purpose)) = self.writes.pop_front_if(|(waiting, _)| *waiting <= write) {
            match purpose {
                Purpose::Protocol(token) => self.protocol.handle_persisted(now, token),
                Purpose::Generation(generation) => {
                    self.out.push_back(Output::Truncate { mark: generation - 1 });
                }
            }
        }
        self.settle(now);
    }

    /// The snapshot last given to the driver is durable.
    ///
    /// # Panics
    /// If none was given.
    pub fn handle_snapshot_durable(&mut self, now: Time) {
        let Writing { position, bytes, received } =
            self.writing.take().expect("the driver reports a snapshot that it was given");
        self.durable = Some(Durable::new(position.clone(), bytes.clone()));
        if received && !self.protocol.install(now, &position) {
            // Overtaken meanwhile. It covers less than was executed here, so the journal behind it stays, until a
            // snapshot of this replica's own state takes its place.
            mark!(OlderCheckpointIgnored);
            self.written = self.due;
            return self.settle(now);
        }
        if received {
            mark!(CheckpointInstalled);
            self.replace(&bytes);
        }
        self.protocol.truncate(&position);
        // What it wants written already stands in the journal before what it remembers now.
        self.settle(now);
        self.append_remembered();
        self.settle(now);
    }

    /// When to call [`Host::handle_timeout`] at the latest.
    pub fn next_timeout(&self) -> Option<Time> {
        let transfer = self.incoming.as_ref().map(|incoming| incoming.ends);
        [self.protocol.next_timeout(), self.look_at, transfer].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_after_waiting(now);
        }
        self.look_after_transfer(now);
        self.lent.retain(|_, lent| lent.until > now);
        if self.protocol.next_timeout().is_some_and(|at| at <= now) {
            self.protocol.handle_timeout(now);
        }
        self.settle(now);
    }

    /// What to do next, or `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output<S::Reply>> {
        self.out.pop_front()
    }

    // ---- commands ---------------------------------------------------------------------------------

    /// Takes all outputs of the protocol, and begins a snapshot if one is due.
    fn settle(&mut self, now: Time) {
        while let Some(output) = self.protocol.poll_output(now) {
            self.handle_wanted(now, output);
        }
        self.begin_snapshot();
    }

    fn handle_wanted(&mut self, now: Time, output: OutputOf<P>) {
        match output {
            Wanted::Send { to, message } => {
                self.out.push_back(Output::Send { to, frame: encode(&Frame::Protocol(message)) });
            }
            Wanted::Persist { token, records } => self.append(&records, Purpose::Protocol(token)),
            Wanted::Execute { commands } => commands.into_iter().for_each(|command| self.execute(&command)),
            Wanted::StateNeeded { from } => self.want_snapshot(now, from),
        }
    }

    fn execute(&mut self, submission: &Submission<S::Command>) {
        let Submission { origin, sequence, command, .. } = submission;
        if !self.sessions.execute(*origin, *sequence) {
            return;
        }
        let reply = self.machine.apply(command);
        if *origin == self.origin
            && let Some(waiting) = self.waiting.remove(sequence)
        {
            let outcome = Outcome::Executed(reply);
            self.out.push_back(Output::Reply { request: waiting.request, outcome });
        }
    }

    /// Offers again what may have been lost, and gives up what has waited too long.
    fn look_after_waiting(&mut self, now: Time) {
        let (patience, timeout) = (self.config.patience, self.config.request_timeout);
        let tired = self.waiting.extract_if(.., |_, waiting| now - waiting.since >= timeout);
        for (_, waiting) in tired {
            self.out.push_back(Output::Reply { request: waiting.request, outcome: Outcome::Unknown });
        }
        for waiting in self.waiting.values_mut().filter(|waiting| now - waiting.offered >= patience) {
            waiting.offered = now;
            mark!(SubmissionOfferedAgain);
            self.protocol.propose_again(now, waiting.submission.clone());
        }
        self.look_at = (!self.waiting.is_empty()).then(|| now + patience / 2);
    }

    // ---- journal and snapshots --------------------------------------------------------------------

    fn append(&mut self, records: &[P::Record], purpose: Purpose) {
        self.last_write.0 += 1;
        let again = matches!(purpose, Purpose::Generation(_));
        let records: Vec<Bytes> = records.iter().map(encode).collect();
        self.written += records.iter().map(|record| record.len() as u64).sum::<u64>();
        self.writes.push_back((self.last_write, purpose));
        let (write, mark) = (self.last_write, self.generation);
        self.out.push_back(Output::Append { write, mark, records, again });
    }

    /// Says once more what must be remembered, so that all that was written before the snapshot is superfluous.
    fn append_remembered(&mut self) {
        let remembered = if mutant!(SnapshotForgetsVotes) { Vec::new() } else { self.protocol.remembered() };
        self.written = 0;
        self.append(&remembered, Purpose::Generation(self.generation));
        // Saying it all again must not be most of what is written.
        self.due = self.config.snapshot_bytes.max(2 * self.written);
        self.written = 0;
    }

    fn begin_snapshot(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let (position, bytes, received) = match self.received.take() {
            Some(Received { position, bytes, .. }) if self.protocol.is_ahead(&position) => {
                self.protocol.prepare_install(&position);
                (position, bytes, true)
            }
            Some(Received { from, bytes, .. }) => {
                mark!(OlderCheckpointIgnored);
                self.useless.insert(from, crc32c::crc32c(&bytes));
                return;
            }
            None if self.written >= self.due => {
                let position = self.protocol.position();
                let bytes = snapshot::write(position.clone(), &self.sessions, &self.machine);
                (position, bytes, false)
            }
            None => return,
        };
        // Counted now, so that whatever is written from now on carries the number of a snapshot that is written at
        // the same time: only what a durable one covers is ever cut.
        self.generation += 1;
        self.out.push_back(Output::WriteSnapshot { generation: self.generation, bytes: bytes.clone() });
        self.writing = Some(Writing { position, bytes, received });
    }

    /// Takes over another replica's state, which is durable here.
    fn replace(&mut self, bytes: &[u8]) {
        let Snapshot { sessions, machine, .. }: Snapshot<P::Position, S> =
            snapshot::read(bytes).expect("it was read when it came");
        self.sessions = sessions;
        self.machine = machine;
        let (origin, sessions) = (self.origin, &self.sessions);
        let lost = self.waiting.extract_if(.., |sequence, _| sessions.contains(origin, *sequence));
        for (_, waiting) in lost {
            mark!(AnswerLostInCheckpoint);
            self.out.push_back(Output::Reply { request: waiting.request, outcome: Outcome::Unknown });
        }
    }

    // ---- transfer ---------------------------------------------------------------------------------

    fn want_snapshot(&mut self, now: Time, from: NodeId) {
        if self.incoming.is_some() || self.received.is_some() || self.is_installing() {
            return;
        }
        self.incoming = Some(Incoming::new(from, now + self.config.patience * 2));
        self.ask_for_part();
    }

    /// A part that does not come is asked for once more before the source is taken for gone.
    fn look_after_transfer(&mut self, now: Time) {
        match self.incoming.as_mut().filter(|incoming| incoming.ends <= now) {
            Some(incoming) if !incoming.asked_again => {
                incoming.asked_again = true;
                incoming.ends = now + self.config.patience * 2;
                self.ask_for_part();
            }
            Some(_) => {
                mark!(TransferGivenUp);
                self.incoming = None;
            }
            None => {}
        }
    }

    fn is_installing(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.received)
    }

    fn ask_for_part(&mut self) {
        let Some(Incoming { from, snapshot, bytes, .. }) = &self.incoming else { return };
        let snapshot = snapshot.or_else(|| self.useless.get(from).copied());
        let frame: Frame<P::Message> = Frame::WantSnapshot { snapshot, offset: bytes.len() as u64 };
        self.out.push_back(Output::Send { to: vec![*from], frame: encode(&frame) });
    }

    fn send_part(&mut self, now: Time, to: NodeId, wanted: Option<u32>, offset: u64) {
        let Some(Durable { position, sum, bytes }) = &self.durable else { return };
        if wanted == Some(*sum) && offset == 0 {
            // It has this one already, and cannot use it: the next may be better.
            if *position != self.protocol.position() {
                self.written = self.due;
            }
            return;
        }
        // A transfer that began anew with every snapshot might never end.
        let lent = self.lent.get(&to).filter(|lent| offset > 0 && wanted == Some(lent.sum));
        let (sum, bytes) = lent.map_or((*sum, bytes), |lent| (lent.sum, &lent.bytes));
        let offset = if wanted == Some(sum) { offset } else { 0 };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = from.saturating_add(self.config.part_bytes).min(bytes.len());
        let part: Frame<P::Message> = Frame::SnapshotPart {
            snapshot: sum,
            offset,
            length: bytes.len() as u64,
            bytes: bytes[from..end].to_vec(),
        };
        let until = now + self.config.patience * 6;
        let lent = Lent { sum, bytes: bytes.clone(), until };
        self.lent.insert(to, lent);
        self.out.push_back(Output::Send { to: vec![to], frame: encode(&part) });
    }

    fn take_part(&mut self, now: Time, from: NodeId, snapshot: u32, offset: u64, length: u64, bytes: &[u8]) {
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.from == from) else { return };
        match incoming.take(snapshot, offset, length, bytes) {
            Progress::Unasked => {}
            Progress::More => {
                incoming.ends = now + self.config.patience * 2;
                incoming.asked_again = false;
                self.ask_for_part();
            }
            Progress::Complete(bytes) => {
                self.incoming = None;
                match snapshot::read::<P::Position, S>(&bytes) {
                    Ok(Snapshot { position, .. }) => {
                        self.received = Some(Received { from, position, bytes: bytes.into() });
                    }
                    Err(error) => {
                        mark!(CheckpointRefused);
                        let reason = format!("its snapshot: {error}");
                        self.out.push_back(Output::Rejected { from, reason });
                    }
                }
            }
        }
    }
}
