//! A node: the timeless [`Core`] and the deadlines that make it live.

use std::sync::Arc;

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::node::NodeId;
use crate::synod::Value;
use crate::synod::core::{Core, Output};
use crate::synod::learner::Learner;
use crate::synod::message::Message;
use crate::synod::options::{Group, Options};
use crate::synod::proposer::Phase;
use crate::synod::record::Record;
use crate::synod::rejection::Rejection;
use crate::time::Time;

/// The roles of one node, with their deadlines.
#[derive(Clone, Debug)]
pub struct Node<V> {
    core: Core<V>,
    timing: Timing,
}

#[derive(Clone, Debug)]
struct Timing {
    options: Options,
    backoff: Backoff,
    proposing: Option<Proposing>,
    /// Whether this node was asked to find out what was chosen, heard of votes or not.
    curious: bool,
    inquire_at: Option<Time>,
    inquiries: usize,
}

/// What the proposer waits for. `Step` tells when it got there.
#[derive(Clone, Debug)]
enum Proposing {
    Answers { step: Step, asked: u32, until: Time },
    BackOff { step: Step, until: Time },
}

/// The ballot under way, and whether it is in phase 2.
type Step = (Ballot, bool);

/// How often a proposer asks with one ballot: whoever says nothing may have refused in silence.
const ASKED_MAX: u32 = 2;

impl<V: Value> Node<V> {
    /// The node that wrote `records`, in this order; none if it starts for the first time. `seed` decides
    /// its random waiting times: another one on every node and start.
    ///
    /// # Panics
    /// If `id` has no role in `group`, or no acceptor can have written the records.
    pub fn new(id: NodeId, group: Arc<Group>, options: Options, records: &[Record<V>], seed: u64) -> Node<V> {
        let timing = Timing {
            options,
            backoff: Backoff::new(seed),
            proposing: None,
            curious: false,
            inquire_at: None,
            inquiries: 0,
        };
        Node { core: Core::new(id, group, options, records), timing }
    }

    /// The node without its deadlines.
    pub fn core(&self) -> &Core<V> {
        &self.core
    }

    /// Proposes `value`: it, or another proposer's, will be chosen if a quorum stays up long enough.
    ///
    /// # Errors
    /// The value itself if this node is no proposer or has a candidate already.
    pub fn propose(&mut self, now: Time, value: V) -> Result<(), V> {
        let taken = self.core.propose(value);
        self.look_around(now);
        taken
    }

    /// Finds out what was chosen, even if no vote was heard of: has a higher ballot run if nobody knows.
    /// Only a learner can want this.
    pub fn learn(&mut self, now: Time) {
        self.timing.curious = true;
        self.inquire(now);
        self.look_around(now);
    }

    /// Takes a message; `from` is who sent it, as the transport knows.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it here.
    pub fn handle_message(&mut self, now: Time, from: NodeId, message: Message<V>) -> Result<(), Rejection> {
        let handled = self.core.handle_message(from, message);
        self.look_around(now);
        handled
    }

    /// Everything up to `token` is on disk.
    pub fn handle_persisted(&mut self, now: Time, token: Token) {
        self.core.handle_persisted(token);
        self.look_around(now);
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<V>> {
        self.core.poll_output()
    }

    /// When to call `handle_timeout` next, if at all.
    pub fn next_timeout(&self) -> Option<Time> {
        let proposing = self.timing.proposing.as_ref().map(Proposing::until);
        proposing.into_iter().chain(self.timing.inquire_at).min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.timing.proposing.as_ref().is_some_and(|proposing| proposing.until() <= now) {
            self.propose_on(now);
        }
        if self.timing.inquire_at.is_some_and(|at| at <= now) {
            self.inquire(now);
        }
        self.look_around(now);
    }

    fn propose_on(&mut self, now: Time) {
        let patience = self.timing.options.patience;
        match &mut self.timing.proposing {
            Some(Proposing::Answers { step, asked, until }) => {
                if *asked >= ASKED_MAX {
                    let step = *step;
                    self.timing.back_off(now, step);
                } else {
                    *asked += 1;
                    *until = now + patience;
                    self.core.ask_again();
                }
            }
            // Another ballot would only queue behind the write that is late.
            Some(Proposing::BackOff { until, .. }) if self.core.is_unsynced() => *until = now + patience,
            Some(Proposing::BackOff { .. }) => {
                self.timing.proposing = None;
                if !self.core.start_ballot() {
                    self.core.ask_again();
                }
            }
            None => {}
        }
    }

    /// Asks one proposer after the other: if all ran a ballot at once, they would only be in each other's way.
    fn inquire(&mut self, now: Time) {
        self.timing.put_off_inquiry(now);
        let proposers = self.core.group().proposers();
        let next = proposers.iter().nth(self.timing.inquiries % proposers.len()).copied();
        self.timing.inquiries += 1;
        if let Some(proposer) = next {
            self.core.inquire(proposer);
        }
    }

    /// Notices what a call changed and adjusts the deadlines to it.
    fn look_around(&mut self, now: Time) {
        if self.core.chosen().is_some() {
            self.timing.proposing = None;
            self.timing.inquire_at = None;
            return;
        }
        if let Some(learner) = self.core.learner()
            && (self.timing.curious || Learner::is_in_doubt(learner))
            && self.timing.inquire_at.is_none()
        {
            self.timing.put_off_inquiry(now);
        }
        let Some(proposer) = self.core.proposer() else { return };
        let step = (proposer.ballot(), matches!(proposer.phase(), Phase::Accepting { .. }));
        match &self.timing.proposing {
            _ if proposer.is_idle() => self.timing.proposing = None,
            Some(Proposing::BackOff { step: known, .. }) if *known == step => {}
            _ if proposer.is_hopeless() => self.timing.back_off(now, step),
            Some(Proposing::Answers { step: known, .. }) if *known == step => {}
            _ => {
                let until = now + self.timing.options.patience;
                self.timing.proposing = Some(Proposing::Answers { step, asked: 1, until });
            }
        }
    }
}

impl Timing {
    fn back_off(&mut self, now: Time, step: Step) {
        let until = now + self.backoff.after_failure(self.options.patience);
        self.proposing = Some(Proposing::BackOff { step, until });
    }

    /// Long enough for a ballot under way to end well.
    fn put_off_inquiry(&mut self, now: Time) {
        let patience = self.options.patience;
        self.inquire_at = Some(now + self.backoff.between(patience * 2, patience * 4));
    }
}

impl Proposing {
    fn until(&self) -> Time {
        match self {
            Proposing::Answers { until, .. } | Proposing::BackOff { until, .. } => *until,
        }
    }
}
