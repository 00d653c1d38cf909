//! The coordinator of one command: its owner at ballot 0, or who recovers it at a higher one.

use std::collections::{BTreeMap, BTreeSet};

use crate::ballot::Ballot;
use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::instance::{Decree, Phase};
use crate::egalitarian::message::Report;
use crate::node::NodeId;

/// What a coordinator waits for. Nothing of it is durable: after a restart a command is led with a higher ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lead<C> {
    /// With which ballot it leads.
    pub ballot: Ballot,
    /// How far it is.
    pub stage: Stage<C>,
}

/// The steps of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage<C> {
    /// The owner asks what else interferes.
    PreAccepting {
        /// What each replica answered, the owner included.
        answers: BTreeMap<NodeId, IdSet>,
    },
    /// A recoverer asks for promises.
    Asking {
        /// What each replica reported.
        reports: BTreeMap<NodeId, Report<C>>,
    },
    /// A recoverer asks whether anything speaks against the command.
    Validating {
        /// The command that may have been committed on the fast path.
        candidate: Candidate<C>,
        /// What each member of the quorum answered.
        answers: BTreeMap<NodeId, Vec<(CommandId, Phase)>>,
    },
    /// A recoverer waits until it is clear what becomes of the commands that speak against it.
    Waiting {
        /// The command that may have been committed on the fast path.
        candidate: Candidate<C>,
        /// Those commands.
        conflicts: BTreeSet<CommandId>,
    },
    /// The coordinator asks for votes.
    Accepting {
        /// For what,
        decree: Decree<C>,
        /// with which dependencies.
        deps: IdSet,
        /// Who voted.
        votes: BTreeSet<NodeId>,
    },
}

/// A command that a quorum cannot exclude to have been committed on the fast path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate<C> {
    /// The command.
    pub command: C,
    /// What its owner knew to interfere.
    pub deps: IdSet,
    /// Who was asked: as many as a slow quorum has.
    pub quorum: BTreeSet<NodeId>,
    /// How many of them may have been part of a fast quorum.
    pub supporters: usize,
}

impl<C> Lead<C> {
    /// The owner's lead.
    pub(super) fn of_owner() -> Lead<C> {
        Lead { ballot: Ballot::ZERO, stage: Stage::PreAccepting { answers: BTreeMap::new() } }
    }

    /// A recoverer's lead.
    pub(super) fn of_recoverer(ballot: Ballot) -> Lead<C> {
        Lead { ballot, stage: Stage::Asking { reports: BTreeMap::new() } }
    }

    /// The commands that it waits for.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = CommandId> + '_ {
        let conflicts = match &self.stage {
            Stage::Waiting { conflicts, .. } => Some(conflicts),
            _ => None,
        };
        conflicts.into_iter().flatten().copied()
    }

    /// Who has answered in this stage.
    pub fn answered(&self) -> BTreeSet<NodeId> {
        match &self.stage {
            Stage::PreAccepting { answers } => answers.keys().copied().collect(),
            Stage::Asking { reports } => reports.keys().copied().collect(),
            Stage::Validating { answers, .. } => answers.keys().copied().collect(),
            Stage::Waiting { .. } => BTreeSet::new(),
            Stage::Accepting { votes, .. } => votes.clone(),
        }
    }
}
