//! What clients say: one line a request, one line an answer, so that `nc` is a client.
//!
//! What lines are commands, and how replies read, the [`Service`] says. What is no command is answered `error REASON`; a
//! command of which nobody knows what became of it, `unknown`; one that was not taken, `busy`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::warn;

use crate::driver::{Answer, Input};
use crate::host::{Outcome, Overloaded};
use crate::machine::Service;

/// The longest line.
const LINE_MAX: u64 = 1 << 20;
/// When the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

fn show<S: Service>(answer: &Answer<S::Reply>) -> String {
    match answer {
        Ok(Outcome::Executed(reply)) => S::show(reply),
        Ok(Outcome::Unknown) => "unknown".to_owned(),
        Err(Overloaded) => "busy".to_owned(),
    }
}

/// Serves clients until what it returns is dropped.
pub(super) fn start<S: Service>(
    listener: std::net::TcpListener,
    inputs: mpsc::Sender<Input<S>>,
) -> io::Result<JoinSet<()>> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, inputs.clone()))),
                Err(error) => {
                    warn!(%error, "a client's connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(tasks)
}

/// Answers one client, one line after the other. A connection that fails ends.
async fn serve<S: Service>(mut stream: TcpStream, inputs: mpsc::Sender<Input<S>>) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        let text = match S::parse(&line) {
            Ok(command) => ask(&inputs, command).await,
            Err(reason) => format!("error {reason}"),
        };
        if writer.write_all(format!("{text}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next line without its end; none when there are no more, or one is longer than may be.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = reader.take(LINE_MAX).read_line(&mut line).await?;
    let whole = read > 0 && (line.ends_with('\n') || (read as u64) < LINE_MAX);
    Ok(whole.then(|| line.trim_end_matches(['\n', '\r']).to_owned()))
}

async fn ask<S: Service>(inputs: &mpsc::Sender<Input<S>>, command: S::Command) -> String {
    let (reply, outcome) = oneshot::channel();
    if inputs.send(Input::Request { command, reply }).await.is_err() {
        return "busy".to_owned();
    }
    // A member that stops says nothing of what it had begun.
    outcome.await.map_or_else(|_| "unknown".to_owned(), |answer| show::<S>(&answer))
}
