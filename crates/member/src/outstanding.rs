//! The submissions of this member's clients that are not known to be chosen.
//!
//! They are offered to the leader, and again to the next one, and again when no answer comes: since the
//! state machine applies an identity once, repeating is harmless. Before the member's incarnation is
//! registered in the log nothing else is offered: it would be refused.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};

use crate::submission::{Body, Submission};
use crate::voter::{Sequence, WriteFailure};

/// The sequence of the registration; clients' come after it.
const REGISTRATION: u64 = 0;

/// Submissions in flight, at most.
const COUNT_MAX: usize = 20_000;

/// Bytes in flight, at most.
const BYTES_MAX: usize = 128 << 20;

/// Bytes of one command, at most.
const COMMAND_BYTES_MAX: usize = 64 << 20;

/// An offer not chosen by then may be lost.
const OFFER_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Outstanding {
    origin: NodeId,
    incarnation: Incarnation,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    registered: bool,
    /// From this sequence on nothing was offered to the leader of `offered_to`.
    unoffered: u64,
    offered_to: Option<Ballot>,
    offered_at: Time,
}

#[derive(Clone, Debug)]
struct Waiting {
    body: Body,
    since: Time,
    /// Whether any leader was offered it: it may then be chosen at any time, however long it is silent.
    offered: bool,
}

impl Outstanding {
    pub(crate) fn new(origin: NodeId, incarnation: Incarnation, now: Time) -> Outstanding {
        let registration = Waiting { body: Body::Register, since: now, offered: false };
        Outstanding {
            origin,
            incarnation,
            next: REGISTRATION + 1,
            waiting: BTreeMap::from([(REGISTRATION, registration)]),
            bytes: 0,
            registered: false,
            unoffered: REGISTRATION,
            offered_to: None,
            offered_at: now,
        }
    }

    pub(crate) fn submit(&mut self, now: Time, command: Bytes) -> Result<Sequence, WriteFailure> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(WriteFailure::TooLarge);
        }
        if self.waiting.len() >= COUNT_MAX || self.bytes + command.len() > BYTES_MAX {
            mark!(WriteRefusedUnderLoad);
            return Err(WriteFailure::TooManyRequests);
        }
        let sequence = self.next;
        self.next += 1;
        self.bytes += command.len();
        let waiting = Waiting { body: Body::Store(command), since: now, offered: false };
        self.waiting.insert(sequence, waiting);
        Ok(Sequence(sequence))
    }

    /// What to offer to the leader of `ballot` now: what it was not offered yet, or all after a while.
    pub(crate) fn offer(&mut self, now: Time, ballot: Ballot) -> Vec<Submission> {
        let again = !mutant!(WriteOfferedOnce);
        if again && self.offered_to != Some(ballot) {
            mark!(WriteOfferedToNewLeader if self.offered_to.is_some() && !self.waiting.is_empty());
            self.offered_to = Some(ballot);
            self.unoffered = REGISTRATION;
            self.offered_at = now;
        } else if again && now - self.offered_at >= OFFER_AGAIN {
            self.offered_at = now;
            let lost = |waiting: &Waiting| now - waiting.since >= OFFER_AGAIN;
            if self.waiting.values().next().is_some_and(lost) {
                self.unoffered = REGISTRATION;
            }
        }
        let floor =
            self.waiting.keys().find(|sequence| **sequence > REGISTRATION).copied().unwrap_or(self.next);
        let end = if self.registered { self.next } else { REGISTRATION + 1 };
        let (origin, incarnation) = (self.origin, self.incarnation);
        let offered = self.waiting.range_mut(self.unoffered.min(end)..end).map(|(sequence, waiting)| {
            waiting.offered = true;
            Submission { origin, incarnation, sequence: *sequence, floor, body: waiting.body.clone() }
        });
        let offered = offered.collect();
        self.unoffered = self.unoffered.max(end);
        offered
    }

    /// Whether `submission`, which was chosen, is one of this process; then it is no longer offered.
    pub(crate) fn settle(&mut self, submission: &Submission) {
        if submission.origin != self.origin || submission.incarnation != self.incarnation {
            return;
        }
        self.registered |= submission.body == Body::Register;
        self.remove(submission.sequence);
    }

    fn remove(&mut self, sequence: u64) {
        if let Some(Waiting { body: Body::Store(command), .. }) = self.waiting.remove(&sequence) {
            self.bytes -= command.len();
        }
    }

    /// When the oldest has waited for `timeout`.
    pub(crate) fn next_timeout(&self, timeout: Duration) -> Option<Time> {
        self.clients().next().map(|(_, waiting)| waiting.since + timeout)
    }

    /// Gives up what has waited for `timeout`. What was offered may still be chosen; what was not never will be,
    /// since it is forgotten here.
    pub(crate) fn expire(&mut self, now: Time, timeout: Duration) -> Vec<(Sequence, WriteFailure)> {
        let expired = self.clients().take_while(|(_, waiting)| waiting.since + timeout <= now);
        let failure = |waiting: &Waiting| {
            let refused = !waiting.offered || mutant!(RefusedAfterOffer);
            if refused { WriteFailure::NotOffered } else { WriteFailure::TimedOut }
        };
        let expired: Vec<_> =
            expired.map(|(sequence, waiting)| (Sequence(*sequence), failure(waiting))).collect();
        for (sequence, failure) in &expired {
            mark!(WriteNeverOffered if *failure == WriteFailure::NotOffered);
            self.remove(sequence.0);
        }
        expired
    }

    fn clients(&self) -> impl Iterator<Item = (&u64, &Waiting)> {
        self.waiting.range(REGISTRATION + 1..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn what_no_leader_was_offered_is_refused_and_of_what_one_was_the_outcome_is_unknown() {
        let leader = Ballot { round: 1, node: NodeId(2) };
        let mut outstanding = Outstanding::new(NodeId(1), Incarnation::numbered(1), Time::ZERO);
        let early = outstanding.submit(Time::ZERO, "early".into()).unwrap();
        let registration = outstanding.offer(Time::ZERO, leader);
        assert!(
            registration.iter().all(|submission| submission.body == Body::Register),
            "nothing goes before it"
        );
        registration.iter().for_each(|submission| outstanding.settle(submission));
        assert_eq!(outstanding.offer(Time::ZERO, leader).len(), 1);
        // The leader is gone before it hears of this one.
        let late = outstanding.submit(Time::ZERO, "late".into()).unwrap();
        let given_up = outstanding.expire(Time::ZERO + TIMEOUT, TIMEOUT);
        assert_eq!(given_up, [(early, WriteFailure::TimedOut), (late, WriteFailure::NotOffered)]);
        assert_eq!(outstanding.offer(Time::ZERO + TIMEOUT, leader), [], "what was refused is never offered");
    }
}
