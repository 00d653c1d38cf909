//! Messages that no correct peer sends here.

use thiserror::Error;

use crate::ballot::Ballot;
use crate::egalitarian::id::{CommandId, Floor, IdSet};
use crate::egalitarian::instance::Phase;
use crate::egalitarian::message::Message;
use crate::node::NodeId;
use crate::quorum::ReplicaQuorums;

/// Why a message was not looked at. The sender, the transport or somebody's settings are wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// The sender is no replica.
    #[error("{0} is no replica of this group")]
    Stranger(NodeId),
    /// A command, or a dependency, of nobody, or with a number that nobody can have reached.
    #[error("{from} sent {message} with {id}, which is no command of this group or out of reach")]
    NoSuchCommand {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The identity.
        id: CommandId,
    },
    /// A ballot that is not the sender's to use, or that nobody can have reached.
    #[error("{from} sent {message} with {ballot}, which it cannot have used")]
    ImpossibleBallot {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The ballot.
        ballot: Ballot,
    },
    /// Only the owner of a command proposes it.
    #[error("{from} proposes {id}, which is not its own")]
    NotItsCommand {
        /// The sender.
        from: NodeId,
        /// The identity.
        id: CommandId,
    },
    /// An answer to a question that this replica never asked.
    #[error("{from} answers {message} for {id}, of which this replica never asked that")]
    NeverAsked {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The identity.
        id: CommandId,
    },
    /// A command cannot depend on itself.
    #[error("{from} sent {message} that has {id} depend on itself")]
    DependsOnItself {
        /// The sender.
        from: NodeId,
        /// The message's name.
        message: &'static str,
        /// The identity.
        id: CommandId,
    },
    /// A report that contradicts itself.
    #[error("{from} reports of {id} what cannot be")]
    BadReport {
        /// The sender.
        from: NodeId,
        /// The identity.
        id: CommandId,
    },
}

/// How far ahead of what was heard of a command may be before it is taken for garbage. A `Status` may tell of any.
pub const AHEAD_MAX: u64 = 1 << 20;

/// Whether a correct replica `from` could have sent `message` to `node`, which has heard of `seen`.
pub(super) fn check<C>(
    quorums: &ReplicaQuorums,
    node: NodeId,
    seen: &Floor,
    from: NodeId,
    message: &Message<C>,
) -> Result<(), Rejection> {
    if !quorums.contains(from) {
        return Err(Rejection::Stranger(from));
    }
    let reach = Reach { quorums, seen, from, message: message.name() };
    if let Some(id) = message.id() {
        reach.check_id(id)?;
        check_ballots(quorums, node, from, id, message)?;
    }
    match message {
        Message::PreAccept { id, deps, .. }
        | Message::PreAcceptOk { id, deps }
        | Message::Accept { id, deps, .. }
        | Message::Commit { id, deps, .. }
        | Message::Validate { id, deps, .. } => reach.check_deps(Some(*id), deps),
        Message::RecoverOk { id, report, .. } => {
            if report.phase == Phase::Committed
                || (report.phase == Phase::Accepted) && report.decree.is_none()
            {
                return Err(Rejection::BadReport { from, id: *id });
            }
            let initial = report.initial.iter().try_for_each(|initial| reach.check_deps(Some(*id), initial));
            initial.and_then(|()| reach.check_deps(Some(*id), &report.deps))
        }
        Message::ValidateOk { conflicts, .. } => conflicts.iter().try_for_each(|(id, _)| reach.check_id(*id)),
        Message::Status(status) => {
            let floors =
                [&status.executed, &status.submits, &status.answers, &status.seen, &status.committed];
            let mut floors = floors.into_iter().chain([&status.collected]);
            floors.try_for_each(|floor| reach.check_last(floor.iter()))?;
            reach.check_last(status.installed.highest())
        }
        Message::Fetch { have } => reach.check_deps(None, have),
        Message::Fetched { instances, .. } => instances.iter().try_for_each(|committed| {
            reach.check_id(committed.id)?;
            reach.check_deps(Some(committed.id), &committed.deps)
        }),
        Message::AcceptOk { .. }
        | Message::Recover { .. }
        | Message::Waiting { .. }
        | Message::Nack { .. } => Ok(()),
    }
}

struct Reach<'a> {
    quorums: &'a ReplicaQuorums,
    seen: &'a Floor,
    from: NodeId,
    message: &'static str,
}

impl Reach<'_> {
    fn check_id(&self, id: CommandId) -> Result<(), Rejection> {
        let last = self.seen.of(id.owner).saturating_add(AHEAD_MAX).min(CommandId::COUNTER_MAX);
        if self.quorums.contains(id.owner) && (1..=last).contains(&id.counter) {
            return Ok(());
        }
        Err(Rejection::NoSuchCommand { from: self.from, message: self.message, id })
    }

    /// Commands of replicas, however many: who was away for long must hear how far the others are.
    fn check_last(&self, mut last: impl Iterator<Item = (NodeId, u64)>) -> Result<(), Rejection> {
        let possible =
            |owner, counter| self.quorums.contains(owner) && (1..=CommandId::COUNTER_MAX).contains(&counter);
        match last.find(|(owner, counter)| !possible(*owner, *counter)) {
            None => Ok(()),
            Some((owner, counter)) => {
                let (from, message, id) = (self.from, self.message, CommandId::new(owner, counter));
                Err(Rejection::NoSuchCommand { from, message, id })
            }
        }
    }

    fn check_deps(&self, id: Option<CommandId>, deps: &IdSet) -> Result<(), Rejection> {
        if let Some(id) = id.filter(|id| deps.contains(*id)) {
            return Err(Rejection::DependsOnItself { from: self.from, message: self.message, id });
        }
        deps.highest().try_for_each(|(owner, counter)| self.check_id(CommandId::new(owner, counter)))
    }
}

/// Owners lead with [`Ballot::ZERO`], recoverers with ballots of their own; answers come to who asked.
fn check_ballots<C>(
    quorums: &ReplicaQuorums,
    node: NodeId,
    from: NodeId,
    id: CommandId,
    message: &Message<C>,
) -> Result<(), Rejection> {
    let name = message.name();
    let leads = |who: NodeId, ballot: Ballot| match ballot.is_zero() {
        true => id.owner == who,
        false => {
            ballot.node == who && quorums.contains(who) && (1..=Ballot::ROUND_MAX).contains(&ballot.round)
        }
    };
    match message {
        Message::PreAccept { .. } if id.owner != from => Err(Rejection::NotItsCommand { from, id }),
        Message::PreAcceptOk { .. } if id.owner != node => {
            Err(Rejection::NeverAsked { from, message: name, id })
        }
        Message::Accept { ballot, .. } if !leads(from, *ballot) => {
            Err(Rejection::ImpossibleBallot { from, message: name, ballot: *ballot })
        }
        Message::Recover { ballot, .. } | Message::Validate { ballot, .. }
            if ballot.is_zero() || !leads(from, *ballot) =>
        {
            Err(Rejection::ImpossibleBallot { from, message: name, ballot: *ballot })
        }
        Message::RecoverOk { ballot, .. } | Message::ValidateOk { ballot, .. }
            if ballot.is_zero() || !leads(node, *ballot) =>
        {
            Err(Rejection::NeverAsked { from, message: name, id })
        }
        Message::AcceptOk { ballot, .. } if !leads(node, *ballot) => {
            Err(Rejection::NeverAsked { from, message: name, id })
        }
        Message::Nack { ballot, promised, .. } => {
            if !leads(node, *ballot) {
                return Err(Rejection::NeverAsked { from, message: name, id });
            }
            let possible = promised > ballot && leads(promised.node, *promised);
            possible.then_some(()).ok_or(Rejection::ImpossibleBallot {
                from,
                message: name,
                ballot: *promised,
            })
        }
        _ => Ok(()),
    }
}
