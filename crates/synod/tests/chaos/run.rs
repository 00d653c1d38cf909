//! The run: faults and clients at the same time, then peace, then the accounts.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use synod_sim::history::{Answer, Call, Operation, Outcome, Step};
use synod_sim::linearizability::{check, check_appends, check_revisions};
use synod_sim::random::Random;

use crate::clients::{Clients, KEYS, LIST, call};
use crate::faults::{KINDS, rage};
use crate::links::Links;
use crate::support::cluster::{Cluster, Member, client};

/// So long there are faults if nobody says otherwise.
const SECONDS: u64 = 20;
/// The client that asks when all is over.
const LAST: u64 = 0;
/// Fewer answers than these would say little.
const ANSWERS: usize = 200;

fn setting<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_through_kills_pauses_and_cuts_is_linearizable() {
    let seconds = setting("SYNOD_CHAOS_SECONDS").unwrap_or(SECONDS);
    let drawn = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed: u64 = setting("SYNOD_CHAOS_SEED").unwrap_or_else(drawn);
    println!("SYNOD_CHAOS_SEED={seed} SYNOD_CHAOS_SECONDS={seconds}");

    let mut cluster = Cluster::found_apart(3);
    let links = Links::start(&cluster).await;
    cluster.members.iter_mut().for_each(Member::start);
    cluster.ready().await;

    let start = Instant::now();
    let clients = Clients::start(&cluster, seed, start);
    let end = start + Duration::from_secs(seconds);
    let made = rage(&mut cluster, &links, &mut Random::new(seed, "faults"), end).await;
    cluster.ready().await;
    let mut calls = clients.finish().await;
    let last = last_reads(&cluster, start, &mut calls).await;

    let count = |wanted: fn(&Outcome) -> bool| calls.iter().filter(|call| wanted(&call.outcome)).count();
    let answered = count(|outcome| matches!(outcome, Outcome::Answered { .. }));
    let unknown = count(|outcome| *outcome == Outcome::Unknown);
    println!("{answered} calls answered, {unknown} not; {made:?}");
    same_everywhere(&cluster).await;
    check_revisions(&calls).unwrap_or_else(|error| panic!("{error}"));
    check_appends(&as_appends(&calls), &last).unwrap_or_else(|error| panic!("{error}"));
    check(&calls).unwrap_or_else(|error| panic!("{error}"));
    assert!(answered > ANSWERS, "{answered} calls were answered");
    assert_eq!(made.faults.len(), KINDS.len(), "{made:?}");
    assert!(made.leader_changes > 0, "{made:?}");
}

/// Reads every key once more, the list from every member. Returns what the list holds.
async fn last_reads(cluster: &Cluster, start: Instant, calls: &mut Vec<Call>) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for member in &cluster.members {
        let mut client = client(member.client).await;
        for key in KEYS.iter().chain([&LIST]) {
            let read = call(&mut client, LAST, start, Operation::Get { key: (*key).to_owned() }).await;
            let Outcome::Answered { answer: Answer::Value(value), .. } = &read.outcome else {
                panic!("{} is not answered in peace: {read:?}", member.name);
            };
            if *key == LIST {
                last.insert(LIST.to_owned(), value.clone().unwrap_or_default());
            }
            calls.push(read);
        }
    }
    last
}

/// All members hold the same, and hash it to the same.
async fn same_everywhere(cluster: &Cluster) {
    let revision = cluster.settled().await;
    let mut hashes = Vec::new();
    for member in &cluster.members {
        let hash = member.client().await.hash_kv(revision).await.unwrap();
        hashes.push((hash.hash(), hash.hash_revision(), hash.header().unwrap().revision()));
    }
    assert!(
        hashes.iter().all(|hash| *hash == hashes[0]),
        "at revision {revision} the members hold {hashes:?}"
    );
}

/// The transactions on the list as the appends that they are, beside its reads.
fn as_appends(calls: &[Call]) -> Vec<Call> {
    let of_list = calls.iter().filter_map(|call| {
        let text = match &call.operation {
            Operation::Get { key } if key == LIST => return Some(call.clone()),
            Operation::Transact { expected, then, .. } => match (&**expected, &**then) {
                ([(key, old)], [Step::Put(_, new)]) if key == LIST => {
                    new[old.as_ref().map_or(0, String::len)..].to_owned()
                }
                _ => return None,
            },
            _ => return None,
        };
        let outcome = match &call.outcome {
            Outcome::Answered { answer: Answer::Transacted { succeeded: false, .. }, .. } => Outcome::Failed,
            other => other.clone(),
        };
        Some(Call { operation: Operation::Append { key: LIST.to_owned(), text }, outcome, ..call.clone() })
    });
    of_list.collect()
}
