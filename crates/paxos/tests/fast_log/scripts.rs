//! Golden message scripts: small plays of replicas without time, whose traces read like a protocol.
//!
//! Every trace under `golden/fast_log` was read by eye. `UPDATE_GOLDEN=1` writes them again.

use std::fmt::Write as _;

use synod_paxos::fast::log::core::Core;
use synod_paxos::fast::round::Round;
use synod_paxos::slot::Slot;

use crate::cluster::{Cluster, ballot, entry, n};

/// Replicas that are told what to do, and what was said so far.
struct Play {
    cluster: Cluster,
    trace: String,
}

impl Play {
    /// `count` replicas, of which n1 leads with a window open from s1 on.
    fn new(count: u64) -> Play {
        let cluster = Cluster::led_by(count, 1);
        let trace = format!("{count} replicas; n1 leads with (1,n1) and has opened a window\n");
        Play { cluster, trace }
    }

    fn tell(&mut self) {
        for line in self.cluster.log.drain(..) {
            writeln!(self.trace, "  {line}").unwrap();
        }
    }

    fn say(&mut self, what: &str) {
        self.tell();
        writeln!(self.trace, "{what}").unwrap();
    }

    fn propose(&mut self, node: u64, name: u32) {
        self.say(&format!("a client of n{node} wants w{name}"));
        self.cluster.propose(node, name);
    }

    /// Such messages arrive, one to each, and the receivers' disks write what they changed.
    fn pass(&mut self, from: u64, to: &[u64], name: &str) {
        for to in to {
            self.cluster.pass(from, *to, name);
        }
        self.tell();
    }

    fn sync(&mut self, node: u64) {
        while self.cluster.persist(n(node)) {}
    }

    fn run(&mut self) {
        self.cluster.run();
        self.tell();
    }

    fn lose_everything(&mut self) {
        self.cluster.under_way.clear();
        self.say("everything under way is lost");
    }

    fn crash(&mut self, node: u64) {
        self.cluster.crash(node, 0);
        self.say(&format!("n{node} crashes"));
    }

    fn check(&mut self, name: &str) {
        self.tell();
        let path = format!("{}/tests/golden/fast_log/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.trace).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.trace, golden, "the trace of {name} changed; read it, then UPDATE_GOLDEN=1");
    }
}

#[test]
fn one_writer_at_a_follower_commits_in_two_message_delays() {
    let mut play = Play::new(4);
    play.propose(3, 1);
    play.sync(3);
    play.pass(3, &[1, 2], "propose");
    play.say("two delays after the proposal n3 has the votes of a fast quorum");
    play.pass(1, &[3], "accepted");
    play.pass(2, &[3], "accepted");
    assert_eq!(play.cluster.executed(3), [1]);
    play.say("the others hear the votes as well");
    play.run();
    play.check("one_writer");
}

#[test]
fn two_writers_collide_and_the_loser_is_in_a_later_slot() {
    let mut play = Play::new(4);
    play.propose(2, 1);
    play.propose(4, 2);
    play.pass(2, &[1], "propose");
    play.pass(4, &[3], "propose");
    play.say("the votes in s1 are divided 2 : 2; n1 closes it");
    play.run();
    let classic = Round::closed(ballot(1, 1));
    assert_eq!(play.cluster.host(2).core.acceptor().vote(Slot(1)).unwrap().round, classic);
    assert_eq!(play.cluster.executed(3), [1, 2]);
    play.check("collision");
}

#[test]
fn a_leader_dies_with_a_divided_slot_and_the_next_one_takes_a_value_voted_for() {
    let mut play = Play::new(4);
    play.propose(2, 1);
    play.propose(4, 2);
    play.pass(2, &[1], "propose");
    play.pass(4, &[3], "propose");
    play.sync(2);
    play.sync(4);
    play.lose_everything();
    play.crash(1);
    play.say("n2 runs phase 1: w1 by n2, w2 by n3 and n4, and n1 may have made up a fast quorum for w2");
    play.cluster.campaign(2);
    play.run();
    assert_eq!(play.cluster.chosen[&Slot(1)], entry(&[2]));
    assert_eq!(play.cluster.executed(3), [2]);
    play.check("leader_dies_with_a_divided_slot");
}

#[test]
fn a_proposal_that_comes_again_after_a_restart_gets_no_second_vote() {
    let mut play = Play::new(4);
    play.propose(2, 1);
    play.pass(2, &[3], "propose");
    let late = play.cluster.take(2, 4, "propose");
    play.crash(3);
    play.say("n3 starts again");
    play.cluster.restart(3);
    play.propose(4, 2);
    play.say("n3 gets another value for s1 from n4, and then that of n2 a second time");
    play.pass(4, &[3], "propose");
    let again = synod_paxos::fast::log::message::Message::Propose {
        ballot: ballot(1, 1),
        entries: vec![(Slot(1), entry(&[1]))],
    };
    play.cluster.deliver(crate::cluster::Packet { from: n(2), to: n(3), message: again });
    play.sync(3);
    let vote = play.cluster.host(3).core.acceptor().vote(Slot(1)).unwrap();
    assert_eq!((vote.round, &vote.value), (Round::open(ballot(1, 1)), &entry(&[1])));
    play.cluster.deliver(late);
    play.run();
    play.check("no_second_vote");
}

#[test]
fn what_a_learner_saw_chosen_is_picked_by_a_leader_that_sees_a_split_quorum() {
    let mut play = Play::new(5);
    play.propose(2, 1);
    play.propose(5, 2);
    play.sync(2);
    play.sync(5);
    play.pass(2, &[1, 3, 4], "propose");
    play.say("w1 has four votes of five: n1 learns it, nobody else does");
    for from in 2..=4 {
        play.pass(from, &[1], "accepted");
    }
    assert_eq!(play.cluster.executed(1), [1]);
    play.lose_everything();
    play.crash(1);
    play.say("n5 runs phase 1, and n2 is silent: w1 of n3 and n4, w2 of itself");
    play.cluster.campaign(5);
    play.sync(5);
    play.pass(5, &[3, 4], "prepare");
    play.pass(3, &[5], "promise");
    play.pass(4, &[5], "promise");
    play.run();
    assert_eq!(play.cluster.chosen[&Slot(1)], entry(&[1]));
    assert_eq!(play.cluster.executed(3), [1]);
    play.check("chosen_under_a_split");
}

#[test]
fn what_may_be_chosen_by_votes_that_nobody_reports_is_picked() {
    let mut play = Play::new(4);
    play.propose(2, 1);
    play.propose(4, 2);
    play.sync(2);
    play.sync(4);
    play.pass(2, &[1, 3], "propose");
    play.say("w1 has three votes of four, and nobody learns of it");
    play.lose_everything();
    play.crash(1);
    play.say("n4 hears w2 of itself, w1 of n2 and n3");
    play.cluster.campaign(4);
    play.run();
    assert_eq!(play.cluster.chosen[&Slot(1)], entry(&[1]));
    play.check("chosen_and_not_learned");
}

#[test]
fn a_window_ends_and_is_opened_again_behind() {
    let mut play = Play::new(3);
    play.propose(2, 1);
    play.run();
    play.say("n1 ends the window");
    play.cluster.with(n(1), Core::withdraw_window);
    play.run();
    play.propose(2, 2);
    play.run();
    play.say("n1 opens another");
    play.cluster.with(n(1), Core::open_window);
    play.run();
    play.propose(2, 3);
    play.run();
    assert_eq!(play.cluster.executed(3), [1, 2, 3]);
    play.check("fallback_and_back");
}
