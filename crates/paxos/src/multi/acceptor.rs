//! The acceptor: one promise for all slots, one vote a slot.

use std::collections::BTreeMap;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::durable::Sealed;
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::multi::message::{Message, Promise, Report};
use crate::multi::record::{HardState, Record};
use crate::slot::Slot;

/// An acceptor's memory. All of it is durable: what changed since the last write is in `Answer::record`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<C> {
    promised: Ballot,
    votes: BTreeMap<Slot, Vote<Entry<C>>>,
    highest_voted: Slot,
}

/// What an acceptor answers, and what must be durable before the answer may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<C> {
    /// The answer. It reveals the promise or a vote.
    pub message: Sealed<Message<C>>,
    /// Whether the promise was raised.
    pub promise_raised: bool,
    /// The vote to write, if a new one was cast.
    pub record: Option<Record<C>>,
}

impl<C: Command> Acceptor<C> {
    /// The acceptor that wrote `state` and cast `votes` (the last one of each slot).
    pub fn recover(state: HardState, votes: BTreeMap<Slot, Vote<Entry<C>>>) -> Acceptor<C> {
        for (slot, vote) in &votes {
            assert!(
                vote.ballot <= state.promised && *slot <= state.highest_voted,
                "the vote at {slot} with {} is newer than the state that was written after it: {state:?}",
                vote.ballot
            );
        }
        let mut acceptor = Acceptor { promised: state.promised, votes, highest_voted: state.highest_voted };
        if mutant!(PromiseForgotten) {
            acceptor.promised = acceptor.highest_ballot();
        }
        acceptor
    }

    /// The highest ballot among the votes: all that is left of a promise that a mutant forgets.
    fn highest_ballot(&self) -> Ballot {
        self.votes.values().map(|vote| vote.ballot).max().unwrap_or(Ballot::ZERO)
    }

    /// No proposal below this is accepted. Perhaps not durable yet.
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// The highest slot ever voted in.
    pub fn highest_voted(&self) -> Slot {
        self.highest_voted
    }

    /// The vote at `slot`, if it is still held.
    pub fn vote(&self, slot: Slot) -> Option<&Vote<Entry<C>>> {
        self.votes.get(&slot)
    }

    /// The votes from `slot` on, in order.
    pub fn votes_from(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Vote<Entry<C>>)> {
        self.votes.range(slot..).map(|(slot, vote)| (*slot, vote))
    }

    /// Phase 1b: promises `ballot` for every slot from `from` on unless a higher one was promised.
    ///
    /// Asked again, it promises again: the first answer may have been lost. Nothing it promised before and
    /// no vote is forgotten, so the second answer is as good as the first.
    pub fn handle_prepare(&mut self, ballot: Ballot, from: Slot, learner: &Learner<C>) -> Answer<C> {
        if ballot < self.promised && !mutant!(PromiseLowered) {
            return self.refuse(ballot);
        }
        let promise_raised = ballot > self.promised;
        let promised = std::mem::replace(&mut self.promised, ballot);
        // What is known to be chosen and not held is reported as the vote that is there: others may need it.
        let chosen = match () {
            () if mutant!(TruncatedReportedAsNothing) => Slot::ZERO,
            () if mutant!(KnownReportedAsChosen) => learner.heard(),
            () => learner.through(),
        };
        mark!(TruncatedSlotReported if learner.truncated() >= from);
        let first = from.max(chosen.next());
        let mut reports: BTreeMap<Slot, Report<C>> =
            self.votes_from(first).map(|(slot, vote)| (slot, Report::Vote(vote.clone()))).collect();
        reports.extend(learner.chosen_from(first).map(|(slot, entry)| (slot, Report::Chosen(entry.clone()))));
        if mutant!(PromisedReportedAsVoted) && promise_raised {
            raise_votes(&mut reports, promised);
        }
        if mutant!(OnlyFirstSlotReported) {
            reports.retain(|slot, _| *slot == first);
        }
        let promise = Promise { ballot, from, chosen, reports: reports.into_iter().collect() };
        Answer { message: Sealed::new(Message::Promise(promise)), promise_raised, record: None }
    }

    /// Phase 2b: votes unless a higher ballot was promised. Accepting raises the promise.
    ///
    /// # Panics
    /// If `ballot` carried another value in this slot before: a ballot carries one value for ever.
    pub fn handle_accept(&mut self, ballot: Ballot, slot: Slot, entry: Entry<C>) -> Answer<C> {
        if ballot < self.promised && !mutant!(PromiseIgnored) {
            return self.refuse(ballot);
        }
        let promise_raised = ballot > self.promised;
        mark!(PromiseRaisedByAccept if promise_raised);
        if !mutant!(AcceptKeepsPromise) {
            self.promised = self.promised.max(ballot);
        }
        let message = Sealed::new(Message::Accepted { ballot, slots: vec![slot] });
        match self.votes.get(&slot) {
            Some(vote) if vote.ballot == ballot => {
                assert!(
                    vote.value == entry,
                    "{ballot} carries two values in {slot}: {:?} and {entry:?}",
                    vote.value
                );
                Answer { message, promise_raised, record: None }
            }
            _ => {
                self.votes.insert(slot, Vote { ballot, value: entry.clone() });
                self.highest_voted = self.highest_voted.max(slot);
                Answer { message, promise_raised, record: Some(Record::Vote { slot, ballot, entry }) }
            }
        }
    }

    fn refuse(&self, ballot: Ballot) -> Answer<C> {
        mark!(LowerBallotRefused);
        let message = Sealed::new(Message::Nack { ballot, promised: self.promised });
        Answer { message, promise_raised: false, record: None }
    }

    /// Drops the votes up to `through`.
    ///
    /// The caller knows these slots to be chosen and covered by a durable local checkpoint: an acceptor
    /// reports them as chosen, never as nothing.
    pub fn truncate(&mut self, through: Slot) {
        self.votes = self.votes.split_off(&through.next());
        if mutant!(TruncationDropsPromise) {
            self.promised = self.highest_ballot();
        }
    }
}

/// Tells of all votes as if they had been cast with `ballot`, as a mutant does.
fn raise_votes<C>(reports: &mut BTreeMap<Slot, Report<C>>, ballot: Ballot) {
    for report in reports.values_mut() {
        if let Report::Vote(vote) = report {
            vote.ballot = ballot;
        }
    }
}
