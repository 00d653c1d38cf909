//! What was proposed and voted for one slot, and the properties that must hold of it.
//!
//! The ledger is kept by the checker, never read from what a proposer or a learner believes. Ballots are numbered
//! from 0 in their order, values from 0: a set of (ballot, value) pairs is 64 bits. Properties have the names of
//! Lamport, *Paxos Made Simple*, §2.2, and those about whole runs are Safety 1 to 3 (§1): only a proposed value is
//! chosen, only one is, and nobody learns that a value is chosen unless it is.

use std::fmt::Write as _;

use crate::check::Violation;

/// A set of (ballot, value) pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pairs(pub u64);

/// How many of everything there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Acceptors.
    pub acceptors: usize,
    /// Acceptors in a phase 1 quorum: what the paper calls a majority in P2c.
    pub phase1: usize,
    /// Acceptors in a phase 2 quorum: their votes of one ballot choose.
    pub phase2: usize,
    /// Ballots that may be used.
    pub ballots: usize,
    /// Values that may be proposed.
    pub values: usize,
}

impl Sizes {
    /// Majorities in both phases.
    pub const fn majority(acceptors: usize, ballots: usize, values: usize) -> Sizes {
        let majority = acceptors / 2 + 1;
        Sizes { acceptors, phase1: majority, phase2: majority, ballots, values }
    }

    /// The number of a pair.
    pub fn pair(&self, ballot: usize, value: usize) -> usize {
        assert!(
            ballot < self.ballots && value < self.values && self.ballots * self.values <= 64,
            "ballot {ballot} and value {value} do not fit {self:?}"
        );
        ballot * self.values + value
    }
}

impl Pairs {
    /// Adds one. Returns whether it is new.
    pub fn insert(&mut self, sizes: &Sizes, ballot: usize, value: usize) -> bool {
        let bit = 1 << sizes.pair(ballot, value);
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether the pair is in it.
    pub fn contains(self, sizes: &Sizes, ballot: usize, value: usize) -> bool {
        self.0 >> sizes.pair(ballot, value) & 1 == 1
    }

    /// All in it, the lowest ballot first.
    pub fn iter(self, sizes: &Sizes) -> impl DoubleEndedIterator<Item = (usize, usize)> + use<> {
        let values = sizes.values;
        let of = sizes.ballots * values;
        (0..of).filter(move |pair| self.0 >> pair & 1 == 1).map(move |pair| (pair / values, pair % values))
    }

    /// The pair with the highest ballot below `ballot`.
    pub fn highest_below(self, sizes: &Sizes, ballot: usize) -> Option<(usize, usize)> {
        let bits = self.0 & ((1_u64 << (ballot * sizes.values)) - 1);
        let pair = 63_u32.checked_sub(bits.leading_zeros())? as usize;
        Some((pair / sizes.values, pair % sizes.values))
    }

    /// Whether a pair of this ballot is in it.
    pub fn has_ballot(self, sizes: &Sizes, ballot: usize) -> bool {
        self.0 >> (ballot * sizes.values) & ((1 << sizes.values) - 1) != 0
    }
}

/// One slot's history so far.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a> {
    /// How many of everything.
    pub sizes: &'a Sizes,
    /// Each acceptor's durable votes, all it ever cast.
    pub votes: &'a [Pairs],
    /// What proposers asked acceptors to vote for.
    pub proposals: Pairs,
}

fn broken(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { invariant, what })
}

impl Ledger<'_> {
    /// What a phase 2 quorum of votes of one ballot has chosen.
    pub fn chosen(&self) -> Pairs {
        let mut chosen = Pairs::default();
        let any = self.votes.iter().fold(0, |all, votes| all | votes.0);
        for pair in 0..self.sizes.ballots * self.sizes.values {
            if any >> pair & 1 == 1 {
                let count = self.votes.iter().filter(|votes| votes.0 >> pair & 1 == 1).count();
                chosen.0 |= u64::from(count >= self.sizes.phase2) << pair;
            }
        }
        chosen
    }

    /// Checks everything that must hold of votes and proposals in every state. `offered` says which values
    /// somebody wanted.
    ///
    /// # Errors
    /// The first property that does not hold, the gravest first.
    pub fn check(&self, offered: impl Fn(usize) -> bool) -> Result<(), Violation> {
        let chosen = self.chosen();
        self.check_agreement(chosen)?;
        self.check_sources(&offered)?;
        self.check_order(chosen)?;
        for (ballot, value) in self.proposals.iter(self.sizes) {
            self.check_p2c(ballot, value)?;
        }
        Ok(())
    }

    /// A learner says that `value` was chosen.
    ///
    /// # Errors
    /// Safety 3 if it was not, with any ballot.
    pub fn check_learned(&self, who: &str, value: usize) -> Result<(), Violation> {
        if self.chosen().iter(self.sizes).any(|(_, chosen)| chosen == value) {
            return Ok(());
        }
        broken("Safety 3", format!("{who} learned {}, which is not chosen: {self}", name(value)))
    }

    fn check_agreement(&self, chosen: Pairs) -> Result<(), Violation> {
        let Some((low, first)) = chosen.iter(self.sizes).next() else { return Ok(()) };
        for (ballot, value) in chosen.iter(self.sizes) {
            if value != first {
                let invariant = if ballot == low { "Safety 2" } else { "P2, Safety 2" };
                let what = format!(
                    "{} is chosen with {} and {} with {}",
                    name(first),
                    low + 1,
                    name(value),
                    ballot + 1
                );
                return broken(invariant, format!("{what}: {self}"));
            }
        }
        Ok(())
    }

    /// Votes are for proposals, proposals for values that somebody offered, and a ballot carries one value.
    fn check_sources(&self, offered: impl Fn(usize) -> bool) -> Result<(), Violation> {
        for (acceptor, votes) in self.votes.iter().enumerate() {
            if votes.0 & !self.proposals.0 != 0 {
                return broken(
                    "Safety 1",
                    format!("acceptor {} voted for what nobody proposed: {self}", acceptor + 1),
                );
            }
        }
        let mut last = None;
        for (ballot, value) in self.proposals.iter(self.sizes) {
            if last == Some(ballot) {
                return broken(
                    "one value a ballot",
                    format!("ballot {} carries two values: {self}", ballot + 1),
                );
            }
            last = Some(ballot);
            if !offered(value) {
                return broken("Safety 1", format!("nobody wanted {}: {self}", name(value)));
            }
        }
        Ok(())
    }

    fn check_order(&self, chosen: Pairs) -> Result<(), Violation> {
        for (ballot, value) in chosen.iter(self.sizes) {
            for votes in self.votes {
                if let Some((later, other)) = votes.iter(self.sizes).find(|(b, v)| *b > ballot && *v != value)
                {
                    return broken("P2a", self.after(ballot, value, "voted for", later, other));
                }
            }
            let mut proposals = self.proposals.iter(self.sizes);
            if let Some((later, other)) = proposals.find(|(b, v)| *b > ballot && *v != value) {
                return broken("P2b", self.after(ballot, value, "proposed", later, other));
            }
        }
        Ok(())
    }

    fn after(&self, ballot: usize, value: usize, what: &str, later: usize, other: usize) -> String {
        let (value, other) = (name(value), name(other));
        format!("{value} is chosen with {}, but {other} was {what} with {}: {self}", ballot + 1, later + 1)
    }

    /// There is a phase 1 quorum in which nobody voted below `ballot`, or whose highest vote below it is for
    /// `value`.
    fn check_p2c(&self, ballot: usize, value: usize) -> Result<(), Violation> {
        let highest = |votes: &Pairs| votes.highest_below(self.sizes, ballot);
        let nobody = self.votes.iter().filter(|votes| highest(votes).is_none()).count();
        if nobody >= self.sizes.phase1 {
            return Ok(());
        }
        for bound in 0..ballot {
            // The quorum's highest vote is at `bound`: the largest such set has all that voted no higher.
            let members = || self.votes.iter().filter(|votes| highest(votes).is_none_or(|(b, _)| b <= bound));
            let for_value = members().any(|votes| highest(votes) == Some((bound, value)));
            if for_value && members().count() >= self.sizes.phase1 {
                return Ok(());
            }
        }
        let what = format!("no quorum lets ballot {} propose {}: {self}", ballot + 1, name(value));
        broken("P2c", what)
    }
}

/// What the value with this number is called.
pub fn name(value: usize) -> char {
    (b'A' + u8::try_from(value).expect("there are few values")) as char
}

impl std::fmt::Display for Ledger<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |pairs: Pairs| {
            let mut text = String::new();
            for (ballot, value) in pairs.iter(self.sizes) {
                let _ = write!(text, "({},{})", ballot + 1, name(value));
            }
            if text.is_empty() { "none".to_owned() } else { text }
        };
        write!(f, "proposals {}", list(self.proposals))?;
        for (acceptor, votes) in self.votes.iter().enumerate() {
            write!(f, ", votes of {} {}", acceptor + 1, list(*votes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes::majority(3, 4, 2);

    fn pairs(list: &[(usize, usize)]) -> Pairs {
        let mut pairs = Pairs::default();
        for (ballot, value) in list {
            pairs.insert(&SIZES, ballot - 1, *value);
        }
        pairs
    }

    fn verdict(votes: [&[(usize, usize)]; 3], proposals: &[(usize, usize)]) -> Option<&'static str> {
        let votes = votes.map(pairs);
        let ledger = Ledger { sizes: &SIZES, votes: &votes, proposals: pairs(proposals) };
        ledger.check(|_| true).err().map(|violation| violation.invariant)
    }

    #[test]
    fn a_run_of_full_paxos_breaks_nothing() {
        assert_eq!(verdict([&[(1, 0), (3, 0)], &[(3, 0)], &[]], &[(1, 0), (2, 1), (3, 0)]), None);
        // (1,A) (2,B) nobody: consulting 1 and 3 gives A, 2 and 3 gives B.
        for value in [0, 1] {
            assert_eq!(verdict([&[(1, 0)], &[(2, 1)], &[]], &[(1, 0), (2, 1), (3, value)]), None);
        }
    }

    #[test]
    fn each_property_is_named_when_it_breaks() {
        let two = [(1, 0), (2, 1)];
        assert_eq!(verdict([&[(1, 0), (2, 1)], &[(1, 0), (2, 1)], &[]], &two), Some("P2, Safety 2"));
        assert_eq!(verdict([&[(1, 0)], &[(1, 0)], &[(2, 1)]], &two), Some("P2a"));
        assert_eq!(verdict([&[(1, 0)], &[(1, 0)], &[]], &two), Some("P2b"));
        assert_eq!(verdict([&[(1, 0), (2, 1)], &[(2, 1)], &[]], &[(1, 0), (2, 1), (3, 0)]), Some("P2b"));
        assert_eq!(
            verdict([&[(1, 0), (2, 1)], &[(1, 0)], &[(2, 1)]], &[(1, 0), (2, 1)]),
            Some("P2, Safety 2")
        );
        assert_eq!(verdict([&[(1, 0)], &[(2, 1)], &[(2, 1)]], &[(1, 0), (2, 1), (3, 1)]), None);
        assert_eq!(verdict([&[(1, 0)], &[], &[]], &[]), Some("Safety 1"));
        assert_eq!(verdict([&[], &[], &[]], &[(1, 0), (1, 1)]), Some("one value a ballot"));
    }

    #[test]
    fn p2c_wants_the_highest_vote_of_a_quorum_and_not_any() {
        // 1 voted (1,A), 2 voted (2,B), 3 voted (1,A): every quorum with a vote at 2 is bound to B, {1,3} to A.
        let votes: [&[(usize, usize)]; 3] = [&[(1, 0), (2, 1)], &[(2, 1)], &[]];
        let ledger_votes = votes.map(pairs);
        let ledger = Ledger { sizes: &SIZES, votes: &ledger_votes, proposals: pairs(&[(3, 0)]) };
        assert_eq!(ledger.check_p2c(2, 0).unwrap_err().invariant, "P2c");
        assert!(ledger.check_p2c(2, 1).is_ok());
    }

    #[test]
    fn a_learner_may_say_only_what_votes_of_one_ballot_chose() {
        // (1,A) of 1 and (3,A) of 3 do not choose A, though a majority voted for it.
        let votes = [pairs(&[(1, 0)]), pairs(&[(2, 1)]), pairs(&[(3, 0)])];
        let ledger = Ledger { sizes: &SIZES, votes: &votes, proposals: Pairs::default() };
        assert_eq!(ledger.check_learned("a learner", 0).unwrap_err().invariant, "Safety 3");
        let votes = [pairs(&[(1, 0)]), pairs(&[(2, 1)]), pairs(&[(1, 0)])];
        let ledger = Ledger { sizes: &SIZES, votes: &votes, proposals: Pairs::default() };
        assert!(ledger.check_learned("a learner", 0).is_ok());
    }
}
