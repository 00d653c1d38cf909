//! What goes wrong, drawn from a seed: one thing after the other, every kind at least once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use synod_sim::random::Random;

use crate::links::{Link, Links};
use crate::support::cluster::Cluster;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL, and a restart later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// One member reaches nobody and nobody reaches it.
    Isolate,
    /// Two members do not reach each other; the third reaches both.
    Chain,
    /// One member hears the others, who do not hear it.
    Mute,
    /// One member is heard by the others and does not hear them.
    Deaf,
    /// One direction of one link is cut.
    OneWay,
    /// Every link is slow, each as slow as it likes.
    Delay,
}

/// All kinds.
pub const KINDS: [Fault; 8] = [
    Fault::Kill,
    Fault::Pause,
    Fault::Isolate,
    Fault::Chain,
    Fault::Mute,
    Fault::Deaf,
    Fault::OneWay,
    Fault::Delay,
];

/// Faults last so long, in milliseconds. The election timeout is 500.
const LASTS: (u64, u64) = (800, 2400);
/// Between two of them, in milliseconds.
const REST: (u64, u64) = (200, 900);

/// What was made of the cluster.
#[derive(Debug, Default)]
pub struct Made {
    /// How often each kind of fault.
    pub faults: BTreeMap<Fault, u32>,
    /// How often another member led after a fault than before it.
    pub leader_changes: u32,
}

/// Makes faults until `end`, and until every kind was made. All is healed afterwards.
pub async fn rage(cluster: &mut Cluster, links: &Links, random: &mut Random, end: Instant) -> Made {
    let start = Instant::now();
    let mut all = Made::default();
    let mut next = Vec::new();
    let mut leader = cluster.leader().await;
    while Instant::now() < end || all.faults.len() < KINDS.len() {
        if next.is_empty() {
            next = random.sample(&KINDS, KINDS.len());
        }
        let fault = next.pop().unwrap();
        // Mostly the one that matters most.
        let members: Vec<usize> = (0..cluster.members.len()).collect();
        let aim = random.sample(&members, members.len());
        let (mut victim, other) = (aim[0], aim[1]);
        let first = !all.faults.contains_key(&fault);
        // Drawn in any case, so that one seed draws the same faults whatever the members do.
        if random.chance(500) | first {
            victim = leader;
        }
        let other = if other == victim { aim[0] } else { other };
        let lasts = random.between(LASTS.0, LASTS.1);
        let at = start.elapsed().as_secs_f64();
        println!(
            "{at:6.2} s: {fault:?}, {lasts} ms, {} ({})",
            cluster.members[victim].name, cluster.members[other].name
        );
        begin(fault, cluster, links, victim, other, random);
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        stop(fault, cluster, links, victim);
        tokio::time::sleep(Duration::from_millis(random.between(REST.0, REST.1))).await;
        *all.faults.entry(fault).or_default() += 1;
        let led = std::mem::replace(&mut leader, cluster.leader().await);
        all.leader_changes += u32::from(led != leader);
    }
    all
}

fn begin(
    fault: Fault,
    cluster: &mut Cluster,
    links: &Links,
    victim: usize,
    other: usize,
    random: &mut Random,
) {
    let size = cluster.members.len();
    let cut = Link { cut: true, ..Link::default() };
    let others = || (0..size).filter(|index| *index != victim);
    match fault {
        Fault::Kill => cluster.members[victim].kill(),
        Fault::Pause => cluster.members[victim].process.as_ref().expect("it runs").pause(),
        Fault::Isolate => others().for_each(|other| {
            links.set(victim, other, cut);
            links.set(other, victim, cut);
        }),
        Fault::Chain => {
            links.set(victim, other, cut);
            links.set(other, victim, cut);
        }
        Fault::Mute => others().for_each(|other| links.set(victim, other, cut)),
        Fault::Deaf => others().for_each(|other| links.set(other, victim, cut)),
        Fault::OneWay => links.set(victim, other, cut),
        Fault::Delay => {
            for (from, to) in (0..size).flat_map(|from| (0..size).map(move |to| (from, to))) {
                let delay = Duration::from_millis(random.skewed(150));
                links.set(from, to, Link { cut: false, delay });
            }
        }
    }
}

fn stop(fault: Fault, cluster: &mut Cluster, links: &Links, victim: usize) {
    match fault {
        Fault::Kill => cluster.members[victim].start(),
        Fault::Pause => cluster.members[victim].process.as_ref().expect("it runs").resume(),
        _ => links.heal(),
    }
}
