//! The learner: votes count for one ballot only, and each acceptor's once.

use std::sync::Arc;

use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::learner::Learner;
use synod_paxos::synod::options::{Group, Learning};

use crate::{ballot, combined, nodes, vote};

#[test]
fn a_value_is_chosen_exactly_when_a_phase_2_quorum_voted_with_one_ballot() {
    // Every way in which three acceptors may each have told of votes with three ballots, all for one value.
    for told in 0..1_u32 << 9 {
        let mut learner = Learner::new(combined(3));
        let mut learned = None;
        for bit in (0..9_u64).filter(|bit| told & (1 << bit) != 0) {
            let (acceptor, round) = (bit % 3 + 1, bit / 3 + 1);
            learned = learned.or(learner.handle_accepted(NodeId(acceptor), ballot(round, 1), &'v'));
        }
        let quorum = (0..3).any(|round| (told >> (3 * round) & 0b111).count_ones() >= 2);
        assert_eq!(learned.is_some(), quorum, "{told:09b}");
        assert_eq!(learner.chosen().is_some(), quorum, "{told:09b}");
        assert_eq!(learner.is_in_doubt(), !quorum && told != 0, "{told:09b}");
    }
}

#[test]
fn one_value_with_two_ballots_at_a_majority_is_not_chosen() {
    let mut learner = Learner::new(combined(3));
    assert_eq!(learner.handle_accepted(NodeId(3), ballot(3, 1), &'v'), None);
    assert_eq!(learner.handle_accepted(NodeId(1), ballot(1, 1), &'v'), None);
    assert_eq!(learner.handle_accepted(NodeId(2), ballot(2, 2), &'w'), None);
    assert!(learner.is_in_doubt());
}

#[test]
fn an_acceptor_that_tells_twice_counts_once() {
    let mut learner = Learner::new(combined(3));
    for _ in 0..5 {
        assert_eq!(learner.handle_accepted(NodeId(1), ballot(1, 1), &'v'), None);
    }
    assert_eq!(learner.handle_accepted(NodeId(2), ballot(1, 1), &'v'), Some(vote(ballot(1, 1), 'v')));
    assert_eq!(learner.handle_accepted(NodeId(3), ballot(1, 1), &'v'), None, "no news");
}

#[test]
fn the_size_of_a_quorum_is_that_of_phase_2() {
    let acceptors = QuorumSystem::flexible(nodes(4), 3, 2).unwrap();
    let group = Group::new(acceptors, nodes(1), nodes(1), Learning::Everyone).unwrap();
    let mut learner = Learner::new(Arc::new(group));
    assert_eq!(learner.handle_accepted(NodeId(1), ballot(1, 1), &'v'), None);
    assert!(learner.handle_accepted(NodeId(4), ballot(1, 1), &'v').is_some());
}

#[test]
fn votes_of_lower_ballots_may_differ_after_the_choice() {
    let mut learner = Learner::new(combined(3));
    assert!(learner.conclude(&vote(ballot(3, 1), 'v')));
    assert!(!learner.conclude(&vote(ballot(4, 2), 'v')), "the same value, chosen again, is no news");
    assert_eq!(learner.handle_accepted(NodeId(2), ballot(2, 2), &'w'), None);
    assert_eq!(learner.chosen(), Some(&vote(ballot(3, 1), 'v')), "a learner never changes its mind");
}

#[test]
#[should_panic(expected = "after 'v' was chosen")]
fn a_vote_of_a_higher_ballot_for_another_value_stops_the_learner() {
    let mut learner = Learner::new(combined(3));
    learner.conclude(&vote(ballot(3, 1), 'v'));
    learner.handle_accepted(NodeId(2), ballot(4, 2), &'w');
}

#[test]
#[should_panic(expected = "two values are chosen")]
fn a_second_chosen_value_stops_the_learner() {
    let mut learner = Learner::new(combined(3));
    learner.conclude(&vote(ballot(3, 1), 'v'));
    learner.conclude(&vote(ballot(2, 1), 'w'));
}

#[test]
#[should_panic(expected = "carries two values")]
fn two_values_of_one_ballot_stop_the_learner() {
    let mut learner = Learner::new(combined(5));
    learner.handle_accepted(NodeId(1), ballot(1, 1), &'v');
    learner.handle_accepted(NodeId(2), ballot(1, 1), &'w');
}

#[test]
fn a_flood_of_ballots_costs_bounded_memory_and_the_highest_still_count() {
    let mut learner = Learner::new(combined(3));
    for round in 1..10_000 {
        learner.handle_accepted(NodeId(1), ballot(round, 1), &'v');
    }
    let first_kept = 10_000 - Learner::<char>::BALLOTS_MAX as u64;
    assert_eq!(learner.handle_accepted(NodeId(2), ballot(first_kept - 1, 1), &'v'), None, "forgotten");
    assert!(learner.handle_accepted(NodeId(2), ballot(first_kept + 1, 1), &'v').is_some());
}
