//! Random schedules: writers that compete, leaders that come and go, messages lost, doubled and overtaken, crashes,
//! states that are cut and installed; and at the end everybody has executed the same.

use synod_paxos::fast::log::core::Core;
use synod_paxos::slot::Slot;
use synod_probe::mark::{self, Mark};

use crate::cluster::{Cluster, n};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

pub fn play(seed: u64, count: u64) -> Cluster {
    let mut random = Random(seed);
    let mut cluster = Cluster::new(count);
    let mut name = 0;
    for _ in 0..400 {
        cluster.log.clear();
        let node = random.next() % count + 1;
        let is_up = cluster.host(node).is_up;
        match random.below(100) {
            0..8 if is_up => {
                name += 1;
                cluster.propose(node, name);
            }
            8..55 if !cluster.under_way.is_empty() => {
                let at = random.below(cluster.under_way.len().min(20));
                let packet = match random.below(10) {
                    0 => cluster.under_way[at].clone(),
                    _ => cluster.under_way.remove(at),
                };
                if random.below(12) > 0 {
                    cluster.deliver(packet);
                }
            }
            55..80 if is_up => {
                cluster.persist(n(node));
            }
            80..82 if is_up => cluster.campaign(node),
            82..86 if is_up => cluster.with(n(node), Core::open_window),
            86 if is_up => cluster.with(n(node), Core::withdraw_window),
            87..89 if is_up => {
                let used = cluster.host(node).core.last_used();
                cluster.with(n(node), |core| core.settle_open(used));
            }
            89..92 if is_up => cluster.with(n(node), Core::ask_again),
            92..94 if is_up => cluster.with(n(node), Core::end_round),
            94 if is_up => {
                let keep = random.below(3);
                cluster.crash(node, keep);
            }
            94..97 if !is_up => cluster.restart(node),
            97 if is_up => cluster.checkpoint(node, 0),
            98 if is_up => cluster.with(n(node), Core::forward_waiting),
            99 if is_up => {
                cluster.install(node);
            }
            _ => {}
        }
    }
    cluster
}

/// Everybody comes back, nothing is lost any more, and one leads until everybody has executed the same.
pub fn settle(cluster: &mut Cluster) {
    let nodes = cluster.nodes();
    for node in &nodes {
        if !cluster.host(node.0).is_up {
            cluster.restart(node.0);
        }
    }
    cluster.run();
    for _ in 0..30 {
        cluster.log.clear();
        cluster.campaign(1);
        cluster.run();
        for node in &nodes {
            cluster.with(*node, Core::end_round);
            cluster.run();
            cluster.install(node.0);
            cluster.with(*node, Core::ask_again);
            cluster.run();
        }
        let delivered: Vec<Slot> = nodes.iter().map(|node| cluster.host(node.0).core.delivered()).collect();
        let last = *cluster.chosen.keys().next_back().unwrap_or(&Slot::ZERO);
        if delivered.iter().all(|slot| *slot == last) {
            return;
        }
    }
    let states: Vec<_> = nodes.iter().map(|node| cluster.host(node.0).core.delivered()).collect();
    panic!("it does not settle: {states:?}");
}

#[test]
fn random_schedules_choose_one_value_a_slot_and_settle() {
    mark::take();
    for count in [3, 4, 5] {
        for seed in 0..400 {
            let mut cluster = play(seed, count);
            settle(&mut cluster);
        }
    }
    let reached: Vec<(Mark, u64)> = mark::take().into_iter().filter(|(_, hits)| *hits > 0).collect();
    for mark in [
        Mark::FastPathTaken,
        Mark::FastCollision,
        Mark::FastCoordinatedRecovery,
        Mark::FastDividedRoundFree,
        Mark::FastChoosableValuePicked,
        Mark::FastRoundClosedLate,
        Mark::FastLogLoserProposedAgain,
        Mark::FastLogFellBack,
        Mark::FastLogWindowReopened,
        Mark::FastLogOpenSlotFilled,
        Mark::FetchedSlotTruncated,
        Mark::ChosenSlotRecovered,
        Mark::CheckpointInstalledUnderVotes,
    ] {
        assert!(reached.iter().any(|(known, _)| *known == mark), "{mark:?} was never reached: {reached:?}");
    }
}
