//! What a [`Core`] does to learn what it missed, and to forget what nobody misses.

use std::collections::BTreeSet;

use synod_probe::{mark, mutant};

use crate::durable::Sealed;
use crate::egalitarian::core::{Core, Output};
use crate::egalitarian::id::{CommandId, Floor, IdSet};
use crate::egalitarian::interference::Command;
use crate::egalitarian::message::{Committed, Letter, Message, Status};
use crate::egalitarian::record::Record;
use crate::node::NodeId;

/// How many commands one answer to a `Fetch` holds.
const FETCH_MAX: usize = 256;

impl<C: Command> Core<C> {
    /// Tells everybody how this replica stands, and forgets what it may. `present` are those whose execution is worth
    /// waiting for: who is not among them may have to install a state when it comes back.
    pub fn tell_status(&mut self, present: &BTreeSet<NodeId>) {
        let decided = match mutant!(EpaxosForgetsByKnown) {
            true => self.table.known().clone(),
            false => self.table.decided(),
        };
        let floor = self.collection.collectable(self.quorums.slow_size(), decided.floor());
        self.collect(&floor.common(self.table.answers()));
        let answers = self.collection.raise(present);
        self.promise_answers(&answers);
        let status = self.status();
        self.collection.hear(self.id, status.clone());
        self.hold(self.others(), Sealed::new(Message::Status(status)));
    }

    /// The state machine's state is durable and has executed this.
    pub fn truncate(&mut self, executed: &IdSet) {
        self.collection.checkpointed(executed.floor());
        if mutant!(EpaxosCollectedTooEarly) {
            self.promise_answers(&executed.floor().clone());
            self.collect(&executed.floor().clone());
        }
    }

    /// Whether a state that has executed this is worth to be installed: it has something new, and whatever else was
    /// executed here is held here, to be executed again on top of it.
    ///
    /// Neither state need cover the other: what a replica that was away has executed meanwhile, others may not have in
    /// their durable states yet. Of commands that only one of the two has executed, none interferes with one that only the other
    /// has: one of them depends on the other, and would have been executed after it, or with it.
    pub fn is_worth_installing(&self, executed: &IdSet) -> bool {
        !self.executed().covers(executed)
            && self.beyond(executed).all(|id| self.table.committed(id).is_some())
    }

    /// What was executed here and not there.
    fn beyond(&self, executed: &IdSet) -> impl Iterator<Item = CommandId> {
        let next = |after| self.executed().next_not_in(executed, after);
        std::iter::successors(next(None), move |id| next(Some(*id)))
    }

    /// A state that has executed this is on its way to the disk, to take the place of what is durable. What it lacks must
    /// be held until a later one is there.
    pub fn prepare_install(&mut self, executed: &IdSet) {
        self.collection.limit(executed.floor());
    }

    /// Another replica's state, which has executed this, is durable here and takes the place of the present one. What
    /// else was executed here is executed again. Returns `false`, and changes nothing, if it is not worth it.
    pub fn install(&mut self, executed: &IdSet) -> bool {
        if !self.is_worth_installing(executed) {
            return false;
        }
        mark!(EpaxosStateInstalled);
        let again: Vec<CommandId> = self.beyond(executed).collect();
        mark!(EpaxosExecutedAgain if !again.is_empty());
        self.executor.install(executed, again);
        self.table.took_over(executed);
        self.counter = self.counter.max(self.table.seen().of(self.id));
        self.collection.limit(executed.floor());
        self.collection.checkpointed(executed.floor());
        let table = &self.table;
        self.leads.retain(|id, _| !table.is_decided(*id));
        true
    }

    pub(super) fn status(&self) -> Status {
        Status {
            executed: self.collection.executed().clone(),
            submits: self.collection.submits().clone(),
            answers: self.table.answers().clone(),
            seen: self.table.seen().clone(),
            committed: self.table.known().floor().clone(),
            collected: self.table.collected().clone(),
            installed: self.table.installed().clone(),
        }
    }

    pub(super) fn handle_status(&mut self, from: NodeId, status: Status) {
        self.table.note_seen_all(&IdSet::from(status.seen.clone()));
        if mutant!(EpaxosForgetsWithOthers) {
            let floor = status.collected.common(self.collection.executed());
            self.promise_answers(&floor);
            self.collect(&floor);
        }
        let behind =
            !self.table.known().covers_floor(&status.committed) || !self.table.installed().is_empty();
        // Who took something over with a state may be silent when it is to be validated: see `Table::conflicts`.
        let is_open = |id: &CommandId| !self.table.is_decided(*id);
        let taken_over = self.leads.keys().filter(|id| is_open(id)).any(|id| status.installed.contains(*id))
            && !mutant!(EpaxosTakenOverUntold);
        let cut_off = taken_over || self.is_cut_off(&status.collected);
        self.collection.hear(from, status);
        if cut_off {
            self.out.push_back(Output::StateNeeded { from });
        } else if behind {
            self.send(Letter {
                to: vec![from],
                message: Message::Fetch { have: self.table.known().clone() },
            });
        }
    }

    /// Whether somebody has forgotten what is not decided here.
    fn is_cut_off(&self, collected: &Floor) -> bool {
        !self.table.known().covers_floor(collected) && !self.table.decided().covers_floor(collected)
    }

    pub(super) fn handle_fetch(&mut self, from: NodeId, have: &IdSet) {
        let missing =
            self.table.instances().filter(|(id, instance)| instance.is_committed() && !have.contains(*id));
        let mut instances: Vec<Committed<C>> =
            missing.take(FETCH_MAX + 1).filter_map(|(id, _)| self.table.committed(id)).collect();
        let more = instances.len() > FETCH_MAX;
        instances.truncate(FETCH_MAX);
        // A fast commit of our own is among them only once it is durable.
        self.hold(vec![from], Sealed::new(Message::Fetched { instances, more }));
    }

    pub(super) fn handle_fetched(&mut self, from: NodeId, instances: Vec<Committed<C>>, more: bool) {
        let before = self.table.known().clone();
        for Committed { id, decree, deps } in instances {
            mark!(EpaxosFetched if !self.table.is_decided(id));
            self.learn(id, decree, deps);
        }
        if more && *self.table.known() != before {
            self.send(Letter {
                to: vec![from],
                message: Message::Fetch { have: self.table.known().clone() },
            });
        }
    }

    pub(super) fn promise_answers(&mut self, floor: &Floor) {
        if self.table.promise_answers(floor) {
            self.collection.raise_submits(floor);
            self.records.push(Record::Answers(self.table.answers().clone()));
            self.open_write();
        }
    }

    pub(super) fn collect(&mut self, floor: &Floor) {
        if self.table.collect(floor) {
            mark!(EpaxosCollected);
            self.records.push(Record::Collected(self.table.collected().clone()));
            self.open_write();
        }
    }
}
