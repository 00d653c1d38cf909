//! A journal keeps what it was given, rolls, truncates, and stops for good when its disk fails.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use support::{IDENTITY, SMALL, append, copy, files, numbers, open, record, state, write, written};
use synod_journal::format::{BATCH_BYTES_MAX, segment_name};
use synod_journal::{DirectoryDisk, Disk, Identity, Journal, JournalError, MemoryDisk, OpenError, Options};

#[test]
fn what_was_synced_is_there_after_a_crash_in_order_with_the_newest_state() {
    let disk = written(20).after_crash(|_, _| 0);
    assert!(disk.names().len() > 3, "the journal rolled: {:?}", disk.names());
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), (1..=20).collect::<Vec<_>>());
    assert_eq!(recovered.state.unwrap(), state(20));
    assert_eq!(recovered.torn, None);
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let before = disk.operations();
    for number in 0..10 {
        append(&mut journal, number);
    }
    assert_eq!(disk.operations(), before, "appending touches no file");
    journal.sync().unwrap();
    assert_eq!(disk.operations() - before, 2);
    journal.sync().unwrap();
    assert_eq!(disk.operations() - before, 2, "there was nothing to write");
}

#[test]
fn records_of_every_length_come_back() {
    let disk = MemoryDisk::new();
    let options = Options::default();
    let (mut journal, _) = Journal::open(disk.clone(), IDENTITY, options).unwrap();
    let lengths = [0, 1, 4095, 4096, 4097, 0, 100_000, 4096, 4096, 7];
    let records: Vec<Bytes> =
        lengths.iter().zip(1_u8..).map(|(length, byte)| Bytes::from(vec![byte; *length])).collect();
    journal.append(b"", 1, &records);
    journal.append(&[7; 5000], 2, &[]);
    journal.append(b"short", 3, &records[6..7]);
    journal.sync().unwrap();
    let disk = disk.after_crash(|_, _| 0);
    for _ in 0..2 {
        let (_, recovered) = Journal::open(disk.clone(), IDENTITY, options).unwrap();
        assert_eq!(recovered.records, [&records[..], &records[6..7]].concat());
        assert_eq!(recovered.state.unwrap(), "short");
    }
}

#[test]
fn whatever_operation_fails_the_journal_never_touches_its_files_again() {
    let life = |disk: &MemoryDisk, journal: &mut Journal| {
        let mut calls = Vec::new();
        for number in 5..=14 {
            append(journal, number);
            calls.push(journal.sync().map(|()| 0));
        }
        calls.push(journal.truncate(9));
        let first_error = calls.iter().position(Result::is_err);
        first_error.map(|at| (calls.split_off(at), disk.operations()))
    };
    let disk = written(4);
    let (mut journal, _) = open(&copy(&disk)).unwrap();
    assert_eq!(life(&disk, &mut journal), None);
    let mut failures = 0;
    loop {
        let disk = copy(&disk);
        let (mut journal, _) = open(&disk).unwrap();
        disk.fail_operation(failures);
        let Some((calls, _)) = life(&disk, &mut journal) else { break };
        let operations = disk.operations();
        let error = calls[0].clone();
        assert!(error.as_ref().is_err_and(|error| error.to_string().contains("journal-")), "{error:?}");
        assert!(calls.iter().all(|call| *call == error), "{calls:?}");
        append(&mut journal, 99);
        assert_eq!(journal.sync().map(|()| 0), error);
        assert_eq!(journal.truncate(99), error);
        assert_eq!(disk.operations(), operations);
        failures += 1;
    }
    assert!(failures > 25, "writes, syncs, rolls and deletions failed: {failures}");
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again_before_it_is_believed() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    write(&mut journal, 1..=2);
    disk.fail_sync(0);
    append(&mut journal, 3);
    assert!(journal.sync().is_err());
    // The process starts again; the machine did not lose power, so reading still shows the third record.
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3]);
    write(&mut journal, [4]);
    // Now the power fails: what the failed sync had only pretended to keep is gone, its second copy is not.
    let (_, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3, 4]);
}

#[test]
fn a_segment_that_failed_to_be_begun_is_not_relied_on_later() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    write(&mut journal, 1..=8);
    // The sync of the ninth batch's segment fails, and that of the directory in another world.
    for nth in 0..5 {
        let disk = copy(&disk);
        let (mut journal, _) =
            Journal::open(disk.clone(), IDENTITY, Options { segment_bytes: 0, ..Options::default() })
                .unwrap();
        disk.fail_operation(nth);
        append(&mut journal, 9);
        let synced = journal.sync();
        assert!(synced.is_err() || nth == 4, "creation, write, sync, rename, sync of the directory");
        let (mut journal, recovered) = open(&disk).unwrap();
        write(&mut journal, [10]);
        let seen = numbers(&recovered);
        let (_, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
        assert_eq!(numbers(&recovered), [seen, vec![10]].concat());
    }
}

#[test]
fn a_full_disk_is_named_and_what_was_synced_before_stays() {
    for room in [0, 30, 90] {
        for segment_bytes in [0, 1 << 20] {
            let disk = written(3);
            let (mut journal, _) =
                Journal::open(disk.clone(), IDENTITY, Options { segment_bytes, ..Options::default() })
                    .unwrap();
            disk.set_capacity(journal.bytes() + room);
            append(&mut journal, 4);
            append(&mut journal, 5);
            let error = journal.sync().unwrap_err();
            assert!(matches!(error, JournalError::Full { .. }), "{error}");
            assert!(error.to_string().starts_with("the disk is full: journal-"), "{error}");
            let refused = open(&disk).unwrap_err();
            assert!(refused.to_string().contains("the disk is full"), "{refused}");
            disk.set_capacity(u64::MAX);
            let (_, recovered) = open(&disk.after_crash(|_, unsynced| unsynced)).unwrap();
            assert_eq!(numbers(&recovered)[..3], [1, 2, 3]);
        }
    }
}

#[test]
fn a_batch_that_is_too_large_is_refused_before_anything_is_written() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    let before = files(&disk);
    append(&mut journal, 1);
    journal.append(b"state", 2, &[Bytes::from(vec![0; BATCH_BYTES_MAX])]);
    assert!(matches!(journal.sync(), Err(JournalError::TooLarge(_))));
    assert_eq!(files(&disk), before);
}

#[test]
fn segments_that_a_checkpoint_covers_are_deleted_oldest_first_and_the_state_survives() {
    let disk = written(20);
    let (mut journal, _) = open(&disk).unwrap();
    let before = disk.names();
    let bytes = journal.bytes();
    let deleted = journal.truncate(10).unwrap();
    assert!(deleted > 0 && disk.names() == before[deleted..]);
    assert!(journal.bytes() < bytes);
    let disk = disk.after_crash(|_, _| 0);
    let (mut journal, recovered) = open(&disk).unwrap();
    let kept = numbers(&recovered);
    assert!(kept.contains(&11) && kept.ends_with(&[20]), "{kept:?}");
    assert!(!kept.contains(&1), "{kept:?}");
    journal.truncate(u64::MAX).unwrap();
    let disk = disk.after_crash(|_, _| 0);
    assert_eq!(disk.names().len(), 1, "only the current segment is left");
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.state.unwrap(), state(20));
    assert!(open(&disk).is_ok());
}

#[test]
fn a_segment_stays_as_long_as_any_of_its_batches_speaks_of_a_later_slot() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    // Votes need not come in the order of their slots.
    for (number, mark) in [(1, 50), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7)] {
        journal.append(state(number).as_bytes(), mark, &[record(number)]);
        journal.sync().unwrap();
    }
    assert!(disk.names().len() > 1);
    assert_eq!(journal.truncate(49).unwrap(), 0);
    let (mut journal, _) = open(&disk).unwrap();
    assert_eq!(journal.truncate(49).unwrap(), 0, "nor after a restart");
    assert!(journal.truncate(50).unwrap() > 0);
}

#[test]
fn bytes_are_those_on_the_disk() {
    let disk = written(11);
    let on_disk = |disk: &MemoryDisk| files(disk).iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    let (mut journal, _) = open(&disk).unwrap();
    assert_eq!(journal.bytes(), on_disk(&disk));
    write(&mut journal, 12..=20);
    assert_eq!(journal.bytes(), on_disk(&disk));
    journal.truncate(8).unwrap();
    assert_eq!(journal.bytes(), on_disk(&disk));
}

#[test]
fn starting_again_and_again_does_not_make_the_journal_grow() {
    let disk = written(3);
    let first = open(&disk).unwrap().0.bytes();
    for _ in 0..6 {
        let (journal, recovered) = open(&disk).unwrap();
        assert_eq!(journal.bytes(), first);
        assert_eq!(numbers(&recovered), [1, 2, 3]);
    }
    let empty = MemoryDisk::new();
    for _ in 0..3 {
        assert_eq!(open(&empty).unwrap().0.bytes(), 76, "a header");
    }
}

#[test]
fn another_members_journal_is_refused() {
    let disk = written(1);
    for other in [Identity { node: 4, ..IDENTITY }, Identity { cluster: 8, ..IDENTITY }] {
        let error = Journal::open(disk.clone(), other, SMALL).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { found: IDENTITY, .. }), "{error}");
    }
}

#[test]
fn a_journal_of_another_version_is_refused_by_its_number() {
    let disk = written(1);
    let name = disk.names().pop().unwrap();
    let mut bytes = disk.contents(&name).unwrap();
    bytes[8] = 9;
    let checksum = crc32c::crc32c(&bytes[..72]);
    bytes[72..76].copy_from_slice(&checksum.to_le_bytes());
    disk.set_contents(&name, bytes);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Version { version: 9, .. }), "{error}");
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let disk = written(3);
    for name in ["identity", "journal-1", "journal-zzzzzzzzzzzzzzzz", "journal-0000000000000001x"] {
        disk.set_contents(name, b"not a segment".to_vec());
    }
    let before = disk.names().len();
    assert_eq!(numbers(&open(&disk).unwrap().1), [1, 2, 3]);
    assert!(disk.names().len() >= before);
    assert_eq!(disk.contents("journal-1").unwrap(), b"not a segment");
}

/// A change of these bytes is a change of the format: it needs another version number.
#[test]
fn the_format_is_stable() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(b"st", 5, &[Bytes::from_static(b"ab")]);
    journal.append(b"sta", 6, &[]);
    journal.sync().unwrap();
    drop(journal);
    let (mut journal, _) = open(&disk).unwrap();
    journal.append(b"x", 7, &[Bytes::from_static(b""), Bytes::from_static(b"c")]);
    journal.sync().unwrap();
    assert_eq!(disk.names(), [segment_name(2)]);
    let bytes = disk.contents(&segment_name(2)).unwrap();
    let lines =
        bytes.chunks(16).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(lines.collect::<Vec<_>>().join("\n"), include_str!("golden/segment.hex").trim());
}

#[test]
fn a_real_directory_keeps_a_journal_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/journal");
    let disk = || DirectoryDisk::new(&path).unwrap();
    let (mut journal, _) = Journal::open(disk(), IDENTITY, SMALL).unwrap();
    write(&mut journal, 1..=9);
    // More pieces than one system call takes.
    let records: Vec<Bytes> = (0..3000_u32).map(|byte| Bytes::from(vec![byte as u8; 4096])).collect();
    journal.append(b"", 10, &records);
    journal.sync().unwrap();
    journal.truncate(3).unwrap();
    drop(journal);
    let (journal, recovered) = Journal::open(disk(), IDENTITY, SMALL).unwrap();
    assert_eq!(recovered.records[recovered.records.len() - 3000..], records);
    assert_eq!(recovered.records[recovered.records.len() - 3001], record(9));
    let names = disk().list().unwrap();
    let lengths = names.iter().map(|name| disk().read(name).unwrap().len() as u64);
    assert_eq!(lengths.sum::<u64>(), journal.bytes());
}

#[test]
fn a_full_segment_goes_on_while_nothing_more_can_be_opened_and_nothing_is_lost() {
    let disk = written(5);
    let (mut journal, _) = open(&disk).unwrap();
    let segments = disk.names();
    disk.set_out_of_descriptors(true);
    write(&mut journal, 6..=30);
    assert_eq!(disk.names(), segments, "all of it is in the segment that was open");
    assert!(journal.is_out_of_descriptors());
    let (_, recovered) = open(&copy(&disk)).unwrap();
    assert_eq!(numbers(&recovered), (1..=30).collect::<Vec<_>>(), "a crash meanwhile takes nothing");
    disk.set_out_of_descriptors(false);
    write(&mut journal, 31..=40);
    assert!(!journal.is_out_of_descriptors());
    assert!(disk.names().len() > segments.len(), "it rolls again: {:?}", disk.names());
    journal.truncate(30).unwrap();
    let (_, recovered) = open(&disk.after_crash(|_, _| 0)).unwrap();
    assert_eq!(numbers(&recovered), (31..=40).collect::<Vec<_>>());
}
