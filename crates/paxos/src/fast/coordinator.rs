//! The coordinator: opens and closes ballots.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::Choice;
use crate::choose_fast::choose_fast;
use crate::durable::Sealed;
use crate::fast::learner::Votes;
use crate::fast::message::Message;
use crate::fast::options::{Kind, Recovery};
use crate::fast::record::Record;
use crate::fast::round::{Round, Vote};
use crate::node::NodeId;
use crate::quorum::{FastQuorumSystem, Phase1Quorum};
use crate::synod::Value;

/// How far a coordinator is with its ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase<V> {
    /// No ballot is under way.
    Idle,
    /// Phase 1: waiting for promises.
    Preparing {
        /// What it would do with a free choice.
        kind: Kind,
        /// What each acceptor that promised had voted for.
        reported: BTreeMap<NodeId, Option<Vote<V>>>,
        /// Who promised.
        promises: Phase1Quorum,
    },
    /// Phase 2 of the fast round: anybody's value may be voted for.
    Open {
        /// What is done about a collision.
        recovery: Recovery,
    },
    /// Phase 2 of the classic round.
    Closed {
        /// The only value the classic round ever carries.
        value: V,
    },
}

/// Runs one ballot after the other. Only the highest ballot used is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coordinator<V> {
    id: NodeId,
    quorums: Arc<FastQuorumSystem>,
    /// The highest ballot used; the phase is that of this ballot.
    ballot: Ballot,
    phase: Phase<V>,
    /// Who refused this ballot, and the promise in its way.
    refusals: BTreeMap<NodeId, Ballot>,
}

impl<V: Value> Coordinator<V> {
    /// The coordinator that wrote `records`; records of other roles are passed over.
    pub fn recover<'a>(
        id: NodeId,
        quorums: Arc<FastQuorumSystem>,
        records: impl IntoIterator<Item = &'a Record<V>>,
    ) -> Coordinator<V>
    where
        V: 'a,
    {
        let used = records.into_iter().filter_map(|record| match record {
            Record::Used(ballot) => Some(*ballot),
            Record::Promised(_) | Record::Voted(_) => None,
        });
        let ballot = used.filter(|_| !mutant!(FastBallotReused)).max().unwrap_or(Ballot::ZERO);
        Coordinator { id, quorums, ballot, phase: Phase::Idle, refusals: BTreeMap::new() }
    }

    /// The highest ballot used.
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

    /// Who refused the ballot.
    pub fn refusals(&self) -> &BTreeMap<NodeId, Ballot> {
        &self.refusals
    }

    /// Whether so many acceptors refused the ballot that the others make no quorum of the kind it needs.
    pub fn is_hopeless(&self) -> bool {
        let needed = match self.phase {
            Phase::Idle => return false,
            Phase::Preparing { .. } | Phase::Closed { .. } => self.quorums.classic_size(),
            Phase::Open { .. } => self.quorums.fast_size(),
        };
        self.refusals.len() + needed > self.quorums.classic().len()
    }

    /// Starts a ballot above `above`, all it used before and what refused the last one. `None` if the rounds are
    /// exhausted: the ballot under way goes on then.
    pub fn start(&mut self, above: Ballot, kind: Kind) -> Option<Record<V>> {
        mark!(DuelLost if self.is_hopeless());
        let beatable = self.refusals.values().filter(|promised| promised.round < Ballot::ROUND_MAX);
        let highest = beatable.copied().chain([above, self.ballot]).max().unwrap_or(above);
        if highest.round >= Ballot::ROUND_MAX {
            return None;
        }
        self.ballot = highest.successor(self.id);
        let promises = self.quorums.classic().phase1();
        self.phase = Phase::Preparing { kind, reported: BTreeMap::new(), promises };
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
    pub fn phase2a(&self) -> Option<Message<V>> {
        match &self.phase {
            Phase::Idle | Phase::Preparing { .. } => None,
            Phase::Open { recovery } => Some(Message::Any { ballot: self.ballot, recovery: *recovery }),
            Phase::Closed { value } => Some(Message::Accept { ballot: self.ballot, value: value.clone() }),
        }
    }

    /// Counts a promise. Returns whether phase 1 is over by it. `wish` is what somebody wants, `recovery` what is
    /// to be done about a collision.
    ///
    /// If the choice is free, the ballot goes on with its fast round, or with its classic one and `wish`, or ends if
    /// there is none. If it is bound, it goes on with its classic round: nothing is left to gain from a fast one.
    ///
    /// # Panics
    /// If the reported vote is not below `ballot`, or two votes of one classic round differ (see [`choose_fast`]).
    pub fn handle_promise(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        vote: Option<Vote<V>>,
        wish: Option<&V>,
        recovery: Recovery,
    ) -> bool {
        let Phase::Preparing { kind, reported, promises } = &mut self.phase else { return false };
        if ballot != self.ballot || !promises.insert(self.quorums.classic(), from) {
            return false;
        }
        reported.insert(from, vote);
        self.refusals.remove(&from);
        if !promises.is_met() {
            return false;
        }
        let reports = reported.values().map(Option::as_ref);
        let choice = choose_fast(&self.quorums, Round::open(ballot), reports);
        self.refusals.clear();
        self.phase = match (choice, *kind, wish) {
            (_, Kind::Fast, _) if mutant!(FastAnyAfterVotes) => Phase::Open { recovery },
            (Choice::Bound(value), _, _) => Phase::Closed { value },
            (Choice::Free, Kind::Fast, _) => Phase::Open { recovery },
            (Choice::Free, Kind::Classic, Some(wish)) => Phase::Closed { value: wish.clone() },
            (Choice::Free, Kind::Classic, None) => Phase::Idle,
        };
        true
    }

    /// The fast round whose votes are as good as promises of the classic round: the one before it. Where acceptors
    /// recover by themselves, those who voted in the open round may vote again before the classic one.
    fn last_fast(&self, recovery: Recovery) -> Round {
        match recovery {
            Recovery::Uncoordinated if !mutant!(FastRecoverySkipsRound) => Round::again(self.ballot),
            Recovery::Uncoordinated | Recovery::Coordinated => Round::open(self.ballot),
        }
    }

    /// The round whose votes end the fast part of this ballot, while that is under way.
    pub fn awaited(&self) -> Option<Round> {
        match self.phase {
            Phase::Open { recovery } => Some(self.last_fast(recovery)),
            _ => None,
        }
    }

    /// Coordinated recovery: takes `votes`, those of the [awaited](Coordinator::awaited) round, for promises of the
    /// classic round of the ballot, and goes on with that. Returns whether they were enough.
    pub fn close(&mut self, votes: &Votes<V>) -> bool {
        let Some(round) = self.awaited() else { return false };
        let needed = if mutant!(FastCollisionSeenByTooFew) { 2 } else { self.quorums.classic_size() };
        if votes.len() < needed {
            return false;
        }
        self.phase = Phase::Closed { value: pick(&self.quorums, Round::closed(self.ballot), round, votes) };
        self.refusals.clear();
        true
    }

    /// Takes note of a refusal of the present ballot. It is not lost yet if the others make a quorum.
    pub fn handle_nack(&mut self, from: NodeId, ballot: Ballot, promised: Ballot) {
        let promised_to_me =
            matches!(&self.phase, Phase::Preparing { promises, .. } if promises.contains(from));
        if ballot == self.ballot && !self.is_idle() && !promised_to_me {
            let known = self.refusals.entry(from).or_insert(promised);
            *known = promised.max(*known);
        }
    }
}

/// What to vote for in `round`, given the votes of a classic quorum in the fast round before it. If none of their
/// values can have been chosen there, that of the lowest acceptor: everybody with the same votes picks the same.
///
/// # Panics
/// If there are fewer votes than a classic quorum has.
pub fn pick<V: Value>(quorums: &FastQuorumSystem, round: Round, before: Round, votes: &Votes<V>) -> V {
    let reports: Vec<Vote<V>> =
        votes.values().map(|value| Vote { round: before, value: value.clone() }).collect();
    match choose_fast(quorums, round, reports.iter().map(Some)) {
        Choice::Bound(value) => value,
        Choice::Free => reports.into_iter().next().expect("a quorum has an acceptor").value,
    }
}
