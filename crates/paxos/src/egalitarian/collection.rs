//! Forgetting what was executed, without anybody missing it.
//!
//! A replica may forget a set F of executed commands once it knows a slow quorum L such that every member r of L
//!
//! 1. has promised that each of its answers to a `PreAccept` names all of F as dependencies, and
//! 2. had, when it said so, heard only of commands that are decided here by now: known to be committed, or executed in
//!    a state that was installed.
//!
//! Then a command c that is not decided here and whose owner left some of F out of its dependencies was not, and will
//! not be, committed on the fast path: a fast quorum shares a member r with L, whose answer came after its promise,
//! for otherwise r had heard of c before, and c would be decided here; and with its promise r names F, which is not
//! what the owner asked for. On the slow path c depends on all of F. So whoever has forgotten F still knows what to
//! answer for it: in the first phase F itself, to a recoverer that F was executed, and to one that validates c without
//! F that F speaks against it. Nothing of that is shown of a c that is decided here. If it was executed here in another's
//! state and is not known, it is promised and voted for as ever, but when it is to be validated without F, this replica is
//! silent: see `Table::conflicts`.
//!
//! So everybody forgets by what is decided at its own place, and never because another has forgotten: of c that one
//! may know only that it was executed, and this one not even that.
//!
//! Both conditions stay true once they are: a promise is for ever, and so is a decision. So a promise counts from the
//! moment on at which all is decided that its giver had heard of then, whatever it has heard of since.
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
    /// The words of everybody, this replica included.
    words: BTreeMap<NodeId, Words>,
}

/// What somebody said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Words {
    last: Status,
    /// The first promise since the one that counts. With every new one more was heard of: if only the last were looked
    /// at, who is busy enough would never have given one that counts.
    open: Status,
    /// The promise that counts: all is decided that was heard of before it.
    counts: Floor,
}

impl Words {
    fn look(&mut self, decided: &Floor) {
        let counts = |status: &Status| decided.covers(&status.seen) || mutant!(EpaxosOpenCommandsIgnored);
        if counts(&self.open) {
            self.counts.raise_to(&self.open.answers);
            self.open = self.last.clone();
        }
        if counts(&self.last) {
            self.counts.raise_to(&self.last.answers);
        }
    }
}

impl Collection {
    /// At a start: with a durable state that covers `executed`, and the promise `answers`.
    pub(super) fn new(executed: Floor, answers: Floor) -> Collection {
        Collection { submits: answers, executed, words: BTreeMap::new() }
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
        self.words.entry(from).or_default().last = status;
    }

    /// The answers promised must be part of what is submitted with.
    pub(super) fn raise_submits(&mut self, answers: &Floor) {
        self.submits.raise_to(answers);
    }

    /// Raises what new commands depend on to what all those `present` have executed. Returns what all of them put
    /// into their new commands.
    pub(super) fn raise(&mut self, present: &BTreeSet<NodeId>) -> Floor {
        let nobody = Status::default();
        let status = |node: &NodeId| self.words.get(node).map_or(&nobody, |words| &words.last);
        let executed =
            present.iter().fold(self.executed.clone(), |all, node| all.common(&status(node).executed));
        let submitted =
            present.iter().fold(self.submits.clone(), |all, node| all.common(&status(node).submits));
        self.submits.raise_to(&executed);
        submitted
    }

    /// What may be forgotten, given how large a slow quorum is, and what is decided here without a gap.
    pub(super) fn collectable(&mut self, slow: usize, decided: &Floor) -> Floor {
        if mutant!(EpaxosCollectedTooEarly) {
            return self.executed.clone();
        }
        self.words.values_mut().for_each(|words| words.look(decided));
        let floor = self.executed.iter().map(|(owner, executed)| {
            let mut promised: Vec<u64> = self.words.values().map(|words| words.counts.of(owner)).collect();
            promised.sort_unstable_by(|a, b| b.cmp(a));
            (owner, promised.get(slow - 1).copied().unwrap_or(0).min(executed))
        });
        floor.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(counter: u64) -> Floor {
        [(NodeId(1), counter)].into_iter().collect()
    }

    #[test]
    fn a_promise_counts_once_all_is_decided_that_was_heard_of_before_it_and_for_ever() {
        let mut collection = Collection::new(floor(100), Floor::default());
        let mut tell = |answers, seen, decided| {
            for node in [1, 2] {
                let status = Status { answers: floor(answers), seen: floor(seen), ..Status::default() };
                collection.hear(NodeId(node), status);
            }
            collection.collectable(2, &floor(decided)).of(NodeId(1))
        };
        assert_eq!(tell(3, 10, 9), 0, "the tenth was heard of, and is open");
        assert_eq!(tell(7, 20, 19), 3, "the tenth is decided by now");
        assert_eq!(tell(9, 30, 20), 7, "somebody always hears of more than is decided");
        assert_eq!(tell(12, 40, 40), 12);
        assert_eq!(tell(13, 60, 50), 12, "what counted still does");
    }
}
