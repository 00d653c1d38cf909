//! A replica: the timeless [`Core`] and the deadlines that make it live.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_probe::{mark, mutant};

use crate::backoff::Backoff;
use crate::ballot::Ballot;
use crate::durable::Token;
use crate::egalitarian::core::{self, Core};
use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::interference::Command;
use crate::egalitarian::message::Message;
use crate::egalitarian::record::{Record, Recovered};
use crate::egalitarian::rejection::Rejection;
use crate::node::NodeId;
use crate::protocol::{Output, OutputOf, Protocol, Standing, Start};
use crate::quorum::{QuorumError, ReplicaQuorums};
use crate::time::Time;

/// One replica, with its deadlines.
#[derive(Clone, Debug)]
pub struct Replica<C: Command> {
    core: Core<C>,
    timing: Timing,
    /// Commands that wait until others of this replica, with which they interfere, are executed.
    deferred: VecDeque<C>,
}

#[derive(Clone, Debug)]
struct Timing {
    patience: Duration,
    backoff: Backoff,
    started: Time,
    now: Time,
    next_look: Time,
    next_status: Time,
    heard: BTreeMap<NodeId, Time>,
    /// Commands that are not decided, as of the last look.
    watches: BTreeMap<CommandId, Watch>,
}

#[derive(Clone, Debug)]
struct Watch {
    until: Time,
    /// How often was asked with the present ballot.
    asked: u32,
    /// What was promised at the last look: if it has changed since, somebody is about it.
    promised: Ballot,
    /// The last write when the last promise for it was seen here.
    write: Option<Token>,
}

/// How often a recoverer asks with one ballot: whoever says nothing may have gone.
const ASKED_MAX: u32 = 3;

/// How many own commands that interfere with each other may wait for their execution. Commands that keep arriving would
/// otherwise keep each other waiting for ever: each of a cycle depends on a newer one that is not committed yet. So a
/// cycle has at most so many commands of each replica, and is executed when they are committed.
const INTERFERING_MAX: usize = 16;

/// How many commands may be deferred. The driver offers others again later.
const DEFERRED_MAX: usize = 4096;

/// How many of them are looked at when something was executed.
const DEFERRED_LOOKED_AT: usize = 64;

/// Of each owner, so many open commands are looked after at a time.
const WATCHED_MAX: usize = 64;

/// Who was silent for so many times the patience is away: what it has not executed may be forgotten without it.
const AWAY: u32 = 20;

/// How many answers fit into the patience: a question is repeated after that part of it.
const REPEATS: u32 = 4;

impl<C: Command> Replica<C> {
    /// The replica that remembers this. `patience` is how long it leaves a command to the one who is about it, at
    /// least five round trips; `seed` decides its random waiting times.
    ///
    /// # Errors
    /// If the nodes are none, or one is listed twice.
    pub fn new(start: &Start, recovered: Recovered<C>) -> Result<Replica<C>, QuorumError> {
        let quorums = ReplicaQuorums::optimised(start.nodes.iter().copied())?;
        let timing = Timing {
            patience: start.patience,
            backoff: Backoff::new(start.seed),
            started: start.now,
            now: start.now,
            next_look: start.now,
            next_status: start.now,
            heard: BTreeMap::new(),
            watches: BTreeMap::new(),
        };
        let core = Core::new(start.id, quorums, recovered);
        Ok(Replica { core, timing, deferred: VecDeque::new() })
    }

    /// The replica without its deadlines.
    pub fn core(&self) -> &Core<C> {
        &self.core
    }

    /// Proposes `command`, or gives it back if there is no room for it now.
    fn offer(&mut self, command: C) -> Option<C> {
        let unlimited = mutant!(EpaxosConflictsUnlimited);
        if self.core.interfering_in_flight(&command) >= INTERFERING_MAX && !unlimited {
            return Some(command);
        }
        self.core.propose(command).err()
    }

    /// Something was executed: some of those deferred may be proposed now. Of those that interfere with each other,
    /// none overtakes another.
    fn propose_deferred(&mut self) {
        let mut waiting = Vec::new();
        for _ in 0..self.deferred.len().min(DEFERRED_LOOKED_AT) {
            let Some(command) = self.deferred.pop_front() else { break };
            let refused = match waiting.iter().any(|other: &C| other.interferes(&command)) {
                true => Some(command),
                false => self.offer(command),
            };
            waiting.extend(refused);
        }
        waiting.into_iter().rev().for_each(|command| self.deferred.push_front(command));
    }

    /// Looks after every command that is not decided: asks again, or recovers it.
    fn look(&mut self) {
        let open = self.core.undecided(WATCHED_MAX);
        let still: BTreeSet<CommandId> = open.iter().copied().collect();
        self.timing.watches.retain(|id, _| still.contains(id));
        for id in open {
            let promised = self.core.table().instance(id).map_or(Ballot::ZERO, |instance| instance.promised);
            let leads = self.core.lead(id).is_some();
            match self.timing.watches.get_mut(&id) {
                Some(watch) if watch.promised == promised || leads => {
                    watch.promised = promised;
                    if watch.until <= self.timing.now {
                        self.look_after(id);
                    }
                }
                // A promise given just now may not be durable.
                _ => {
                    let write = (!promised.is_zero()).then(|| self.core.last_write());
                    self.timing.watch(id, promised, leads, write);
                }
            }
        }
    }

    fn look_after(&mut self, id: CommandId) {
        let Some(watch) = self.timing.watches.get_mut(&id) else { return };
        let is_first_try = self.core.lead(id).is_some_and(|lead| lead.ballot.is_zero());
        let goes_on = is_first_try && !self.core.is_outbid(id);
        if self.core.lead(id).is_some() && (goes_on || watch.asked < ASKED_MAX) {
            watch.asked += 1;
            watch.until = self.timing.now + self.timing.patience / REPEATS;
            self.core.ask_again(id);
            return;
        }
        let pause = self.timing.backoff.between(self.timing.patience / 2, self.timing.patience);
        watch.asked = 0;
        watch.until = self.timing.now + pause;
        // If the write of the last promise is late, another would only queue behind it.
        let is_late = watch.write.is_some_and(|write| !self.core.is_durable(write));
        if !is_late && self.core.recover(id) {
            watch.write = Some(self.core.last_write());
        }
    }

    fn present(&self) -> BTreeSet<NodeId> {
        let limit = self.timing.patience * AWAY;
        let heard = self.timing.heard.iter();
        heard.filter(|(_, at)| self.timing.now.since(**at) <= limit).map(|(node, _)| *node).collect()
    }

    /// Those who are not known to be away. At first that is everybody.
    fn worth_waiting_for(&self) -> BTreeSet<NodeId> {
        let me = self.core.id();
        let young = self.timing.now.since(self.timing.started) < self.timing.patience * AWAY;
        let present = self.present();
        let others = self.core.quorums().replicas().filter(|node| *node != me);
        others
            .filter(|node| present.contains(node) || (young && !self.timing.heard.contains_key(node)))
            .collect()
    }
}

impl Timing {
    fn watch(&mut self, id: CommandId, promised: Ballot, leads: bool, write: Option<Token>) {
        let wait = match leads {
            true => self.patience / REPEATS,
            false => self.backoff.between(self.patience, self.patience * 2),
        };
        self.watches.insert(id, Watch { until: self.now + wait, asked: 0, promised, write });
    }
}

impl<C: Command + Serialize + DeserializeOwned> Protocol for Replica<C> {
    type Command = C;
    type Message = Message<C>;
    type Record = Record<C>;
    type Position = IdSet;
    type Rejection = Rejection;

    const NAME: &'static str = "egalitarian";

    fn start(start: Start, executed: IdSet, records: Vec<Record<C>>) -> Result<Self, QuorumError> {
        Replica::new(&start, Recovered { executed, records })
    }

    fn propose(&mut self, now: Time, command: C) {
        self.timing.now = now;
        let refused = match self.deferred.iter().any(|other| other.interferes(&command)) {
            true => Some(command),
            false => self.offer(command),
        };
        if let Some(refused) = refused
            && self.deferred.len() < DEFERRED_MAX
        {
            mark!(EpaxosDeferred);
            self.deferred.push_back(refused);
        }
    }

    fn propose_again(&mut self, now: Time, command: C) {
        if !self.core.is_in_flight(&command) && !self.deferred.contains(&command) {
            self.propose(now, command);
        }
    }

    fn handle_message(&mut self, now: Time, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        self.timing.now = now;
        self.core.handle_message(from, message)?;
        self.timing.heard.insert(from, now);
        Ok(())
    }

    fn handle_persisted(&mut self, now: Time, token: Token) {
        self.timing.now = now;
        self.core.handle_persisted(token);
    }

    fn next_timeout(&self) -> Option<Time> {
        if self.core.is_busy() {
            return Some(self.timing.now);
        }
        let look = (!self.core.is_settled()).then_some(self.timing.next_look);
        look.into_iter().chain([self.timing.next_status]).min()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.timing.now = now;
        if self.timing.next_look <= now {
            self.timing.next_look = now + self.timing.patience / (2 * REPEATS);
            self.look();
        }
        if self.timing.next_status <= now {
            self.timing.next_status = now + self.timing.patience / REPEATS;
            let present = self.worth_waiting_for();
            self.core.tell_status(&present);
            self.propose_deferred();
        }
    }

    fn poll_output(&mut self, now: Time) -> Option<OutputOf<Self>> {
        self.timing.now = now;
        loop {
            return Some(match self.core.poll_output()? {
                core::Output::Send { to, message } => Output::Send { to, message },
                core::Output::Persist { token, records } => Output::Persist { token, records },
                core::Output::Execute { commands } => {
                    self.propose_deferred();
                    Output::Execute { commands: commands.into_iter().map(|(_, command)| command).collect() }
                }
                core::Output::StateNeeded { from } => Output::StateNeeded { from },
                core::Output::ProposedAgain { .. } => continue,
            });
        }
    }

    fn position(&self) -> IdSet {
        self.core.executed().clone()
    }

    fn truncate(&mut self, position: &IdSet) {
        self.core.truncate(position);
    }

    fn remembered(&self) -> Vec<Record<C>> {
        self.core.remembered()
    }

    fn is_ahead(&self, position: &IdSet) -> bool {
        self.core.is_worth_installing(position)
    }

    fn prepare_install(&mut self, position: &IdSet) {
        self.core.prepare_install(position);
    }

    fn install(&mut self, now: Time, position: &IdSet) -> bool {
        self.timing.now = now;
        let installed = self.core.install(position);
        self.propose_deferred();
        installed
    }

    fn standing(&self) -> Standing {
        let limit = self.timing.patience * 2;
        let near = self.timing.heard.values().filter(|at| self.timing.now.since(**at) <= limit).count();
        Standing { happy: near + 1 >= self.core.quorums().slow_size(), leader: None }
    }

    fn describe(message: &Message<C>) -> String {
        super::words::describe(message)
    }
}
