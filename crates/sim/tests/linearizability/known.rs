//! Histories whose verdict a person can see.

use synod_sim::history::{Answer, Call};
use synod_sim::linearizability::{NotLinearizable, check};

use crate::words::*;

fn good(history: &[Call]) {
    check(history).unwrap();
}

fn bad(history: &[Call]) -> NotLinearizable {
    check(history).unwrap_err()
}

#[test]
fn nothing_asked_is_nothing_wrong() {
    good(&[]);
}

#[test]
fn a_read_during_a_write_may_find_the_old_or_the_new() {
    for found in [nothing(), holds("1")] {
        good(&[ask(1, 0, put("x", "1")).done(9), ask(2, 2, get("x")).told(3, found)]);
    }
}

#[test]
fn two_reads_during_a_write_do_not_go_back_in_time() {
    let write = ask(1, 0, put("x", "1")).done(9);
    let new = ask(2, 2, get("x")).told(3, holds("1"));
    good(&[write.clone(), new.clone(), ask(3, 4, get("x")).told(5, holds("1"))]);
    bad(&[write, new, ask(3, 4, get("x")).told(5, nothing())]);
}

#[test]
fn a_stale_read_is_found() {
    let writes = [ask(1, 0, put("x", "1")).done(1), ask(1, 2, put("x", "2")).done(3)];
    let read = |found| ask(2, 4, get("x")).told(5, holds(found));
    good(&[writes.to_vec(), vec![read("2")]].concat());
    bad(&[writes.to_vec(), vec![read("1")]].concat());
}

#[test]
fn a_lost_update_is_found() {
    let first = ask(1, 0, swap("x", None, "1")).told(3, held(&[]));
    let second = |answer| ask(2, 1, swap("x", None, "2")).told(4, answer);
    good(&[first.clone(), second(did_not_hold())]);
    bad(&[first, second(held(&[]))]);
}

#[test]
fn a_duplicated_append_is_found() {
    let appends = [ask(1, 0, append("x", "a")).done(1), ask(2, 0, append("x", "b")).unknown()];
    let read = |found| ask(3, 2, get("x")).told(3, holds(found));
    for found in ["a", "ab", "ba"] {
        good(&[appends.to_vec(), vec![read(found)]].concat());
    }
    for found in ["aa", "aab", "abb", "bab", "b", ""] {
        bad(&[appends.to_vec(), vec![read(found)]].concat());
    }
}

#[test]
fn a_read_from_the_future_is_found() {
    bad(&[ask(2, 0, get("x")).told(1, holds("1")), ask(1, 2, put("x", "1")).done(3)]);
    bad(&[ask(2, 0, get("x")).told(1, holds("1")), ask(1, 2, put("x", "1")).unknown()]);
}

#[test]
fn half_a_transaction_is_found() {
    let write = ask(1, 0, at_once(&[set("x", "1"), set("y", "1")])).told(9, held(&[]));
    let read = |x, y| ask(2, 2, at_once(&[look("x"), look("y")])).told(3, held(&[x, y]));
    good(&[write.clone(), read(None, None)]);
    good(&[write.clone(), read(Some("1"), Some("1"))]);
    bad(&[write.clone(), read(Some("1"), None)]);
    // The same seen by two reads of one key each.
    let [x, y] = ["x", "y"].map(|key| move |second, found| ask(3, second, get(key)).told(second + 1, found));
    good(&[write.clone(), x(2, nothing()), y(4, holds("1"))]);
    let broken = bad(&[write, x(2, holds("1")), y(4, nothing())]);
    assert_eq!(broken.keys, ["x", "y"]);
}

#[test]
fn a_split_brain_is_found() {
    let left = [ask(1, 0, put("x", "l")).done(1), ask(1, 4, get("x")).told(5, holds("l"))];
    let right = [ask(2, 2, put("x", "r")).done(3), ask(2, 4, get("x")).told(5, holds("r"))];
    good(&[left[..1].to_vec(), right.to_vec()].concat());
    bad(&[left, right].concat());
}

#[test]
fn keys_that_no_transaction_joins_do_not_order_each_other() {
    // Each key alone has an order; that is what counts.
    good(&[
        ask(1, 0, put("x", "1")).done(9),
        ask(2, 0, put("y", "1")).done(9),
        ask(3, 1, get("x")).told(2, holds("1")),
        ask(3, 3, get("y")).told(4, nothing()),
        ask(4, 1, get("y")).told(2, nothing()),
        ask(4, 3, get("x")).told(4, holds("1")),
    ]);
}

#[test]
fn what_failed_never_happens() {
    let read = ask(2, 2, get("x")).told(3, holds("1"));
    bad(&[ask(1, 0, put("x", "1")).failed(), read.clone()]);
    good(&[ask(1, 0, put("x", "1")).unknown(), read]);
}

#[test]
fn what_nobody_knows_happens_once_and_as_late_as_it_likes_or_never() {
    let lost = ask(1, 0, put("x", "1")).unknown();
    let over = ask(2, 1, put("x", "2")).done(2);
    let read = |second, found| ask(2, second, get("x")).told(second + 1, found);
    let both = vec![lost, over];
    good(&[both.clone(), vec![read(3, holds("2")), read(5, holds("2"))]].concat());
    good(&[both.clone(), vec![read(3, holds("2")), read(5, holds("1"))]].concat());
    bad(&[both.clone(), vec![read(3, holds("1")), read(5, holds("2"))]].concat());
    bad(&[both, vec![read(3, holds("2")), read(5, holds("1")), read(7, holds("2"))]].concat());
}

#[test]
fn a_delete_tells_whether_there_was_something() {
    let gone = |second, found| ask(1, second, delete("x")).told(second + 1, Answer::Deleted(found));
    good(&[gone(0, false), ask(1, 2, put("x", "1")).done(3), gone(4, true), gone(6, false)]);
    bad(&[gone(0, true)]);
    bad(&[ask(1, 2, put("x", "1")).done(3), gone(4, true), gone(6, true)]);
    // One of two unknown writes for each delete that found something.
    let lost = [ask(2, 0, put("x", "1")).unknown(), ask(3, 0, append("x", "2")).unknown()];
    good(&[lost.to_vec(), vec![gone(2, true), gone(4, true)]].concat());
    bad(&[lost.to_vec(), vec![gone(2, true), gone(4, true), gone(6, true)]].concat());
}

#[test]
fn an_unknown_transaction_matters_to_what_it_writes_beside_the_key_that_is_overwritten() {
    let both = ask(1, 0, at_once(&[set("x", "1"), set("y", "1")])).unknown();
    let over = ask(2, 1, put("x", "2")).done(2);
    let read = |second, key, found| ask(2, second, get(key)).told(second + 1, holds(found));
    good(&[both.clone(), over.clone(), read(3, "y", "1"), read(5, "x", "2")]);
    good(&[both.clone(), over.clone(), read(3, "x", "2"), read(5, "y", "1"), read(7, "x", "1")]);
    bad(&[both, over, read(3, "y", "1"), read(5, "x", "2"), read(7, "x", "1")]);
}

#[test]
fn an_unknown_transaction_has_to_come_before_what_it_looks_at_is_overwritten() {
    let swap = synod_sim::history::Operation::Transact {
        expected: vec![("x".to_owned(), None)],
        then: vec![set("y", "1")],
        otherwise: Vec::new(),
    };
    let over = |second| ask(2, second, put("x", "2")).done(second + 1);
    let seen = ask(2, 9, get("y")).told(10, holds("1"));
    good(&[ask(1, 0, swap.clone()).unknown(), over(1), seen.clone()]);
    bad(&[over(1), ask(1, 3, swap).unknown(), seen]);
}

#[test]
fn of_all_that_is_proposed_one_is_chosen() {
    let told = |client, value, is| ask(client, 0, propose(value)).told(client, chosen(is));
    good(&[told(1, "a", "b"), told(2, "b", "b"), told(3, "c", "b")]);
    good(&[told(1, "a", "b"), ask(2, 0, propose("b")).unknown()]);
    bad(&[told(1, "a", "a"), told(2, "b", "b")]);
    bad(&[told(1, "a", "z")]);
    bad(&[told(1, "a", "b"), ask(2, 3, propose("b")).told(4, chosen("b"))]);
}

#[test]
fn a_client_that_asks_the_moment_it_is_told_asks_afterwards() {
    let read = |second, found| ask(1, second, get("x")).told(second + 1, found);
    let write = ask(2, 0, put("x", "1")).done(9);
    good(&[write.clone(), read(1, nothing()), read(2, holds("1"))]);
    bad(&[write, read(1, holds("1")), read(2, nothing())]);
}

#[test]
fn an_answer_to_another_question_fits_nothing() {
    bad(&[ask(1, 0, get("x")).told(1, Answer::Done)]);
    bad(&[ask(1, 0, at_once(&[look("x")])).told(1, held(&[]))]);
}

#[test]
fn a_violation_is_told_in_words_up_to_where_it_happened() {
    let broken = bad(&[
        ask(1, 0, put("x", "1")).done(1),
        ask(1, 2, put("x", "2")).done(3),
        ask(3, 2, append("x", "!")).unknown(),
        ask(2, 4, get("x")).told(5, holds("1")),
        ask(2, 6, get("x")).told(7, holds("2")),
        ask(2, 6, get("elsewhere")).told(7, nothing()),
    ]);
    assert_eq!((broken.keys, broken.until), (vec!["x".to_owned()], 5_000_000_000));
    assert_eq!(
        broken.story,
        "the calls on \"x\" up to 5.000000 s have no order.\n\
         This one goes furthest (2 of 4 calls):\n  \
         client 1 puts \"x\" = \"1\", told done [0.000000 s – 1.000000 s]; \"x\" is \"1\"\n  \
         client 1 puts \"x\" = \"2\", told done [2.000000 s – 3.000000 s]; \"x\" is \"2\"\n\
         Then none of these can be next:\n  \
         client 2 gets \"x\", told \"1\" [4.000000 s – 5.000000 s]; would be told \"2\"\n\
         and 1 calls of which nobody knows whether they happened do not help.\n"
    );
}
