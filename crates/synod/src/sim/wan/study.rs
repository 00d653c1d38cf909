//! All runs of a comparison, on all threads, and what came out of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use synod_sim::wan::contender::Contender;
use synod_sim::wan::costs::Costs;
use synod_sim::wan::experiment::{Experiment, Measured};
use synod_sim::wan::latency::Latencies;
use synod_sim::wan::outage::{Outage, Scene};
use synod_sim::wan::sites::Site;
use synod_sim::wan::takeover::Takeover;
use synod_sim::wan::workload::Keys;

/// What is compared.
#[derive(Clone, Debug)]
pub(super) struct Study {
    pub(super) contenders: Vec<&'static Contender>,
    pub(super) sites: Vec<Site>,
    pub(super) keys: Vec<Keys>,
    pub(super) leader: Site,
    /// The first seed, and how many.
    pub(super) seeds: (u64, u64),
}

/// Seeds of every scene of an outage: one run says little of how long it lasts.
pub(super) const OUTAGES: u64 = 50;

/// How long clients of one site waited.
#[derive(Clone, Debug)]
pub(super) struct AtSite {
    pub(super) site: Site,
    pub(super) commit: Latencies,
    pub(super) execution: Latencies,
}

/// A protocol under one workload.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) contender: &'static Contender,
    pub(super) keys: Keys,
    pub(super) sites: Vec<AtSite>,
    /// Of a hundred commands so many took a second round trip, where that is possible.
    pub(super) slow: Option<f64>,
    pub(super) mishaps: u64,
    pub(super) undecided: usize,
}

/// A protocol in one scene.
#[derive(Clone, Debug)]
pub(super) struct Downtime {
    pub(super) contender: &'static Contender,
    pub(super) scene: Scene,
    /// Thousandths of an election timeout, of the runs in which service went on.
    pub(super) downtime: Latencies,
    /// Runs in which it did not while that was watched.
    pub(super) never: usize,
    pub(super) leaders: Latencies,
}

/// How a protocol goes on without one of its replicas.
#[derive(Clone, Debug)]
pub(super) struct Succession {
    pub(super) contender: &'static Contender,
    /// Runs in which a client was answered before anybody did anything about it.
    pub(super) unnoticed: usize,
    pub(super) silence: Latencies,
    pub(super) delays: Latencies,
    pub(super) messages: Latencies,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) rows: Vec<Row>,
    pub(super) costs: Vec<(&'static Contender, Costs)>,
    pub(super) successions: Vec<Succession>,
    pub(super) downtimes: Vec<Downtime>,
}

enum Job {
    Measure(&'static Contender, Experiment),
    Count(&'static Contender, u64),
    TakeOver(&'static Contender, u64),
    Interrupt(&'static Contender, Scene, u64),
}

enum Done {
    Measured(Measured),
    Counted(Costs),
    TookOver(Option<Takeover>),
    Interrupted(Outage),
}

impl Job {
    fn run(&self) -> Result<Done, String> {
        let (contender, what, done) = match self {
            Job::Measure(contender, experiment) => {
                let what = format!("{}, seed {}", experiment.keys, experiment.seed);
                (contender, what, (contender.measure)(experiment).map(Done::Measured))
            }
            Job::Count(contender, nodes) => {
                (contender, format!("costs of {nodes}"), (contender.count)(*nodes).map(Done::Counted))
            }
            Job::TakeOver(contender, seed) => {
                let done = (contender.take_over)(*seed).map(Done::TookOver);
                (contender, format!("takeover, seed {seed}"), done)
            }
            Job::Interrupt(contender, scene, seed) => {
                let done = (contender.interrupt)(*scene, *seed).map(Done::Interrupted);
                (contender, format!("{scene}, seed {seed}"), done)
            }
        };
        done.map_err(|error| format!("{}, {what}: {error}", contender.title))
    }
}

impl Study {
    /// The longest ones first, so that no thread is left with one at the end.
    fn jobs(&self) -> Vec<Job> {
        let (first, count) = self.seeds;
        let mut jobs = Vec::new();
        for contender in &self.contenders {
            for keys in &self.keys {
                jobs.extend((first..first + count).map(|seed| {
                    let experiment = Experiment::new(&self.sites, *keys, seed);
                    Job::Measure(contender, Experiment { leader: self.leader, ..experiment })
                }));
            }
        }
        for contender in &self.contenders {
            jobs.extend([3, 5].map(|nodes| Job::Count(contender, nodes)));
            jobs.extend((first..first + OUTAGES).map(|seed| Job::TakeOver(contender, seed)));
            for scene in Scene::ALL {
                jobs.extend((first..first + OUTAGES).map(|seed| Job::Interrupt(contender, scene, seed)));
            }
        }
        jobs
    }

    /// Runs everything. What is found does not depend on the number of threads.
    ///
    /// # Errors
    /// The first thing that was not as it must be.
    pub(super) fn run(
        &self,
        threads: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Findings, String> {
        let jobs = self.jobs();
        let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results: Vec<Mutex<Option<Result<Done, String>>>> =
            jobs.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            while let Some(index) =
                Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < jobs.len())
            {
                let done = jobs[index].run();
                *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                progress(finished.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let results = results.into_iter().map(|result| {
            let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
            result.expect("every job was run")
        });
        let done: Vec<Done> = results.collect::<Result<_, _>>()?;
        Ok(self.find(&jobs, &done))
    }

    fn find(&self, jobs: &[Job], done: &[Done]) -> Findings {
        let results: Vec<(&Job, &Done)> = jobs.iter().zip(done).collect();
        let mut findings = Findings::default();
        for contender in self.contenders.iter().copied() {
            findings.rows.extend(self.keys.iter().map(|keys| self.row(contender, *keys, &results)));
            let counted = results.iter().filter_map(|(job, done)| match (job, done) {
                (Job::Count(of, _), Done::Counted(costs)) if of.name == contender.name => Some(*costs),
                _ => None,
            });
            findings.costs.extend(counted.map(|costs| (contender, costs)));
            let deaths = results.iter().filter_map(|(job, done)| match (job, done) {
                (Job::TakeOver(of, _), Done::TookOver(takeover)) if of.name == contender.name => {
                    Some(takeover)
                }
                _ => None,
            });
            let deaths: Vec<&Option<Takeover>> = deaths.collect();
            let took_over: Vec<Takeover> = deaths.iter().copied().copied().flatten().collect();
            findings.successions.push(Succession {
                contender,
                unnoticed: deaths.len() - took_over.len(),
                silence: took_over.iter().map(|takeover| takeover.silence).collect(),
                delays: took_over.iter().map(|takeover| takeover.delays).collect(),
                messages: took_over.iter().map(|takeover| takeover.messages).collect(),
            });
            findings.downtimes.extend(Scene::ALL.map(|scene| downtime(contender, scene, &results)));
        }
        findings
    }

    fn row(&self, contender: &'static Contender, keys: Keys, results: &[(&Job, &Done)]) -> Row {
        let measured: Vec<&Measured> = results
            .iter()
            .filter_map(|(job, done)| match (job, done) {
                (Job::Measure(of, experiment), Done::Measured(measured))
                    if of.name == contender.name && experiment.keys == keys =>
                {
                    Some(measured)
                }
                _ => None,
            })
            .collect();
        let samples = || measured.iter().flat_map(|measured| &measured.samples);
        let at = |site: &Site| AtSite {
            site: *site,
            commit: samples().filter(|sample| sample.site == *site).map(|sample| sample.commit).collect(),
            execution: samples()
                .filter(|sample| sample.site == *site)
                .map(|sample| sample.execution)
                .collect(),
        };
        let fast: u64 = measured.iter().map(|measured| measured.paths.0).sum();
        let slow: u64 = measured.iter().map(|measured| measured.paths.1).sum();
        Row {
            contender,
            keys,
            sites: self.sites.iter().map(at).collect(),
            slow: (fast + slow > 0).then(|| slow as f64 * 100.0 / (fast + slow) as f64),
            mishaps: measured.iter().map(|measured| measured.mishaps).sum(),
            undecided: measured.iter().filter(|measured| measured.undecided).count(),
        }
    }
}

fn downtime(contender: &'static Contender, scene: Scene, results: &[(&Job, &Done)]) -> Downtime {
    let outages: Vec<&Outage> = results
        .iter()
        .filter_map(|(job, done)| match (job, done) {
            (Job::Interrupt(of, in_scene, _), Done::Interrupted(outage))
                if of.name == contender.name && *in_scene == scene =>
            {
                Some(outage)
            }
            _ => None,
        })
        .collect();
    Downtime {
        contender,
        scene,
        downtime: outages.iter().filter_map(|outage| outage.downtime).collect(),
        never: outages.iter().filter(|outage| outage.downtime.is_none()).count(),
        leaders: outages.iter().map(|outage| outage.leaders).collect(),
    }
}
