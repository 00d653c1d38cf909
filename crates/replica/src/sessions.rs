//! Which submissions had their effect. Part of the replicated state: every replica has the same answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use synod_probe::{mark, mutant};

use crate::submission::Origin;

/// The submissions of one origin that were executed.
///
/// Protocols without one order for all execute commands that do not interfere in different orders on different
/// replicas. So this is a set; what it says does not depend on the order in which it grew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Executed {
    /// Everything up to here,
    through: u64,
    /// and these.
    above: BTreeSet<u64>,
}

/// The executed submissions of all origins. An origin that is no more leaves one entry behind: a few bytes for
/// every start of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    origins: BTreeMap<Origin, Executed>,
    total: u64,
}

impl Sessions {
    /// Notes that a submission is executed now. Returns whether it is the first time.
    pub fn execute(&mut self, origin: Origin, sequence: u64) -> bool {
        let executed = self.origins.entry(origin).or_default();
        let known = sequence <= executed.through || !executed.above.insert(sequence);
        mark!(RepeatedSubmissionDropped if known);
        if known && !mutant!(DedupeForgotten) {
            return false;
        }
        while executed.above.remove(&(executed.through + 1)) {
            executed.through += 1;
        }
        self.total += 1;
        true
    }

    /// Whether a submission was executed.
    pub fn contains(&self, origin: Origin, sequence: u64) -> bool {
        self.origins
            .get(&origin)
            .is_some_and(|executed| sequence <= executed.through || executed.above.contains(&sequence))
    }

    /// How many submissions were executed.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use synod_paxos::node::{Incarnation, NodeId};

    use super::*;

    const ORIGIN: Origin = Origin { node: NodeId(1), incarnation: Incarnation::numbered(2) };

    #[test]
    fn what_comes_again_is_not_executed_again() {
        let mut sessions = Sessions::default();
        assert!(sessions.execute(ORIGIN, 1) && sessions.execute(ORIGIN, 3));
        assert!(!sessions.execute(ORIGIN, 1) && !sessions.execute(ORIGIN, 3));
        assert!(!sessions.contains(ORIGIN, 2) && sessions.execute(ORIGIN, 2));
        let other = Origin { incarnation: Incarnation::numbered(3), ..ORIGIN };
        assert!(sessions.execute(other, 1), "another process counts anew");
        assert_eq!(sessions.total(), 4);
    }

    #[test]
    fn the_order_of_execution_leaves_no_trace() {
        let run = |order: &[u64]| {
            let mut sessions = Sessions::default();
            order.iter().for_each(|sequence| assert!(sessions.execute(ORIGIN, *sequence)));
            sessions
        };
        assert_eq!(run(&[1, 2, 3, 5]), run(&[5, 3, 1, 2]));
    }
}
