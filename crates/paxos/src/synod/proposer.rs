//! The proposer: gets a value through, though not always its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::{Choice, Vote, choose};
use crate::durable::Sealed;
use crate::node::NodeId;
use crate::quorum::{Phase1Quorum, Phase2Quorum};
use crate::synod::Value;
use crate::synod::message::Message;
use crate::synod::options::{Audience, Group};
use crate::synod::record::Record;

/// How far a proposer is with its ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase<V> {
    /// No ballot is under way.
    Idle,
    /// Phase 1: waiting for promises.
    Preparing {
        /// What each acceptor that promised had voted for.
        reported: BTreeMap<NodeId, Option<Vote<V>>>,
        /// Who promised.
        promises: Phase1Quorum,
    },
    /// Phase 2: waiting for votes.
    Accepting {
        /// The only value the ballot ever carries.
        value: V,
        /// Who promised: they are alive, so they are asked first.
        promises: Phase1Quorum,
        /// Who voted.
        votes: Phase2Quorum,
    },
}

/// Runs one ballot after the other. Only the highest ballot used is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposer<V> {
    id: NodeId,
    group: Arc<Group>,
    candidate: Option<V>,
    /// The highest ballot used; the phase is that of this ballot.
    ballot: Ballot,
    phase: Phase<V>,
    /// Who refused this ballot, and the promise in its way.
    refusals: BTreeMap<NodeId, Ballot>,
}

impl<V: Value> Proposer<V> {
    /// The proposer that wrote `records`; records of other roles are passed over.
    pub fn recover<'a>(
        id: NodeId,
        group: Arc<Group>,
        records: impl IntoIterator<Item = &'a Record<V>>,
    ) -> Proposer<V>
    where
        V: 'a,
    {
        let used = records.into_iter().filter_map(|record| match record {
            Record::Used(ballot) => Some(*ballot),
            Record::Promised(_) | Record::Voted(_) => None,
        });
        let ballot = used.max().filter(|_| !mutant!(BallotReused)).unwrap_or(Ballot::ZERO);
        Proposer { id, group, candidate: None, ballot, phase: Phase::Idle, refusals: BTreeMap::new() }
    }

    /// The highest ballot used so far.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// How far it is with this ballot.
    pub fn phase(&self) -> &Phase<V> {
        &self.phase
    }

    /// Whether no ballot is under way.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// What it proposes if it is free to.
    pub fn candidate(&self) -> Option<&V> {
        self.candidate.as_ref()
    }

    /// Who refused the ballot.
    pub fn refusals(&self) -> &BTreeMap<NodeId, Ballot> {
        &self.refusals
    }

    /// Whether so many acceptors refused the ballot that the others make no quorum.
    pub fn is_hopeless(&self) -> bool {
        self.missing_refusers() > 0
    }

    /// How many of those who refused would have to come round for a quorum.
    fn missing_refusers(&self) -> usize {
        let acceptors = self.group.acceptors();
        let needed = match self.phase {
            Phase::Idle => return 0,
            Phase::Preparing { .. } => acceptors.phase1_size(),
            Phase::Accepting { .. } => acceptors.phase2_size(),
        };
        needed.saturating_sub(acceptors.len() - self.refusals.len())
    }

    /// Takes the value to propose whenever P2c leaves the choice free.
    ///
    /// # Errors
    /// The value itself if there is one already.
    pub fn propose(&mut self, value: V) -> Result<(), V> {
        if self.candidate.is_some() {
            return Err(value);
        }
        self.candidate = Some(value);
        Ok(())
    }

    /// Starts a ballot above `above` and all it used before. `None` if the rounds are exhausted: the ballot
    /// under way goes on then.
    ///
    /// Of the promises in the way of the last ballot it beats the lowest that suffice for a quorum, and none
    /// that cannot be beaten: one confused acceptor with a huge round does not drag the group up there.
    pub fn start(&mut self, above: Ballot) -> Option<Record<V>> {
        mark!(DuelLost if self.is_hopeless());
        let mut in_the_way: Vec<Ballot> = self.refusals.values().copied().collect();
        in_the_way.retain(|promised| promised.round < Ballot::ROUND_MAX);
        in_the_way.sort_unstable();
        let to_beat = in_the_way.into_iter().take(self.missing_refusers().max(1)).next_back();
        let highest = above.max(self.ballot).max(to_beat.unwrap_or(Ballot::ZERO));
        if highest.round >= Ballot::ROUND_MAX {
            return None;
        }
        self.ballot = highest.successor(self.id);
        self.phase =
            Phase::Preparing { reported: BTreeMap::new(), promises: self.group.acceptors().phase1() };
        self.refusals.clear();
        Some(Record::Used(self.ballot))
    }

    /// The ballot is given up: a value is chosen, or there is nothing to propose.
    pub fn stop(&mut self) {
        self.phase = Phase::Idle;
        self.refusals.clear();
    }

    /// Phase 1a. It waits for the record of the ballot: a ballot used twice could carry two values.
    pub fn prepare(&self) -> Option<Sealed<Message<V>>> {
        matches!(self.phase, Phase::Preparing { .. })
            .then(|| Sealed::new(Message::Prepare { ballot: self.ballot }))
    }

    /// Phase 2a. It waits for nothing: promises prove that the ballot is durable.
    pub fn accept(&self) -> Option<Message<V>> {
        match &self.phase {
            Phase::Accepting { value, .. } => {
                Some(Message::Accept { ballot: self.ballot, value: value.clone() })
            }
            _ => None,
        }
    }

    /// Whom to ask at first.
    pub fn audience(&self, audience: Audience) -> Vec<NodeId> {
        let acceptors = self.group.acceptors();
        let (size, alive) = match &self.phase {
            Phase::Idle => return Vec::new(),
            Phase::Preparing { .. } => (acceptors.phase1_size(), None),
            Phase::Accepting { promises, .. } => (acceptors.phase2_size(), Some(promises)),
        };
        let mut all: Vec<NodeId> = acceptors.acceptors().collect();
        if audience == Audience::OneQuorumFirst {
            // Those known to be alive, then this node itself, then the ring that starts after it: proposers
            // spread their load.
            all.sort_by_key(|node| {
                (!alive.is_some_and(|alive| alive.contains(*node)), *node < self.id, *node)
            });
            all.truncate(size);
            all.sort_unstable();
        }
        all
    }

    /// Who has not answered in this phase.
    pub fn unanswered(&self) -> Vec<NodeId> {
        let answered = |node: NodeId| match &self.phase {
            Phase::Idle => true,
            Phase::Preparing { promises, .. } => promises.contains(node),
            Phase::Accepting { votes, .. } => votes.contains(node),
        };
        let silent = |node: &NodeId| !answered(*node) && !self.refusals.contains_key(node);
        self.group.acceptors().acceptors().filter(silent).collect()
    }

    /// Counts a promise. Returns whether phase 1 is over by it: phase 2 follows, or nothing if no vote was
    /// reported and there is no candidate.
    ///
    /// Promises of earlier ballots, and those that come too late, change nothing.
    ///
    /// # Panics
    /// If the reported vote is not below `ballot`, or two votes of one ballot differ (see [`choose`]).
    pub fn handle_promise(&mut self, from: NodeId, ballot: Ballot, vote: Option<Vote<V>>) -> bool {
        let Phase::Preparing { reported, promises } = &mut self.phase else { return false };
        if ballot != self.ballot && !mutant!(PromiseOfOtherBallotCounted) {
            return false;
        }
        if !promises.insert(self.group.acceptors(), from) {
            return false;
        }
        reported.insert(from, vote);
        self.refusals.remove(&from);
        if !promises.is_met() {
            return false;
        }
        let choice = choose(ballot, reported.values().map(Option::as_ref));
        let value = match choice {
            Choice::Bound(value) => Some(value),
            Choice::Free => self.candidate.clone(),
        };
        self.refusals.clear();
        self.phase = match value {
            Some(value) => {
                Phase::Accepting { value, promises: promises.clone(), votes: self.group.acceptors().phase2() }
            }
            None => Phase::Idle,
        };
        true
    }

    /// Counts a vote. Returns what was chosen if this vote makes a quorum.
    ///
    /// # Panics
    /// If the vote is for another value than this ballot carries.
    pub fn handle_accepted(&mut self, from: NodeId, ballot: Ballot, voted: &V) -> Option<Vote<V>> {
        let Phase::Accepting { value, votes, .. } = &mut self.phase else { return None };
        if ballot != self.ballot && !(mutant!(LearnerCountsByValue) && value == voted) {
            return None;
        }
        assert!(value == voted, "{ballot} carries {value:?}, but {from} voted for {voted:?}");
        votes.insert(self.group.acceptors(), from);
        (votes.is_met() || mutant!(Canary)).then(|| Vote { ballot, value: value.clone() })
    }

    /// Takes note of a refusal of the present ballot. It is not lost yet if the others make a quorum.
    pub fn handle_nack(&mut self, from: NodeId, ballot: Ballot, promised: Ballot) {
        let answered = match &self.phase {
            Phase::Idle => true,
            Phase::Preparing { promises, .. } => promises.contains(from),
            Phase::Accepting { votes, .. } => votes.contains(from),
        };
        if ballot == self.ballot && !answered {
            let known = self.refusals.entry(from).or_insert(promised);
            *known = promised.max(*known);
        }
    }
}
