//! Wrong versions of rules that random schedules find out. The others are for the simulator. Needs `RUSTFLAGS="--cfg synod_mutants"`.

use std::panic::catch_unwind;

use synod_probe::mutant::{Mutant, activate};

use crate::network::{play, settle};

/// Schedules to try.
const SEEDS: u64 = 3_000;

/// How many schedules it takes until something breaks.
fn hunt(mutant: Mutant) -> Option<u64> {
    activate(Some(mutant));
    let breaks = |seed: &u64| {
        let played = catch_unwind(|| settle(&mut play(*seed, 3 + seed % 3)));
        played.is_err()
    };
    let found = (0..SEEDS).find(breaks);
    activate(None);
    found.map(|seed| seed + 1)
}

#[test]
fn wrong_versions_of_the_rules_of_safety_are_found_out() {
    let mutants = [
        Mutant::FastLogOpenSlotTakenForOwn,
        Mutant::FastLogClosedWithNoop,
        Mutant::FastLogGrantOutlivesBallot,
        Mutant::FastVotedTwice,
        Mutant::FastQuorumTooSmall,
        Mutant::FastVotesAddedUp,
        Mutant::FastAnySeenValuePicked,
        Mutant::FastDividedTakenForFree,
        Mutant::FastCollisionSeenByTooFew,
        Mutant::FastPromiseIgnored,
        Mutant::FastVoteForgotten,
        Mutant::RecoveredSlotsReused,
        Mutant::OnlyFirstSlotReported,
        Mutant::TruncatedReportedAsNothing,
    ];
    let mut alive = Vec::new();
    for mutant in mutants {
        match hunt(mutant) {
            Some(schedules) => println!("{}: {schedules} schedules", mutant.name()),
            None => alive.push(mutant.name()),
        }
    }
    assert!(alive.is_empty(), "these live: {alive:?}");
}
