use synod_store::Store;
use synod_store::request::*;
use synod_store::response::*;

use crate::support::*;

/// Keys that every sort target orders differently:
///
/// | key | value | create | mod | version |
/// |-----|-------|--------|-----|---------|
/// | a   | 2     | 4      | 4   | 1       |
/// | b   | 4     | 2      | 6   | 2       |
/// | c   | 1     | 3      | 8   | 3       |
/// | d   | 3     | 5      | 5   | 1       |
fn store() -> Store {
    let mut store = Store::new();
    for (key, value) in [("b", "-"), ("c", "-"), ("a", "2"), ("d", "3"), ("b", "4"), ("c", "-"), ("c", "1")] {
        store.put(key, value);
    }
    store
}

fn read(store: &Store, change: impl FnOnce(&mut Range)) -> RangeResponse {
    try_read(store, change).unwrap()
}

fn try_read(store: &Store, change: impl FnOnce(&mut Range)) -> Result<RangeResponse, Refusal> {
    let mut range = Range::new(all());
    change(&mut range);
    store.view().range(&range)
}

#[test]
fn ranges_include_their_start_and_exclude_their_end() {
    let store = store();
    let cases: [(KeyRange, &[&str]); 9] = [
        (one("b"), &["b"]),
        (one("bb"), &[]),
        (span("a", "c"), &["a", "b"]),
        (span("aa", "cc"), &["b", "c"]),
        (span("c", "c"), &[]),
        (span("c", "a"), &[]),
        (span("x", "z"), &[]),
        (from("c"), &["c", "d"]),
        (from("\0"), &["a", "b", "c", "d"]),
    ];
    for (range, expected) in cases {
        let response = read(&store, |request| request.keys = range.clone());
        assert_eq!(keys(&response), expected, "{range:?}");
        assert_eq!((response.count as usize, response.more), (expected.len(), false), "{range:?}");
    }
}

#[test]
fn results_come_in_the_order_asked_for() {
    use SortOrder::*;
    use SortTarget::*;
    let store = store();
    let cases = [
        (Key, None, "abcd"),
        (Key, Ascend, "abcd"),
        (Key, Descend, "dcba"),
        (Version, Ascend, "adbc"),
        (Version, Descend, "cbad"),
        (Create, Ascend, "bcad"),
        (Create, Descend, "dacb"),
        (Mod, Ascend, "adbc"),
        (Mod, Descend, "cbda"),
        (Value, Ascend, "cadb"),
        (Value, Descend, "bdac"),
        // Without an order, any target but the key means ascending.
        (Version, None, "adbc"),
        (Create, None, "bcad"),
        (Value, None, "cadb"),
    ];
    for (target, order, expected) in cases {
        let response = read(&store, |range| (range.sort_target, range.sort_order) = (target, order));
        assert_eq!(keys(&response).concat(), expected, "by {target:?} {order:?}");
    }
}

#[test]
fn the_limit_cuts_what_was_sorted_and_the_count_stays_whole() {
    let store = store();
    for (limit, expected, more) in [(1, "b", true), (3, "bda", true), (4, "bdac", false), (9, "bdac", false)]
    {
        let response = read(&store, |range| {
            (range.limit, range.sort_target, range.sort_order) =
                (limit, SortTarget::Value, SortOrder::Descend);
        });
        assert_eq!((keys(&response).concat().as_str(), response.more, response.count), (expected, more, 4));
    }
    for (limit, expected, more) in
        [(0, "abcd", false), (1, "a", true), (4, "abcd", false), (u64::MAX, "abcd", false)]
    {
        let response = read(&store, |range| range.limit = limit);
        assert_eq!((keys(&response).concat().as_str(), response.more, response.count), (expected, more, 4));
    }
}

#[test]
fn a_target_without_an_order_sorts_what_the_limit_and_one_more_let_in() {
    // etcd reads limit + 1 keys in key order, then sorts those by the target, then cuts.
    let response = read(&store(), |range| (range.limit, range.sort_target) = (2, SortTarget::Value));
    assert_eq!((keys(&response).concat().as_str(), response.more, response.count), ("ca", true, 4));
}

#[test]
fn filters_are_inclusive_and_do_not_change_the_count() {
    let store = store();
    type Filter = fn(&mut Range);
    let cases: [(Filter, &str); 8] = [
        (|range| range.min_mod_revision = 6, "bc"),
        (|range| range.max_mod_revision = 5, "ad"),
        (|range| range.min_create_revision = 4, "ad"),
        (|range| range.max_create_revision = 3, "bc"),
        (|range| (range.min_mod_revision, range.max_mod_revision) = (5, 6), "bd"),
        (|range| (range.min_create_revision, range.max_create_revision) = (3, 4), "ac"),
        (|range| (range.min_mod_revision, range.max_create_revision) = (7, 2), ""),
        (|range| range.max_mod_revision = -1, ""),
    ];
    for (filter, expected) in cases {
        let response = read(&store, filter);
        assert_eq!((keys(&response).concat().as_str(), response.more, response.count), (expected, false, 4));
    }
}

#[test]
fn the_limit_counts_what_the_filters_let_through() {
    let store = store();
    let filtered = |limit| {
        let response = read(&store, |range| (range.limit, range.max_create_revision) = (limit, 3));
        (keys(&response).concat(), response.more, response.count)
    };
    assert_eq!(filtered(1), ("b".to_owned(), true, 4));
    assert_eq!(filtered(2), ("bc".to_owned(), false, 4));
}

#[test]
fn keys_only_leaves_out_the_values_but_may_sort_by_them() {
    let response = read(&store(), |range| (range.keys_only, range.sort_target) = (true, SortTarget::Value));
    assert_eq!(keys(&response).concat(), "cadb");
    assert_eq!(response.kvs[0], kv("c", "", 3, 8, 3));
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
}

#[test]
fn count_only_leaves_out_the_keys_and_heeds_neither_limit_nor_filter() {
    let response = read(&store(), |range| {
        (range.count_only, range.limit, range.min_mod_revision) = (true, 1, 100);
    });
    assert_eq!(response, RangeResponse { kvs: vec![], more: false, count: 4 });
}

#[test]
fn a_range_at_a_past_revision_shows_the_keys_of_then() {
    let mut store = store();
    store.delete(one("b"));
    let at = |revision| {
        let response = read(&store, |range| range.revision = revision);
        assert_eq!(response.count as usize, response.kvs.len());
        keys(&response).concat()
    };
    assert_eq!(
        [at(1), at(2), at(3), at(4), at(5), at(8), at(9)],
        ["", "b", "bc", "abc", "abcd", "abcd", "acd"]
    );
    assert_eq!([at(0), at(-1), at(-7)], ["acd"; 3], "0 and less mean now");
}

#[test]
fn a_revision_that_is_not_readable_is_refused() {
    let mut store = store();
    assert_eq!(try_read(&store, |range| range.revision = 9), Err(Refusal::FutureRevision));
    assert_eq!(try_read(&store, |range| range.revision = i64::MAX), Err(Refusal::FutureRevision));
    store.compact(5).unwrap();
    assert_eq!(try_read(&store, |range| range.revision = 4), Err(Refusal::Compacted));
    assert_eq!(try_read(&store, |range| range.revision = 5).map(|response| response.count), Ok(4));
    assert_eq!(
        try_read(&store, |range| (range.revision, range.count_only) = (4, true)),
        Err(Refusal::Compacted)
    );
}
