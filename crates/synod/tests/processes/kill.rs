//! `kill -9`: one member at a time, the leader included, and all at once.

use crate::history::Writers;
use crate::support::cluster::{Cluster, Member};

/// Enough to be sure that the cluster works again.
const SOME: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_outlives_kills_of_single_members_the_leader_included() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster);
    for round in 0..6 {
        writers.progress(SOME).await;
        let victim = if round % 2 == 0 { cluster.leader().await } else { cluster.follower().await };
        cluster.members[victim].kill();
        // Two of three go on.
        writers.progress(SOME).await;
        cluster.members[victim].start();
        cluster.ready().await;
    }
    writers.finish().await.is_held_by(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_outlives_a_kill_of_all_members_at_once() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster);
    for _ in 0..3 {
        writers.progress(SOME).await;
        cluster.kill_all();
        cluster.members.iter_mut().for_each(Member::start);
        cluster.ready().await;
    }
    writers.progress(SOME).await;
    writers.finish().await.is_held_by(&cluster).await;
}
