//! The proposer: what it asks, what it counts, and which value it may propose.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::message::Message;
use synod_paxos::synod::options::{Audience, Group, Learning};
use synod_paxos::synod::proposer::{Phase, Proposer};
use synod_paxos::synod::record::Record;

use crate::{ballot, combined, nodes, open, vote};

const ME: NodeId = NodeId(2);

/// A proposer that has prepared (5,n2).
fn preparing(count: u64, candidate: Option<char>) -> Proposer<char> {
    let mut proposer = Proposer::recover(ME, combined(count), &[Record::Used(ballot(4, 2))]);
    if let Some(value) = candidate {
        proposer.propose(value).unwrap();
    }
    assert_eq!(proposer.start(Ballot::ZERO), Some(Record::Used(ballot(5, 2))));
    assert_eq!(open(proposer.prepare().unwrap()), Message::Prepare { ballot: ballot(5, 2) });
    proposer
}

fn accepting() -> Proposer<char> {
    let mut proposer = preparing(3, Some('M'));
    proposer.handle_promise(NodeId(1), ballot(5, 2), None);
    assert!(proposer.handle_promise(NodeId(3), ballot(5, 2), None));
    proposer
}

fn proposed(proposer: &Proposer<char>) -> char {
    match proposer.accept() {
        Some(Message::Accept { value, .. }) => value,
        other => panic!("not an accept: {other:?}"),
    }
}

#[test]
fn in_every_combination_of_three_votes_the_highest_of_the_first_quorum_is_proposed() {
    let held =
        [None, Some(vote(ballot(1, 1), 'A')), Some(vote(ballot(2, 3), 'K')), Some(vote(ballot(4, 1), 'A'))];
    for (first, second) in held.iter().flat_map(|first| held.iter().map(move |second| (first, second))) {
        for (a, b) in [(1, 2), (1, 3), (2, 3), (3, 1)] {
            let mut proposer = preparing(3, Some('M'));
            assert!(!proposer.handle_promise(NodeId(a), ballot(5, 2), first.clone()));
            assert!(proposer.handle_promise(NodeId(b), ballot(5, 2), second.clone()));
            let highest = first.iter().chain(second).max_by_key(|vote| vote.ballot);
            assert_eq!(proposed(&proposer), highest.map_or('M', |vote| vote.value), "{first:?} {second:?}");
        }
    }
}

#[test]
fn promises_for_other_ballots_say_nothing_about_this_one() {
    for other in [ballot(4, 2), ballot(5, 1), ballot(5, 3), ballot(6, 2)] {
        let mut proposer = preparing(3, Some('M'));
        assert!(!proposer.handle_promise(NodeId(1), ballot(5, 2), None));
        assert!(!proposer.handle_promise(NodeId(3), other, None), "{other}");
        assert!(matches!(proposer.phase(), Phase::Preparing { .. }));
    }
}

#[test]
fn a_promise_told_twice_counts_once_a_strangers_never_and_a_late_one_changes_nothing() {
    let mut proposer = preparing(3, Some('M'));
    for stranger_or_again in [1, 1, 1, 7] {
        assert!(!proposer.handle_promise(NodeId(stranger_or_again), ballot(5, 2), None));
    }
    assert!(proposer.handle_promise(NodeId(3), ballot(5, 2), None));
    assert!(!proposer.handle_promise(NodeId(2), ballot(5, 2), Some(vote(ballot(1, 1), 'A'))));
    assert_eq!(proposed(&proposer), 'M', "the ballot carries its value for ever");
}

#[test]
fn votes_count_for_the_ballot_in_use_and_once_for_each_acceptor() {
    let mut proposer = accepting();
    for other in [ballot(4, 2), ballot(5, 1), ballot(6, 3)] {
        assert_eq!(proposer.handle_accepted(NodeId(1), other, &'Z'), None);
        assert_eq!(proposer.handle_accepted(NodeId(3), other, &'Z'), None);
    }
    for voter in [1, 1, 9] {
        assert_eq!(proposer.handle_accepted(NodeId(voter), ballot(5, 2), &'M'), None, "{voter}");
    }
    assert_eq!(proposer.handle_accepted(NodeId(3), ballot(5, 2), &'M'), Some(vote(ballot(5, 2), 'M')));
}

#[test]
#[should_panic(expected = "carries 'M'")]
fn a_vote_for_a_value_that_was_not_proposed_stops_the_proposer() {
    accepting().handle_accepted(NodeId(1), ballot(5, 2), &'Z');
}

#[test]
fn a_late_vote_for_a_ballot_that_was_given_up_does_not_count_for_the_next() {
    let mut proposer = accepting();
    proposer.handle_accepted(NodeId(1), ballot(5, 2), &'M');
    proposer.start(Ballot::ZERO).unwrap();
    proposer.handle_promise(NodeId(1), ballot(6, 2), Some(vote(ballot(5, 2), 'M')));
    assert!(proposer.handle_promise(NodeId(2), ballot(6, 2), None));
    assert_eq!(proposer.handle_accepted(NodeId(3), ballot(5, 2), &'M'), None);
    assert_eq!(
        proposer.handle_accepted(NodeId(2), ballot(6, 2), &'M'),
        None,
        "one vote each with two ballots"
    );
}

#[test]
fn one_refusal_of_three_is_no_defeat_and_two_are() {
    let mut proposer = preparing(3, Some('M'));
    proposer.handle_nack(NodeId(3), ballot(5, 2), ballot(7, 1));
    proposer.handle_nack(NodeId(3), ballot(5, 2), ballot(7, 1));
    assert!(!proposer.is_hopeless(), "told twice, it is still one");
    let mut lucky = proposer.clone();
    assert!(!lucky.handle_promise(NodeId(1), ballot(5, 2), None));
    assert!(lucky.handle_promise(NodeId(2), ballot(5, 2), None));
    proposer.handle_nack(NodeId(1), ballot(4, 2), ballot(7, 1));
    assert!(!proposer.is_hopeless(), "a refusal of an earlier ballot is old news");
    proposer.handle_nack(NodeId(1), ballot(5, 2), ballot(9, 3));
    assert!(proposer.is_hopeless());
}

#[test]
fn the_next_ballot_beats_as_many_refusals_as_a_quorum_needs_and_not_the_absurd_one() {
    let absurd = ballot(Ballot::ROUND_MAX - 1, 1);
    let mut proposer = preparing(3, Some('M'));
    proposer.handle_nack(NodeId(1), ballot(5, 2), absurd);
    proposer.handle_nack(NodeId(3), ballot(5, 2), ballot(40, 3));
    proposer.start(Ballot::ZERO).unwrap();
    assert_eq!(proposer.ballot(), ballot(41, 2), "acceptors 2 and 3 are enough");
    proposer.handle_nack(NodeId(1), ballot(41, 2), absurd);
    proposer.handle_nack(NodeId(2), ballot(41, 2), absurd);
    proposer.start(Ballot::ZERO).unwrap();
    assert_eq!(proposer.ballot(), ballot(Ballot::ROUND_MAX, 2), "now there is no way around it");
    assert_eq!(proposer.start(Ballot::ZERO), None, "exhausted rounds end in silence and not in a panic");
}

#[test]
fn a_restarted_proposer_never_uses_a_ballot_again() {
    let records = [Record::Used(ballot(3, 2)), Record::Promised(ballot(9, 9)), Record::Used(ballot(8, 2))];
    let mut proposer: Proposer<char> = Proposer::recover(ME, combined(3), &records);
    assert_eq!(proposer.start(Ballot::ZERO), Some(Record::Used(ballot(9, 2))));
}

#[test]
fn a_ballot_run_for_a_learner_carries_on_a_vote_and_else_proposes_nothing() {
    let mut nothing = preparing(3, None);
    nothing.handle_promise(NodeId(1), ballot(5, 2), None);
    assert!(nothing.handle_promise(NodeId(3), ballot(5, 2), None));
    assert!(nothing.is_idle());

    let mut something = preparing(3, None);
    something.handle_promise(NodeId(1), ballot(5, 2), None);
    something.handle_promise(NodeId(3), ballot(5, 2), Some(vote(ballot(4, 1), 'K')));
    assert_eq!(proposed(&something), 'K');
}

#[test]
fn with_flexible_quorums_phase_1_waits_for_its_own_size_and_phase_2_for_its_own() {
    let acceptors = QuorumSystem::flexible(nodes(4), 3, 2).unwrap();
    let group = Arc::new(Group::new(acceptors, [ME], [ME], Learning::Everyone).unwrap());
    let mut proposer = Proposer::recover(ME, group, []);
    proposer.propose('M').unwrap();
    proposer.start(Ballot::ZERO).unwrap();
    assert!(!proposer.handle_promise(NodeId(1), ballot(1, 2), None));
    assert!(!proposer.handle_promise(NodeId(2), ballot(1, 2), None), "two of four are too few");
    assert!(proposer.handle_promise(NodeId(4), ballot(1, 2), None));
    assert_eq!(proposer.handle_accepted(NodeId(1), ballot(1, 2), &'M'), None);
    assert_eq!(proposer.handle_accepted(NodeId(2), ballot(1, 2), &'M'), Some(vote(ballot(1, 2), 'M')));
}

#[test]
fn a_frugal_proposer_asks_itself_and_its_ring_first_then_those_who_promised_and_at_last_everybody() {
    let mut proposer = Proposer::recover(NodeId(4), combined(5), []);
    proposer.propose('M').unwrap();
    proposer.start(Ballot::ZERO).unwrap();
    assert_eq!(proposer.audience(Audience::All), nodes(5));
    assert_eq!(proposer.audience(Audience::OneQuorumFirst), [1, 4, 5].map(NodeId));
    proposer.handle_promise(NodeId(4), ballot(1, 4), None);
    proposer.handle_nack(NodeId(1), ballot(1, 4), ballot(1, 5));
    assert_eq!(proposer.unanswered(), [2, 3, 5].map(NodeId));
    proposer.handle_promise(NodeId(2), ballot(1, 4), None);
    assert!(proposer.handle_promise(NodeId(3), ballot(1, 4), None));
    assert_eq!(proposer.audience(Audience::OneQuorumFirst), [2, 3, 4].map(NodeId), "they are alive");
    proposer.handle_accepted(NodeId(3), ballot(1, 4), &'M');
    assert_eq!(proposer.unanswered(), [1, 2, 4, 5].map(NodeId));
}

#[test]
fn an_idle_proposer_asks_nobody_anything() {
    let proposer: Proposer<char> = Proposer::recover(ME, combined(3), []);
    assert_eq!((proposer.prepare(), proposer.accept()), (None, None));
    assert!(proposer.audience(Audience::All).is_empty() && proposer.unanswered().is_empty());
}

#[test]
fn a_second_candidate_is_handed_back() {
    let mut proposer = preparing(3, Some('M'));
    assert_eq!(proposer.propose('N'), Err('N'));
    assert_eq!(proposer.candidate(), Some(&'M'));
}

#[test]
#[should_panic(expected = "carries two values")]
fn promises_that_report_two_values_of_one_ballot_stop_the_proposer() {
    let mut proposer = preparing(3, Some('M'));
    let report = |value| Some(Vote { ballot: ballot(1, 1), value });
    proposer.handle_promise(NodeId(1), ballot(5, 2), report('A'));
    proposer.handle_promise(NodeId(3), ballot(5, 2), report('B'));
}
