//! The acceptor: the memory of the group.

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::fast::message::Message;
use crate::fast::record::Record;
use crate::fast::round::{Round, Vote};
use crate::synod::Value;

/// All an acceptor needs to remember, and all of it is durable: `rnd`, `vrnd` and `vval` of the paper.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<V> {
    promised: Round,
    vote: Option<Vote<V>>,
}

/// What kind of answer a sealed message is: enough to know who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// A promise, for the coordinator.
    Promise,
    /// A vote, for everybody.
    Vote,
    /// A refusal, for the coordinator. It may as well not be sent.
    Refusal,
}

/// An answer, and what must be durable before it may leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer<V> {
    /// Who is concerned.
    pub kind: AnswerKind,
    /// The answer. It reveals the promise or the vote, so it waits for `record` and for every record before.
    pub message: Sealed<Message<V>>,
    /// What to write, if the acceptor's memory changed.
    pub record: Option<Record<V>>,
}

impl<V: Value> Default for Acceptor<V> {
    fn default() -> Acceptor<V> {
        Acceptor { promised: Round::ZERO, vote: None }
    }
}

impl<V: Value> Acceptor<V> {
    /// The acceptor that wrote `records`; records of other roles are passed over.
    ///
    /// # Panics
    /// If a promise or a vote lies below a promise written before: no acceptor wrote that.
    pub fn recover<'a>(records: impl IntoIterator<Item = &'a Record<V>>) -> Acceptor<V>
    where
        V: 'a,
    {
        let mut acceptor = Acceptor::default();
        for record in records {
            let promised = match record {
                Record::Used(_) => continue,
                Record::Promised(_) if mutant!(FastPromiseForgotten) => continue,
                Record::Promised(ballot) => Round::open(*ballot),
                Record::Voted(vote) => {
                    acceptor.vote = (!mutant!(FastVoteForgotten)).then(|| vote.clone());
                    vote.round
                }
            };
            assert!(
                promised >= acceptor.promised,
                "{record:?} was written after a promise of {}",
                acceptor.promised
            );
            acceptor.promised = promised;
        }
        acceptor
    }

    /// Nothing below this gets a vote. Perhaps not durable yet.
    pub fn promised(&self) -> Round {
        self.promised
    }

    /// The vote with the highest round. Perhaps not durable yet.
    pub fn vote(&self) -> Option<&Vote<V>> {
        self.vote.as_ref()
    }

    /// Whether a vote in `round` would be the first one there and break no promise.
    pub fn may_vote(&self, round: Round) -> bool {
        let voted = self.vote.as_ref().is_some_and(|vote| vote.round == round);
        (round >= self.promised || mutant!(FastPromiseIgnored)) && (!voted || mutant!(FastVotedTwice))
    }

    /// Phase 1b: promises `ballot` unless a higher one was promised.
    ///
    /// Asked again, it answers again, for the first answer may have been lost: with the same promise, or, if it
    /// has voted with the ballot since, with the vote.
    pub fn handle_prepare(&mut self, ballot: Ballot) -> Answer<V> {
        let round = Round::open(ballot);
        if let Some(vote) = self.vote_with(ballot) {
            return Self::tell(vote, None);
        }
        if round < self.promised && !mutant!(PromiseLowered) {
            return self.refuse(ballot);
        }
        let record = (round > self.promised).then_some(Record::Promised(ballot));
        let mut vote = self.vote.clone();
        if mutant!(PromisedReportedAsVoted) && round > self.promised {
            vote.iter_mut().for_each(|vote| vote.round = self.promised);
        }
        self.promised = round;
        let message = Sealed::new(Message::Promise { ballot, vote });
        Answer { kind: AnswerKind::Promise, message, record }
    }

    /// Phase 2b: votes for `value` in `round`, once, unless a higher round was promised. The caller knows that the
    /// coordinator allows it. Voting raises the promise: an acceptor may vote that never saw the `Prepare`.
    ///
    /// Asked again in a fast round it tells again of its vote, whatever `value` is: a second one could choose a
    /// second value.
    ///
    /// # Panics
    /// If a classic round carried another value before: it carries one for ever.
    pub fn vote_in(&mut self, round: Round, value: V) -> Answer<V> {
        if let Some(vote) = self.vote_with(round.ballot)
            && vote.round >= round
            && !(mutant!(FastVotedTwice) && round.is_fast() && vote.round == round && vote.value != value)
        {
            assert!(
                round.is_fast() || vote.value == value,
                "{round} carries two values: {:?} and {value:?}",
                vote.value
            );
            mark!(FastAnyCameAgain if round.is_fast());
            return Self::tell(vote, None);
        }
        if round < self.promised && !mutant!(FastPromiseIgnored) {
            return self.refuse(round.ballot);
        }
        mark!(PromiseRaisedByAccept if round.ballot > self.promised.ballot);
        if !mutant!(FastVoteKeepsPromise) {
            self.promised = self.promised.max(round);
        }
        let vote = self.vote.insert(Vote { round, value });
        Self::tell(vote, Some(Record::Voted(vote.clone())))
    }

    /// The latest vote, if it was cast with `ballot`.
    fn vote_with(&self, ballot: Ballot) -> Option<&Vote<V>> {
        self.vote.as_ref().filter(|vote| vote.round.ballot == ballot && self.promised.ballot <= ballot)
    }

    fn tell(vote: &Vote<V>, record: Option<Record<V>>) -> Answer<V> {
        Answer { kind: AnswerKind::Vote, message: Sealed::new(Message::Accepted(vote.clone())), record }
    }

    fn refuse(&self, ballot: Ballot) -> Answer<V> {
        mark!(LowerBallotRefused);
        let message = Sealed::new(Message::Nack { ballot, promised: self.promised.ballot });
        Answer { kind: AnswerKind::Refusal, message, record: None }
    }
}
