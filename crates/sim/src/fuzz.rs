//! What every decoder of foreign bytes owes, whatever the bytes: no panic, and more.
//!
//! Each function here takes any bytes at all and panics if a decoder breaks its word. `fuzz/` runs them under libFuzzer,
//! and a test runs them over the corpus and mutations of it. Since no fuzzer guesses a checksum, each function looks at
//! its input twice: as it is, and with its checksums put right.

pub mod corpus;
mod seal;

use std::fmt::Debug;

use bytes::Bytes;
use synod_journal::format::segment_name;
use synod_journal::{Identity, Journal, MemoryDisk, OpenError, Options, Recovered};
use synod_member::applier::Applier;
use synod_member::checkpoint::{CheckpointError, CheckpointLoader};
use synod_member::identity::file::Identity as DiskIdentity;
use synod_member::identity::roster::Roster;
use synod_member::record;
use synod_member::wire;
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_store::request::{Command, Compact, DeleteRange, KeyRange, Put, Range};
use synod_store::{Limits, Restore, SnapshotError, Store, check};

use crate::random::Random;

/// Something to run over any bytes: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every decoder that reads what others wrote.
pub const TARGETS: &[Target] = &[
    ("identity", identity),
    ("peer_frame", peer_frame),
    ("journal", journal),
    ("journal_record", journal_record),
    ("checkpoint", checkpoint),
    ("snapshot", snapshot),
    ("client_command", client_command),
];

/// Whose journals and checkpoints are read.
const IDENTITY: Identity = Identity { cluster: 7, node: 3 };

/// So small that a few batches fill a segment.
const SMALL: Options = Options { segment_bytes: 300, covered: None };

/// What an identity file says is written again so that it reads the same.
pub fn identity(bytes: &[u8]) {
    for text in [String::from_utf8_lossy(bytes).into_owned(), seal::identity(bytes)] {
        if let Ok(decoded) = DiskIdentity::decode(&text) {
            let again = DiskIdentity::decode(&decoded.encode());
            assert_eq!(again.as_ref(), Ok(&decoded), "read from {text:?}");
        }
    }
}

/// A frame has one spelling. So nothing in a message comes from anywhere but the frame's own bytes.
pub fn peer_frame(bytes: &[u8]) {
    for frame in [bytes.to_vec(), seal::frame(bytes)] {
        if let Ok((header, message)) = wire::decode(Bytes::copy_from_slice(&frame)) {
            assert_eq!(wire::encode(header, &message), frame, "{message:?} was read from another spelling");
        }
    }
}

/// A journal that is refused was not touched. One that is opened can be opened again, gives what it gave, and takes
/// more. The bytes are its segments, one after the other.
pub fn journal(bytes: &[u8]) {
    let segments = seal::segments(bytes);
    journal_keeps_its_word(&segments);
    journal_keeps_its_word(&seal::journal(segments));
}

fn journal_keeps_its_word(segments: &[Vec<u8>]) {
    let disk = MemoryDisk::new();
    for (number, segment) in (1..).zip(segments) {
        disk.set_contents(&segment_name(number), segment.clone());
    }
    let first = match open(&disk) {
        Ok((_, recovered)) => recovered,
        Err(error) => return assert_eq!(disk.operations(), 0, "refused, yet something was changed: {error}"),
    };
    let given: usize = segments.iter().map(Vec::len).sum();
    let taken =
        first.state.iter().chain(&first.records).map(Bytes::len).sum::<usize>() + 4 * first.records.len();
    assert!(taken <= given, "{taken} bytes of records came out of {given}");

    let disk = disk.after_crash(|_, _| 0);
    let (mut journal, second) = open(&disk).expect("what was opened once can be opened again");
    assert_eq!((&second.state, &second.records), (&first.state, &first.records), "after a second start");
    assert_eq!(second.torn, None, "the torn tail was cut by the first start");

    journal.append(b"state", 0, &[Bytes::from_static(b"record")]);
    journal.sync().expect("a disk without faults");
    let disk = disk.after_crash(|_, _| 0);
    let (_, third) = open(&disk).expect("what was written can be read");
    let mut records = first.records;
    records.push(Bytes::from_static(b"record"));
    assert_eq!(
        third,
        Recovered { state: Some("state".into()), records, torn: None },
        "after more was written"
    );
}

fn open(disk: &MemoryDisk) -> Result<(Journal, Recovered), OpenError> {
    Journal::open(disk.clone(), IDENTITY, SMALL)
}

/// Records and states have one spelling each.
pub fn journal_record(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(decoded) = record::decode(bytes.clone()) {
        assert_eq!(record::encode(&decoded), bytes, "{decoded:?} was read from another spelling");
    }
    if let Ok(decoded) = record::decode_state(bytes.clone()) {
        assert_eq!(
            record::encode_state(&decoded.0, decoded.1),
            bytes,
            "{decoded:?} was read from another spelling"
        );
    }
}

/// A checkpoint is the same however it is cut, and what was loaded is written as a checkpoint that loads the same.
pub fn checkpoint(bytes: &[u8]) {
    for checkpoint in [bytes.to_vec(), seal::checkpoint(bytes)] {
        same_however_cut(&checkpoint, load_checkpoint);
    }
}

/// Of the cluster whose checkpoints are read.
fn roster() -> Roster {
    let members = [("a".to_owned(), NodeId(IDENTITY.node)), ("b".to_owned(), NodeId(4))];
    Roster::new(ClusterId(IDENTITY.cluster), members).expect("two disks under two names")
}

/// The whole checkpoint, written anew.
fn load_checkpoint(pieces: &[&[u8]]) -> Result<Vec<u8>, CheckpointError> {
    let roster = roster();
    let mut loader = CheckpointLoader::new(roster.clone());
    pieces.iter().try_for_each(|piece| loader.push(piece))?;
    let applier =
        Applier::new(Some(roster), NodeId(IDENTITY.node), Incarnation::numbered(1), loader.finish()?);
    Ok(applier.checkpoint().parts().flatten().collect())
}

/// The same for the store alone; and a store that was restored goes on working.
pub fn snapshot(bytes: &[u8]) {
    for snapshot in [bytes.to_vec(), seal::snapshot(bytes)] {
        same_however_cut(&snapshot, |pieces| restore(pieces).map(|store| written(&store)));
        if let Ok(store) = restore(&[&snapshot]) {
            let copy = restore(&[&written(&store)]).expect("what a store wrote can be read");
            assert_eq!(
                (copy.revision(), copy.compacted()),
                (store.revision(), store.compacted()),
                "of the copy"
            );
            assert_eq!(copy.hash(), store.hash(), "the copy holds something else");
            goes_on(store);
        }
    }
}

fn restore(pieces: &[&[u8]]) -> Result<Store, SnapshotError> {
    let mut restore = Restore::new();
    pieces.iter().try_for_each(|piece| restore.push(piece))?;
    restore.finish()
}

fn written(store: &Store) -> Vec<u8> {
    store.view().encode().flatten().collect()
}

fn goes_on(mut store: Store) {
    let before = store.revision();
    let put = store.apply(&Command::Put(Put::new("a key", "a value")));
    assert_eq!((put.revision, put.result.is_ok()), (before + 1, true), "a put after revision {before}");
    let everything = KeyRange::From("\0".into());
    store.apply(&Command::DeleteRange(DeleteRange { keys: everything.clone(), prev_kv: true }));
    let left = store.view().range(&Range::new(everything)).expect("the newest revision is readable");
    assert_eq!(left.kvs, [], "after everything was deleted");
    let compacted = store.apply(&Command::Compact(Compact { revision: store.revision() }));
    assert!(compacted.result.is_ok(), "a compaction up to the newest revision: {:?}", compacted.result);
    while store.tidy() {}
}

/// Whether whole, in pieces, or written anew: the outcome is the same. `load` writes anew what it loaded.
fn same_however_cut<E: Debug>(bytes: &[u8], load: impl Fn(&[&[u8]]) -> Result<Vec<u8>, E>) {
    let outcome = |pieces: &[&[u8]]| load(pieces).map_err(|error| format!("{error:?}"));
    let whole = outcome(&[bytes]);
    assert_eq!(outcome(&cut(bytes)), whole, "in pieces");
    if let Ok(written) = &whole {
        assert_eq!(outcome(&[written]).as_ref(), Ok(written), "written anew");
    }
}

/// Pieces of all sizes; the same bytes are always cut alike.
fn cut(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut random = Random::new(u64::from(crc32c::crc32c(bytes)), "pieces");
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = 1 + random.skewed(bytes.len() as u64);
        let (piece, rest) = bytes.split_at(usize::try_from(length).expect("no more than there are"));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// A command has one spelling. Whatever it says, every store answers it alike, and a refused one changes nothing.
pub fn client_command(bytes: &[u8]) {
    let Ok(command) = Command::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(command.encode(), bytes, "{command:?} was read from another spelling");
    let checked = check(&command, &Limits::default());
    let (mut store, mut other) = (corpus::store(), corpus::store());
    let before = store.hash();
    let applied = store.apply(&command);
    assert_eq!(applied, other.apply(&command), "two stores answer {command:?} differently");
    assert_eq!(store.hash(), other.hash(), "two stores hold something else after {command:?}");
    if applied.result.is_err() {
        assert_eq!(
            store.hash(),
            before,
            "{command:?} was refused and changed something; checked: {checked:?}"
        );
    }
}
