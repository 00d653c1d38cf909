//! What clients say: one line a request, one line an answer, so that `nc` is a client.
//!
//! ```text
//! put KEY VALUE     → done
//! append KEY TEXT   → done
//! get KEY           → value VALUE | none
//! delete KEY        → deleted | none
//! ```
//! A key has no blanks; value and text are the rest of the line. What is no request is answered `error REASON`; a
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
use crate::textbook::{Command, Reply};

/// The longest line.
const LINE_MAX: u64 = 1 << 20;
/// When the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// The command that a line asks for.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(line: &str) -> Result<Command, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (key, value) = match rest.split_once(' ') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (rest.to_owned(), None),
    };
    if key.is_empty() {
        return Err("put KEY VALUE, append KEY TEXT, get KEY or delete KEY".to_owned());
    }
    match (verb, value) {
        ("get", None) => Ok(Command::Get { key }),
        ("delete", None) => Ok(Command::Delete { key }),
        ("put", Some(value)) => Ok(Command::Put { key, value }),
        ("append", Some(text)) => Ok(Command::Append { key, text }),
        ("get" | "delete", Some(_)) => Err(format!("{verb} takes a key and nothing else")),
        ("put" | "append", None) => Err(format!("{verb} takes a key and a value")),
        _ => Err(format!("{verb} is none of put, append, get, delete")),
    }
}

fn answer(answer: Answer) -> String {
    match answer {
        Ok(Outcome::Executed(Reply::Done)) => "done".to_owned(),
        Ok(Outcome::Executed(Reply::Value(Some(value)))) => format!("value {value}"),
        Ok(Outcome::Executed(Reply::Deleted(true))) => "deleted".to_owned(),
        Ok(Outcome::Executed(Reply::Value(None) | Reply::Deleted(false))) => "none".to_owned(),
        Ok(Outcome::Unknown) => "unknown".to_owned(),
        Err(Overloaded) => "busy".to_owned(),
    }
}

/// Serves clients until what it returns is dropped.
pub(super) fn start(listener: std::net::TcpListener, inputs: mpsc::Sender<Input>) -> io::Result<JoinSet<()>> {
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
async fn serve(mut stream: TcpStream, inputs: mpsc::Sender<Input>) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    while let Ok(Some(line)) = next_line(&mut reader).await {
        let text = match parse(&line) {
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

async fn ask(inputs: &mpsc::Sender<Input>, command: Command) -> String {
    let (reply, outcome) = oneshot::channel();
    if inputs.send(Input::Request { command, reply }).await.is_err() {
        return "busy".to_owned();
    }
    // A member that stops says nothing of what it had begun.
    outcome.await.map_or_else(|_| "unknown".to_owned(), answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_command_and_the_rest_of_it_the_value() {
        let put = Command::Put { key: "a".to_owned(), value: "two words".to_owned() };
        assert_eq!(parse("put a two words"), Ok(put));
        assert_eq!(parse("get a"), Ok(Command::Get { key: "a".to_owned() }));
        for wrong in ["", "get", "get ", "get a b", "put a", "fetch a", "put"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
