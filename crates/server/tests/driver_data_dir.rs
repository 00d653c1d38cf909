//! What a member finds in its data directory, and what it makes of it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use synod_server::cluster::{Founding, Url};
use synod_server::member::{MemberConfig, RunningMember, StartError, Storage, lift_refusal, listen};
use synod_store::request::{Command, Put};

const MEMBERS: &str = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";
const ALONE: &str = "a=http://127.0.0.1:1";

fn start(directory: &Path, name: &str, token: &str, members: &str) -> Result<RunningMember, StartError> {
    let founding = Founding::parse(token, members).unwrap();
    let config = MemberConfig::new(name, founding, Storage::Directory(directory.to_owned()));
    RunningMember::start(config, listen("peer", &[Url::new("127.0.0.1", 0)]).unwrap())
}

fn refused(directory: &Path, name: &str, token: &str, members: &str) -> String {
    start(directory, name, token, members).unwrap_err().to_string()
}

/// A directory that member `a` has used, all alone: it holds a roster.
fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    start(directory.path(), "a", "token", ALONE).unwrap().stop();
    let begun = std::time::Instant::now();
    while !identity(directory.path()).contains("\nmember a ") {
        assert!(begun.elapsed().as_secs() < 60, "{}", identity(directory.path()));
        start(directory.path(), "a", "token", ALONE).unwrap().stop();
    }
    directory
}

fn identity(directory: &Path) -> String {
    fs::read_to_string(directory.join("identity")).unwrap()
}

fn start_number(directory: &Path) -> u64 {
    let identity = identity(directory);
    let newest = identity.lines().rev().find_map(|line| line.strip_prefix("start ")).unwrap();
    newest.split_once(' ').unwrap().0.parse().unwrap()
}

#[test]
fn every_start_is_counted_before_anything_else() {
    let directory = used();
    let before = start_number(directory.path());
    start(directory.path(), "a", "token", ALONE).unwrap().stop();
    assert_eq!(start_number(directory.path()), before + 1);
}

#[test]
fn a_directory_of_another_cluster_or_member_is_refused_and_the_message_says_whose_it_is() {
    let directory = used();
    let before = identity(directory.path());
    let other_token = refused(directory.path(), "a", "other", ALONE);
    assert!(other_token.contains("\"token\"") && other_token.contains("\"other\""), "{other_token}");
    let more = refused(directory.path(), "a", "token", MEMBERS);
    assert!(more.contains("members a") && more.contains("lists a, b, c"), "{more}");
    let other_name = refused(directory.path(), "b", "token", "b=http://127.0.0.1:1");
    assert!(other_name.contains("members a,") && other_name.contains("lists b"), "{other_name}");
    assert_eq!(identity(directory.path()), before, "a refused start is none");
}

#[test]
fn a_directory_that_holds_no_roster_may_be_used_for_another_founding() {
    let directory = tempfile::tempdir().unwrap();
    let waiting = start(directory.path(), "a", "token", MEMBERS).unwrap();
    let id = waiting.id();
    assert!(waiting.handle().status().leader.is_none());
    waiting.stop();
    assert!(!identity(directory.path()).contains("member"), "nothing was founded");
    let alone = start(directory.path(), "x", "other", "x=http://127.0.0.1:1").unwrap();
    assert_eq!(alone.id(), id, "the disk is the same");
    alone.stop();
}

#[test]
fn a_member_that_the_cluster_refused_does_not_start_until_that_is_lifted() {
    let directory = used();
    let content = identity(directory.path());
    let content = &content[..content.find("checksum").unwrap()];
    let refused_by = format!("{content}refused b says: it is old\n");
    let checksum = crc32c::crc32c(refused_by.as_bytes());
    fs::write(directory.path().join("identity"), format!("{refused_by}checksum {checksum:08x}\n")).unwrap();
    let error = start(directory.path(), "a", "token", ALONE).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("it is old"), "{error}");
    let path = directory.path().to_owned();
    assert_eq!(lift_refusal(path.clone()).unwrap().as_deref(), Some("b says: it is old"));
    assert_eq!(lift_refusal(path).unwrap(), None);
    start(directory.path(), "a", "token", ALONE).unwrap().stop();
}

#[test]
fn a_member_may_move_to_another_address_and_keeps_its_identity() {
    let directory = used();
    let id = |directory: &Path| start(directory, "a", "token", ALONE).unwrap().id();
    let before = id(directory.path());
    let moved = ALONE.replace("127.0.0.1:1", "127.0.0.1:9");
    assert_eq!(start(directory.path(), "a", "token", &moved).unwrap().id(), before);
}

#[test]
fn a_damaged_or_edited_identity_is_refused() {
    let directory = used();
    let path = directory.path().join("identity");
    let text = fs::read_to_string(&path).unwrap();
    for damaged in [text.replace("start 1", "start 0"), text.replace("member a", "member b"), String::new()] {
        fs::write(&path, &damaged).unwrap();
        let error = refused(directory.path(), "a", "token", ALONE);
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged, "it is left as it was found");
    }
}

#[test]
fn data_without_an_identity_is_not_taken_for_an_empty_directory() {
    let directory = used();
    fs::remove_file(directory.path().join("identity")).unwrap();
    let error = start(directory.path(), "a", "token", ALONE).unwrap_err();
    assert!(matches!(error, StartError::NoIdentity(_)), "{error}");
}

#[test]
fn there_is_no_refusal_to_lift_in_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    let error = lift_refusal(directory.path().to_owned()).unwrap_err();
    assert!(matches!(error, StartError::Empty(_)), "{error}");
}

#[test]
fn a_member_whose_journal_is_gone_does_not_start_with_an_empty_memory() {
    let directory = used();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("journal-") {
            fs::remove_file(path).unwrap();
        }
    }
    let error = start(directory.path(), "a", "token", ALONE).unwrap_err();
    assert!(matches!(error, StartError::NoJournal(_)), "{error}");
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let directory = used();
    let leftover = directory.path().join("checkpoint-00000000000000000007.tmp");
    fs::write(&leftover, "half").unwrap();
    start(directory.path(), "a", "token", ALONE).unwrap().stop();
    assert!(!leftover.exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let error = refused(&file, "a", "token", MEMBERS);
    assert!(error.contains(file.to_str().unwrap()), "{error}");
}

/// A member alone, with a checkpoint: its directory and the checkpoint.
fn with_checkpoint() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let founding = Founding::parse("token", ALONE).unwrap();
    let storage = Storage::Directory(directory.path().to_owned());
    let config = MemberConfig { checkpoint_bytes: 1, ..MemberConfig::new("a", founding, storage) };
    let listeners = listen("peer", &[Url::new("127.0.0.1", 0)]).unwrap();
    let member = RunningMember::start(config, listeners).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let checkpoint = || {
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        names.into_iter().find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("checkpoint-") && !name.ends_with(".tmp")
        })
    };
    let handle = member.handle();
    for number in 0..10_000 {
        let put = Command::Put(Put::new("key", format!("value {number}")));
        // One that is refused or times out is as good as none here.
        let _ = runtime.block_on(handle.write(put));
        if checkpoint().is_some() {
            break;
        }
    }
    member.stop();
    let checkpoint = checkpoint().expect("a checkpoint is written when one is due");
    (directory, checkpoint)
}

#[test]
fn a_damaged_checkpoint_is_refused_and_named() {
    let (directory, checkpoint) = with_checkpoint();
    start(directory.path(), "a", "token", ALONE).unwrap().stop();
    let whole = fs::read(&checkpoint).unwrap();
    let mut bent = whole.clone();
    *bent.last_mut().unwrap() ^= 1;
    for damaged in [bent, whole[..whole.len() - 1].to_vec(), Vec::new()] {
        fs::write(&checkpoint, damaged).unwrap();
        let error = refused(directory.path(), "a", "token", ALONE);
        assert!(error.contains(checkpoint.to_str().unwrap()) && error.contains("damaged"), "{error}");
    }
}
