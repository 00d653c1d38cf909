//! Clients that read and write a few keys all the time, and write down what they asked and what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, Error, GetResponse, ResponseHeader, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use synod_sim::history::{Answer, Call, Operation, Outcome, Step};
use synod_sim::random::Random;
use tokio::task::JoinSet;

use crate::support::cluster::{Cluster, client};
use crate::support::poll::in_time;

const CLIENTS: u64 = 5;
/// Of what takes longer nobody knows whether it happened.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Between two calls of one client.
const PACE: Duration = Duration::from_millis(5);
/// After a call that failed.
const BREATH: Duration = Duration::from_millis(100);

/// The key that is only ever appended to.
pub const LIST: &str = "list";
/// The keys that are written over.
pub const KEYS: [&str; 3] = ["a", "b", "c"];

/// All clients at work.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Vec<Call>>,
}

impl Clients {
    /// Starts them. Times count from `start`.
    pub fn start(cluster: &Cluster, seed: u64, start: Instant) -> Clients {
        let ports: Vec<u16> = cluster.members.iter().map(|member| member.client).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for id in 1..=CLIENTS {
            tasks.spawn(work(id, ports.clone(), seed, start, stop.clone()));
        }
        Clients { stop, tasks }
    }

    /// Lets them finish what they are doing. Returns all their calls.
    pub async fn finish(self) -> Vec<Call> {
        self.stop.store(true, Ordering::SeqCst);
        in_time("the clients finish", self.tasks.join_all()).await.concat()
    }
}

async fn work(id: u64, ports: Vec<u16>, seed: u64, start: Instant, stop: Arc<AtomicBool>) -> Vec<Call> {
    let mut random = Random::new(seed, &format!("client {id}"));
    let mut connections = Vec::new();
    for port in ports {
        connections.push(client(port).await);
    }
    let (mut calls, mut turn, mut fine) = (Vec::new(), usize::try_from(id).unwrap(), true);
    while !stop.load(Ordering::SeqCst) {
        let at = turn % connections.len();
        // A read first, so that a member that is gone costs no write of unknown outcome.
        let operation = if fine {
            let list = list_seen(&calls);
            operation(&mut random, list, &format!("{id}.{}", calls.len()))
        } else {
            Operation::Get { key: LIST.to_owned() }
        };
        let appends = matches!(&operation, Operation::Get { key } if key == LIST);
        calls.push(call(&mut connections[at], id, start, operation).await);
        fine = matches!(calls.last().unwrap().outcome, Outcome::Answered { .. });
        if fine && appends && random.chance(500) {
            let append = swap(list_seen(&calls), &format!("<{id}.{}>", calls.len()));
            calls.push(call(&mut connections[at], id, start, append).await);
            fine = matches!(calls.last().unwrap().outcome, Outcome::Answered { .. });
        }
        if !fine {
            turn += 1;
        }
        tokio::time::sleep(if fine { PACE } else { BREATH }).await;
    }
    calls
}

/// What this client last saw the list hold.
fn list_seen(calls: &[Call]) -> Option<String> {
    calls.iter().rev().find_map(|call| match (&call.operation, &call.outcome) {
        (Operation::Get { key }, Outcome::Answered { answer: Answer::Value(value), .. }) if key == LIST => {
            Some(value.clone())
        }
        _ => None,
    })?
}

/// An append: the list must be what was read.
fn swap(old: Option<String>, text: &str) -> Operation {
    let new = format!("{}{text}", old.as_deref().unwrap_or_default());
    Operation::Transact {
        expected: vec![(LIST.to_owned(), old)],
        then: vec![Step::Put(LIST.to_owned(), new)],
        otherwise: Vec::new(),
    }
}

fn operation(random: &mut Random, list: Option<String>, value: &str) -> Operation {
    let key = (*random.pick(&KEYS)).to_owned();
    match random.below(100) {
        0..30 => Operation::Get { key },
        30..55 => Operation::Put { key, value: value.to_owned() },
        55..63 => Operation::Delete { key },
        63..70 => {
            // Both or none.
            let then = ["a", "b"].map(|key| Step::Put(key.to_owned(), value.to_owned()));
            let otherwise = ["a", "b"].map(|key| Step::Get(key.to_owned()));
            let (then, otherwise) = (then.to_vec(), otherwise.to_vec());
            Operation::Transact { expected: vec![("b".to_owned(), None)], then, otherwise }
        }
        // On top of what was read some time ago: mostly somebody else was faster.
        70..73 => swap(list, &format!("<{value}>")),
        _ => Operation::Get { key: LIST.to_owned() },
    }
}

/// Asks, waits and writes down.
pub async fn call(client: &mut Client, id: u64, start: Instant, operation: Operation) -> Call {
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let called = now();
    let answer = tokio::time::timeout(PATIENCE, ask(client, &operation)).await;
    let outcome = match answer {
        Ok(Ok((answer, revision))) => Outcome::Answered { at: now(), answer, revision: Some(revision) },
        Ok(Err(_)) | Err(_) => Outcome::Unknown,
    };
    Call { client: id, called, operation, outcome }
}

async fn ask(client: &mut Client, operation: &Operation) -> Result<(Answer, i64), Error> {
    let revision = |header: Option<&ResponseHeader>| header.unwrap().revision();
    Ok(match operation {
        Operation::Get { key } => {
            let got = client.get(key.as_str(), None).await?;
            (Answer::Value(value(&got)), revision(got.header()))
        }
        Operation::Put { key, value } => {
            let done = client.put(key.as_str(), value.as_str(), None).await?;
            (Answer::Done, revision(done.header()))
        }
        Operation::Delete { key } => {
            let done = client.delete(key.as_str(), None).await?;
            (Answer::Deleted(done.deleted() > 0), revision(done.header()))
        }
        Operation::Transact { expected, then, otherwise } => {
            let compares: Vec<Compare> = expected.iter().map(compare).collect();
            let steps = |steps: &[Step]| steps.iter().map(step).collect::<Vec<TxnOp>>();
            let txn = Txn::new().when(compares).and_then(steps(then)).or_else(steps(otherwise));
            let done = client.txn(txn).await?;
            (transacted(&done), revision(done.header()))
        }
        Operation::Append { .. }
        | Operation::Overreach { .. }
        | Operation::Compact { .. }
        | Operation::Propose { .. } => panic!("nobody asks for {operation:?} here"),
    })
}

fn compare((key, expected): &(String, Option<String>)) -> Compare {
    match expected {
        Some(value) => Compare::value(key.as_str(), CompareOp::Equal, value.as_str()),
        None => Compare::version(key.as_str(), CompareOp::Equal, 0),
    }
}

fn step(step: &Step) -> TxnOp {
    match step {
        Step::Get(key) => TxnOp::get(key.as_str(), None),
        Step::Put(key, value) => TxnOp::put(key.as_str(), value.as_str(), None),
        Step::Delete(key) => TxnOp::delete(key.as_str(), None),
    }
}

fn transacted(done: &TxnResponse) -> Answer {
    let responses = done.op_responses();
    let read = responses.iter().filter_map(|response| match response {
        TxnOpResponse::Get(got) => Some(value(got)),
        _ => None,
    });
    Answer::Transacted { succeeded: done.succeeded(), read: read.collect() }
}

fn value(got: &GetResponse) -> Option<String> {
    got.kvs().first().map(|kv| kv.value_str().unwrap().to_owned())
}
