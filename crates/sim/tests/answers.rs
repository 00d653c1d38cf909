//! Every request that a program accepted gets exactly one answer, and in time: tried on programs that do not keep to it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use synod_paxos::node::NodeId;
use synod_paxos::time::Time;
use synod_sim::clients::Workload;
use synod_sim::faults::Profile;
use synod_sim::program::{
    Boot, BootError, Digest, Effect, Fact, Operation, Program, Queue, Reply, RequestId, Standing, WorkId,
};
use synod_sim::run::{RunConfig, run};

/// Refuses whatever it is asked, so many times. Its applier has the last word, so that it answers nobody while that hangs.
#[derive(Debug)]
struct Refuser<const TIMES: usize> {
    out: VecDeque<Effect>,
}

impl<const TIMES: usize> Program for Refuser<TIMES> {
    type Setup = ();
    const WORKLOAD: Workload = Workload::KeyValue;
    const NAME: &'static str = "refuser";

    fn boot((): &(), _: Boot) -> Result<Self, BootError> {
        Ok(Refuser { out: VecDeque::new() })
    }

    fn handle_frame(&mut self, _: Time, _: NodeId, _: Bytes) {}

    fn handle_request(&mut self, _: Time, request: RequestId, _: Operation) {
        self.out.push_back(Effect::Work { queue: Queue::Apply, work: WorkId(request.0) });
    }

    fn work(&mut self, _: Time, _: WorkId) -> Result<Vec<Fact>, String> {
        Ok(Vec::new())
    }

    fn handle_work_done(&mut self, _: Time, work: WorkId) {
        let request = RequestId(work.0);
        self.out.extend((0..TIMES).map(|_| Effect::Reply { request, reply: Reply::Refused }));
    }

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

    fn request_timeout((): &()) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn election_timeout((): &()) -> Duration {
        Duration::from_millis(100)
    }

    fn describe(_: &Bytes) -> String {
        "nothing".to_owned()
    }
}

/// What breaks in some seeds, of which nothing is asked but that no answer is wrong.
fn broken<const TIMES: usize>() -> Vec<Option<&'static str>> {
    let runs = (0..20).map(|seed| run::<Refuser<TIMES>>(&RunConfig::new(seed, Profile::Beyond)));
    runs.map(|report| report.violation.map(|violation| violation.invariant)).collect()
}

#[test]
fn one_answer_is_right_however_long_appliers_and_processes_stand_still() {
    assert_eq!(broken::<1>(), [None; 20]);
}

#[test]
fn no_answer_is_noticed() {
    assert_eq!(broken::<0>(), [Some("Answers"); 20]);
}

#[test]
fn a_second_answer_is_noticed() {
    assert_eq!(broken::<2>(), [Some("Answers"); 20]);
}
