//! Rounds: the ballots of Fast Paxos, and which of them are fast.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;

/// A round of the paper: a step of a ballot, totally ordered, ballots first.
///
/// To take votes in round i for promises of round i+1 (*Fast Paxos*, §2.2), i+1 must follow i with nothing
/// between, and must be the same coordinator's. Ballots of several nodes lie between a node's own ones, so every
/// ballot brings the rounds that recover from its collisions with it. One promise for the ballot is a promise for
/// its first round, and thereby enough for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Round {
    /// Whose round it is.
    pub ballot: Ballot,
    /// Which of the ballot's rounds.
    pub step: Step,
}

/// The rounds of one ballot, in order. None of them need take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Fast: acceptors vote for the first value they get from anybody.
    Open,
    /// Fast: acceptors vote for what they pick from the votes of the open round, by themselves.
    Again,
    /// Classic: acceptors vote for the value of the coordinator.
    Closed,
}

impl Round {
    /// Below every round in which anybody votes.
    pub const ZERO: Round = Round::open(Ballot::ZERO);

    /// The first round of `ballot`, which is fast.
    pub const fn open(ballot: Ballot) -> Round {
        Round { ballot, step: Step::Open }
    }

    /// The fast round in which acceptors recover from a collision by themselves.
    pub const fn again(ballot: Ballot) -> Round {
        Round { ballot, step: Step::Again }
    }

    /// The classic round of `ballot`.
    pub const fn closed(ballot: Ballot) -> Round {
        Round { ballot, step: Step::Closed }
    }

    /// Whether two acceptors may vote differently in it.
    pub const fn is_fast(self) -> bool {
        matches!(self.step, Step::Open | Step::Again)
    }
}

/// `(3,n1)` is the classic round of a ballot, `(3,n1)fast` and `(3,n1)again` are its fast ones.
impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Open => "fast",
            Step::Again => "again",
            Step::Closed => "",
        };
        write!(f, "{}{step}", self.ballot)
    }
}

/// A vote: the round in which it was cast, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vote<V> {
    /// The round of the vote, never that of a later promise.
    pub round: Round,
    /// The value voted for.
    pub value: V,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeId;

    #[test]
    fn the_rounds_of_a_ballot_follow_each_other_with_no_other_ballot_between() {
        let (low, high) = (Ballot::new(1, NodeId(1)), Ballot::new(1, NodeId(2)));
        let rounds = [Round::open(low), Round::again(low), Round::closed(low), Round::open(high)];
        assert!(rounds.is_sorted_by(|a, b| a < b));
        assert!(Round::ZERO < Round::open(low));
        assert_eq!(rounds.map(Round::is_fast), [true, true, false, true]);
    }
}
