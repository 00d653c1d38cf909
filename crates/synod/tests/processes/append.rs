//! `synod append` from many processes at once: none is lost, none is done twice.

use std::process::Output;

use tokio::task::JoinSet;

use crate::support::cluster::Cluster;
use crate::support::poll::in_time;
use crate::support::process::{run, stdout, synod};

const WRITERS: usize = 4;
const APPENDS: usize = 12;
/// `synod`'s exit code when nobody knows whether a write was done.
const OUTCOME_UNKNOWN: i32 = 4;

/// What became of one append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    NotDone,
    Unknown,
}

impl From<&Output> for Outcome {
    fn from(output: &Output) -> Outcome {
        match output.status.code() {
            Some(0) => Outcome::Done,
            Some(OUTCOME_UNKNOWN) => Outcome::Unknown,
            Some(_) => Outcome::NotDone,
            None => panic!("it was killed: {output:?}"),
        }
    }
}

async fn append(endpoints: &str, token: &str) -> Outcome {
    let mut command = synod();
    command.args(["append", "--timeout", "20s", "--endpoints", endpoints, "list", token]);
    Outcome::from(&run(command).await)
}

/// Starts appenders, each with its own first member. A token is appended once, whatever becomes of it.
fn start(cluster: &Cluster) -> JoinSet<Vec<(String, Outcome)>> {
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let mut endpoints: Vec<String> = cluster.members.iter().map(|member| member.endpoint()).collect();
        endpoints.rotate_left(writer % cluster.members.len());
        let endpoints = endpoints.join(",");
        tasks.spawn(async move {
            let mut outcomes = Vec::new();
            for number in 0..APPENDS {
                let token = format!("<{writer}.{number}>");
                let outcome = append(&endpoints, &token).await;
                outcomes.push((token, outcome));
            }
            outcomes
        });
    }
    tasks
}

async fn list(cluster: &Cluster) -> String {
    let mut command = synod();
    command.args(["get", "list", "--print-value-only", "--endpoints", &cluster.endpoints()]);
    stdout(&run(command).await)
}

fn check(list: &str, outcomes: &[(String, Outcome)]) {
    for (token, outcome) in outcomes {
        let times = list.matches(token.as_str()).count();
        let fine = match outcome {
            Outcome::Done => times == 1,
            Outcome::NotDone => times == 0,
            Outcome::Unknown => times <= 1,
        };
        assert!(fine, "{token} was reported as {outcome:?} and is there {times} times: {list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_at_the_same_time_all_succeed_on_top_of_each_other() {
    let cluster = Cluster::start(3).await;
    let outcomes = in_time("all have appended", start(&cluster).join_all()).await.concat();
    assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Done), "{outcomes:?}");
    let list = list(&cluster).await;
    check(&list, &outcomes);
    assert_eq!(list.matches('<').count(), WRITERS * APPENDS, "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_neither_lost_nor_doubled_while_members_are_killed() {
    let mut cluster = Cluster::start(3).await;
    let mut tasks = start(&cluster);
    let (mut outcomes, mut kills) = (Vec::new(), 0);
    while outcomes.len() < WRITERS * APPENDS {
        let leader = cluster.leader().await;
        cluster.members[leader].kill();
        kills += 1;
        // Appends go on with two, and the third comes back among them.
        assert_eq!(append(&cluster.endpoints(), &format!("|{kills}")).await, Outcome::Done);
        cluster.members[leader].start();
        cluster.ready().await;
        while let Some(done) = tasks.try_join_next() {
            outcomes.extend(done.unwrap());
        }
    }
    let list = list(&cluster).await;
    check(&list, &outcomes);
    let done = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Done).count();
    assert!(done > 0, "the appends outlived {kills} kills: {outcomes:?}");
}
