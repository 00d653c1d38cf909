//! Who plays which role, and the choices the literature leaves open.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use crate::node::NodeId;
use crate::quorum::{QuorumError, QuorumSystem};

/// Whom an acceptor tells of its vote, besides the proposer (*Paxos Made Simple*, §2.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Learning {
    /// Every learner: the fewest delays, acceptors × learners messages.
    Everyone,
    /// These learners, one or several, who tell the others: fewer messages, one delay more, and learning
    /// waits when all of them have failed.
    Distinguished(BTreeSet<NodeId>),
}

/// The nodes that decide one value together, and their roles. One node may play several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    acceptors: QuorumSystem,
    proposers: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    learning: Learning,
}

/// Why these nodes are no group.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupError {
    /// The acceptors are no quorum system.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    /// Nobody proposes.
    #[error("a group needs at least one proposer")]
    NoProposer,
    /// Learners are to be told by others, but by nobody.
    #[error("at least one learner must be distinguished")]
    NobodyDistinguished,
    /// A distinguished learner is no learner.
    #[error("distinguished learner {0} is not among the learners")]
    NoLearner(NodeId),
}

impl Group {
    /// Every node plays every role, majorities decide, and acceptors tell every learner.
    ///
    /// # Errors
    /// If the list is empty or names a node twice.
    pub fn combined(nodes: impl IntoIterator<Item = NodeId>) -> Result<Group, GroupError> {
        let acceptors = QuorumSystem::majority(nodes)?;
        let nodes: BTreeSet<NodeId> = acceptors.acceptors().collect();
        Group::new(acceptors, nodes.clone(), nodes, Learning::Everyone)
    }

    /// Roles on nodes of any kind.
    ///
    /// # Errors
    /// If nobody proposes, or the distinguished learners are none or no learners.
    pub fn new(
        acceptors: QuorumSystem,
        proposers: impl IntoIterator<Item = NodeId>,
        learners: impl IntoIterator<Item = NodeId>,
        learning: Learning,
    ) -> Result<Group, GroupError> {
        let proposers: BTreeSet<NodeId> = proposers.into_iter().collect();
        let learners: BTreeSet<NodeId> = learners.into_iter().collect();
        if proposers.is_empty() {
            return Err(GroupError::NoProposer);
        }
        if let Learning::Distinguished(distinguished) = &learning {
            if distinguished.is_empty() {
                return Err(GroupError::NobodyDistinguished);
            }
            if let Some(stranger) = distinguished.difference(&learners).next() {
                return Err(GroupError::NoLearner(*stranger));
            }
        }
        Ok(Group { acceptors, proposers, learners, learning })
    }

    /// The acceptors and their quorums.
    pub fn acceptors(&self) -> &QuorumSystem {
        &self.acceptors
    }

    /// Who may propose.
    pub fn proposers(&self) -> &BTreeSet<NodeId> {
        &self.proposers
    }

    /// Who learns.
    pub fn learners(&self) -> &BTreeSet<NodeId> {
        &self.learners
    }

    /// The learners whom acceptors tell of their votes.
    pub fn told(&self) -> &BTreeSet<NodeId> {
        match &self.learning {
            Learning::Everyone => &self.learners,
            Learning::Distinguished(distinguished) => distinguished,
        }
    }

    /// The learners whom `node` tells once it knows: all others if it is distinguished, else nobody.
    pub fn tells(&self, node: NodeId) -> Vec<NodeId> {
        match &self.learning {
            Learning::Distinguished(distinguished) if distinguished.contains(&node) => {
                self.learners.iter().copied().filter(|learner| *learner != node).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Whom a proposer asks first. Everybody who has not answered is asked when a timeout fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Audience {
    /// All acceptors: an acceptor that is down costs no time.
    #[default]
    All,
    /// As many as a quorum needs: fewer messages while nobody fails.
    OneQuorumFirst,
}

/// What an acceptor does with a request below its promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It says so and names the promise, so that the proposer knows what to beat.
    #[default]
    Reject,
    /// It says nothing: the proposer finds out by waiting.
    Ignore,
}

/// The choices of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whom to ask first.
    pub audience: Audience,
    /// How to refuse.
    pub refusal: Refusal,
    /// How long to wait for answers before asking again. Longer than a round trip and a disk write.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            audience: Audience::default(),
            refusal: Refusal::default(),
            patience: Duration::from_millis(100),
        }
    }
}
