use synod_store::Store;
use synod_store::request::*;
use synod_store::response::*;

use crate::support::*;

fn abcd() -> Store {
    let mut store = Store::new();
    for key in ["a", "b", "c", "d"] {
        store.put(key, key);
    }
    store
}

fn left(store: &Store) -> Vec<String> {
    let response = store.view().range(&Range::new(all())).unwrap();
    keys(&response).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_removal_takes_one_revision_however_many_keys_it_removes() {
    let mut store = abcd();
    assert_eq!(store.delete(span("b", "d")), 2);
    assert_eq!(store.revision(), 6);
    assert_eq!(left(&store), ["a", "d"]);
}

#[test]
fn a_range_from_a_key_on_reaches_to_the_end() {
    let mut store = abcd();
    assert_eq!(store.delete(from("b")), 3);
    assert_eq!(left(&store), ["a"]);
}

#[test]
fn removing_nothing_changes_nothing() {
    let mut store = abcd();
    let before = store.hash();
    for keys in [one("x"), span("aa", "b"), span("d", "a"), span("b", "b"), from("e")] {
        assert_eq!(store.delete(keys), 0);
    }
    assert_eq!((store.revision(), store.hash()), (5, before));
}

#[test]
fn what_is_gone_is_not_removed_again() {
    let mut store = abcd();
    assert_eq!(store.delete(one("a")), 1);
    assert_eq!(store.delete(one("a")), 0);
    assert_eq!(store.delete(all()), 3);
    assert_eq!(store.revision(), 7);
}

#[test]
fn the_removed_keys_come_back_in_order_when_asked_for() {
    let mut store = abcd();
    store.delete(one("b"));
    let command = Command::DeleteRange(DeleteRange { keys: span("a", "d"), prev_kv: true });
    let expected =
        DeleteRangeResponse { deleted: 2, prev_kvs: vec![kv("a", "a", 2, 2, 1), kv("c", "c", 4, 4, 1)] };
    assert_eq!(store.apply(&command).result, Ok(Response::DeleteRange(expected)));
}
