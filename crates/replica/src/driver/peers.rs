//! Frames between replicas: each keeps one connection to every other for what it sends.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_frames::{FrameReader, write_frames};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::driver::Input;
use crate::home::Owner;
use crate::machine::Service;
use crate::wire::{decode, encode};

/// The largest frame.
const FRAME_MAX: usize = 64 << 20;
/// The largest introduction.
const HELLO_MAX: usize = 256;
/// Frames that may wait for one peer. More are lost.
const WAITING_MAX: usize = 1_024;
/// How long a connection may take to say who it is, and to be made.
const HELLO_TIME: Duration = Duration::from_secs(3);
/// A connection on which nothing could be written, or nothing came, for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// What a connection says first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    cluster: ClusterId,
    protocol: String,
    from: NodeId,
    to: NodeId,
}

/// The connections of a replica. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Peers {
    queues: BTreeMap<NodeId, mpsc::Sender<Bytes>>,
    _tasks: JoinSet<()>,
}

impl Peers {
    pub(super) fn start<S: Service>(
        owner: Owner,
        members: &BTreeMap<NodeId, SocketAddr>,
        listener: std::net::TcpListener,
        inputs: mpsc::Sender<Input<S>>,
    ) -> io::Result<Peers> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (mut queues, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for (node, address) in members.iter().filter(|(node, _)| **node != owner.node) {
            let (queue, waiting) = mpsc::channel(WAITING_MAX);
            queues.insert(*node, queue);
            tasks.spawn(dial(hello(owner, owner.node, *node), *address, waiting));
        }
        let peers = queues.keys().copied().collect();
        tasks.spawn(accept(owner, listener, peers, inputs));
        Ok(Peers { queues, _tasks: tasks })
    }

    /// Sends `frame` if there is room in the queue.
    pub(super) fn send(&self, to: &[NodeId], frame: &Bytes) {
        for queue in to.iter().filter_map(|node| self.queues.get(node)) {
            drop(queue.try_send(frame.clone()));
        }
    }
}

fn hello(owner: Owner, from: NodeId, to: NodeId) -> Hello {
    Hello { cluster: owner.cluster, protocol: owner.protocol.to_owned(), from, to }
}

/// Keeps a connection to one peer, for ever.
async fn dial(hello: Hello, address: SocketAddr, mut waiting: mpsc::Receiver<Bytes>) {
    loop {
        match timeout(HELLO_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let error = send(stream, &hello, &mut waiting).await;
                debug!(to = %hello.to, ?error, "a connection to a peer ended");
            }
            Ok(Err(error)) => debug!(to = %hello.to, %error, "no connection to a peer"),
            Err(_) => debug!(to = %hello.to, "no connection to a peer in time"),
        }
        sleep(PAUSE).await;
    }
}

/// Writes what comes until the connection fails.
async fn send(mut stream: TcpStream, hello: &Hello, waiting: &mut mpsc::Receiver<Bytes>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    write_frames(&mut stream, &[encode(hello)]).await?;
    let mut frames = Vec::new();
    while waiting.recv_many(&mut frames, WAITING_MAX).await > 0 {
        timeout(SILENCE_MAX, write_frames(&mut stream, &frames)).await??;
        frames.clear();
    }
    Ok(())
}

async fn accept<S: Service>(
    owner: Owner,
    listener: TcpListener,
    peers: Vec<NodeId>,
    inputs: mpsc::Sender<Input<S>>,
) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (peers, inputs) = (peers.clone(), inputs.clone());
                connections.spawn(async move {
                    if let Err(reason) = receive(owner, stream, &peers, &inputs).await {
                        debug!(reason, "a connection from a peer ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a peer's connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Hands on what comes from one who says who it is.
async fn receive<S: Service>(
    owner: Owner,
    stream: TcpStream,
    peers: &[NodeId],
    inputs: &mpsc::Sender<Input<S>>,
) -> Result<(), String> {
    let mut reader = FrameReader::new(stream);
    let first = timeout(HELLO_TIME, reader.next(HELLO_MAX)).await.map_err(|_| "it said nothing")?;
    let said: Hello =
        decode(&first.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    let from = said.from;
    if said != hello(owner, from, owner.node) || !peers.contains(&from) {
        return Err(format!("{said:?} has no business here"));
    }
    loop {
        let frame =
            timeout(SILENCE_MAX, reader.next(FRAME_MAX)).await.map_err(|_| "nothing came for long")?;
        let frame = frame.map_err(|error| error.to_string())?;
        if inputs.send(Input::Frame { from, frame }).await.is_err() {
            return Ok(());
        }
    }
}
