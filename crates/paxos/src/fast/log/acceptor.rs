//! The acceptor: one promise for all slots, and in every slot one vote a round.

use std::collections::BTreeMap;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::fast::acceptor::AnswerKind;
use crate::fast::log::message::{Message, Promise, Report};
use crate::fast::log::record::Record;
use crate::fast::round::{Round, Vote};
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::slot::Slot;

/// An acceptor's memory, all of it durable.
///
/// Nothing below the fast round of the promised ballot gets a vote, and in a slot nothing below the vote there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<C> {
    promised: Ballot,
    /// Of each slot the vote with the highest round.
    votes: BTreeMap<Slot, Vote<Entry<C>>>,
}

/// An answer, and what must be durable before it may leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer<C> {
    /// Who is concerned.
    pub kind: AnswerKind,
    /// The answer. It reveals the promise or a vote.
    pub message: Sealed<Message<C>>,
    /// Whether the promise was raised.
    pub promise_raised: bool,
    /// What to write, if the acceptor's memory changed.
    pub record: Option<Record<C>>,
}

impl<C: Command> Acceptor<C> {
    /// The acceptor that promised this and cast these votes.
    ///
    /// # Panics
    /// If a vote lies above the promise: voting raises it.
    pub fn recover(promised: Ballot, votes: BTreeMap<Slot, Vote<Entry<C>>>) -> Acceptor<C> {
        for (slot, vote) in &votes {
            assert!(vote.round.ballot <= promised, "voted {} in {slot} and promised {promised}", vote.round);
        }
        Acceptor { promised, votes }
    }

    /// No vote for anything below this ballot. Perhaps not durable yet.
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// The vote in `slot` with the highest round, if it is still held.
    pub fn vote(&self, slot: Slot) -> Option<&Vote<Entry<C>>> {
        self.votes.get(&slot)
    }

    /// The votes from `slot` on, in order.
    pub fn votes_from(&self, slot: Slot) -> impl DoubleEndedIterator<Item = (Slot, &Vote<Entry<C>>)> {
        self.votes.range(slot..).map(|(slot, vote)| (*slot, vote))
    }

    /// Phase 1b: promises `ballot` for every slot unless a higher one was promised, and tells of those from `from` on.
    ///
    /// Asked again, it promises again: nothing it promised or voted before is forgotten.
    pub fn handle_prepare(&mut self, ballot: Ballot, from: Slot, learner: &Learner<C>) -> Answer<C> {
        if ballot < self.promised && !mutant!(PromiseLowered) {
            return self.refuse(ballot);
        }
        let promise_raised = ballot > self.promised;
        let before = std::mem::replace(&mut self.promised, ballot);
        let chosen = if mutant!(TruncatedReportedAsNothing) { Slot::ZERO } else { learner.through() };
        mark!(TruncatedSlotReported if learner.truncated() >= from);
        let first = from.max(chosen.next());
        let votes = self.votes_from(first).map(|(slot, vote)| (slot, vote.clone()));
        let mut reports: BTreeMap<Slot, Report<C>> = votes
            .map(|(slot, mut vote)| {
                if mutant!(PromisedReportedAsVoted) && promise_raised {
                    vote.round = Round::open(before);
                }
                (slot, Report::Vote(vote))
            })
            .collect();
        reports.extend(learner.chosen_from(first).map(|(slot, entry)| (slot, Report::Chosen(entry.clone()))));
        if mutant!(OnlyFirstSlotReported) {
            reports.retain(|slot, _| *slot == first);
        }
        let promise = Promise { ballot, from, chosen, reports: reports.into_iter().collect() };
        let message = Sealed::new(Message::Promise(promise));
        let record = promise_raised.then_some(Record::Promised(ballot));
        Answer { kind: AnswerKind::Promise, message, promise_raised, record }
    }

    /// Phase 2b: votes for `entry` in `round` of `slot`, once, unless a higher ballot was promised. The caller knows that
    /// the round's leader allows it. Voting raises the promise.
    ///
    /// Asked again in a fast round, or late in one behind which it has voted, it tells again of its vote, whatever
    /// `entry` is.
    ///
    /// # Panics
    /// If a classic round carried another value before: it carries one for ever.
    pub fn vote_in(&mut self, slot: Slot, round: Round, entry: Entry<C>) -> Answer<C> {
        if round.ballot < self.promised && !mutant!(FastPromiseIgnored) {
            return self.refuse(round.ballot);
        }
        if let Some(vote) = self.votes.get(&slot)
            && vote.round.ballot == round.ballot
            && vote.round >= round
            && !(mutant!(FastVotedTwice) && round.is_fast() && vote.round == round && vote.value != entry)
        {
            assert!(
                round.is_fast() || vote.value == entry,
                "{round} carries two values in {slot}: {:?} and {entry:?}",
                vote.value
            );
            mark!(FastAnyCameAgain if round.is_fast() && vote.value == entry);
            return Self::tell(slot, vote.clone(), false, None);
        }
        let promise_raised = round.ballot > self.promised;
        mark!(PromiseRaisedByAccept if promise_raised);
        if !mutant!(FastVoteKeepsPromise) {
            self.promised = self.promised.max(round.ballot);
        }
        let vote = Vote { round, value: entry };
        self.votes.insert(slot, vote.clone());
        Self::tell(slot, vote.clone(), promise_raised, Some(Record::Voted { slot, vote }))
    }

    fn tell(slot: Slot, vote: Vote<Entry<C>>, promise_raised: bool, record: Option<Record<C>>) -> Answer<C> {
        let message = Sealed::new(Message::Accepted { votes: vec![(slot, vote)] });
        Answer { kind: AnswerKind::Vote, message, promise_raised, record }
    }

    fn refuse(&self, ballot: Ballot) -> Answer<C> {
        mark!(LowerBallotRefused);
        let message = Sealed::new(Message::Nack { ballot, promised: self.promised });
        Answer { kind: AnswerKind::Refusal, message, promise_raised: false, record: None }
    }

    /// Drops the votes up to `through`, which are chosen and covered by a durable state: they are reported as chosen,
    /// never as nothing.
    pub fn truncate(&mut self, through: Slot) {
        self.votes = self.votes.split_off(&through.next());
        if mutant!(TruncationDropsPromise) {
            self.promised = self.votes.values().map(|vote| vote.round.ballot).max().unwrap_or(Ballot::ZERO);
        }
    }
}
