//! The learner: finds out what was chosen by counting votes, and when they are divided.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::fast::round::{Round, Vote};
use crate::node::NodeId;
use crate::quorum::{FastQuorum, FastQuorumSystem, Phase2Quorum};
use crate::synod::Value;

/// Who voted for what in one round.
pub type Votes<V> = BTreeMap<NodeId, V>;

/// Counts votes per round and value. Nothing of it is durable: all can be learned again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learner<V> {
    quorums: Arc<FastQuorumSystem>,
    votes: BTreeMap<Round, Votes<V>>,
    chosen: Option<Vote<V>>,
}

/// A growing set of acceptors that voted for one value in one round.
enum Count {
    Classic(Phase2Quorum),
    Fast(FastQuorum),
}

impl<V: Value> Learner<V> {
    /// Votes are counted for this many rounds, the highest. To forget the others is safe: who cannot tell runs a
    /// higher ballot.
    pub const ROUNDS_MAX: usize = 64;

    /// A learner that has heard nothing.
    pub fn new(quorums: Arc<FastQuorumSystem>) -> Learner<V> {
        Learner { quorums, votes: BTreeMap::new(), chosen: None }
    }

    /// A round in which the value was chosen and the value, once known.
    pub fn chosen(&self) -> Option<&Vote<V>> {
        self.chosen.as_ref()
    }

    /// Whether votes were heard of, but not enough: something may have been chosen.
    pub fn is_in_doubt(&self) -> bool {
        self.chosen.is_none() && !self.votes.is_empty()
    }

    /// Who is known to have voted in `round`, and for what.
    pub fn votes(&self, round: Round) -> Option<&Votes<V>> {
        self.votes.get(&round)
    }

    /// Counts the vote of `from`, once however often it is told. Returns what was chosen if this is news.
    ///
    /// # Panics
    /// If `from` voted twice in the round, a classic round carries two values, or a value was chosen in a lower
    /// round and this is another (P2a).
    pub fn handle_accepted(&mut self, from: NodeId, vote: &Vote<V>) -> Option<Vote<V>> {
        let Vote { round, value } = vote;
        if let Some(chosen) = &self.chosen {
            assert!(
                *round <= chosen.round || *value == chosen.value,
                "{from} voted for {value:?} in {round} after {:?} was chosen in {}",
                chosen.value,
                chosen.round
            );
            return None;
        }
        let votes = self.votes.entry(*round).or_default();
        let known = votes.entry(from).or_insert_with(|| value.clone());
        assert!(
            known == value || mutant!(FastVotedTwice),
            "{from} voted twice in {round}: for {known:?} and {value:?}"
        );
        let other = votes.iter().find(|(_, voted)| *voted != value);
        assert!(round.is_fast() || other.is_none(), "{round} carries {value:?}, but also {other:?}");
        if self.is_chosen(vote) {
            mark!(FastPathTaken if round.is_fast());
            return self.conclude(vote).then(|| vote.clone());
        }
        if self.votes.len() > Self::ROUNDS_MAX {
            self.votes.pop_first();
        }
        None
    }

    /// Whether those who voted as `vote` says are a quorum of its round's kind.
    fn is_chosen(&self, vote: &Vote<V>) -> bool {
        let acceptors = self.quorums.classic();
        let mut count = if vote.round.is_fast() {
            Count::Fast(self.quorums.fast())
        } else {
            Count::Classic(acceptors.phase2())
        };
        let votes = self.votes.get(&vote.round).into_iter().flatten();
        for (node, _) in votes.filter(|(_, value)| **value == vote.value || mutant!(FastVotesAddedUp)) {
            match &mut count {
                Count::Classic(quorum) => quorum.insert(acceptors, *node),
                Count::Fast(quorum) => quorum.insert(acceptors, *node),
            };
        }
        match count {
            Count::Classic(quorum) => quorum.is_met(),
            Count::Fast(quorum) => quorum.is_met(),
        }
    }

    /// Whether no value can get a fast quorum of `round` any more, however those vote who have not been heard, and
    /// a classic quorum has been heard: enough to go on from.
    pub fn is_collision(&self, round: Round) -> bool {
        let Some(votes) = self.votes.get(&round).filter(|_| round.is_fast()) else { return false };
        let silent = self.quorums.classic().len() - votes.len();
        let most = votes.values().map(|value| votes.values().filter(|other| *other == value).count()).max();
        let needed = if mutant!(FastCollisionSeenByTooFew) { 2 } else { self.quorums.classic_size() };
        votes.len() >= needed && most.unwrap_or(0) + silent < self.quorums.fast_size()
    }

    /// Takes the word of somebody who knows. Returns whether it is news.
    ///
    /// # Panics
    /// If another value is known to be chosen: the nodes disagree, which no schedule may bring about.
    pub fn conclude(&mut self, vote: &Vote<V>) -> bool {
        if let Some(chosen) = &self.chosen {
            assert!(
                chosen.value == vote.value,
                "two values are chosen: {:?} in {} and {:?} in {}",
                chosen.value,
                chosen.round,
                vote.value,
                vote.round
            );
            return false;
        }
        self.votes.clear();
        self.chosen = Some(vote.clone());
        true
    }
}
