//! One run across continents: replicas at some sites, clients beside each, and how long every write takes.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_paxos::node::NodeId;
use synod_probe::mark::{self, Mark};

use super::leader;
use super::sites::{MS, Site};
use super::workload::Keys;
use crate::check::Violation;
use crate::faults::Plan;
use crate::history::{Answer, Operation, Outcome};
use crate::linearizability;
use crate::network::Weather;
use crate::program::Program;
use crate::programs::replicated::Setup;
use crate::random::Random;
use crate::world::pace::Pace;
use crate::world::{World, WorldConfig};

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Where replicas stand.
    pub sites: Vec<Site>,
    /// Which keys are written.
    pub keys: Keys,
    /// Who leads, where somebody does.
    pub leader: Site,
    /// How many clients stand beside each replica. Each writes again as soon as it is answered.
    pub clients: u64,
    /// For how many nanoseconds writes are counted, those that begin then.
    pub measured: u64,
    /// How long a synced write to disk takes, in nanoseconds.
    pub disk: u64,
    /// How much longer than half a round trip a message may take, in nanoseconds; mostly it is much less.
    pub jitter: u64,
    /// The seed of everything.
    pub seed: u64,
}

impl Experiment {
    /// As in the papers: ten clients a site, the leader in California; and a disk that takes a millisecond.
    pub fn new(sites: &[Site], keys: Keys, seed: u64) -> Experiment {
        Experiment {
            sites: sites.to_vec(),
            keys,
            leader: Site::California,
            clients: 10,
            measured: 10_000 * MS,
            disk: MS,
            jitter: 2 * MS,
            seed,
        }
    }
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where the client stands.
    pub site: Site,
    /// Until its replica knew that the write is committed, in nanoseconds.
    pub commit: u64,
    /// Until its replica had executed it and answered.
    pub execution: u64,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// All writes that were counted.
    pub samples: Vec<Sample>,
    /// Commands that were committed in one round trip, and in two, where there are both.
    pub paths: (u64, u64),
    /// Recoveries, elections and repeated submissions while writes were counted: nothing fails, so there should be
    /// none.
    pub mishaps: u64,
    /// Whether the history was too tangled to find out if it is linearizable. The order of writes was checked.
    pub undecided: bool,
}

/// More than five of the longest round trips, so that nobody takes a far replica for a dead one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes before this much of the run are not counted.
const WARM_UP: u64 = 2_000 * MS;

/// Nobody waits longer for an answer.
const DEADLINE: u64 = 60_000 * MS;

/// How many keys are read in the end.
const READ_BACK: usize = 50;

/// Steps after which the search for an order gives up.
const SEARCH_STEPS: u64 = 300_000;

/// What happens only if somebody was taken for dead, or something for lost.
const MISHAPS: &[Mark] = &[
    Mark::EpaxosVoteTakenOver,
    Mark::EpaxosOwnerAnswered,
    Mark::EpaxosNobodyKnew,
    Mark::EpaxosValidated,
    Mark::EpaxosInvalidated,
    Mark::EpaxosProposedAgain,
    Mark::SubmissionOfferedAgain,
    Mark::ProposalSentAgain,
    Mark::LeaderWentHigher,
    Mark::LeaderSteppedDown,
    Mark::DuelLost,
    Mark::FastFellBack,
];

/// Runs it.
///
/// # Errors
/// What the checkers found, or that the leader was not where it should be.
pub(super) fn run<P: Program<Setup = Setup>>(
    experiment: &Experiment,
    leads: bool,
) -> Result<Measured, String> {
    drop(mark::take());
    let mut world = world::<P>(experiment);
    let patience = PATIENCE.as_nanos() as u64;
    if leads {
        leader::install(&mut world, experiment.leader.node(), 20 * patience, 2 * patience)?;
    } else {
        world.run_until(2 * patience);
    }
    let leaders = world.tally().leaders;
    drop(mark::take());
    let samples = write(&mut world, experiment)?;
    let marks: BTreeMap<Mark, u64> = mark::take().into_iter().collect();
    let hits = |mark: &Mark| marks.get(mark).copied().unwrap_or(0);
    let elections = world.tally().leaders - leaders;
    if leads && (elections > 0 || world.leader() != Some(experiment.leader.node())) {
        return Err(format!("{} led no more, after {elections} elections", experiment.leader));
    }
    let undecided = check(&mut world)?;
    Ok(Measured {
        samples,
        paths: (hits(&Mark::EpaxosFastPath), hits(&Mark::EpaxosSlowPath)),
        mishaps: MISHAPS.iter().map(hits).sum(),
        undecided,
    })
}

fn world<P: Program<Setup = Setup>>(experiment: &Experiment) -> World<P> {
    let nodes: Vec<NodeId> = experiment.sites.iter().map(|site| site.node()).collect();
    let jitter = experiment.jitter;
    let mut plan = Plan::calm(&nodes);
    plan.weather = Weather { delay: 0, jitter, ..Weather::FAIR };
    let mut world = World::new(WorldConfig {
        seed: experiment.seed,
        setup: Setup {
            patience: PATIENCE,
            request_timeout: Duration::from_nanos(DEADLINE),
            snapshot_bytes: 100_000,
            segment_bytes: 64 << 20,
            part_bytes: 1 << 20,
        },
        phase2: nodes.len() / 2 + 1,
        nodes,
        plan,
        clients: 0,
        operations: 0,
        record: false,
    });
    world.set_pace(Pace::steady(experiment.disk));
    for (index, site) in experiment.sites.iter().enumerate() {
        for other in &experiment.sites[..index] {
            world.set_distance(site.node(), other.node(), site.round_trip(*other) / 2);
        }
    }
    world
}

/// A client, and the number of its next write.
struct Writer {
    site: Site,
    id: u64,
    number: u64,
}

/// Has all clients write, each again when it was answered, until writes are counted no more and all are answered.
fn write<P: Program>(world: &mut World<P>, experiment: &Experiment) -> Result<Vec<Sample>, String> {
    let mut random = Random::new(experiment.seed, "writers");
    let from = world.now() + WARM_UP;
    let until = from + experiment.measured;
    let writers = experiment.sites.iter().flat_map(|site| (0..experiment.clients).map(move |n| (*site, n)));
    let mut starts: Vec<(u64, Writer)> = writers
        .map(|(site, index)| {
            let id = site.node().0 * 10_000 + index;
            (world.now() + random.below(WARM_UP / 2), Writer { site, id, number: 0 })
        })
        .collect();
    starts.sort_by_key(|(at, writer)| (*at, writer.id));
    let mut ask = |world: &mut World<P>, mut writer: Writer| {
        writer.number += 1;
        let key = experiment.keys.choose(writer.id, &mut random);
        let value = format!("{}.{}", writer.id, writer.number);
        (world.ask(writer.id, writer.site.node(), Operation::Put { key, value }), writer)
    };
    let mut starts = starts.into_iter().peekable();
    let mut open: BTreeMap<usize, Writer> = BTreeMap::new();
    let mut samples = Vec::new();
    while starts.peek().is_some() || !open.is_empty() {
        let next = starts.peek().map_or(until + DEADLINE, |(at, _)| *at);
        let answered = world.tally().answered;
        let more = world.run_until_that(next, |world| world.tally().answered > answered);
        stop_if_broken(world)?;
        if let Some((_, writer)) = starts.next_if(|(at, _)| *at <= world.now()) {
            open.extend([ask(world, writer)]);
        } else if !more {
            return Err(format!("{} writes are not answered within {DEADLINE} ns", open.len()));
        }
        let over: Vec<usize> = open.keys().copied().filter(|call| world.outcome(*call).is_some()).collect();
        for call in over {
            let Some(writer) = open.remove(&call) else { continue };
            let called = world.history()[call].called;
            let Some(Outcome::Answered { at, .. }) = world.outcome(call) else {
                return Err(format!("a write was not answered: {:?}", world.history()[call]));
            };
            let (at, site) = (*at, writer.site);
            if called >= from && called < until {
                let commit = world.decided(call).unwrap_or(at) - called;
                samples.push(Sample { site, commit, execution: at - called });
            }
            if world.now() < until {
                open.extend([ask(world, writer)]);
            }
        }
    }
    Ok(samples)
}

fn stop_if_broken<P: Program>(world: &World<P>) -> Result<(), String> {
    match world.violation() {
        Some(Violation { invariant, what }) => Err(format!("{invariant}: {what}")),
        None => Ok(()),
    }
}

/// Reads some keys at every site, compares the replicas, and looks for an order of what clients saw. Returns whether
/// the search gave up. The order of writes of each key is compared at every write.
fn check<P: Program>(world: &mut World<P>) -> Result<bool, String> {
    let even = |world: &World<P>| {
        let mut states = world.nodes().iter().filter_map(|node| world.program(*node)).map(Program::state);
        let first = states.next();
        states.all(|state| Some(state) == first)
    };
    if !world.run_until_that(world.now() + DEADLINE, even) {
        return Err("the replicas do not arrive at one state".to_owned());
    }
    let mut writes: BTreeMap<String, u64> = BTreeMap::new();
    for key in world.history().iter().flat_map(|call| call.operation.keys()) {
        *writes.entry(key.clone()).or_default() += 1;
    }
    let mut keys: Vec<(u64, String)> = writes.into_iter().map(|(key, count)| (count, key)).collect();
    keys.sort_by(|a, b| b.cmp(a));
    let nodes = world.nodes().to_vec();
    for (index, (_, key)) in keys.into_iter().take(READ_BACK).enumerate() {
        let call = world.ask(0, nodes[index % nodes.len()], Operation::Get { key });
        let asked = world.now();
        world.run_until_that(asked + DEADLINE, |world| world.outcome(call).is_some());
        stop_if_broken(world)?;
        if !matches!(world.outcome(call), Some(Outcome::Answered { answer: Answer::Value(_), .. })) {
            return Err(format!("a read was not answered: {:?}", world.history()[call]));
        }
    }
    match linearizability::check_within(world.history(), SEARCH_STEPS) {
        Ok(decided) => Ok(!decided),
        Err(error) => Err(error.to_string()),
    }
}
