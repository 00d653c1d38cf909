//! A node: the timeless [`Core`] and the deadlines that make it live.

use std::sync::Arc;
use std::time::Duration;

use synod_probe::mark;

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::fast::coordinator::Phase;
use crate::fast::core::{Core, Output};
use crate::fast::message::Message;
use crate::fast::options::{Kind, Options};
use crate::fast::record::Record;
use crate::fast::rejection::Rejection;
use crate::node::NodeId;
use crate::quorum::FastQuorumSystem;
use crate::synod::Value;
use crate::time::Time;

/// All roles of one node, with their deadlines.
///
/// The first ballot is fast. Whoever finds that a value was not chosen in time runs a classic one: collisions do not
/// go on for ever.
#[derive(Clone, Debug)]
pub struct Node<V> {
    core: Core<V>,
    patience: Duration,
    backoff: Backoff,
    /// Whether this node was asked to find out what was chosen, heard of votes or not.
    curious: bool,
    wait: Option<Wait>,
}

/// What the node waits for.
#[derive(Clone, Debug)]
struct Wait {
    stage: Stage,
    asked: u32,
    /// Whether the ballot is given up, and the next one only waits for its time.
    beaten: bool,
    until: Time,
}

/// The ballot under way and its phase: waiting starts over when one of them changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Preparing(Ballot),
    Open(Ballot),
    Closed(Ballot),
}

/// How often a node asks before it tries something else.
const ASKED_MAX: u32 = 2;

impl<V: Value> Node<V> {
    /// The node that wrote `records`, in this order; none if it starts for the first time. `seed` decides
    /// its random waiting times: another one on every node and start.
    ///
    /// # Panics
    /// If `id` is not in the group, or no acceptor can have written the records.
    pub fn new(
        id: NodeId,
        quorums: Arc<FastQuorumSystem>,
        options: Options,
        records: &[Record<V>],
        seed: u64,
    ) -> Node<V> {
        Node {
            core: Core::new(id, quorums, options, records),
            patience: options.patience,
            backoff: Backoff::new(seed),
            curious: false,
            wait: None,
        }
    }

    /// The node without its deadlines.
    pub fn core(&self) -> &Core<V> {
        &self.core
    }

    /// Opens a fast round before anybody has proposed: then values are chosen two message delays after that.
    /// Returns whether it could start one.
    pub fn lead(&mut self, now: Time) -> bool {
        let started = self.core.start_ballot(Kind::Fast);
        self.look_around(now);
        started
    }

    /// Proposes `value`: it, or another node's, will be chosen if a quorum stays up long enough. If this node has
    /// heard of no ballot, it opens a fast round itself.
    ///
    /// # Errors
    /// The value itself if this node has a candidate already.
    pub fn propose(&mut self, now: Time, value: V) -> Result<(), V> {
        let taken = self.core.propose(value);
        if taken.is_ok()
            && self.core.acceptor().promised().ballot.is_zero()
            && self.core.coordinator().is_idle()
        {
            self.core.start_ballot(Kind::Fast);
        }
        self.look_around(now);
        taken
    }

    /// Finds out what was chosen, even if no vote was heard of: asks until somebody knows. Nothing more is needed:
    /// if something was chosen, those who voted for it find out by a ballot.
    pub fn learn(&mut self, now: Time) {
        self.curious = true;
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
        self.wait.as_ref().map(|wait| wait.until)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        let doubtful = self.is_doubtful();
        let Some(wait) = self.wait.as_mut().filter(|wait| wait.until <= now) else { return };
        let again = wait.asked < ASKED_MAX && !wait.beaten;
        if self.core.is_unsynced() {
            // Another ballot would only queue behind the write that is late.
            wait.until = now + self.patience;
        } else if wait.stage == Stage::Nothing && !doubtful {
            wait.until = now + self.backoff.between(self.patience * 2, self.patience * 4);
            self.core.inquire();
        } else if again {
            wait.asked += 1;
            wait.until = now + self.patience;
            if wait.stage == Stage::Nothing {
                self.core.inquire();
            }
            self.core.ask_again();
        } else if self.core.close_round() {
            mark!(FastRoundClosedLate);
        } else if !wait.beaten && wait.stage != Stage::Nothing {
            self.back_off(now);
        } else {
            mark!(FastFellBack if !self.core.acceptor().promised().ballot.is_zero());
            self.wait = None;
            if !self.core.start_ballot(Kind::Classic) {
                self.core.ask_again();
            }
        }
        self.look_around(now);
    }

    fn back_off(&mut self, now: Time) {
        let until = now + self.backoff.after_failure(self.patience);
        if let Some(wait) = &mut self.wait {
            (wait.beaten, wait.until) = (true, until);
        }
    }

    /// Whether something may have been chosen, or should be: reason enough to run a ballot.
    fn is_doubtful(&self) -> bool {
        let voted = self.core.acceptor().vote().is_some();
        voted || self.core.wish().is_some() || self.core.learner().is_in_doubt()
    }

    /// Whether there is anything to wait for. An open round that nobody wants is left open.
    fn is_wanted(&self) -> bool {
        let busy = matches!(self.core.coordinator().phase(), Phase::Preparing { .. } | Phase::Closed { .. });
        self.is_doubtful() || self.curious || busy
    }

    /// Notices what a call changed and adjusts the deadline to it.
    fn look_around(&mut self, now: Time) {
        if self.core.chosen().is_some() || !self.is_wanted() {
            self.wait = None;
            return;
        }
        let coordinator = self.core.coordinator();
        let ballot = coordinator.ballot();
        let stage = match coordinator.phase() {
            Phase::Idle => Stage::Nothing,
            Phase::Preparing { .. } => Stage::Preparing(ballot),
            Phase::Open { .. } => Stage::Open(ballot),
            Phase::Closed { .. } => Stage::Closed(ballot),
        };
        let hopeless = coordinator.is_hopeless();
        match &self.wait {
            Some(wait) if wait.stage == stage && wait.beaten => {}
            Some(wait) if wait.stage == stage => {
                if hopeless {
                    self.back_off(now);
                }
            }
            _ => {
                let until = match stage {
                    // Another's ballot is given time to end well.
                    Stage::Nothing => now + self.backoff.between(self.patience, self.patience * 3),
                    _ => now + self.patience,
                };
                self.wait = Some(Wait { stage, asked: 1, beaten: false, until });
            }
        }
    }
}
