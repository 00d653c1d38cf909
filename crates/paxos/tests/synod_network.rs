//! Thousands of seeded worlds: agreement, validity, promises kept across restarts, one value per ballot and
//! P2b at every step, and a decision that everybody learns once the faults have stopped.

mod support_synod;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use support_synod::{Faults, World};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::options::{Audience, Group, Learning, Options, Refusal};

const MINUTE: Duration = Duration::from_secs(60);

fn nodes(count: u64) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

/// Acceptors 1–3, proposers 4 and 5, learners 6–8.
fn separate(learning: Learning) -> Group {
    let acceptors = QuorumSystem::majority(nodes(3)).expect("three acceptors");
    Group::new(acceptors, [4, 5].map(NodeId), [6, 7, 8].map(NodeId), learning).expect("a group")
}

/// Every mixture of the options.
fn options(seed: u64) -> Options {
    Options {
        audience: if seed & 1 == 0 { Audience::All } else { Audience::OneQuorumFirst },
        refusal: if seed & 2 == 0 { Refusal::Reject } else { Refusal::Ignore },
        ..Options::default()
    }
}

/// Some steps of trouble: proposals on all sides, crashes at any moment.
fn trouble(world: &mut World) {
    world.faults = Faults {
        lose: world.below(40),
        duplicate: world.below(30),
        delay_max: Duration::from_millis(1 + world.below(150)),
        sync_max: Duration::from_millis(1 + world.below(40)),
    };
    let ids = world.ids();
    for step in 0..60_u8 {
        let id = ids[world.below(ids.len() as u64) as usize];
        match world.below(8) {
            0 | 1 if world.is_up(id) => world.crash(id),
            0..=2 if !world.is_up(id) => world.start(id),
            3 => world.learn(id),
            _ => world.propose(id, char::from(b'A' + step % 26)),
        }
        let pause = Duration::from_millis(world.below(60));
        world.run(pause);
    }
}

/// Nothing is lost any more and everybody is up: everybody who can learn learns the one value.
fn peace(world: &mut World, group: &Group, seed: u64) {
    world.faults = Faults::NONE;
    for id in world.ids() {
        if !world.is_up(id) {
            world.start(id);
        }
        world.propose(id, 'Z');
        world.learn(id);
    }
    let who = group.learners();
    let all_know = |world: &World| who.iter().all(|id| world.knows(*id).is_some());
    assert!(world.run_until(MINUTE, all_know), "seed {seed}: not everybody learned");
    let values: BTreeSet<char> = who.iter().filter_map(|id| world.knows(*id)).collect();
    let chosen: BTreeSet<char> = world.checker.chosen.values().copied().collect();
    assert_eq!(values.len(), 1, "seed {seed}: agreement");
    assert_eq!(values, chosen, "seed {seed}: what was learned is what was chosen");
    assert!(chosen.is_subset(&world.checker.proposed), "seed {seed}: validity");
}

/// Plays the seeds. Returns in how many worlds a chosen value was chosen again with a higher ballot, and how
/// often a node started.
fn play(group: &Group, seeds: Range<u64>) -> (u64, u64) {
    let (mut chosen_again, mut starts) = (0, 0);
    for seed in seeds {
        let mut world = World::new(group.clone(), options(seed), seed);
        trouble(&mut world);
        peace(&mut world, group, seed);
        chosen_again += u64::from(world.checker.chosen.len() > 1);
        starts += world.starts;
    }
    (chosen_again, starts)
}

#[test]
fn three_nodes_of_all_roles_agree_under_every_fault_and_decide_in_peace() {
    let (chosen_again, starts) = play(&Group::combined(nodes(3)).unwrap(), 0..3000);
    assert!(chosen_again > 300, "in only {chosen_again} worlds a chosen value met a higher ballot");
    assert!(starts > 15_000, "only {starts} starts: the seeds prove little about restarts");
}

#[test]
fn five_nodes_of_all_roles_agree() {
    play(&Group::combined(nodes(5)).unwrap(), 0..1500);
}

#[test]
fn four_acceptors_with_phase_2_quorums_of_two_agree() {
    let acceptors = QuorumSystem::flexible(nodes(4), 3, 2).unwrap();
    play(&Group::new(acceptors, nodes(4), nodes(4), Learning::Everyone).unwrap(), 0..1500);
}

#[test]
fn roles_on_nodes_of_their_own_agree_when_every_acceptor_tells_every_learner() {
    play(&separate(Learning::Everyone), 0..700);
}

#[test]
fn roles_on_nodes_of_their_own_agree_with_one_distinguished_learner_and_with_several() {
    for distinguished in [vec![6], vec![6, 8]] {
        let distinguished = distinguished.into_iter().map(NodeId).collect();
        play(&separate(Learning::Distinguished(distinguished)), 0..700);
    }
}

#[test]
fn roles_that_overlap_in_part_agree() {
    let acceptors = QuorumSystem::majority(nodes(3)).unwrap();
    let learning = Learning::Distinguished(BTreeSet::from([NodeId(2)]));
    let group = Group::new(acceptors, [1, 4].map(NodeId), [2, 5].map(NodeId), learning).unwrap();
    play(&group, 0..700);
}

#[test]
fn a_learner_learns_though_every_distinguished_learner_is_gone() {
    let group = separate(Learning::Distinguished(BTreeSet::from([NodeId(6)])));
    for seed in 0..200 {
        let mut world = World::new(group.clone(), options(seed), seed);
        world.crash(NodeId(6));
        world.propose(NodeId(4), 'A');
        world.learn(NodeId(7));
        let known = world.run_until(MINUTE, |world| world.knows(NodeId(7)) == Some('A'));
        assert!(known, "seed {seed}");
    }
}

#[test]
fn any_minority_of_acceptors_may_stay_away() {
    let group = Group::combined(nodes(5)).unwrap();
    for seed in 0..500 {
        let mut world = World::new(group.clone(), options(seed), seed);
        let away: BTreeSet<NodeId> = (0..2).map(|_| NodeId(1 + world.below(5))).collect();
        away.iter().for_each(|id| world.crash(*id));
        let present: Vec<NodeId> = world.ids().into_iter().filter(|id| !away.contains(id)).collect();
        present.iter().for_each(|id| world.propose(*id, char::from(b'A' + u8::try_from(id.0).unwrap())));
        let all_know = |world: &World| present.iter().all(|id| world.knows(*id).is_some());
        assert!(world.run_until(MINUTE, all_know), "seed {seed}: {away:?} away");
    }
}

#[test]
fn one_seed_is_one_history() {
    let history = |seed| {
        let group = Group::combined(nodes(3)).unwrap();
        let mut world = World::new(group.clone(), options(seed), seed);
        trouble(&mut world);
        peace(&mut world, &group, seed);
        format!("{world:?}")
    };
    assert_eq!(history(42), history(42));
    assert_ne!(history(42), history(43));
}
