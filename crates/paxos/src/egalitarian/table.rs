//! The memory of a replica: what it knows of every command, and what it has promised.

use std::collections::{BTreeMap, BTreeSet};

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::egalitarian::id::{CommandId, Floor, IdSet};
use crate::egalitarian::instance::{Decree, Held, Instance, Phase};
use crate::egalitarian::interference::{Command, Index};
use crate::egalitarian::message::{Committed, Message, Report};
use crate::egalitarian::record::Record;
use crate::node::NodeId;

/// Every instance, and what is known of those that are not held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table<C: Command> {
    instances: BTreeMap<CommandId, Instance<C>>,
    index: Index<C::Key>,
    /// Instances that hold a no-op.
    nops: BTreeSet<CommandId>,
    /// Committed and held here, or forgotten.
    known: IdSet,
    /// What another replica had executed whose state was installed here, as long as not all of it is known.
    installed: IdSet,
    answers: Floor,
    collected: Floor,
    seen: Floor,
}

/// An answer, and whether the memory changed: then it must not leave before the change is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer<C> {
    /// The answer.
    pub message: Sealed<Message<C>>,
    /// Whether the instance is to be written.
    pub changed: bool,
}

impl<C> Answer<C> {
    fn new(message: Message<C>, changed: bool) -> Option<Answer<C>> {
        Some(Answer { message: Sealed::new(message), changed })
    }
}

impl<C: Command> Table<C> {
    /// The memory that wrote `records`, beside a state that has executed `executed`.
    ///
    /// # Panics
    /// If a record takes back what an earlier one says: no replica wrote that.
    pub fn recover(executed: &IdSet, records: &[Record<C>]) -> Table<C> {
        let mut table = Table {
            instances: BTreeMap::new(),
            index: Index::default(),
            nops: BTreeSet::new(),
            known: IdSet::default(),
            installed: IdSet::default(),
            answers: Floor::default(),
            collected: Floor::default(),
            seen: Floor::default(),
        };
        let mut latest: BTreeMap<CommandId, &Instance<C>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Instance { id, instance } => {
                    latest.insert(*id, instance);
                }
                Record::Answers(floor) => table.answers.raise_to(floor),
                Record::Collected(floor) => table.collected.raise_to(floor),
            }
        }
        table.known.insert_floor(&table.collected.clone());
        table.note_seen_all(executed);
        for (id, instance) in latest {
            if table.collected.contains(id) {
                continue;
            }
            let mut instance = instance.clone();
            if mutant!(EpaxosPromiseForgotten) {
                instance.promised = instance.accepted;
            }
            table.note_seen(id);
            // Of some it has heard only as dependencies, and nobody else may be left who would tell of them: unless they
            // are recovered, what depends on them is never executed.
            if !mutant!(EpaxosDependenciesForgotten) {
                table.note_seen_all(&instance.deps);
            }
            table.put(id, instance);
        }
        table.took_over(executed);
        table
    }

    // ---- what is known ---------------------------------------------------------------------------------

    /// What is known of a command, if anything is and it is not forgotten.
    pub fn instance(&self, id: CommandId) -> Option<&Instance<C>> {
        self.instances.get(&id)
    }

    /// Every instance held, in order.
    pub fn instances(&self) -> impl Iterator<Item = (CommandId, &Instance<C>)> {
        self.instances.iter().map(|(id, instance)| (*id, instance))
    }

    /// The instances of `owner` above `counter`, in order.
    pub fn instances_of(
        &self,
        owner: NodeId,
        counter: u64,
    ) -> impl Iterator<Item = (CommandId, &Instance<C>)> {
        let above = CommandId::new(owner, counter.saturating_add(1))..=CommandId::new(owner, u64::MAX);
        self.instances.range(above).map(|(id, instance)| (*id, instance))
    }

    /// What is committed and held here, or forgotten.
    pub fn known(&self) -> &IdSet {
        &self.known
    }

    /// Whether it is agreed what `id` stands for, and here it is known or has been executed.
    pub fn is_decided(&self, id: CommandId) -> bool {
        self.known.contains(id) || self.installed.contains(id)
    }

    /// All of which that is so.
    pub fn decided(&self) -> IdSet {
        let mut decided = self.known.clone();
        decided.extend(&self.installed);
        decided
    }

    /// The committed command, if it is committed and held here.
    pub fn committed(&self, id: CommandId) -> Option<Committed<C>> {
        let instance = self.instances.get(&id).filter(|instance| instance.is_committed())?;
        Some(Committed { id, decree: instance.decree()?, deps: instance.deps.clone() })
    }

    /// The last commands heard of.
    pub fn seen(&self) -> &Floor {
        &self.seen
    }

    /// What every answer to a `PreAccept` names.
    pub fn answers(&self) -> &Floor {
        &self.answers
    }

    /// What is forgotten.
    pub fn collected(&self) -> &Floor {
        &self.collected
    }

    /// What was taken over with another's state, as long as not all of it is known here.
    pub fn installed(&self) -> &IdSet {
        &self.installed
    }

    /// Notes that `id` exists.
    pub fn note_seen(&mut self, id: CommandId) {
        self.seen.raise(id.owner, id.counter);
    }

    /// Notes that all of these exist.
    pub fn note_seen_all(&mut self, ids: &IdSet) {
        for (owner, counter) in ids.highest() {
            self.seen.raise(owner, counter);
        }
    }

    // ---- interference ----------------------------------------------------------------------------------

    /// What a new command depends on, beside what is in `deps` already: all that interferes with it here. No-ops
    /// interfere with everything, and so does what is forgotten.
    fn with_conflicts(&self, id: CommandId, command: &C, deps: &IdSet) -> IdSet {
        let mut all = deps.clone();
        all.insert_floor(&self.answers);
        all.extend(&self.installed);
        if !mutant!(EpaxosNopInterferesWithNothing) {
            all.insert_all(self.nops.iter().copied().filter(|nop| *nop != id));
        }
        let others = self.interfering(command, all.floor()).into_iter().filter(|other| *other != id);
        let others: Vec<CommandId> = others.filter(|other| !all.contains(*other)).collect();
        all.insert_all(others);
        all
    }

    /// The commands held here, above `floor`, that interfere with `command`, in order.
    pub fn interfering(&self, command: &C, floor: &Floor) -> Vec<CommandId> {
        let interferes = |instance: &Instance<C>| {
            instance.held == Held::Command
                && instance.command.as_ref().is_some_and(|held| held.interferes(command))
        };
        let mut touching = self.index.touching(&command.extents(), floor);
        touching.retain(|other| self.instances.get(other).is_some_and(interferes));
        touching
    }

    /// What speaks against `id` depending on `deps` only: interfering commands outside of them that do not depend
    /// on it either. `None` if that cannot be told.
    fn conflicts(&self, id: CommandId, command: &C, deps: &IdSet) -> Option<Vec<(CommandId, Phase)>> {
        if let Some(gone) = IdSet::from(self.collected.clone()).next_not_in(deps, None) {
            // It was executed elsewhere, so it may have been committed without what is forgotten here. Who asks takes
            // the state, see `Status::installed`.
            if self.installed.contains(id) && !mutant!(EpaxosGoneSpeaksAgainstExecuted) {
                return None;
            }
            // What is forgotten was executed here, and so without this one; who proposed this one without knowing of
            // that has not had it committed on the fast path: see `collection`.
            mark!(EpaxosForgottenConflict);
            return Some(vec![(gone, Phase::Committed)]);
        }
        let mut conflicts = Vec::new();
        for other in self.index.touching(&command.extents(), deps.floor()) {
            let Some(instance) = self.instances.get(&other) else { continue };
            let interferes = instance.command.as_ref().is_some_and(|held| held.interferes(command));
            if other == id || deps.contains(other) || !interferes {
                continue;
            }
            let speaks = match (&instance.phase, &instance.initial) {
                (Phase::Committed, _) => instance.held == Held::Command && !instance.deps.contains(id),
                (_, Some(initial)) => !initial.contains(id),
                (_, None) => false,
            };
            if speaks {
                conflicts.push((other, instance.phase));
            }
        }
        Some(conflicts)
    }

    // ---- votes -----------------------------------------------------------------------------------------

    /// The owner's own part of the first phase: what its new command depends on, all of `floor` included.
    pub fn submit(
        &mut self,
        id: CommandId,
        command: C,
        floor: &Floor,
        instead_of: Option<CommandId>,
    ) -> IdSet {
        let deps = self.with_conflicts(id, &command, &IdSet::from(floor.clone()));
        self.note_seen(id);
        let instance = Instance {
            phase: Phase::PreAccepted,
            command: Some(command),
            held: Held::Command,
            deps: deps.clone(),
            initial: Some(deps.clone()),
            instead_of,
            ..Instance::default()
        };
        self.put(id, instance);
        deps
    }

    /// First phase: tells the owner what else interferes with its command. Asked again it answers the same.
    ///
    /// # Panics
    /// If the identity was used for another command before.
    pub fn handle_pre_accept(&mut self, id: CommandId, command: C, deps: IdSet) -> Option<Answer<C>> {
        self.note_seen(id);
        self.note_seen_all(&deps);
        if self.is_decided(id) {
            return self.tell_known(id);
        }
        let mut instance = self.instances.get(&id).cloned().unwrap_or_default();
        check_same(id, &instance, &command, Some(&deps));
        if !instance.promised.is_zero() && !mutant!(EpaxosPromiseIgnored) {
            return Answer::new(
                Message::Nack { id, ballot: Ballot::ZERO, promised: instance.promised },
                false,
            );
        }
        match instance.phase {
            Phase::Initial => {}
            Phase::PreAccepted => {
                return Answer::new(Message::PreAcceptOk { id, deps: instance.deps }, false);
            }
            Phase::Accepted | Phase::Committed => return None,
        }
        let all = self.with_conflicts(id, &command, &deps);
        instance.phase = Phase::PreAccepted;
        instance.command = Some(command);
        instance.held = Held::Command;
        instance.deps = all.clone();
        instance.initial = Some(deps);
        self.put(id, instance);
        Answer::new(Message::PreAcceptOk { id, deps: all }, true)
    }

    /// Second phase: votes, unless a higher ballot was promised. Voting raises the promise.
    ///
    /// # Panics
    /// If the ballot carried something else before.
    pub fn handle_accept(
        &mut self,
        id: CommandId,
        ballot: Ballot,
        decree: Decree<C>,
        deps: IdSet,
    ) -> Option<Answer<C>> {
        self.note_seen(id);
        self.note_seen_all(&deps);
        if self.known.contains(id) {
            return self.tell_known(id);
        }
        let mut instance = self.instances.get(&id).cloned().unwrap_or_default();
        if ballot < instance.promised && !mutant!(EpaxosPromiseIgnored) {
            return Answer::new(Message::Nack { id, ballot, promised: instance.promised }, false);
        }
        if instance.phase == Phase::Accepted && instance.accepted == ballot {
            assert!(
                instance.decree().as_ref() == Some(&decree) && instance.deps == deps,
                "{ballot} of {id} carries {instance:?} as well as {decree:?} after {deps}"
            );
            return Answer::new(Message::AcceptOk { id, ballot }, false);
        }
        instance.phase = Phase::Accepted;
        instance.promised = instance.promised.max(ballot);
        instance.accepted = ballot;
        hold(id, &mut instance, decree, deps);
        self.put(id, instance);
        Answer::new(Message::AcceptOk { id, ballot }, true)
    }

    /// Recovery: promises `ballot` unless as high a one was promised, and tells what is known. Asked again with the
    /// promised ballot it tells again, for the answer may have been lost.
    pub fn handle_recover(&mut self, id: CommandId, ballot: Ballot) -> Option<Answer<C>> {
        self.note_seen(id);
        if self.known.contains(id) {
            return self.tell_known(id);
        }
        let mut instance = self.instances.get(&id).cloned().unwrap_or_default();
        let before = instance.promised;
        if ballot < before {
            return Answer::new(Message::Nack { id, ballot, promised: before }, false);
        }
        if ballot == before && instance.accepted == ballot {
            return None;
        }
        instance.promised = ballot;
        let report = Report {
            phase: instance.phase,
            accepted: if mutant!(EpaxosSingleBallot) { before } else { instance.accepted },
            decree: instance.decree(),
            deps: instance.deps.clone(),
            initial: instance.initial.clone(),
        };
        self.put(id, instance);
        Answer::new(Message::RecoverOk { id, ballot, report }, ballot > before)
    }

    /// Recovery: takes note of the command, so that later ones depend on it, and tells what speaks against it.
    pub fn handle_validate(
        &mut self,
        id: CommandId,
        ballot: Ballot,
        command: C,
        deps: IdSet,
    ) -> Option<Answer<C>> {
        self.note_seen_all(&deps);
        if self.known.contains(id) {
            return self.tell_known(id);
        }
        let mut instance = self.instances.get(&id).cloned().unwrap_or_default();
        if ballot < instance.promised {
            return Answer::new(Message::Nack { id, ballot, promised: instance.promised }, false);
        }
        // A vote with this ballot, or a promise never given: the question is out of date, or was not for us.
        if ballot != instance.promised || instance.phase >= Phase::Accepted {
            return None;
        }
        check_same(id, &instance, &command, Some(&deps));
        let conflicts = self.conflicts(id, &command, &deps)?;
        let news = instance.initial.is_none();
        if news && !mutant!(EpaxosValidationForgotten) {
            instance.command = Some(command);
            instance.held = Held::Command;
            instance.initial = Some(deps);
            self.put(id, instance);
        }
        Answer::new(Message::ValidateOk { id, ballot, conflicts }, news)
    }

    /// Takes what is agreed on. Returns whether it is news.
    ///
    /// # Panics
    /// If something else was agreed on before: replicas disagree, which no schedule may bring about.
    pub fn commit(&mut self, id: CommandId, decree: Decree<C>, deps: IdSet) -> bool {
        self.note_seen(id);
        self.note_seen_all(&deps);
        if self.collected.contains(id) {
            return false;
        }
        let mut instance = self.instances.get(&id).cloned().unwrap_or_default();
        if instance.is_committed() {
            assert!(
                instance.decree().as_ref() == Some(&decree) && instance.deps == deps,
                "{id} is committed as {instance:?} and as {decree:?} after {deps}"
            );
            return false;
        }
        instance.phase = Phase::Committed;
        hold(id, &mut instance, decree, deps);
        self.put(id, instance);
        true
    }

    /// Everybody who asks about a committed command is told. Of a forgotten one nothing can be said.
    ///
    /// Of one that was executed in another's state, and is not known here, a recoverer is answered as if it had not been
    /// executed: what was promised and voted for here still is, and another quorum may be out of reach.
    fn tell_known(&self, id: CommandId) -> Option<Answer<C>> {
        let Committed { id, decree, deps } = self.committed(id)?;
        Answer::new(Message::Commit { id, decree, deps }, false)
    }

    fn put(&mut self, id: CommandId, instance: Instance<C>) {
        if instance.held == Held::Nop {
            self.nops.insert(id);
        } else {
            self.nops.remove(&id);
        }
        if instance.is_committed() {
            self.known.insert(id);
        }
        let indexed = self.instances.get(&id).is_some_and(|old| old.command.is_some());
        if let Some(command) = instance.command.as_ref().filter(|_| !indexed) {
            self.index.insert(id, command.extents());
        }
        self.instances.insert(id, instance);
        self.close_holes();
    }

    // ---- forgetting ------------------------------------------------------------------------------------

    /// From now on every answer to a `PreAccept` names these. Returns whether that is news.
    pub fn promise_answers(&mut self, floor: &Floor) -> bool {
        let news = !self.answers.covers(floor);
        self.answers.raise_to(floor);
        news
    }

    /// Forgets these. The caller knows that nobody needs to hear of them, see [`collection`](super::collection).
    ///
    /// # Panics
    /// If one of them would not be named in answers any more.
    pub fn collect(&mut self, floor: &Floor) -> bool {
        assert!(self.answers.covers(floor), "{floor:?} forgotten, of which answers name {:?}", self.answers);
        if self.collected.covers(floor) {
            return false;
        }
        let gone: Vec<CommandId> = floor
            .iter()
            .flat_map(|(owner, last)| {
                let range = CommandId::new(owner, 0)..=CommandId::new(owner, last);
                self.instances.range(range).map(|(id, _)| *id)
            })
            .collect();
        for id in gone {
            self.nops.remove(&id);
            if let Some(command) = self.instances.remove(&id).and_then(|instance| instance.command) {
                self.index.remove(id, &command.extents());
            }
        }
        self.collected.raise_to(floor);
        self.known.insert_floor(floor);
        self.close_holes();
        true
    }

    /// A state was installed, or found at the start, that has executed all this.
    pub fn took_over(&mut self, executed: &IdSet) {
        self.note_seen_all(executed);
        self.installed.extend(executed);
        self.close_holes();
    }

    fn close_holes(&mut self) {
        if !self.installed.is_empty() && self.known.covers(&self.installed) {
            self.installed = IdSet::default();
        }
    }

    /// As few records as say all of this.
    pub fn records(&self) -> Vec<Record<C>> {
        let floors = [Record::Answers(self.answers.clone()), Record::Collected(self.collected.clone())];
        let instances =
            self.instances().map(|(id, instance)| Record::Instance { id, instance: instance.clone() });
        floors.into_iter().chain(instances).collect()
    }
}

fn hold<C: Command>(id: CommandId, instance: &mut Instance<C>, decree: Decree<C>, deps: IdSet) {
    match decree {
        Decree::Nop => instance.held = Held::Nop,
        Decree::Command(command) => {
            check_same(id, instance, &command, None);
            instance.command = Some(command);
            instance.held = Held::Command;
        }
    }
    instance.deps = deps;
}

/// An identity stands for one command with one set of initial dependencies, for ever.
fn check_same<C: Command>(id: CommandId, instance: &Instance<C>, command: &C, initial: Option<&IdSet>) {
    assert!(
        instance.command.as_ref().is_none_or(|known| known == command),
        "{id} stands for two commands: {:?} and {command:?}",
        instance.command
    );
    if let (Some(known), Some(initial)) = (&instance.initial, initial) {
        assert!(known == initial, "{id} was proposed twice: with {known} and with {initial}");
    }
}
