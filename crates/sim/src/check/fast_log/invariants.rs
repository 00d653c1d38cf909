//! What must hold in every state, whoever did what.

use std::collections::{BTreeMap, BTreeSet};

use synod_paxos::fast::log::message::{Message, Promise, Report};
use synod_paxos::fast::log::record::Recovered;
use synod_paxos::fast::round::Round;
use synod_paxos::multi::entry::Entry;
use synod_paxos::slot::Slot;

use crate::check::Violation;
use crate::check::fast_log::cluster::{Command, Member, Packet, State, entry_words};
use crate::check::fast_log::model::FastLog;

/// What the durable votes have chosen.
type Chosen<'a> = BTreeMap<Slot, &'a Entry<Command>>;

fn broken(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation { invariant, what })
}

impl FastLog {
    /// Checks everything.
    pub(super) fn check(&self, state: &State) -> Result<(), Violation> {
        let chosen = self.chosen(state)?;
        for member in &state.members {
            let who = format!("{} learned", member.core.id());
            for (slot, entry) in member.core.learner().chosen_from(Slot(1)) {
                check_known(&chosen, &who, slot, entry)?;
            }
            check_prefix(&chosen, &who, member.core.learner().through())?;
        }
        state.sent.iter().try_for_each(|packet| self.check_packet(state, &chosen, packet))
    }

    /// Safety 2: one value a slot. A classic round carries one value.
    fn chosen<'a>(&self, state: &'a State) -> Result<Chosen<'a>, Violation> {
        let mut rounds: BTreeMap<(Slot, Round), BTreeMap<&Entry<Command>, usize>> = BTreeMap::new();
        for (slot, round, entry) in state.members.iter().flat_map(|member| &member.votes) {
            *rounds.entry((*slot, *round)).or_default().entry(entry).or_default() += 1;
        }
        let mut chosen = Chosen::new();
        for ((slot, round), values) in rounds {
            if !round.is_fast() && values.len() > 1 {
                broken("P2b", format!("{round} has votes for {} values in {slot}", values.len()))?;
            }
            let needed = self.needed(round);
            for (entry, _) in values.into_iter().filter(|(_, votes)| *votes >= needed) {
                let known = chosen.entry(slot).or_insert(entry);
                if *known != entry {
                    let (one, other) = (entry_words(known), entry_words(entry));
                    broken("Safety 2", format!("{one} and in {round} {other} are chosen in {slot}"))?;
                }
            }
        }
        self.check_proposed(state, &chosen)?;
        Ok(chosen)
    }

    /// Safety 1: only what somebody wants is chosen, or nothing.
    fn check_proposed(&self, state: &State, chosen: &Chosen<'_>) -> Result<(), Violation> {
        let given: BTreeSet<Command> = (0..state.given as u8).map(Command).collect();
        let wanted = |entry: &Entry<Command>| entry.commands().iter().all(|command| given.contains(command));
        match chosen.iter().find(|(_, entry)| !wanted(entry)) {
            None => Ok(()),
            Some((slot, entry)) => {
                broken("Safety 1", format!("{} is chosen in {slot}, which nobody wants", entry_words(entry)))
            }
        }
    }

    fn check_packet(&self, state: &State, chosen: &Chosen<'_>, packet: &Packet) -> Result<(), Violation> {
        let sender = &state.members[self.place(packet.from)];
        let who = packet.from;
        match &packet.message {
            Message::Promise(promise) => self.check_promise(sender, chosen, promise),
            Message::Fetched { from, entries, chosen: through, .. } => {
                check_prefix(chosen, &format!("{who} tells"), *through)?;
                let mut slots = (from.0..).map(Slot).zip(entries);
                slots.try_for_each(|(slot, entry)| check_known(chosen, &format!("{who} tells"), slot, entry))
            }
            _ => Ok(()),
        }
    }

    /// What was told of a slot stays true: the highest vote below the ballot, or what is chosen.
    fn check_promise(
        &self,
        sender: &Member,
        chosen: &Chosen<'_>,
        promise: &Promise<Command>,
    ) -> Result<(), Violation> {
        let who = sender.core.id();
        check_prefix(chosen, &format!("{who} promises and tells"), promise.chosen)?;
        for slot in (1..=self.setting().slots).map(Slot) {
            if slot < promise.from || slot <= promise.chosen {
                continue;
            }
            let report = promise.reports.iter().find(|(reported, _)| *reported == slot);
            let told = match report.map(|(_, report)| report) {
                Some(Report::Chosen(entry)) => {
                    check_known(chosen, &format!("{who} promises and tells"), slot, entry)?;
                    continue;
                }
                // A promise repeated after the ballot's own rounds tells of them, too late to count.
                Some(Report::Vote(vote)) if vote.round.ballot >= promise.ballot => continue,
                Some(Report::Vote(vote)) => Some((vote.round, &vote.value)),
                None => None,
            };
            let below = sender
                .votes
                .iter()
                .filter(|(voted, round, _)| *voted == slot && round.ballot < promise.ballot);
            let truth = below.map(|(_, round, entry)| (*round, entry)).max();
            if told != truth {
                let what = format!("{who} said {promise:?}; its highest vote below in {slot} is {truth:?}");
                return broken("phase 1b", what);
            }
        }
        Ok(())
    }

    /// What a message reveals must be on the sender's disk.
    pub(super) fn check_durable(&self, member: &Member, message: &Message<Command>) -> Result<(), Violation> {
        let memory = || Recovered::new(Slot::ZERO, &member.disk);
        let durable = match message {
            Message::Prepare { ballot, .. } => memory().used >= *ballot,
            Message::Promise(promise) => memory().acceptor.promised() >= promise.ballot,
            Message::Accepted { votes } => votes
                .iter()
                .all(|(slot, vote)| member.votes.contains(&(*slot, vote.round, vote.value.clone()))),
            _ => true,
        };
        if durable {
            return Ok(());
        }
        let what = format!("{} says {message:?}, and its disk holds {:?}", member.core.id(), member.disk);
        broken("durable before it is told", what)
    }
}

fn check_known(chosen: &Chosen<'_>, who: &str, slot: Slot, entry: &Entry<Command>) -> Result<(), Violation> {
    if chosen.get(&slot) == Some(&entry) {
        return Ok(());
    }
    broken("Safety 3", format!("{who} {} in {slot}, which is not chosen", entry_words(entry)))
}

fn check_prefix(chosen: &Chosen<'_>, who: &str, through: Slot) -> Result<(), Violation> {
    match (1..=through.0).map(Slot).find(|slot| !chosen.contains_key(slot)) {
        None => Ok(()),
        Some(gap) => {
            broken("Safety 3", format!("{who} everything through {through} as chosen, {gap} is not"))
        }
    }
}
