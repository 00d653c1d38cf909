//! What must survive a crash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use synod_probe::mutant;

use crate::ballot::Ballot;
use crate::fast::log::acceptor::Acceptor;
use crate::fast::round::Vote;
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::slot::Slot;

/// One fact on a node's stable storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record<C> {
    /// The leader uses this ballot, and never again for another leadership.
    Used(Ballot),
    /// The acceptor votes for nothing below this ballot, in any slot.
    Promised(Ballot),
    /// The acceptor voted, and thereby promised the vote's ballot: one record, so that neither can be lost without the
    /// other.
    Voted {
        /// In which slot.
        slot: Slot,
        /// In which round, and for what.
        vote: Vote<Entry<C>>,
    },
    /// Another value than the one last voted for, or one not voted for, is chosen.
    Chosen {
        /// In which slot.
        slot: Slot,
        /// What was chosen.
        entry: Entry<C>,
    },
    /// Every slot up to this one is chosen, and its chosen record, or without one the vote with its highest round, holds
    /// the value.
    Commit {
        /// The last slot of the chosen prefix.
        through: Slot,
    },
}

/// Who wrote some records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered<C> {
    /// The highest ballot used.
    pub used: Ballot,
    /// The acceptor.
    pub acceptor: Acceptor<C>,
    /// What is known to be chosen.
    pub learner: Learner<C>,
}

impl<C: Command> Recovered<C> {
    /// The node whose state covers everything up to `checkpoint` and that wrote `records`. Some may be among them twice,
    /// and some that the checkpoint covers.
    ///
    /// # Panics
    /// If a slot is said to be chosen and no record holds its value: the journal was cut where it must not be.
    pub fn new(checkpoint: Slot, records: &[Record<C>]) -> Recovered<C> {
        let (mut used, mut promised, mut committed) = (Ballot::ZERO, Ballot::ZERO, checkpoint);
        let mut votes: BTreeMap<Slot, Vote<Entry<C>>> = BTreeMap::new();
        let mut chosen: BTreeMap<Slot, &Entry<C>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Used(ballot) if !mutant!(FastBallotReused) => used = used.max(*ballot),
                Record::Promised(ballot) if !mutant!(FastPromiseForgotten) => {
                    promised = promised.max(*ballot)
                }
                Record::Used(_) | Record::Promised(_) => {}
                Record::Voted { slot, vote } => {
                    promised = promised.max(vote.round.ballot);
                    if *slot > checkpoint && votes.get(slot).is_none_or(|known| known.round < vote.round) {
                        votes.insert(*slot, vote.clone());
                    }
                }
                Record::Chosen { slot, entry } if *slot > checkpoint => {
                    chosen.insert(*slot, entry);
                }
                Record::Chosen { .. } => {}
                Record::Commit { through } => committed = committed.max(*through),
            }
        }
        if mutant!(FastVoteForgotten) {
            votes.retain(|slot, _| *slot <= committed);
        }
        let mut learner = Learner::new(checkpoint);
        for (slot, entry) in &chosen {
            learner.learn(*slot, (*entry).clone());
        }
        for (slot, vote) in votes.range(..=committed).filter(|(slot, _)| !chosen.contains_key(slot)) {
            learner.learn(*slot, vote.value.clone());
        }
        assert!(
            learner.through() >= committed,
            "the journal says {committed} is chosen but holds values only through {}",
            learner.through()
        );
        Recovered { used, acceptor: Acceptor::recover(promised, votes), learner }
    }
}
