//! A torn tail is cut; damage is refused, with file and offset, and nothing is touched.

#![allow(clippy::unwrap_used)]

mod support;

use support::{IDENTITY, SMALL, append, batch_offsets, copy, files, numbers, open, state, write, written};
use synod_journal::{Disk, Journal, MemoryDisk, OpenError, Options};

/// Refused as damaged: which file, where, and everything as it was.
fn damage(disk: &MemoryDisk) -> (String, u64) {
    let before = files(disk);
    match open(disk) {
        Err(OpenError::Damaged { file, offset, .. }) => {
            assert_eq!(files(disk), before, "a refusal changes nothing");
            (file, offset)
        }
        Err(error) => panic!("{error}"),
        Ok((_, recovered)) => panic!("damage went unnoticed: {recovered:?}"),
    }
}

/// Fifteen batches in four segments, of which the last begins with batch 13 and goes on with two more.
fn journal() -> MemoryDisk {
    let disk = written(15);
    let (_, last) = files(&disk).pop().unwrap();
    assert_eq!((disk.names().len(), batch_offsets(&last).len()), (4, 4), "{:?}", disk.names());
    disk
}

#[test]
fn cut_at_any_byte_a_journal_opens_with_exactly_the_batches_before_or_names_what_is_gone() {
    let disk = journal();
    let last = disk.names().pop().unwrap();
    for (name, bytes) in files(&disk) {
        let offsets = batch_offsets(&bytes);
        for length in 0..bytes.len() {
            let torn = copy(&disk);
            torn.set_contents(&name, bytes[..length].to_vec());
            let bad_from = offsets.iter().rev().find(|offset| **offset <= length).map_or(0, |offset| *offset);
            // What a segment began with was synced before it had a name.
            if name != last || length < offsets[1] {
                assert_eq!(damage(&torn), (name.clone(), bad_from as u64), "cut at {length}");
                continue;
            }
            let (mut journal, recovered) = open(&torn).unwrap();
            let batches = if length < offsets[2] { 13 } else { 14 };
            assert_eq!(numbers(&recovered), (1..=batches).collect::<Vec<_>>(), "cut at {length}");
            assert_eq!(recovered.state.as_ref().unwrap(), &state(batches));
            assert_eq!(recovered.torn.is_some(), length > bad_from, "cut at {length}");
            // What it then writes is there at the next start, and so is what it recovered.
            write(&mut journal, [batches + 1]);
            let (_, again) = open(&torn.after_crash(|_, _| 0)).unwrap();
            assert_eq!(numbers(&again), (1..=batches + 1).collect::<Vec<_>>(), "cut at {length}");
        }
    }
}

#[test]
fn every_flipped_bit_is_damage_with_file_and_offset_or_lies_in_the_one_batch_that_nobody_vouches_for() {
    let disk = journal();
    let last = disk.names().pop().unwrap();
    for (name, bytes) in files(&disk) {
        let offsets = batch_offsets(&bytes);
        for at in 0..bytes.len() {
            let bad_from = offsets.iter().rev().find(|offset| **offset <= at).map_or(0, |offset| *offset);
            for bit in 0..8 {
                let flipped = copy(&disk);
                flipped.flip(&name, at, 1 << bit);
                if name != last || at < offsets[2] {
                    assert_eq!(
                        damage(&flipped),
                        (name.clone(), bad_from as u64),
                        "flipped bit {bit} of {at}"
                    );
                    continue;
                }
                let (_, recovered) = open(&flipped).unwrap();
                assert_eq!(numbers(&recovered), (1..=14).collect::<Vec<_>>(), "only the last batch is lost");
                let torn = recovered.torn.unwrap();
                assert_eq!((torn.file, torn.offset), (name.clone(), offsets[2] as u64));
                assert_eq!(torn.bytes, (offsets[3] - offsets[2]) as u64);
            }
        }
    }
}

#[test]
fn the_message_says_what_where_how_it_is_known_and_what_to_do() {
    let disk = journal();
    let (name, bytes) = files(&disk).pop().unwrap();
    let offsets = batch_offsets(&bytes);
    disk.flip(&name, offsets[1] + 50, 1);
    let message = open(&disk).unwrap_err().to_string();
    let where_it_is = format!("{name} is damaged at offset {}, in record batch 2", offsets[1]);
    let evidence =
        format!("batch at offset {} says that everything before offset {}", offsets[2], offsets[2]);
    for part in
        [&where_it_is[..], "checksum", &evidence, "must not vote", "Restore", "leave the member stopped"]
    {
        assert!(message.contains(part), "\"{part}\" is not in: {message}");
    }
}

#[test]
fn a_missing_segment_is_damage_unless_it_is_the_oldest_or_the_newest() {
    let disk = journal();
    let names = disk.names();
    for missing in &names[1..names.len() - 1] {
        let mut disk = copy(&disk);
        disk.remove(missing).unwrap();
        disk.sync_dir().unwrap();
        assert_eq!(damage(&disk), (missing.clone(), 0));
    }
    assert!(names.len() > 2);
    let mut without_oldest = copy(&disk);
    without_oldest.remove(&names[0]).unwrap();
    let recovered = open(&without_oldest).unwrap().1;
    assert!(numbers(&recovered).ends_with(&[15]), "it looks like a truncated journal");
}

#[test]
fn segments_that_changed_places_are_damage() {
    let disk = journal();
    let all = files(&disk);
    for first in 0..all.len() {
        for second in first + 1..all.len() {
            let disk = copy(&disk);
            disk.set_contents(&all[first].0, all[second].1.clone());
            disk.set_contents(&all[second].0, all[first].1.clone());
            let (file, offset) = damage(&disk);
            assert!((file == all[first].0 || file == all[second].0) && offset == 0);
        }
    }
}

#[test]
fn a_segment_from_an_earlier_life_of_the_same_member_is_damage() {
    // The same numbers with other contents, as if the directory had been wiped and filled again.
    let earlier = MemoryDisk::new();
    let (mut journal, _) = open(&earlier).unwrap();
    write(&mut journal, (51..=64).chain([15]));
    let disk = self::journal();
    for (name, bytes) in files(&earlier) {
        if name == disk.names()[3] {
            continue;
        }
        let mixed = copy(&disk);
        mixed.set_contents(&name, bytes);
        let (file, _) = damage(&mixed);
        // Its predecessor is not the one that it continues; without one its successor continues another.
        assert!(file <= name, "{file}");
    }
}

#[test]
fn a_stale_batch_is_not_taken_for_one_of_its_new_place() {
    let disk = journal();
    let names = disk.names();
    let older = disk.contents(&names[names.len() - 2]).unwrap();
    let newest = disk.contents(&names[names.len() - 1]).unwrap();
    let (old, new) = (batch_offsets(&older), batch_offsets(&newest));
    // A valid batch of the same offset, of the segment before.
    assert_eq!(old[1], new[1]);
    let stale = [&newest[..new[1]], &older[old[1]..old[2]]].concat();
    let disk_with_stale = copy(&disk);
    disk_with_stale.set_contents(&names[names.len() - 1], stale);
    let (_, recovered) = open(&disk_with_stale).unwrap();
    assert_eq!(numbers(&recovered), (1..=13).collect::<Vec<_>>());
    assert!(recovered.torn.is_some());
    // A valid batch of the same segment, written once more behind its end.
    let doubled = [&newest[..], &newest[new[1]..]].concat();
    disk.set_contents(&names[names.len() - 1], doubled);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), (1..=15).collect::<Vec<_>>());
    assert!(recovered.torn.is_some());
}

#[test]
fn a_hole_in_a_group_that_was_never_synced_is_a_torn_tail_with_valid_batches_in_it() {
    let disk = written(2);
    let (mut journal, _) = open(&disk).unwrap();
    for number in 3..=5 {
        append(&mut journal, number);
    }
    journal.sync().unwrap();
    let (name, bytes) = files(&disk).pop().unwrap();
    let offsets = batch_offsets(&bytes);
    assert_eq!(offsets.len(), 5, "one batch that was written again, and the group");
    disk.flip(&name, offsets[2], 0xff);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!(numbers(&recovered), [1, 2, 3]);
    let torn = recovered.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (offsets[2] as u64, (offsets[4] - offsets[2]) as u64));
    assert_eq!(numbers(&open(&disk).unwrap().1), [1, 2, 3], "the tail is gone for good");
    assert_eq!(open(&disk).unwrap().1.torn, None);
}

#[test]
fn garbage_and_zeros_behind_the_end_are_a_torn_tail() {
    let disk = journal();
    let (name, bytes) = files(&disk).pop().unwrap();
    let magic_and_length =
        |length: u32| [b"BTCHxxxx".to_vec(), length.to_le_bytes().to_vec(), vec![0; 40]].concat();
    let tails = [
        vec![0; 4096],
        vec![0xff; 3],
        b"BTCH".to_vec(),
        b"BTCH".repeat(20_000),
        magic_and_length(0),
        magic_and_length(40),
        magic_and_length(u32::MAX),
        magic_and_length(1 << 31),
    ];
    for tail in tails {
        let disk = copy(&disk);
        disk.set_contents(&name, [&bytes[..], &tail].concat());
        let (_, recovered) = open(&disk).unwrap();
        assert_eq!(numbers(&recovered), (1..=15).collect::<Vec<_>>());
        assert_eq!(recovered.torn.unwrap().bytes, tail.len() as u64);
    }
}

#[test]
fn a_batch_whose_inner_lengths_lie_is_bad_although_its_checksum_is_right() {
    let disk = written(1);
    let (name, bytes) = files(&disk).pop().unwrap();
    let start = batch_offsets(&bytes)[0];
    let seed = u32::from_le_bytes(bytes[72..76].try_into().unwrap());
    // The lengths of the state and of the record, the number of records, and what the batch says was synced.
    for (at, lie) in
        [(36, u32::MAX), (36, 7), (40, u32::MAX), (40, 0), (40, 2), (52, u32::MAX), (20, 1 << 20)]
    {
        let disk = copy(&disk);
        let mut lying = bytes.clone();
        lying[start + at..start + at + 4].copy_from_slice(&lie.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &lying[start + 8..]);
        lying[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        disk.set_contents(&name, lying);
        let (_, recovered) = open(&disk).unwrap();
        assert_eq!(numbers(&recovered), [] as [u64; 0], "{lie} at {at}");
        assert!(recovered.torn.is_some());
    }
}

#[test]
fn a_torn_tail_is_cut_even_if_nothing_else_is_there() {
    let disk = MemoryDisk::new();
    drop(Journal::open(disk.clone(), IDENTITY, SMALL).unwrap());
    let (name, bytes) = files(&disk).pop().unwrap();
    disk.set_contents(&name, [&bytes[..], b"BTCH and so on"].concat());
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.state, recovered.records.len()), (None, 0));
    assert_eq!(recovered.torn.unwrap().bytes, 14);
    write(&mut journal, [1]);
    assert_eq!(numbers(&open(&disk.after_crash(|_, _| 0)).unwrap().1), [1]);
}

#[test]
fn a_journal_without_its_oldest_segments_is_refused_unless_a_checkpoint_covers_them() {
    let written = written(20);
    let segments = files(&written);
    assert!(segments.len() > 3, "{} segments", segments.len());
    for missing in 1..segments.len() {
        let mut disk = copy(&written);
        for (name, _) in &segments[..missing] {
            disk.remove(name).unwrap();
        }
        disk.sync_dir().unwrap();
        let covered_by =
            |covered| Journal::open(copy(&disk), IDENTITY, Options { covered: Some(covered), ..SMALL });
        let (_, left) = open(&copy(&disk)).unwrap();
        let before = numbers(&left).first().copied().unwrap() - 1;
        assert_eq!(numbers(&covered_by(before).unwrap().1), numbers(&left));
        let refused = covered_by(before - 1).unwrap_err().to_string();
        let (first_missing, oldest) = (&segments[missing - 1].0, &segments[missing].0);
        assert!(
            refused.starts_with(&format!("{first_missing} or a newer checkpoint is missing: {oldest}")),
            "{refused}"
        );
    }
}

#[test]
fn what_was_deleted_is_still_known_after_restarts_and_new_segments() {
    let disk = MemoryDisk::new();
    for round in 0..4 {
        let (mut journal, _) = open(&disk).unwrap();
        write(&mut journal, round * 10 + 1..=round * 10 + 10);
        journal.truncate(round * 10 + 5).unwrap();
    }
    let refused = Journal::open(disk.clone(), IDENTITY, Options { covered: Some(20), ..SMALL });
    assert!(matches!(refused, Err(OpenError::Missing { before: 21..=35, covered: 20, .. })), "{refused:?}");
    Journal::open(disk, IDENTITY, Options { covered: Some(35), ..SMALL }).unwrap();
}
