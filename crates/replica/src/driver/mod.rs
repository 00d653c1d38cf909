//! A replica of any state machine on a real machine: sockets, files, a clock.
//!
//! One task owns the [`Host`] and does nothing that waits. A thread owns the files: everything that waits for the
//! journal is made durable by one sync. Each peer has a task that keeps a connection to it, and each connection that
//! comes in has one. Queues to peers are bounded: what does not fit is lost, as it may be on the way.

mod clients;
mod disk;
mod peers;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_journal::{DataDirLock, Files, LockError};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use synod_paxos::protocol::Protocol;
use synod_paxos::time::Time;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::driver::disk::{Disk, Done};
use crate::driver::peers::Peers;
use crate::home::{Home, HomeError, Owner};
use crate::host::{Config, Host, Outcome, Output, Overloaded, Request, StartError};
use crate::machine::{Service, StateMachine};
use crate::submission::Submission;

/// A segment of the journal is closed when it has grown to so many bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Frames and requests that may wait for the replica; whoever brings more waits.
const INPUTS: usize = 4_096;

/// One member.
#[derive(Debug)]
pub struct Settings {
    /// Of which cluster. Another state machine is another cluster.
    pub cluster: ClusterId,
    /// Who it is.
    pub id: NodeId,
    /// Where every member, this one included, listens for the others.
    pub members: BTreeMap<NodeId, SocketAddr>,
    /// Where this one does.
    pub peer_listener: TcpListener,
    /// Where its clients are.
    pub client_listener: TcpListener,
    /// Where its files are.
    pub files: Files,
    /// Seed of its random waiting times: another one at every start.
    pub seed: u64,
}

/// Why a member stopped, or did not start.
#[derive(Debug, Error)]
pub enum DriverError {
    /// Its disk cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another process uses its files.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What it remembers makes no replica.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system gives no sockets or threads.
    #[error("the system: {0}")]
    System(#[from] io::Error),
}

/// What a client is told.
type Answer<R> = Result<Outcome<R>, Overloaded>;

/// What comes to the task that owns the host.
#[derive(Debug)]
enum Input<S: StateMachine> {
    Frame { from: NodeId, frame: Bytes },
    Request { command: S::Command, reply: oneshot::Sender<Answer<S::Reply>> },
}

/// Runs a member of a cluster that replicates `S` by protocol `P`, until it fails. Dropping the future stops it: nothing
/// of it writes to its files after that, and what it had not made durable nobody was told of.
///
/// # Errors
/// If its disk fails, or it cannot start.
pub async fn run<P, S>(settings: Settings) -> Result<(), DriverError>
where
    P: Protocol<Command = Submission<S::Command>> + Send + 'static,
    S: Service,
{
    let Settings { cluster, id, members, peer_listener, client_listener, files, seed } = settings;
    let owner = Owner { cluster, node: id, protocol: P::NAME };
    let _lock = match &files {
        Files::Directory(path) => {
            files.disk()?;
            Some(DataDirLock::acquire(path)?)
        }
        Files::Memory(_) => None,
    };
    let (home, memory) = Home::open(&files, owner, SEGMENT_BYTES)?;
    let config = Config {
        nodes: members.keys().copied().collect(),
        patience: Duration::from_millis(500),
        request_timeout: Duration::from_secs(5),
        snapshot_bytes: 16 << 20,
        part_bytes: 256 << 10,
    };
    let began = Instant::now();
    let host = Host::start(config, id, memory, seed, Time::ZERO)?;
    let (inputs, incoming) = mpsc::channel(INPUTS);
    let (disk, done) = Disk::start(home)?;
    let peers = Peers::start(owner, &members, peer_listener, inputs.clone())?;
    let _clients = clients::start(client_listener, inputs)?;
    let replica: Replica<P, S> =
        Replica { host, began, disk, peers, replies: BTreeMap::new(), next_request: 0 };
    replica.run(incoming, done).await
}

struct Replica<P: Protocol, S: StateMachine> {
    host: Host<P, S>,
    began: Instant,
    disk: Disk,
    peers: Peers,
    replies: BTreeMap<Request, oneshot::Sender<Answer<S::Reply>>>,
    next_request: u64,
}

impl<P: Protocol<Command = Submission<S::Command>>, S: StateMachine> Replica<P, S> {
    fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    async fn run(
        mut self,
        mut incoming: mpsc::Receiver<Input<S>>,
        mut done: mpsc::UnboundedReceiver<Done>,
    ) -> Result<(), DriverError> {
        loop {
            self.carry_out();
            let now = self.now();
            let wait = self.host.next_timeout().map_or(Duration::from_secs(1), |at| at - now);
            tokio::select! {
                // A vote that can be cast goes before new work.
                biased;
                done = done.recv() => match done {
                    Some(Done::Persisted(write)) => self.host.handle_persisted(self.now(), write),
                    Some(Done::Snapshot) => self.host.handle_snapshot_durable(self.now()),
                    Some(Done::Failed(error)) => return Err(error.into()),
                    None => return Err(HomeError::Disk("its thread ended".to_owned()).into()),
                },
                () = tokio::time::sleep(wait) => self.host.handle_timeout(self.now()),
                Some(input) = incoming.recv() => self.handle(input),
            }
        }
    }

    fn handle(&mut self, input: Input<S>) {
        let now = self.now();
        match input {
            Input::Frame { from, frame } => self.host.handle_frame(now, from, &frame),
            Input::Request { command, reply } => {
                self.next_request += 1;
                let request = Request(self.next_request);
                // A client that went away needs no answer.
                match self.host.submit(now, request, command) {
                    Ok(()) => drop(self.replies.insert(request, reply)),
                    Err(overloaded) => drop(reply.send(Err(overloaded))),
                }
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.host.poll_output() {
            match output {
                Output::Send { to, frame } => self.peers.send(&to, &frame),
                Output::Append { write, mark, records, .. } => self.disk.append(write, mark, records),
                Output::WriteSnapshot { generation, bytes } => self.disk.write_snapshot(generation, bytes),
                Output::Truncate { mark } => self.disk.truncate(mark),
                Output::Reply { request, outcome } => {
                    if let Some(reply) = self.replies.remove(&request) {
                        drop(reply.send(Ok(outcome)));
                    }
                }
                Output::Rejected { from, reason } => warn!(%from, reason, "a frame was refused"),
            }
        }
    }
}
