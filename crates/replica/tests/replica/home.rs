use bytes::Bytes;
use synod_journal::{Disk, Files, MemoryDisk};
use synod_paxos::node::{Incarnation, NodeId};
use synod_replica::home::{Home, HomeError, Owner};

use crate::cluster::owner;

fn open(disk: &MemoryDisk, owner: Owner) -> Result<(Home, synod_replica::home::Memory), HomeError> {
    Home::open(&Files::Memory(disk.clone()), owner, 100)
}

fn refusal(disk: &MemoryDisk, owner: Owner) -> String {
    match open(disk, owner) {
        Err(HomeError::Refused(reason)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_start_is_counted_and_finds_what_was_synced() {
    let disk = MemoryDisk::new();
    let (mut home, memory) = open(&disk, owner(NodeId(1))).unwrap();
    assert_eq!(
        (memory.incarnation, memory.snapshot, memory.records.len()),
        (Incarnation::numbered(1), None, 0)
    );
    home.append(0, &[Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
    home.sync().unwrap();
    home.write_snapshot(1, b"state").unwrap();
    drop(home);
    let (_, memory) = open(&disk, owner(NodeId(1))).unwrap();
    assert_eq!(memory.incarnation, Incarnation::numbered(2));
    assert_eq!((memory.generation, memory.snapshot), (1, Some(Bytes::from_static(b"state"))));
    assert_eq!(memory.records, [&b"one"[..], b"two"]);
}

#[test]
fn what_a_newer_snapshot_covers_is_cut_from_the_journal() {
    let disk = MemoryDisk::new();
    let (mut home, _) = open(&disk, owner(NodeId(1))).unwrap();
    for mark in 0..5 {
        home.append(mark, &[Bytes::from(vec![b'x'; 200])]);
        home.sync().unwrap();
    }
    home.truncate(2).unwrap();
    drop(home);
    let (_, memory) = open(&disk, owner(NodeId(1))).unwrap();
    assert!((2..5).contains(&memory.records.len()), "{} records", memory.records.len());
}

#[test]
fn a_disk_of_another_node_or_protocol_is_refused() {
    let disk = MemoryDisk::new();
    drop(open(&disk, owner(NodeId(1))).unwrap());
    assert!(refusal(&disk, owner(NodeId(2))).contains("it belongs to"));
    let other = Owner { protocol: "other", ..owner(NodeId(1)) };
    assert!(refusal(&disk, other).contains("protocol multi"));
}

#[test]
fn a_disk_on_which_something_is_missing_is_refused() {
    for missing in ["identity", "snapshot", "journal"] {
        let mut disk = MemoryDisk::new();
        drop(open(&disk, owner(NodeId(1))).unwrap());
        let is_journal = |name: &String| name != "identity" && name != "snapshot";
        let names = disk.list().unwrap();
        for name in names.iter().filter(|name| *name == missing || (missing == "journal" && is_journal(name)))
        {
            disk.remove(name).unwrap();
        }
        assert!(refusal(&disk, owner(NodeId(1))).contains(missing));
    }
}
