//! What goes through the log: a client's command in the name of the member that took it.

use bytes::Bytes;
use synod_paxos::multi::entry::Command;
use synod_paxos::node::{Incarnation, NodeId};

/// What a member submits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    /// "From now on I am this incarnation": commands of earlier ones are refused, wherever they linger.
    Register,
    /// A command of the store, encoded.
    Store(Bytes),
}

/// A command with its identity: however often it gets into the log, it is applied once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Submission {
    /// The member whose client waits for the answer.
    pub origin: NodeId,
    /// Which process of it.
    pub incarnation: Incarnation,
    /// Its count of submissions.
    pub sequence: u64,
    /// Nothing below this is submitted any more: its identities may be forgotten and are refused.
    pub floor: u64,
    /// What.
    pub body: Body,
}

impl Command for Submission {
    fn size(&self) -> usize {
        match &self.body {
            Body::Register => 0,
            Body::Store(command) => command.len(),
        }
    }
}
