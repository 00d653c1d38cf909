//! Rule P2c, the heart of Paxos: which value may be proposed, given the promises of a phase 1 quorum.
//!
//! "For any v and n, if a proposal with value v and number n is issued, then there is a set S consisting of
//! a majority of acceptors such that either (a) no acceptor in S has accepted any proposal numbered less
//! than n, or (b) v is the value of the highest-numbered proposal among all proposals numbered less than n
//! accepted by the acceptors in S." (Lamport, *Paxos Made Simple*, §2.2)

use serde::{Deserialize, Serialize};
use synod_probe::{mark, mutant};

use crate::ballot::Ballot;

/// A vote that an acceptor reported: the highest ballot it accepted and the value it accepted there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vote<V> {
    /// The ballot of the vote, never that of a later promise (Sutra, 2019).
    pub ballot: Ballot,
    /// The value voted for.
    pub value: V,
}

/// What P2c allows a proposer to propose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Choice<V> {
    /// Nobody in the quorum has voted: any value may be proposed.
    Free,
    /// This value may have been chosen: it and no other may be proposed.
    Bound(V),
}

/// What may be proposed with `ballot`, given what each acceptor of a phase 1 quorum reported.
///
/// # Panics
/// If a vote is not below `ballot` (the caller must not count such a promise), or if two votes of one
/// ballot differ: a ballot carries one value for ever, so one of the acceptors or proposers is broken.
pub fn choose<'a, V: Clone + Eq + std::fmt::Debug + 'a>(
    ballot: Ballot,
    reported: impl IntoIterator<Item = Option<&'a Vote<V>>>,
) -> Choice<V> {
    let mut highest: Option<&Vote<V>> = None;
    for vote in reported.into_iter().flatten() {
        assert!(vote.ballot < ballot, "a promise for {ballot} reports a vote of {}", vote.ballot);
        match highest {
            Some(best) if is_worse(vote, best) => {}
            Some(best) if vote.ballot == best.ballot => {
                assert!(
                    vote.value == best.value,
                    "ballot {} carries two values: {:?} and {:?}",
                    vote.ballot,
                    best.value,
                    vote.value
                );
            }
            _ => highest = Some(vote),
        }
    }
    match highest {
        Some(vote) if !mutant!(OwnValuePicked) => {
            mark!(VotedValueTakenOver);
            Choice::Bound(vote.value.clone())
        }
        _ => Choice::Free,
    }
}

fn is_worse<V>(vote: &Vote<V>, best: &Vote<V>) -> bool {
    if mutant!(LowestBallotPicked) {
        return vote.ballot > best.ballot;
    }
    vote.ballot < best.ballot && !mutant!(AnyValuePicked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeId;

    fn vote(round: u64, value: char) -> Option<Vote<char>> {
        Some(Vote { ballot: Ballot::new(round, NodeId(1)), value })
    }

    fn choice(reported: &[Option<Vote<char>>]) -> Choice<char> {
        choose(Ballot::new(100, NodeId(2)), reported.iter().map(Option::as_ref))
    }

    #[test]
    fn with_a1_at_ballot_1_and_k_at_ballot_2_every_majority_gives_a_safe_value() {
        let (a, k, nil) = (vote(1, 'A'), vote(2, 'K'), None);
        assert_eq!(choice(&[a.clone(), k.clone()]), Choice::Bound('K'));
        assert_eq!(choice(&[a.clone(), nil.clone()]), Choice::Bound('A'));
        assert_eq!(choice(&[k.clone(), nil.clone()]), Choice::Bound('K'));
        assert_eq!(choice(&[a, k, nil]), Choice::Bound('K'));
    }

    #[test]
    fn a_quorum_without_votes_leaves_the_choice_free() {
        assert_eq!(choice(&[None, None, None]), Choice::Free);
    }

    #[test]
    fn the_highest_ballot_wins_over_the_most_frequent_value() {
        assert_eq!(choice(&[vote(4, 'K'), vote(18, 'Q'), vote(3, 'K'), vote(5, 'K')]), Choice::Bound('Q'));
        assert_eq!(choice(&[vote(18, 'Q'), vote(2, 'K'), None, vote(4, 'Q')]), Choice::Bound('Q'));
    }

    #[test]
    fn the_order_of_the_reports_does_not_matter() {
        let reports = [vote(3, 'X'), None, vote(7, 'Y'), vote(1, 'Z')];
        for i in 0..reports.len() {
            let mut rotated = reports.to_vec();
            rotated.rotate_left(i);
            assert_eq!(choice(&rotated), Choice::Bound('Y'));
        }
    }

    #[test]
    #[should_panic(expected = "carries two values")]
    fn two_values_of_one_ballot_are_a_bug_and_stop_the_node() {
        choice(&[vote(2, 'A'), vote(2, 'B')]);
    }
}
