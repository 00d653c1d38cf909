//! Replicas, their disks and the network between them.

use std::collections::BTreeSet;
use std::sync::Arc;

use synod_paxos::durable::Token;
use synod_paxos::fast::log::core::Core;
use synod_paxos::fast::log::message::Message;
use synod_paxos::fast::log::record::Record;
use synod_paxos::fast::round::Round;
use synod_paxos::multi::entry::Entry;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

pub use crate::check::multi_paxos::Command;
pub(super) use crate::check::multi_paxos::entry_words;

/// What may happen to whom.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Replicas, named from 1.
    pub replicas: usize,
    /// Who is given each command, in this order.
    pub writers: &'static [u64],
    /// How many slots are looked at. Nothing is said of others.
    pub slots: u64,
    /// Who may campaign once it has begun, once each.
    pub candidates: &'static [u64],
    /// Whether the leader may at any time see to the first open slot: close it, or have a no-op voted for.
    pub settles: bool,
    /// How often a replica may crash, all together.
    pub crashes: u8,
}

/// Every replica, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) members: Vec<Arc<Member>>,
    /// In order, each once.
    pub(super) sent: Arc<Vec<Packet>>,
    /// How many commands were given to their writers.
    pub(super) given: usize,
    /// Bit a: replica a, from 0, has campaigned since it began.
    pub(super) campaigned: u8,
    pub(super) crashes: u8,
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

/// A vote, in which slot.
pub(super) type Voted = (Slot, Round, Entry<Command>);

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) core: Core<Command>,
    pub(super) disk: Vec<Record<Command>>,
    /// Given to the disk and not yet durable.
    pub(super) writes: Vec<(Token, Vec<Record<Command>>)>,
    /// Every vote that ever was durable.
    pub(super) votes: BTreeSet<Voted>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) message: Message<Command>,
}
