//! Every scenario shows what its title says, whatever the seed leaves open.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use synod_sim::scenarios::{self, Outcome};

/// Each name is a test of its own.
macro_rules! scenarios {
    ($($sentence:ident: $name:literal,)*) => {
        $(#[test]
        fn $sentence() {
            plays_well($name);
        })*

        #[test]
        fn every_scenario_has_a_test_here() {
            let tested = BTreeSet::from([$($name),*]);
            let listed: BTreeSet<_> = scenarios::all().iter().map(|scenario| scenario.name).collect();
            assert_eq!(tested, listed);
            assert_eq!(listed.len(), scenarios::all().len(), "names are unique");
        }
    };
}

fn plays_well(name: &str) {
    let scenario = scenarios::named(name).unwrap();
    for seed in 1..=5 {
        let Outcome { trace, story, verdict } = scenario.play(seed);
        assert_eq!(verdict, Ok(()), "{name}, seed {seed}:\n{}", story.join("\n"));
        assert_eq!(trace.scenario.as_deref(), Some(name));
        assert!(!trace.events.is_empty());
    }
}

#[test]
fn the_same_seed_is_the_same_play() {
    for scenario in scenarios::all() {
        let (one, other) = (scenario.play(3), scenario.play(3));
        assert_eq!((one.trace, one.story), (other.trace, other.story), "{}", scenario.name);
    }
}

scenarios! {
    a_leader_that_is_only_slow_is_replaced_and_answers_nothing_stale: "slow-leader",
}
