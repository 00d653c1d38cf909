//! A leader that lacks chosen slots which no connected member holds.
//!
//! A promise told it that they are chosen, so it proposes nothing there and fetches them. If the member that promised is
//! gone before it has handed them over, those slots can be applied nowhere any more, although a quorum is up. Another
//! phase 1 with the members that are left ends that: of every quorum that chose a value, each phase 1 quorum holds a vote.
//! Only connected members' promises count in it: a promise may arrive from one that answers nothing else.

use synod_probe::{mark, mutant};

use crate::multi::election::Election;
use crate::multi::entry::Command;
use crate::multi::learner::Learner;
use crate::slot::Slot;

/// Rounds of heartbeats after which a leader does not wait for the lost source any longer.
const ROUNDS: u32 = 5;

/// For how long a leader has been stranded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stranded {
    behind: Option<Slot>,
    rounds: u32,
}

impl Stranded {
    /// Notes how a leader stands at the end of a round. Returns whether it should run phase 1 again, with a higher
    /// ballot.
    pub fn end_round<C: Command>(&mut self, leads: bool, learner: &Learner<C>, election: &Election) -> bool {
        let through = learner.through();
        let held = election.is_held(through.next());
        let stranded = leads && election.is_happy() && learner.is_behind() && !held;
        let due = self.count(stranded.then_some(through)) && !mutant!(StrandedLeaderWaits);
        mark!(StrandedLeaderWentHigher if due);
        due
    }

    fn count(&mut self, behind: Option<Slot>) -> bool {
        let still = behind.is_some() && behind == self.behind;
        let rounds = if still { self.rounds + 1 } else { 0 };
        let due = rounds >= ROUNDS;
        *self = Stranded { behind, rounds: if due { 0 } else { rounds } };
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_helps_itself_after_five_rounds_in_which_it_learned_nothing() {
        let mut stranded = Stranded::default();
        let mut rounds =
            |count: u32, behind: Option<u64>| (0..count).filter(|_| stranded.count(behind.map(Slot))).count();
        assert_eq!(rounds(5, Some(7)), 0);
        assert_eq!(rounds(1, None), 0, "somebody knows");
        assert_eq!(rounds(5, Some(7)), 0);
        assert_eq!(rounds(5, Some(8)), 0, "it has learned a slot");
        assert_eq!(rounds(1, Some(8)), 1);
        assert_eq!(rounds(4, Some(8)), 0, "it waits as long before the next time");
        assert_eq!(rounds(1, Some(8)), 1);
    }
}
