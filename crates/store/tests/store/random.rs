//! Random requests over few keys, so that they meet.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use synod_store::request::*;

fn key() -> impl Strategy<Value = Key> {
    select(vec!["a", "aa", "ab", "b", "c", "d"]).prop_map(Bytes::from)
}

fn keys() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => key().prop_map(KeyRange::One),
        3 => (key(), key()).prop_map(|(from, to)| KeyRange::Span(from, to)),
        1 => key().prop_map(KeyRange::From),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    select(vec!["", "x", "y", "zz"]).prop_map(Bytes::from)
}

/// Mostly none, sometimes one that is near what exists.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 1 => -2..12i64]
}

pub(crate) fn range() -> impl Strategy<Value = Range> {
    use SortOrder::*;
    use SortTarget::*;
    let sorting = (select(vec![None, Ascend, Descend]), select(vec![Key, Version, Create, Mod, Value]));
    let filters = (revision(), revision(), revision(), revision());
    let form = (0..4u64, prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    (keys(), form, revision(), sorting, filters).prop_map(|(keys, form, revision, sorting, filters)| Range {
        keys,
        limit: form.0,
        keys_only: form.1,
        count_only: form.2,
        revision,
        sort_order: sorting.0,
        sort_target: sorting.1,
        min_mod_revision: filters.0,
        max_mod_revision: filters.1,
        min_create_revision: filters.2,
        max_create_revision: filters.3,
    })
}

fn put() -> impl Strategy<Value = Put> {
    let lease = prop_oneof![30 => Just(0), 1 => Just(7i64)];
    let rare = || prop::bool::weighted(0.15);
    (key(), value(), lease, any::<bool>(), rare(), rare()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_range() -> impl Strategy<Value = DeleteRange> {
    (keys(), any::<bool>()).prop_map(|(keys, prev_kv)| DeleteRange { keys, prev_kv })
}

fn compare() -> impl Strategy<Value = Compare> {
    use CompareResult::*;
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        (0..12i64).prop_map(CompareTarget::Create),
        (0..12i64).prop_map(CompareTarget::Mod),
        value().prop_map(CompareTarget::Value),
        (-1..2i64).prop_map(CompareTarget::Lease),
    ];
    (keys(), select(vec![Equal, Greater, Less, NotEqual]), target)
        .prop_map(|(keys, result, target)| Compare { keys, result, target })
}

fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        2 => range().prop_map(TxnOp::Range),
        4 => put().prop_map(TxnOp::Put),
        2 => delete_range().prop_map(TxnOp::DeleteRange),
    ];
    let op = leaf.prop_recursive(3, 12, 3, |op| {
        (vec(compare(), 0..2), vec(op.clone(), 0..3), vec(op, 0..3))
            .prop_map(|(compare, success, failure)| TxnOp::Txn(Txn { compare, success, failure }))
    });
    (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4)).prop_map(|(compare, success, failure)| Txn {
        compare,
        success,
        failure,
    })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        6 => put().prop_map(Command::Put),
        2 => delete_range().prop_map(Command::DeleteRange),
        4 => txn().prop_map(Command::Txn),
        1 => (-1..20i64).prop_map(|revision| Command::Compact(Compact { revision })),
    ]
}

pub(crate) fn commands() -> impl Strategy<Value = Vec<Command>> {
    vec(command(), 0..40)
}
