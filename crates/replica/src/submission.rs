//! Commands with a name, so that each has its effect once.

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_paxos::egalitarian::interference::{self, Extent};
use synod_paxos::multi::entry::Command;
use synod_paxos::node::{Incarnation, NodeId};

use crate::machine::Interferes;

/// The process that a client gave its command to. It numbers the commands that it submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Of which node.
    pub node: NodeId,
    /// Which process of it.
    pub incarnation: Incarnation,
}

/// A command and its name. Two submissions of one name are one command, offered twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Submission<C> {
    /// Who submits it.
    pub origin: Origin,
    /// Its number among those of its origin, from 1 on, none left out.
    pub sequence: u64,
    /// The size of the command in bytes.
    pub bytes: u32,
    /// What to do.
    pub command: C,
}

impl<C: Clone + Eq + std::hash::Hash + fmt::Debug> Command for Submission<C> {
    fn size(&self) -> usize {
        self.bytes as usize
    }
}

impl<C: Interferes + Clone + Eq + std::hash::Hash + fmt::Debug> interference::Command for Submission<C> {
    type Key = C::Key;

    /// What is offered twice has to come in one order as well: which of the two had its effect, all must agree on.
    fn interferes(&self, other: &Self) -> bool {
        self.command.interferes(&other.command)
            || (self.origin, self.sequence) == (other.origin, other.sequence)
    }

    fn extents(&self) -> Vec<Extent<C::Key>> {
        self.command.extents()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.node, self.incarnation)
    }
}
