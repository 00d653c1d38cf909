//! The learner: finds out what was chosen by counting votes.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_probe::mutant;

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::node::NodeId;
use crate::quorum::Phase2Quorum;
use crate::synod::Value;
use crate::synod::options::Group;

/// Counts votes per ballot. Nothing of it is durable: all can be learned again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learner<V> {
    group: Arc<Group>,
    counts: BTreeMap<Ballot, (V, Phase2Quorum)>,
    chosen: Option<Vote<V>>,
}

impl<V: Value> Learner<V> {
    /// Votes are counted for this many ballots, the highest. To forget the others is safe: a learner that
    /// cannot tell has a higher ballot run.
    pub const BALLOTS_MAX: usize = 64;

    /// A learner that has heard nothing.
    pub fn new(group: Arc<Group>) -> Learner<V> {
        Learner { group, counts: BTreeMap::new(), chosen: None }
    }

    /// A ballot with which the value was chosen and the value, once known.
    pub fn chosen(&self) -> Option<&Vote<V>> {
        self.chosen.as_ref()
    }

    /// Whether votes were heard of, but not enough: something may have been chosen.
    pub fn is_in_doubt(&self) -> bool {
        self.chosen.is_none() && !self.counts.is_empty()
    }

    /// Counts the vote of `from`, once however often it is told. Returns what was chosen if this is news.
    ///
    /// Votes of different ballots are never added up, whatever they are for: (1,v) and (3,v) do not choose v.
    ///
    /// # Panics
    /// If the ballot carries two values, or a value was chosen with a lower ballot and this is another (P2a).
    pub fn handle_accepted(&mut self, from: NodeId, ballot: Ballot, value: &V) -> Option<Vote<V>> {
        if let Some(chosen) = &self.chosen {
            assert!(
                ballot < chosen.ballot || *value == chosen.value,
                "{from} voted for {value:?} with {ballot} after {:?} was chosen with {}",
                chosen.value,
                chosen.ballot
            );
            return None;
        }
        let acceptors = self.group.acceptors();
        let ballot =
            if mutant!(LearnerCountsByValue) { self.first_ballot_for(value, ballot) } else { ballot };
        let (known, votes) = self.counts.entry(ballot).or_insert_with(|| (value.clone(), acceptors.phase2()));
        assert!(known == value, "{ballot} carries two values: {known:?} and {value:?}");
        votes.insert(acceptors, from);
        if votes.is_met() || mutant!(Canary) {
            let vote = Vote { ballot, value: value.clone() };
            return self.conclude(&vote).then_some(vote);
        }
        if self.counts.len() > Self::BALLOTS_MAX {
            self.counts.pop_first();
        }
        None
    }

    /// The lowest ballot heard of that carries `value`: what its votes are wrongly counted under by a mutant.
    fn first_ballot_for(&self, value: &V, ballot: Ballot) -> Ballot {
        self.counts.iter().find(|(_, (known, _))| known == value).map_or(ballot, |(first, _)| *first)
    }

    /// Takes the word of somebody who knows. Returns whether it is news.
    ///
    /// # Panics
    /// If another value is known to be chosen: the nodes disagree, which no schedule may bring about.
    pub fn conclude(&mut self, vote: &Vote<V>) -> bool {
        if let Some(chosen) = &self.chosen {
            assert!(
                chosen.value == vote.value,
                "two values are chosen: {:?} with {} and {:?} with {}",
                chosen.value,
                chosen.ballot,
                vote.value,
                vote.ballot
            );
            return false;
        }
        self.counts.clear();
        self.chosen = Some(vote.clone());
        true
    }
}
