use synod_store::codec::MAX_TXN_DEPTH;
use synod_store::request::*;
use synod_store::response::Refusal;
use synod_store::{Limits, check_range};

use crate::support::*;

fn check(command: Command) -> Result<(), Refusal> {
    synod_store::check(&command, &Limits::default())
}

fn check_steps(ops: impl Into<Vec<TxnOp>>) -> Result<(), Refusal> {
    let txn = steps(ops);
    let mirrored = Txn { failure: txn.success.clone(), ..Txn::default() };
    let result = check(Command::Txn(txn));
    assert_eq!(check(Command::Txn(mirrored)), result, "both branches are checked alike");
    result
}

fn nest(success: impl Into<Vec<TxnOp>>, failure: impl Into<Vec<TxnOp>>) -> TxnOp {
    TxnOp::Txn(Txn { compare: vec![], success: success.into(), failure: failure.into() })
}

#[test]
fn a_key_is_needed_everywhere() {
    let empty = [one(""), span("", "b"), from("")];
    assert_eq!(check(Command::Put(Put::new("", "v"))), Err(Refusal::EmptyKey));
    assert_eq!(check_steps([op_put("", "v")]), Err(Refusal::EmptyKey));
    for keys in empty {
        assert_eq!(check_range(&Range::new(keys.clone())), Err(Refusal::EmptyKey));
        assert_eq!(check(Command::DeleteRange(delete(keys.clone()))), Err(Refusal::EmptyKey));
        assert_eq!(check_steps([op_range(keys.clone())]), Err(Refusal::EmptyKey));
        assert_eq!(check_steps([op_delete(keys.clone())]), Err(Refusal::EmptyKey));
        assert_eq!(check_steps([nest([op_delete(keys.clone())], [])]), Err(Refusal::EmptyKey));
        let condition = compare(keys, CompareResult::Equal, CompareTarget::Version(0));
        let txn = Txn { compare: vec![condition], ..Txn::default() };
        assert_eq!(check(Command::Txn(txn)), Err(Refusal::EmptyKey));
    }
    assert_eq!(check_range(&Range::new(one("k"))), Ok(()));
}

#[test]
fn what_is_to_be_ignored_must_not_be_given() {
    let both = Put { ignore_value: true, ..Put::new("k", "v") };
    assert_eq!(check(Command::Put(both.clone())), Err(Refusal::ValueProvided));
    assert_eq!(check_steps([TxnOp::Put(both)]), Err(Refusal::ValueProvided));
    let both = Put { ignore_lease: true, lease: 7, ..Put::new("k", "v") };
    assert_eq!(check(Command::Put(both)), Err(Refusal::LeaseProvided));
    let neither = Put { ignore_lease: true, ignore_value: true, ..Put::new("k", "") };
    assert_eq!(check(Command::Put(neither)), Ok(()));
    assert_eq!(check(Command::Put(Put { lease: 7, ..Put::new("k", "v") })), Ok(()));
}

#[test]
fn conditions_and_each_branch_have_the_same_limit() {
    let condition = compare(one("k"), CompareResult::Equal, CompareTarget::Version(0));
    for (n, expected) in [(128, Ok(())), (129, Err(Refusal::TooManyOps))] {
        assert_eq!(check_steps(vec![op_range(one("k")); n]), expected);
        assert_eq!(
            check(Command::Txn(Txn { compare: vec![condition.clone(); n], ..Txn::default() })),
            expected
        );
    }
    let branch = vec![op_range(one("k")); 128];
    let full = Txn { compare: vec![condition; 128], success: branch.clone(), failure: branch };
    assert_eq!(check(Command::Txn(full)), Ok(()), "the largest counts, not the sum");
}

#[test]
fn a_nested_transaction_gets_what_the_outer_one_left() {
    for (n, expected) in [(126, Ok(())), (127, Err(Refusal::TooManyOps))] {
        let nested = nest(vec![op_range(one("k")); n], []);
        assert_eq!(check_steps([op_range(one("k")), nested]), expected);
    }
}

#[test]
fn nesting_ends_before_the_log_could_not_be_read_any_more() {
    let nested = |depth| (1..depth).fold(Txn::default(), |txn, _| steps([TxnOp::Txn(txn)]));
    let limits = Limits { max_txn_ops: 10_000 };
    let deepest = Command::Txn(nested(MAX_TXN_DEPTH));
    assert_eq!(synod_store::check(&deepest, &limits), Ok(()));
    assert_eq!(Command::decode(deepest.encode()), Ok(deepest));
    let too_deep = Command::Txn(nested(MAX_TXN_DEPTH + 1));
    assert_eq!(synod_store::check(&too_deep, &limits), Err(Refusal::TooManyOps));
}

#[test]
fn no_key_may_be_put_twice() {
    let duplicate = Err(Refusal::DuplicateKey);
    assert_eq!(check_steps([op_put("a", ""), op_put("b", "")]), Ok(()));
    assert_eq!(check_steps([op_put("a", ""), op_put("a", "")]), duplicate);
    assert_eq!(check_steps([op_put("a", ""), nest([op_put("a", "")], [])]), duplicate);
    assert_eq!(check_steps([nest([], [op_put("a", "")]), op_put("a", "")]), duplicate);
    assert_eq!(check_steps([nest([op_put("a", "")], []), nest([], [op_put("a", "")])]), duplicate);
    assert_eq!(check_steps([nest([op_put("a", ""), op_put("a", "")], [])]), duplicate);
    assert_eq!(check_steps([nest([nest([op_put("a", "")], [])], []), op_put("a", "")]), duplicate);
}

#[test]
fn branches_that_exclude_each_other_may_put_the_same_key() {
    assert_eq!(check_steps([nest([op_put("a", "")], [op_put("a", "")])]), Ok(()));
    let txn = Txn { compare: vec![], success: vec![op_put("a", "")], failure: vec![op_put("a", "")] };
    assert_eq!(check(Command::Txn(txn)), Ok(()));
}

#[test]
fn no_key_may_be_put_and_removed() {
    let duplicate = Err(Refusal::DuplicateKey);
    for keys in [one("b"), span("a", "c"), span("b", "c"), from("a"), from("b")] {
        assert_eq!(check_steps([op_put("b", ""), op_delete(keys.clone())]), duplicate, "{keys:?}");
        assert_eq!(check_steps([op_delete(keys.clone()), op_put("b", "")]), duplicate);
        assert_eq!(check_steps([op_delete(keys.clone()), nest([], [op_put("b", "")])]), duplicate);
        assert_eq!(check_steps([nest([op_delete(keys.clone())], []), op_put("b", "")]), duplicate);
        assert_eq!(
            check_steps([nest([], [op_delete(keys.clone())]), nest([op_put("b", "")], [])]),
            duplicate
        );
        assert_eq!(check_steps([nest([op_delete(keys.clone()), op_put("b", "")], [])]), duplicate);
        assert_eq!(check_steps([nest([op_delete(keys)], [op_put("b", "")])]), Ok(()), "one or the other");
    }
    for keys in [one("a"), one("c"), span("a", "b"), span("c", "d"), span("c", "a"), from("c")] {
        assert_eq!(check_steps([op_put("b", ""), op_delete(keys)]), Ok(()));
    }
}

#[test]
fn removals_may_overlap_and_join() {
    let key = |n: usize| -> Key { vec![b'a' + n as u8].into() };
    // Every pair of spans over ten letters, in both orders, against every letter.
    let spans: Vec<(usize, usize)> = (0..10).flat_map(|from| (from..10).map(move |to| (from, to))).collect();
    for &(a, b) in &spans {
        for &(c, d) in &spans {
            for letter in [0, 2, 4, 5, 9] {
                let removal = |from, to| op_delete(KeyRange::Span(key(from), key(to)));
                let ops = [removal(a, b), removal(c, d), TxnOp::Put(Put::new(key(letter), ""))];
                let inside = (a..b).contains(&letter) || (c..d).contains(&letter);
                let expected = if inside { Err(Refusal::DuplicateKey) } else { Ok(()) };
                assert_eq!(check(Command::Txn(steps(ops))), expected, "[{a},{b}) and [{c},{d}) and {letter}");
            }
        }
    }
}

#[test]
fn three_spans_become_one_when_the_last_bridges_them() {
    let ops = |put| {
        [op_delete(span("b", "d")), op_delete(span("f", "h")), op_delete(span("c", "g")), op_put(put, "")]
    };
    for put in ["b", "c", "d", "e", "f", "g"] {
        assert_eq!(check_steps(ops(put)), Err(Refusal::DuplicateKey), "{put}");
    }
    for put in ["a", "h"] {
        assert_eq!(check_steps(ops(put)), Ok(()), "{put}");
    }
}
