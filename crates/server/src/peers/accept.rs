//! Connections that other members open: what comes in on them goes to the voter.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use synod_frames::{FrameError, FrameReader, write_frames};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, info};

use super::handshake::{Answer, HandshakeError, INTRODUCTION_MAX, Introduction};
use super::{ALIVE_EVERY, FRAME_MAX, HANDSHAKE_TIME, Local, SILENCE_MAX, first_panic};
use crate::clock;
use crate::repeats::Repeats;

/// Connections that have not said yet who they are, at most. One more is closed at once.
const STRANGERS_MAX: usize = 64;
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections under one name, at most. One is enough; but a process that only borrows a name, such as one on a copy of a
/// member's directory, must not end the connection of the member itself. Whose frames count is for the voter to say.
const SAME_NAME_MAX: usize = 3;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    tasks: Mutex<BTreeMap<Arc<str>, VecDeque<AbortHandle>>>,
    repeats: Mutex<Repeats>,
}

impl Accepted {
    /// One more connection of `from`. With too many of them, the oldest ends.
    fn add(&self, from: Arc<str>, task: AbortHandle) {
        let mut tasks = self.tasks.lock();
        let same_name = tasks.entry(from).or_default();
        same_name.retain(|task| !task.is_finished());
        same_name.push_back(task);
        if same_name.len() > SAME_NAME_MAX
            && let Some(oldest) = same_name.pop_front()
        {
            oldest.abort();
        }
    }

    fn log(&self, line: &str) {
        if let Some(line) = self.repeats.lock().line(clock::now(), line) {
            info!("{line}");
        }
    }
}

/// Accepts for ever.
pub(crate) async fn accept_loop(local: Arc<Local>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            panic = first_panic(&mut connections) => std::panic::resume_unwind(panic),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                local.reject("a peer's connection could not be accepted", &error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = strangers.clone().try_acquire_owned() else {
            local.reject("a connection to the peer port was closed", &"too many have not said who they are");
            continue;
        };
        let local = local.clone();
        // The task registers its own handle, so it starts only once it has been given it.
        let (give, given) = tokio::sync::oneshot::channel();
        let task = connections.spawn(async move {
            let Ok(task) = given.await else { return };
            // Without the port, which is another one for each attempt.
            let peer = stream.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.ip().to_string());
            let admitted = timeout(HANDSHAKE_TIME, admit(&local, stream, task)).await;
            drop(place);
            match admitted {
                Ok(Ok(admitted)) => receive(&local, admitted).await,
                Ok(Err(reason)) => local.reject(&format!("a connection from {peer} was refused"), &reason),
                Err(_) => local.reject(&format!("a connection from {peer} was closed"), &"it said nothing"),
            }
        });
        // Fails only if the task is gone already.
        let _ = give.send(task);
    }
}

struct Admitted {
    from: Arc<str>,
    reader: FrameReader<tokio::net::tcp::OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
}

/// Finds out who it is and answers.
async fn admit(local: &Local, stream: TcpStream, task: AbortHandle) -> Result<Admitted, String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = FrameReader::new(reader);
    let frame = reader.next(INTRODUCTION_MAX).await.map_err(|error| match error {
        FrameError::TooLong { .. } => HandshakeError::Foreign.to_string(),
        error => error.to_string(),
    })?;
    let introduction = Introduction::decode(&frame).map_err(|error| error.to_string())?;
    let from = match local.check(&introduction) {
        Ok(from) => from,
        Err(reason) => {
            let refused = Answer::Refused(reason.clone());
            answer(&mut writer, &refused).await.map_err(|error| error.to_string())?;
            return Err(reason);
        }
    };
    local.accepted.add(from.clone(), task);
    answer(&mut writer, &Answer::Welcome).await.map_err(|error| error.to_string())?;
    Ok(Admitted { from, reader, writer })
}

async fn answer<W: AsyncWrite + Unpin>(writer: &mut W, answer: &Answer) -> io::Result<()> {
    write_frames(writer, &[answer.encode()]).await?;
    writer.flush().await
}

/// Hands on what comes, until the connection ends.
async fn receive(local: &Local, admitted: Admitted) {
    let Admitted { from, mut reader, mut writer } = admitted;
    local.accepted.log(&format!("{from} is connected to us"));
    let receiving = async {
        loop {
            match reader.next_unless_silent(FRAME_MAX, SILENCE_MAX).await {
                Ok(frame) if frame.is_empty() => {}
                Ok(frame) => local.deliver(&from, frame),
                Err(error) => return error.to_string(),
            }
        }
    };
    let signs_of_life = async {
        loop {
            tokio::time::sleep(ALIVE_EVERY).await;
            if let Err(error) = write_frames(&mut writer, &[Bytes::new()]).await {
                return error.to_string();
            }
        }
    };
    let reason = tokio::select! {
        reason = receiving => reason,
        reason = signs_of_life => reason,
    };
    debug!(peer = &*from, reason, "a peer's connection to us ended");
}
