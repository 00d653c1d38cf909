//! Logs of terms: what Raft promises of them (Ongaro 2014, figure 3.2).

use std::collections::BTreeMap;

use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::checkers::violated;
use crate::program::Digest;

/// Every entry ever durable, every leader ever elected, every entry ever committed.
#[derive(Debug, Default)]
pub struct Terms {
    /// By index and term: the term before, and what it is.
    entries: BTreeMap<(u64, u64), (u64, Digest)>,
    leaders: BTreeMap<u64, NodeId>,
    /// By index: its term, and the lowest term of a node that took it for committed.
    committed: BTreeMap<u64, (u64, u64)>,
}

impl Terms {
    /// An entry is durable at `node`. By induction over the index, logs that agree on an entry agree on all before it.
    ///
    /// # Errors
    /// If another log holds another entry, or one with another before it, at the same place and of the same term.
    pub fn log(
        &mut self,
        node: NodeId,
        index: u64,
        term: u64,
        previous: u64,
        value: Digest,
    ) -> Result<(), Violation> {
        let known = self.entries.entry((index, term)).or_insert((previous, value));
        if *known != (previous, value) {
            let what = format!(
                "{node} holds {value:?} behind term {previous} at {index} of term {term}, others {known:?}"
            );
            return violated("Log matching", what);
        }
        Ok(())
    }

    /// `node`, in term `current`, takes the entry of `term` at `index` for committed.
    ///
    /// # Errors
    /// If another one was committed there.
    pub fn commit(&mut self, node: NodeId, index: u64, term: u64, current: u64) -> Result<(), Violation> {
        let (known, lowest) = self.committed.entry(index).or_insert((term, current));
        *lowest = current.min(*lowest);
        if *known != term {
            let what = format!("{node} commits term {term} at {index}, where term {known} was committed");
            return violated("State machine safety", what);
        }
        Ok(())
    }

    /// `node` is elected in `term`. Its log holds entries of these `terms` behind `base`.
    ///
    /// # Errors
    /// If another one was elected in this term, or the log lacks what was committed in an earlier one.
    pub fn elect(&mut self, node: NodeId, term: u64, base: u64, terms: &[u64]) -> Result<(), Violation> {
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            return violated("Election safety", format!("{first} and {node} are both elected in {term}"));
        }
        for (index, (committed, current)) in self.committed.range(base + 1..) {
            let place = usize::try_from(index - base - 1).unwrap_or(usize::MAX);
            // One elected late, in a term that is over, need not know what came after it.
            if *current < term && terms.get(place) != Some(committed) {
                let what = format!(
                    "{node} is elected in {term} and holds {:?} at {index}, where {committed} is committed",
                    terms.get(place)
                );
                return violated("Leader completeness", what);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn one_place_and_term_has_one_entry_behind_one_other() {
        let mut terms = Terms::default();
        assert!(terms.log(A, 1, 1, 0, Digest(5)).is_ok() && terms.log(B, 1, 1, 0, Digest(5)).is_ok());
        assert!(terms.log(B, 1, 2, 0, Digest(6)).is_ok(), "another term is another entry");
        assert!(terms.log(B, 1, 1, 0, Digest(6)).is_err());
        assert!(terms.log(A, 2, 2, 1, Digest(7)).is_ok());
        assert!(terms.log(B, 2, 2, 2, Digest(7)).is_err(), "what is before it differs");
    }

    #[test]
    fn a_term_has_one_leader_and_it_holds_all_that_was_committed() {
        let mut terms = Terms::default();
        assert!(terms.elect(A, 1, 0, &[]).is_ok() && terms.elect(B, 1, 0, &[]).is_err());
        assert!(terms.commit(A, 1, 1, 1).is_ok() && terms.commit(B, 1, 2, 2).is_err());
        assert!(terms.elect(A, 2, 0, &[]).is_err());
        assert!(terms.elect(A, 3, 0, &[2]).is_err());
        assert!(terms.elect(A, 4, 0, &[1]).is_ok() && terms.elect(A, 5, 1, &[]).is_ok());
        assert!(terms.commit(A, 2, 7, 7).is_ok());
        assert!(terms.elect(B, 6, 0, &[1]).is_ok(), "a late leader of an earlier term");
    }
}
