//! What must hold in every state, whoever did what.

use synod_paxos::ballot::Ballot;
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::message::{Message, Promise, Report};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use crate::check::Violation;
use crate::check::ledger::{Ledger, Pairs, name};
use crate::check::multi_paxos::cluster::{Command, Member, Packet, State, entry_words};
use crate::check::multi_paxos::model::Log;

fn broken(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { invariant, what })
}

impl Log {
    /// Checks everything.
    pub(super) fn check(&self, state: &State) -> Result<(), Violation> {
        let chosen =
            (0..self.slots()).map(|slot| self.check_slot(state, slot)).collect::<Result<Vec<_>, _>>()?;
        for member in &state.members {
            let who = member.core.id();
            for (slot, entry) in member.core.learner().chosen_from(Slot(1)) {
                self.check_known(&chosen, &format!("{who} learned"), slot, entry)?;
            }
            self.check_prefix(&chosen, &format!("{who} takes"), member.core.learner().through())?;
        }
        state.sent.iter().try_for_each(|packet| self.check_packet(state, &chosen, packet))
    }

    fn check_slot(&self, state: &State, slot: usize) -> Result<Pairs, Violation> {
        let votes: Vec<Pairs> = state.members.iter().map(|member| member.votes[slot]).collect();
        let ledger = Ledger { sizes: self.sizes(), votes: &votes, proposals: state.proposals[slot] };
        let noop = self.noop();
        let checked = ledger.check(|value| value == noop || state.given >> value & 1 == 1);
        checked.map_err(|violation| Violation {
            what: format!("in slot {}, where {} is the no-op, {}", slot + 1, name(noop), violation.what),
            ..violation
        })?;
        Ok(ledger.chosen())
    }

    fn check_known(
        &self,
        chosen: &[Pairs],
        who: &str,
        slot: Slot,
        entry: &Entry<Command>,
    ) -> Result<(), Violation> {
        let known = chosen
            .get(self.slot(slot))
            .is_some_and(|chosen| chosen.iter(self.sizes()).any(|(_, value)| value == self.value(entry)));
        if known {
            return Ok(());
        }
        broken("Safety 3", format!("{who} {} in {slot}, which is not chosen", entry_words(entry)))
    }

    fn check_prefix(&self, chosen: &[Pairs], who: &str, through: Slot) -> Result<(), Violation> {
        let gap =
            (1..=through.0).map(Slot).find(|slot| chosen.get(self.slot(*slot)).is_none_or(|c| c.0 == 0));
        match gap {
            None => Ok(()),
            Some(gap) => {
                broken("Safety 3", format!("{who} everything through {through} as chosen, {gap} is not"))
            }
        }
    }

    fn check_packet(&self, state: &State, chosen: &[Pairs], packet: &Packet) -> Result<(), Violation> {
        let sender = &state.members[self.place(packet.from)];
        let who = packet.from;
        let bound = match &packet.message {
            Message::Promise(promise) => {
                self.check_promise(sender, chosen, promise)?;
                Some(promise.ballot)
            }
            Message::Accepted { ballot, .. } => Some(*ballot),
            Message::Commit { ballot, through } | Message::Accept { ballot, commit: through, .. } => {
                self.check_notice(state, chosen, who, *ballot, *through)?;
                None
            }
            Message::Fetched { from, entries, chosen: through, .. } => {
                self.check_prefix(chosen, &format!("{who} tells"), *through)?;
                for (at, entry) in entries.iter().enumerate() {
                    self.check_known(chosen, &format!("{who} tells"), Slot(from.0 + at as u64), entry)?;
                }
                None
            }
            _ => None,
        };
        let promised = sender.core.acceptor().promised();
        match bound {
            Some(bound) if promised < bound => {
                let what = format!("{who} said {:?} and holds itself bound to {promised}", packet.message);
                broken("promises and votes never go back", what)
            }
            _ => Ok(()),
        }
    }

    /// A commit notice speaks of chosen slots, in each of which its ballot proposes nothing or the chosen value: whoever
    /// voted at that ballot takes its vote for chosen.
    fn check_notice(
        &self,
        state: &State,
        chosen: &[Pairs],
        who: NodeId,
        ballot: Ballot,
        through: Slot,
    ) -> Result<(), Violation> {
        self.check_prefix(chosen, &format!("{who} tells"), through)?;
        let number = self.number(ballot);
        for (at, chosen) in chosen.iter().enumerate().take(through.0 as usize) {
            let is_chosen = |value| chosen.iter(self.sizes()).any(|(_, chosen)| chosen == value);
            let mut proposed = state.proposals[at].iter(self.sizes()).filter(|(other, _)| *other == number);
            if let Some((_, value)) = proposed.find(|(_, value)| !is_chosen(*value)) {
                let what = format!(
                    "{who} tells with {ballot} that everything through {through} is chosen, and proposed {} in slot {}, \
                     which is not",
                    name(value),
                    at + 1
                );
                return broken("commit notices", what);
            }
        }
        Ok(())
    }

    /// What was told of a slot stays true: the highest vote below the ballot, or what is chosen.
    fn check_promise(
        &self,
        sender: &Member,
        chosen: &[Pairs],
        promise: &Promise<Command>,
    ) -> Result<(), Violation> {
        let who = sender.core.id();
        self.check_prefix(chosen, &format!("{who} promises and tells"), promise.chosen)?;
        let ballot = self.number(promise.ballot);
        for at in 0..self.slots() {
            let slot = Slot(at as u64 + 1);
            if slot < promise.from || slot <= promise.chosen {
                continue;
            }
            let report = promise.reports.iter().find(|(reported, _)| *reported == slot);
            let told = match report.map(|(_, report)| report) {
                Some(Report::Chosen(entry)) => {
                    self.check_known(chosen, &format!("{who} promises and tells"), slot, entry)?;
                    continue;
                }
                // A promise repeated after the ballot's own proposals tells of them, too late to count.
                Some(Report::Vote(vote)) if vote.ballot >= promise.ballot => continue,
                Some(Report::Vote(vote)) => Some((self.number(vote.ballot), self.value(&vote.value))),
                None => None,
            };
            let truth = sender.votes[at].highest_below(self.sizes(), ballot);
            if told != truth {
                let what = format!("{who} said {promise:?}; its highest vote below in {slot} is {truth:?}");
                return broken("phase 1b", what);
            }
        }
        Ok(())
    }

    /// What a message reveals must be on the sender's disk.
    pub(super) fn check_durable(&self, member: &Member, message: &Message<Command>) -> Result<(), Violation> {
        let durable = match message {
            Message::Prepare { ballot, .. } => member.disk.used() >= *ballot,
            Message::Promise(promise) => member.disk.promised() >= promise.ballot,
            Message::Accepted { ballot, slots } => slots.iter().all(|slot| {
                member.votes[self.slot(*slot)].has_ballot(self.sizes(), self.number(*ballot))
                    && member.disk.promised() >= *ballot
            }),
            Message::Confirmed { ballot, .. } => member.disk.promised() >= *ballot,
            _ => true,
        };
        if durable {
            return Ok(());
        }
        let what = format!("{} says {message:?}, and its disk holds {:?}", member.core.id(), member.disk);
        broken("durable before it is told", what)
    }
}
