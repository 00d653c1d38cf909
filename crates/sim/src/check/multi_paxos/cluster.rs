//! Members, their disks and the network between them.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::multi::core::Core;
use synod_paxos::multi::entry::{self, Entry};
use synod_paxos::multi::leader::GapFill;
use synod_paxos::multi::message::Message;
use synod_paxos::multi::record::{HardState, Record};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use crate::check::ledger::{Pairs, name};

/// A client's command, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command(pub u8);

impl entry::Command for Command {
    fn size(&self) -> usize {
        1
    }
}

/// What may happen to whom.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Members, named from 1.
    pub members: usize,
    /// How many ballots each may use, member 1 first; those not listed use none.
    pub rounds: &'static [u64],
    /// Commands of clients; each is given to a leader once.
    pub commands: usize,
    /// How often a member may crash, all together.
    pub crashes: u8,
    /// How often a member may take a checkpoint and forget the slots below, all together.
    pub checkpoints: u8,
    /// How many reads clients ask for.
    pub reads: u8,
    /// What a new leader fills gaps with.
    pub gaps: GapFill,
    /// What has happened before.
    pub opening: Opening,
}

/// What has happened when a space begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing.
    Nothing,
    /// Members 1 and then 2 lead, promised by 3 and 4, and have proposed a command each; no proposal has arrived.
    TwoLead,
    /// Member 1 led and got the first command chosen with member 2. Both have a checkpoint that covers it, have truncated
    /// their logs and have restarted. Every message so far is lost: member 3 holds nothing. It leads by member 2's promise.
    Truncated,
}

/// Every member, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) members: Vec<Arc<Member>>,
    /// In order, each once.
    pub(super) sent: Arc<Vec<Packet>>,
    /// By slot.
    pub(super) proposals: Vec<Pairs>,
    /// Bit c: command c was given to a leader.
    pub(super) given: u8,
    pub(super) crashes: u8,
    pub(super) checkpoints: u8,
    /// For each read asked: how much had been applied by anybody then, until it is answered.
    pub(super) reads: Vec<Option<Slot>>,
    /// The last slot that any member ever applied.
    pub(super) applied: Slot,
}

impl State {
    pub(super) fn member(&mut self, at: usize) -> &mut Member {
        Arc::make_mut(&mut self.members[at])
    }

    pub(super) fn send(&mut self, from: NodeId, to: NodeId, message: Message<Command>) -> bool {
        let packet = Packet { from, to, message };
        let Err(place) = self.sent.binary_search(&packet) else { return false };
        Arc::make_mut(&mut self.sent).insert(place, packet);
        true
    }
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) core: Core<Command>,
    pub(super) disk: Disk,
    /// Given to the disk and not yet durable.
    pub(super) writes: Vec<(Token, HardState, Vec<Record<Command>>)>,
    /// By slot: every vote that ever was durable.
    pub(super) votes: Vec<Pairs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    pub(super) state: Option<HardState>,
    pub(super) checkpoint: Slot,
    pub(super) records: Vec<Record<Command>>,
}

impl Disk {
    pub(super) fn promised(&self) -> Ballot {
        self.state.map_or(Ballot::ZERO, |state| state.promised)
    }

    pub(super) fn used(&self) -> Ballot {
        self.state.map_or(Ballot::ZERO, |state| state.used)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) message: Message<Command>,
}

/// An entry as a person reads it.
pub(in crate::check) fn entry_words(entry: &Entry<Command>) -> String {
    match entry {
        Entry::Noop => "no-op".to_owned(),
        Entry::Commands(commands) => commands.iter().map(|command| name(usize::from(command.0))).collect(),
    }
}
