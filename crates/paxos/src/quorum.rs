//! Which sets of acceptors decide.
//!
//! Paxos needs every phase 1 quorum to meet every phase 2 quorum, and nothing else (Howard, Malkhi,
//! Spiegelman, "Flexible Paxos", 2016). Two phase 2 quorums need not meet. The two kinds are different
//! types here, because what is right for one is wrong for the other.

use std::collections::BTreeSet;

use synod_probe::mutant;
use thiserror::Error;

use crate::node::NodeId;

/// Acceptors and how many of them make a quorum of each phase. Intersection was checked when it was built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumSystem {
    acceptors: BTreeSet<NodeId>,
    phase1: usize,
    phase2: usize,
}

/// Why a set of acceptors with these sizes is no quorum system.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuorumError {
    /// Nobody to ask.
    #[error("a quorum system needs at least one acceptor")]
    Empty,
    /// An identity stands twice in the list.
    #[error("acceptor {0} is listed twice")]
    Duplicate(NodeId),
    /// A size is zero or larger than the number of acceptors.
    #[error("a phase {phase} quorum of {size} cannot be formed by {acceptors} acceptors")]
    Size {
        /// 1 or 2.
        phase: u8,
        /// The size asked for.
        size: usize,
        /// How many acceptors there are.
        acceptors: usize,
    },
    /// A phase 1 quorum could miss a phase 2 quorum.
    #[error(
        "a phase 1 quorum of {phase1} and a phase 2 quorum of {phase2} of {acceptors} acceptors need not meet: \
         their sum must exceed {acceptors}"
    )]
    Disjoint {
        /// Size of phase 1 quorums.
        phase1: usize,
        /// Size of phase 2 quorums.
        phase2: usize,
        /// How many acceptors there are.
        acceptors: usize,
    },
}

impl QuorumSystem {
    /// Both phases by majority: any two majorities share an acceptor.
    ///
    /// # Errors
    /// If there is no acceptor or one is listed twice.
    pub fn majority(acceptors: impl IntoIterator<Item = NodeId>) -> Result<QuorumSystem, QuorumError> {
        let acceptors = distinct(acceptors)?;
        let majority = acceptors.len() / 2 + 1;
        QuorumSystem::checked(acceptors, majority, majority)
    }

    /// Phases of different size, e.g. 3 and 2 of 4.
    ///
    /// # Errors
    /// If a phase 1 quorum could miss a phase 2 quorum, a size cannot be met, or the list is no set.
    pub fn flexible(
        acceptors: impl IntoIterator<Item = NodeId>,
        phase1: usize,
        phase2: usize,
    ) -> Result<QuorumSystem, QuorumError> {
        QuorumSystem::checked(distinct(acceptors)?, phase1, phase2)
    }

    fn checked(
        acceptors: BTreeSet<NodeId>,
        phase1: usize,
        phase2: usize,
    ) -> Result<QuorumSystem, QuorumError> {
        let count = acceptors.len();
        if count == 0 {
            return Err(QuorumError::Empty);
        }
        for (phase, size) in [(1, phase1), (2, phase2)] {
            if size == 0 || size > count {
                return Err(QuorumError::Size { phase, size, acceptors: count });
            }
        }
        if phase1 + phase2 <= count {
            return Err(QuorumError::Disjoint { phase1, phase2, acceptors: count });
        }
        Ok(QuorumSystem { acceptors, phase1, phase2 })
    }

    /// Who the acceptors are, in order.
    pub fn acceptors(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.acceptors.iter().copied()
    }

    /// Whether `node` is an acceptor.
    pub fn contains(&self, node: NodeId) -> bool {
        self.acceptors.contains(&node)
    }

    /// How many acceptors there are.
    pub fn len(&self) -> usize {
        self.acceptors.len()
    }

    /// Never true: a quorum system has at least one acceptor.
    pub fn is_empty(&self) -> bool {
        self.acceptors.is_empty()
    }

    /// How many acceptors a phase 1 quorum has.
    pub fn phase1_size(&self) -> usize {
        self.phase1
    }

    /// How many acceptors a phase 2 quorum has.
    pub fn phase2_size(&self) -> usize {
        self.phase2
    }

    /// An empty count towards a phase 1 quorum.
    pub fn phase1(&self) -> Phase1Quorum {
        Phase1Quorum(Count {
            needed: self.phase1 - usize::from(mutant!(Phase1QuorumTooSmall)),
            members: BTreeSet::new(),
        })
    }

    /// An empty count towards a phase 2 quorum.
    pub fn phase2(&self) -> Phase2Quorum {
        Phase2Quorum(Count {
            needed: self.phase2 - usize::from(mutant!(Phase2QuorumTooSmall)),
            members: BTreeSet::new(),
        })
    }
}

fn distinct(acceptors: impl IntoIterator<Item = NodeId>) -> Result<BTreeSet<NodeId>, QuorumError> {
    let mut set = BTreeSet::new();
    for acceptor in acceptors {
        if !set.insert(acceptor) {
            return Err(QuorumError::Duplicate(acceptor));
        }
    }
    Ok(set)
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Count {
    needed: usize,
    members: BTreeSet<NodeId>,
}

macro_rules! quorum_count {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Count);

        impl $name {
            /// Counts `node`, once however often it answers. Non-acceptors do not count.
            pub fn insert(&mut self, system: &QuorumSystem, node: NodeId) -> bool {
                if mutant!(DuplicateCounted) && self.contains(node) {
                    return self.0.members.insert(NodeId(u64::MAX));
                }
                system.contains(node) && self.0.members.insert(node)
            }

            /// Whether enough acceptors have been counted.
            pub fn is_met(&self) -> bool {
                self.0.members.len() >= self.0.needed
            }

            /// Whether `node` has been counted.
            pub fn contains(&self, node: NodeId) -> bool {
                self.0.members.contains(&node)
            }

            /// Who has been counted, in order.
            pub fn members(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
                self.0.members.iter().copied()
            }
        }
    };
}

quorum_count! {
    /// A growing set of acceptors that promised: it learns of everything any phase 2 quorum chose before.
    Phase1Quorum
}

quorum_count! {
    /// A growing set of acceptors that voted: it chooses, confirms reads and grants leases.
    Phase2Quorum
}

// ---- Egalitarian Paxos -----------------------------------------------------------------------------------

/// Replicas without a leader, and how many of them make a fast and a slow quorum.
///
/// With n replicas of which f may fail, and of which e may fail or be late without slowing commands down, slow quorums,
/// which recover too, have n-f and fast ones n-e members, both counting the one who asks. That is safe if
/// n ≥ max(2e+f-1, 2f+1), and with no fewer (Ryabinin, Gotsman, Sutra, *Making Democracy Work*, 2025).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaQuorums {
    replicas: BTreeSet<NodeId>,
    failures: usize,
    fast_failures: usize,
}

/// Why replicas with these numbers of failures cannot decide without a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{replicas} replicas cannot survive {failures} failures and stay fast with {fast_failures}: there must be at \
     least max(2e+f-1, 2f+1) of them, and e no larger than f"
)]
pub struct TooFewReplicas {
    /// How many there are.
    pub replicas: usize,
    /// f: how many may fail.
    pub failures: usize,
    /// e: how many may fail without slowing commands down.
    pub fast_failures: usize,
}

impl ReplicaQuorums {
    /// As many failures as n replicas can survive, f = ⌊(n-1)/2⌋, and as many of them as the fast path can: the
    /// largest e with 2e+f-1 ≤ n, which is ⌈(f+1)/2⌉ if n = 2f+1. Fast quorums of 3, 5 and 7 replicas have 2, 3 and 5.
    ///
    /// # Errors
    /// If there is no replica or one is listed twice.
    pub fn optimised(replicas: impl IntoIterator<Item = NodeId>) -> Result<ReplicaQuorums, QuorumError> {
        let replicas = distinct(replicas)?;
        if replicas.is_empty() {
            return Err(QuorumError::Empty);
        }
        let failures = (replicas.len() - 1) / 2;
        let fast_failures = ((replicas.len() + 1 - failures) / 2).min(failures);
        let checked = ReplicaQuorums::checked(replicas, failures, fast_failures);
        Ok(checked.expect("f and e were chosen so that both bounds hold"))
    }

    /// Other numbers of failures.
    ///
    /// # Errors
    /// If there are too few replicas for that.
    pub fn with_failures(
        replicas: BTreeSet<NodeId>,
        failures: usize,
        fast_failures: usize,
    ) -> Result<ReplicaQuorums, TooFewReplicas> {
        ReplicaQuorums::checked(replicas, failures, fast_failures)
    }

    fn checked(
        replicas: BTreeSet<NodeId>,
        failures: usize,
        fast_failures: usize,
    ) -> Result<ReplicaQuorums, TooFewReplicas> {
        let needed = (2 * fast_failures + failures).saturating_sub(1).max(2 * failures + 1);
        if replicas.len() < needed || fast_failures > failures {
            return Err(TooFewReplicas { replicas: replicas.len(), failures, fast_failures });
        }
        Ok(ReplicaQuorums { replicas, failures, fast_failures })
    }

    /// Who the replicas are, in order.
    pub fn replicas(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.replicas.iter().copied()
    }

    /// Whether `node` is a replica.
    pub fn contains(&self, node: NodeId) -> bool {
        self.replicas.contains(&node)
    }

    /// f: how many may fail.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// e: how many may fail without slowing commands down.
    pub fn fast_failures(&self) -> usize {
        self.fast_failures
    }

    /// How many votes commit, and how many reports a recovery takes: n-f.
    pub fn slow_size(&self) -> usize {
        self.replicas.len() - self.failures - usize::from(mutant!(EpaxosSlowQuorumTooSmall))
    }

    /// How many equal answers commit at once: n-e.
    pub fn fast_size(&self) -> usize {
        self.replicas.len() - self.fast_failures - usize::from(mutant!(EpaxosFastQuorumTooSmall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u64) -> Vec<NodeId> {
        (1..=count).map(NodeId).collect()
    }

    #[test]
    fn any_two_majorities_share_an_acceptor() {
        for count in 1..=9_u64 {
            let system = QuorumSystem::majority(nodes(count)).unwrap();
            assert!(system.phase1_size() + system.phase2_size() > system.len());
            assert_eq!(system.phase2_size() as u64, count / 2 + 1);
        }
    }

    #[test]
    fn every_pair_of_sizes_is_accepted_exactly_if_the_phases_must_meet() {
        for count in 1..=6_usize {
            for phase1 in 0..=count + 1 {
                for phase2 in 0..=count + 1 {
                    let built = QuorumSystem::flexible(nodes(count as u64), phase1, phase2);
                    let possible = (1..=count).contains(&phase1) && (1..=count).contains(&phase2);
                    assert_eq!(
                        built.is_ok(),
                        possible && phase1 + phase2 > count,
                        "{count} {phase1} {phase2}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_acceptor_counts_once_and_strangers_never() {
        let system = QuorumSystem::majority(nodes(3)).unwrap();
        let mut votes = system.phase2();
        assert!(votes.insert(&system, NodeId(1)));
        assert!(!votes.insert(&system, NodeId(1)), "a duplicate changes nothing");
        assert!(!votes.insert(&system, NodeId(8)), "a stranger has no vote");
        assert!(!votes.is_met());
        votes.insert(&system, NodeId(3));
        assert!(votes.is_met() && votes.contains(NodeId(3)) && !votes.contains(NodeId(2)));
    }

    #[test]
    fn a_system_names_what_is_wrong_with_it() {
        assert_eq!(QuorumSystem::majority([]), Err(QuorumError::Empty));
        assert_eq!(QuorumSystem::majority([NodeId(1), NodeId(1)]), Err(QuorumError::Duplicate(NodeId(1))));
        let disjoint = QuorumSystem::flexible(nodes(4), 2, 2).unwrap_err();
        assert!(disjoint.to_string().contains("need not meet"), "{disjoint}");
    }

    #[test]
    fn fast_quorums_are_as_small_as_they_can_be() {
        let sizes = |count: u64| {
            let quorums = ReplicaQuorums::optimised(nodes(count)).unwrap();
            (quorums.slow_size(), quorums.fast_size())
        };
        assert_eq!([sizes(3), sizes(5), sizes(7)], [(2, 2), (3, 3), (4, 5)]);
        assert_eq!([sizes(1), sizes(2), sizes(4), sizes(6)], [(1, 1), (2, 2), (3, 3), (4, 4)]);
        for count in 1..=15 {
            let (slow, fast) = sizes(count);
            let count = count as usize;
            assert!(fast >= slow && 2 * slow > count, "{count}");
            // One e more is too many.
            let (failures, fast_failures) = (count - slow, count - fast + 1);
            let set: BTreeSet<NodeId> = nodes(count as u64).into_iter().collect();
            assert!(ReplicaQuorums::with_failures(set, failures, fast_failures).is_err(), "{count}");
        }
    }

    #[test]
    fn numbers_of_failures_are_accepted_exactly_if_there_are_replicas_enough() {
        for count in 1..=9_usize {
            let set: BTreeSet<NodeId> = nodes(count as u64).into_iter().collect();
            for failures in 0..=5 {
                for fast_failures in 0..=5 {
                    let built = ReplicaQuorums::with_failures(set.clone(), failures, fast_failures);
                    let enough = count > 2 * failures && count + 1 >= 2 * fast_failures + failures;
                    assert_eq!(
                        built.is_ok(),
                        enough && fast_failures <= failures,
                        "{count} {failures} {fast_failures}"
                    );
                }
            }
        }
    }
}
