//! Shrinking, tried on a program with a bug that needs one crash and one operation.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use synod_sim::clients::Workload;
use synod_sim::faults::{Class, Profile};
use synod_sim::program::{
    Boot, BootError, Digest, Effect, Fact, Memory, Operation, Program, Queue, Reply, RequestId, Standing,
    WorkId,
};
use synod_sim::programs::single_decree::SingleDecree;
use synod_sim::run::{Report, RunConfig, run};
use synod_sim::shrink::{self, shrink};
use synod_sim::trace::{Happening, Trace};

/// Promises whenever a client asks, tells everybody, and has forgotten it all after a restart.
#[derive(Debug)]
struct Forgetful {
    id: NodeId,
    nodes: Vec<NodeId>,
    promised: u64,
    out: VecDeque<Effect>,
}

impl Program for Forgetful {
    type Setup = ();
    const WORKLOAD: Workload = Workload::KeyValue;
    const NAME: &'static str = "forgetful";

    fn boot((): &(), boot: Boot) -> Result<Self, BootError> {
        let nothing =
            Memory { promised: Ballot::ZERO, checkpoint: Slot(0), votes: Vec::new(), chosen: Vec::new() };
        let out = VecDeque::from([Effect::Fact(Fact::Remembers(nothing))]);
        Ok(Forgetful { id: boot.id, nodes: boot.nodes, promised: 0, out })
    }

    fn handle_frame(&mut self, _: Time, _: NodeId, _: Bytes) {}

    fn handle_request(&mut self, _: Time, request: RequestId, _: Operation) {
        self.promised += 1;
        self.out.push_back(Effect::Work { queue: Queue::Journal, work: WorkId(self.promised) });
        self.out.push_back(Effect::Send { to: self.nodes.clone(), frame: Bytes::from_static(b"hello") });
        self.out.push_back(Effect::Reply { request, reply: Reply::Refused });
    }

    fn work(&mut self, _: Time, work: WorkId) -> Result<Vec<Fact>, String> {
        let ballot = Ballot { round: work.0, node: self.id };
        Ok(vec![Fact::Promised { ballot }])
    }

    fn handle_work_done(&mut self, _: Time, _: WorkId) {}

    fn next_timeout(&self) -> Option<Time> {
        None
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn poll_effect(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    fn standing(&self) -> Standing {
        Standing { happy: true, ..Standing::default() }
    }

    fn state(&self) -> Digest {
        Digest::EMPTY
    }

    fn election_timeout((): &()) -> Duration {
        Duration::from_millis(100)
    }

    fn describe(_: &Bytes) -> String {
        "hello".to_owned()
    }
}

fn messages(trace: &Trace) -> usize {
    trace.events.iter().filter(|event| matches!(event.what, Happening::Sent { .. })).count()
}

/// The first seed in which the program is found out.
fn failing() -> (RunConfig, Report) {
    let configs = (1..50).map(|seed| RunConfig { record: true, ..RunConfig::new(seed, Profile::All) });
    let mut runs = configs.map(|config| (config.clone(), run::<Forgetful>(&config)));
    let many = |report: &Report| report.violation.as_ref().is_some_and(|v| v.invariant == "P1a");
    runs.find(|(_, report)| many(report) && report.faults > 10).expect("a crash in one of 50 seeds")
}

#[test]
fn one_fault_and_few_messages_remain() {
    let (config, before) = failing();
    let mut told = 0;
    let small = shrink(&config, shrink::RUNS, run::<Forgetful>, &mut |runs| told = runs).unwrap();
    let violation = small.report.violation.clone().unwrap();
    assert_eq!(violation.invariant, "P1a", "another invariant is another bug");
    assert_eq!(small.config.keep.as_ref().map(Vec::len), Some(1), "one crash is enough: {:?}", small.config);
    assert_eq!(small.config.without.len(), Class::ALL.len() - 1, "{:?}", small.config);
    assert!(small.config.operations < config.operations / 4, "{:?}", small.config);
    let (many, few) = (messages(&before.trace.unwrap()), messages(small.report.trace.as_ref().unwrap()));
    assert!(few < many, "{few} messages are left of {many}");
    assert!(
        told + 1 == small.runs && small.runs <= shrink::RUNS + 1,
        "{told} runs told, {} done",
        small.runs
    );
}

#[test]
fn the_small_run_replays_to_the_same_hash() {
    let (config, _) = failing();
    let small = shrink(&config, shrink::RUNS, run::<Forgetful>, &mut drop).unwrap();
    let again = run::<Forgetful>(&RunConfig { record: false, ..small.config });
    assert_eq!((again.hash, again.violation), (small.report.hash, small.report.violation));
}

#[test]
fn a_bound_leaves_the_run_larger_and_still_failing() {
    let (config, _) = failing();
    let small = shrink(&config, 2, run::<Forgetful>, &mut drop).unwrap();
    assert!(small.report.violation.is_some());
    assert_eq!(small.runs, 3);
}

#[test]
fn a_good_run_is_not_shrunk() {
    let config = RunConfig::new(1, Profile::Calm);
    assert!(shrink(&config, shrink::RUNS, run::<SingleDecree>, &mut drop).is_none());
}
