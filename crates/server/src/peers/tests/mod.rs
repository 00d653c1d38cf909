//! Two members' connections on loopback, and ends of connections that are played by the test.

mod bugs;
mod silence;

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Instant;

use synod_frames::{FrameReader, write_frames};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::handshake::{Answer, INTRODUCTION_MAX};
use super::*;

const PATIENCE: Duration = Duration::from_secs(120);

const NAMES: [&str; 2] = ["m1", "m2"];

/// One of two members, and where each is looked for.
fn config(index: usize, looked_for: [SocketAddr; 2]) -> PeersConfig {
    let other = looked_for[1 - index];
    let urls = vec![Url::new(other.ip().to_string(), other.port())];
    let cluster = ClusterId(7);
    PeersConfig {
        name: NAMES[index].into(),
        cluster,
        others: BTreeMap::from([(NAMES[1 - index].into(), urls)]),
    }
}

/// The connections of one member. They end with it.
struct Running {
    peers: Peers,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(index: usize, listener: TcpListener, looked_for: [SocketAddr; 2], deliver: Deliver) -> Running {
        let (peers, connections) = Peers::new(config(index, looked_for), vec![listener], deliver).unwrap();
        Running { peers, thread: std::thread::spawn(move || connections.run()) }
    }
}

fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

type Connection = (FrameReader<OwnedReadHalf>, OwnedWriteHalf);

/// What the member of this index says of itself to the other.
fn introduction(index: usize) -> Introduction {
    Introduction { from: NAMES[index].to_owned(), to: NAMES[1 - index].to_owned(), cluster: ClusterId(7) }
}

/// The second member dials the first.
async fn dial(address: SocketAddr) -> Connection {
    let (reads, mut writes) = TcpStream::connect(address).await.unwrap().into_split();
    let mut reads = FrameReader::new(reads);
    write_frames(&mut writes, &[introduction(1).encode()]).await.unwrap();
    Answer::decode(reads.next(INTRODUCTION_MAX).await.unwrap()).unwrap();
    (reads, writes)
}

/// The second member welcomes the first, who dials.
async fn welcome(listener: &tokio::net::TcpListener) -> Connection {
    let (reads, mut writes) = listener.accept().await.unwrap().0.into_split();
    let mut reads = FrameReader::new(reads);
    reads.next(INTRODUCTION_MAX).await.unwrap();
    write_frames(&mut writes, &[Answer::Welcome.encode()]).await.unwrap();
    (reads, writes)
}
