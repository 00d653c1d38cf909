//! A member's own checkpoint and one from another member are written at the same time, in every order, with a crash
//! between any two steps: what has its name is whole, and the newest whole one is not lost.

use synod_journal::{MemoryDisk, is_out_of_descriptors};
use synod_paxos::config::ClusterId;
use synod_paxos::node::NodeId;
use synod_store::Store;
use synod_store::request::{Command, Put};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::sessions::Sessions;

const NOW: Time = Time::ZERO;
const OLD: Slot = Slot(5);
const NEW: Slot = Slot(9);

fn roster() -> Roster {
    Roster::new(ClusterId(7), [("a".to_owned(), NodeId(1))]).unwrap()
}

/// A checkpoint in three parts.
fn parts(slot: Slot) -> Vec<Bytes> {
    let mut store = Store::new();
    for number in 0..20 {
        store.apply(&Command::Put(Put::new(format!("key{number}"), format!("at {slot}"))));
    }
    let whole = Checkpoint::new(&roster(), slot, Sessions::default(), store.view()).parts();
    let whole = Bytes::from(whole.collect::<Vec<_>>().concat());
    let third = whole.len() / 3;
    vec![whole.slice(..third), whole.slice(third..2 * third), whole.slice(2 * third..)]
}

fn open(disk: &MemoryDisk) -> Checkpoints {
    Checkpoints::open(Files::Memory(disk.clone()), Some(roster()), 1000, NOW).unwrap()
}

/// A disk that holds an older checkpoint.
fn with_old() -> (MemoryDisk, Checkpoints) {
    let disk = MemoryDisk::new();
    let checkpoints = open(&disk);
    checkpoints.write(NOW, OLD, parts(OLD).into_iter()).unwrap();
    (disk, checkpoints)
}

fn file(slot: Slot) -> String {
    format!("checkpoint-{:020}", slot.0)
}

/// Takes part `index` of the checkpoint of `slot` from another member.
fn receive(checkpoints: &Checkpoints, slot: Slot, index: usize) -> io::Result<()> {
    let parts = parts(slot);
    let offset: usize = parts[..index].iter().map(Bytes::len).sum();
    checkpoints.store_part(slot, offset as u64, &parts[index])
}

fn finish(checkpoints: &Checkpoints, slot: Slot) -> Result<Slot, ReceiveError> {
    let length: usize = parts(slot).iter().map(Bytes::len).sum();
    checkpoints.finish(NOW, slot, length as u64).map(|loaded| loaded.slot())
}

/// What it is called, and what is done. It returns whether the disk refused something.
type Interleaving = (&'static str, fn(&Checkpoints) -> bool);

/// How the steps of two writers of one slot follow each other.
const INTERLEAVINGS: [Interleaving; 3] = [
    ("the own one is written between two parts of the other", |checkpoints| {
        let received = [0, 1].map(|index| receive(checkpoints, NEW, index));
        let written = checkpoints.write(NOW, NEW, parts(NEW).into_iter());
        let last = receive(checkpoints, NEW, 2);
        let finished = finish(checkpoints, NEW);
        received.iter().chain([&written, &last]).any(Result::is_err) || finished.is_err()
    }),
    ("the other one begins while the own one is written, and is complete last", |checkpoints| {
        let mut failed = false;
        let own = parts(NEW).into_iter().enumerate().inspect(|(index, _)| {
            failed |= *index < 2 && receive(checkpoints, NEW, *index).is_err();
        });
        let written = checkpoints.write(NOW, NEW, own.map(|(_, part)| part));
        let last = receive(checkpoints, NEW, 2);
        let finished = finish(checkpoints, NEW);
        failed || written.is_err() || last.is_err() || finished.is_err()
    }),
    ("the other one comes as a whole while the own one is written", |checkpoints| {
        let mut failed = false;
        let own = parts(NEW).into_iter().enumerate().inspect(|(index, _)| {
            failed |= receive(checkpoints, NEW, *index).is_err();
            failed |= *index == 2 && finish(checkpoints, NEW).is_err();
        });
        let written = checkpoints.write(NOW, NEW, own.map(|(_, part)| part));
        failed || written.is_err()
    }),
];

#[test]
fn an_own_and_a_received_checkpoint_of_one_slot_are_both_a_success_in_every_order() {
    for (order, write_both) in INTERLEAVINGS {
        let (disk, checkpoints) = with_old();
        assert!(!write_both(&checkpoints), "{order}: it failed");
        assert_eq!(disk.names(), [file(NEW)], "{order}");
        assert_eq!(disk.contents(&file(NEW)).unwrap(), parts(NEW).concat(), "{order}");
        assert_eq!(open(&disk).load_newest().unwrap().slot(), NEW, "{order}");
    }
}

#[test]
fn a_crash_between_any_two_steps_leaves_a_whole_checkpoint_the_new_one_if_it_was_reported() {
    for (order, write_both) in INTERLEAVINGS {
        for steps in 0.. {
            let (disk, checkpoints) = with_old();
            disk.stop_after(steps);
            let failed = write_both(&checkpoints);
            for changes in 0..=disk.unsynced_directory_changes() {
                for kept in [0, 1, usize::MAX] {
                    let left = disk.after_tearing_crash(changes, |_, unsynced| unsynced.truncate(kept));
                    let found = open(&left).load_newest();
                    let found = found.unwrap_or_else(|error| panic!("{order}, after {steps} steps: {error}"));
                    assert!([OLD, NEW].contains(&found.slot()), "{order}, after {steps} steps: {found:?}");
                    assert!(failed || found.slot() == NEW, "{order}, after {steps} steps");
                    assert_eq!(left.names().len(), 1, "{order}, after {steps} steps: {:?}", left.names());
                }
            }
            if !disk.is_stopped() {
                break;
            }
        }
    }
}

#[test]
fn the_older_checkpoint_stays_if_the_new_one_cannot_be_read_back() {
    let (disk, checkpoints) = with_old();
    let mut spoiled = parts(NEW);
    spoiled.pop();
    checkpoints.write(NOW, NEW, spoiled.into_iter()).unwrap_err();
    assert_eq!(open(&disk).load_newest().unwrap().slot(), OLD);
}

#[test]
fn a_received_checkpoint_that_is_none_goes_and_nothing_of_it_stays() {
    let (disk, checkpoints) = with_old();
    for index in 0..2 {
        receive(&checkpoints, NEW, index).unwrap();
    }
    assert!(matches!(finish(&checkpoints, NEW), Err(ReceiveError::Unusable(_))));
    assert_eq!(disk.names(), [file(OLD)]);
    checkpoints.store_part(NEW, 0, &Bytes::from_static(b"nonsense")).unwrap();
    assert!(matches!(checkpoints.finish(NOW, NEW, 8), Err(ReceiveError::Unusable(_))));
    assert_eq!(disk.names(), [file(OLD)]);
}

#[test]
fn what_was_received_goes_when_the_transfer_is_given_up_or_begins_anew() {
    let (disk, checkpoints) = with_old();
    receive(&checkpoints, NEW, 0).unwrap();
    receive(&checkpoints, Slot(11), 0).unwrap();
    assert_eq!(disk.names().len(), 2, "the newer one alone is on its way: {:?}", disk.names());
    receive(&checkpoints, Slot(11), 2).unwrap();
    assert_eq!(disk.names(), [file(OLD)], "a part is missing");
    receive(&checkpoints, NEW, 0).unwrap();
    checkpoints.give_up().unwrap();
    assert_eq!(disk.names(), [file(OLD)]);
}

#[test]
fn what_cannot_be_opened_for_want_of_a_descriptor_is_done_when_there_is_one() {
    let (disk, checkpoints) = with_old();
    let without = |work: &dyn Fn() -> io::Result<()>| {
        disk.set_out_of_descriptors(true);
        let failed = work();
        disk.set_out_of_descriptors(false);
        assert!(failed.as_ref().is_err_and(is_out_of_descriptors), "{failed:?}");
    };
    without(&|| checkpoints.write(NOW, NEW, parts(NEW).into_iter()));
    without(&|| receive(&checkpoints, NEW, 0));
    for index in 0..3 {
        receive(&checkpoints, NEW, index).unwrap();
    }
    without(&|| match finish(&checkpoints, NEW) {
        Err(ReceiveError::Disk(error)) => Err(error),
        other => panic!("{other:?}"),
    });
    assert_eq!(finish(&checkpoints, NEW).unwrap(), NEW, "what was received is still there");
    assert_eq!(disk.names(), [file(NEW)]);
    without(&|| checkpoints.read_part(NOW, None, 0).map(drop));
    assert!(checkpoints.read_part(NOW, None, 0).unwrap().is_some());
}
