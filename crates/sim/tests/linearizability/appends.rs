//! Appends that are lost, doubled, swapped or invented.

use std::collections::BTreeMap;

use synod_sim::history::Call;
use synod_sim::linearizability::{AppendViolation, check_appends};

use crate::words::*;

fn last(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("x".to_owned(), value.to_owned())])
}

/// `a`, then `b` and perhaps `u`, and `f` that failed.
fn history() -> Vec<Call> {
    vec![
        ask(1, 0, append("x", "a")).done(1),
        ask(1, 2, append("x", "b")).done(4),
        ask(2, 0, append("x", "u")).unknown(),
        ask(3, 0, append("x", "f")).failed(),
    ]
}

#[test]
fn each_acknowledged_text_is_there_once_and_an_unknown_one_at_most_once() {
    for good in ["ab", "uab", "aub", "abu"] {
        check_appends(&history(), &last(good)).unwrap();
    }
    let violation = |value| check_appends(&history(), &last(value)).unwrap_err();
    assert!(matches!(violation("abb"), AppendViolation::Twice { text, .. } if text == "b"));
    assert!(matches!(violation("a"), AppendViolation::Lost { text, .. } if text == "b"));
    assert!(matches!(violation(""), AppendViolation::Lost { text, .. } if text == "a"));
    assert!(
        matches!(violation("ba"), AppendViolation::Order { first, second, .. } if (first == "a") & (second == "b"))
    );
    assert!(matches!(violation("abf"), AppendViolation::Unasked { rest, .. } if rest == "f"));
    assert!(matches!(violation("a?b"), AppendViolation::Unasked { rest, .. } if rest == "?b"));
}

#[test]
fn a_read_on_the_way_is_a_beginning_of_the_end() {
    let with = |read| [history(), vec![read]].concat();
    let read = |called, answered, value| with(ask(4, called, get("x")).told(answered, holds(value)));
    check_appends(&read(3, 4, "ua"), &last("uab")).unwrap();
    let violation = |history: Vec<Call>| check_appends(&history, &last("uab")).unwrap_err();
    assert!(matches!(violation(read(3, 4, "au")), AppendViolation::Forked { .. }));
    assert!(matches!(violation(read(3, 4, "u")), AppendViolation::Lost { text, .. } if text == "a"));
    assert!(matches!(violation(read(0, 1, "uab")), AppendViolation::Unasked { rest, .. } if rest == "b"));
    let nothing_left = with(ask(4, 3, get("x")).told(4, nothing()));
    assert!(matches!(violation(nothing_left), AppendViolation::Lost { text, .. } if text == "a"));
}

#[test]
fn lists_that_are_also_written_are_left_to_the_search() {
    let history = [history(), vec![ask(4, 5, put("x", "new")).done(6)]].concat();
    check_appends(&history, &last("new")).unwrap();
}

#[test]
#[should_panic(expected = "cannot be told from")]
fn texts_that_contain_each_other_are_refused() {
    let _ = check_appends(
        &[ask(1, 0, append("x", "a")).done(1), ask(1, 2, append("x", "ab")).done(3)],
        &last("aab"),
    );
}
