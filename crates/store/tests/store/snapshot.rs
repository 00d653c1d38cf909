use bytes::Bytes;
use proptest::prelude::*;
use synod_store::request::*;
use synod_store::{Restore, SnapshotError, Store};

use crate::random;
use crate::support::*;

fn snapshot(store: &Store) -> Vec<u8> {
    store.view().encode().flatten().collect()
}

fn restore(pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<Store, SnapshotError> {
    let (mut restore, mut check) = (Restore::new(), Restore::of_nothing());
    for piece in pieces {
        let pushed = restore.push(piece.as_ref());
        assert_eq!(check.push(piece.as_ref()), pushed, "what only looks sees the same");
        pushed?;
    }
    let (restored, checked) = (restore.finish(), check.finish());
    match (&restored, checked) {
        (Ok(_), Ok(nothing)) => {
            assert_eq!(nothing.view().range(&Range::new(KeyRange::From("a".into()))).unwrap().count, 0)
        }
        (Err(error), checked) => assert_eq!(checked.map(drop), Err(*error)),
        (Ok(_), Err(error)) => panic!("what only looks was refused: {error}"),
    }
    restored
}

/// History, tombstones, a compaction, several frames, and a value that spans some of them.
fn large() -> Store {
    let mut store = Store::new();
    for n in 0..2000u32 {
        let put = Put::new(format!("key {:05}", n * 7919 % 1000), vec![n as u8; 400]);
        store.apply(&Command::Put(put));
    }
    store.apply(&Command::Put(Put::new("key 00500x", vec![7; 1_000_000])));
    store.delete(span("key 00100", "key 00200"));
    store.compact(1000).unwrap();
    store
}

/// Small enough to try every byte.
fn small() -> Store {
    let mut store = Store::new();
    for (key, value) in [("a", "1"), ("b", "some value"), ("a", "2"), ("c", "")] {
        store.put(key, value);
    }
    store.delete(one("b"));
    store
}

#[test]
fn a_store_comes_back_as_it_was() {
    for store in [Store::new(), small(), large()] {
        let back = restore([snapshot(&store)]).unwrap();
        assert_eq!((back.hash(), back.bytes()), (store.hash(), store.bytes()));
        assert_eq!((back.revision(), back.compacted()), (store.revision(), store.compacted()));
    }
}

#[test]
fn a_restored_store_goes_on_where_the_other_stood() {
    let mut store = small();
    let mut back = restore([snapshot(&store)]).unwrap();
    for store in [&mut store, &mut back] {
        assert_eq!(store.put("a", "3"), 7);
        assert_eq!(store.get("a"), Some(kv("a", "3", 2, 7, 3)));
        assert_eq!(store.get_at("b", 5), Ok(Some(kv("b", "some value", 3, 3, 1))));
        store.compact(6).unwrap();
    }
    assert_eq!(back.hash(), store.hash());
}

#[test]
fn chunks_are_of_moderate_size_and_few() {
    let store = large();
    let sizes: Vec<usize> = store.view().encode().map(|chunk| chunk.len()).collect();
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.iter().all(|size| (256 * 1024..257 * 1024).contains(size)), "{sizes:?}");
    assert!(*last <= 257 * 1024 && full.len() >= 4);
}

#[test]
fn a_snapshot_may_arrive_in_pieces_of_any_size() {
    let store = large();
    let bytes = snapshot(&store);
    for size in [1, 7, 100_000, 1 << 20] {
        assert_eq!(restore(bytes.chunks(size)).unwrap().hash(), store.hash(), "pieces of {size}");
    }
}

#[test]
fn a_snapshot_cut_short_anywhere_is_noticed() {
    let bytes = snapshot(&small());
    for length in 0..bytes.len() {
        let cut = restore([&bytes[..length]]).map(|store| store.hash());
        assert_eq!(cut, Err(SnapshotError::Truncated(length as u64)));
    }
}

#[test]
fn a_snapshot_without_one_of_its_chunks_or_with_one_twice_is_refused() {
    let store = large();
    let chunks: Vec<Bytes> = store.view().encode().collect();
    let offset = |n: usize| chunks[..n].iter().map(|chunk| chunk.len() as u64).sum();
    let damaged = |n: usize| Err(SnapshotError::Damaged { frame: n as u64, offset: offset(n) });
    for n in 0..chunks.len() {
        let without = chunks.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, chunk)| chunk);
        let expected = match n {
            0 => Err(SnapshotError::NotASnapshot),
            n if n + 1 == chunks.len() => Err(SnapshotError::Truncated(offset(n))),
            n => damaged(n),
        };
        assert_eq!(restore(without).map(drop), expected, "without chunk {n}");
        let twice = chunks.iter().take(n + 1).chain(chunks.iter().skip(n));
        assert_eq!(restore(twice).map(drop), damaged(n + 1), "chunk {n} twice");
    }
}

#[test]
fn a_frame_longer_than_any_is_refused_by_its_header() {
    let mut bytes = snapshot(&small());
    bytes[14..18].copy_from_slice(&(256 * 1024 + 1u32).to_le_bytes());
    bytes.truncate(30);
    assert_eq!(Restore::new().push(&bytes), Err(SnapshotError::Damaged { frame: 0, offset: 10 }));
}

#[test]
fn any_flipped_bit_is_noticed() {
    let bytes = snapshot(&small());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let error = restore([&damaged]).map(|store| store.hash()).unwrap_err();
            let expected = match at {
                0..8 => matches!(error, SnapshotError::NotASnapshot),
                8..10 => matches!(error, SnapshotError::UnknownFormat(_)),
                // A length that asks for more than there is looks like an early end.
                14..18 => matches!(error, SnapshotError::Damaged { .. } | SnapshotError::Truncated(_)),
                _ => error == SnapshotError::Damaged { frame: 0, offset: 10 },
            };
            assert!(expected, "bit {bit} of byte {at}: {error:?}");
        }
    }
}

#[test]
fn damage_is_reported_with_its_place() {
    let chunks: Vec<Bytes> = large().view().encode().collect();
    let offset = (chunks[0].len() + chunks[1].len()) as u64;
    let mut damaged = chunks.concat();
    damaged[offset as usize + 1000] ^= 1;
    assert_eq!(restore([damaged]).map(drop), Err(SnapshotError::Damaged { frame: 2, offset }));
}

#[test]
fn bytes_behind_a_snapshot_are_refused() {
    let mut bytes = snapshot(&small());
    bytes.push(0);
    assert_eq!(restore([&bytes]).map(drop), Err(SnapshotError::Trailing));
    bytes.pop();
    // A whole second frame, well formed and empty, in sequence.
    bytes.extend(frame(1, &[]));
    assert_eq!(restore([bytes]).map(drop), Err(SnapshotError::Trailing));
}

/// A frame with a right checksum, whatever its payload.
fn frame(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let rest = [&(payload.len() as u32).to_le_bytes(), &sequence.to_le_bytes()[..], payload].concat();
    [&crc32c::crc32c(&rest).to_le_bytes()[..], &rest].concat()
}

fn restore_payload(payload: &[u8]) -> Result<Store, SnapshotError> {
    restore([[&b"synodsnp\x01\x00"[..], &frame(0, payload)].concat()])
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    // Zigzag: 2 is 1, 4 is 2, 6 is 3, 1 is -1. Revision, compacted, keys.
    let wrong = |payload: &[u8]| match restore_payload(payload).map(drop) {
        Err(SnapshotError::Inconsistent(what)) => what,
        other => panic!("{payload:?} gave {other:?}"),
    };
    assert!(restore_payload(&[4, 1, 1, b'k', 1, 4, 0, 1, 4, 2, 0, 1, b'v', 0, 0]).is_ok());
    assert_eq!(wrong(&[0, 1]), "an impossible revision");
    assert_eq!(wrong(&[2, 4]), "compacted beyond its revision");
    assert_eq!(wrong(&[2, 3]), "compacted beyond its revision");
    assert_eq!(wrong(&[4, 1, 1, b'k', 0]), "a key without a version");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 6, 0, 0]), "versions out of order");
    assert_eq!(wrong(&[4, 1, 1, b'k', 2, 4, 0, 0, 4, 0, 0]), "versions out of order");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 4, 0, 2]), "an unknown kind of version");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 4, 0, 1, 6, 2, 0, 0]), "a key younger than its version");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 4, 0, 1, 4, 0, 0, 0]), "a key younger than its version");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 4, 0, 0, 1, b'k', 1]), "keys out of order");
    assert_eq!(wrong(&[4, 1, 1, b'k', 1, 4, 0, 0, 1, b'a', 1]), "keys out of order");
    assert_eq!(wrong(&[0x80, 0x00]), "a malformed number");
    assert_eq!(restore_payload(&[4, 1, 0, 0, 9]).map(drop), Err(SnapshotError::Trailing));
    assert!(
        matches!(restore_payload(&[4, 1, 1, b'k', 1, 4, 0, 0]), Err(SnapshotError::Truncated(_))),
        "no end"
    );
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_a_panic(garbage: Vec<u8>, payload: Vec<u8>) {
        prop_assert!(restore([&garbage]).is_err());
        // With a right frame around it, garbage reaches the innermost reader.
        drop(restore_payload(&payload));
        drop(restore_payload(&[&[200, 1, 1][..], &payload].concat()));
    }

    #[test]
    fn any_history_survives_a_snapshot(commands in random::commands()) {
        let mut store = Store::new();
        commands.iter().for_each(|command| drop(store.apply(command)));
        while store.tidy() {}
        let back = restore([snapshot(&store)]).unwrap();
        prop_assert_eq!((back.hash(), back.bytes()), (store.hash(), store.bytes()));
    }
}
