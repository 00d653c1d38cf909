//! Message scripts of Fast Paxos: text files that read like a protocol trace.
//!
//! A file under `golden/fast` is a list of blocks: commands, a line `----`, and what came of them, up to an
//! empty line. Lines that begin with `#` tell the story. `UPDATE_GOLDEN=1` writes what came of them; read
//! it before you keep it.
//!
//! | command | what happens |
//! |---|---|
//! | `nodes 4 [uncoordinated] [f=1 e=1]` | a new group |
//! | `lead 1` | node 1 opens a fast round |
//! | `propose 1 A` | node 1 proposes A |
//! | `persist 1` | the disk of node 1 finishes what it was given |
//! | `deliver promise 2->1,3 [TEXT]` | the oldest such message (that shows TEXT) arrives |
//! | `drop …`, `duplicate …` | it is lost; it arrives and is still under way |
//! | `crash 2 [keep=1]` | node 2 dies; of the writes not yet synced the first so many survive |
//! | `restart 2` | node 2 starts with what its disk kept |
//! | `timeout 1` | the next deadline of node 1 passes |
//! | `learn 1` | node 1 wants to know what was chosen |
//! | `run` | disks finish and messages arrive in order until nothing is under way |
//! | `state` | what every node holds |

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not see helpers of tests")]

#[path = "../synod_scripts/script.rs"]
mod script;
mod stage;

use std::path::{Path, PathBuf};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fast");
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
    assert!(paths.len() >= 8, "only {} scripts were found", paths.len());
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
