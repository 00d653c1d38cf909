//! What a [`Core`] does as the coordinator of commands: of its own, and of those that it recovers.

use std::collections::{BTreeMap, BTreeSet};

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::egalitarian::core::Core;
use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::instance::{Decree, Held, Instance, Phase};
use crate::egalitarian::interference::Command;
use crate::egalitarian::lead::{Lead, Stage};
use crate::egalitarian::message::{Letter, Message, Report};
use crate::egalitarian::recovery::{self, Fate, Step};
use crate::node::NodeId;

impl<C: Command> Core<C> {
    // ---- the owner -------------------------------------------------------------------------------------

    pub(super) fn handle_pre_accept_ok(&mut self, from: NodeId, id: CommandId, deps: IdSet) {
        if let Some(Lead { stage: Stage::PreAccepting { answers }, .. }) = self.leads.get_mut(&id) {
            answers.insert(from, deps);
            self.decide_first_phase(id, false);
        }
    }

    /// Commits at once if a fast quorum answered with exactly what the owner asked with; asks for votes if a fast
    /// quorum answered otherwise, or a slow one did and there was `waited` enough.
    pub(super) fn decide_first_phase(&mut self, id: CommandId, waited: bool) {
        let Some(Lead { stage: Stage::PreAccepting { answers }, .. }) = self.leads.get(&id) else { return };
        let Some(instance) = self.table.instance(id) else { return };
        let Some(command) = instance.command.clone() else { return };
        let mut deps = instance.deps.clone();
        if mutant!(EpaxosAnswersCompared) {
            let other = answers.iter().find(|(node, _)| **node != self.id);
            deps = other.map_or(deps, |(_, answer)| answer.clone());
        }
        let own = usize::from(mutant!(EpaxosAnswersCompared) && answers.get(&self.id) != Some(&deps));
        let equal = own + answers.values().filter(|answer| **answer == deps).count();
        let (fast, slow) = (self.quorums.fast_size(), self.quorums.slow_size());
        let decree = Decree::Command(command);
        if equal >= fast && answers.len() >= slow {
            mark!(EpaxosFastPath);
            self.commit_fast(id, decree, deps);
        } else if answers.len() >= if waited { slow } else { fast } {
            mark!(EpaxosSlowPath);
            let mut all = IdSet::default();
            answers.values().for_each(|answer| all.extend(answer));
            self.ask_for_votes(id, decree, all);
        }
    }

    /// Nobody but the owner knows of a fast commit, and a recovery concludes from the owner's answer that there was
    /// none: so it must be durable before it is told or executed.
    fn commit_fast(&mut self, id: CommandId, decree: Decree<C>, deps: IdSet) {
        self.leads.remove(&id);
        if mutant!(EpaxosFastCommitBeforeWrite) {
            self.send(Letter {
                to: self.others(),
                message: Message::Commit { id, decree: decree.clone(), deps: deps.clone() },
            });
        }
        self.table.commit(id, decree.clone(), deps.clone());
        self.write(id);
        let all = self.quorums.replicas().collect();
        self.hold(all, Sealed::new(Message::Commit { id, decree, deps }));
    }

    // ---- votes -----------------------------------------------------------------------------------------

    fn ask_for_votes(&mut self, id: CommandId, decree: Decree<C>, deps: IdSet) {
        let Some(lead) = self.leads.get_mut(&id) else { return };
        let ballot = lead.ballot;
        lead.stage = Stage::Accepting { decree: decree.clone(), deps: deps.clone(), votes: BTreeSet::new() };
        let to = self.quorums.replicas().collect();
        self.send(Letter { to, message: Message::Accept { id, ballot, decree, deps } });
    }

    pub(super) fn handle_accept_ok(&mut self, from: NodeId, id: CommandId, ballot: Ballot) {
        let Some(lead) = self.leads.get_mut(&id).filter(|lead| lead.ballot == ballot) else { return };
        let Stage::Accepting { decree, deps, votes } = &mut lead.stage else { return };
        votes.insert(from);
        if votes.len() >= self.quorums.slow_size() {
            let (decree, deps) = (decree.clone(), deps.clone());
            self.leads.remove(&id);
            let message = Message::Commit { id, decree: decree.clone(), deps: deps.clone() };
            self.send(Letter { to: self.others(), message });
            self.learn(id, decree, deps);
        }
    }

    /// `id` is agreed on, and the votes behind that are durable.
    pub(super) fn learn(&mut self, id: CommandId, decree: Decree<C>, deps: IdSet) {
        if self.table.commit(id, decree, deps) {
            self.write(id);
        }
        self.leads.remove(&id);
        self.outbid.remove(&id);
        if self.table.collected().contains(id) {
            return;
        }
        let is_nop = || self.table.instance(id).is_some_and(Instance::is_nop);
        if self.executor.learn(id) && id.owner == self.id && is_nop() {
            self.propose_again(id);
        }
        self.settle_waiting();
    }

    // ---- the recoverer ---------------------------------------------------------------------------------

    pub(super) fn handle_recover_ok(
        &mut self,
        from: NodeId,
        id: CommandId,
        ballot: Ballot,
        report: Report<C>,
    ) {
        let Some(lead) = self.leads.get_mut(&id).filter(|lead| lead.ballot == ballot) else { return };
        let step = match &mut lead.stage {
            Stage::Asking { reports } => {
                reports.insert(from, report);
                let complete = reports.len() >= self.quorums.slow_size();
                complete.then(|| recovery::pick(&self.quorums, id.owner, reports))
            }
            Stage::Validating { candidate, .. } | Stage::Waiting { candidate, .. } => {
                recovery::late(id.owner, candidate, from, &report)
            }
            Stage::PreAccepting { .. } | Stage::Accepting { .. } => None,
        };
        self.take(id, step);
    }

    pub(super) fn handle_validate_ok(
        &mut self,
        from: NodeId,
        id: CommandId,
        ballot: Ballot,
        conflicts: Vec<(CommandId, Phase)>,
    ) {
        let Some(lead) = self.leads.get_mut(&id).filter(|lead| lead.ballot == ballot) else { return };
        let Stage::Validating { candidate, answers } = &mut lead.stage else { return };
        for (conflict, _) in &conflicts {
            self.table.note_seen(*conflict);
        }
        if candidate.quorum.contains(&from) {
            answers.entry(from).or_insert(conflicts);
        }
        let complete = answers.len() == candidate.quorum.len();
        let step = complete.then(|| recovery::judge(&self.quorums, candidate, answers));
        self.take(id, step);
    }

    /// (c): another recoverer waits as well.
    pub(super) fn handle_waiting(&mut self, other: CommandId, supporters: u64) {
        self.table.note_seen(other);
        if !recovery::yields(&self.quorums, supporters) {
            return;
        }
        let waits = |lead: &Lead<C>| matches!(&lead.stage, Stage::Waiting { conflicts, .. } if conflicts.contains(&other));
        let waiting: Vec<CommandId> =
            self.leads.iter().filter(|(_, lead)| waits(lead)).map(|(id, _)| *id).collect();
        for id in waiting {
            mark!(EpaxosWaitYielded);
            self.ask_for_votes(id, Decree::Nop, IdSet::default());
        }
    }

    /// (a), (b): something was committed that others may wait for.
    fn settle_waiting(&mut self) {
        let waiting: Vec<CommandId> = self
            .leads
            .iter()
            .filter(|(_, lead)| matches!(lead.stage, Stage::Waiting { .. }))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let Some(Lead { stage: Stage::Waiting { candidate, conflicts }, .. }) = self.leads.get(&id)
            else {
                continue;
            };
            let step = recovery::settle(candidate, conflicts.iter().map(|other| self.fate(id, *other)));
            self.take(id, step);
        }
    }

    fn fate(&self, id: CommandId, other: CommandId) -> Fate {
        // A fast commit of our own counts once it is durable.
        if !self.executor.has(other) {
            return Fate::Open;
        }
        // What was executed with another's state may be held here as it was before it was agreed on: that says nothing.
        let is_agreed =
            |instance: &&Instance<C>| instance.is_committed() || mutant!(EpaxosOpenInstanceBelieved);
        match self.table.instance(other).filter(is_agreed) {
            Some(instance) if instance.held == Held::Nop || instance.deps.contains(id) => Fate::Harmless,
            Some(_) => Fate::Against,
            // Forgotten, and executed without the one that is not committed.
            None if self.table.collected().contains(other) => Fate::Against,
            None => Fate::Open,
        }
    }

    fn take(&mut self, id: CommandId, step: Option<Step<C>>) {
        match step {
            None => {}
            Some(Step::Accept(decree, deps)) => self.ask_for_votes(id, decree, deps),
            // It was executed in another's state. With votes it would have been committed with what these say: so it was
            // committed on the fast path, as it was proposed.
            Some(Step::Validate(candidate)) if self.table.is_decided(id) => {
                self.ask_for_votes(id, Decree::Command(candidate.command), candidate.deps);
            }
            Some(Step::Validate(candidate)) => {
                let Some(lead) = self.leads.get_mut(&id) else { return };
                let (command, deps) = (candidate.command.clone(), candidate.deps.clone());
                let to = candidate.quorum.iter().copied().collect();
                let message = Message::Validate { id, ballot: lead.ballot, command, deps };
                lead.stage = Stage::Validating { candidate, answers: BTreeMap::new() };
                self.send(Letter { to, message });
            }
            Some(Step::Wait(conflicts)) => {
                let Some(lead) = self.leads.get_mut(&id) else { return };
                let Stage::Validating { candidate, .. } = &lead.stage else { return };
                let message = Message::Waiting { id, supporters: candidate.supporters as u64 };
                lead.stage = Stage::Waiting { candidate: candidate.clone(), conflicts };
                self.send(Letter { to: self.others(), message });
                self.settle_waiting();
            }
        }
    }
}
