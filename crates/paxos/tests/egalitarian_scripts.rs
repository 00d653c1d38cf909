//! Golden message scripts: small plays of replicas without time, whose traces read like a protocol.
//!
//! Every trace under `golden/egalitarian` was read by eye. `UPDATE_GOLDEN=1` writes them again.

#![allow(clippy::unwrap_used)]

mod support_egalitarian;

use std::fmt::Write as _;

use support_egalitarian::{Cluster, Packet, cmd, id, n};
use synod_paxos::egalitarian::id::CommandId;
use synod_paxos::egalitarian::words::describe;

/// Replicas that are told what to do, and what was said so far.
struct Play {
    cluster: Cluster,
    trace: String,
}

impl Play {
    fn new(replicas: u64) -> Play {
        Play { cluster: Cluster::new(replicas), trace: String::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.trace, "{line}").unwrap();
        for line in self.cluster.log.drain(..) {
            writeln!(self.trace, "{line}").unwrap();
        }
    }

    fn sync(&mut self, node: u64) {
        while self.cluster.persist(n(node)) {}
    }

    /// A client's command, with the owner's disk done.
    fn propose(&mut self, node: u64, name: u32) {
        let id = self.cluster.propose(n(node), cmd(name));
        self.say(&format!("{} proposes {:?} as {id}", n(node), cmd(name)));
        self.sync(node);
    }

    fn recover(&mut self, node: u64, id: CommandId) {
        assert!(self.cluster.with(n(node), |core| core.recover(id)), "{id} can be recovered");
        self.say(&format!("{} recovers {id}", n(node)));
        self.sync(node);
    }

    fn take(&mut self, from: u64, to: u64, name: &str) -> Option<Packet> {
        let matches =
            |packet: &Packet| packet.from == n(from) && packet.to == n(to) && packet.message.name() == name;
        let at = self.cluster.under_way.iter().position(matches)?;
        Some(self.cluster.under_way.remove(at))
    }

    /// The oldest such message arrives, and the receiver's disk writes what it changed.
    fn deliver(&mut self, from: u64, to: u64, name: &str) {
        self.deliver_unsynced(from, to, name);
        self.sync(to);
        for line in self.cluster.log.drain(..) {
            writeln!(self.trace, "{line}").unwrap();
        }
    }

    fn deliver_unsynced(&mut self, from: u64, to: u64, name: &str) {
        let packet = self.take(from, to, name).unwrap_or_else(|| panic!("no {name} from {from} to {to}"));
        let line = format!("{} → {}  {}", n(from), n(to), describe(&packet.message));
        self.cluster.deliver(packet);
        self.say(&line);
    }

    fn lose(&mut self, from: u64, to: u64, name: &str) {
        let packet = self.take(from, to, name).unwrap_or_else(|| panic!("no {name} from {from} to {to}"));
        self.say(&format!("{} ⇥ {}  {}: lost", n(from), n(to), describe(&packet.message)));
    }

    fn lose_everything(&mut self) {
        self.cluster.under_way.clear();
        self.say("everything under way is lost");
    }

    fn crash(&mut self, node: u64) {
        self.cluster.crash(n(node), 0);
        self.cluster.under_way.retain(|packet| packet.to != n(node) && packet.from != n(node));
        self.say(&format!("{} crashes", n(node)));
    }

    fn restart(&mut self, node: u64) {
        self.cluster.restart(n(node));
        self.say(&format!("{} starts again", n(node)));
        self.sync(node);
    }

    /// Everything between these replicas arrives, in order, until nothing is left.
    fn play(&mut self, nodes: &[u64]) {
        let among = |packet: &Packet| nodes.contains(&packet.from.0) && nodes.contains(&packet.to.0);
        while let Some(at) = self.cluster.under_way.iter().position(among) {
            let Packet { from, to, ref message } = self.cluster.under_way[at];
            self.deliver(from.0, to.0, message.name());
        }
    }

    fn check(&self, name: &str) {
        let path = format!("{}/tests/golden/egalitarian/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.trace).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.trace, golden, "the trace of {name} changed; read it, then UPDATE_GOLDEN=1");
    }

    /// Everybody executed these, in this order.
    fn executed(&self, names: &[u32]) {
        for (node, host) in &self.cluster.hosts {
            let order = host.state.get(&0).cloned().unwrap_or_default();
            assert_eq!(order, names, "{node}\n{}", self.trace);
        }
    }
}

#[test]
fn without_conflict_a_command_is_committed_after_one_round_trip() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.deliver(2, 1, "pre-accept-ok");
    play.play(&[1, 2, 3]);
    play.executed(&[1]);
    play.check("fast_path");
}

#[test]
fn a_conflict_takes_a_second_round_trip() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.propose(2, 2);
    play.deliver(1, 2, "pre-accept");
    play.deliver(2, 1, "pre-accept-ok");
    play.play(&[1, 2, 3]);
    play.executed(&[1, 2]);
    play.check("slow_path");
}

#[test]
fn a_fast_commit_is_told_and_executed_only_when_it_is_durable() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.deliver_unsynced(2, 1, "pre-accept-ok");
    assert!(play.cluster.under_way.iter().all(|packet| packet.message.name() != "commit"));
    assert!(play.cluster.host(n(1)).state.is_empty());
    play.say("the disk of n1 is done");
    play.sync(1);
    play.play(&[1, 2, 3]);
    play.executed(&[1]);
    play.check("fast_commit_waits_for_the_disk");
}

#[test]
fn three_commands_in_a_cycle_are_executed_in_one_order_everywhere() {
    let mut play = Play::new(3);
    for node in 1..=3 {
        play.propose(node, node as u32);
    }
    // Each asks the next one, who has its own already.
    for (owner, next) in [(1, 2), (2, 3), (3, 1)] {
        play.deliver(owner, next, "pre-accept");
        play.deliver(next, owner, "pre-accept-ok");
    }
    for (owner, next) in [(1, 2), (2, 3), (3, 1)] {
        let other = 6 - owner - next;
        play.lose(owner, other, "pre-accept");
        play.deliver(owner, next, "accept");
        play.lose(owner, other, "accept");
        play.deliver(next, owner, "accept-ok");
    }
    // They learn of the commits in different orders.
    play.deliver(2, 1, "commit");
    play.deliver(3, 1, "commit");
    play.deliver(3, 2, "commit");
    play.deliver(1, 2, "commit");
    play.play(&[1, 2, 3]);
    play.executed(&[1, 2, 3]);
    play.check("cycle_of_three");
}

#[test]
fn recovery_1_takes_what_somebody_knows_to_be_committed() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.deliver(1, 3, "pre-accept");
    play.deliver(2, 1, "pre-accept-ok");
    play.deliver(1, 2, "commit");
    play.crash(1);
    play.recover(3, id(1, 1));
    play.play(&[2, 3]);
    play.restart(1);
    play.executed(&[1]);
    play.check("recovery_1_committed");
}

#[test]
fn recovery_2_takes_over_a_vote() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.propose(2, 2);
    play.deliver(1, 2, "pre-accept");
    play.deliver(2, 1, "pre-accept-ok");
    play.deliver(1, 2, "accept");
    play.crash(1);
    play.recover(3, id(1, 1));
    play.play(&[2, 3]);
    play.check("recovery_2_accepted");
    assert_eq!(play.cluster.committed[&id(1, 1)].1, [id(2, 1)].into_iter().collect());
}

#[test]
fn recovery_3_drops_what_a_live_owner_has_not_committed_and_the_owner_proposes_it_again() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.lose(1, 3, "pre-accept");
    play.lose(2, 1, "pre-accept-ok");
    play.recover(2, id(1, 1));
    play.deliver(2, 1, "recover");
    play.play(&[1, 2, 3]);
    play.executed(&[1]);
    play.check("recovery_3_owner");
}

#[test]
fn recovery_4_takes_over_what_may_have_been_committed_fast_and_nothing_speaks_against() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.deliver(2, 1, "pre-accept-ok");
    assert_eq!(play.cluster.host(n(1)).state[&0], [1], "its owner has executed it, and told nobody");
    play.crash(1);
    play.recover(2, id(1, 1));
    play.play(&[2, 3]);
    play.restart(1);
    play.executed(&[1]);
    play.check("recovery_4_validated");
}

#[test]
fn recovery_5_drops_what_too_few_have_seen() {
    let mut play = Play::new(3);
    // n2 has heard of n1.1 only as something that comes before n1.2.
    play.propose(1, 1);
    play.lose_everything();
    play.propose(1, 2);
    play.deliver(1, 2, "pre-accept");
    play.crash(1);
    play.recover(2, id(1, 1));
    play.play(&[2, 3]);
    play.restart(1);
    play.recover(1, id(1, 1));
    play.play(&[1, 2, 3]);
    play.recover(1, id(1, 2));
    play.play(&[1, 2, 3]);
    play.executed(&[1, 2]);
    play.check("recovery_5_nobody_knew");
}

/// n1.1 is known to n2 only; n3 and n4 know n3.1 and not n1.1.
fn waiting() -> Play {
    let mut play = Play::new(5);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.crash(1);
    play.propose(3, 2);
    play.deliver(3, 4, "pre-accept");
    play.recover(2, id(1, 1));
    for node in [3, 4] {
        play.deliver(2, node, "recover");
        play.deliver(node, 2, "recover-ok");
    }
    for node in [3, 4] {
        play.deliver(2, node, "validate");
        play.deliver(node, 2, "validate-ok");
    }
    play
}

#[test]
fn waiting_a_ends_when_a_command_that_speaks_against_it_is_committed() {
    let mut play = waiting();
    play.deliver(4, 3, "pre-accept-ok");
    play.deliver(3, 5, "pre-accept");
    play.deliver(5, 3, "pre-accept-ok");
    play.deliver(3, 2, "commit");
    play.play(&[2, 3, 4, 5]);
    play.restart(1);
    play.recover(1, id(1, 1));
    play.play(&[1, 2, 3, 4, 5]);
    play.check("waiting_a_committed_against");
}

#[test]
fn waiting_b_ends_when_all_that_spoke_against_it_depend_on_it() {
    let mut play = waiting();
    play.deliver(4, 3, "pre-accept-ok");
    play.deliver(3, 2, "pre-accept");
    play.deliver(2, 3, "pre-accept-ok");
    play.play(&[2, 3, 4, 5]);
    play.restart(1);
    play.recover(1, id(1, 1));
    play.play(&[1, 2, 3, 4, 5]);
    play.check("waiting_b_all_depend_on_it");
}

#[test]
fn waiting_c_gives_way_to_another_that_waits_with_more_supporters() {
    let mut play = Play::new(5);
    play.propose(1, 1);
    play.deliver(1, 3, "pre-accept");
    play.crash(1);
    play.propose(2, 2);
    play.deliver(2, 4, "pre-accept");
    play.deliver(2, 5, "pre-accept");
    play.recover(3, id(1, 1));
    for node in [2, 4] {
        play.deliver(3, node, "recover");
        play.deliver(node, 3, "recover-ok");
    }
    for node in [2, 4] {
        play.deliver(3, node, "validate");
        play.deliver(node, 3, "validate-ok");
    }
    play.recover(5, id(2, 1));
    for node in [3, 4] {
        play.deliver(5, node, "recover");
        play.deliver(node, 5, "recover-ok");
    }
    for node in [3, 4] {
        play.deliver(5, node, "validate");
        play.deliver(node, 5, "validate-ok");
    }
    play.deliver(5, 3, "waiting");
    play.play(&[2, 3, 4, 5]);
    play.check("waiting_c_gives_way");
    assert!(play.cluster.host(n(2)).state[&0].contains(&2));
}

#[test]
fn waiting_d_ends_with_a_late_report_of_the_owner() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.propose(3, 2);
    play.recover(2, id(1, 1));
    play.deliver(2, 3, "recover");
    play.deliver(3, 2, "recover-ok");
    play.deliver(2, 3, "validate");
    play.deliver(3, 2, "validate-ok");
    play.deliver(2, 1, "recover");
    play.deliver(1, 2, "recover-ok");
    play.play(&[1, 2, 3]);
    play.check("waiting_d_late_report");
}

#[test]
fn a_candidate_with_a_committed_command_against_it_becomes_a_no_op() {
    let mut play = Play::new(5);
    play.propose(1, 1);
    play.deliver(1, 2, "pre-accept");
    play.crash(1);
    play.propose(3, 2);
    for node in [4, 5] {
        play.deliver(3, node, "pre-accept");
        play.deliver(node, 3, "pre-accept-ok");
    }
    play.recover(2, id(1, 1));
    for node in [3, 4] {
        play.deliver(2, node, "recover");
        play.deliver(node, 2, "recover-ok");
    }
    play.play(&[2, 3, 4, 5]);
    play.check("recovery_4_invalidated");
}

#[test]
fn an_owner_that_restarts_recovers_its_own_command_and_proposes_it_again() {
    let mut play = Play::new(3);
    play.propose(1, 1);
    play.crash(1);
    play.restart(1);
    play.recover(1, id(1, 1));
    play.play(&[1, 2, 3]);
    play.executed(&[1]);
    // What was proposed again is not proposed a third time.
    play.crash(1);
    play.restart(1);
    play.play(&[1, 2, 3]);
    play.check("restart_of_an_owner");
    assert_eq!(play.cluster.host(n(1)).core.undecided(9), []);
}

#[test]
fn a_replica_that_was_away_fetches_what_others_hold_and_installs_what_they_forgot() {
    let mut play = Play::new(3);
    play.crash(3);
    for name in 1..=2 {
        play.propose(1, name);
        play.play(&[1, 2]);
    }
    play.lose_everything();
    play.restart(3);
    play.cluster.tell_status(n(1), &[n(2), n(3)]);
    play.deliver(1, 3, "status");
    play.play(&[1, 3]);
    play.executed(&[1, 2]);
    play.crash(3);
    for name in 3..=4 {
        play.propose(1, name);
        play.play(&[1, 2]);
    }
    for _ in 0..4 {
        for node in 1..=2 {
            play.cluster.checkpoint(n(node));
            play.cluster.tell_status(n(node), &[n(1), n(2)]);
            play.sync(node);
        }
        play.play(&[1, 2]);
    }
    assert_eq!(play.cluster.host(n(1)).core.table().instances().count(), 0, "all is forgotten");
    play.lose_everything();
    play.restart(3);
    play.cluster.tell_status(n(1), &[n(2), n(3)]);
    play.deliver(1, 3, "status");
    assert!(play.cluster.install(n(3)));
    play.say("n3 has installed it");
    play.propose(3, 5);
    play.play(&[1, 2, 3]);
    play.executed(&[1, 2, 3, 4, 5]);
    play.check("away_for_long");
}

/// The schedule with which Sutra (2019) has replicas of the original protocol commit one command with two sets of
/// dependencies: `CounterExample.tla`, 24 steps, whose p1, p2, p3 are n3, n2, n1 here, so that a tie is decided as
/// there. Steps 11 to 13, a second first phase in a recovery, do not exist in EPaxos*: there the vote is taken over
/// that the owner has cast meanwhile.
fn published_schedule() -> Play {
    let mut play = Play::new(3);
    let disputed = id(3, 1);
    // 1-3: n3's command meets that of n1 there.
    play.propose(1, 1);
    play.propose(3, 2);
    play.deliver(3, 1, "pre-accept");
    // 4-7: n1 recovers it with n2, who knows nothing; a no-op gets the vote of n1 alone.
    play.recover(1, disputed);
    play.deliver(1, 2, "recover");
    play.deliver(2, 1, "recover-ok");
    // The owner, whom that has not reached, votes for its command with ballot 0.
    play.deliver(1, 3, "pre-accept-ok");
    play.lose(3, 1, "accept");
    play.lose(3, 2, "accept");
    // 8-14: n2 recovers it with n3 and takes that vote over; n3 votes again, and n2 is yet to hear of it.
    play.recover(2, disputed);
    play.deliver(2, 3, "recover");
    play.deliver(3, 2, "recover-ok");
    play.deliver(2, 3, "accept");
    // 15-16: n3 recovers it, and n1 promises; its answer comes too late.
    play.recover(3, disputed);
    play.deliver(3, 1, "recover");
    play.lose(1, 3, "recover-ok");
    // 17-22: n3 recovers it again; n1 must tell of its vote with ballot 1, not with ballot 3, which it only promised.
    play.recover(3, disputed);
    play.deliver(3, 1, "recover");
    play.deliver(1, 3, "recover-ok");
    play.deliver(3, 1, "accept");
    // 23-24: n2 and n3 hear of the votes with ballots 2 and 4.
    play.deliver(3, 2, "accept-ok");
    play.deliver(1, 3, "accept-ok");
    play
}

#[test]
fn the_published_schedule_of_the_single_ballot_bug_ends_in_agreement() {
    let play = published_schedule();
    play.check("published_schedule");
    let (_, deps) = &play.cluster.committed[&id(3, 1)];
    assert_eq!(*deps, [id(1, 1)].into_iter().collect());
}

#[cfg(synod_mutants)]
#[test]
fn with_a_single_ballot_the_published_schedule_ends_in_disagreement() {
    use synod_probe::mutant::{Mutant, activate};
    activate(Some(Mutant::EpaxosSingleBallot));
    let played = std::panic::catch_unwind(published_schedule);
    activate(None);
    let words = played.err().map(|panic| *panic.downcast::<String>().unwrap());
    assert!(words.is_some_and(|words| words.contains("is committed as") || words.contains("Agreement")));
}
