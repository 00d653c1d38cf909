//! The leader: one phase 1 for all slots, then phase 2 for each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::{Choice, choose};
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::multi::message::{Promise, Report};
use crate::node::NodeId;
use crate::quorum::{Phase1Quorum, Phase2Quorum, QuorumSystem};
use crate::slot::Slot;

/// How much a leader keeps in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Slots proposed and not yet chosen.
    pub slots: usize,
    /// Bytes of commands in them.
    pub bytes: usize,
    /// Bytes of commands in one slot; a single larger command has a slot of its own.
    pub batch_bytes: usize,
    /// Commands in one slot.
    pub batch_commands: usize,
    /// What fills a gap below a recovered slot.
    pub gaps: GapFill,
}

/// What a new leader puts into slots that nobody in its quorum voted in, below one that somebody did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GapFill {
    /// No-op commands, at once.
    #[default]
    Noops,
    /// The next commands of clients, if some wait; else no-ops.
    Commands,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            slots: 32,
            bytes: 16 << 20,
            batch_bytes: 1 << 20,
            batch_commands: 1024,
            gaps: GapFill::Noops,
        }
    }
}

/// Something to ask the acceptors to vote for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<C> {
    /// In which slot.
    pub slot: Slot,
    /// What.
    pub entry: Entry<C>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight<C> {
    entry: Entry<C>,
    votes: Phase2Quorum,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase<C> {
    /// Phase 1 runs: promises collected so far.
    Preparing { quorum: Phase1Quorum, promises: BTreeMap<NodeId, Promise<C>> },
    /// Phase 1 is complete for every slot.
    Leading,
}

/// A node that proposes with one ballot. It takes clients' commands while phase 1 still runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader<C> {
    ballot: Ballot,
    from: Slot,
    phase: Phase<C>,
    /// Whether only connected members' promises count.
    connected_only: bool,
    next_slot: Slot,
    recovered: Slot,
    committed: Slot,
    in_flight: BTreeMap<Slot, InFlight<C>>,
    bytes_in_flight: usize,
    queue: VecDeque<C>,
}

/// What phase 1 found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery<C> {
    /// Slots an acceptor knows to be chosen, above those it will be asked for.
    pub learned: Vec<(Slot, Entry<C>)>,
    /// What to propose again, in slot order, gaps included.
    pub proposals: Vec<Proposal<C>>,
    /// Everything up to here is chosen, and who said so.
    pub chosen: Option<(Slot, NodeId)>,
    /// Whether two votes of different values met in one slot.
    pub competing: bool,
}

impl<C: Command> Leader<C> {
    /// Starts phase 1 with `ballot` for every slot from `from` on.
    pub fn prepare(ballot: Ballot, from: Slot, acceptors: &QuorumSystem, queue: VecDeque<C>) -> Leader<C> {
        Leader {
            ballot,
            from,
            phase: Phase::Preparing { quorum: acceptors.phase1(), promises: BTreeMap::new() },
            connected_only: false,
            next_slot: from,
            recovered: Slot::ZERO,
            committed: Slot::ZERO,
            in_flight: BTreeMap::new(),
            bytes_in_flight: 0,
            queue,
        }
    }

    /// Its ballot.
    pub fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// The first slot of its phase 1.
    pub fn from(&self) -> Slot {
        self.from
    }

    /// Whether phase 1 is complete for every slot.
    pub fn is_leading(&self) -> bool {
        matches!(self.phase, Phase::Leading)
    }

    /// The highest slot that phase 1 found voted in or chosen: no read before it is applied.
    pub fn recovered(&self) -> Slot {
        self.recovered
    }

    /// The last slot that its notices may speak of: the base of its phase 1 and, above it without a gap, what it counted
    /// or holds. Whether it holds what is below its base does not matter. What others say is chosen does not count: the
    /// leader may have proposed another value there, and those who voted for that would take it for chosen.
    pub fn committed(&mut self, learner: &Learner<C>) -> Slot {
        self.committed = self.committed.max(learner.through());
        while learner.chosen(self.committed.next()).is_some() {
            self.committed = self.committed.next();
        }
        self.committed
    }

    /// The last slot below which it proposes nothing new.
    pub fn last_proposed(&self) -> Slot {
        Slot(self.next_slot.0 - 1)
    }

    /// From now on the promises of members that are not connected do not count.
    pub fn count_connected_only(&mut self) {
        self.connected_only = true;
    }

    /// Whether the promises of members that are not connected do not count.
    pub fn counts_connected_only(&self) -> bool {
        self.connected_only
    }

    /// Commands that wait for a slot.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Slots proposed and not known to be chosen.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The lowest slot proposed and not known to be chosen.
    pub fn oldest_in_flight(&self) -> Option<Slot> {
        self.in_flight.keys().next().copied()
    }

    /// Takes a command of a client.
    pub fn enqueue(&mut self, command: C) {
        self.queue.push_back(command);
    }

    /// Gives up: what has no slot yet.
    pub fn into_queue(self) -> VecDeque<C> {
        self.queue
    }

    /// Who has not promised yet.
    pub fn missing_promises(&self, acceptors: &QuorumSystem) -> Vec<NodeId> {
        match &self.phase {
            Phase::Preparing { quorum, .. } => {
                acceptors.acceptors().filter(|node| !quorum.contains(*node)).collect()
            }
            Phase::Leading => Vec::new(),
        }
    }

    /// Counts a promise of this ballot. When it completes a phase 1 quorum, phase 2 begins.
    pub fn handle_promise(
        &mut self,
        from: NodeId,
        promise: Promise<C>,
        acceptors: &QuorumSystem,
        learner: &Learner<C>,
        window: &Window,
    ) -> Option<Recovery<C>> {
        let Phase::Preparing { quorum, promises } = &mut self.phase else { return None };
        let asked = promise.ballot == self.ballot && promise.from == self.from;
        if !asked && !mutant!(PromiseOfOtherBallotCounted) {
            return None;
        }
        if quorum.insert(acceptors, from) {
            promises.insert(from, promise);
        }
        if !quorum.is_met() {
            return None;
        }
        let promises = std::mem::take(promises);
        self.phase = Phase::Leading;
        Some(self.recover(&promises, learner, acceptors, window))
    }

    /// Rule P2c for every slot that somebody in the quorum voted in, and for the gaps between.
    fn recover(
        &mut self,
        promises: &BTreeMap<NodeId, Promise<C>>,
        learner: &Learner<C>,
        acceptors: &QuorumSystem,
        window: &Window,
    ) -> Recovery<C> {
        let reported = |slot: Slot| {
            promises.values().filter_map(move |promise| {
                let index = promise.reports.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
                Some(&promise.reports[index].1)
            })
        };
        let chosen = promises.iter().map(|(node, promise)| (promise.chosen, *node)).max();
        let chosen = chosen.filter(|_| !mutant!(ChosenPrefixIgnored));
        let base = chosen.map_or(Slot::ZERO, |(slot, _)| slot).max(learner.through());
        self.committed = base;
        let highest = promises.values().filter_map(|promise| promise.reports.last()).map(|(slot, _)| *slot);
        // What was learned during phase 1 is no place for new commands either.
        let known = learner.chosen_from(base).last().map(|(slot, _)| slot);
        self.recovered = highest.chain(known).fold(base, Slot::max);
        self.next_slot = if mutant!(RecoveredSlotsReused) { base.next() } else { self.recovered.next() };
        let mut recovery = Recovery {
            learned: Vec::new(),
            proposals: Vec::new(),
            chosen: chosen.filter(|(slot, _)| *slot > learner.through()),
            competing: false,
        };
        let mut slot = base.next();
        while slot <= self.recovered {
            let known = reported(slot).find_map(|report| match report {
                Report::Chosen(entry) => Some(entry.clone()),
                Report::Vote(_) => None,
            });
            if let Some(entry) = known {
                recovery.learned.push((slot, entry));
            } else if !learner.is_chosen(slot) {
                let votes: Vec<_> = reported(slot)
                    .map(|report| match report {
                        Report::Vote(vote) => Some(vote),
                        Report::Chosen(_) => None,
                    })
                    .collect();
                recovery.competing |= votes.windows(2).any(|pair| pair[0] != pair[1]);
                let entry = match choose(self.ballot, votes) {
                    Choice::Bound(entry) => Some(entry),
                    Choice::Free => (!mutant!(GapLeft)).then(|| self.gap(window)),
                };
                recovery.proposals.extend(entry.map(|entry| self.propose(slot, entry, acceptors)));
            }
            slot = slot.next();
        }
        mark!(CompetingVotesRecovered if recovery.competing);
        mark!(ChosenSlotRecovered if !recovery.learned.is_empty());
        recovery
    }

    fn gap(&mut self, window: &Window) -> Entry<C> {
        match window.gaps {
            GapFill::Commands if !self.queue.is_empty() => {
                mark!(GapFilledWithCommands);
                self.batch(window)
            }
            GapFill::Commands | GapFill::Noops => {
                mark!(GapFilledWithNoop);
                Entry::Noop
            }
        }
    }

    fn propose(&mut self, slot: Slot, entry: Entry<C>, acceptors: &QuorumSystem) -> Proposal<C> {
        self.bytes_in_flight += entry.size();
        let mut votes = acceptors.phase2();
        if mutant!(OwnVoteCountedAtOnce) {
            votes.insert(acceptors, self.ballot.node);
        }
        let in_flight = InFlight { entry: entry.clone(), votes };
        let previous = self.in_flight.insert(slot, in_flight);
        assert!(previous.is_none(), "{} would carry a second value in {slot}", self.ballot);
        Proposal { slot, entry }
    }

    /// The next slot's proposal, if the window has room and commands wait.
    pub fn next_proposal(&mut self, acceptors: &QuorumSystem, window: &Window) -> Option<Proposal<C>> {
        if !self.is_leading() || self.queue.is_empty() {
            return None;
        }
        if self.in_flight.len() >= window.slots || self.bytes_in_flight >= window.bytes {
            mark!(WindowFull);
            return None;
        }
        let entry = self.batch(window);
        let slot = self.next_slot;
        self.next_slot = slot.next();
        Some(self.propose(slot, entry, acceptors))
    }

    fn batch(&mut self, window: &Window) -> Entry<C> {
        let mut bytes = 0;
        let mut count = 0;
        for command in &self.queue {
            bytes += command.size();
            if count == window.batch_commands || (count > 0 && bytes > window.batch_bytes) {
                break;
            }
            count += 1;
        }
        Entry::Commands(self.queue.drain(..count).collect::<Arc<[C]>>())
    }

    /// Counts a vote for this leader's proposal in `slot`. Returns the value when it becomes chosen.
    ///
    /// Votes of other ballots never get here: a value is chosen by a quorum of votes of one ballot.
    pub fn handle_accepted(
        &mut self,
        from: NodeId,
        slot: Slot,
        acceptors: &QuorumSystem,
    ) -> Option<Entry<C>> {
        let in_flight = self.in_flight.get_mut(&slot)?;
        in_flight.votes.insert(acceptors, from);
        if !in_flight.votes.is_met() && !mutant!(Canary) {
            return None;
        }
        mark!(ChosenWithoutLeadersVote if !in_flight.votes.contains(self.ballot.node));
        self.take(slot)
    }

    /// Somebody else found `entry` chosen in `slot`. Returns whether this leader has lost its ballot: it proposed
    /// another value there, or it has not come to the slot yet. What it has not proposed and its phase 1 did not
    /// find was chosen with a higher ballot; a proposal of its own there would be one that its commit notices,
    /// which cover the slot from now on, falsely vouch for.
    #[must_use]
    pub fn handle_chosen(&mut self, slot: Slot, entry: &Entry<C>) -> bool {
        self.take(slot).is_some_and(|proposed| proposed != *entry) || self.has_not_come_to(slot)
    }

    /// Whether this leader will propose something new in `slot` if it goes on.
    pub fn has_not_come_to(&self, slot: Slot) -> bool {
        self.is_leading() && self.next_slot <= slot
    }

    fn take(&mut self, slot: Slot) -> Option<Entry<C>> {
        let in_flight = self.in_flight.remove(&slot)?;
        self.bytes_in_flight -= in_flight.entry.size();
        Some(in_flight.entry)
    }

    /// What to ask `node` again: slots it has not voted in, lowest first.
    pub fn unanswered(&self, node: NodeId) -> impl Iterator<Item = Proposal<C>> + '_ {
        self.in_flight
            .iter()
            .filter(move |(_, in_flight)| !in_flight.votes.contains(node))
            .map(|(slot, in_flight)| Proposal { slot: *slot, entry: in_flight.entry.clone() })
    }
}
