//! Replicas of a log in a small seeded world: thousands of seeds, each checked at every step.

#![allow(clippy::unwrap_used)]

mod support_multi;

use std::time::Duration;

use support_multi::{Faults, World};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;

const TIMEOUT: Duration = Duration::from_millis(500);

/// Some hundred steps of trouble, then peace: a leader, one more command, and one log on every node.
fn trouble(world: &mut World) {
    world.faults = Faults {
        lose: world.below(30),
        duplicate: world.below(20),
        delay_max: Duration::from_millis(1 + world.below(120)),
        sync_max: Duration::from_millis(1 + world.below(60)),
    };
    let ids = world.ids();
    let pick = |world: &mut World| ids[world.below(ids.len() as u64) as usize];
    for step in 0..120 {
        let id = pick(world);
        match world.below(14) {
            0 if world.is_up(id) => world.crash(id),
            0 | 1 if !world.is_up(id) => world.start(id),
            2 => {
                let other = pick(world);
                world.cut.insert((id, other));
            }
            3 => world.cut.clear(),
            4 => world.checkpoint(id),
            5 => world.read(id),
            _ => {
                world.propose(id, &format!("w{step}"));
            }
        }
        let pause = world.below(120);
        world.run(Duration::from_millis(pause));
    }
}

fn peace(world: &mut World, seed: u64) {
    world.heal();
    let healed = world.now;
    assert!(
        world.run_until(10 * TIMEOUT, |world| world.leaders().len() == 1),
        "seed {seed}: no leader within ten election timeouts after {healed}"
    );
    // A command given to a leader that loses its ballot is lost with it: its origin offers it again.
    let caught_up = (0..10).any(|_| {
        if let Some(leader) = world.leaders().first() {
            world.propose(*leader, "last");
        }
        world.run_until(TIMEOUT, |world| world.all_applied("last"))
    });
    assert!(caught_up, "seed {seed}: not everybody caught up");
}

#[test]
fn three_members_agree_under_every_fault_and_catch_up_in_peace() {
    let mut reads = 0;
    for seed in 0..1500 {
        let mut world = World::new(3, seed);
        trouble(&mut world);
        peace(&mut world, seed);
        reads += world.reads_answered;
    }
    assert!(reads > 500, "only {reads} reads were answered: the seeds prove little about reads");
}

#[test]
fn five_members_agree_under_every_fault_and_catch_up_in_peace() {
    for seed in 0..700 {
        let mut world = World::new(5, seed);
        trouble(&mut world);
        peace(&mut world, seed);
    }
}

/// Found by these seeds: a leader that heard of a higher one by its heartbeat followed it, but led on, and each
/// outbid the other at every round's end, for ever.
#[test]
fn regression_two_leaders_do_not_outbid_each_other_for_ever() {
    let flexible = || QuorumSystem::flexible((1..=4).map(NodeId), 3, 2).unwrap();
    for (mut world, seed) in [(World::new(5, 13), 13), (World::with(flexible(), 91), 91)] {
        trouble(&mut world);
        peace(&mut world, seed);
    }
}

#[test]
fn four_members_with_flexible_quorums_agree() {
    for seed in 0..500 {
        let system = QuorumSystem::flexible((1..=4).map(NodeId), 3, 2).unwrap();
        let mut world = World::with(system, seed);
        trouble(&mut world);
        peace(&mut world, seed);
    }
}

#[test]
fn a_single_member_decides_alone() {
    let mut world = World::new(1, 1);
    assert!(world.run_until(2 * TIMEOUT, |world| world.leaders().len() == 1));
    assert!(world.propose(NodeId(1), "alone"));
    world.read(NodeId(1));
    assert!(world.run_until(TIMEOUT, |world| world.all_applied("alone") && world.reads_answered == 1));
}

#[test]
fn one_seed_is_one_history() {
    let run = |seed| {
        let mut world = World::new(3, seed);
        trouble(&mut world);
        let node = world.nodes.remove(&NodeId(1)).unwrap();
        (world.now, node.applied, world.leader_changes)
    };
    assert_eq!(run(42), run(42));
}

/// A world with one happy leader that everybody follows.
fn settled(count: u64, seed: u64) -> (World, NodeId) {
    let mut world = World::new(count, seed);
    assert!(world.run_until(10 * TIMEOUT, |world| world.leaders().len() == 1), "seed {seed}");
    world.run(TIMEOUT);
    let leader = world.leaders()[0];
    (world, leader)
}

/// Within ten election timeouts `expected` leads, after at most two changes, and what it proposes is chosen.
fn leads_soon(world: &mut World, seed: u64, before: usize, expected: impl Fn(NodeId) -> bool) -> NodeId {
    let leads = |world: &World| world.leaders().iter().any(|leader| expected(*leader));
    assert!(world.run_until(10 * TIMEOUT, leads), "seed {seed}: nobody leads who could");
    let leader = world.leaders().into_iter().find(|leader| expected(*leader)).unwrap();
    world.propose(leader, "after");
    let chosen = |world: &World| world.has_applied(leader, "after");
    assert!(world.run_until(10 * TIMEOUT, chosen), "seed {seed}: {leader} leads and cannot choose");
    // Nothing changes any more, however long it lasts.
    world.run(20 * TIMEOUT);
    let changes = world.leaders_so_far() - before;
    assert!(changes <= 2, "seed {seed}: {changes} leader changes");
    assert!(world.leaders().contains(&leader), "seed {seed}: {leader} did not stay");
    leader
}

#[test]
fn quorum_loss_the_hub_leads_when_everybody_reaches_only_it() {
    for seed in 0..50 {
        let (mut world, old) = settled(5, seed);
        let before = world.leaders_so_far();
        let hub = world.ids().into_iter().find(|id| *id != old).unwrap();
        for a in world.ids() {
            for b in world.ids() {
                if a < b && a != hub && b != hub {
                    world.cut_both(a, b);
                }
            }
        }
        leads_soon(&mut world, seed, before, |leader| leader == hub);
    }
}

#[test]
fn constrained_election_the_only_connected_member_leads_although_its_log_is_behind() {
    for seed in 0..50 {
        let (mut world, old) = settled(5, seed);
        let hub = world.ids().into_iter().find(|id| *id != old).unwrap();
        for other in world.ids() {
            if other != hub {
                world.cut_both(hub, other);
            }
        }
        for word in 0..20 {
            world.propose(old, &format!("behind its back {word}"));
            world.run(Duration::from_millis(10));
        }
        assert!(!world.has_applied(hub, "behind its back 19"));
        world.cut.clear();
        let before = world.leaders_so_far();
        for a in world.ids() {
            for b in world.ids() {
                if a < b && ((a != hub && b != hub) || a == old || b == old) {
                    world.cut_both(a, b);
                }
            }
        }
        leads_soon(&mut world, seed, before, |leader| leader == hub);
        assert!(world.has_applied(hub, "behind its back 19"), "seed {seed}: phase 1 brings what it lacked");
    }
}

#[test]
fn chained_two_ends_do_not_depose_each_other_through_the_middle() {
    for seed in 0..50 {
        let (mut world, leader) = settled(3, seed);
        let before = world.leaders_so_far();
        let end = world.ids().into_iter().rfind(|id| *id != leader).unwrap();
        world.cut_both(leader, end);
        world.propose(leader, "for all");
        let all = world.run_until(10 * TIMEOUT, |world| world.all_applied("for all"));
        assert!(all, "seed {seed}: the far end learns from the middle");
        world.run(20 * TIMEOUT);
        assert_eq!(world.leaders_so_far(), before, "seed {seed}: the leader was deposed");
    }
}

#[test]
fn a_leader_that_can_only_send_or_only_hear_is_replaced() {
    for seed in 0..50 {
        let (mut world, old) = settled(5, seed);
        let before = world.leaders_so_far();
        for other in world.ids() {
            let link = if seed % 2 == 0 { (other, old) } else { (old, other) };
            world.cut.insert(link);
        }
        leads_soon(&mut world, seed, before, |leader| leader != old);
    }
}

#[test]
fn a_member_that_comes_back_from_isolation_deposes_nobody() {
    for seed in 0..50 {
        let (mut world, leader) = settled(3, seed);
        let before = world.leaders_so_far();
        let lonely = world.ids().into_iter().find(|id| *id != leader).unwrap();
        for other in world.ids() {
            world.cut_both(lonely, other);
        }
        world.run(30 * TIMEOUT);
        world.cut.clear();
        world.propose(leader, "together");
        assert!(world.run_until(10 * TIMEOUT, |world| world.all_applied("together")), "seed {seed}");
        world.run(10 * TIMEOUT);
        assert_eq!(world.leaders_so_far(), before, "seed {seed}: the leader was deposed");
    }
}

#[test]
fn a_leader_whose_disk_hangs_makes_way_for_a_healthy_one() {
    for seed in 0..20 {
        let (mut world, old) = settled(3, seed);
        world.slow_disk = Some((old, Duration::from_secs(100)));
        world.propose(old, "slow");
        let replaced = |world: &World| world.leaders().iter().any(|leader| *leader != old);
        assert!(world.run_until(20 * TIMEOUT, replaced), "seed {seed}: {old} goes on leading");
    }
}

#[test]
fn two_clients_that_both_want_the_first_slot_find_the_same_log_everywhere() {
    for seed in 0..50 {
        let (mut world, leader) = settled(3, seed);
        world.propose(leader, "Put k1 v1");
        world.propose(leader, "Put k2 v2");
        let both = |world: &World| world.all_applied("Put k1 v1") && world.all_applied("Put k2 v2");
        assert!(world.run_until(TIMEOUT, both), "seed {seed}");
        let logs: Vec<_> = world.nodes.values().map(|node| node.applied.clone()).collect();
        assert!(logs.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {logs:?}");
    }
}
