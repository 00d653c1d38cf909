//! Applied prefixes are equal, and so are the states they lead to.

use std::collections::BTreeMap;

use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use crate::check::Violation;
use crate::checkers::ledger::Ledger;
use crate::checkers::violated;
use crate::program::Digest;

/// The state after each slot, as the first node that applied it had it.
#[derive(Debug, Default)]
pub struct States {
    after: BTreeMap<Slot, (i64, Option<Digest>)>,
    applied: BTreeMap<NodeId, Slot>,
}

impl States {
    /// A node applied everything up to `slot`.
    ///
    /// # Errors
    /// If it skipped a slot, applied what is not chosen, or has another state than those before it.
    pub fn apply(
        &mut self,
        ledger: &Ledger,
        node: NodeId,
        slot: Slot,
        revision: i64,
        state: Option<Digest>,
        installed: bool,
    ) -> Result<(), Violation> {
        let before = self.applied.insert(node, slot).unwrap_or(Slot::ZERO);
        if slot <= before || (!installed && slot != before.next()) {
            return violated("Order", format!("{node} applied {slot} after {before}"));
        }
        if ledger.chosen(slot).is_none() {
            return violated("Safety 3", format!("{node} applied {slot}, which is not chosen"));
        }
        let (known_revision, known_state) = self.after.entry(slot).or_insert((revision, state));
        if *known_revision != revision {
            let what = format!("{node} is at revision {revision} after {slot}, others at {known_revision}");
            return violated("Same state", what);
        }
        if let (Some(known), Some(state)) = (*known_state, state)
            && known != state
        {
            return violated("Same state", format!("{node} has another state after {slot} than others"));
        }
        *known_state = known_state.or(state);
        Ok(())
    }

    /// A node started from a checkpoint.
    pub fn start(&mut self, node: NodeId, checkpoint: Slot) {
        self.applied.insert(node, checkpoint);
    }

    /// How far a node has come.
    pub fn applied(&self, node: NodeId) -> Slot {
        self.applied.get(&node).copied().unwrap_or(Slot::ZERO)
    }
}
