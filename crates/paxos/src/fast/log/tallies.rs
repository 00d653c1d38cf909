//! Who voted for what, slot by slot, while it is not known what is chosen there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fast::learner::{Learner, Votes};
use crate::fast::round::{Round, Vote};
use crate::multi::entry::{Command, Entry};
use crate::node::NodeId;
use crate::quorum::FastQuorumSystem;
use crate::slot::Slot;

/// A single-decree learner for each slot in which votes were heard of. Nothing of it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tallies<C: Command> {
    quorums: Arc<FastQuorumSystem>,
    slots: BTreeMap<Slot, Learner<Entry<C>>>,
}

impl<C: Command> Tallies<C> {
    /// Nothing heard.
    pub fn new(quorums: Arc<FastQuorumSystem>) -> Tallies<C> {
        Tallies { quorums, slots: BTreeMap::new() }
    }

    /// Counts a vote in a slot that is not known to be chosen. Returns what it chose there, and then counts no more.
    ///
    /// # Panics
    /// If `from` voted twice in a round, or a classic round carries two values.
    pub fn count(&mut self, from: NodeId, slot: Slot, vote: &Vote<Entry<C>>) -> Option<Vote<Entry<C>>> {
        let quorums = &self.quorums;
        let learner = self.slots.entry(slot).or_insert_with(|| Learner::new(quorums.clone()));
        let chosen = learner.handle_accepted(from, vote)?;
        self.slots.remove(&slot);
        Some(chosen)
    }

    /// Who is known to have voted in a round, and for what.
    pub fn votes(&self, slot: Slot, round: Round) -> Option<&Votes<Entry<C>>> {
        self.slots.get(&slot)?.votes(round)
    }

    /// Whether no value can get a fast quorum of the round any more, and a classic quorum was heard.
    pub fn is_collision(&self, slot: Slot, round: Round) -> bool {
        self.slots.get(&slot).is_some_and(|learner| learner.is_collision(round))
    }

    /// Who of `nodes` is not known to have voted in a round.
    pub fn silent(&self, slot: Slot, round: Round, nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        let votes = self.votes(slot, round);
        nodes.filter(|node| votes.is_none_or(|votes| !votes.contains_key(node))).collect()
    }

    /// The last slot in which a vote was heard of.
    pub fn last(&self) -> Option<Slot> {
        self.slots.keys().next_back().copied()
    }

    /// The slot is known to be chosen.
    pub fn forget(&mut self, slot: Slot) {
        self.slots.remove(&slot);
    }

    /// Everything up to `through` is known to be chosen.
    pub fn forget_through(&mut self, through: Slot) {
        self.slots = self.slots.split_off(&through.next());
    }
}
