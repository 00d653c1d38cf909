//! Who takes part in a configuration, and from which slot on.

use std::collections::BTreeSet;

use crate::config::ConfigId;
use crate::node::NodeId;
use crate::quorum::{QuorumError, QuorumSystem};
use crate::slot::Slot;

/// One configuration of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    config: ConfigId,
    first_slot: Slot,
    acceptors: QuorumSystem,
    learners: BTreeSet<NodeId>,
}

impl Membership {
    /// The configuration a cluster is founded with: every node is a full acceptor, decided by majority.
    ///
    /// # Errors
    /// If the list is empty or names a node twice.
    pub fn founding(nodes: impl IntoIterator<Item = NodeId>) -> Result<Membership, QuorumError> {
        Ok(Membership::new(ConfigId::FIRST, Slot::ZERO.next(), QuorumSystem::majority(nodes)?, []))
    }

    /// A configuration that governs the log from `first_slot` on. Acceptors learn anyway: `learners` names
    /// those that only learn.
    pub fn new(
        config: ConfigId,
        first_slot: Slot,
        acceptors: QuorumSystem,
        learners: impl IntoIterator<Item = NodeId>,
    ) -> Membership {
        let learners = learners.into_iter().filter(|node| !acceptors.contains(*node)).collect();
        Membership { config, first_slot, acceptors, learners }
    }

    /// Its number.
    pub fn config(&self) -> ConfigId {
        self.config
    }

    /// The first slot it decides.
    pub fn first_slot(&self) -> Slot {
        self.first_slot
    }

    /// The full acceptors and their quorums.
    pub fn acceptors(&self) -> &QuorumSystem {
        &self.acceptors
    }

    /// Whether `node` takes part in any role.
    pub fn contains(&self, node: NodeId) -> bool {
        self.acceptors.contains(node) || self.learners.contains(&node)
    }

    /// Everybody who takes part except `node`, acceptors first.
    pub fn others(&self, node: NodeId) -> Vec<NodeId> {
        let learners = self.learners.iter().copied();
        self.acceptors.acceptors().chain(learners).filter(|other| *other != node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptor_is_not_listed_as_a_learner_too() {
        let acceptors = QuorumSystem::majority([NodeId(1), NodeId(2), NodeId(3)]).unwrap();
        let membership = Membership::new(ConfigId(2), Slot(9), acceptors, [NodeId(3), NodeId(4)]);
        assert_eq!(membership.others(NodeId(1)), [NodeId(2), NodeId(3), NodeId(4)]);
        assert!(membership.contains(NodeId(4)) && !membership.contains(NodeId(5)));
        assert!(!membership.acceptors().contains(NodeId(4)));
    }
}
