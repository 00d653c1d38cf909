//! A replica: the timeless [`Core`] and the deadlines that make it live.

use std::time::Duration;

use synod_probe::mark;

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::membership::Membership;
use crate::multi::backlog::{Backlog, Stall};
use crate::multi::core::{Core, Output};
use crate::multi::entry::Command;
use crate::multi::giving_way::GivingWay;
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
    /// A node whose oldest unsynced write, unapplied slot or open proposal is older does not lead if another can, until
    /// none is older than half of it.
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
    /// Writes that the disk has not finished.
    unsynced: Backlog<Token>,
    /// Slots that were handed out and are not applied.
    unapplied: Backlog<Slot>,
    /// Slots proposed with the ballot `proposing`.
    proposed: Backlog<Slot>,
    proposing: Option<Ballot>,
    stall: Stall,
    giving_way: GivingWay,
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
            unsynced: Backlog::new(),
            unapplied: Backlog::new(),
            proposed: Backlog::new(),
            proposing: None,
            stall: Stall::default(),
            giving_way: GivingWay::default(),
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
        self.timing.unsynced.end_through(token);
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
        let ahead = self.core.install(slot);
        if ahead {
            self.timing.unapplied.end_through(slot);
        }
        ahead
    }

    /// Everything up to `slot` of what was handed out is applied.
    pub fn handle_applied(&mut self, slot: Slot) {
        self.timing.unapplied.end_through(slot);
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
        let timeout = self.timing.options.election_timeout;
        let may_give_way = self.timing.giving_way.is_open(now, timeout);
        let stalled = self.timing.is_stalled(now, self.core.oldest_in_flight());
        self.core.set_stalled(stalled);
        self.core.end_round(may_give_way);
        let leads = self.leads().is_some();
        if self.timing.stranded.end_round(leads, self.core.learner(), self.core.election()) {
            self.core.campaign_among_connected();
        }
        self.ask_again();
        self.offer_itself(now, may_give_way);
        self.look_around(now);
    }

    /// Repeats what was asked and may be lost.
    fn ask_again(&mut self) {
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
    }

    /// Begins a candidacy if it is time, unless a healthier member is there to do it.
    fn offer_itself(&mut self, now: Time, may_give_way: bool) {
        let timing = &mut self.timing;
        let ready = self.core.may_campaign();
        let due = ready && timing.campaign_at <= now;
        let waits = may_give_way && self.core.is_outdone() && (due || (ready && timing.giving_way.goes_on()));
        timing.giving_way.note(now, waits || self.core.gives_way());
        mark!(StalledMemberWaited if waits && !self.core.gives_way());
        if self.core.election().is_happy() {
            timing.put_off(now);
            timing.backoff.succeeded();
        } else if due && !waits {
            timing.candidacy_ends = Some(now + timing.options.election_timeout);
            self.core.pre_check();
        }
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
        match &output {
            Some(Output::Persist { token, .. }) => self.timing.unsynced.begin(*token, now),
            Some(Output::Chosen { slot, .. }) => self.timing.unapplied.begin(*slot, now),
            _ => {}
        }
        let leader = self.core.leadership().filter(|leader| leader.is_leading());
        self.timing.note_proposals(now, leader.map(|leader| (leader.ballot(), leader.last_proposed())));
        output
    }
}

impl Timing {
    /// Whether the applier, the disk or the oldest proposal is too far behind.
    fn is_stalled(&mut self, now: Time, oldest_in_flight: Option<Slot>) -> bool {
        match oldest_in_flight {
            Some(oldest) => self.proposed.end_below(oldest),
            None => self.proposed.clear(),
        }
        let oldest = [self.unsynced.oldest(), self.unapplied.oldest(), self.proposed.oldest()];
        self.stall.judge(oldest.into_iter().flatten().min(), now, self.options.stall_limit)
    }

    /// Notes how far this node has proposed with its ballot.
    fn note_proposals(&mut self, now: Time, proposed: Option<(Ballot, Slot)>) {
        let ballot = proposed.map(|(ballot, _)| ballot);
        if ballot != self.proposing {
            self.proposing = ballot;
            self.proposed.clear();
        }
        if let Some((_, last)) = proposed {
            self.proposed.begin(last, now);
        }
    }

    fn put_off(&mut self, now: Time) {
        let timeout = self.options.election_timeout;
        self.campaign_at = now + self.backoff.between(timeout, timeout * 2);
    }
}
