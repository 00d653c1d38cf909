//! What the comparison of the protocols rests on: figures that follow from the distances alone.
#![allow(clippy::unwrap_used)]

use synod_sim::wan::contender::{CONTENDERS, Contender};
use synod_sim::wan::costs::{Cost, Costs};
use synod_sim::wan::experiment::{Experiment, Sample};
use synod_sim::wan::latency::Latencies;
use synod_sim::wan::outage::Scene;
use synod_sim::wan::sites::{MS, Site};
use synod_sim::wan::workload::Keys;

fn contender(name: &str) -> &'static Contender {
    CONTENDERS.iter().find(|contender| contender.name == name).unwrap()
}

/// One client a site, and nothing but distances takes any time.
fn bare(sites: &[Site], keys: Keys) -> Experiment {
    Experiment { clients: 1, measured: 5_000 * MS, disk: 0, jitter: 0, ..Experiment::new(sites, keys, 1) }
}

fn samples(name: &str, experiment: &Experiment) -> Vec<Sample> {
    let measured = (contender(name).measure)(experiment).unwrap();
    assert_eq!(measured.mishaps, 0);
    assert!(!measured.undecided);
    for site in &experiment.sites {
        let count = measured.samples.iter().filter(|sample| sample.site == *site).count();
        assert!(count >= 10, "{name} at {site}: {count}");
    }
    measured.samples
}

#[test]
fn egalitarian_paxos_without_conflicts_takes_the_round_trip_to_the_nearest_fast_quorum() {
    for (sites, quorum) in [(&Site::ALL[..3], 2), (&Site::ALL[..], 3)] {
        for sample in samples("egalitarian", &bare(sites, Keys::Conflicts(0))) {
            let trip = sample.site.round_trip_to_quorum(sites, quorum);
            assert_eq!((sample.commit, sample.execution), (trip, trip), "{}", sample.site);
        }
    }
}

#[test]
fn egalitarian_paxos_commits_in_two_round_trips_at_most_and_may_execute_later() {
    let samples = samples("egalitarian", &bare(&Site::ALL, Keys::Conflicts(100)));
    for sample in &samples {
        let trip = sample.site.round_trip_to_quorum(&Site::ALL, 3);
        assert!([trip, 2 * trip].contains(&sample.commit), "{}: {}", sample.site, sample.commit);
        assert!(sample.execution >= sample.commit);
    }
    assert!(samples.iter().any(|sample| sample.execution > sample.commit));
}

#[test]
fn a_leader_commits_in_the_round_trip_to_its_nearest_majority_and_others_go_there_first() {
    for leader in [Site::California, Site::Japan] {
        let experiment = Experiment { leader, ..bare(&Site::ALL, Keys::Conflicts(100)) };
        let trip = leader.round_trip_to_quorum(&Site::ALL, 3);
        for protocol in ["multi-textbook", "raft"] {
            for sample in samples(protocol, &experiment) {
                let expected = sample.site.round_trip(leader) + trip;
                assert_eq!(
                    (sample.commit, sample.execution),
                    (expected, expected),
                    "{protocol} {}",
                    sample.site
                );
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let experiment = |seed| Experiment {
        clients: 2,
        measured: 1_000 * MS,
        ..Experiment::new(&Site::ALL, Keys::Zipf, seed)
    };
    for contender in CONTENDERS {
        let run = |seed| (contender.measure)(&experiment(seed)).unwrap();
        assert_eq!(run(7), run(7), "{}", contender.name);
        assert_ne!(run(7), run(8), "{}", contender.name);
    }
}

#[test]
fn the_normal_case_costs_what_the_protocols_say() {
    let cost = |delays, messages| Cost { commit: delays, execution: delays, messages: messages * 1_000 };
    for nodes in [3, 5] {
        let others = nodes - 1;
        let count = |name: &str| (contender(name).count)(nodes).unwrap();
        // Accept, Accepted and Commit with each other replica; the way to the leader is one message and two delays,
        // since its Commit is the answer.
        let multi = Costs { nodes, at_leader: cost(2, 3 * others), elsewhere: cost(4, 3 * others + 1) };
        assert_eq!(count("multi-textbook"), multi);
        // PreAccept, PreAcceptOk and Commit, whoever proposes.
        let egalitarian = Costs { nodes, at_leader: cost(2, 3 * others), elsewhere: cost(2, 3 * others) };
        assert_eq!(count("egalitarian"), egalitarian);
        // Append with the entries, Append with the commit, and the answers to both.
        let raft = Costs { nodes, at_leader: cost(2, 4 * others), elsewhere: cost(4, 4 * others + 1) };
        assert_eq!(count("raft"), raft);
        // Propose to the others, every vote from everybody to everybody, and now and then a longer window.
        let Costs { at_leader, elsewhere, .. } = count("fast-textbook");
        let most = others * (nodes + 1) * 1_000 + 1_000;
        for cost in [at_leader, elsewhere] {
            assert_eq!((cost.commit, cost.execution), (2, 2));
            assert!((most - 1_000..most).contains(&cost.messages), "{cost:?}");
        }
    }
}

#[test]
fn partial_connectivity_ends_service_for_four_election_timeouts_at_most_except_for_raft() {
    let downtimes = |name: &str, scene| -> Vec<Option<u64>> {
        (1..=5).map(|seed| (contender(name).interrupt)(scene, seed).unwrap().downtime).collect()
    };
    for scene in [Scene::QuorumLoss, Scene::ConstrainedElection, Scene::Chained] {
        let multi = downtimes("multi-textbook", scene);
        assert!(multi.iter().all(|down| down.is_some_and(|down| down <= 4_000)), "{scene}: {multi:?}");
        let egalitarian = downtimes("egalitarian", scene);
        assert!(
            egalitarian.iter().all(|down| down.is_some_and(|down| down < 100)),
            "{scene}: {egalitarian:?}"
        );
    }
    // The far end of a chain is served through the middle.
    assert!(
        downtimes("multi-textbook", Scene::ChainEnd)
            .iter()
            .all(|down| down.is_some_and(|down| down <= 4_000))
    );
    // Whoever alone can reach a quorum is behind, and nobody votes for it.
    assert_eq!(downtimes("raft", Scene::ConstrainedElection), [None; 5]);
}

#[test]
fn a_dead_leader_is_replaced_and_a_dead_owner_is_no_loss_unless_its_command_is_in_the_way() {
    let median = |name: &str, scene| {
        let downtimes =
            (1..=9).map(|seed| (contender(name).interrupt)(scene, seed).unwrap().downtime.unwrap());
        downtimes.collect::<Latencies>().median()
    };
    for (name, crash, in_conflict) in
        [("multi-textbook", 1_000, 1_000), ("raft", 1_000, 1_000), ("egalitarian", 0, 1_000)]
    {
        for (scene, least) in [(Scene::LeaderCrash, crash), (Scene::CrashInConflict, in_conflict)] {
            let median = median(name, scene);
            assert!((least..=least + 1_500).contains(&median), "{name}, {scene}: {median}");
        }
    }
}

#[test]
fn a_new_leader_needs_an_election_and_a_command_without_owner_a_recovery() {
    let take_over = |name: &str| (contender(name).take_over)(1).unwrap().unwrap();
    let (multi, raft, egalitarian) =
        (take_over("multi-textbook"), take_over("raft"), take_over("egalitarian"));
    assert!(multi.silence >= 1_000 && raft.silence >= 1_000 && egalitarian.silence >= 1_000);
    // Pre-check and prepare, or pre-vote and vote, with an answer each; to four others, of which three live.
    assert_eq!((multi.delays, raft.delays), (4, 4));
    assert!(multi.messages >= 14 && raft.messages >= 14, "{multi:?} {raft:?}");
    // Recover, Accept, and then Accept or Commit for the one that waited, with an answer each; perhaps Validate.
    assert!((4..=8).contains(&egalitarian.delays), "{egalitarian:?}");
}
