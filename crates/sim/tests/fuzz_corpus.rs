//! The corpus of `fuzz/`, and mutations of it, on stable and in every CI run: what libFuzzer does, only shorter.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use synod_sim::fuzz::{TARGETS, Target, corpus};
use synod_sim::random::Random;

/// Of each file, in each target.
const MUTATIONS: u64 = 3_000;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a target's corpus, in order of their names.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(fuzz_dir().join("corpus").join(target))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs one input; a failure shows it, ready for a file of the corpus.
fn run((name, target): &Target, input: &[u8]) {
    if catch_unwind(|| target(input)).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{name} fails on these {} bytes: {hex}", input.len());
    }
}

/// One to four small changes.
fn mutate(input: &[u8], others: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.between(1, 4) {
        change(&mut bytes, others, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)], random: &mut Random) {
    let place = |length: usize, random: &mut Random| random.below(length as u64 + 1) as usize;
    let at = place(bytes.len().saturating_sub(1), random);
    match random.below(7) {
        _ if bytes.is_empty() => bytes.push(random.number() as u8),
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.number() as u8,
        2 => bytes.truncate(at),
        3 => {
            let end = at + place(bytes.len() - at, random);
            bytes.drain(at..end);
        }
        // Lengths, counts and positions: small, huge, or a little off.
        4 => {
            let width = (*random.pick(&[4, 8])).min(bytes.len() - at);
            let number =
                *random.pick(&[0, 1, u64::MAX, u64::MAX >> 1, u64::from(u32::MAX), bytes.len() as u64]);
            let number = number.wrapping_add(random.below(3)).wrapping_sub(1);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        5 => {
            let end = at + place(bytes.len() - at, random);
            let repeated = bytes[at..end].to_vec();
            bytes.splice(at..at, repeated);
        }
        _ => {
            let (_, other) = random.pick(others);
            let from = place(other.len(), random);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

#[test]
fn the_corpus_is_what_its_generator_makes_and_every_seed_is_valid_input() {
    for (target, _) in TARGETS {
        let files = files(target);
        for seed in corpus::seeds(target) {
            assert!(files.contains(&seed), "fuzz/corpus/{target}/{} is not what is made now", seed.0);
        }
    }
}

#[test]
fn every_target_has_a_program_of_its_own_for_the_fuzzer() {
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let program = fs::read_to_string(fuzz_dir().join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(program.contains(&format!("fuzz::{target}(")), "{target}.rs runs something else");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is missing in fuzz/Cargo.toml");
    }
}

#[test]
fn no_decoder_breaks_its_word_on_the_corpus_or_on_mutations_of_it() {
    for target in TARGETS {
        let files = files(target.0);
        for (name, input) in &files {
            run(target, input);
            let mut random = Random::new(1, &format!("{}/{name}", target.0));
            for _ in 0..MUTATIONS {
                run(target, &mutate(input, &files, &mut random));
            }
        }
    }
}
