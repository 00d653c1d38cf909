//! Rule P2c when rounds may be fast: which value may be proposed, given what a classic quorum reported.
//!
//! After a fast round the votes may be divided, so that the highest round reported does not name one value. Then
//! the value to propose is the one that *may* have been chosen: "O4(v): there exists a k-quorum R such that
//! vr(a) = k and vv(a) = v for all acceptors a in R ∩ Q" (Lamport, *Fast Paxos*, §2.2). Quorums are counted
//! here, so O4(v) says: those of Q who voted for v at k, and all who are not in Q, make a k-quorum together.
//!
//! That a majority of a fast quorum voted for v, as simplified accounts have it, is the same for four acceptors,
//! but misses chosen values of five.

use std::fmt::Debug;

use synod_probe::{mark, mutant};

use crate::choose::Choice;
use crate::fast::round::{Round, Vote};
use crate::quorum::FastQuorumSystem;

/// What may be proposed in `round`, given what each acceptor of a classic quorum, or of more, reported.
///
/// # Panics
/// If fewer reported than a classic quorum has, a vote is not below `round`, or two votes of one classic round
/// differ: one of the acceptors or coordinators is broken.
pub fn choose_fast<'a, V: Clone + Eq + Debug + 'a>(
    quorums: &FastQuorumSystem,
    round: Round,
    reported: impl IntoIterator<Item = Option<&'a Vote<V>>>,
) -> Choice<V> {
    let reported: Vec<Option<&Vote<V>>> = reported.into_iter().collect();
    assert!(
        reported.len() >= quorums.classic_size()
            || mutant!(Phase1QuorumTooSmall)
            || mutant!(FastCollisionSeenByTooFew),
        "{} reports for {round} are no quorum of {}",
        reported.len(),
        quorums.classic_size()
    );
    let votes = || reported.iter().flatten();
    let Some(highest) = votes().map(|vote| vote.round).max() else { return Choice::Free };
    assert!(highest < round, "a report for {round} tells of a vote of {highest}");
    let values = counted(votes().filter(|vote| vote.round == highest).map(|vote| &vote.value));
    assert!(highest.is_fast() || values.len() == 1, "{highest} carries several values: {values:?}");
    if let [(value, _)] = values[..] {
        return Choice::Bound(value.clone());
    }
    if mutant!(FastAnySeenValuePicked) {
        return Choice::Bound(values[0].0.clone());
    }
    let mut choosable = values.iter().filter(|(_, count)| may_be_chosen(quorums, reported.len(), *count));
    let Some((value, _)) = choosable.next().filter(|_| !mutant!(FastDividedTakenForFree)) else {
        mark!(FastDividedRoundFree);
        return Choice::Free;
    };
    mark!(FastChoosableValuePicked);
    Choice::Bound((*value).clone())
}

/// O4, by counting: with `count` of `reports` acceptors for a value, the others could make up a fast quorum for it.
///
/// It holds of one value at most, because a classic quorum meets the intersection of any two fast ones.
fn may_be_chosen(quorums: &FastQuorumSystem, reports: usize, count: usize) -> bool {
    if mutant!(FastMajorityShortcut) {
        return count > quorums.fast_size() / 2;
    }
    count + (quorums.classic().len() - reports) >= quorums.fast_size()
}

/// Each value and how often it occurs, in the order of its first occurrence.
fn counted<'a, V: Eq + 'a>(values: impl Iterator<Item = &'a V>) -> Vec<(&'a V, usize)> {
    let mut counted: Vec<(&V, usize)> = Vec::new();
    for value in values {
        match counted.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += 1,
            None => counted.push((value, 1)),
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ballot::Ballot;
    use crate::node::NodeId;

    fn system(acceptors: u64) -> FastQuorumSystem {
        FastQuorumSystem::majority((1..=acceptors).map(NodeId)).unwrap()
    }

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, NodeId(1))
    }

    /// One report a letter, of a vote in the fast round of ballot 1; `-` is none.
    fn after_a_fast_round(acceptors: u64, letters: &str) -> Choice<char> {
        let vote = |value| (value != '-').then(|| Vote { round: Round::open(ballot(1)), value });
        let votes: Vec<_> = letters.chars().map(vote).collect();
        choose_fast(&system(acceptors), Round::open(ballot(2)), votes.iter().map(Option::as_ref))
    }

    #[test]
    fn four_acceptors_are_bound_by_two_equal_votes_of_three() {
        assert_eq!(after_a_fast_round(4, "AAB"), Choice::Bound('A'));
        assert_eq!(after_a_fast_round(4, "BAB"), Choice::Bound('B'));
        assert_eq!(after_a_fast_round(4, "ABC"), Choice::Free);
        assert_eq!(after_a_fast_round(4, "AABB"), Choice::Free, "all were heard: nothing is chosen");
        assert_eq!(after_a_fast_round(4, "AAAB"), Choice::Bound('A'));
    }

    #[test]
    fn five_acceptors_are_bound_by_two_of_three_although_that_is_no_majority_of_a_fast_quorum() {
        assert_eq!(after_a_fast_round(5, "AAB"), Choice::Bound('A'));
        assert_eq!(after_a_fast_round(5, "AABB"), Choice::Free);
        assert_eq!(after_a_fast_round(5, "AAB-"), Choice::Free, "a fourth has not voted and promised not to");
        assert_eq!(after_a_fast_round(5, "AAAB"), Choice::Bound('A'));
        assert_eq!(after_a_fast_round(5, "AAABB"), Choice::Free);
    }

    #[test]
    fn a_single_value_is_taken_over_however_few_voted_for_it() {
        assert_eq!(after_a_fast_round(5, "A----"), Choice::Bound('A'));
        assert_eq!(after_a_fast_round(5, "---"), Choice::Free);
    }

    #[test]
    fn the_highest_round_counts_and_a_classic_one_binds_at_once() {
        let vote = |round, value| Some(Vote { round, value });
        let votes = [
            vote(Round::open(ballot(1)), 'A'),
            vote(Round::open(ballot(1)), 'A'),
            vote(Round::closed(ballot(1)), 'B'),
        ];
        let choice = choose_fast(&system(4), Round::open(ballot(2)), votes.iter().map(Option::as_ref));
        assert_eq!(choice, Choice::Bound('B'));
    }

    #[test]
    #[should_panic(expected = "carries several values")]
    fn two_values_of_one_classic_round_are_a_bug_and_stop_the_node() {
        let vote = |value| Some(Vote { round: Round::closed(ballot(1)), value });
        let votes = [vote('A'), vote('B'), None];
        choose_fast(&system(4), Round::open(ballot(2)), votes.iter().map(Option::as_ref));
    }

    /// Every way in which up to seven acceptors can vote in a fast round, and every classic quorum or more that is
    /// heard of it: what was chosen, or may still be by those who were not heard, is picked.
    #[test]
    fn whatever_was_or_may_be_chosen_is_picked_by_whoever_hears_a_classic_quorum() {
        for acceptors in 3..=7_u32 {
            let system = system(u64::from(acceptors));
            for coded in 0..3_usize.pow(acceptors) {
                let letters: Vec<char> =
                    (0..acceptors).map(|at| ['A', 'B', '-'][coded / 3_usize.pow(at) % 3]).collect();
                for heard in 0_u32..1 << acceptors {
                    if (heard.count_ones() as usize) < system.classic_size() {
                        continue;
                    }
                    let is_heard = |at: usize| heard >> at & 1 == 1;
                    let told: String =
                        (0..letters.len()).filter(|at| is_heard(*at)).map(|at| letters[at]).collect();
                    let choice = after_a_fast_round(u64::from(acceptors), &told);
                    for value in ['A', 'B'] {
                        let voters = (0..letters.len()).filter(|at| letters[*at] == value).count();
                        if voters >= system.fast_size() {
                            assert_eq!(choice, Choice::Bound(value), "{letters:?} {heard:b}");
                        }
                    }
                }
            }
        }
    }
}
