//! Whether the checkers notice: every rule's wrong version must be found out, by an invariant that is not about it.
//!
//! Only in builds with `--cfg synod_mutants`: no other has wrong versions to switch on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use synod_probe::mutant::{Mutant, activate};

use crate::check::explore::Limits;
use crate::check::spaces::{Space, spaces};
use crate::faults::Profile;
use crate::program::Program;
use crate::programs::fast::Fast;
use crate::programs::member::Member;
use crate::programs::replicated;
use crate::programs::single_decree::SingleDecree;
use crate::run::{RunConfig, guard, run};
use crate::scenarios::{self, Scenario};

/// How a mutant was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// `simulator` or `model checker`.
    pub by: &'static str,
    /// The protocol that was simulated, or the space that was explored.
    pub place: &'static str,
    /// How many seeds or states it took.
    pub effort: u64,
    /// The invariant that broke.
    pub invariant: String,
    /// What was seen.
    pub what: String,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// Which.
    pub mutant: Mutant,
    /// How the simulator found it out, if it did.
    pub simulator: Option<Kill>,
    /// How the model checker found it out, if it did.
    pub checker: Option<Kill>,
}

impl Hunt {
    /// Whether it was found out at all.
    pub fn is_killed(&self) -> bool {
        self.simulator.is_some() || self.checker.is_some()
    }
}

impl Hunt {
    /// A line of the table of mutants.
    pub fn row(&self) -> String {
        let name = self.mutant.name();
        match self.simulator.as_ref().or(self.checker.as_ref()) {
            Some(Kill { by, place, effort, invariant, .. }) => {
                let unit = if *by == "simulator" { "seeds" } else { "states" };
                format!("| {name} | {by}, {place} | {effort} {unit} | {invariant} |")
            }
            None => format!("| {name} | lives | | |"),
        }
    }
}

/// How hard to hunt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Seeds to try, at most.
    pub seeds: u64,
    /// States of one space to visit, at most.
    pub states: u64,
    /// Whether to go on with the model checker when the simulator has found the mutant out.
    pub both: bool,
}

/// Hunts all of `mutants` on all processors; `told` hears of each as soon as its hunt is over, and all are returned in
/// order.
pub fn hunt_all(mutants: &[Mutant], effort: Effort, told: &(impl Fn(&Hunt) + Sync)) -> Vec<Hunt> {
    let next = AtomicUsize::new(0);
    let hunter = || {
        let mut hunts = Vec::new();
        while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let hunt = hunt(*mutant, effort);
            told(&hunt);
            hunts.push(hunt);
        }
        hunts
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut hunts: Vec<Hunt> = thread::scope(|scope| {
        let hunters: Vec<_> = (0..threads).map(|_| scope.spawn(hunter)).collect();
        hunters
            .into_iter()
            .flat_map(|hunter| hunter.join().expect("a hunter catches what it hunts"))
            .collect()
    });
    hunts.sort_by_key(|hunt| mutants.iter().position(|mutant| *mutant == hunt.mutant));
    hunts
}

/// Seeds that are tried before the model checker is asked.
const EASY_SEEDS: u64 = 120;

/// Seeds of every other kind of weather: there rules show that do not matter while everything breaks.
const CALM_SEEDS: u64 = 20;

/// Rules that no other protocol has: only its scenes, its spaces and its seeds are asked about them.
const EGALITARIAN: &str = "Egalitarian Paxos";

/// Rules of the log of Fast Paxos only, which a few seeds find out, so that its spaces are left out.
const FAST_LOG: &str = "Fast Paxos as a log";

/// Hunts `mutant` on this thread.
pub fn hunt(mutant: Mutant, effort: Effort) -> Hunt {
    activate(Some(mutant));
    let easy = effort.seeds.min(EASY_SEEDS);
    let calm = effort.seeds.min(CALM_SEEDS);
    let is_leaderless = mutant.rule() == EGALITARIAN;
    let simulator = if is_leaderless {
        play(|scenario| scenario.name.starts_with("egalitarian"))
    } else if mutant.rule() == FAST_LOG {
        simulate::<replicated::FastLog>(0..effort.seeds, Profile::All)
    } else {
        simulate::<SingleDecree>(0..easy, Profile::All)
            .or_else(|| simulate::<Fast>(0..easy, Profile::All))
            .or_else(|| simulate::<Member>(0..calm, Profile::Calm))
            .or_else(|| simulate::<Member>(0..easy, Profile::All))
            .or_else(|| simulate::<replicated::Multi>(0..easy, Profile::All))
            .or_else(|| simulate::<replicated::FastLog>(0..easy, Profile::All))
            .or_else(|| simulate::<replicated::Raft>(0..easy, Profile::All))
            .or_else(|| play(|scenario| !scenario.name.starts_with("egalitarian")))
    };
    let concerns = |space: &&Space| space.name.starts_with("egalitarian") == is_leaderless;
    let checker = if effort.both || simulator.is_none() { explore(effort.states, concerns) } else { None };
    let simulator = match (simulator, &checker) {
        (None, None) if is_leaderless => simulate::<replicated::Egalitarian>(0..effort.seeds, Profile::All),
        (None, None) => simulate::<Member>(easy..effort.seeds, Profile::All),
        (simulator, _) => simulator,
    };
    activate(None);
    Hunt { mutant, simulator, checker }
}

fn simulate<P: Program>(seeds: std::ops::Range<u64>, profile: Profile) -> Option<Kill> {
    for seed in seeds {
        let report = run::<P>(&RunConfig::new(seed, profile));
        if let Some(violation) = report.violation {
            return Some(Kill {
                by: "simulator",
                place: P::NAME,
                effort: seed + 1,
                invariant: violation.invariant.to_owned(),
                what: violation.what,
            });
        }
    }
    None
}

/// Seeds with which a scenario is played.
const SCENARIO_SEEDS: u64 = 3;

/// The schedules with a name. What they expect themselves does not count, only what the world's checkers find.
fn play(concerns: impl Fn(&&'static Scenario) -> bool) -> Option<Kill> {
    let seeds = |scenario| (0..SCENARIO_SEEDS).map(move |seed| (scenario, seed));
    scenarios::all().iter().filter(concerns).flat_map(seeds).find_map(|(scenario, seed): (&Scenario, u64)| {
        let mut violation = None;
        let played = guard::catch(|| {
            let outcome = scenario.play(seed);
            // Where an algorithm is shown to fail, that it does is no finding.
            violation = outcome.trace.violation.filter(|_| outcome.verdict.is_err());
        });
        let (invariant, what) = match (played, violation) {
            (Err(panic), _) => ("Assertion".to_owned(), panic),
            (Ok(()), Some(violation)) => (violation.invariant, violation.what),
            (Ok(()), None) => return None,
        };
        Some(Kill { by: "simulator", place: scenario.name, effort: seed + 1, invariant, what })
    })
}

fn explore(states: u64, concerns: impl Fn(&&'static Space) -> bool) -> Option<Kill> {
    let affordable = spaces().iter().filter(|space| space.expected <= states).filter(concerns);
    affordable.filter_map(|space| explore_one(space, states)).next()
}

fn explore_one(space: &'static Space, states: u64) -> Option<Kill> {
    let mut seen = 0;
    let mut found = None;
    let limits = Limits { depth: None, states: Some(states), threads: 1 };
    // A wrong version may lead where an assertion of the code itself stops it.
    let explored = guard::catch(|| {
        found = space.run(&limits, &mut |progress| seen = progress.states).violation().cloned();
    });
    let (invariant, what) = match (explored, found) {
        (Err(panic), _) => ("Assertion".to_owned(), panic),
        (Ok(()), Some(violation)) => (violation.invariant.to_owned(), violation.what),
        (Ok(()), None) => return None,
    };
    Some(Kill { by: "model checker", place: space.name, effort: seen, invariant, what })
}
