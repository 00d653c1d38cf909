//! Message scripts of single-decree Paxos: text files that read like a protocol trace.
//!
//! A file under `golden/synod` is a list of blocks: commands, a line `----`, and what came of them, up to an
//! empty line. Lines that begin with `#` tell the story. `UPDATE_GOLDEN=1` writes what came of them; read
//! it before you keep it.
//!
//! | command | what happens |
//! |---|---|
//! | `nodes 3 [OPTION…]` | a new group of nodes that play every role |
//! | `group acceptors=1,2,3 proposers=4 learners=5,6 [OPTION…]` | a new group with roles apart |
//! | `disk 1 voted (1,n1) A` | before it first starts, the disk of a node holds this record (also `promised (1,n1)`) |
//! | `propose 1 A` | node 1 proposes A |
//! | `persist 1` | the disk of node 1 finishes what it was given |
//! | `deliver promise 2->1 [TEXT]` | the oldest such message (that shows TEXT) arrives |
//! | `drop …`, `duplicate …` | it is lost; it arrives and is still under way |
//! | `forge 3->1 nack (1,n1) promised (9,n2)` | a message that no correct node sent arrives |
//! | `crash 2 [keep=1]` | node 2 dies; of the writes not yet synced the first so many survive |
//! | `restart 2` | node 2 starts with what its disk kept |
//! | `timeout 1` | the next deadline of node 1 passes |
//! | `learn 1` | node 1 wants to know what was chosen |
//! | `run` | disks finish and messages arrive in order until nothing is under way |
//! | `state` | what every node holds |
//!
//! Options: `q1=3 q2=2`, `distinguished=1,2`, `one-quorum-first`, `ignore`.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not see helpers of tests")]

mod script;
mod stage;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/synod");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_script_plays_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = String::new();
    let paths = scripts();
    assert!(paths.len() >= 14, "only {} scripts were found", paths.len());
    for path in paths {
        let written = std::fs::read_to_string(&path).unwrap();
        let played = script::play(&written);
        assert!(!played.contains(stage::MISTAKE), "{} has a mistake:\n{played}", path.display());
        if update {
            std::fs::write(&path, &played).unwrap();
        } else if played != written {
            wrong += &format!("{}\n{}", path.display(), script::diff(&written, &played));
        }
    }
    assert!(wrong.is_empty(), "these scripts play differently:\n{wrong}");
}

#[test]
fn a_difference_shows_what_is_missing_and_what_is_new_with_a_little_around_it() {
    let written = "a\nb\nc\nd\ne\nf\ng\n";
    let played = "a\nb\nc\nd\nX\nf\ng\n";
    assert_eq!(script::diff(written, played), "  c\n  d\n- e\n+ X\n  f\n  g\n");
}
