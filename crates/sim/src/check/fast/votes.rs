//! What was voted for and proposed, and the properties that must hold of it.
//!
//! Kept by the checker, never read from what a coordinator or a learner believes. Rounds are numbered in their order,
//! three for a ballot, so that the sets of pairs of [`Sizes`] hold (round, value) here.

use synod_paxos::ballot::Ballot;
use synod_paxos::fast::round::{Round, Step};
use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::check::ledger::{Pairs, Sizes, name};

/// Rounds of one ballot.
pub const STEPS: usize = 3;

/// Every ballot is another coordinator's.
pub fn ballot(number: usize) -> Ballot {
    Ballot::new(number as u64 + 1, NodeId(number as u64 + 1))
}

/// The round with this number.
pub fn round(number: usize) -> Round {
    let step = [Step::Open, Step::Again, Step::Closed][number % STEPS];
    Round { ballot: ballot(number / STEPS), step }
}

/// The number of a round, `None` for [`Round::ZERO`].
pub fn number(round: Round) -> Option<usize> {
    let ballot = usize::try_from(round.ballot.round).ok()?.checked_sub(1)?;
    Some(ballot * STEPS + round.step as usize)
}

/// What one acceptor has told others, and thereby bound itself to.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its durable votes, all it ever cast.
    pub votes: Pairs,
    /// The lowest round in which it may still vote, by its promises.
    pub bound: usize,
}

/// The history so far.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// How many of everything; its ballots are rounds.
    pub sizes: &'a Sizes,
    /// How many votes choose in a fast round.
    pub fast: usize,
    /// Each acceptor.
    pub told: &'a [Told],
    /// What coordinators asked acceptors to vote for in classic rounds.
    pub proposals: Pairs,
}

impl History<'_> {
    fn needed(&self, round: usize) -> usize {
        if round % STEPS == Step::Closed as usize { self.sizes.phase2 } else { self.fast }
    }

    fn voters(&self, round: usize, value: usize) -> usize {
        self.told.iter().filter(|told| told.votes.contains(self.sizes, round, value)).count()
    }

    fn is_chosen(&self, round: usize, value: usize) -> bool {
        self.voters(round, value) >= self.needed(round)
    }

    /// Whether `value` is chosen in `round`, or may still be.
    fn is_choosable(&self, round: usize, value: usize) -> bool {
        let free = |told: &&Told| {
            told.bound <= round
                && !(round..self.sizes.ballots).any(|higher| told.votes.has_ballot(self.sizes, higher))
        };
        let free = self.told.iter().filter(free).count();
        self.voters(round, value) + free >= self.needed(round)
    }

    /// Checks everything that must hold in every state.
    ///
    /// # Errors
    /// The first property that does not hold, the gravest first: that one value is chosen at most, and that whatever
    /// is voted for or proposed in a round is safe there. Safe means that no other value is chosen, or may still be,
    /// in any round below (*Fast Paxos*, §2.2, CP).
    pub fn check(&self) -> Result<(), Violation> {
        let pairs = || {
            let all = self.told.iter().fold(self.proposals.0, |all, told| all | told.votes.0);
            Pairs(all).iter(self.sizes)
        };
        let chosen: Vec<(usize, usize)> = pairs().filter(|(r, v)| self.is_chosen(*r, *v)).collect();
        if let Some(((low, first), (high, other))) =
            chosen.first().zip(chosen.iter().find(|(_, value)| *value != chosen[0].1))
        {
            let what = format!(
                "{} is chosen in {} and {} in {}",
                name(*first),
                round(*low),
                name(*other),
                round(*high)
            );
            return Err(Violation { invariant: "Safety 2", what });
        }
        for (high, value) in pairs() {
            for low in 0..high {
                for other in (0..self.sizes.values).filter(|other| *other != value) {
                    if self.voters(low, other) > 0 && self.is_choosable(low, other) {
                        let what = format!(
                            "{} is voted for or proposed in {}, but {} is or may be chosen in {}",
                            name(value),
                            round(high),
                            name(other),
                            round(low)
                        );
                        return Err(Violation { invariant: "CP", what });
                    }
                }
            }
        }
        Ok(())
    }

    /// A learner says that `value` was chosen.
    ///
    /// # Errors
    /// Safety 3 if it was not, in any round.
    pub fn check_learned(&self, value: usize) -> Result<(), Violation> {
        if (0..self.sizes.ballots).any(|round| self.is_chosen(round, value)) {
            return Ok(());
        }
        let what = format!("a learner learned {}, which is not chosen", name(value));
        Err(Violation { invariant: "Safety 3", what })
    }
}
