//! What a recoverer may decide: the rules of EPaxos*, which replace those of the original paper.
//!
//! The names (1)-(5) and (a)-(d) are those of `docs/protocols/egalitarian.md`.

use std::collections::{BTreeMap, BTreeSet};

use synod_probe::{mark, mutant};

use crate::egalitarian::id::{CommandId, IdSet};
use crate::egalitarian::instance::{Decree, Phase};
use crate::egalitarian::lead::Candidate;
use crate::egalitarian::message::Report;
use crate::node::NodeId;
use crate::quorum::ReplicaQuorums;

/// What to do about a command that is being recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<C> {
    /// Ask for votes for this.
    Accept(Decree<C>, IdSet),
    /// Ask the quorum whether anything speaks against this.
    Validate(Candidate<C>),
    /// Wait for what becomes of these.
    Wait(BTreeSet<CommandId>),
}

impl<C> Step<C> {
    fn nop() -> Step<C> {
        Step::Accept(Decree::Nop, IdSet::default())
    }
}

/// Decides by what a slow quorum reported. Rule (1), that a commit ends it, is applied where one is learned.
pub(super) fn pick<C: Clone>(
    quorums: &ReplicaQuorums,
    owner: NodeId,
    reports: &BTreeMap<NodeId, Report<C>>,
) -> Step<C> {
    // (2) Votes were cast: those of the highest ballot bind, as in Paxos.
    let votes = || reports.values().filter(|report| report.phase == Phase::Accepted);
    let highest = votes().map(|report| report.accepted).max();
    let voted = votes().find(|report| Some(report.accepted) == highest);
    if let Some((report, decree)) = voted.and_then(|report| Some((report, report.decree.clone()?))) {
        mark!(EpaxosVoteTakenOver);
        return Step::Accept(decree, report.deps.clone());
    }
    // (3) The owner is alive and has promised without having committed: it will not any more.
    if reports.contains_key(&owner) {
        mark!(EpaxosOwnerAnswered);
        return Step::nop();
    }
    // (4) So many answered as a fast quorum does that the rest may complete it.
    let supporters = |report: &&Report<C>| {
        report.phase == Phase::PreAccepted && report.initial.as_ref() == Some(&report.deps)
    };
    let count = reports.values().filter(supporters).count();
    let needed = reports.len() - quorums.fast_failures() + usize::from(mutant!(EpaxosTooManySupporters));
    match reports
        .values()
        .find(supporters)
        .and_then(|report| report.decree.clone().zip(report.initial.clone()))
    {
        Some((Decree::Command(command), deps)) if count >= needed => {
            let quorum = reports.keys().copied().collect();
            Step::Validate(Candidate { command, deps, quorum, supporters: count })
        }
        // (5) It was not committed on the fast path, nor on the slow one.
        _ => {
            mark!(EpaxosNobodyKnew);
            Step::nop()
        }
    }
}

/// Decides by what the quorum found to speak against the candidate.
pub(super) fn judge<C: Clone>(
    quorums: &ReplicaQuorums,
    candidate: &Candidate<C>,
    answers: &BTreeMap<NodeId, Vec<(CommandId, Phase)>>,
) -> Step<C> {
    let all: BTreeMap<CommandId, Phase> = {
        let mut all = BTreeMap::new();
        for (id, phase) in answers.values().flatten() {
            let known = all.entry(*id).or_insert(*phase);
            *known = (*known).max(*phase);
        }
        all
    };
    if all.is_empty() || mutant!(EpaxosRecoveryWithoutValidation) {
        mark!(EpaxosValidated);
        return Step::Accept(Decree::Command(candidate.command.clone()), candidate.deps.clone());
    }
    let is_committed = all.values().any(|phase| *phase == Phase::Committed);
    // All those outside must then have voted for the candidate, the owner of a conflicting command among them: which
    // therefore has not been committed on the fast path without it.
    let all_needed = candidate.supporters == candidate.quorum.len() - quorums.fast_failures();
    let owner_outside = all.keys().any(|id| !candidate.quorum.contains(&id.owner));
    if is_committed || (all_needed && owner_outside) {
        mark!(EpaxosInvalidated);
        return Step::nop();
    }
    mark!(EpaxosWaited);
    Step::Wait(all.into_keys().collect())
}

/// What has become of a command that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not decided, as far as is known here.
    Open,
    /// Committed, and it speaks against the waiting one: neither depends on the other.
    Against,
    /// Committed as a no-op, or so that it depends on the waiting one.
    Harmless,
}

/// (a), (b): decides a waiting command by what has become of those that it waits for.
pub(super) fn settle<C: Clone>(
    candidate: &Candidate<C>,
    fates: impl Iterator<Item = Fate>,
) -> Option<Step<C>> {
    let mut open = false;
    for fate in fates {
        match fate {
            Fate::Against if mutant!(EpaxosCommittedAgainstIgnored) => {}
            Fate::Against => {
                mark!(EpaxosWaitEndedAgainst);
                return Some(Step::nop());
            }
            Fate::Open => open = true,
            Fate::Harmless => {}
        }
    }
    if open && !mutant!(EpaxosWaitsForNobody) {
        return None;
    }
    mark!(EpaxosWaitEndedWell);
    Some(Step::Accept(Decree::Command(candidate.command.clone()), candidate.deps.clone()))
}

/// (c): whether a command that another recoverer waits for, with so many supporters, had more than it could have had
/// if this one had been committed on the fast path.
pub(super) fn yields(quorums: &ReplicaQuorums, supporters: u64) -> bool {
    mutant!(EpaxosGivesWayToAll) || supporters > (quorums.slow_size() - quorums.fast_failures()) as u64
}

/// (d): decides by what somebody outside of the quorum reported late.
pub(super) fn late<C: Clone>(
    owner: NodeId,
    candidate: &Candidate<C>,
    from: NodeId,
    report: &Report<C>,
) -> Option<Step<C>> {
    if candidate.quorum.contains(&from) {
        return None;
    }
    if report.phase == Phase::Accepted {
        mark!(EpaxosLateReport);
        return report.decree.clone().map(|decree| Step::Accept(decree, report.deps.clone()));
    }
    (from == owner).then(|| {
        mark!(EpaxosLateReport);
        Step::nop()
    })
}
