//! The ledger of durable votes: what was really chosen, whoever claims what.
//!
//! The names are those of *Paxos Made Simple*: P1a, P2, P2b for the rules, Safety 1–3 for what they are for.

use std::collections::{BTreeMap, BTreeSet};

use synod_paxos::ballot::Ballot;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use crate::check::Violation;
use crate::checkers::violated;
use crate::program::{Digest, Memory};

#[derive(Debug)]
struct Proposal {
    value: Digest,
    voters: BTreeSet<NodeId>,
}

/// A proposal is named by its ballot, and in a fast round by its value as well.
type Named = (Ballot, Option<Digest>);

#[derive(Debug, Default)]
struct Acceptor {
    promised: Option<Ballot>,
    /// The newest durable vote per slot.
    votes: BTreeMap<Slot, (Ballot, Digest)>,
    checkpoint: Slot,
}

/// Rounds in which acceptors may vote differently.
#[derive(Clone, Copy, Debug)]
struct FastRounds {
    is_fast: fn(Ballot) -> bool,
    /// How many votes for one value choose.
    quorum: usize,
}

/// Every durable vote ever cast, and what follows from them.
#[derive(Debug)]
pub struct Ledger {
    /// How many votes of one ballot choose.
    phase2: usize,
    fast: Option<FastRounds>,
    proposable: BTreeSet<Digest>,
    proposals: BTreeMap<Slot, BTreeMap<Named, Proposal>>,
    chosen: BTreeMap<Slot, (Ballot, Digest)>,
    /// Whether there was any promise.
    promised: bool,
    acceptors: BTreeMap<NodeId, Acceptor>,
}

impl Ledger {
    /// An empty ledger: `phase2` votes of one ballot choose.
    pub fn new(phase2: usize) -> Ledger {
        Ledger {
            phase2,
            fast: None,
            proposable: BTreeSet::new(),
            proposals: BTreeMap::new(),
            chosen: BTreeMap::new(),
            promised: false,
            acceptors: BTreeMap::new(),
        }
    }

    /// The same, but `is_fast` ballots are fast rounds, in which `quorum` votes for one value choose.
    #[must_use]
    pub fn with_fast_rounds(mut self, is_fast: fn(Ballot) -> bool, quorum: usize) -> Ledger {
        self.fast = Some(FastRounds { is_fast, quorum });
        self
    }

    /// The last slot of the prefix in which everything is chosen.
    pub fn chosen_prefix(&self) -> Slot {
        let mut last = Slot::ZERO;
        while self.chosen.contains_key(&last.next()) {
            last = last.next();
        }
        last
    }

    /// What is chosen in `slot`.
    pub fn chosen(&self, slot: Slot) -> Option<Digest> {
        self.chosen.get(&slot).map(|(_, value)| *value)
    }

    /// How many slots are chosen.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Whether any node has promised anything, be it with a disk that is gone by now.
    pub fn has_promises(&self) -> bool {
        self.promised
    }

    /// A client asked for `command`.
    pub fn propose(&mut self, command: Digest) {
        self.proposable.insert(command);
    }

    /// A promise became durable.
    ///
    /// # Errors
    /// If it is lower than an earlier one.
    pub fn promise(&mut self, node: NodeId, ballot: Ballot) -> Result<(), Violation> {
        let acceptor = self.acceptors.entry(node).or_default();
        if let Some(promised) = acceptor.promised
            && ballot < promised
        {
            return violated("P1a", format!("{node} promised {promised} and now only {ballot}"));
        }
        acceptor.promised = Some(ballot);
        self.promised |= ballot > Ballot::ZERO;
        Ok(())
    }

    /// A vote became durable.
    ///
    /// # Errors
    /// If it breaks a promise, gives a ballot a second value, is for something nobody asked for, or leads to a second
    /// choice.
    pub fn vote(
        &mut self,
        node: NodeId,
        slot: Slot,
        ballot: Ballot,
        value: Digest,
        commands: &[Digest],
    ) -> Result<(), Violation> {
        let acceptor = self.acceptors.entry(node).or_default();
        if let Some(promised) = acceptor.promised
            && ballot < promised
        {
            return violated(
                "P1a",
                format!("{node} votes in {slot} with {ballot} after promising {promised}"),
            );
        }
        acceptor.votes.insert(slot, (ballot, value));
        if let Some(stranger) = commands.iter().find(|command| !self.proposable.contains(command)) {
            return violated(
                "Safety 1",
                format!("{node} votes in {slot} for {stranger:?}, which nobody proposed"),
            );
        }
        let fast = self.fast.filter(|fast| (fast.is_fast)(ballot)).map(|fast| fast.quorum);
        let proposals = self.proposals.entry(slot).or_default();
        let named = (ballot, fast.map(|_| value));
        let proposal = proposals.entry(named).or_insert(Proposal { value, voters: BTreeSet::new() });
        if proposal.value != value {
            return violated("P2", format!("{ballot} carries two values in {slot}"));
        }
        proposal.voters.insert(node);
        let is_chosen = proposal.voters.len() >= fast.unwrap_or(self.phase2);
        match self.chosen.get(&slot) {
            Some((first, known)) if *known != value => {
                let (first, known) = (*first, *known);
                if is_chosen {
                    let what =
                        format!("{slot}: {known:?} was chosen with {first} and {value:?} with {ballot}");
                    return violated("Safety 2", what);
                }
                if ballot > first {
                    let what = format!(
                        "{slot}: {known:?} is chosen with {first}, and {node} accepts another with {ballot}"
                    );
                    return violated("P2b", what);
                }
            }
            None if is_chosen => self.choose(slot, ballot, value)?,
            _ => {}
        }
        Ok(())
    }

    fn choose(&mut self, slot: Slot, ballot: Ballot, value: Digest) -> Result<(), Violation> {
        self.chosen.insert(slot, (ballot, value));
        // A proposal of a higher ballot may have been accepted before the last vote of this one was durable.
        let mut later = self.proposals[&slot].range((ballot, None)..);
        if let Some(((later, _), _)) =
            later.find(|((later, _), other)| *later > ballot && other.value != value)
        {
            let what =
                format!("{slot}: {value:?} is chosen with {ballot}, and another is proposed with {later}");
            return violated("P2b", what);
        }
        Ok(())
    }

    /// A node claims that `value` is chosen in `slot`.
    ///
    /// # Errors
    /// If it is not.
    pub fn claim(&self, node: NodeId, slot: Slot, value: Digest) -> Result<(), Violation> {
        match self.chosen.get(&slot) {
            Some((_, chosen)) if *chosen == value => Ok(()),
            Some((ballot, chosen)) => violated(
                "Safety 2",
                format!("{node} claims {value:?} in {slot}, where {chosen:?} was chosen with {ballot}"),
            ),
            None => {
                let votes = self.proposals.get(&slot).map(|proposals| {
                    let counted = proposals.iter();
                    counted
                        .map(|((ballot, _), p)| format!("{ballot}: {}", p.voters.len()))
                        .collect::<Vec<_>>()
                });
                let what =
                    format!("{node} claims {value:?} in {slot}, where nothing is chosen; votes {votes:?}");
                violated("Safety 3", what)
            }
        }
    }

    /// A node started and remembers `memory`.
    ///
    /// # Errors
    /// If it forgot a durable promise or vote.
    pub fn remember(&mut self, node: NodeId, memory: &Memory) -> Result<(), Violation> {
        let acceptor = self.acceptors.entry(node).or_default();
        if let Some(promised) = acceptor.promised
            && memory.promised < promised
        {
            let what =
                format!("{node} promised {promised} and remembers {} after a restart", memory.promised);
            return violated("P1a", what);
        }
        if memory.checkpoint < acceptor.checkpoint {
            let what = format!(
                "{node} had a checkpoint of {} and starts from {}",
                acceptor.checkpoint, memory.checkpoint
            );
            return violated("Durability", what);
        }
        acceptor.checkpoint = memory.checkpoint;
        let held: BTreeMap<Slot, Ballot> = memory.votes.iter().map(|vote| (vote.slot, vote.ballot)).collect();
        for (slot, (ballot, _)) in acceptor.votes.range(memory.checkpoint.next()..) {
            let known = memory.chosen.iter().any(|(chosen, _)| chosen == slot);
            if !known && held.get(slot).is_none_or(|held| held < ballot) {
                let what = format!(
                    "{node} voted in {slot} with {ballot} and remembers {:?} after a restart",
                    held.get(slot)
                );
                return violated("P1a", what);
            }
        }
        // What survived without having been synced counts from now on. The promise comes last: a vote may be older.
        acceptor.promised = None;
        for vote in &memory.votes {
            self.vote(node, vote.slot, vote.ballot, vote.value, &vote.commands)?;
        }
        for (slot, value) in &memory.chosen {
            self.claim(node, *slot, *value)?;
        }
        self.promise(node, memory.promised)
    }

    /// The node has another disk: what it said with the one before binds it no longer.
    pub fn forget(&mut self, node: NodeId) {
        self.acceptors.remove(&node);
    }

    /// A checkpoint became durable.
    ///
    /// # Errors
    /// If it holds a slot that is not chosen.
    pub fn checkpoint(&mut self, node: NodeId, slot: Slot) -> Result<(), Violation> {
        if !slot.0.eq(&0) && !self.chosen.contains_key(&slot) {
            return violated("Safety 3", format!("{node} has a checkpoint of {slot}, which is not chosen"));
        }
        let acceptor = self.acceptors.entry(node).or_default();
        acceptor.checkpoint = acceptor.checkpoint.max(slot);
        Ok(())
    }

    /// The journal of a node was cut through `slot`.
    ///
    /// # Errors
    /// If no durable checkpoint covers that.
    pub fn truncate(&mut self, node: NodeId, slot: Slot) -> Result<(), Violation> {
        let checkpoint = self.acceptors.entry(node).or_default().checkpoint;
        if slot > checkpoint {
            let what = format!("{node} cut its journal through {slot} with a checkpoint of {checkpoint}");
            return violated("Compaction", what);
        }
        Ok(())
    }
}
