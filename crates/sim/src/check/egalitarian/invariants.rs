//! What must hold in every state, whoever did what.

use std::collections::BTreeMap;

use synod_paxos::egalitarian::id::{CommandId, IdSet};
use synod_paxos::egalitarian::instance::Decree;
use synod_paxos::egalitarian::interference::Command as _;
use synod_paxos::egalitarian::message::Message;

use crate::check::Violation;
use crate::check::egalitarian::cluster::{Command, Member, State};
use crate::check::egalitarian::model::Replicas;

type Commits<'a> = BTreeMap<CommandId, (Decree<Command>, &'a IdSet)>;

fn broken(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { invariant, what })
}

impl Replicas {
    /// Checks everything.
    pub(super) fn check(&self, state: &State) -> Result<(), Violation> {
        let commits = self.commits(state)?;
        self.check_visibility(&commits)?;
        self.check_order(state, &commits)?;
        self.check_kept(state)
    }

    /// Agreement: one decree and one set of dependencies for an identity, whoever tells of it or holds it. Validity: a
    /// command that was proposed, or nothing.
    fn commits<'a>(&self, state: &'a State) -> Result<Commits<'a>, Violation> {
        let mut commits: Commits<'a> = BTreeMap::new();
        let mut all = Vec::new();
        for packet in state.sent.iter() {
            match &packet.message {
                Message::Commit { id, decree, deps } => all.push((*id, decree.clone(), deps)),
                Message::Fetched { instances, .. } => {
                    all.extend(instances.iter().map(|one| (one.id, one.decree.clone(), &one.deps)));
                }
                _ => {}
            }
        }
        for member in &state.members {
            let held = member.core.table().instances().filter(|(_, instance)| instance.is_committed());
            // A fast commit of its own that a replica has not on its disk may still be forgotten.
            for (id, instance) in held.filter(|(id, _)| member.core.has_learned(*id)) {
                all.extend(instance.decree().map(|decree| (id, decree, &instance.deps)));
            }
        }
        for (id, decree, deps) in all {
            if let Decree::Command(command) = decree
                && usize::from(command.number) >= state.given
            {
                broken("Validity", format!("{id} is committed as {decree:?}, which nobody proposed"))?;
            }
            match commits.get(&id) {
                Some(known) if *known != (decree.clone(), deps) => {
                    let (other, others) = known;
                    let what = format!("{id} is {other:?} after {others} and {decree:?} after {deps}");
                    broken("Agreement", what)?;
                }
                _ => {
                    commits.insert(id, (decree, deps));
                }
            }
        }
        Ok(commits)
    }

    /// Of two committed commands that interfere, at least one depends on the other.
    fn check_visibility(&self, commits: &Commits<'_>) -> Result<(), Violation> {
        for (id, (decree, deps)) in commits {
            for (other, (others, their_deps)) in commits.range(..id) {
                let (Decree::Command(mine), Decree::Command(theirs)) = (decree, others) else { continue };
                if mine.interferes(theirs) && !deps.contains(*other) && !their_deps.contains(*id) {
                    broken("Visibility", format!("neither {id} nor {other} depends on the other"))?;
                }
            }
        }
        Ok(())
    }

    /// All execute interfering commands in the same order, each once, and what counts as executed was.
    fn check_order(&self, state: &State, commits: &Commits<'_>) -> Result<(), Violation> {
        let shared = |member: &Member| -> Vec<u8> {
            member.executed.iter().filter(|command| command.key == 0).map(|command| command.number).collect()
        };
        let longest =
            state.members.iter().map(|member| shared(member)).max_by_key(Vec::len).unwrap_or_default();
        for member in &state.members {
            let (mine, who) = (shared(member), member.core.id());
            if longest[..mine.len()] != mine[..] {
                broken("same order of execution", format!("{who} executed {mine:?}, another {longest:?}"))?;
            }
            let all = &member.executed;
            if (1..all.len()).any(|at| all[..at].contains(&all[at])) {
                broken("executed once", format!("{who} executed {all:?}"))?;
            }
            let missing = commits.iter().find(|(id, (decree, _))| {
                let has = |command: &Command| all.contains(command);
                member.core.executed().contains(**id)
                    && matches!(decree, Decree::Command(command) if !has(command))
            });
            if let Some((id, _)) = missing {
                broken("executed means executed", format!("the state of {who} lacks {id}"))?;
            }
        }
        Ok(())
    }

    /// What a client was told is proposed stays so: under some identity that has not become a no-op.
    fn check_kept(&self, state: &State) -> Result<(), Violation> {
        for number in 0..state.given {
            let owner = self.setting().id(number).owner;
            let core = &state.members[owner.0 as usize - 1].core;
            let asked = state.told >> number & 1 == 1;
            let first = self.setting().id(number);
            let holds = core.table().is_decided(first) && core.table().instance(first).is_none();
            let holds = holds
                || core.table().instances_of(owner, 0).any(|(_, instance)| {
                    !instance.is_nop()
                        && instance.command.is_some_and(|held| usize::from(held.number) == number)
                });
            if asked && !holds {
                broken("no command is dropped", format!("{owner} has given up its {}", first))?;
            }
        }
        Ok(())
    }
}
