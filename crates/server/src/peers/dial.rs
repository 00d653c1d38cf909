//! The connection to one peer: what the voter sends goes out on it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use synod_frames::{FrameError, FrameReader, write_frames};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::addresses::Addresses;
use super::handshake::{Answer, HandshakeError, INTRODUCTION_MAX};
use super::queue::PeerQueue;
use super::{ALIVE_EVERY, HANDSHAKE_TIME, Local, SILENCE_MAX};
use crate::clock;
use crate::repeats::Repeats;

/// The first pause after a failed attempt; each further one is twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a name may take to be found, and then a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, Error)]
enum DialError {
    #[error("its name is not found: {0}")]
    Unresolved(String),
    #[error("its name is not found in time")]
    LookupHangs,
    #[error("{}", plain(.0))]
    Io(#[from] std::io::Error),
    #[error("it does not take the connection in time")]
    Unreachable,
    #[error("the connection was made, but no answer came")]
    NoAnswer,
    #[error("{}", plain_frame(.0))]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// What an operator knows a failure by, without the system's number for it.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        kind @ (ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::BrokenPipe
        | ErrorKind::TimedOut) => kind.to_string(),
        _ => error.to_string(),
    }
}

fn plain_frame(error: &FrameError) -> String {
    match error {
        FrameError::Io(error) => plain(error),
        error => error.to_string(),
    }
}

/// Keeps a connection to `to` forever.
pub(crate) async fn dial_loop(local: Arc<Local>, to: Arc<str>, queue: Arc<PeerQueue>) {
    let urls = &local.config.others[&to];
    let mut addresses: Vec<Addresses> = urls.iter().map(Addresses::new).collect();
    let (mut pause, mut repeats) = (PAUSE_FIRST, Repeats::default());
    // A connection is worth a line if the trouble before it was.
    let mut told_of_trouble = true;
    for index in (0..addresses.len()).cycle() {
        let addresses = &mut addresses[index];
        let begun = Instant::now();
        let error = match connect(&local, &to, addresses).await {
            Ok((reader, writer)) => {
                if std::mem::take(&mut told_of_trouble) {
                    info!("connected to peer {to} at {}", addresses.url());
                }
                queue.set_connected(true);
                let error = use_connection(reader, writer, &queue).await;
                queue.set_connected(false);
                error
            }
            Err(error) => error,
        };
        if begun.elapsed() >= LASTED {
            pause = PAUSE_FIRST;
        }
        if matches!(error, DialError::Handshake(_)) {
            local.rejections.count();
        }
        let trouble = format!("peer {to} at {}: {error}", addresses.url());
        if let Some(trouble) = repeats.line(clock::now(), &trouble) {
            warn!("{trouble}");
            told_of_trouble = true;
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

type Connection = (FrameReader<OwnedReadHalf>, OwnedWriteHalf);

async fn connect(local: &Local, to: &str, addresses: &mut Addresses) -> Result<Connection, DialError> {
    let found = timeout(CONNECT_TIME, addresses.find(clock::now())).await;
    let found = found.map_err(|_| DialError::LookupHangs)?.map_err(DialError::Unresolved)?;
    match timeout(CONNECT_TIME, TcpStream::connect(found)).await {
        Ok(Ok(stream)) => {
            addresses.confirm();
            timeout(HANDSHAKE_TIME, introduce(local, to, stream)).await.unwrap_or(Err(DialError::NoAnswer))
        }
        Ok(Err(error)) => {
            addresses.doubt();
            Err(DialError::Io(error))
        }
        Err(_) => {
            addresses.doubt();
            Err(DialError::Unreachable)
        }
    }
}

/// Says who this is and hears who answers.
async fn introduce(local: &Local, to: &str, stream: TcpStream) -> Result<Connection, DialError> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader);
    write_frames(&mut writer, &[local.introduction(to).encode()]).await?;
    let answer = reader.next(INTRODUCTION_MAX).await.map_err(|error| match error {
        FrameError::TooLong { .. } => DialError::Handshake(HandshakeError::Foreign),
        error => DialError::Frame(error),
    })?;
    Answer::decode(answer)?;
    Ok((reader, writer))
}

/// Writes what the queue holds until the connection ends; says why it did.
async fn use_connection(
    mut reader: FrameReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    queue: &PeerQueue,
) -> DialError {
    let writing = async {
        loop {
            let frames = timeout(ALIVE_EVERY, queue.take()).await.unwrap_or_else(|_| vec![Bytes::new()]);
            // However long it takes. The system tells of progress only now and then: of megabytes on their way it
            // wants a third gone first. So the other end judges this direction, by the bytes that come; if it gives
            // up, its signs of life end.
            if let Err(error) = write_frames(&mut writer, &frames).await {
                return DialError::Io(error);
            }
        }
    };
    // A host that vanished says nothing, not even that it is gone; the system would try for minutes.
    let listening = async {
        loop {
            if let Err(error) = reader.next_unless_silent(0, SILENCE_MAX).await {
                return DialError::Frame(error);
            }
        }
    };
    tokio::select! {
        error = writing => error,
        error = listening => error,
    }
}
