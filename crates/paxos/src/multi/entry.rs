//! What a slot holds.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A client's command, opaque to the protocol.
pub trait Command: Clone + Eq + Hash + Debug {
    /// Its size in bytes, which batches and windows are measured by.
    fn size(&self) -> usize;
}

/// The value of one slot: what its instance of consensus decides.
///
/// Cloning shares the commands: the journal, the peers and the applier see one copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Entry<C> {
    /// Fills a gap that a new leader found; does nothing.
    Noop,
    /// Commands in the order in which they are applied. Batches form by themselves while the window is full.
    Commands(Arc<[C]>),
}

impl<C: Command> Entry<C> {
    /// The commands, none for a no-op.
    pub fn commands(&self) -> &[C] {
        match self {
            Entry::Noop => &[],
            Entry::Commands(commands) => commands,
        }
    }

    /// Bytes of all commands.
    pub fn size(&self) -> usize {
        self.commands().iter().map(Command::size).sum()
    }
}

impl<C: Command> fmt::Display for Entry<C> {
    /// How many commands it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Noop => f.write_str("no-op"),
            Entry::Commands(commands) => write!(f, "[{}]", commands.len()),
        }
    }
}
