//! The acceptor: ballot lower, equal, higher × vote nothing, same, other × Prepare, Accept.

use std::cmp::Ordering;

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::synod::acceptor::{Acceptor, AnswerKind};
use synod_paxos::synod::message::Message;
use synod_paxos::synod::record::Record;

use crate::{ballot, open, vote};

const PROMISED: Ballot = Ballot::new(5, synod_paxos::node::NodeId(2));

/// Around `PROMISED`: the round decides, and in one round the node.
fn ballots() -> [Ballot; 7] {
    [ballot(1, 9), ballot(4, 9), ballot(5, 1), PROMISED, ballot(5, 3), ballot(6, 1), ballot(9, 9)]
}

/// Every memory an acceptor with promise `PROMISED` can have.
fn votes() -> [Option<Vote<char>>; 5] {
    let old = ballot(3, 1);
    [None, Some(vote(old, 'A')), Some(vote(old, 'B')), Some(vote(PROMISED, 'A')), Some(vote(PROMISED, 'B'))]
}

fn acceptor(vote: &Option<Vote<char>>) -> Acceptor<char> {
    let mut records: Vec<Record<char>> = vote.iter().cloned().map(Record::Voted).collect();
    records.push(Record::Promised(PROMISED));
    let acceptor = Acceptor::recover(&records);
    assert_eq!((acceptor.promised(), acceptor.vote()), (PROMISED, vote.as_ref()));
    acceptor
}

#[test]
fn prepare_in_every_relation_of_ballot_and_vote() {
    for held in votes() {
        for asked in ballots() {
            let mut acceptor = acceptor(&held);
            let answer = acceptor.handle_prepare(asked);
            let (kind, record, message) = (answer.kind, answer.record, open(answer.message));
            assert_eq!(acceptor.vote(), held.as_ref(), "a promise changes no vote");
            assert_eq!(acceptor.promised(), asked.max(PROMISED), "a promise is never taken back");
            match asked.cmp(&PROMISED) {
                Ordering::Less => {
                    assert_eq!(message, Message::Nack { ballot: asked, promised: PROMISED });
                    assert_eq!((kind, record), (AnswerKind::Refusal, None));
                }
                Ordering::Equal => {
                    let again = match held.clone().filter(|held| held.ballot == asked) {
                        Some(Vote { ballot, value }) => Message::Accepted { ballot, value },
                        None => Message::Promise { ballot: asked, vote: held.clone() },
                    };
                    assert_eq!(message, again, "the same answer as the first time, or what came after it");
                    assert_eq!(record, None, "nothing changed");
                }
                Ordering::Greater => {
                    assert_eq!(message, Message::Promise { ballot: asked, vote: held.clone() });
                    assert_eq!((kind, record), (AnswerKind::Promise, Some(Record::Promised(asked))));
                }
            }
        }
    }
}

#[test]
fn accept_in_every_relation_of_ballot_and_vote() {
    for held in votes() {
        for asked in ballots() {
            let mut acceptor = acceptor(&held);
            let carries_other = held.as_ref().is_some_and(|held| held.ballot == asked && held.value != 'A');
            if carries_other {
                continue; // a_second_value_for_a_ballot_stops_the_acceptor
            }
            let answer = acceptor.handle_accept(asked, 'A');
            let (kind, record, message) = (answer.kind, answer.record, open(answer.message));
            if asked < PROMISED {
                assert_eq!(message, Message::Nack { ballot: asked, promised: PROMISED });
                assert_eq!((kind, record), (AnswerKind::Refusal, None));
                assert_eq!((acceptor.promised(), acceptor.vote()), (PROMISED, held.as_ref()));
                continue;
            }
            assert_eq!(message, Message::Accepted { ballot: asked, value: 'A' });
            assert_eq!(kind, AnswerKind::Vote);
            assert_eq!(acceptor.promised(), asked, "a vote raises the promise");
            assert_eq!(acceptor.vote(), Some(&vote(asked, 'A')));
            let voted_before = held.as_ref().is_some_and(|held| held.ballot == asked);
            assert_eq!(record, (!voted_before).then_some(Record::Voted(vote(asked, 'A'))));
        }
    }
}

#[test]
fn an_acceptor_must_accept_the_first_proposal_it_receives() {
    let mut acceptor = Acceptor::default();
    let answer = acceptor.handle_accept(ballot(1, 1), 'A');
    assert_eq!(open(answer.message), Message::Accepted { ballot: ballot(1, 1), value: 'A' });
}

#[test]
#[should_panic(expected = "carries two values")]
fn a_second_value_for_a_ballot_stops_the_acceptor() {
    let mut acceptor = acceptor(&Some(vote(PROMISED, 'B')));
    let _ = acceptor.handle_accept(PROMISED, 'A');
}

#[test]
fn an_accept_without_prepare_raises_the_promise_and_shuts_out_what_is_below() {
    let mut acceptor = Acceptor::default();
    let _ = acceptor.handle_accept(ballot(4, 1), 'A');
    let late = acceptor.handle_accept(ballot(3, 2), 'B');
    assert_eq!(open(late.message), Message::Nack { ballot: ballot(3, 2), promised: ballot(4, 1) });
    let prepare = acceptor.handle_prepare(ballot(3, 2));
    assert_eq!(prepare.kind, AnswerKind::Refusal);
}

#[test]
fn a_promise_reports_the_ballot_of_the_vote_and_not_that_of_a_later_promise() {
    let mut acceptor = Acceptor::default();
    let _ = acceptor.handle_accept(ballot(1, 1), 'A');
    let _ = acceptor.handle_prepare(ballot(2, 2));
    let answer = acceptor.handle_prepare(ballot(3, 3));
    let expected = Message::Promise { ballot: ballot(3, 3), vote: Some(vote(ballot(1, 1), 'A')) };
    assert_eq!(open(answer.message), expected);
}

#[test]
fn after_every_record_a_restarted_acceptor_is_the_one_that_wrote_it() {
    let mut acceptor = Acceptor::default();
    let mut records = vec![Record::Used(ballot(1, 1))];
    for round in 1..6 {
        records.extend(acceptor.handle_prepare(ballot(2 * round, 1)).record);
        assert_eq!(Acceptor::recover(&records), acceptor);
        records.extend(acceptor.handle_accept(ballot(2 * round + 1, 2), 'A').record);
        assert_eq!(Acceptor::recover(&records), acceptor);
    }
    assert_eq!(records.len(), 11, "every step changed what must be remembered");
}

#[test]
#[should_panic(expected = "was written after a promise")]
fn records_that_take_a_promise_back_are_refused() {
    Acceptor::<char>::recover(&[Record::Promised(ballot(2, 1)), Record::Promised(ballot(1, 1))]);
}
