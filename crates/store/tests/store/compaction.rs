use synod_store::request::*;
use synod_store::response::*;
use synod_store::{Restore, Store};

use crate::support::*;

/// Revision 2: k = a. 3: k = b. 4: k deleted, 5: k = c. 6: k = d. 7: other = x.
fn store() -> Store {
    let mut store = Store::new();
    store.put("k", "a");
    store.put("k", "b");
    store.delete(one("k"));
    store.put("k", "c");
    store.put("k", "d");
    store.put("other", "x");
    store
}

#[test]
fn compaction_takes_the_past_away_and_leaves_the_rest_as_it_was() {
    for revision in 1..=7 {
        let (full, mut compacted) = (store(), store());
        compacted.compact(revision).unwrap();
        assert_eq!((compacted.compacted(), compacted.revision()), (revision, 7));
        for at in 1..=7 {
            for key in ["k", "other"] {
                let expected = if at < revision { Err(Refusal::Compacted) } else { full.get_at(key, at) };
                assert_eq!(compacted.get_at(key, at), expected, "{key} at {at}, compacted at {revision}");
            }
        }
    }
}

#[test]
fn compaction_of_what_is_compacted_or_yet_to_come_is_refused() {
    let mut store = store();
    assert_eq!(store.compact(8), Err(Refusal::FutureRevision));
    assert_eq!(store.compact(-1), Err(Refusal::Compacted));
    store.compact(5).unwrap();
    let hash = store.hash();
    assert_eq!(store.compact(5), Err(Refusal::Compacted));
    assert_eq!(store.compact(4), Err(Refusal::Compacted));
    assert_eq!(store.compact(i64::MAX), Err(Refusal::FutureRevision));
    assert_eq!((store.hash(), store.compacted()), (hash, 5));
}

#[test]
fn compaction_is_no_change_of_the_content() {
    let mut store = store();
    let applied = store.apply(&Command::Compact(Compact { revision: 7 }));
    assert_eq!(applied, Applied { result: Ok(Response::Compact), revision: 7 });
    assert_eq!(store.put("k", "e"), 8);
    assert_eq!(store.get("k"), Some(kv("k", "e", 5, 8, 3)));
}

#[test]
fn compaction_gives_back_what_history_took() {
    let mut lean = Store::new();
    lean.put("k", "v");
    let size = lean.bytes();
    assert!(size > 2);

    let mut store = Store::new();
    for _ in 0..1000 {
        store.put("k", "v");
    }
    assert!(store.bytes() > 500 * (size / 2), "history counts");
    store.compact(store.revision()).unwrap();
    assert_eq!(store.bytes(), size, "one key with one version is left");
}

#[test]
fn deleted_keys_disappear_altogether() {
    let mut store = Store::new();
    store.put("k", "v");
    store.delete(all());
    store.put("tick", "");
    store.delete(all());
    store.put("tock", "");
    store.compact(6).unwrap();
    let mut lean = Store::new();
    lean.put("tock", "");
    assert_eq!(store.bytes(), lean.bytes(), "no trace of the deleted keys is left");
}

#[test]
fn a_tombstone_of_the_compacted_revision_outlives_this_compaction_only() {
    // Whoever watches from that revision on has to learn of the deletion.
    let mut store = Store::new();
    store.put("k", "v");
    store.delete(one("k"));
    store.compact(3).unwrap();
    assert!(store.bytes() > 0);
    store.put("x", "");
    store.delete(one("x"));
    store.compact(4).unwrap();
    let before = store.bytes();
    store.compact(5).unwrap();
    assert!(0 < store.bytes() && store.bytes() < before, "only the tombstone of x is left");
    store.put("y", "");
    store.compact(6).unwrap();
    let mut lean = Store::new();
    lean.put("y", "");
    assert_eq!(store.bytes(), lean.bytes());
}

#[test]
fn several_changes_of_a_key_in_one_revision_compact_to_the_last() {
    let mut store = Store::new();
    store.txn(steps([op_put("k", "a"), op_put("k", "b"), op_delete(one("k")), op_put("k", "c")])).unwrap();
    store.compact(2).unwrap();
    assert_eq!(store.get("k"), Some(kv("k", "c", 2, 2, 1)));
    let mut lean = Store::new();
    lean.put("k", "c");
    assert_eq!(store.bytes(), lean.bytes());
}

/// More keys than one command looks at, each with some history, every tenth deleted.
fn many() -> Store {
    let mut store = Store::new();
    for round in 0..3u8 {
        for n in 0..1000 {
            store.apply(&Command::Put(Put::new(format!("{n:04}"), vec![round; 10])));
        }
    }
    for n in (0..1000).step_by(10) {
        store.apply(&Command::DeleteRange(delete(KeyRange::One(format!("{n:04}").into()))));
    }
    store
}

fn restored(store: &Store) -> Store {
    let mut restore = Restore::new();
    store.view().encode().for_each(|chunk| restore.push(&chunk).unwrap());
    restore.finish().unwrap()
}

/// What is left of `store` when all that is out of reach is gone.
fn tidied_bytes(mut store: Store) -> u64 {
    while store.tidy() {}
    store.bytes()
}

#[test]
fn memory_comes_back_step_by_step_and_nothing_else_depends_on_how_far_that_is() {
    for revision in [1500, 2500, 3001, 3050, 3101] {
        let (mut slow, mut quick) = (many(), many());
        slow.compact(revision).unwrap();
        quick.compact(revision).unwrap();
        while quick.tidy() {}
        assert!(slow.bytes() > quick.bytes(), "one command does not do it all");
        assert_eq!(slow.hash(), quick.hash());
        assert!(slow.view().encode().eq(quick.view().encode()));
        assert_eq!(restored(&slow).bytes(), quick.bytes(), "a snapshot leaves out what is out of reach");
        for at in [revision, 3101] {
            let range = Range { revision: at, ..Range::new(all()) };
            assert_eq!(slow.view().range(&range), quick.view().range(&range));
        }
        // A deleted key that is still in memory is created anew like one that is not.
        for store in [&mut slow, &mut quick] {
            assert_eq!(store.put("0990", "v"), 3102);
            assert_eq!(store.get("0990"), Some(kv("0990", "v", 3102, 3102, 1)));
        }
        assert_eq!(slow.hash(), quick.hash());
        assert_eq!(tidied_bytes(slow), quick.bytes());
    }
}

#[test]
fn commands_give_memory_back_on_their_way() {
    let mut store = many();
    store.compact(3101).unwrap();
    for _ in 0..1000 {
        store.delete(one("nothing"));
    }
    assert!(!store.tidy(), "nothing is left to do");
    assert_eq!(store.bytes(), restored(&store).bytes());
}

#[test]
fn a_compaction_amid_the_work_of_another_gets_all_of_its_own_done() {
    let mut store = many();
    store.compact(1500).unwrap();
    for revision in [2000, 2500, 3101] {
        assert!(store.tidy(), "still at work");
        store.compact(revision).unwrap();
    }
    while store.tidy() {}
    assert_eq!(store.bytes(), restored(&store).bytes());
}

#[test]
fn compactions_in_quick_succession_do_not_keep_the_last_keys_from_their_turn() {
    let mut store = many();
    for revision in 2100..2900 {
        store.compact(revision).unwrap();
    }
    // Each of the compactions looked at some keys: together at all of them, several times.
    let size = store.bytes();
    assert!(size < many().bytes() - 1000 * 144, "{size} of {}", many().bytes());
}
