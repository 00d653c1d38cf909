//! Ballots: the proposal numbers of the textbooks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::node::NodeId;

/// A proposal number: unique, because it names its proposer, and totally ordered, rounds first.
///
/// The textbooks give proposer `i` of `N` the slice `i, i+N, i+2N, …` of the natural numbers
/// (see [`Slice`]). Slices of two group sizes collide; pairs never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// How often somebody started over. 0 is used by nobody: see [`Ballot::ZERO`].
    pub round: u64,
    /// The only node that may propose with this ballot.
    pub node: NodeId,
}

impl Ballot {
    /// Below every ballot that anybody uses: what an acceptor has promised when it has promised nothing.
    pub const ZERO: Ballot = Ballot { round: 0, node: NodeId(0) };

    /// Peers' rounds above this are garbage: they could only serve to exhaust the numbers.
    pub const ROUND_MAX: u64 = u64::MAX / 2;

    /// The ballot of `node` in `round`.
    pub const fn new(round: u64, node: NodeId) -> Ballot {
        Ballot { round, node }
    }

    /// The lowest ballot of `node` above this one's round.
    #[must_use]
    pub const fn successor(self, node: NodeId) -> Ballot {
        assert!(self.round < u64::MAX, "ballot rounds are exhausted");
        Ballot { round: self.round + 1, node }
    }

    /// Whether nobody has used a ballot yet.
    pub fn is_zero(self) -> bool {
        self == Ballot::ZERO
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.round, self.node)
    }
}

/// The textbooks' numbering: proposer `i` of `N` owns `i, i+N, i+2N, …`.
///
/// A view of the same order: with `N` proposers numbered `0..N`, ballot `(r, i)` is the number `i + r*N`.
///
/// ```
/// use synod_paxos::ballot::{Ballot, Slice};
/// let third = Slice::new(2, 4);
/// let numbers: Vec<u64> = (0..4).map(|round| third.number(round)).collect();
/// assert_eq!(numbers, [2, 6, 10, 14]);
/// assert_eq!(Slice::new(1, 4).number(3), 13);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    index: u64,
    of: u64,
}

impl Slice {
    /// The slice of proposer `index` among `of` proposers.
    ///
    /// # Panics
    /// If `index` is not below `of`.
    pub const fn new(index: u64, of: u64) -> Slice {
        assert!(index < of, "a slice belongs to one of the proposers");
        Slice { index, of }
    }

    /// The proposal number of this proposer's `round`.
    pub const fn number(self, round: u64) -> u64 {
        self.index + round * self.of
    }

    /// The round in which this proposer uses `number`, if the number is in its slice.
    pub const fn round(self, number: u64) -> Option<u64> {
        if number % self.of == self.index { Some(number / self.of) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballots_order_by_round_first_and_then_by_node() {
        let low = Ballot::new(1, NodeId(9));
        let high = Ballot::new(2, NodeId(1));
        assert!(low < high && Ballot::ZERO < low);
        assert!(Ballot::new(2, NodeId(1)) < Ballot::new(2, NodeId(2)));
        assert_eq!(high.successor(NodeId(7)), Ballot::new(3, NodeId(7)));
    }

    #[test]
    fn slices_order_numbers_as_ballots_order_rounds_and_nodes() {
        let of = 4;
        let mut numbers = Vec::new();
        for round in 0..5 {
            for index in 0..of {
                let slice = Slice::new(index, of);
                numbers.push(slice.number(round));
                assert_eq!(slice.round(slice.number(round)), Some(round));
                assert_eq!(slice.round(slice.number(round) + 1), None);
            }
        }
        assert!(numbers.is_sorted_by(|a, b| a < b), "unique and ordered like (round, index)");
    }
}
