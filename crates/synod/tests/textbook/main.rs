//! The store of the texts on real processes: clients append through all members while members are killed.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::poll::{eventually, in_time};
use support::ports::free_row;
use support::process::{Process, synod};
use synod_sim::history::{Answer, Call, Operation, Outcome};
use synod_sim::linearizability;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const MEMBERS: u16 = 3;
const KILLS: u16 = 4;
/// Every client appends at least so often.
const APPENDS: u64 = 30;

fn port(first: u16, member: u16) -> u16 {
    first + 2 * member
}

fn start(protocol: &str, first: u16, member: u16, directory: &Path) -> Process {
    let mut command = synod();
    command.args(["dev", "--protocol", protocol]).arg("--data-dir").arg(directory);
    command.args(["--client-port", &first.to_string(), "--only", &(member + 1).to_string()]);
    Process::spawn(&mut command, &directory.join(format!("m{member}.log")))
}

/// Sends a line and returns the answer; an error if the connection broke, whatever became of the command.
async fn ask(port: u16, line: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match answer.strip_suffix('\n') {
        Some(answer) => Ok(answer.to_owned()),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

struct History {
    began: Instant,
    calls: Mutex<Vec<Call>>,
}

impl History {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    /// Asks and notes what was asked and told. Returns whether there was an answer.
    async fn note(&self, client: u64, port: u16, line: &str, operation: Operation) -> bool {
        let called = self.now();
        let told = ask(port, line).await;
        let answer = match told.as_deref() {
            Ok("done") => Some(Answer::Done),
            Ok("none") => Some(Answer::Value(None)),
            Ok(text) => text.strip_prefix("value ").map(|value| Answer::Value(Some(value.to_owned()))),
            Err(_) => None,
        };
        let answered = answer.is_some();
        let outcome = match answer {
            Some(answer) => Outcome::Answered { at: self.now(), answer, revision: None },
            None if matches!(operation, Operation::Get { .. }) => Outcome::Failed,
            None => Outcome::Unknown,
        };
        self.calls.lock().unwrap().push(Call { client, called, operation, outcome });
        answered
    }
}

/// Appends and reads through one member until it has done enough and nobody is killed any more.
async fn client(history: Arc<History>, client: u64, port: u16, over: Arc<AtomicBool>) {
    let mut done = 0;
    for number in 0.. {
        let text = format!("<{client}.{number}>");
        let append = Operation::Append { key: "log".to_owned(), text: text.clone() };
        done += u64::from(history.note(client, port, &format!("append log {text}"), append).await);
        if number % 4 == 0 {
            history.note(client, port, "get log", Operation::Get { key: "log".to_owned() }).await;
        }
        if done >= APPENDS && over.load(Ordering::Relaxed) {
            return;
        }
        // The pace of a client, not a wait for anything: a member that is down refuses at once, and a history of nothing but
        // refusals proves nothing.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn survives_kills(protocol: &str) {
    let directory = tempfile::tempdir().unwrap();
    let first = free_row(2 * MEMBERS);
    let mut members: Vec<Option<Process>> =
        (0..MEMBERS).map(|member| Some(start(protocol, first, member, directory.path()))).collect();
    let answers = |member: u16| async move {
        ask(port(first, member), "get ready")
            .await
            .map_err(|error| error.to_string())
            .and_then(|answer| if answer == "none" { Ok(()) } else { Err(answer) })
    };
    for member in 0..MEMBERS {
        eventually("a member answers", async || answers(member).await).await;
    }
    let history = Arc::new(History { began: Instant::now(), calls: Mutex::new(Vec::new()) });
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..MEMBERS)
        .map(|member| {
            let (history, over) = (history.clone(), over.clone());
            tokio::spawn(client(history, u64::from(member) + 1, port(first, member), over))
        })
        .collect();
    for round in 0..KILLS {
        let victim = round % MEMBERS;
        let acknowledged = || history.calls.lock().unwrap().len();
        let before = acknowledged();
        eventually(
            "work goes on",
            async || {
                if acknowledged() > before + 15 { Ok(()) } else { Err("too little") }
            },
        )
        .await;
        members[usize::from(victim)].take().unwrap().kill();
        members[usize::from(victim)] = Some(start(protocol, first, victim, directory.path()));
        eventually("the member that was killed answers", async || answers(victim).await).await;
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        in_time("the clients come to an end", client).await.unwrap();
    }
    // A read by any member is linearizable, so all must say the same, and it is part of the history.
    let mut finals = Vec::new();
    for member in 0..MEMBERS {
        let read = Operation::Get { key: "log".to_owned() };
        assert!(history.note(100, port(first, member), "get log", read).await);
        finals.push(ask(port(first, member), "get log").await.unwrap());
    }
    assert!(finals.iter().all(|value| *value == finals[0]), "{finals:?}");
    let mut calls = history.calls.lock().unwrap().clone();
    calls.sort_by_key(|call| call.called);
    let lists = [("log".to_owned(), finals[0].strip_prefix("value ").unwrap().to_owned())].into();
    linearizability::check_appends(&calls, &lists).unwrap();
    linearizability::check(&calls).unwrap();
    println!("{protocol}: {} calls", calls.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_by_egalitarian_paxos_happen_once_while_members_are_killed() {
    survives_kills("egalitarian").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_by_multi_paxos_happen_once_while_members_are_killed() {
    survives_kills("multi").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_by_fast_paxos_happen_once_while_members_are_killed() {
    survives_kills("fast").await;
}
