//! The connection to one peer: what the voter sends goes out on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use synod_frames::{FrameError, FrameReader, write_frames};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::handshake::{Answer, HandshakeError, INTRODUCTION_MAX};
use super::queue::PeerQueue;
use super::{ALIVE_EVERY, HANDSHAKE_TIME, Local, SILENCE_MAX};
use crate::cluster::Url;

/// The first pause after a failed attempt; each further one is twice as long, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, Error)]
enum DialError {
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection was made, but no answer came")]
    NoAnswer,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Keeps a connection to `to` forever.
pub(crate) async fn dial_loop(local: Arc<Local>, to: Arc<str>, queue: Arc<PeerQueue>) {
    let urls = &local.config.others[&to];
    let mut pause = PAUSE_FIRST;
    for url in urls.iter().cycle() {
        let begun = Instant::now();
        let error = match connect(&local, &to, url).await {
            Ok((reader, writer)) => {
                info!(peer = &*to, %url, "connected to a peer");
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
        match &error {
            DialError::Handshake(_) => {
                local.reject(&format!("{to} at {url} cannot be used"), &error);
            }
            error => debug!(peer = &*to, %url, %error, "no connection to a peer"),
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

type Connection = (FrameReader<OwnedReadHalf>, OwnedWriteHalf);

async fn connect(local: &Local, to: &str, url: &Url) -> Result<Connection, DialError> {
    let dialing = async {
        let stream = TcpStream::connect((url.host(), url.port())).await?;
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
    };
    timeout(HANDSHAKE_TIME, dialing).await.unwrap_or(Err(DialError::NoAnswer))
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
                return DialError::Connect(error);
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
