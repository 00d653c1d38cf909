//! One seed, from the first start to the last check.

mod finale;
pub(crate) mod guard;

use synod_paxos::node::NodeId;
use synod_probe::mark::{self, Mark};

use crate::check::Violation;
use crate::clients::Workload;
use crate::faults::{Class, Plan, Profile};
use crate::program::{Digest, Program};
use crate::random::Random;
use crate::trace::{Trace, Violated};
use crate::world::{Tally, World, WorldConfig};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The seed.
    pub seed: u64,
    /// Which faults it may have.
    pub profile: Profile,
    /// How many nodes; drawn from the seed if not said.
    pub nodes: Option<u64>,
    /// Only these faults of the plan, by their numbers; all if not said.
    pub keep: Option<Vec<usize>>,
    /// Classes of faults left out.
    pub without: Vec<Class>,
    /// How many operations each client begins.
    pub operations: u64,
    /// Whether to keep a trace.
    pub record: bool,
}

impl RunConfig {
    /// The whole run of `seed`.
    pub fn new(seed: u64, profile: Profile) -> RunConfig {
        let (keep, without) = (None, Vec::new());
        RunConfig { seed, profile, nodes: None, keep, without, operations: OPERATIONS, record: false }
    }
}

/// What a run was like.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// How many nodes it had.
    pub nodes: u64,
    /// Figures.
    pub tally: Tally,
    /// How many faults its plan had.
    pub faults: usize,
    /// Slots that were chosen, or writes that were executed where there are none.
    pub chosen: usize,
    /// Simulated nanoseconds.
    pub simulated: u64,
    /// The fingerprint of everything that happened.
    pub hash: Digest,
    /// How often each rare path was reached.
    pub marks: Vec<(Mark, u64)>,
    /// Whether the history was too tangled to find out if it is linearizable. Its revisions and appends were checked.
    pub undecided: bool,
    /// What broke.
    pub violation: Option<Violation>,
    /// Everything that happened, if it was to be recorded.
    pub trace: Option<Trace>,
}

/// When faults begin and stop, in simulated nanoseconds. A log gets a leader and some writes first; a single decision
/// is over before that, so it is disturbed from the beginning.
fn fault_time(workload: Workload) -> (u64, u64) {
    match workload {
        Workload::KeyValue | Workload::Textbook => (1_000_000_000, 13_000_000_000),
        Workload::Decree => (0, 3_000_000_000),
    }
}

/// A run goes on after its faults until so many operations are answered, if there are as many,
pub const ANSWERED_MIN: u64 = 200;

/// or for so many simulated nanoseconds.
const CATCH_UP: u64 = 20_000_000_000;

/// Clients of a run.
const CLIENTS: u64 = 8;

/// Operations each of them begins, if there is time.
pub const OPERATIONS: u64 = 120;

/// Runs a seed. A panic of the code under test is a violation like any other.
pub fn run<P: Program>(config: &RunConfig) -> Report {
    let mut random = Random::new(config.seed, "run");
    let count = config.nodes.unwrap_or(*random.pick(&[3, 3, 5]));
    let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
    let (from, until) = fault_time(P::WORKLOAD);
    let mut plan = Plan::draw(config.seed, config.profile, &nodes, from, until);
    let faults = plan.faults.len();
    if let Some(keep) = &config.keep {
        let numbered = plan.faults.into_iter().enumerate();
        plan.faults = numbered.filter(|(index, _)| keep.contains(index)).map(|(_, fault)| fault).collect();
    }
    let plan = plan.without(&config.without);
    let phase2 = nodes.len() / 2 + 1;
    drop(mark::take());
    let mut world = World::<P>::new(WorldConfig {
        seed: config.seed,
        setup: P::setup(config.seed),
        nodes: nodes.clone(),
        plan,
        phase2,
        clients: CLIENTS,
        operations: config.operations,
        record: config.record,
    });
    let mut undecided = false;
    if let Err(panic) = guard::catch(|| undecided = live(&mut world, config, &mut random)) {
        world.violate("Assertion", panic);
    }
    let violation = world.violation().cloned();
    let trace = config.record.then(|| Trace {
        version: 1,
        protocol: P::NAME.to_owned(),
        scenario: None,
        seed: config.seed,
        nodes: nodes.iter().map(|node| node.0).collect(),
        events: world.take_trace(),
        violation: violation
            .clone()
            .map(|violation| Violated { invariant: violation.invariant.to_owned(), what: violation.what }),
    });
    Report {
        seed: config.seed,
        nodes: count,
        tally: world.tally(),
        faults,
        chosen: world.ledger().len().max(world.executions().len()),
        simulated: world.now(),
        hash: world.hash(),
        marks: mark::take(),
        undecided,
        violation,
        trace,
    }
}

/// Returns whether it could not be decided if the history is linearizable.
fn live<P: Program>(world: &mut World<P>, config: &RunConfig, random: &mut Random) -> bool {
    world.run_until(fault_time(P::WORKLOAD).1);
    world.calm_down();
    // A run whose faults left no time for anything has shown nothing.
    let deadline = world.now() + CATCH_UP;
    world.run_until_that(deadline, |world| {
        world.tally().answered >= ANSWERED_MIN.min(config.operations * CLIENTS)
    });
    if config.profile != Profile::Beyond {
        finale::come_to_rest(world, random, config.profile);
    }
    if config.profile == Profile::Calm {
        finale::check_calm(world);
    }
    finale::check_history(world)
}
