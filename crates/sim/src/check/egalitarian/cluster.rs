//! Replicas, their disks and the network between them.

use std::sync::Arc;

use synod_paxos::durable::Token;
use synod_paxos::egalitarian::core::Core;
use synod_paxos::egalitarian::id::{CommandId, IdSet};
use synod_paxos::egalitarian::interference::{self, Extent};
use synod_paxos::egalitarian::message::Message;
use synod_paxos::egalitarian::record::Record;
use synod_paxos::multi::entry;
use synod_paxos::node::NodeId;

/// A client's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command {
    /// Its number.
    pub number: u8,
    /// Where it acts: commands on one key interfere.
    pub key: u8,
}

impl entry::Command for Command {
    fn size(&self) -> usize {
        1
    }
}

impl interference::Command for Command {
    type Key = u8;

    fn interferes(&self, other: &Command) -> bool {
        self.key == other.key
    }

    fn extents(&self) -> Vec<Extent<u8>> {
        vec![Extent::Key(self.key)]
    }
}

/// What may happen to whom.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Replicas, named from 1.
    pub replicas: usize,
    /// Who proposes each command.
    pub owners: &'static [u64],
    /// The commands, by their place among the owners, that interfere with no other. All others interfere.
    pub apart: &'static [usize],
    /// Who may recover which command, by its place among the owners, with a ballot of which round.
    pub recoveries: &'static [(u64, usize, u64)],
    /// How often a replica may crash, all together.
    pub crashes: u8,
    /// How often a replica may make its state durable and tell how it stands, all together.
    pub statuses: u8,
    /// How often a replica may be given another's state, all together.
    pub installs: u8,
    /// Who receives nothing once it has begun.
    pub deaf: &'static [u64],
    /// What has happened when it begins.
    pub opening: &'static [Opening],
}

/// A step of which the outcome is fixed.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    /// The next command is proposed.
    Propose,
    /// A replica recovers a command, by its place among the owners.
    Recover(u64, usize),
    /// A replica's state becomes durable, and it tells how it stands.
    Status(u64),
    /// Everybody who is not deaf does so, one after the other, and all others who are not hear of it at once.
    AllTell,
    /// A replica is given the state of another.
    Install(u64, u64),
    /// Every message of this name from one to the other arrives, if there is one.
    Deliver(u64, u64, &'static str),
    /// Everything under way is lost.
    LoseAll,
}

impl Setting {
    /// The identity of the n-th command.
    pub(super) fn id(&self, command: usize) -> CommandId {
        let owner = self.owners[command];
        let counter = self.owners[..=command].iter().filter(|other| **other == owner).count();
        CommandId::new(NodeId(owner), counter as u64)
    }

    pub(super) fn command(&self, number: usize) -> Command {
        let key = if self.apart.contains(&number) { number as u8 + 1 } else { 0 };
        Command { number: number as u8, key }
    }

    /// Whether a message about `id` is one that is delivered: it is not of a command proposed again.
    pub(super) fn is_first(&self, id: CommandId) -> bool {
        self.owners.iter().filter(|owner| **owner == id.owner.0).count() as u64 >= id.counter
    }
}

/// Every replica, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) members: Vec<Arc<Member>>,
    /// In order, each once.
    pub(super) sent: Arc<Vec<Packet>>,
    /// How many commands were proposed.
    pub(super) given: usize,
    /// Bit c: others were told of command c.
    pub(super) told: u8,
    pub(super) crashes: u8,
    pub(super) statuses: u8,
    pub(super) installs: u8,
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
    pub(super) disk: Vec<Record<Command>>,
    /// Given to the disk and not yet durable.
    pub(super) writes: Vec<(Token, Vec<Record<Command>>)>,
    /// What the state machine executed, in order.
    pub(super) executed: Vec<Command>,
    /// A durable state: what it has executed, as identities and in order.
    pub(super) checkpoint: (IdSet, Vec<Command>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) message: Message<Command>,
}
