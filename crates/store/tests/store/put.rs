use synod_store::Store;
use synod_store::request::*;
use synod_store::response::*;

use crate::support::*;

fn put_with(store: &mut Store, change: impl FnOnce(&mut Put)) -> Result<PutResponse, Refusal> {
    let mut put = Put::new("k", "");
    change(&mut put);
    match store.apply(&Command::Put(put)).result? {
        Response::Put(response) => Ok(response),
        other => panic!("a put answered {other:?}"),
    }
}

#[test]
fn a_fresh_store_is_at_revision_one_and_its_first_put_gets_two() {
    let mut store = Store::new();
    assert_eq!((store.revision(), store.compacted()), (1, -1));
    assert_eq!(store.put("k", "v"), 2);
    assert_eq!(store.get("k"), Some(kv("k", "v", 2, 2, 1)));
}

#[test]
fn overwriting_keeps_the_creation_and_counts_versions() {
    let mut store = Store::new();
    store.put("k", "a");
    store.put("other", "x");
    assert_eq!(store.put("k", "b"), 4);
    assert_eq!(store.get("k"), Some(kv("k", "b", 2, 4, 2)));
}

#[test]
fn putting_the_same_value_again_is_a_change_too() {
    let mut store = Store::new();
    store.put("k", "v");
    assert_eq!(store.put("k", "v"), 3);
    assert_eq!(store.get("k"), Some(kv("k", "v", 2, 3, 2)));
}

#[test]
fn a_key_created_again_starts_over() {
    let mut store = Store::new();
    store.put("k", "a");
    store.put("k", "b");
    store.delete(one("k"));
    assert_eq!(store.put("k", "c"), 5);
    assert_eq!(store.get("k"), Some(kv("k", "c", 5, 5, 1)));
}

#[test]
fn every_past_value_stays_readable() {
    let mut store = Store::new();
    store.put("k", "a");
    store.put("k", "b");
    store.delete(one("k"));
    store.put("k", "c");
    assert_eq!(store.get_at("k", 1), Ok(None));
    assert_eq!(store.get_at("k", 2), Ok(Some(kv("k", "a", 2, 2, 1))));
    assert_eq!(store.get_at("k", 3), Ok(Some(kv("k", "b", 2, 3, 2))));
    assert_eq!(store.get_at("k", 4), Ok(None));
    assert_eq!(store.get_at("k", 5), Ok(Some(kv("k", "c", 5, 5, 1))));
    assert_eq!(store.get_at("k", 6), Err(Refusal::FutureRevision));
}

#[test]
fn the_previous_value_comes_back_when_asked_for() {
    let mut store = Store::new();
    assert_eq!(put_with(&mut store, |put| put.prev_kv = true), Ok(PutResponse { prev_kv: None }));
    store.put("k", "a");
    let response = put_with(&mut store, |put| (put.value, put.prev_kv) = ("b".into(), true));
    assert_eq!(response, Ok(PutResponse { prev_kv: Some(kv("k", "a", 2, 3, 2)) }));
    assert_eq!(put_with(&mut store, |put| put.prev_kv = false), Ok(PutResponse { prev_kv: None }));
    store.delete(one("k"));
    assert_eq!(put_with(&mut store, |put| put.prev_kv = true), Ok(PutResponse { prev_kv: None }));
}

#[test]
fn ignore_value_keeps_the_value_and_ignore_lease_takes_the_new_one() {
    let mut store = Store::new();
    store.put("k", "a");
    assert!(put_with(&mut store, |put| put.ignore_value = true).is_ok());
    assert_eq!(store.get("k"), Some(kv("k", "a", 2, 3, 2)));
    assert!(put_with(&mut store, |put| (put.value, put.ignore_lease) = ("b".into(), true)).is_ok());
    assert_eq!(store.get("k"), Some(kv("k", "b", 2, 4, 3)));
}

#[test]
fn nothing_can_be_kept_of_a_key_that_is_not_there() {
    let mut store = Store::new();
    assert_eq!(put_with(&mut store, |put| put.ignore_value = true), Err(Refusal::KeyNotFound));
    assert_eq!(put_with(&mut store, |put| put.ignore_lease = true), Err(Refusal::KeyNotFound));
    assert_eq!(store.hash(), Store::new().hash());
    store.put("k", "a");
    store.delete(one("k"));
    assert_eq!(put_with(&mut store, |put| put.ignore_value = true), Err(Refusal::KeyNotFound), "deleted");
    assert_eq!(store.revision(), 3);
}

#[test]
fn a_lease_that_does_not_exist_is_told_before_a_missing_key() {
    let mut store = Store::new();
    assert_eq!(put_with(&mut store, |put| put.lease = 7), Err(Refusal::LeaseNotFound));
    assert_eq!(
        put_with(&mut store, |put| (put.lease, put.ignore_value) = (7, true)),
        Err(Refusal::LeaseNotFound)
    );
    assert_eq!((store.revision(), store.get("k")), (1, None));
}

#[test]
fn what_is_stored_does_not_keep_the_buffer_of_the_command_alive() {
    let buffer = bytes::Bytes::from(b"key and value".to_vec());
    let mut store = Store::new();
    store.apply(&Command::Put(Put::new(buffer.slice(..3), buffer.slice(8..))));
    assert!(buffer.is_unique(), "the store still refers to the buffer of a command");
}
