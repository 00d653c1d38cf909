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

// ---- Fast Paxos ------------------------------------------------------------------------------------------

/// Acceptors and how many of them make a classic and a fast quorum. Intersection was checked when it was built.
///
/// Any two quorums meet, and any classic quorum meets the intersection of any two fast ones (Lamport, *Fast
/// Paxos*, 2006, §3.1, where n acceptors that get on with f failures, and stay fast with e, need n > 2f and
/// n > 2e+f). Classic quorums promise, of whatever kind the rounds before were, and choose in classic rounds; fast
/// ones choose in fast rounds, where two acceptors may vote differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FastQuorumSystem {
    classic: QuorumSystem,
    fast: usize,
}

/// Why a set of acceptors with these sizes cannot have fast rounds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FastQuorumError {
    /// The classic quorums alone are wrong already.
    #[error(transparent)]
    Classic(#[from] QuorumError),
    /// A fast quorum needs at least one acceptor and at most all.
    #[error("a fast quorum of {fast} cannot be formed by {acceptors} acceptors")]
    Size {
        /// The size asked for.
        fast: usize,
        /// How many acceptors there are.
        acceptors: usize,
    },
    /// A classic quorum could miss what two fast quorums have in common.
    #[error(
        "a classic quorum of {classic} could miss what two fast quorums of {fast} of {acceptors} acceptors have in \
         common: {classic} + 2 × {fast} must exceed 2 × {acceptors}"
    )]
    Disjoint {
        /// Size of classic quorums.
        classic: usize,
        /// Size of fast quorums.
        fast: usize,
        /// How many acceptors there are.
        acceptors: usize,
    },
}

impl FastQuorumSystem {
    /// Classic quorums as small as can be, majorities, and the smallest fast quorums that go with them: n/f/e is
    /// 3/1/0, 4/1/1, 5/2/1, 7/3/1.
    ///
    /// # Errors
    /// If there is no acceptor or one is listed twice.
    pub fn majority(
        acceptors: impl IntoIterator<Item = NodeId>,
    ) -> Result<FastQuorumSystem, FastQuorumError> {
        let classic = QuorumSystem::majority(acceptors)?;
        let fast = classic.len() - (classic.phase1_size() - 1) / 2;
        FastQuorumSystem::checked(classic, fast)
    }

    /// Gets on with `failures` acceptors down and stays fast with `fast_failures` of them down.
    ///
    /// # Errors
    /// If there are too few acceptors for that, or the list is no set.
    pub fn with_failures(
        acceptors: impl IntoIterator<Item = NodeId>,
        failures: usize,
        fast_failures: usize,
    ) -> Result<FastQuorumSystem, FastQuorumError> {
        let acceptors = distinct(acceptors)?;
        let but = |failures| acceptors.len().saturating_sub(failures);
        let (classic, fast) = (but(failures), but(fast_failures));
        FastQuorumSystem::checked(QuorumSystem::checked(acceptors, classic, classic)?, fast)
    }

    fn checked(classic: QuorumSystem, fast: usize) -> Result<FastQuorumSystem, FastQuorumError> {
        let (acceptors, size) = (classic.len(), classic.phase1_size());
        if fast == 0 || fast > acceptors {
            return Err(FastQuorumError::Size { fast, acceptors });
        }
        // That two fast quorums meet, and a fast one and a classic one, follows.
        if size + 2 * fast <= 2 * acceptors {
            return Err(FastQuorumError::Disjoint { classic: size, fast, acceptors });
        }
        Ok(FastQuorumSystem { classic, fast })
    }

    /// The acceptors with their classic quorums, which are those of both phases.
    pub fn classic(&self) -> &QuorumSystem {
        &self.classic
    }

    /// How many acceptors a classic quorum has.
    pub fn classic_size(&self) -> usize {
        self.classic.phase1_size()
    }

    /// How many acceptors a fast quorum has.
    pub fn fast_size(&self) -> usize {
        self.fast
    }

    /// An empty count towards a fast quorum.
    pub fn fast(&self) -> FastQuorum {
        FastQuorum(Count {
            needed: self.fast - usize::from(mutant!(FastQuorumTooSmall)),
            members: BTreeSet::new(),
        })
    }
}

quorum_count! {
    /// A growing set of acceptors that voted for one value in one fast round: it chooses.
    FastQuorum
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

    fn fast_sizes(count: u64, failures: usize, fast_failures: usize) -> Option<(usize, usize)> {
        let system = FastQuorumSystem::with_failures(nodes(count), failures, fast_failures).ok()?;
        Some((system.classic_size(), system.fast_size()))
    }

    #[test]
    fn classic_and_fast_quorums_have_the_sizes_of_the_literature() {
        let majority = |count| {
            let system = FastQuorumSystem::majority(nodes(count)).unwrap();
            (system.classic_size(), system.fast_size())
        };
        assert_eq!([majority(3), majority(4), majority(5), majority(7)], [(2, 3), (3, 3), (3, 4), (4, 6)]);
        assert_eq!([majority(1), majority(2), majority(6)], [(1, 1), (2, 2), (4, 5)]);
        assert_eq!(fast_sizes(3, 1, 0), Some((2, 3)));
        assert_eq!(fast_sizes(4, 1, 1), Some((3, 3)));
        assert_eq!(fast_sizes(5, 2, 1), Some((3, 4)));
        assert_eq!(fast_sizes(7, 3, 1), Some((4, 6)));
        assert_eq!(fast_sizes(7, 2, 2), Some((5, 5)));
    }

    #[test]
    fn failures_are_accepted_exactly_if_there_are_more_than_2f_and_more_than_2e_and_f() {
        for count in 1..=9_usize {
            for failures in 0..=count + 1 {
                for fast_failures in 0..=count + 1 {
                    let built = fast_sizes(count as u64, failures, fast_failures).is_some();
                    let enough = count > 2 * failures && count > 2 * fast_failures + failures;
                    assert_eq!(built, enough, "{count} {failures} {fast_failures}");
                }
            }
        }
    }

    #[test]
    fn every_classic_quorum_meets_what_two_fast_ones_share_and_one_fewer_would_miss_it() {
        for count in 1..=7_u32 {
            let system = FastQuorumSystem::majority(nodes(u64::from(count))).unwrap();
            let of_size = |size: usize| {
                (0_u32..1 << count).filter(move |set| set.count_ones() as usize == size).collect::<Vec<_>>()
            };
            let meet = |classic: usize, fast: usize| {
                let (classic, fast) = (of_size(classic), of_size(fast));
                let shared = |q: u32| fast.iter().all(|r| fast.iter().all(|s| q & r & s != 0));
                classic.iter().all(|q| shared(*q))
            };
            assert!(meet(system.classic_size(), system.fast_size()), "{count}");
            assert!(!meet(system.classic_size(), system.fast_size() - 1), "{count}");
        }
    }

    #[test]
    fn fast_quorums_that_are_too_small_are_refused_by_name() {
        let built = FastQuorumSystem::with_failures(nodes(4), 1, 2).unwrap_err();
        assert_eq!(built, FastQuorumError::Disjoint { classic: 3, fast: 2, acceptors: 4 });
        let none = FastQuorumSystem::with_failures(nodes(4), 1, 4).unwrap_err();
        assert_eq!(none, FastQuorumError::Size { fast: 0, acceptors: 4 });
        let classic = FastQuorumSystem::with_failures(nodes(4), 2, 0).unwrap_err();
        assert!(classic.to_string().contains("need not meet"), "{classic}");
    }
}
