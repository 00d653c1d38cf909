//! Revisions that contradict each other, real time, or what was read.

use synod_sim::history::{Answer, Call};
use synod_sim::linearizability::{RevisionViolation, check_revisions};

use crate::words::*;

fn write(second: u64, value: &str, revision: i64) -> Call {
    ask(1, second, put("x", value)).told_at(second + 1, Answer::Done, revision)
}

fn read(second: u64, value: &str, revision: i64) -> Call {
    ask(2, second, get("x")).told_at(second + 1, holds(value), revision)
}

fn violation(history: &[Call]) -> RevisionViolation {
    check_revisions(history).unwrap_err()
}

#[test]
fn each_write_makes_the_next_revision_and_reads_see_the_last() {
    check_revisions(&[
        ask(2, 0, get("x")).told_at(1, nothing(), 1),
        ask(2, 0, delete("x")).told_at(1, Answer::Deleted(false), 1),
        write(2, "1", 2),
        read(4, "1", 2),
        ask(3, 5, put("y", "1")).told_at(6, Answer::Done, 3),
        read(7, "1", 3),
        ask(1, 8, append("x", "2")).told_at(9, Answer::Done, 4),
        read(10, "12", 4),
        ask(1, 12, delete("x")).told_at(13, Answer::Deleted(true), 5),
        ask(2, 14, get("x")).told_at(15, nothing(), 5),
    ])
    .unwrap();
}

#[test]
fn two_writes_do_not_make_one_revision() {
    let other = ask(2, 0, put("y", "2")).told_at(9, Answer::Done, 2);
    assert!(matches!(violation(&[write(0, "1", 2), other]), RevisionViolation::Shared { .. }));
}

#[test]
fn a_later_call_does_not_see_less() {
    let stale = [write(0, "1", 2), write(2, "2", 3), read(4, "1", 2)];
    assert!(matches!(violation(&stale), RevisionViolation::Backwards { .. }));
    let late = [ask(3, 0, put("y", "1")).unknown(), read(2, "1", 3), write(4, "2", 3)];
    assert!(matches!(violation(&late), RevisionViolation::Backwards { .. }));
}

#[test]
fn calls_at_the_same_time_may_see_either_order() {
    check_revisions(&[write(0, "1", 2), write(2, "2", 3), ask(2, 2, get("x")).told_at(9, holds("1"), 2)])
        .unwrap();
}

#[test]
fn no_revision_comes_from_nowhere() {
    assert!(matches!(violation(&[write(0, "1", 3)]), RevisionViolation::TooFar { possible: 1, .. }));
    check_revisions(&[ask(3, 0, put("y", "1")).unknown(), write(0, "1", 3)]).unwrap();
    let after = [write(0, "1", 3), ask(3, 2, put("y", "1")).unknown()];
    assert!(matches!(violation(&after), RevisionViolation::TooFar { possible: 1, .. }));
}

#[test]
fn a_key_holds_one_thing_at_one_revision() {
    let history = [write(0, "1", 2), read(2, "1", 2), read(4, "7", 2)];
    assert!(matches!(violation(&history), RevisionViolation::TwoContents { .. }));
}

#[test]
fn what_is_read_is_what_was_written_last_before_its_revision() {
    let other = ask(3, 2, put("y", "1")).told_at(3, Answer::Done, 3);
    let history = [write(0, "1", 2), other, read(4, "7", 3)];
    assert!(matches!(violation(&history), RevisionViolation::OtherContent { .. }));
}

#[test]
fn a_write_of_unknown_outcome_explains_another_content_only_if_a_revision_is_left_for_it() {
    let lost = ask(3, 0, put("x", "7")).unknown();
    let other = |revision| ask(4, 2, put("y", "1")).told_at(3, Answer::Done, revision);
    check_revisions(&[write(0, "1", 2), lost.clone(), other(4), read(4, "7", 4)]).unwrap();
    let history = [write(0, "1", 2), lost, other(3), read(4, "7", 3)];
    assert!(matches!(violation(&history), RevisionViolation::OtherContent { .. }));
}
