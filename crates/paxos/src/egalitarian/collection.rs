//! Forgetting what was executed, without anybody missing it.
//!
//! A replica may forget a set F of executed commands once it knows a slow quorum L such that every member r of L
//!
//! 1. has promised that each of its answers to a `PreAccept` names all of F as dependencies, and
//! 2. had, when it said so, heard only of commands that are committed here by now.
//!
//! Then a command c that is not committed here and whose owner left some of F out of its dependencies was not, and will
//! not be, committed on the fast path: a fast quorum shares a member r with L, whose answer came after its promise,
//! for otherwise r had heard of c before, and c would be committed here; and with its promise r names F, which is not
//! what the owner asked for. On the slow path c depends on all of F. So whoever has forgotten F still knows what to
//! answer for it: in the first phase F itself, to a recoverer that F was executed, and to one that validates c without
//! F that F speaks against it.
//!
//! That takes no promise of replicas that are away. When they come back and others have forgotten what they miss, they
//! install another's state.
//!
//! To keep the fast path, owners put F into their dependencies before others begin to name it: a replica first raises
//! what it submits with, to what all those present have executed, and then what it answers with, to what all those
//! present submit with.

use std::collections::{BTreeMap, BTreeSet};

use synod_probe::mutant;

use crate::egalitarian::id::Floor;
use crate::egalitarian::message::Status;
use crate::node::NodeId;

/// What everybody said of how they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Collection {
    /// What new commands depend on.
    submits: Floor,
    /// What is part of the durable state here.
    executed: Floor,
    /// The last word of everybody, this replica included.
    statuses: BTreeMap<NodeId, Status>,
}

impl Collection {
    /// At a start: with a durable state that covers `executed`, and the promise `answers`.
    pub(super) fn new(executed: Floor, answers: Floor) -> Collection {
        Collection { submits: answers, executed, statuses: BTreeMap::new() }
    }

    /// What new commands depend on.
    pub fn submits(&self) -> &Floor {
        &self.submits
    }

    /// What is part of the durable state here.
    pub fn executed(&self) -> &Floor {
        &self.executed
    }

    /// The state is durable that has executed this.
    pub(super) fn checkpointed(&mut self, executed: &Floor) {
        self.executed.raise_to(executed);
    }

    /// The durable state may be one that has executed no more than this of what the present one has.
    pub(super) fn limit(&mut self, executed: &Floor) {
        self.executed = self.executed.common(executed);
    }

    /// Takes the word of `from`.
    pub(super) fn hear(&mut self, from: NodeId, status: Status) {
        self.statuses.insert(from, status);
    }

    /// The answers promised must be part of what is submitted with.
    pub(super) fn raise_submits(&mut self, answers: &Floor) {
        self.submits.raise_to(answers);
    }

    /// Raises what new commands depend on to what all those `present` have executed. Returns what all of them put
    /// into their new commands.
    pub(super) fn raise(&mut self, present: &BTreeSet<NodeId>) -> Floor {
        let nobody = Status::default();
        let status = |node: &NodeId| self.statuses.get(node).unwrap_or(&nobody);
        let executed =
            present.iter().fold(self.executed.clone(), |all, node| all.common(&status(node).executed));
        let submitted =
            present.iter().fold(self.submits.clone(), |all, node| all.common(&status(node).submits));
        self.submits.raise_to(&executed);
        submitted
    }

    /// What may be forgotten, given how large a slow quorum is, and what is committed here without a gap.
    pub(super) fn collectable(&self, slow: usize, committed: &Floor) -> Floor {
        if mutant!(EpaxosCollectedTooEarly) {
            return self.executed.clone();
        }
        let heard_nothing_else =
            |status: &&Status| committed.covers(&status.seen) || mutant!(EpaxosOpenCommandsIgnored);
        let members: Vec<&Status> = self.statuses.values().filter(heard_nothing_else).collect();
        let floor = self.executed.iter().map(|(owner, executed)| {
            let mut promised: Vec<u64> = members.iter().map(|status| status.answers.of(owner)).collect();
            promised.sort_unstable_by(|a, b| b.cmp(a));
            (owner, promised.get(slow - 1).copied().unwrap_or(0).min(executed))
        });
        floor.collect()
    }
}
