//! A replica without time: its memory, the commands that it leads, and the messages and writes between them.
//!
//! A model checker may call any method at any moment; nothing here is unsafe at the wrong time. What makes it live is
//! in [`replica`](crate::egalitarian::replica).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::{Gate, Sealed, Token};
use crate::egalitarian::collection::Collection;
use crate::egalitarian::execution::Executor;
use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::instance::{Decree, Held, Phase};
use crate::egalitarian::interference::Command;
use crate::egalitarian::lead::{Lead, Stage};
use crate::egalitarian::message::{Letter, Message};
use crate::egalitarian::record::{Record, Recovered};
use crate::egalitarian::rejection::{Rejection, check};
use crate::egalitarian::table::{Answer, Table};
use crate::node::NodeId;
use crate::quorum::ReplicaQuorums;

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<C> {
    /// Send `message` to each of `to`.
    Send {
        /// Other replicas, in order.
        to: Vec<NodeId>,
        /// What to send.
        message: Message<C>,
    },
    /// Append `records` to what is on disk and sync, then call `handle_persisted(token)`.
    Persist {
        /// Names the write.
        token: Token,
        /// What to append, in order.
        records: Vec<Record<C>>,
    },
    /// Execute these, in order. Each comes once, and again only after a restart with an older state, or on top of an
    /// installed one that lacks it.
    Execute {
        /// Identities and commands: at least one.
        commands: Vec<(CommandId, C)>,
    },
    /// An own command became a no-op and was proposed again.
    ProposedAgain {
        /// Its identity up to now.
        id: CommandId,
        /// Its new one.
        again: CommandId,
    },
    /// The others have forgotten what is missing here: take the state of `from`, and what it has executed, make
    /// them durable, and call [`Core::install`].
    StateNeeded {
        /// Who has it.
        from: NodeId,
    },
}

/// How many own commands may wait for their execution.
pub const WINDOW: u64 = 4096;

/// How many dependencies are looked at before somebody else has a turn.
const EXECUTION_STEPS: usize = 4096;

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<C: Command> {
    pub(super) id: NodeId,
    pub(super) quorums: ReplicaQuorums,
    pub(super) table: Table<C>,
    pub(super) leads: BTreeMap<CommandId, Lead<C>>,
    /// The highest ballot that somebody refused one of ours for.
    pub(super) outbid: BTreeMap<CommandId, Ballot>,
    pub(super) executor: Executor,
    pub(super) collection: Collection,
    /// How many commands this replica has proposed.
    pub(super) counter: u64,
    pub(super) gate: Gate<Letter<C>>,
    pub(super) open_write: Option<Token>,
    pub(super) records: Vec<Record<C>>,
    pub(super) out: VecDeque<Output<C>>,
}

impl<C: Command> Core<C> {
    /// The replica that remembers this; nothing if it starts for the first time.
    ///
    /// # Panics
    /// If `id` is not among the replicas.
    pub fn new(id: NodeId, quorums: ReplicaQuorums, recovered: Recovered<C>) -> Core<C> {
        assert!(quorums.contains(id), "{id} is no replica of {quorums:?}");
        let Recovered { executed, records } = recovered;
        let table = Table::recover(&executed, &records);
        let mut counter = table.seen().of(id);
        if mutant!(EpaxosCounterReused) {
            counter = executed.floor().of(id);
        }
        let collection = Collection::new(executed.floor().clone(), table.answers().clone());
        let mut core = Core {
            id,
            quorums,
            table,
            leads: BTreeMap::new(),
            outbid: BTreeMap::new(),
            executor: Executor::new(executed),
            collection,
            counter,
            gate: Gate::default(),
            open_write: None,
            records: Vec::new(),
            out: VecDeque::new(),
        };
        core.resume();
        core
    }

    /// What was committed is executed, and own commands that became no-ops are proposed again unless they were.
    ///
    /// An own command that was not committed is not led on with ballot 0: what this replica asked the others to vote
    /// for with it is not known any more. It is recovered like anybody else's.
    fn resume(&mut self) {
        let committed: Vec<CommandId> = self
            .table
            .instances()
            .filter(|(_, instance)| instance.is_committed())
            .map(|(id, _)| id)
            .collect();
        for id in committed {
            self.executor.learn(id);
        }
        let again: BTreeSet<CommandId> =
            self.table.instances_of(self.id, 0).filter_map(|(_, instance)| instance.instead_of).collect();
        let lost: Vec<CommandId> = self
            .table
            .instances_of(self.id, 0)
            .filter(|(id, instance)| instance.is_nop() && !again.contains(id))
            .map(|(id, _)| id)
            .collect();
        for id in lost {
            self.propose_again(id);
        }
        if mutant!(EpaxosOwnerLeadsOn) {
            let open = self
                .table
                .instances_of(self.id, 0)
                .filter(|(_, instance)| instance.phase == Phase::PreAccepted && instance.promised.is_zero());
            let open: Vec<_> = open.map(|(id, instance)| (id, instance.deps.clone())).collect();
            for (id, deps) in open {
                self.leads.insert(id, Lead::of_owner());
                self.hold(vec![self.id], Sealed::new(Message::PreAcceptOk { id, deps }));
            }
        }
    }

    /// This replica.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// All replicas and their quorums.
    pub fn quorums(&self) -> &ReplicaQuorums {
        &self.quorums
    }

    /// What it knows of every command.
    pub fn table(&self) -> &Table<C> {
        &self.table
    }

    /// What it leads, and how far that is.
    pub fn lead(&self, id: CommandId) -> Option<&Lead<C>> {
        self.leads.get(&id)
    }

    /// Whether `id` is committed for good as far as is known here: a fast commit of its own is once it is durable.
    pub fn has_learned(&self, id: CommandId) -> bool {
        self.executor.has(id)
    }

    /// Whether somebody refused what it asks about `id` for the sake of a higher ballot.
    pub fn is_outbid(&self, id: CommandId) -> bool {
        self.outbid.contains_key(&id)
    }

    /// Whether everything that it has heard of is committed and known here.
    pub fn is_settled(&self) -> bool {
        self.table.known().covers_floor(self.table.seen())
    }

    /// Whether `command` was proposed here and waits for its execution.
    pub fn is_in_flight(&self, command: &C) -> bool {
        let executed = self.executed();
        let mut own = self.table.instances_of(self.id, executed.floor().of(self.id));
        own.any(|(id, instance)| {
            !executed.contains(id)
                && instance.held == Held::Command
                && instance.command.as_ref() == Some(command)
        })
    }

    /// What it has executed.
    pub fn executed(&self) -> &IdSet {
        self.executor.executed()
    }

    /// Its part in forgetting.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// The last write that was begun.
    pub fn last_write(&self) -> Token {
        self.gate.issued()
    }

    /// Whether a write is reported durable.
    pub fn is_durable(&self, write: Token) -> bool {
        write <= self.gate.durable()
    }

    /// Whether `poll_output` stopped before it had looked at everything that may be executed.
    pub fn is_busy(&self) -> bool {
        self.executor.is_busy()
    }

    /// Commands that somebody has heard of and that are not decided here: neither known to be committed nor executed
    /// with an installed state. Of each owner the first `limit`. And those, however decided, for which a recovery waits:
    /// that they were executed does not tell whether they speak against it.
    pub fn undecided(&self, limit: usize) -> Vec<CommandId> {
        let mut open = Vec::new();
        let decided = self.table.decided();
        for (owner, last) in self.table.seen().iter() {
            let first = decided.floor().of(owner) + 1;
            let ids = (first..=last).map(|counter| CommandId::new(owner, counter));
            open.extend(ids.filter(|id| !decided.contains(*id)).take(limit));
        }
        if !self.table.installed().is_empty() {
            let awaited = self.leads.values().flat_map(Lead::waits_for);
            open.extend(awaited.filter(|id| decided.contains(*id) && !self.table.known().contains(*id)));
            open.sort_unstable();
            open.dedup();
        }
        open
    }

    // ---- what the driver asks for ----------------------------------------------------------------------

    /// Proposes `command`. It, or the same command under another identity, will be executed everywhere if a quorum
    /// stays up long enough.
    ///
    /// # Errors
    /// The command itself if [`WINDOW`] own commands wait for their execution.
    pub fn propose(&mut self, command: C) -> Result<CommandId, C> {
        if self.counter - self.executed().floor().of(self.id).min(self.counter) >= WINDOW {
            return Err(command);
        }
        Ok(self.submit(command, None))
    }

    /// How many own commands that interfere with `command` wait for their execution.
    pub fn interfering_in_flight(&self, command: &C) -> usize {
        let interfering = self.table.interfering(command, self.executed().floor()).into_iter();
        interfering.filter(|id| id.owner == self.id && !self.executed().contains(*id)).count()
    }

    pub(super) fn submit(&mut self, command: C, instead_of: Option<CommandId>) -> CommandId {
        assert!(self.counter < CommandId::COUNTER_MAX, "{} has no identities left", self.id);
        self.counter += 1;
        let id = CommandId::new(self.id, self.counter);
        // Whatever interferes or not: to depend on what is executed here costs nothing here, and makes a number of what
        // would be a set of all that ever interfered.
        let mut floor = self.collection.submits().clone();
        floor.raise_to(self.executed().floor());
        let deps = self.table.submit(id, command.clone(), &floor, instead_of);
        self.write(id);
        self.leads.insert(id, Lead::of_owner());
        // The identity must be durable before others hear of it, or it could be used for two commands.
        self.hold(self.others(), Sealed::new(Message::PreAccept { id, command, deps: deps.clone() }));
        self.hold(vec![self.id], Sealed::new(Message::PreAcceptOk { id, deps }));
        id
    }

    pub(super) fn propose_again(&mut self, id: CommandId) {
        let command = self.table.instance(id).and_then(|instance| instance.command.clone());
        if let Some(command) = command.filter(|_| !mutant!(EpaxosNopNotProposedAgain)) {
            mark!(EpaxosProposedAgain);
            let again = self.submit(command, Some(id));
            self.out.push_back(Output::ProposedAgain { id, again });
        }
    }

    /// Recovers `id` with a ballot above all that are known of, in place of one under way. Returns whether it did:
    /// not if it is known here to be committed, or the rounds are exhausted.
    pub fn recover(&mut self, id: CommandId) -> bool {
        if self.table.known().contains(id) {
            return false;
        }
        let promised = self.table.instance(id).map_or(Ballot::ZERO, |instance| instance.promised);
        let highest = self.outbid.get(&id).copied().unwrap_or(Ballot::ZERO).max(promised);
        if highest.round >= Ballot::ROUND_MAX {
            return false;
        }
        let ballot = highest.successor(self.id);
        self.leads.insert(id, Lead::of_recoverer(ballot));
        let own = self.table.handle_recover(id, ballot);
        self.write(id);
        // The own promise tells after a restart that the ballot was used.
        self.hold(self.others(), Sealed::new(Message::Recover { id, ballot }));
        self.answer(self.id, own);
        true
    }

    /// Asks everybody again who has not answered: the question or the answer may have been lost. An owner that has
    /// a slow quorum of answers waits no longer for a fast one.
    pub fn ask_again(&mut self, id: CommandId) {
        let Some(lead) = self.leads.get(&id) else { return };
        let answered = lead.answered();
        let to: Vec<NodeId> = self.others().into_iter().filter(|node| !answered.contains(node)).collect();
        let ballot = lead.ballot;
        let question = match &lead.stage {
            Stage::PreAccepting { answers } if answers.len() >= self.quorums.slow_size() => {
                return self.decide_first_phase(id, true);
            }
            Stage::PreAccepting { .. } => self.table.instance(id).and_then(|instance| {
                let (command, deps) = (instance.command.clone()?, instance.initial.clone()?);
                Some(Message::PreAccept { id, command, deps })
            }),
            Stage::Asking { .. } => Some(Message::Recover { id, ballot }),
            Stage::Validating { candidate, .. } => {
                let (command, deps) = (candidate.command.clone(), candidate.deps.clone());
                Some(Message::Validate { id, ballot, command, deps })
            }
            Stage::Waiting { candidate, .. } => {
                Some(Message::Waiting { id, supporters: candidate.supporters as u64 })
            }
            Stage::Accepting { decree, deps, .. } => {
                Some(Message::Accept { id, ballot, decree: decree.clone(), deps: deps.clone() })
            }
        };
        // What the question reveals may wait for a write that is slow.
        if let Some(question) = question.filter(|_| !to.is_empty()) {
            self.hold(to, Sealed::new(question));
        }
    }

    /// As few records as say all that must not be forgotten beside the durable state.
    pub fn remembered(&self) -> Vec<Record<C>> {
        self.table.records()
    }

    // ---- messages --------------------------------------------------------------------------------------

    /// Takes a message; `from` is who sent it, as the transport knows.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct replica could have sent it here. Nothing changed then.
    ///
    /// # Panics
    /// If replicas disagree, one identity stands for two commands, or one ballot for two decrees.
    pub fn handle_message(&mut self, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        check(&self.quorums, self.id, self.table.seen(), from, &message)?;
        self.check_asked(from, &message)?;
        match message {
            Message::PreAccept { id, command, deps } => {
                let answer = self.table.handle_pre_accept(id, command, deps);
                self.vote(from, id, answer);
            }
            Message::Accept { id, ballot, decree, deps } => {
                let answer = self.table.handle_accept(id, ballot, decree, deps);
                self.vote(from, id, answer);
            }
            Message::Recover { id, ballot } => {
                let answer = self.table.handle_recover(id, ballot);
                self.vote(from, id, answer);
            }
            Message::Validate { id, ballot, command, deps } => {
                let answer = self.table.handle_validate(id, ballot, command, deps);
                self.vote(from, id, answer);
            }
            Message::PreAcceptOk { id, deps } => self.handle_pre_accept_ok(from, id, deps),
            Message::AcceptOk { id, ballot } => self.handle_accept_ok(from, id, ballot),
            Message::RecoverOk { id, ballot, report } => self.handle_recover_ok(from, id, ballot, report),
            Message::ValidateOk { id, ballot, conflicts } => {
                self.handle_validate_ok(from, id, ballot, conflicts);
            }
            Message::Waiting { id, supporters } => self.handle_waiting(id, supporters),
            Message::Commit { id, decree, deps } => {
                // Who recovers it has asked everybody, and now has the answer for them.
                let recovers = from != self.id && self.leads.contains_key(&id);
                if recovers {
                    let (decree, deps) = (decree.clone(), deps.clone());
                    self.send(Letter { to: self.others(), message: Message::Commit { id, decree, deps } });
                }
                self.learn(id, decree, deps);
            }
            Message::Nack { id, promised, .. } => {
                if self.leads.contains_key(&id) {
                    let highest = self.outbid.entry(id).or_insert(Ballot::ZERO);
                    *highest = promised.max(*highest);
                }
            }
            Message::Status(status) => self.handle_status(from, status),
            Message::Fetch { have } => self.handle_fetch(from, &have),
            Message::Fetched { instances, more } => self.handle_fetched(from, instances, more),
        }
        Ok(())
    }

    /// Own identities and own ballots beyond those used were never told to anybody.
    fn check_asked(&self, from: NodeId, message: &Message<C>) -> Result<(), Rejection> {
        let Some(id) = message.id() else { return Ok(()) };
        let known = self.table.instance(id).map_or(Ballot::ZERO, |instance| instance.promised);
        let answers = matches!(
            message,
            Message::RecoverOk { .. }
                | Message::ValidateOk { .. }
                | Message::AcceptOk { .. }
                | Message::Nack { .. }
        );
        let ballot = message.ballot().unwrap_or(Ballot::ZERO);
        let unused = answers && !self.table.is_decided(id) && ballot.node == self.id && ballot > known;
        let unproposed = matches!(message, Message::PreAcceptOk { .. }) && id.counter > self.counter;
        if unused || unproposed {
            return Err(Rejection::NeverAsked { from, message: message.name(), id });
        }
        Ok(())
    }

    /// Sends the table's answer, and stops leading what it has promised to a higher ballot.
    fn vote(&mut self, to: NodeId, id: CommandId, answer: Option<Answer<C>>) {
        if answer.is_none() && self.table.collected().contains(id) {
            self.hold(vec![to], Sealed::new(Message::Status(self.status())));
        }
        let promised = self.table.instance(id).map_or(Ballot::ZERO, |instance| instance.promised);
        if self.leads.get(&id).is_some_and(|lead| lead.ballot < promised) {
            self.leads.remove(&id);
        }
        if answer.as_ref().is_some_and(|answer| answer.changed) {
            self.write(id);
        }
        self.answer(to, answer);
    }

    fn answer(&mut self, to: NodeId, answer: Option<Answer<C>>) {
        if let Some(answer) = answer {
            self.hold(vec![to], answer.message);
        }
    }

    // ---- what leaves, and when -------------------------------------------------------------------------

    pub(super) fn others(&self) -> Vec<NodeId> {
        self.quorums.replicas().filter(|node| *node != self.id).collect()
    }

    /// Has what is known of `id` written.
    pub(super) fn write(&mut self, id: CommandId) {
        if let Some(instance) = self.table.instance(id) {
            self.records.push(Record::Instance { id, instance: instance.clone() });
            self.open_write();
        }
    }

    /// The write that everything changed since the last one goes into.
    pub(super) fn open_write(&mut self) {
        if self.open_write.is_none() {
            self.open_write = Some(self.gate.issue());
        }
    }

    /// Keeps a message until everything that changed up to now is durable.
    pub(super) fn hold(&mut self, to: Vec<NodeId>, message: Sealed<Message<C>>) {
        if !to.is_empty() {
            self.gate.hold(self.gate.issued(), message.map(|message| Letter { to, message }));
            self.release();
        }
    }

    /// The driver's disk has everything up to `token`.
    ///
    /// # Panics
    /// If the token was not given out: the driver reports a write it never had.
    pub fn handle_persisted(&mut self, token: Token) {
        assert!(
            self.open_write.is_none_or(|open| token < open),
            "{token:?} is reported durable before it was given out"
        );
        self.gate.persisted(token);
        self.release();
    }

    fn release(&mut self) {
        while let Some(letter) = self.gate.pop() {
            self.send(letter);
        }
    }

    /// Sends to others, and takes what is for this replica itself at once.
    pub(super) fn send(&mut self, letter: Letter<C>) {
        let Letter { mut to, message } = letter;
        let mine = to.contains(&self.id);
        to.retain(|node| *node != self.id);
        if !to.is_empty() {
            self.out.push_back(Output::Send { to, message: message.clone() });
        }
        if mine {
            let handled = self.handle_message(self.id, message);
            assert!(handled.is_ok(), "a replica rejects its own message: {handled:?}");
        }
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        if let Some(token) = self.open_write.take() {
            return Some(Output::Persist { token, records: std::mem::take(&mut self.records) });
        }
        let order = self.executor.run(&self.table, EXECUTION_STEPS);
        let command = |id: &CommandId| match self.table.instance(*id)?.decree()? {
            Decree::Command(command) => Some((*id, command)),
            Decree::Nop => None,
        };
        let commands: Vec<(CommandId, C)> = order.iter().filter_map(command).collect();
        (!commands.is_empty()).then_some(Output::Execute { commands })
    }
}
