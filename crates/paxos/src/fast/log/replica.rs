//! A replica: the timeless [`Core`] and the deadlines that make it live.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::fast::log::core::{self, Core};
use crate::fast::log::fallback::Fallback;
use crate::fast::log::leader::Leader;
use crate::fast::log::message::Message;
use crate::fast::log::record::Record;
use crate::fast::log::rejection::Rejection;
use crate::multi::entry::Command;
use crate::multi::stranded::Stranded;
use crate::node::NodeId;
use crate::protocol::{Output, OutputOf, Protocol, Standing, Start};
use crate::quorum::{FastQuorumError, FastQuorumSystem, QuorumError};
use crate::slot::Slot;
use crate::time::Time;

/// Slots below the durable state that are kept for others: a short absence is caught up with by them.
const SLOTS_RETAINED: u64 = 32;

/// How many rounds of heartbeats fit into the patience.
const ROUNDS: u32 = 5;

/// A node whose oldest unsynced write is older than so many times the patience does not lead if another can.
const STALLED: u32 = 4;

/// One replica, with its deadlines.
#[derive(Clone, Debug)]
pub struct Replica<C: Command> {
    core: Core<C>,
    timing: Timing,
    /// What a durable state covers.
    durable: Slot,
}

#[derive(Clone, Debug)]
struct Timing {
    patience: Duration,
    backoff: Backoff,
    round_ends: Time,
    /// When an unhappy node may offer itself.
    campaign_at: Time,
    /// When a pre-check or a phase 1 that is under way has taken too long.
    candidacy_ends: Option<Time>,
    /// The leader followed and the promise held at the last look.
    seen: (Option<Ballot>, Ballot),
    /// The ballot this node leads with, and what it saw of its writers.
    fallback: (Option<Ballot>, Fallback),
    /// What was undecided at the end of the last round: the oldest slot of its own, of the window, and written in, and
    /// the last one used.
    undecided: Undecided,
    stranded: Stranded,
    unsynced: VecDeque<(Token, Time)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Undecided {
    own: Option<Slot>,
    open: Option<Slot>,
    written: Option<Slot>,
    waiting: bool,
    used: Slot,
}

impl<C: Command> Replica<C> {
    /// The replica whose state covers everything up to `position` and that remembers `records`.
    ///
    /// # Errors
    /// If the nodes are none, or one is listed twice.
    pub fn new(start: &Start, position: Slot, records: &[Record<C>]) -> Result<Replica<C>, QuorumError> {
        let quorums =
            FastQuorumSystem::majority(start.nodes.iter().copied()).map_err(|error| match error {
                FastQuorumError::Classic(error) => error,
                other => unreachable!("the sizes follow from the number of nodes: {other}"),
            })?;
        let core = Core::new(start.id, Arc::new(quorums), position, records);
        let mut backoff = Backoff::new(start.seed);
        // Nobody is known to lead yet: the first to start need not wait a whole timeout for one.
        let wait = backoff.between(start.patience / ROUNDS, start.patience);
        let timing = Timing {
            patience: start.patience,
            backoff,
            round_ends: start.now,
            campaign_at: start.now + wait,
            candidacy_ends: None,
            seen: (None, core.acceptor().promised()),
            fallback: (None, Fallback::new(start.id, start.patience)),
            undecided: Undecided::default(),
            stranded: Stranded::default(),
            unsynced: VecDeque::new(),
        };
        Ok(Replica { core, timing, durable: position })
    }

    /// The replica without its deadlines.
    pub fn core(&self) -> &Core<C> {
        &self.core
    }

    /// The ballot this node leads with, if its phase 1 is complete.
    pub fn leads(&self) -> Option<Ballot> {
        self.core.leadership().filter(|leader| leader.is_leading()).map(Leader::ballot)
    }

    /// When windows are opened, as this node has it.
    pub fn fallback(&self) -> &Fallback {
        &self.timing.fallback.1
    }

    fn end_round(&mut self, now: Time) {
        let limit = self.timing.patience * STALLED;
        let stalled = self.timing.unsynced.front().is_some_and(|(_, since)| now - *since > limit);
        self.core.set_stalled(stalled);
        self.core.end_round();
        let leads = self.leads().is_some();
        if self.timing.stranded.end_round(leads, self.core.learner(), self.core.election()) {
            self.core.campaign(self.core.election().next_ballot());
        }
        self.see_to_the_undecided();
        if self.core.election().is_happy() {
            self.timing.put_off(now);
            self.timing.backoff.succeeded();
        } else if self.timing.campaign_at <= now && self.core.may_campaign() {
            self.timing.candidacy_ends = Some(now + self.timing.patience);
            self.core.pre_check();
        }
        self.look_around(now);
        if self.timing.fallback.1.is_due(now) && self.core.may_be_fast() && self.leads().is_some() {
            self.open_window(now);
        }
    }

    /// Asks again about what has been undecided since the round before.
    fn see_to_the_undecided(&mut self) {
        let core = &self.core;
        let leader = core.leadership();
        let undecided = Undecided {
            own: leader.and_then(|leader| leader.in_flight().keys().next().copied()),
            open: core.oldest_open(),
            written: core.writer().writing().keys().next().copied(),
            waiting: core.writer().queued() > 0,
            used: core.last_used(),
        };
        let before = std::mem::replace(&mut self.timing.undecided, undecided);
        let preparing = leader.is_some_and(|leader| !leader.is_leading());
        let stuck = |now: Option<Slot>, before: Option<Slot>| now.is_some() && now == before;
        if preparing || stuck(undecided.own, before.own) || stuck(undecided.written, before.written) {
            self.core.ask_again();
        }
        if stuck(undecided.open, before.open) {
            self.core.settle_open(before.used);
        }
        if undecided.waiting && before.waiting {
            self.core.forward_waiting();
        }
    }

    fn open_window(&mut self, now: Time) {
        self.core.open_window();
        self.timing.fallback.1.opened(now);
    }

    /// Notices what a call changed and adjusts the deadlines to it.
    fn look_around(&mut self, now: Time) {
        if self.core.take_refused() {
            let wait = self.timing.backoff.after_failure(self.timing.patience);
            self.timing.campaign_at = now + wait;
            self.timing.candidacy_ends = None;
        }
        // Who follows a leader, or has just promised to help somebody become one, gives them time.
        let seen = (self.core.election().leader(), self.core.acceptor().promised());
        if self.timing.seen != seen {
            self.timing.seen = seen;
            self.timing.put_off(now);
        }
        let leads = self.leads();
        if leads.is_some() {
            self.timing.candidacy_ends = None;
        }
        if self.timing.fallback.0 != leads {
            self.timing.fallback = (leads, Fallback::new(self.core.id(), self.timing.patience));
            self.core.take_relapse();
            if leads.is_some() && self.core.may_be_fast() {
                self.open_window(now);
            }
        }
        if self.core.take_relapse() && leads.is_some() {
            self.core.withdraw_window();
            self.timing.fallback.1.relapsed(now);
            self.core.take_relapse();
        }
    }
}

impl Timing {
    fn put_off(&mut self, now: Time) {
        self.campaign_at = now + self.backoff.between(self.patience, self.patience * 2);
    }
}

impl<C: Command + Serialize + DeserializeOwned> Protocol for Replica<C> {
    type Command = C;
    type Message = Message<C>;
    type Record = Record<C>;
    type Position = Slot;
    type Rejection = Rejection;

    const NAME: &'static str = "fast";

    fn start(start: Start, position: Slot, records: Vec<Record<C>>) -> Result<Self, QuorumError> {
        Replica::new(&start, position, &records)
    }

    fn propose(&mut self, _: Time, command: C) {
        let me = self.core.id();
        self.timing.fallback.1.note(me);
        self.core.propose(command);
    }

    fn propose_again(&mut self, now: Time, command: C) {
        if !self.core.writer().has(&command) {
            self.propose(now, command);
        }
    }

    fn handle_message(&mut self, now: Time, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        if matches!(message, Message::Forward(_) | Message::Relay(_)) {
            self.timing.fallback.1.note(from);
        }
        let handled = self.core.handle_message(from, message);
        self.look_around(now);
        handled
    }

    fn handle_persisted(&mut self, now: Time, token: Token) {
        self.timing.unsynced.retain(|(waiting, _)| *waiting > token);
        self.core.handle_persisted(token);
        self.look_around(now);
    }

    fn next_timeout(&self) -> Option<Time> {
        let ends = self.timing.round_ends;
        Some(self.timing.candidacy_ends.map_or(ends, |candidacy| candidacy.min(ends)))
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.timing.candidacy_ends.is_some_and(|ends| ends <= now) {
            self.timing.candidacy_ends = None;
            self.core.abandon_candidacy();
            self.look_around(now);
        }
        if self.timing.round_ends <= now {
            self.timing.round_ends = now + self.timing.patience / ROUNDS;
            self.end_round(now);
        }
    }

    fn poll_output(&mut self, now: Time) -> Option<OutputOf<Self>> {
        loop {
            return Some(match self.core.poll_output()? {
                core::Output::Send { to, message } => Output::Send { to, message },
                core::Output::Persist { token, records } => {
                    self.timing.unsynced.push_back((token, now));
                    Output::Persist { token, records }
                }
                core::Output::Chosen { entry, .. } if entry.commands().is_empty() => continue,
                core::Output::Chosen { entry, .. } => Output::Execute { commands: entry.commands().to_vec() },
                core::Output::StateNeeded { from } => Output::StateNeeded { from },
            });
        }
    }

    fn position(&self) -> Slot {
        self.core.delivered()
    }

    fn truncate(&mut self, position: &Slot) {
        self.durable = self.durable.max(*position);
        self.core.truncate(Slot(position.0.saturating_sub(SLOTS_RETAINED)));
    }

    fn remembered(&self) -> Vec<Record<C>> {
        let (acceptor, learner) = (self.core.acceptor(), self.core.learner());
        let first = self.durable.next();
        let votes = acceptor.votes_from(first).map(|(slot, vote)| Record::Voted { slot, vote: vote.clone() });
        let unvoted = learner
            .chosen_from(first)
            .filter(|(slot, entry)| acceptor.vote(*slot).is_none_or(|vote| vote.value != **entry));
        let chosen = unvoted.map(|(slot, entry)| Record::Chosen { slot, entry: entry.clone() });
        let ballots = [Record::Used(self.core.used()), Record::Promised(acceptor.promised())];
        let commit = Record::Commit { through: learner.through() };
        ballots.into_iter().chain(votes).chain(chosen).chain([commit]).collect()
    }

    fn is_ahead(&self, position: &Slot) -> bool {
        *position > self.core.delivered()
    }

    fn install(&mut self, _: Time, position: &Slot) -> bool {
        let ahead = self.core.install(*position);
        if ahead {
            self.durable = *position;
        }
        ahead
    }

    fn standing(&self) -> Standing {
        let me = self.core.id();
        let leader = self.core.election().leader().filter(|ballot| ballot.node != me);
        Standing { happy: self.core.election().is_happy(), leader: self.leads().or(leader) }
    }

    fn describe(message: &Message<C>) -> String {
        message.to_string()
    }
}
