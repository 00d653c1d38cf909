use CompareResult::*;
use synod_store::Store;
use synod_store::request::*;
use synod_store::response::*;

use crate::support::*;

fn found(response: &OpResponse) -> Vec<&str> {
    match response {
        OpResponse::Range(response) => keys(response),
        other => panic!("a read answered {other:?}"),
    }
}

fn holds(store: &Store, compare: Compare) -> bool {
    let txn = Txn { compare: vec![compare], ..Txn::default() };
    store.view().txn(&txn).unwrap().succeeded
}

#[test]
fn the_steps_of_a_transaction_share_one_revision() {
    let mut store = Store::new();
    store.put("old", "x");
    let response = store.txn(steps([op_put("a", "1"), op_delete(one("old")), op_put("b", "2")])).unwrap();
    assert_eq!((response.succeeded, response.revision, store.revision()), (true, 3, 3));
    assert_eq!(store.get("a"), Some(kv("a", "1", 3, 3, 1)));
    assert_eq!(store.get("b"), Some(kv("b", "2", 3, 3, 1)));
    assert_eq!((store.get("old"), store.get_at("a", 2)), (None, Ok(None)));
}

#[test]
fn a_transaction_that_changes_nothing_takes_no_revision() {
    let mut store = Store::new();
    store.put("k", "v");
    let before = store.hash();
    let response =
        store.txn(steps([op_range(all()), op_delete(one("x")), TxnOp::Txn(Txn::default())])).unwrap();
    assert_eq!((response.revision, store.revision(), store.hash()), (2, 2, before));
}

#[test]
fn either_all_conditions_hold_or_the_other_branch_runs() {
    let mut store = Store::new();
    store.put("k", "v");
    let version = |n| compare(one("k"), Equal, CompareTarget::Version(n));
    for (conditions, expected) in
        [(vec![], true), (vec![version(1), version(1)], true), (vec![version(1), version(2)], false)]
    {
        let txn =
            Txn { compare: conditions, success: vec![op_put("yes", "")], failure: vec![op_put("no", "")] };
        store.delete(from("l"));
        assert_eq!(store.txn(txn).unwrap().succeeded, expected);
        assert_eq!((store.get("yes").is_some(), store.get("no").is_some()), (expected, !expected));
    }
}

#[test]
fn every_target_compares_in_every_way() {
    let mut store = Store::new();
    for (key, value) in [("x", ""), ("k", "l"), ("k", "m"), ("k", "m")] {
        store.put(key, value);
    }
    // The key was created at 3, changed last at 5, put three times, has the value "m" and no lease.
    type Target = fn(i64) -> CompareTarget;
    let around: [(Target, i64); 5] = [
        (CompareTarget::Version, 3),
        (CompareTarget::Create, 3),
        (CompareTarget::Mod, 5),
        (CompareTarget::Lease, 0),
        (|n| CompareTarget::Value(["l", "m", "n"][n as usize].into()), 1),
    ];
    for (target, is) in around {
        for (operand, expected) in
            [(is - 1, [Greater, NotEqual]), (is + 1, [Less, NotEqual]), (is, [Equal, Equal])]
        {
            for result in [Equal, Greater, Less, NotEqual] {
                let condition = compare(one("k"), result, target(operand));
                assert_eq!(holds(&store, condition.clone()), expected.contains(&result), "{condition:?}");
            }
        }
    }
}

#[test]
fn a_missing_key_has_zero_for_every_figure_and_no_value_at_all() {
    let mut store = Store::new();
    store.put("gone", "v");
    store.delete(one("gone"));
    for range in [one("missing"), one("gone"), span("m", "n"), span("z", "a")] {
        for target in
            [CompareTarget::Version, CompareTarget::Create, CompareTarget::Mod, CompareTarget::Lease]
        {
            assert!(holds(&store, compare(range.clone(), Equal, target(0))));
            assert!(holds(&store, compare(range.clone(), Less, target(1))));
            assert!(holds(&store, compare(range.clone(), Greater, target(-1))));
            assert!(!holds(&store, compare(range.clone(), NotEqual, target(0))));
        }
        for result in [Equal, Greater, Less, NotEqual] {
            assert!(!holds(&store, compare(range.clone(), result, CompareTarget::Value("".into()))));
        }
    }
}

#[test]
fn a_condition_on_a_range_must_hold_for_every_key_in_it() {
    let mut store = Store::new();
    for key in ["a", "b", "c", "c"] {
        store.put(key, "");
    }
    assert!(holds(&store, compare(span("a", "c"), Equal, CompareTarget::Version(1))));
    assert!(!holds(&store, compare(span("a", "d"), Equal, CompareTarget::Version(1))), "the last differs");
    assert!(!holds(&store, compare(from("b"), NotEqual, CompareTarget::Version(1))), "the first differs");
    assert!(holds(&store, compare(all(), Less, CompareTarget::Version(3))));
}

#[test]
fn reads_see_the_steps_before_them_and_not_those_behind() {
    let mut store = Store::new();
    store.put("a", "");
    let ops = [op_range(all()), op_put("b", ""), op_range(all()), op_delete(one("a")), op_range(all())];
    let response = store.txn(steps(ops)).unwrap();
    assert_eq!(found(&response.responses[0]), ["a"]);
    assert_eq!(found(&response.responses[2]), ["a", "b"]);
    assert_eq!(found(&response.responses[4]), ["b"]);
}

#[test]
fn removals_see_the_steps_before_them() {
    let mut store = Store::new();
    let response = store.txn(steps([op_put("a", ""), op_delete(all()), op_delete(all())])).unwrap();
    let deleted = |n: usize| match &response.responses[n] {
        OpResponse::DeleteRange(response) => response.deleted,
        other => panic!("a removal answered {other:?}"),
    };
    assert_eq!((deleted(1), deleted(2)), (1, 0));
    assert_eq!((store.get("a"), store.revision()), (None, 2));
}

#[test]
fn a_read_inside_a_transaction_may_name_the_past_but_not_the_revision_being_made() {
    let mut store = Store::new();
    store.put("a", "");
    let at = |revision| TxnOp::Range(Range { revision, ..Range::new(all()) });
    let response = store.txn(steps([op_put("b", ""), at(2)])).unwrap();
    assert_eq!(found(&response.responses[1]), ["a"]);
    assert_eq!(store.txn(steps([op_put("c", ""), at(4)])), Err(Refusal::FutureRevision));
    store.compact(3).unwrap();
    assert_eq!(store.txn(steps([op_put("c", ""), at(2)])), Err(Refusal::Compacted));
    assert_eq!((store.revision(), store.get("c")), (3, None));
}

#[test]
fn nested_transactions_run_in_place_and_judge_by_the_state_before_everything() {
    let mut store = Store::new();
    store.put("k", "before");
    let unchanged = compare(one("k"), Equal, CompareTarget::Value("before".into()));
    let nested =
        Txn { compare: vec![unchanged], success: vec![op_range(one("k")), op_put("n", "")], failure: vec![] };
    let response = store.txn(steps([op_put("k", "after"), TxnOp::Txn(nested), op_range(one("n"))])).unwrap();
    let OpResponse::Txn(inner) = &response.responses[1] else { panic!("{response:?}") };
    assert!(inner.succeeded, "conditions are about the state before the first step");
    assert_eq!((inner.revision, response.revision), (3, 3));
    let OpResponse::Range(read) = &inner.responses[0] else { panic!("{inner:?}") };
    assert_eq!(read.kvs, [kv("k", "after", 2, 3, 2)], "steps see the steps before");
    assert_eq!(found(&response.responses[2]), ["n"]);
}

#[test]
fn a_transaction_refused_half_way_changes_nothing() {
    let mut store = Store::new();
    store.put("kept", "v");
    store.put("gone", "v");
    store.delete(one("gone"));
    let (hash, bytes) = (store.hash(), store.bytes());
    let missing = TxnOp::Put(Put { ignore_value: true, ..Put::new("gone", "") });
    let leased = TxnOp::Put(Put { lease: 1, ..Put::new("x", "") });
    let future = TxnOp::Range(Range { revision: 99, ..Range::new(all()) });
    let refusals = [
        (missing, Refusal::KeyNotFound),
        (leased, Refusal::LeaseNotFound),
        (future, Refusal::FutureRevision),
    ];
    for (step, refusal) in refusals {
        let nested = TxnOp::Txn(steps([op_put("nested", "v"), op_delete(one("new")), step]));
        let txn =
            steps([op_put("new", "v"), op_put("kept", "w"), op_put("kept", "x"), op_delete(all()), nested]);
        let view = store.view();
        let applied = store.apply(&Command::Txn(txn.clone()));
        assert_eq!(applied, Applied { result: Err(refusal), revision: 4 });
        assert_eq!((store.hash(), store.bytes(), store.revision()), (hash, bytes, 4));
        assert_eq!(view.txn(&txn), Err(refusal));
    }
    assert_eq!(store.put("next", ""), 5);
}

#[test]
fn a_branch_that_is_not_taken_refuses_nothing() {
    let mut store = Store::new();
    let bad = vec![TxnOp::Put(Put { lease: 1, ..Put::new("x", "") })];
    assert!(store.txn(Txn { failure: bad, ..Txn::default() }).is_ok());
}

#[test]
fn ignore_value_inside_a_transaction_sees_the_steps_before_it() {
    let mut store = Store::new();
    store.put("k", "v");
    let keep = || TxnOp::Put(Put { ignore_value: true, ..Put::new("k", "") });
    assert_eq!(store.txn(steps([op_delete(one("k")), keep()])), Err(Refusal::KeyNotFound));
    store.txn(steps([op_put("k", "w"), keep()])).unwrap();
    assert_eq!(store.get("k"), Some(kv("k", "w", 2, 3, 3)));
}

#[test]
fn a_transaction_reads_only_if_no_branch_writes() {
    let nest = |op| TxnOp::Txn(Txn { failure: vec![op], ..Txn::default() });
    assert!(Txn::default().is_read_only());
    assert!(steps([op_range(all()), nest(op_range(all()))]).is_read_only());
    for op in [op_put("a", ""), op_delete(all()), nest(op_put("a", "")), nest(nest(op_delete(all())))] {
        assert!(!steps([op.clone()]).is_read_only(), "{op:?}");
        assert!(!Txn { failure: vec![op], ..Txn::default() }.is_read_only());
    }
}
