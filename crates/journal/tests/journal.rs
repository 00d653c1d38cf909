//! A journal loses nothing that it said was durable, and says so when its disk did.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use synod_journal::format::segment_name;
use synod_journal::{Disk, Identity, Journal, JournalError, MemoryDisk, OpenError, Options, Recovered};

const IDENTITY: Identity = Identity { cluster: 7, node: 3 };
const SMALL: Options = Options { segment_bytes: 200 };

fn open(disk: &MemoryDisk) -> Result<(Journal, Recovered), OpenError> {
    Journal::open(disk.clone(), IDENTITY, SMALL)
}

fn record(number: u64) -> Bytes {
    format!("record {number}").into()
}

fn state(number: u64) -> String {
    format!("state {number}")
}

/// Writes batches of one record each, synced one by one.
fn write(journal: &mut Journal, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        journal.append(state(number).as_bytes(), number, &[record(number)]);
        journal.sync().unwrap();
    }
}

/// The numbers of the records, each once, in the order of their first appearance.
fn numbers(recovered: &Recovered) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let text = |record: &Bytes| String::from_utf8(record.to_vec()).unwrap();
    let number = |record| text(record).strip_prefix("record ").unwrap().parse::<u64>().unwrap();
    recovered.records.iter().map(number).filter(|number| seen.insert(*number)).collect()
}

fn written(count: u64) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered, Recovered::default());
    write(&mut journal, 1..=count);
    disk
}

#[test]
fn what_was_synced_is_there_after_a_crash_in_order_with_the_newest_state() {
    let disk = written(20).after_crash(|_, _| 0);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), (1..=20).collect::<Vec<_>>());
    assert_eq!(recovered.state.unwrap(), state(20));
    assert_eq!(recovered.torn, None);
    assert!(disk.names().len() > 3, "the journal rolled: {:?}", disk.names());
}

#[test]
fn a_group_is_one_sync() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let before = disk.operations();
    for number in 0..10 {
        journal.append(b"state", number, &[record(number)]);
    }
    journal.sync().unwrap();
    assert_eq!(disk.operations() - before, 2, "one write and one sync");
}

#[test]
fn cut_at_any_byte_of_its_last_batches_a_journal_opens_with_what_was_synced_before() {
    // Nothing after the cut survives, as if the machine had lost power while it wrote.
    let disk = written(6);
    let name = disk.names().pop().unwrap();
    let bytes = disk.contents(&name).unwrap();
    let all = numbers(&open(&disk.after_crash(|_, _| 0)).unwrap().1).len() as u64;
    for length in 0..=bytes.len() {
        let torn = disk.after_crash(|_, _| 0);
        torn.set_contents(&name, bytes[..length].to_vec());
        let (mut journal, recovered) = open(&torn).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        let kept = numbers(&recovered);
        assert_eq!(kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "cut at {length}: a prefix survives");
        assert!(length < bytes.len() || kept.len() as u64 == all);
        // What it then writes is there at the next start, and so is what it recovered.
        write(&mut journal, [77]);
        let (_, again) = open(&torn.after_crash(|_, _| 0)).unwrap();
        assert_eq!(numbers(&again), [kept, vec![77]].concat(), "cut at {length}");
    }
}

#[test]
fn a_flipped_byte_is_damage_with_file_and_offset_or_lies_in_the_one_batch_that_nobody_vouches_for() {
    let disk = written(9);
    let last = disk.names().pop().unwrap();
    for name in disk.names() {
        let bytes = disk.contents(&name).unwrap();
        for offset in 0..bytes.len() {
            let flipped = disk.after_crash(|_, _| 0);
            flipped.flip(&name, offset, 0x10);
            let before: Vec<_> = flipped.names().iter().map(|name| flipped.contents(name)).collect();
            match open(&flipped) {
                Err(OpenError::Damaged { file, offset: found, .. }) => {
                    assert_eq!(file, name);
                    assert!(found <= offset as u64, "{name}: {found} is behind {offset}");
                    let after: Vec<_> = flipped.names().iter().map(|name| flipped.contents(name)).collect();
                    assert_eq!(before, after, "a refusal changes nothing");
                }
                Err(error) => panic!("{name} at {offset}: {error}"),
                Ok((_, recovered)) => {
                    assert_eq!(name, last, "a flip at {offset} of {name} went unnoticed");
                    assert_eq!(
                        numbers(&recovered),
                        (1..=8).collect::<Vec<_>>(),
                        "only the last batch is lost"
                    );
                }
            }
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = written(20);
    let name = disk.names()[1].clone();
    disk.clone().remove(&name).unwrap();
    disk.clone().sync_dir().unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { file, .. } if *file == name), "{error}");
    assert!(error.to_string().contains("must not vote"), "{error}");
}

#[test]
fn whatever_happens_while_it_opens_or_writes_nothing_synced_is_lost() {
    // Stop after every single operation of two lives, keep every possible part of the last unsynced write.
    for stop in 0..60 {
        for kept in [0, 1, 39, 40, 60, usize::MAX] {
            let disk = MemoryDisk::new();
            let mut durable = 0;
            disk.stop_after(stop);
            for _ in 0..3 {
                let Ok((mut journal, _)) = open(&disk) else { break };
                for number in durable + 1..=durable + 4 {
                    journal.append(b"state", number, &[record(number)]);
                    if journal.sync().is_err() {
                        break;
                    }
                    durable = number;
                }
            }
            let disk = disk.after_crash(|_, _| kept);
            let (_, recovered) =
                open(&disk).unwrap_or_else(|error| panic!("stop {stop}, kept {kept}: {error}"));
            let found = numbers(&recovered);
            let expected = (1..=durable.max(found.len() as u64)).collect::<Vec<_>>();
            assert_eq!(found, expected, "stop {stop}, kept {kept}: {durable} were durable");
        }
    }
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again_before_it_is_believed() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    write(&mut journal, 1..=2);
    disk.fail_sync(0);
    journal.append(b"state", 3, &[record(3)]);
    assert!(journal.sync().is_err());
    drop(journal);
    // The process starts again; the machine did not lose power, so reading still shows the third record.
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3]);
    write(&mut journal, [4]);
    // Now the power fails: what the failed sync had only pretended to keep is gone, its second copy is not.
    let (_, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3, 4]);
}

#[test]
fn after_a_failed_sync_a_journal_never_touches_its_files_again() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    write(&mut journal, 1..=3);
    disk.fail_sync(0);
    journal.append(b"state", 4, &[record(4)]);
    let first = journal.sync().unwrap_err();
    let operations = disk.operations();
    journal.append(b"state", 5, &[record(5)]);
    assert_eq!(journal.sync(), Err(first.clone()));
    assert_eq!(journal.truncate(99), Err(first));
    assert_eq!(disk.operations(), operations);
}

#[test]
fn a_full_disk_is_named_and_what_was_synced_before_stays() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    write(&mut journal, 1..=3);
    disk.set_capacity(journal.bytes() + 30);
    journal.append(b"state", 4, &[record(4)]);
    let error = journal.sync().unwrap_err();
    assert!(matches!(error, JournalError::Full { .. }), "{error}");
    let (_, recovered) = open(&disk.after_crash(|_, unsynced| unsynced)).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3]);
}

#[test]
fn segments_that_a_checkpoint_covers_are_deleted_oldest_first_and_the_state_survives() {
    let disk = written(20);
    let (mut journal, _) = open(&disk).unwrap();
    let before = disk.names().len();
    let deleted = journal.truncate(10).unwrap();
    assert!(deleted > 0 && disk.names().len() == before - deleted);
    let (mut journal, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
    let kept = numbers(&recovered);
    assert!(kept.contains(&11) && kept.ends_with(&[20]), "{kept:?}");
    assert!(!kept.contains(&1), "{kept:?}");
    journal.truncate(u64::MAX).unwrap();
    let (_, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
    assert_eq!(recovered.state.unwrap(), state(20));
}

#[test]
fn starting_again_and_again_does_not_make_the_journal_grow() {
    let disk = written(3);
    let sizes: Vec<u64> = (0..6).map(|_| open(&disk).unwrap().0.bytes()).collect();
    let growth: BTreeSet<u64> = sizes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(growth.iter().all(|growth| *growth < 200), "each start adds a header and a witness: {sizes:?}");
    assert_eq!(open(&disk).unwrap().1.records.len(), 3, "no record stands twice");
}

#[test]
fn another_members_journal_is_refused() {
    let disk = written(1);
    let other = Identity { node: 4, ..IDENTITY };
    let error = Journal::open(disk, other, SMALL).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[test]
fn the_format_is_stable() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(b"st", 5, &[Bytes::from_static(b"ab")]);
    journal.sync().unwrap();
    let bytes = disk.contents(&segment_name(1)).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("golden/segment.hex").trim());
}

#[test]
fn a_real_directory_keeps_a_journal_too() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || synod_journal::DirectoryDisk::new(directory.path().join("journal")).unwrap();
    let (mut journal, _) = Journal::open(disk(), IDENTITY, SMALL).unwrap();
    write(&mut journal, 1..=5);
    drop(journal);
    let (_, recovered) = Journal::open(disk(), IDENTITY, SMALL).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3, 4, 5]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Sync,
    Truncate(u8),
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..60_u8).prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => (0..30_u8).prop_map(Step::Truncate),
        1 => prop_oneof![Just(0), Just(usize::MAX), 0..200_usize].prop_map(Step::Crash),
    ]
}

proptest! {
    #[test]
    fn a_random_life_loses_nothing_that_was_synced(steps in prop::collection::vec(step(), 1..60)) {
        let mut disk = MemoryDisk::new();
        let mut journal = open(&disk).unwrap().0;
        let (mut next, mut durable, mut truncated) = (1, 0, 0);
        for step in steps {
            match step {
                Step::Append(length) => {
                    let records = [record(next), Bytes::from(format!("record {next}"))];
                    journal.append(&vec![b's'; usize::from(length)], next, &records);
                    next += 1;
                }
                Step::Sync => {
                    journal.sync().unwrap();
                    durable = next - 1;
                }
                Step::Truncate(mark) => {
                    let mark = u64::from(mark).min(durable);
                    journal.truncate(mark).unwrap();
                    truncated = mark.max(truncated);
                }
                Step::Crash(kept) => {
                    disk = disk.after_crash(|_, _| kept);
                    let (opened, recovered) = open(&disk).unwrap();
                    journal = opened;
                    let found = numbers(&recovered);
                    for number in truncated + 1..=durable {
                        prop_assert!(found.contains(&number), "{number} is lost: {found:?}");
                    }
                    prop_assert!(found.is_sorted());
                    next = found.last().copied().unwrap_or(durable).max(durable) + 1;
                    durable = next - 1;
                }
            }
        }
    }
}
