//! What replicas say to each other.

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::egalitarian::id::{CommandId, Floor, IdSet};
use crate::egalitarian::instance::{Decree, Phase};
use crate::node::NodeId;

/// Messages of Egalitarian Paxos. The sender's identity comes with the transport.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message<C> {
    /// Owner to all: which commands do you know that interfere with this one, beside these?
    PreAccept {
        /// The command's identity.
        id: CommandId,
        /// The command.
        command: C,
        /// Those that the owner knows.
        deps: IdSet,
    },
    /// To the owner: these, the owner's included.
    PreAcceptOk {
        /// The command's identity.
        id: CommandId,
        /// What it should depend on.
        deps: IdSet,
    },
    /// Coordinator to all: vote for this.
    Accept {
        /// The command's identity.
        id: CommandId,
        /// The coordinator's ballot; the owner's is [`Ballot::ZERO`].
        ballot: Ballot,
        /// The only decree that this ballot ever carries for the command,
        decree: Decree<C>,
        /// with the only dependencies.
        deps: IdSet,
    },
    /// To the coordinator: I voted.
    AcceptOk {
        /// The command's identity.
        id: CommandId,
        /// The ballot of the vote.
        ballot: Ballot,
    },
    /// To all, and to whoever asks about it: this is agreed on.
    Commit {
        /// The command's identity.
        id: CommandId,
        /// What was agreed on,
        decree: Decree<C>,
        /// and on what it depends.
        deps: IdSet,
    },
    /// Recoverer to all: promise me this ballot, and tell me what you know of the command.
    Recover {
        /// The command's identity.
        id: CommandId,
        /// The recoverer's ballot.
        ballot: Ballot,
    },
    /// To the recoverer: nothing below will get my vote any more, and this is what I know.
    RecoverOk {
        /// The command's identity.
        id: CommandId,
        /// The ballot promised.
        ballot: Ballot,
        /// What was known when it was promised.
        report: Report<C>,
    },
    /// Recoverer to its quorum: does anything that you know speak against this command with these dependencies?
    Validate {
        /// The command's identity.
        id: CommandId,
        /// The recoverer's ballot.
        ballot: Ballot,
        /// The command.
        command: C,
        /// What its owner knew to interfere.
        deps: IdSet,
    },
    /// To the recoverer: these do.
    ValidateOk {
        /// The command's identity.
        id: CommandId,
        /// The ballot.
        ballot: Ballot,
        /// Interfering commands of which neither depends on the other as far as is known, and how far they are.
        conflicts: Vec<(CommandId, Phase)>,
    },
    /// Recoverer to all: I can decide about this command only when others are decided.
    Waiting {
        /// The command's identity.
        id: CommandId,
        /// How many of the recoverer's quorum may have voted for it on the fast path.
        supporters: u64,
    },
    /// I refuse, for I have promised a higher ballot. Never needed for safety.
    Nack {
        /// The command's identity.
        id: CommandId,
        /// The ballot refused.
        ballot: Ballot,
        /// The ballot promised.
        promised: Ballot,
    },
    /// To all, now and then: how I stand.
    Status(Status),
    /// Send me what is committed and not among these.
    Fetch {
        /// What the asker has.
        have: IdSet,
    },
    /// This is, or the first of it.
    Fetched {
        /// Committed commands.
        instances: Vec<Committed<C>>,
        /// Whether there is more than fits.
        more: bool,
    },
}

/// What a replica tells a recoverer of a command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Report<C> {
    /// How far the command is; never [`Phase::Committed`], which is answered with [`Message::Commit`].
    pub phase: Phase,
    /// The ballot of the vote, never that of a later promise (Sutra, 2019).
    pub accepted: Ballot,
    /// What is held under the identity.
    pub decree: Option<Decree<C>>,
    /// What it depends on.
    pub deps: IdSet,
    /// What its owner knew to interfere, if that is known.
    pub initial: Option<IdSet>,
}

/// A committed command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Committed<C> {
    /// The identity.
    pub id: CommandId,
    /// What was agreed on,
    pub decree: Decree<C>,
    /// and on what it depends.
    pub deps: IdSet,
}

/// How a replica stands, for catching up and for forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Status {
    /// What is executed and part of a durable state.
    pub executed: Floor,
    /// What every command that it proposes from now on depends on.
    pub submits: Floor,
    /// What every answer to a `PreAccept` will name from now on: a promise.
    pub answers: Floor,
    /// The last commands that it has heard of. Those above had no answer when `answers` was promised.
    pub seen: Floor,
    /// What is committed, without a gap.
    pub committed: Floor,
    /// What it has forgotten.
    pub collected: Floor,
    /// What it has taken over with another's state, as long as some of it is not known there. Who recovers any of it may
    /// take the state.
    pub installed: IdSet,
}

impl<C> Message<C> {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            Message::PreAccept { .. } => "pre-accept",
            Message::PreAcceptOk { .. } => "pre-accept-ok",
            Message::Accept { .. } => "accept",
            Message::AcceptOk { .. } => "accept-ok",
            Message::Commit { .. } => "commit",
            Message::Recover { .. } => "recover",
            Message::RecoverOk { .. } => "recover-ok",
            Message::Validate { .. } => "validate",
            Message::ValidateOk { .. } => "validate-ok",
            Message::Waiting { .. } => "waiting",
            Message::Nack { .. } => "nack",
            Message::Status(_) => "status",
            Message::Fetch { .. } => "fetch",
            Message::Fetched { .. } => "fetched",
        }
    }

    /// The command it is about, if it is about one.
    pub fn id(&self) -> Option<CommandId> {
        match self {
            Message::PreAccept { id, .. }
            | Message::PreAcceptOk { id, .. }
            | Message::Accept { id, .. }
            | Message::AcceptOk { id, .. }
            | Message::Commit { id, .. }
            | Message::Recover { id, .. }
            | Message::RecoverOk { id, .. }
            | Message::Validate { id, .. }
            | Message::ValidateOk { id, .. }
            | Message::Waiting { id, .. }
            | Message::Nack { id, .. } => Some(*id),
            Message::Status(_) | Message::Fetch { .. } | Message::Fetched { .. } => None,
        }
    }

    /// The ballot it is about, if it is about one.
    pub fn ballot(&self) -> Option<Ballot> {
        match self {
            Message::Accept { ballot, .. }
            | Message::AcceptOk { ballot, .. }
            | Message::Recover { ballot, .. }
            | Message::RecoverOk { ballot, .. }
            | Message::Validate { ballot, .. }
            | Message::ValidateOk { ballot, .. }
            | Message::Nack { ballot, .. } => Some(*ballot),
            _ => None,
        }
    }
}

/// A message and whom it is for: what the gate holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Letter<C> {
    pub(super) to: Vec<NodeId>,
    pub(super) message: Message<C>,
}
