//! The acceptor: the memory of the group.

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::durable::Sealed;
use crate::synod::Value;
use crate::synod::message::Message;
use crate::synod::record::Record;

/// All an acceptor needs to remember (*Paxos Made Simple*, §2.2), and all of it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor<V> {
    promised: Ballot,
    vote: Option<Vote<V>>,
}

/// What kind of answer a sealed message is: enough to know who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnswerKind {
    /// A promise, for the proposer.
    Promise,
    /// A vote, for the proposer and the learners.
    Vote,
    /// A refusal, for the proposer. It may as well not be sent.
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
        Acceptor { promised: Ballot::ZERO, vote: None }
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
                Record::Promised(_) if mutant!(PromiseForgotten) => continue,
                Record::Promised(ballot) => *ballot,
                Record::Voted(vote) => {
                    acceptor.vote = (!mutant!(VoteForgotten)).then(|| vote.clone());
                    vote.ballot
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
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// The vote with the highest ballot. Perhaps not durable yet.
    pub fn vote(&self) -> Option<&Vote<V>> {
        self.vote.as_ref()
    }

    /// Phase 1b: promises `ballot` unless a higher one was promised.
    ///
    /// Asked again with the promised ballot, it answers again, for the first answer may have been lost: with
    /// the same promise, or, if it has voted since, with the vote.
    pub fn handle_prepare(&mut self, ballot: Ballot) -> Answer<V> {
        if ballot < self.promised && !mutant!(PromiseLowered) {
            return self.refuse(ballot);
        }
        if let Some(vote) = &self.vote
            && vote.ballot == ballot
        {
            return Self::voted(vote, None);
        }
        let record = (ballot > self.promised).then_some(Record::Promised(ballot));
        let mut vote = self.vote.clone();
        if mutant!(PromisedReportedAsVoted) && ballot > self.promised {
            vote.iter_mut().for_each(|vote| vote.ballot = self.promised);
        }
        self.promised = ballot;
        let message = Sealed::new(Message::Promise { ballot, vote });
        Answer { kind: AnswerKind::Promise, message, record }
    }

    /// Phase 2b: votes unless a higher ballot was promised. Voting raises the promise: a proposer may get a
    /// vote from an acceptor that never saw its `Prepare`.
    ///
    /// # Panics
    /// If `ballot` carried another value before: a ballot carries one value for ever.
    pub fn handle_accept(&mut self, ballot: Ballot, value: V) -> Answer<V> {
        if ballot < self.promised && !mutant!(PromiseIgnored) {
            return self.refuse(ballot);
        }
        if let Some(vote) = &self.vote
            && vote.ballot == ballot
        {
            assert!(vote.value == value, "{ballot} carries two values: {:?} and {value:?}", vote.value);
            return Self::voted(vote, None);
        }
        mark!(PromiseRaisedByAccept if ballot > self.promised);
        if !mutant!(AcceptKeepsPromise) {
            self.promised = self.promised.max(ballot);
        }
        let vote = self.vote.insert(Vote { ballot, value });
        Self::voted(vote, Some(Record::Voted(vote.clone())))
    }

    fn voted(vote: &Vote<V>, record: Option<Record<V>>) -> Answer<V> {
        let message = Message::Accepted { ballot: vote.ballot, value: vote.value.clone() };
        Answer { kind: AnswerKind::Vote, message: Sealed::new(message), record }
    }

    fn refuse(&self, ballot: Ballot) -> Answer<V> {
        mark!(LowerBallotRefused);
        let message = Sealed::new(Message::Nack { ballot, promised: self.promised });
        Answer { kind: AnswerKind::Refusal, message, record: None }
    }
}
