//! Replicas of a log in a small seeded world: thousands of seeds, each checked at every step.

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
