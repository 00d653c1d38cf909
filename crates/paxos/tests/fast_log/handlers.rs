//! The rules of the log, one by one.

use synod_paxos::fast::log::core::{Core, Output};
use synod_paxos::fast::log::grant::Grant;
use synod_paxos::fast::log::leader::WINDOW;
use synod_paxos::fast::log::message::{Message, Promise, Report};
use synod_paxos::fast::log::record::{Record, Recovered};
use synod_paxos::fast::log::rejection::Rejection;
use synod_paxos::fast::round::{Round, Vote};
use synod_paxos::multi::entry::Entry;
use synod_paxos::slot::Slot;

use crate::cluster::{Cluster, Msg, Word, ballot, entry, n};

fn sent(core: &mut Core<Word>) -> Vec<Msg> {
    let mut messages = Vec::new();
    while let Some(output) = core.poll_output() {
        match output {
            Output::Send { message, .. } => messages.push(message),
            Output::Persist { token, .. } => core.handle_persisted(token),
            Output::Chosen { .. } | Output::StateNeeded { .. } => {}
        }
    }
    messages
}

/// The core of n1, of `count`, after its disk has done everything.
fn core(count: u64) -> Core<Word> {
    Core::new(n(1), Cluster::new(count).quorums, Slot::ZERO, &[])
}

fn fast_votes(messages: &[Msg]) -> Vec<(Slot, Entry<Word>)> {
    let votes = messages.iter().filter_map(|message| match message {
        Message::Accepted { votes } => Some(votes.clone()),
        _ => None,
    });
    votes.flatten().map(|(slot, vote)| (slot, vote.value)).collect()
}

fn proposal(slot: u64, names: &[u32]) -> Msg {
    Message::Propose { ballot: ballot(1, 2), entries: vec![(Slot(slot), entry(names))] }
}

#[test]
fn an_acceptor_votes_in_an_open_slot_for_what_comes_first_and_never_again() {
    let mut core = core(4);
    core.handle_message(n(3), proposal(1, &[1])).unwrap();
    core.handle_message(n(4), proposal(1, &[2])).unwrap();
    core.handle_message(n(3), proposal(1, &[1])).unwrap();
    let votes = fast_votes(&sent(&mut core));
    assert_eq!(votes, vec![(Slot(1), entry(&[1])); 3], "it tells again of its vote, and has one");
}

#[test]
fn a_restarted_acceptor_that_gets_another_proposal_tells_of_its_old_vote() {
    let vote = Vote { round: Round::open(ballot(1, 2)), value: entry(&[1]) };
    let records = [Record::Voted { slot: Slot(1), vote }];
    let mut core = Core::new(n(1), Cluster::new(4).quorums, Slot::ZERO, &records);
    core.handle_message(n(4), proposal(1, &[2])).unwrap();
    assert_eq!(fast_votes(&sent(&mut core)), vec![(Slot(1), entry(&[1]))]);
}

#[test]
fn a_vote_in_the_classic_round_ends_the_fast_one_of_its_slot_and_of_no_other() {
    let mut core = core(4);
    let accept = Message::Accept { ballot: ballot(1, 2), entries: vec![(Slot(1), entry(&[9]))] };
    core.handle_message(n(2), accept).unwrap();
    core.handle_message(n(3), proposal(1, &[1])).unwrap();
    core.handle_message(n(3), proposal(2, &[2])).unwrap();
    let expected = vec![(Slot(1), entry(&[9])), (Slot(1), entry(&[9])), (Slot(2), entry(&[2]))];
    assert_eq!(fast_votes(&sent(&mut core)), expected);
}

#[test]
fn a_vote_raises_the_promise_so_that_lower_ballots_are_refused_in_every_slot() {
    let mut core = core(4);
    core.handle_message(n(3), proposal(7, &[1])).unwrap();
    let old = Message::Accept { ballot: ballot(1, 1), entries: vec![(Slot(1), entry(&[2]))] };
    core.handle_message(n(1), old).unwrap();
    assert_eq!(core.acceptor().vote(Slot(1)), None);
    let mut other = Core::new(n(3), Cluster::new(4).quorums, Slot::ZERO, &[]);
    other.handle_message(n(3), proposal(7, &[1])).unwrap();
    let old = Message::Accept { ballot: ballot(1, 1), entries: vec![(Slot(1), entry(&[2]))] };
    other.handle_message(n(1), old).unwrap();
    let nack = Message::Nack { ballot: ballot(1, 1), promised: ballot(1, 2) };
    assert!(sent(&mut other).contains(&nack));
}

#[test]
fn votes_and_promises_leave_only_when_they_are_durable() {
    let mut core = core(4);
    core.handle_message(n(2), Message::Prepare { ballot: ballot(1, 2), from: Slot(1) }).unwrap();
    core.handle_message(n(3), proposal(1, &[1])).unwrap();
    let Some(Output::Persist { token, records }) = core.poll_output() else { panic!("a write comes first") };
    assert_eq!(records.len(), 2);
    assert_eq!(core.poll_output(), None, "nothing is said before");
    core.handle_persisted(token);
    let messages = sent(&mut core);
    assert!(matches!(messages[..], [Message::Promise(_), Message::Accepted { .. }]), "{messages:?}");
}

#[test]
fn a_writer_at_a_follower_commits_two_message_delays_after_it_proposed() {
    let mut cluster = Cluster::led_by(4, 1);
    cluster.propose(3, 5);
    cluster.persist(n(3));
    for node in [1, 2] {
        cluster.pass(3, node, "propose");
        cluster.pass(node, 3, "accepted");
    }
    assert_eq!(cluster.executed(3), [5], "its own vote and two others are a fast quorum of four");
    assert_eq!(cluster.executed(1), [0; 0], "the leader has had no part in it but its vote");
    cluster.run();
    assert!((1..=4).all(|node| cluster.executed(node) == [5]));
}

#[test]
fn commands_that_wait_go_into_one_slot_together() {
    let mut cluster = Cluster::led_by(4, 1);
    cluster.hosts.get_mut(&n(3)).unwrap().core.propose(Word(1));
    cluster.propose(3, 2);
    cluster.run();
    assert_eq!(cluster.chosen[&Slot(1)], entry(&[1, 2]));
}

#[test]
fn the_loser_of_a_slot_proposes_its_commands_in_the_next_one() {
    let mut cluster = Cluster::led_by(4, 1);
    cluster.propose(2, 1);
    cluster.propose(4, 2);
    cluster.pass(2, 1, "propose");
    cluster.pass(4, 3, "propose");
    cluster.run();
    assert!((1..=4).all(|node| cluster.executed(node) == [1, 2]), "the lowest acceptor's value wins");
    assert!(cluster.with(n(1), Core::take_relapse), "somebody should hear of the collision");
}

#[test]
fn a_leader_that_ends_its_window_fills_it_and_decides_behind_it_by_itself() {
    let mut cluster = Cluster::led_by(3, 1);
    cluster.propose(2, 1);
    cluster.run();
    cluster.with(n(1), Core::withdraw_window);
    cluster.run();
    cluster.propose(2, 2);
    cluster.run();
    assert_eq!(cluster.executed(3), [1, 2]);
    let last = *cluster.chosen.keys().next_back().unwrap();
    assert!(last.0 > WINDOW && last.0 <= 2 * WINDOW + 2, "{last}");
    let classic = Round::closed(ballot(1, 1));
    assert_eq!(cluster.host(1).core.acceptor().vote(last).unwrap().round, classic);
    cluster.with(n(1), Core::open_window);
    cluster.run();
    cluster.propose(2, 3);
    cluster.run();
    let fast = Round::open(ballot(1, 1));
    assert_eq!(cluster.host(1).core.acceptor().vote(last.next()).unwrap().round, fast);
}

#[test]
fn with_too_few_for_a_fast_quorum_a_leader_closes_what_is_open_with_a_classic_one() {
    let mut cluster = Cluster::led_by(3, 1);
    cluster.crash(3, 0);
    cluster.propose(2, 1);
    cluster.run();
    assert_eq!(cluster.executed(2), [0; 0], "two of three are no fast quorum");
    cluster.with(n(1), |core| core.settle_open(Slot(1)));
    cluster.run();
    assert_eq!(cluster.executed(2), [1]);
}

#[test]
fn a_command_of_a_follower_goes_to_the_leader_when_nothing_is_open() {
    let mut cluster = Cluster::new(3);
    cluster.campaign(1);
    cluster.run();
    cluster.propose(2, 1);
    cluster.run();
    assert_eq!(cluster.executed(2), [1]);
    assert!(cluster.log.iter().any(|line| line.starts_with("n2 -> n1: forward")));
}

#[test]
fn a_grant_of_an_earlier_ballot_is_of_no_use_under_the_next() {
    let mut cluster = Cluster::led_by(3, 1);
    cluster.campaign(2);
    cluster.run();
    cluster.log.clear();
    cluster.propose(3, 1);
    assert!(cluster.log.iter().all(|line| !line.contains("propose")), "{:?}", cluster.log);
    let late = Message::Any(Grant { ballot: ballot(1, 1), number: 9, from: Slot(1), to: Slot(9) });
    cluster.with(n(3), |core| core.handle_message(n(1), late)).unwrap();
    cluster.propose(3, 2);
    assert!(cluster.log.iter().all(|line| !line.contains("propose")), "{:?}", cluster.log);
    cluster.run();
    assert_eq!(cluster.executed(3), [1, 2]);
}

#[test]
fn grants_that_overtake_each_other_leave_the_newest_in_force() {
    let mut core = core(3);
    let grant = |number, to| Grant { ballot: ballot(1, 2), number, from: Slot(1), to: Slot(to) };
    core.handle_message(n(2), Message::Any(grant(2, 1))).unwrap();
    core.handle_message(n(2), Message::Any(grant(1, 9))).unwrap();
    assert_eq!(core.writer().grant(), Some(&grant(2, 1)));
}

#[test]
fn a_promise_says_of_truncated_slots_that_they_are_chosen() {
    let mut cluster = Cluster::led_by(3, 1);
    cluster.propose(2, 1);
    cluster.run();
    cluster.checkpoint(3, 0);
    cluster.log.clear();
    let prepare = Message::Prepare { ballot: ballot(9, 2), from: Slot(1) };
    cluster.with(n(3), |core| core.handle_message(n(2), prepare)).unwrap();
    cluster.persist(n(3));
    let promise = cluster.take(3, 2, "promise").message;
    assert_eq!(
        promise,
        Message::Promise(Promise {
            ballot: ballot(9, 2),
            from: Slot(1),
            chosen: Slot(1),
            reports: Vec::new()
        })
    );
}

#[test]
fn a_replica_that_was_away_fetches_and_one_that_was_away_for_long_takes_the_state() {
    let mut cluster = Cluster::led_by(5, 1);
    cluster.crash(5, 0);
    cluster.propose(2, 1);
    cluster.run();
    cluster.restart(5);
    cluster.with(n(1), Core::end_round);
    cluster.run();
    assert_eq!(cluster.executed(5), [1], "fetched");
    cluster.crash(5, 0);
    cluster.propose(2, 2);
    cluster.run();
    for node in 1..=4 {
        cluster.checkpoint(node, 0);
    }
    cluster.restart(5);
    cluster.with(n(1), Core::end_round);
    cluster.run();
    assert!(cluster.install(5));
    assert_eq!(cluster.host(5).core.delivered(), Slot(2));
}

#[test]
fn what_is_chosen_and_was_not_voted_for_is_remembered_as_chosen() {
    let round = Round::open(ballot(1, 1));
    let vote = |value| Vote { round, value };
    let records = [
        Record::Voted { slot: Slot(1), vote: vote(entry(&[1])) },
        Record::Voted { slot: Slot(2), vote: vote(entry(&[2])) },
        Record::Chosen { slot: Slot(1), entry: entry(&[9]) },
        Record::Commit { through: Slot(2) },
    ];
    let recovered = Recovered::new(Slot::ZERO, &records);
    assert_eq!(recovered.learner.chosen(Slot(1)), Some(&entry(&[9])));
    assert_eq!(recovered.learner.chosen(Slot(2)), Some(&entry(&[2])));
    assert_eq!(recovered.acceptor.promised(), ballot(1, 1));
}

#[test]
#[should_panic(expected = "holds values only through s0")]
fn a_journal_that_lacks_what_it_calls_chosen_stops_the_node() {
    Recovered::<Word>::new(Slot::ZERO, &[Record::Commit { through: Slot(1) }]);
}

#[test]
#[should_panic(expected = "carries two values")]
fn two_values_of_one_classic_round_are_a_bug_and_stop_the_node() {
    let mut core = core(3);
    for name in [1, 2] {
        let accept = Message::Accept { ballot: ballot(1, 2), entries: vec![(Slot(1), entry(&[name]))] };
        core.handle_message(n(2), accept).unwrap();
    }
}

#[test]
fn garbage_is_refused_and_changes_nothing() {
    let mut core = core(3);
    let before = core.clone();
    let far = Slot(1 << 40);
    let report = |slot, round| (slot, Report::Vote(Vote { round, value: entry(&[1]) }));
    let promise = |reports| {
        Message::Promise(Promise { ballot: ballot(1, 1), from: Slot(1), chosen: Slot::ZERO, reports })
    };
    core.campaign(ballot(1, 1));
    let leading = core.clone();
    let cases: Vec<(u64, Msg)> = vec![
        (7, proposal(1, &[1])),
        (3, Message::Prepare { ballot: ballot(1, 2), from: Slot(1) }),
        (3, Message::Any(Grant::nothing(ballot(1, 2)))),
        (2, Message::Any(Grant { ballot: ballot(1, 2), number: 1, from: Slot(1), to: far })),
        (2, Message::Accept { ballot: ballot(1, 2), entries: vec![(far, Entry::Noop)] }),
        (2, Message::Accept { ballot: ballot(1, 2), entries: vec![(Slot::ZERO, Entry::Noop)] }),
        (2, Message::Propose { ballot: ballot(u64::MAX, 2), entries: vec![(Slot(1), Entry::Noop)] }),
        (2, Message::Propose { ballot: ballot(1, 9), entries: vec![(Slot(1), Entry::Noop)] }),
        (2, Message::Propose { ballot: ballot(1, 2), entries: vec![(far, Entry::Noop)] }),
        (
            2,
            Message::Accepted {
                votes: vec![(Slot(1), Vote { round: Round::again(ballot(1, 2)), value: Entry::Noop })],
            },
        ),
        (2, promise(vec![report(Slot(1), Round::open(ballot(1, 1)))])),
        (2, promise(vec![report(Slot(2), Round::open(ballot(0, 0))), report(Slot(1), Round::ZERO)])),
        (2, promise(vec![report(far, Round::ZERO)])),
        (2, Message::Fetch { from: Slot::ZERO }),
    ];
    assert_ne!(before, leading);
    for (from, message) in cases {
        let refused: Result<(), Rejection> = core.handle_message(n(from), message.clone());
        assert!(refused.is_err(), "{message:?}");
        assert_eq!(core, leading, "{message:?}");
    }
}
