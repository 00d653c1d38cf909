//! What a node remembers when it starts again.

use std::collections::BTreeMap;

use synod_probe::mutant;

use crate::choose::Vote;
use crate::multi::acceptor::Acceptor;
use crate::multi::entry::Command;
use crate::multi::learner::Learner;
use crate::multi::record::{HardState, Record};
use crate::slot::Slot;

/// Rebuilds acceptor and learner from what was written.
pub(super) fn remember<C: Command>(
    state: HardState,
    checkpoint: Slot,
    records: Vec<Record<C>>,
) -> (Acceptor<C>, Learner<C>) {
    let mut votes = BTreeMap::new();
    let mut fetched = BTreeMap::new();
    let mut committed = checkpoint;
    for record in records {
        match record {
            Record::Vote { slot, ballot, entry } if slot > checkpoint => {
                votes.insert(slot, Vote { ballot, value: entry });
            }
            Record::Chosen { slot, entry } if slot > checkpoint => {
                fetched.insert(slot, entry);
            }
            Record::Commit { through } => committed = committed.max(through),
            Record::Vote { .. } | Record::Chosen { .. } => {}
        }
    }
    if mutant!(VoteForgotten) {
        votes.retain(|slot, _| *slot <= committed);
    }
    let mut learner = Learner::new(checkpoint);
    for (slot, entry) in &fetched {
        learner.learn(*slot, entry.clone());
    }
    for (slot, vote) in &votes {
        if *slot <= committed {
            learner.learn(*slot, fetched.get(slot).unwrap_or(&vote.value).clone());
        }
    }
    assert!(
        learner.through() >= committed,
        "the journal says {committed} is chosen but holds values only through {}",
        learner.through()
    );
    (Acceptor::recover(state, votes), learner)
}
