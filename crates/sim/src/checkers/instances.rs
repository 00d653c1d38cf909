//! Commands that have no place in a log: what is promised of them, voted for and agreed on (Egalitarian Paxos; Ryabinin,
//! Gotsman and Sutra 2025, §3 and §4).

use std::collections::BTreeMap;

use synod_paxos::ballot::Ballot;
use synod_paxos::egalitarian::id::CommandId;
use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::checkers::violated;
use crate::program::{Digest, Instance, Stand};

/// Every durable promise and vote, and all that any node ever took for agreed on.
#[derive(Debug, Default)]
pub struct Instances {
    /// By node and command: what is promised, and the last vote.
    promises: BTreeMap<(NodeId, CommandId), (Ballot, Option<Ballot>)>,
    /// What each ballot of a command carries.
    votes: BTreeMap<(CommandId, Ballot), Digest>,
    agreed: BTreeMap<CommandId, Instance>,
    /// The commands agreed on that touch a key.
    touching: BTreeMap<Digest, Vec<CommandId>>,
}

impl Instances {
    /// `node` has this on its disk.
    ///
    /// # Errors
    /// If it takes back a promise, if a ballot carries two things, if two things are agreed on for one command, or if of
    /// two commands that interfere neither depends on the other.
    pub fn note(&mut self, node: NodeId, instance: Instance) -> Result<(), Violation> {
        self.check_promise(node, &instance)?;
        match instance.stand {
            Stand::Nothing => Ok(()),
            Stand::Voted(ballot) => {
                let known = *self.votes.entry((instance.id, ballot)).or_insert(instance.value);
                if known == instance.value {
                    return Ok(());
                }
                violated("P2b", format!("{ballot} of {} carries two things", instance.id))
            }
            Stand::Agreed => self.agree(node, instance),
        }
    }

    fn check_promise(&mut self, node: NodeId, instance: &Instance) -> Result<(), Violation> {
        let Instance { id, promised, .. } = *instance;
        let (before, last) = self.promises.entry((node, id)).or_insert((Ballot::ZERO, None));
        if promised < *before {
            return violated("P1a", format!("{node} has promised {before} of {id}, and now {promised}"));
        }
        if let Stand::Voted(ballot) = instance.stand
            && *last != Some(ballot)
        {
            if ballot < *before {
                return violated(
                    "P1a",
                    format!("{node} has promised {before} of {id} and votes with {ballot}"),
                );
            }
            *last = Some(ballot);
        }
        *before = promised;
        Ok(())
    }

    /// Agreement and Visibility.
    fn agree(&mut self, node: NodeId, instance: Instance) -> Result<(), Violation> {
        let id = instance.id;
        if let Some(known) = self.agreed.get(&id) {
            if known.value == instance.value {
                return Ok(());
            }
            let (deps, others) = (&instance.deps, &known.deps);
            let what = format!(
                "{id} is {:?} after {deps} at {node}, elsewhere {:?} after {others}",
                instance.value, known.value
            );
            return violated("Agreement", what);
        }
        if let Some((key, reads)) = instance.touches {
            let touching = self.touching.entry(key).or_default();
            for other in touching.iter().filter_map(|other| self.agreed.get(other)) {
                let both_read = reads && other.touches.is_some_and(|(_, reads)| reads);
                if !both_read && !instance.deps.contains(other.id) && !other.deps.contains(id) {
                    let what = format!("neither {id} nor {} depends on the other", other.id);
                    return violated("Visibility", what);
                }
            }
            touching.push(id);
        }
        self.agreed.insert(id, instance);
        Ok(())
    }

    /// How many commands are agreed on.
    pub fn len(&self) -> usize {
        self.agreed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.agreed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use synod_paxos::egalitarian::id::IdSet;

    use super::*;

    fn id(owner: u64) -> CommandId {
        CommandId::new(NodeId(owner), 1)
    }

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, NodeId(1))
    }

    fn instance(owner: u64, stand: Stand, value: u64, deps: &[u64]) -> Instance {
        let promised = if let Stand::Voted(ballot) = stand { ballot } else { Ballot::ZERO };
        let deps: IdSet = deps.iter().map(|owner| id(*owner)).collect();
        Instance {
            id: id(owner),
            promised,
            stand,
            value: Digest(value),
            touches: Some((Digest(7), false)),
            deps,
        }
    }

    fn broken(result: Result<(), Violation>) -> Option<&'static str> {
        result.err().map(|violation| violation.invariant)
    }

    #[test]
    fn a_promise_is_not_taken_back_and_a_ballot_carries_one_thing() {
        let mut instances = Instances::default();
        let (one, other) = (NodeId(1), NodeId(2));
        let vote = |round, value| instance(1, Stand::Voted(ballot(round)), value, &[]);
        assert_eq!(broken(instances.note(one, vote(2, 5))), None);
        assert_eq!(broken(instances.note(one, vote(2, 5))), None, "it is written again");
        assert_eq!(broken(instances.note(other, vote(1, 6))), None, "another ballot");
        assert_eq!(broken(instances.note(other, vote(2, 6))), Some("P2b"));
        assert_eq!(broken(instances.note(one, vote(1, 6))), Some("P1a"));
        let late = Instance { promised: ballot(2), ..vote(1, 6) };
        assert_eq!(broken(instances.note(one, late)), Some("P1a"), "the vote is for less than was promised");
    }

    #[test]
    fn one_thing_is_agreed_on_and_of_two_that_interfere_one_depends_on_the_other() {
        let mut instances = Instances::default();
        let node = NodeId(1);
        let agreed = |owner, value, deps: &[u64]| instance(owner, Stand::Agreed, value, deps);
        assert_eq!(broken(instances.note(node, agreed(1, 5, &[]))), None);
        assert_eq!(broken(instances.note(node, agreed(1, 6, &[]))), Some("Agreement"));
        assert_eq!(broken(instances.note(node, agreed(2, 5, &[1]))), None);
        assert_eq!(broken(instances.note(node, agreed(3, 5, &[2]))), Some("Visibility"));
        let elsewhere = Instance { touches: Some((Digest(8), false)), ..agreed(3, 5, &[2]) };
        assert_eq!(broken(instances.note(node, elsewhere)), None, "another key");
        assert_eq!(instances.len(), 3);
    }
}
