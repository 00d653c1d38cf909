//! Writes of one key are executed in the same order everywhere, whatever the protocol.

use std::collections::BTreeMap;

use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::checkers::violated;
use crate::program::Digest;

/// The writes of each key, in the order in which the first node executed them.
#[derive(Debug, Default)]
pub struct Executions {
    writes: BTreeMap<Digest, Vec<Digest>>,
}

impl Executions {
    /// A node executed `write` as the write number `index`, from 0 on, of `key`.
    ///
    /// # Errors
    /// If another node executed another one there, or none that came before it.
    pub fn execute(&mut self, node: NodeId, key: Digest, index: u64, write: Digest) -> Result<(), Violation> {
        let writes = self.writes.entry(key).or_default();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        match writes.get(place) {
            Some(known) if *known == write => Ok(()),
            Some(known) => violated(
                "Same order",
                format!("{node} executes {write:?} as write {index} of a key, others {known:?}"),
            ),
            None if place == writes.len() => {
                writes.push(write);
                Ok(())
            }
            None => violated(
                "Same order",
                format!("{node} executes write {index} of a key of which {} are known", writes.len()),
            ),
        }
    }

    /// How many writes were executed.
    pub fn len(&self) -> usize {
        self.writes.values().map(Vec::len).sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_may_be_behind_but_not_differ() {
        let mut executions = Executions::default();
        let (key, other) = (Digest(1), Digest(2));
        assert!(executions.execute(NodeId(1), key, 0, Digest(10)).is_ok());
        assert!(executions.execute(NodeId(1), key, 1, Digest(11)).is_ok());
        assert!(executions.execute(NodeId(2), key, 0, Digest(10)).is_ok());
        assert!(executions.execute(NodeId(2), other, 0, Digest(11)).is_ok(), "another key");
        assert!(executions.execute(NodeId(2), key, 1, Digest(12)).is_err());
        assert!(executions.execute(NodeId(3), key, 3, Digest(13)).is_err(), "a write is left out");
        assert_eq!(executions.len(), 3);
    }
}
