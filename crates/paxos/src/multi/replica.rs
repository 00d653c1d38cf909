//! A replica: the timeless [`Core`] and the deadlines that make it live.

use std::collections::VecDeque;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::membership::Membership;
use crate::multi::core::{Core, Output};
use crate::multi::entry::Command;
use crate::multi::leader::Window;
use crate::multi::message::Message;
use crate::multi::reads::Ticket;
use crate::multi::record::Recovered;
use crate::multi::rejection::Rejection;
use crate::multi::stranded::Stranded;
use crate::node::{Incarnation, NodeId};
use crate::slot::Slot;
use crate::time::Time;

/// How a replica behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often members ask each other how they are. Must be longer than a round trip, since an answer
    /// counts only in its own round.
    pub heartbeat_interval: Duration,
    /// How long a member is unhappy before it offers itself; randomised up to twice this.
    pub election_timeout: Duration,
    /// A node whose oldest unsynced write is older does not lead if another can.
    pub stall_limit: Duration,
    /// How much a leader keeps in flight.
    pub window: Window,
    /// Seed of the random waiting times: another one on every node and start.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            stall_limit: Duration::from_secs(2),
            window: Window::default(),
            seed: 0,
        }
    }
}

/// Acceptor, learner and, at times, leader of one node, with their deadlines.
#[derive(Clone, Debug)]
pub struct Replica<C> {
    core: Core<C>,
    timing: Timing,
}

#[derive(Clone, Debug)]
struct Timing {
    options: Options,
    backoff: Backoff,
    round_ends: Time,
    /// When an unhappy member may offer itself.
    campaign_at: Time,
    /// When a pre-check or a phase 1 that is under way has taken too long.
    candidacy_ends: Option<Time>,
    followed: Option<Ballot>,
    promised: Ballot,
    last_in_flight: Option<Slot>,
    stranded: Stranded,
    last_unconfirmed: Option<(Ballot, u64)>,
    unsynced: VecDeque<(Token, Time)>,
    applier_stalled: bool,
}

impl<C: Command> Replica<C> {
    /// A replica of `membership` that remembers `recovered`.
    pub fn new(
        id: NodeId,
        incarnation: Incarnation,
        membership: Membership,
        options: Options,
        recovered: Recovered<C>,
        now: Time,
    ) -> Replica<C> {
        let core = Core::new(id, incarnation, membership, options.window, recovered);
        let mut backoff = Backoff::new(options.seed);
        // Nobody is known to lead yet: the first to start need not wait a whole timeout for one.
        let patience = backoff.between(options.heartbeat_interval, options.election_timeout);
        let timing = Timing {
            options,
            backoff,
            round_ends: now,
            campaign_at: now + patience,
            candidacy_ends: None,
            followed: None,
            promised: core.acceptor().promised(),
            last_in_flight: None,
            stranded: Stranded::default(),
            last_unconfirmed: None,
            unsynced: VecDeque::new(),
            applier_stalled: false,
        };
        Replica { core, timing }
    }

    /// The replica without its deadlines.
    pub fn core(&self) -> &Core<C> {
        &self.core
    }

    /// The ballot this node leads with, if its phase 1 is complete.
    pub fn leads(&self) -> Option<Ballot> {
        self.core.leadership().filter(|leader| leader.is_leading()).map(|leader| leader.ballot())
    }

    /// The leader's ballot, as far as this node knows. It may be gone: see [`Replica::is_happy`].
    pub fn leader(&self) -> Option<Ballot> {
        self.core.election().leader()
    }

    /// Whether progress is possible, as far as this node could see at the end of the last round.
    pub fn is_happy(&self) -> bool {
        self.core.election().is_happy()
    }

    /// Takes a message of another node.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it.
    pub fn handle_message(&mut self, now: Time, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        let handled = self.core.handle_message(from, message);
        self.look_around(now);
        handled
    }

    /// Everything up to `token` is on disk.
    pub fn handle_persisted(&mut self, now: Time, token: Token) {
        self.timing.unsynced.retain(|(waiting, _)| *waiting > token);
        self.core.handle_persisted(token);
        self.look_around(now);
    }

    /// Takes a command if this node leads or is about to.
    ///
    /// # Errors
    /// The command itself otherwise: give it to the leader.
    pub fn propose(&mut self, command: C) -> Result<(), C> {
        self.core.propose(command)
    }

    /// A linearizable read: `ReadReady` follows once a leader confirmed it.
    pub fn read(&mut self, ticket: Ticket) {
        self.core.read(ticket);
    }

    /// The user of this read waits no longer.
    pub fn forget_read(&mut self, ticket: Ticket) {
        self.core.forget_read(ticket);
    }

    /// A durable local checkpoint covers everything up to `through`.
    pub fn truncate(&mut self, through: Slot) {
        self.core.truncate(through);
    }

    /// Another member's checkpoint through `slot` is durable here. Returns whether it was ahead.
    pub fn install(&mut self, slot: Slot) -> bool {
        self.core.install(slot)
    }

    /// The applier is, or is no longer, too far behind for this node to lead if another can.
    pub fn set_applier_stalled(&mut self, stalled: bool) {
        self.timing.applier_stalled = stalled;
    }

    /// When to call `handle_timeout` next.
    pub fn next_timeout(&self) -> Time {
        let candidacy = self.timing.candidacy_ends.unwrap_or(self.timing.round_ends);
        self.timing.round_ends.min(candidacy)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.timing.candidacy_ends.is_some_and(|ends| ends <= now) {
            self.timing.candidacy_ends = None;
            self.core.abandon_candidacy();
            self.look_around(now);
        }
        if self.timing.round_ends <= now {
            self.timing.round_ends = now + self.timing.options.heartbeat_interval;
            self.end_round(now);
        }
    }

    fn end_round(&mut self, now: Time) {
        let limit = self.timing.options.stall_limit;
        let stalled = self.timing.unsynced.front().is_some_and(|(_, since)| now - *since > limit);
        self.core.set_stalled(stalled || self.timing.applier_stalled);
        self.core.end_round();
        let leads = self.leads().is_some();
        if self.timing.stranded.end_round(leads, self.core.learner(), self.core.election()) {
            self.core.campaign(self.core.election().next_ballot());
        }
        let oldest = self.core.oldest_in_flight();
        let preparing = self.core.leadership().is_some_and(|leader| !leader.is_leading());
        if preparing || (oldest.is_some() && oldest == self.timing.last_in_flight) {
            self.core.resend();
        }
        self.timing.last_in_flight = oldest;
        let unconfirmed = self.core.unconfirmed();
        if unconfirmed.is_some() && unconfirmed == self.timing.last_unconfirmed {
            self.core.confirm_again();
        }
        self.timing.last_unconfirmed = unconfirmed;
        self.core.ask_again();
        if self.is_happy() {
            self.timing.put_off(now);
            self.timing.backoff.succeeded();
        } else if self.timing.campaign_at <= now && self.core.may_campaign() {
            self.timing.candidacy_ends = Some(now + self.timing.options.election_timeout);
            self.core.pre_check();
        }
        self.look_around(now);
    }

    /// Notices what a message changed and adjusts the deadlines to it.
    fn look_around(&mut self, now: Time) {
        if self.core.take_refused() {
            let wait = self.timing.backoff.after_failure(self.timing.options.election_timeout);
            self.timing.campaign_at = now + wait;
            self.timing.candidacy_ends = None;
        }
        // Who follows a leader, or has just promised to help somebody become one, gives them time.
        let promised = self.core.acceptor().promised();
        if (self.timing.followed, self.timing.promised) != (self.leader(), promised) {
            self.timing.followed = self.leader();
            self.timing.promised = promised;
            self.timing.put_off(now);
        }
        if self.leads().is_some() {
            self.timing.candidacy_ends = None;
        }
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, until `None`.
    pub fn poll_output(&mut self, now: Time) -> Option<Output<C>> {
        let output = self.core.poll_output();
        if let Some(Output::Persist { token, .. }) = &output {
            self.timing.unsynced.push_back((*token, now));
        }
        output
    }
}

impl Timing {
    fn put_off(&mut self, now: Time) {
        let timeout = self.options.election_timeout;
        self.campaign_at = now + self.backoff.between(timeout, timeout * 2);
    }
}
