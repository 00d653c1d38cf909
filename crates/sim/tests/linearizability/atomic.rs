//! Long histories of an atomic store have an order, and stop having one where a read is made up.

use std::collections::BTreeMap;

use synod_sim::history::{Answer, Call, Operation, Outcome};
use synod_sim::linearizability::{check, check_appends, check_revisions};
use synod_sim::random::Random;

use crate::generator::{Mix, Shape, forget_revisions, history, history_and_end};

const MIXES: [Mix; 5] = [Mix::Register, Mix::Keys, Mix::Lists, Mix::Transactions, Mix::Proposals];

fn shape(mix: Mix) -> Shape {
    // Dozens of unknown transactions over several keys are where the search gives up.
    let unknown = if mix == Mix::Transactions { 20 } else { 80 };
    Shape { clients: 8, calls: 500, keys: 3, unknown, mix, values: None }
}

#[test]
fn histories_of_an_atomic_store_pass_every_check() {
    for mix in MIXES {
        for seed in 0..10 {
            let history = history(&mut Random::new(seed, "atomic"), shape(mix));
            check(&history).unwrap_or_else(|error| panic!("{mix:?}, seed {seed}: {error}"));
            check_revisions(&history).unwrap_or_else(|error| panic!("{mix:?}, seed {seed}: {error}"));
        }
    }
}

#[test]
fn few_values_written_again_and_again_are_no_obstacle() {
    for mix in MIXES {
        for seed in 0..10 {
            let shape = Shape { values: Some(3), ..shape(mix) };
            let history = history(&mut Random::new(seed, "atomic"), shape);
            check(&history).unwrap_or_else(|error| panic!("{mix:?}, seed {seed}: {error}"));
            check_revisions(&history).unwrap_or_else(|error| panic!("{mix:?}, seed {seed}: {error}"));
        }
    }
}

/// The reads of keys that were found there.
fn reads(history: &mut [Call]) -> Vec<(u64, &mut String)> {
    let found = history.iter_mut().filter_map(|call| match &mut call.outcome {
        Outcome::Answered { at, answer: Answer::Value(Some(value)) | Answer::Chosen(value), .. } => {
            Some((*at, value))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn one_value_that_nobody_wrote_is_noticed() {
    for mix in [Mix::Register, Mix::Keys, Mix::Lists, Mix::Proposals] {
        for seed in 0..5 {
            let mut history = history(&mut Random::new(seed, "atomic"), shape(mix));
            let reads = reads(&mut history);
            let middle = reads.len() / 2;
            let (at, value) = reads.into_iter().nth(middle).unwrap();
            value.push('?');
            let broken = check(&history).unwrap_err();
            assert_eq!(broken.until, at, "{mix:?}, seed {seed}: {broken}");
        }
    }
}

#[test]
fn one_value_from_the_future_is_noticed() {
    for mix in [Mix::Register, Mix::Keys] {
        for seed in 0..5 {
            let mut history = history(&mut Random::new(seed, "atomic"), shape(mix));
            let later = history.iter().rev().find_map(|call| match &call.operation {
                Operation::Put { value, .. } => Some(value.clone()),
                _ => None,
            });
            let reads = reads(&mut history);
            let middle = reads.len() / 2;
            let (at, value) = reads.into_iter().nth(middle).unwrap();
            *value = later.unwrap();
            let broken = check(&history).unwrap_err();
            assert_eq!(broken.until, at, "{mix:?}, seed {seed}: {broken}");
        }
    }
}

#[test]
fn one_append_that_is_lost_is_noticed_twice() {
    for seed in 0..5 {
        let mut history = history(&mut Random::new(seed, "atomic"), Shape { keys: 1, ..shape(Mix::Lists) });
        let last = reads(&mut history).pop().unwrap().1.clone();
        let (first, rest) = last.split_once('>').unwrap();
        assert!(
            check_appends(&history, &BTreeMap::from([("k0".to_owned(), rest.to_owned())])).is_err(),
            "{first}"
        );
        *reads(&mut history).pop().unwrap().1 = rest.to_owned();
        assert!(check(&history).is_err(), "seed {seed}");
    }
}

#[test]
fn appends_to_an_atomic_store_happen_once() {
    for seed in 0..10 {
        let (history, end) = history_and_end(&mut Random::new(seed, "atomic"), shape(Mix::Lists));
        check_appends(&history, &end.keys).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn without_revisions_an_order_is_found_as_well() {
    for mix in [Mix::Register, Mix::Keys, Mix::Lists, Mix::Proposals] {
        for seed in 0..5 {
            let mut history = history(&mut Random::new(seed, "atomic"), shape(mix));
            forget_revisions(&mut history);
            check(&history).unwrap_or_else(|error| panic!("{mix:?}, seed {seed}: {error}"));
        }
    }
}
