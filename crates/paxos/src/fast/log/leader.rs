//! The leader: one phase 1 for all slots, and of each slot behind whether it is its own or open to all.

use std::collections::{BTreeMap, BTreeSet};

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::Choice;
use crate::choose_fast::choose_fast;
use crate::fast::coordinator::pick;
use crate::fast::learner::Votes;
use crate::fast::log::grant::Grant;
use crate::fast::log::message::{Promise, Report};
use crate::fast::round::{Round, Vote};
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::node::NodeId;
use crate::quorum::{FastQuorumSystem, Phase1Quorum};
use crate::slot::Slot;

/// Slots of its own that a leader has proposed in and that are not chosen, at most.
pub const IN_FLIGHT_MAX: usize = 32;

/// Slots that a window has ahead of the last one used. That many no-ops it costs at most to end a window.
pub const WINDOW: u64 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase<C> {
    /// Phase 1 runs: promises collected so far.
    Preparing { quorum: Phase1Quorum, promises: BTreeMap<NodeId, Promise<C>> },
    /// Phase 1 is complete for every slot.
    Leading,
}

/// What phase 1 found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery<C> {
    /// Slots that an acceptor knows to be chosen.
    pub learned: Vec<(Slot, Entry<C>)>,
    /// What to propose in the classic round of the ballot, in slot order, gaps included.
    pub proposals: Vec<(Slot, Entry<C>)>,
    /// Everything up to here is chosen, and who said so.
    pub chosen: Option<(Slot, NodeId)>,
}

/// A node that runs one ballot. Nothing of it is durable but that the ballot was used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader<C> {
    ballot: Ballot,
    from: Slot,
    phase: Phase<C>,
    /// The first slot that is neither proposed in nor open.
    next_slot: Slot,
    /// What the classic round of the ballot carries in slots that are not known to be chosen.
    in_flight: BTreeMap<Slot, Entry<C>>,
    /// Slots that are open to all, not closed, and not known to be chosen.
    open: BTreeSet<Slot>,
    grant: Grant,
}

impl<C: Command> Leader<C> {
    /// Starts phase 1 with `ballot` for every slot from `from` on.
    pub fn prepare(ballot: Ballot, from: Slot, quorums: &FastQuorumSystem) -> Leader<C> {
        Leader {
            ballot,
            from,
            phase: Phase::Preparing { quorum: quorums.classic().phase1(), promises: BTreeMap::new() },
            next_slot: from,
            in_flight: BTreeMap::new(),
            open: BTreeSet::new(),
            grant: Grant::nothing(ballot),
        }
    }

    /// Its ballot.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The first slot of its phase 1.
    pub fn from(&self) -> Slot {
        self.from
    }

    /// Whether phase 1 is complete for every slot.
    pub fn is_leading(&self) -> bool {
        matches!(self.phase, Phase::Leading)
    }

    /// What it has granted last.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// What its classic round carries in slots that are not known to be chosen.
    pub fn in_flight(&self) -> &BTreeMap<Slot, Entry<C>> {
        &self.in_flight
    }

    /// Slots that are open to all, not closed, and not known to be chosen.
    pub fn open(&self) -> &BTreeSet<Slot> {
        &self.open
    }

    /// Who has not promised yet.
    pub fn missing_promises(&self, quorums: &FastQuorumSystem) -> Vec<NodeId> {
        match &self.phase {
            Phase::Preparing { quorum, .. } => {
                quorums.classic().acceptors().filter(|node| !quorum.contains(*node)).collect()
            }
            Phase::Leading => Vec::new(),
        }
    }

    /// Counts a promise of this ballot. When it completes a classic quorum, phase 2 begins.
    pub fn handle_promise(
        &mut self,
        from: NodeId,
        promise: Promise<C>,
        quorums: &FastQuorumSystem,
        learner: &Learner<C>,
    ) -> Option<Recovery<C>> {
        let Phase::Preparing { quorum, promises } = &mut self.phase else { return None };
        let asked = promise.ballot == self.ballot && promise.from == self.from;
        if !asked && !mutant!(PromiseOfOtherBallotCounted) {
            return None;
        }
        if quorum.insert(quorums.classic(), from) {
            promises.insert(from, promise);
        }
        if !quorum.is_met() {
            return None;
        }
        let promises = std::mem::take(promises);
        self.phase = Phase::Leading;
        Some(self.recover(&promises, quorums, learner))
    }

    /// What may be proposed, for every slot that somebody in the quorum voted in and for the gaps between.
    fn recover(
        &mut self,
        promises: &BTreeMap<NodeId, Promise<C>>,
        quorums: &FastQuorumSystem,
        learner: &Learner<C>,
    ) -> Recovery<C> {
        let chosen = promises.iter().map(|(node, promise)| (promise.chosen, *node)).max();
        let chosen = chosen.filter(|_| !mutant!(ChosenPrefixIgnored));
        let base = chosen.map_or(Slot::ZERO, |(slot, _)| slot).max(learner.through());
        let highest = promises.values().filter_map(|promise| promise.reports.last()).map(|(slot, _)| *slot);
        // What was learned during phase 1 is no place for anything new either.
        let known = learner.chosen_from(base).last().map(|(slot, _)| slot);
        let recovered = highest.chain(known).fold(base, Slot::max);
        self.next_slot = if mutant!(RecoveredSlotsReused) { base.next() } else { recovered.next() };
        let chosen = chosen.filter(|(slot, _)| *slot > learner.through());
        let mut recovery = Recovery { learned: Vec::new(), proposals: Vec::new(), chosen };
        let mut slot = base.next();
        while slot <= recovered {
            if learner.is_chosen(slot) {
            } else if let Some(entry) = promises.values().find_map(|promise| chosen_in(promise, slot)) {
                recovery.learned.push((slot, entry.clone()));
            } else if let Some(entry) = self.choose(slot, promises, quorums) {
                self.in_flight.insert(slot, entry.clone());
                recovery.proposals.push((slot, entry));
            }
            slot = slot.next();
        }
        mark!(ChosenSlotRecovered if !recovery.learned.is_empty());
        recovery
    }

    /// What the classic round of the ballot must or may carry in `slot`. In a gap that is a no-op; where votes are divided
    /// and none can have been chosen, one of the values voted for, for somebody wants it.
    fn choose(
        &self,
        slot: Slot,
        promises: &BTreeMap<NodeId, Promise<C>>,
        quorums: &FastQuorumSystem,
    ) -> Option<Entry<C>> {
        let reports = || promises.values().map(|promise| vote_in(promise, slot));
        match choose_fast(quorums, Round::open(self.ballot), reports()) {
            Choice::Bound(entry) => {
                mark!(VotedValueTakenOver);
                Some(entry)
            }
            Choice::Free => match reports().flatten().next() {
                Some(vote) => Some(vote.value.clone()),
                None if mutant!(GapLeft) => None,
                None => {
                    mark!(GapFilledWithNoop);
                    Some(Entry::Noop)
                }
            },
        }
    }

    /// The next slot of its own, if there is room.
    pub fn next_own(&mut self, learner: &Learner<C>) -> Option<Slot> {
        if !self.is_leading() || self.in_flight.len() >= IN_FLIGHT_MAX {
            return None;
        }
        self.skip(learner);
        let slot = self.next_slot;
        self.next_slot = slot.next();
        Some(slot)
    }

    /// What is known to be chosen, by a higher ballot, is no place for anything new.
    fn skip(&mut self, learner: &Learner<C>) {
        self.next_slot = self.next_slot.max(learner.through().next());
        while learner.is_chosen(self.next_slot) {
            self.next_slot = self.next_slot.next();
        }
    }

    /// The classic round carries `entry` in a slot of its own.
    ///
    /// # Panics
    /// If it carries something there already.
    pub fn propose(&mut self, slot: Slot, entry: Entry<C>) {
        let before = self.in_flight.insert(slot, entry);
        assert!(before.is_none(), "{} would carry a second value in {slot}", self.ballot);
    }

    /// Opens the slots behind all that are used, or more of them: `WINDOW` slots ahead of `used`. Returns whether more
    /// are open now.
    pub fn extend(&mut self, used: Slot, learner: &Learner<C>) -> bool {
        if !self.is_leading() {
            return false;
        }
        if !self.grant.is_open() {
            self.skip(learner);
            self.grant.from = self.next_slot;
            self.grant.to = self.next_slot;
        }
        // Who is behind with learning holds the window up: what is open and not chosen is bounded.
        let ahead = used.0.min(learner.through().0 + WINDOW) + 1 + WINDOW;
        let to = Slot(ahead.max(self.grant.from.0 + WINDOW));
        if to.0 < self.grant.to.0 + WINDOW / 2 {
            return false;
        }
        let mut slot = self.grant.to;
        while slot < to {
            if !learner.is_chosen(slot) {
                self.open.insert(slot);
            }
            slot = slot.next();
        }
        self.grant.to = to;
        self.grant.number += 1;
        if !mutant!(FastLogOpenSlotTakenForOwn) {
            self.next_slot = self.next_slot.max(to);
        }
        true
    }

    /// Asks writers to leave what is open. Returns whether anything was.
    pub fn withdraw(&mut self) -> bool {
        let was_open = self.grant.is_open();
        if was_open {
            self.grant.from = self.grant.to;
            self.grant.number += 1;
        }
        was_open
    }

    /// Coordinated recovery: takes `votes`, those of the fast round of an open slot, for promises of the classic one
    /// behind. Returns what that carries, if they are enough.
    pub fn close(
        &mut self,
        slot: Slot,
        votes: &Votes<Entry<C>>,
        quorums: &FastQuorumSystem,
    ) -> Option<Entry<C>> {
        let needed = if mutant!(FastCollisionSeenByTooFew) { 2 } else { quorums.classic_size() };
        if votes.len() < needed || !self.open.remove(&slot) {
            return None;
        }
        let entry = match mutant!(FastLogClosedWithNoop) {
            true => Entry::Noop,
            false => pick(quorums, Round::closed(self.ballot), Round::open(self.ballot), votes),
        };
        self.in_flight.insert(slot, entry.clone());
        Some(entry)
    }

    /// A slot is chosen, with this ballot or, if it is lost, with a higher one.
    pub fn settle(&mut self, slot: Slot) {
        self.open.remove(&slot);
        self.in_flight.remove(&slot);
    }

    /// What was chosen up to `through` is not known any more.
    pub fn forget_through(&mut self, through: Slot) {
        self.open = self.open.split_off(&through.next());
        self.in_flight = self.in_flight.split_off(&through.next());
        self.next_slot = self.next_slot.max(through.next());
    }
}

fn report_of<C>(promise: &Promise<C>, slot: Slot) -> Option<&Report<C>> {
    let index = promise.reports.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
    Some(&promise.reports[index].1)
}

fn chosen_in<C>(promise: &Promise<C>, slot: Slot) -> Option<&Entry<C>> {
    match report_of(promise, slot)? {
        Report::Chosen(entry) => Some(entry),
        Report::Vote(_) => None,
    }
}

fn vote_in<C>(promise: &Promise<C>, slot: Slot) -> Option<&Vote<Entry<C>>> {
    match report_of(promise, slot)? {
        Report::Vote(vote) => Some(vote),
        Report::Chosen(_) => None,
    }
}
