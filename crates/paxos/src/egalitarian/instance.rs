//! What a replica knows of one command.

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::egalitarian::id::{CommandId, IdSet};

/// How far a command is at one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was voted for here. The command itself may be known, from its validation.
    #[default]
    Initial,
    /// This replica has said what it knows to interfere.
    PreAccepted,
    /// This replica has voted for a command and its dependencies.
    Accepted,
    /// Command and dependencies are agreed on, for ever.
    Committed,
}

/// What can be agreed on for an identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Decree<C> {
    /// Nothing: the command that had the identity, if any, is proposed again under another one.
    Nop,
    /// The command that its owner proposed.
    Command(C),
}

/// What an instance holds: `cmd` of the paper, without a copy of the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Held {
    /// `⊥`: it interferes with nothing.
    #[default]
    Nothing,
    /// A no-op: it interferes with everything.
    Nop,
    /// The command.
    Command,
}

/// The instance of one identity at one replica, all of it durable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance<C> {
    /// How far it is.
    pub phase: Phase,
    /// `bal`: nothing below gets a vote any more. [`Ballot::ZERO`] is the owner's.
    pub promised: Ballot,
    /// `abal`: the ballot of the last vote, never that of a later promise (Sutra, 2019).
    pub accepted: Ballot,
    /// The one command that was ever proposed under the identity, once known.
    pub command: Option<C>,
    /// `cmd`: what of it is held.
    pub held: Held,
    /// `dep`: what it depends on.
    pub deps: IdSet,
    /// `initDep`: what its owner knew to interfere when it proposed it, once known.
    pub initial: Option<IdSet>,
    /// The own earlier command, turned into a no-op, that this one proposes again.
    pub instead_of: Option<CommandId>,
}

impl<C> Default for Instance<C> {
    fn default() -> Instance<C> {
        Instance {
            phase: Phase::Initial,
            promised: Ballot::ZERO,
            accepted: Ballot::ZERO,
            command: None,
            held: Held::Nothing,
            deps: IdSet::default(),
            initial: None,
            instead_of: None,
        }
    }
}

impl<C: Clone> Instance<C> {
    /// `cmd`, if it is not `⊥`.
    pub fn decree(&self) -> Option<Decree<C>> {
        match self.held {
            Held::Nothing => None,
            Held::Nop => Some(Decree::Nop),
            Held::Command => self.command.clone().map(Decree::Command),
        }
    }

    /// Whether command and dependencies are agreed on.
    pub fn is_committed(&self) -> bool {
        self.phase == Phase::Committed
    }

    /// Whether it was agreed that the identity stands for nothing.
    pub fn is_nop(&self) -> bool {
        self.is_committed() && self.held == Held::Nop
    }
}
