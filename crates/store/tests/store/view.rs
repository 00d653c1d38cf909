use synod_store::request::*;
use synod_store::{Restore, Store, View};

use crate::support::*;

fn is_shareable<T: Send + Sync + 'static>(_: &T) {}

#[test]
fn a_view_stays_as_it_was_whatever_is_written_or_compacted_later() {
    let mut store = Store::new();
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")] {
        store.put(key, value);
    }
    let view = store.view();
    is_shareable(&view);
    let everything = |view: &View, revision| view.range(&Range { revision, ..Range::new(all()) });
    let seen: Vec<_> = (1..=5).map(|revision| everything(&view, revision)).collect();
    let (hash, bytes) = (view.hash(), view.bytes());

    store.put("a", "3");
    store.put("c", "1");
    store.delete(one("b"));
    store.compact(8).unwrap();

    assert_eq!((1..=5).map(|revision| everything(&view, revision)).collect::<Vec<_>>(), seen);
    assert_eq!((view.hash(), view.bytes(), view.revision(), view.compacted()), (hash, bytes, 5, -1));
    assert_eq!(store.view().compacted(), 8);
}

#[test]
fn a_snapshot_is_of_the_moment_its_view_was_taken() {
    let mut store = Store::new();
    store.put("a", "1");
    let view = store.view();
    let mut chunks = view.encode();
    store.put("a", "2");
    store.delete(one("a"));
    let mut restore = Restore::new();
    chunks.try_for_each(|chunk| restore.push(&chunk)).unwrap();
    assert_eq!(restore.finish().unwrap().hash(), view.hash());
}

#[test]
fn a_transaction_that_writes_can_be_tried_on_a_view_without_a_trace() {
    let mut store = Store::new();
    store.put("a", "1");
    let view = store.view();
    let hash = view.hash();
    let response = view.txn(&steps([op_put("a", "2"), op_delete(all())])).unwrap();
    assert_eq!((response.revision, view.hash(), store.hash()), (3, hash, hash));
}

#[test]
fn views_and_stores_show_their_figures_and_not_their_content() {
    let mut store = Store::new();
    store.put("secret", "hunter2");
    let text = format!("{store:?} {:?}", store.view());
    assert!(text.contains("revision: 2") && text.contains("keys: 1") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_hash_tells_any_difference() {
    let build = |commands: &[Command]| {
        let mut store = Store::new();
        commands.iter().for_each(|command| drop(store.apply(command)));
        store.hash()
    };
    let put = |key: &'static str, value: &'static str| Command::Put(Put::new(key, value));
    let compact = |revision| Command::Compact(Compact { revision });
    let hashes = [
        build(&[]),
        build(&[put("a", "1")]),
        build(&[put("a", "2")]),
        build(&[put("a1", "")]),
        build(&[put("b", "1")]),
        build(&[put("a", "1"), put("a", "1")]),
        build(&[put("a", "1"), put("b", "1")]),
        build(&[put("b", "1"), put("a", "1")]),
        build(&[put("a", "1"), compact(1)]),
        build(&[put("a", "1"), compact(2)]),
        build(&[put("a", "1"), Command::DeleteRange(delete(all()))]),
    ];
    for (n, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..n].contains(hash), "history {n} hashes like one before it");
    }
}

#[test]
fn the_hash_tells_when_a_key_was_created_even_if_that_was_compacted() {
    let build = |first: &'static str, second: &'static str| {
        let mut store = Store::new();
        store.put(first, "");
        store.put(second, "");
        store.put("k", "");
        store.delete(one("y"));
        store.put("z", "");
        store.compact(6).unwrap();
        store
    };
    let (early, late) = (build("k", "y"), build("y", "k"));
    assert_eq!((early.get("k"), late.get("k")), (Some(kv("k", "", 2, 4, 2)), Some(kv("k", "", 3, 4, 2))));
    assert_ne!(early.hash(), late.hash());
}
