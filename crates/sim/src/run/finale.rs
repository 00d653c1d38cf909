//! After the faults: everything must come to rest, and the history must make sense.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synod_paxos::node::NodeId;

use crate::clients::Workload;
use crate::faults::Profile;
use crate::history::{Answer, Call, Operation, Outcome};
use crate::linearizability;
use crate::machine::Death;
use crate::network::{Link, between};
use crate::program::{Digest, Program};
use crate::random::Random;
use crate::world::World;

/// Who has stopped because of a fault starts again within this.
const STARTS_WITHIN: Duration = Duration::from_secs(3);

/// Election timeouts within which there is a leader.
const ELECTIONS: u32 = 10;

/// Every request is answered within this: it is longer than any node or client waits.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Every live node is up to date within this.
const LEARNED_WITHIN: Duration = Duration::from_secs(10);

/// Election timeouts for which it is then watched how often the leader changes,
const WATCHED: u32 = 20;

/// and how often it may: whoever found a leader keeps it, however the links are broken (OmniPaxos, EuroSys '23, §7).
const LEADERS_MAX: u64 = 1;

/// Every machine whose disk is as it should be takes part within this, and none whose disk was set back.
const SORTED_OUT_WITHIN: Duration = Duration::from_secs(10);

/// Steps after which the search for an order gives up. Nearly every history takes a few thousand.
const SEARCH_STEPS: u64 = 300_000;

/// The client that asks when all is over.
const LAST_CLIENT: u64 = 0;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("seconds")
}

/// Heals everything, or only a quorum with the rest broken for good, and waits for what must come then.
pub(super) fn come_to_rest<P: Program>(world: &mut World<P>, random: &mut Random, profile: Profile) {
    if world.violation().is_some() {
        return;
    }
    if P::REPLACES_DISKS {
        sort_out(world);
    }
    let core = freeze(world, random, profile);
    world.retire_clients();
    let deadline = world.now() + nanos(STARTS_WITHIN);
    let running = |world: &World<P>| core.iter().all(|node| world.program(*node).is_some());
    if !world.run_until_that(deadline, running) {
        let missing: Vec<_> = core.iter().filter(|node| world.program(**node).is_none()).collect();
        return world.violate("Liveness 1", format!("{missing:?} did not start within {STARTS_WITHIN:?}"));
    }
    let happy = |world: &World<P>| {
        let mut programs = core.iter().filter_map(|node| world.program(*node));
        programs.any(|program| program.standing().happy)
    };
    let patience = P::election_timeout(&P::Setup::default()) * ELECTIONS;
    let deadline = world.now() + nanos(patience);
    if !world.run_until_that(deadline, happy) {
        let what = format!("no leader among {core:?} within {patience:?} after the faults stopped");
        return world.violate("Liveness 1", what);
    }
    answer(world, &core);
    learn(world, &core);
    keep_leader::<P>(world);
}

/// All are up and reach each other: the cluster is founded if it was not, and a disk that was set back is refused.
fn sort_out<P: Program>(world: &mut World<P>) {
    let deadline = world.now() + nanos(SORTED_OUT_WITHIN);
    let starts = |world: &World<P>, node: &NodeId| world.can_run(*node) && world.program(*node).is_none();
    let sorted = |world: &World<P>| {
        world.missing().next().is_none()
            && world.set_back().next().is_none()
            && !world.nodes().iter().any(|node| starts(world, node))
    };
    if world.run_until_that(deadline, sorted) {
        return;
    }
    let (missing, set_back): (Vec<_>, Vec<_>) = (world.missing().collect(), world.set_back().collect());
    if !set_back.is_empty() {
        world.violate("Rollback", format!("{set_back:?} take part with disks that were set back"));
    } else if !missing.is_empty() {
        world.violate("Liveness 1", format!("{missing:?} take no part though all are up"));
    }
}

/// Nothing breaks any more, so the leader stays.
fn keep_leader<P: Program>(world: &mut World<P>) {
    let before = world.tally().leaders;
    let watched = P::election_timeout(&P::Setup::default()) * WATCHED;
    world.run_until(world.now() + nanos(watched));
    let leaders = world.tally().leaders - before;
    if leaders > LEADERS_MAX {
        let what = format!("{leaders} leaders took over within {watched:?} although nothing broke");
        world.violate("Stability", what);
    }
}

/// Chooses who must go on, and breaks the rest for good. Returns who must.
fn freeze<P: Program>(world: &mut World<P>, random: &mut Random, profile: Profile) -> Vec<NodeId> {
    let nodes = world.nodes().to_vec();
    let takes_part = |node: &NodeId| world.program(*node).is_none_or(Program::takes_part);
    let able = nodes.iter().copied().filter(|node| world.can_run(*node));
    let alive: Vec<NodeId> = able.filter(takes_part).collect();
    if profile == Profile::Calm || random.chance(400) {
        return alive;
    }
    let core = random.sample(&alive, nodes.len() / 2 + 1);
    for node in nodes.iter().filter(|node| !core.contains(node)) {
        let links = between(&[*node], &nodes);
        let outward = |link: &Link| link.0 == *node;
        match random.below(4) {
            1.. if !P::BEARS_PARTIAL_LINKS => world.cut(&links),
            0 => world.kill(*node, Death::Process),
            1 => world.cut(&links.into_iter().filter(outward).collect::<Vec<_>>()),
            2 => world.cut(&links.into_iter().filter(|link| !outward(link)).collect::<Vec<_>>()),
            _ => {
                let some = usize::try_from(random.below(links.len() as u64)).expect("few links");
                world.cut(&random.sample(&links, some));
            }
        }
    }
    let mut core = core;
    core.sort_unstable();
    core
}

/// Every request under way ends, and new ones are answered.
fn answer<P: Program>(world: &mut World<P>, core: &[NodeId]) {
    let deadline = world.now() + nanos(ANSWERED_WITHIN);
    let owed = |world: &World<P>| core.iter().map(|node| world.owed(*node)).sum::<usize>();
    if !world.run_until_that(deadline, |world| world.waiting() == 0 && owed(world) == 0) {
        if world.waiting() == 0 {
            let what = format!("{} requests were never answered by {core:?}", owed(world));
            return world.violate("Answers", what);
        }
        let what = format!("{} requests are not answered within {ANSWERED_WITHIN:?}", world.waiting());
        return world.violate("Liveness 2", what);
    }
    for (index, operation) in last_operations(world, P::WORKLOAD).into_iter().enumerate() {
        let node = core[index % core.len()];
        let call = world.ask(LAST_CLIENT, node, operation);
        let deadline = world.now() + nanos(ANSWERED_WITHIN);
        world.run_until_that(deadline, |world| world.outcome(call).is_some());
        if !matches!(world.outcome(call), Some(Outcome::Answered { .. })) {
            let call = &world.history()[call];
            let what = format!("{node} leaves {:?} unanswered in a healthy cluster", call.operation);
            return world.violate("Liveness 2", what);
        }
    }
}

/// A write, and a read of every key.
fn last_operations<P: Program>(world: &World<P>, workload: Workload) -> Vec<Operation> {
    match workload {
        Workload::Decree => vec![Operation::Propose { value: "last".to_owned() }],
        Workload::KeyValue | Workload::Textbook => {
            let keys: BTreeSet<String> =
                world.history().iter().flat_map(|call| call.operation.keys()).cloned().collect();
            let write = Operation::Put { key: "last".to_owned(), value: "last".to_owned() };
            let reads = keys.into_iter().map(|key| Operation::Get { key });
            std::iter::once(write).chain(reads).collect()
        }
    }
}

/// Every live node learns and applies everything, and arrives at the same state.
fn learn<P: Program>(world: &mut World<P>, core: &[NodeId]) {
    let deadline = world.now() + nanos(LEARNED_WITHIN);
    // Where there is no one log, nodes that have applied as much need not have applied the same.
    if world.run_until_that(deadline, |world| is_even(world, core) && states(world, core).len() == 1) {
        return;
    }
    if is_even(world, core) {
        return world.violate("Same state", format!("{core:?} have applied as much and differ"));
    }
    let applied: Vec<_> =
        core.iter().map(|node| (*node, world.program(*node).map(|p| p.standing().applied))).collect();
    let what = format!("chosen through {}, applied {applied:?}", world.ledger().chosen_prefix());
    world.violate("Liveness 2", what);
}

/// Whether all have applied as much, and all that is chosen.
fn is_even<P: Program>(world: &World<P>, core: &[NodeId]) -> bool {
    let programs = core.iter().filter_map(|node| world.program(*node));
    let applied: BTreeSet<_> = programs.map(|program| program.standing().applied).collect();
    applied.len() == 1 && applied.first().is_some_and(|applied| *applied >= world.ledger().chosen_prefix())
}

fn states<P: Program>(world: &World<P>, core: &[NodeId]) -> BTreeSet<Digest> {
    core.iter().filter_map(|node| world.program(*node)).map(Program::state).collect()
}

/// Where nothing ever broke, nobody is left without an answer, and leaders change only while the first is found: all
/// that offer themselves at the same moment may pass each other, once.
pub(super) fn check_calm<P: Program>(world: &mut World<P>) {
    let leaders = world.tally().leaders;
    if leaders > world.nodes().len() as u64 {
        world.violate("Stability", format!("{leaders} leaders took over although nothing broke"));
    }
    let left =
        |call: &&Call| !call.operation.is_harmless() && !matches!(call.outcome, Outcome::Answered { .. });
    if let Some(call) = world.history().iter().find(left) {
        let what = format!("nothing broke, and {:?} at {} ns was not answered", call.operation, call.called);
        world.violate("Liveness 2", what);
    }
}

/// Whether clients can have seen what they saw.
/// Returns whether the search for an order gave up.
pub(super) fn check_history<P: Program>(world: &mut World<P>) -> bool {
    let calls = world.history();
    let asked_last = calls.iter().any(|call| call.client == LAST_CLIENT);
    let last = calls.iter().filter(|call| call.client == LAST_CLIENT);
    let last: BTreeMap<String, String> = last.filter_map(found).collect();
    // Where nobody could read at the end, only what clients read before can be compared.
    let appends = match asked_last {
        true => linearizability::check_appends(calls, &last).map_err(|error| error.to_string()),
        false => Ok(()),
    };
    let revisions = linearizability::check_revisions(calls).map_err(|error| error.to_string());
    let order = linearizability::check_within(calls, SEARCH_STEPS);
    let undecided = matches!(order, Ok(false));
    let order = order.map(drop).map_err(|error| error.to_string());
    for (invariant, result) in
        [("Exactly once", appends), ("Revisions", revisions), ("Linearizability", order)]
    {
        if let Err(what) = result {
            world.violate(invariant, what);
        }
    }
    undecided
}

/// What a read found.
fn found(call: &Call) -> Option<(String, String)> {
    match (&call.operation, &call.outcome) {
        (Operation::Get { key }, Outcome::Answered { answer: Answer::Value(Some(value)), .. }) => {
            Some((key.clone(), value.clone()))
        }
        _ => None,
    }
}
