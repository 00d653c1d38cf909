//! Every wrong rule is found out. Needs `RUSTFLAGS="--cfg synod_mutants"`: without it there are none.

#![cfg(synod_mutants)]

use synod_probe::mutant::Mutant;
use synod_sim::mutants::{Effort, hunt, hunt_all};

#[test]
fn the_canary_is_killed_by_the_simulator_and_by_the_model_checker() {
    let hunt = hunt(Mutant::Canary, Effort { seeds: 5, states: 30_000, both: true });
    assert!(hunt.simulator.is_some(), "{hunt:?}");
    assert!(hunt.checker.is_some(), "{hunt:?}");
}

#[test]
fn every_mutant_is_killed_by_a_general_invariant() {
    let effort = Effort { seeds: 1_000, states: 70_000, both: false };
    let hunts = hunt_all(Mutant::ALL, effort, &|hunt| println!("{}", hunt.row()));
    let alive = hunts.iter().filter(|hunt| !hunt.is_killed()).map(|hunt| hunt.mutant.name());
    let alive: Vec<_> = alive.collect();
    assert!(alive.is_empty(), "these live: {alive:?}");
}

#[test]
fn the_wrong_versions_of_founding_are_killed_by_the_model_checker_too() {
    for mutant in [Mutant::OtherDisksRosterAdopted, Mutant::DeciderDoesNotAsk] {
        let hunt = hunt(mutant, Effort { seeds: 0, states: 40_000, both: true });
        println!("{}", hunt.row());
        assert!(hunt.checker.is_some(), "{hunt:?}");
    }
}
