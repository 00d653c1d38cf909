//! Random schedules: commands that interfere, recoveries, messages lost, doubled and overtaken, crashes, states that are
//! forgotten and installed; and at the end everybody has executed everything, in one order.

#![allow(clippy::unwrap_used)]

mod support_egalitarian;

use std::collections::{BTreeMap, BTreeSet};

use support_egalitarian::{Cluster, Cmd, EVERYTHING, SPAN, n};
use synod_paxos::node::NodeId;
use synod_probe::mark::{self, Mark};

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

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Which faults there are, and how often.
#[derive(Clone, Copy)]
struct Faults {
    loses: usize,
    doubles: usize,
    crashes: usize,
    recovers: usize,
    forgets: usize,
}

fn play(seed: u64, replicas: u64, steps: usize, keys: usize, faults: Faults) -> Cluster {
    let mut random = Random(seed);
    let mut cluster = Cluster::new(replicas);
    let mut name = 0;
    for _ in 0..steps {
        let node = n(random.below(replicas as usize) as u64 + 1);
        let is_up = cluster.host(node).is_up;
        match random.below(100) {
            0..6 if is_up && name < 60 => {
                name += 1;
                let key = match random.below(12) {
                    0 => EVERYTHING,
                    1 => SPAN,
                    _ => random.below(keys) as u8,
                };
                cluster.propose(node, Cmd { name, key });
            }
            6..50 if !cluster.under_way.is_empty() => {
                let at = random.below(cluster.under_way.len().min(20));
                let packet = match random.chance(faults.doubles) {
                    true => cluster.under_way[at].clone(),
                    false => cluster.under_way.remove(at),
                };
                if !random.chance(faults.loses) {
                    cluster.deliver(packet);
                }
            }
            50..80 if is_up => {
                cluster.persist(node);
            }
            80..83 if is_up && random.chance(faults.recovers) => {
                let open = cluster.host(node).core.undecided(8);
                if !open.is_empty() {
                    let id = open[random.below(open.len())];
                    cluster.with(node, |core| core.recover(id));
                }
            }
            83..89 if is_up => {
                let open = cluster.host(node).core.undecided(8);
                if !open.is_empty() {
                    let id = open[random.below(open.len())];
                    cluster.with(node, |core| core.ask_again(id));
                }
            }
            89..91 if random.chance(faults.crashes) => {
                if is_up {
                    let keep = random.below(3);
                    cluster.crash(node, keep);
                } else {
                    cluster.restart(node);
                }
            }
            91..93 if is_up && random.chance(faults.forgets) => cluster.checkpoint(node),
            93..98 if is_up => {
                let present: Vec<NodeId> =
                    cluster.hosts.iter().filter(|(_, host)| host.is_up).map(|(id, _)| *id).collect();
                cluster.tell_status(node, &present);
            }
            98 if is_up => {
                cluster.install(node);
            }
            _ => {}
        }
    }
    cluster
}

/// Everybody comes back, nothing is lost any more, and everybody asks until all is executed everywhere.
fn settle(cluster: &mut Cluster) {
    let nodes: Vec<NodeId> = cluster.hosts.keys().copied().collect();
    for node in &nodes {
        if !cluster.host(*node).is_up {
            cluster.restart(*node);
        }
    }
    for round in 0..60 {
        cluster.run(|_| false);
        for node in &nodes {
            cluster.tell_status(*node, &nodes);
        }
        cluster.run(|_| false);
        for node in &nodes {
            cluster.install(*node);
        }
        // One after the other, or they would be in each other's way for ever.
        let node = nodes[round % nodes.len()];
        for id in cluster.host(node).core.undecided(100) {
            match cluster.host(node).core.lead(id) {
                Some(_) if round % 2 == 0 => cluster.with(node, |core| core.ask_again(id)),
                _ => {
                    cluster.with(node, |core| core.recover(id));
                }
            }
            cluster.run(|_| false);
        }
        if is_complete(cluster) {
            return;
        }
    }
    let states: Vec<_> = cluster.hosts.values().map(|host| &host.state).collect();
    panic!("it does not settle: {states:?}, promised {:?}", cluster.promised);
}

fn is_complete(cluster: &Cluster) -> bool {
    let done = cluster.order.values().flatten().collect::<BTreeSet<_>>().len();
    let same = cluster.hosts.values().all(|host| host.state == cluster.order);
    same && cluster.promised.len() == done
}

const GENTLE: Faults = Faults { loses: 0, doubles: 0, crashes: 0, recovers: 0, forgets: 0 };
const ROUGH: Faults = Faults { loses: 10, doubles: 10, crashes: 0, recovers: 50, forgets: 0 };
const ALL: Faults = Faults { crashes: 15, forgets: 60, ..ROUGH };

fn hunt(seeds: std::ops::Range<u64>, replicas: u64, faults: Faults) {
    for seed in seeds {
        let what = format!("seed {seed} of {replicas} replicas");
        let played = std::panic::catch_unwind(|| {
            let mut cluster = play(seed, replicas, 2500, 1 + (seed % 3) as usize, faults);
            settle(&mut cluster);
        });
        assert!(played.is_ok(), "{what}");
    }
}

#[test]
fn without_faults_everything_is_executed_everywhere_in_one_order() {
    hunt(0..30, 3, GENTLE);
    hunt(0..10, 5, GENTLE);
}

#[test]
fn recoveries_of_commands_that_interfere_leave_one_order() {
    hunt(100..160, 3, ROUGH);
    hunt(100..120, 5, ROUGH);
}

#[test]
fn crashes_and_forgotten_commands_leave_one_order_and_nothing_is_lost() {
    mark::take();
    hunt(200..280, 3, ALL);
    hunt(200..230, 5, ALL);
    hunt(200..206, 7, ALL);
    let reached: BTreeMap<Mark, u64> = mark::take().into_iter().collect();
    for mark in Mark::ALL.iter().filter(|mark| mark.name().starts_with("Epaxos")) {
        println!("{:>8} {}", reached[mark], mark.name());
    }
}
