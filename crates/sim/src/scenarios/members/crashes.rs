//! Members that die at a bad moment, and the clients that ask again.

use synod_paxos::node::NodeId;

use super::{ELECTION, holds, led};
use crate::faults::{Fault, Point};
use crate::history::{Answer, Outcome as Told};
use crate::machine::Death;
use crate::programs::member::Member;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{Asked, Stage};

/// Waits until one more slot is chosen.
fn until_chosen(stage: &mut Stage<Member>) {
    let before = stage.world.ledger().len();
    stage.until("one more slot is chosen", 5_000, |world| world.ledger().len() > before);
}

/// §8.21: the leader dies when the write is chosen and before anybody was told; the write is there.
pub fn before_reply(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    stage.pass(2 * ELECTION);
    let asked = stage.client(3).puts("x", "chosen").at(leader);
    until_chosen(&mut stage);
    stage.loses_power(leader);
    let told = stage.told(asked);
    stage.expect(told.is_none(), "nobody told the client");
    let new = stage.expect_leader(10 * ELECTION, &[leader]);
    stage.read(new, "x", "chosen");
    stage.starts(leader);
    stage.expect_everybody_learns();
    stage.finish()
}

/// Waits until the node has died once more than `deaths` and has started again.
fn until_back(stage: &mut Stage<Member>, node: u64, deaths: u64) {
    stage.until("it has died", 2_000, |world| world.tally().deaths > deaths);
    stage.until("it is back", 5_000, |world| world.program(NodeId(node)).is_some());
}

/// The store's revision that came with an answer.
fn revision(stage: &Stage<Member>, asked: Asked) -> Option<i64> {
    match stage.told_at(asked) {
        Some(Told::Answered { revision, .. }) => *revision,
        _ => None,
    }
}

/// §8.22 and etcd's class of double execution: a write that was handed to the leader is chosen, the leader dies
/// before the follower hears of it, and the follower hands it to the next leader. It is done once.
pub fn retry_once(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let follower = stage.others(leader)[0];
    stage.write(follower, "y", "first");
    stage.pass(2 * ELECTION);
    let first = stage.client(3).puts("x", "once").at(follower);
    until_chosen(&mut stage);
    stage.dies(leader);
    stage.expect_leader(10 * ELECTION, &[leader]);
    stage.told(first);
    let second = stage.client(4).puts("z", "next").at(follower);
    stage.expect_told(second, &Answer::Done);
    let (first, second) = (revision(&stage, first), revision(&stage, second));
    let once = second.is_some_and(|second| first.is_none_or(|first| second == first + 1) && second == 4);
    stage.expect(once, format!("three writes are three revisions: {first:?}, then {second:?}"));
    stage.finish()
}

/// §8.49: the power fails everywhere at once; everything answered is there.
pub fn power_loss(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    for number in 0..20 {
        stage.write(leader, &format!("k{number}"), "kept");
    }
    for node in 1..=3 {
        stage.loses_power(node);
    }
    stage.pass(ELECTION);
    for node in 1..=3 {
        stage.starts(node);
    }
    let leader = stage.expect_leader(20 * ELECTION, &[]);
    for number in 0..20 {
        stage.read(leader, &format!("k{number}"), "kept");
    }
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.46: a sync fails on the leader's disk: it stops, and does not try again as if nothing had been.
pub fn failed_sync(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let deaths = stage.world.tally().deaths;
    stage.strike(Fault::FailSync(NodeId(leader), 0));
    let asked = stage.client(3).puts("x", "1").at(leader);
    stage.until("the leader has stopped", 5_000, |world| world.tally().deaths > deaths);
    let new = stage.expect_leader(20 * ELECTION, &[]);
    stage.told(asked);
    stage.write(new, "x", "2");
    stage.until("it is back", 5_000, |world| world.program(NodeId(leader)).is_some());
    stage.read(leader, "x", "2");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.48: a follower's disk is full: it says nothing it could not write, and comes back when there is room.
pub fn full_disk(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let follower = stage.others(leader)[0];
    let deaths = stage.world.tally().deaths;
    let full = stage.strike(Fault::FullDisk(NodeId(follower), 0));
    for number in 0..5 {
        stage.write(leader, "x", &format!("{number}"));
    }
    stage.expect(stage.world.tally().deaths > deaths, "the follower has stopped");
    stage.relent(full);
    stage.until("it is back", 10_000, |world| world.program(NodeId(follower)).is_some());
    stage.read(follower, "x", "4");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.43: the power fails in the middle of writes; torn tails are dropped, for nobody was told of them.
pub fn torn_tail(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let follower = stage.others(leader)[0];
    for operations in 0..8 {
        let point = Point::DiskOperations(operations);
        let deaths = stage.world.tally().deaths;
        stage.strike(Fault::Crash(NodeId(follower), Death::Power, point));
        for number in 0..4 {
            stage.write(leader, "x", &format!("{operations}.{number}"));
        }
        until_back(&mut stage, follower, deaths);
    }
    stage.read(follower, "x", "7.3");
    stage.expect_everybody_learns();
    stage.finish()
}

/// A member whose old records were damaged refuses to start rather than forget a vote, and the others go on.
fn refuses(seed: u64, damage: fn(NodeId) -> Fault) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let follower = stage.others(leader)[0];
    for number in 0..10 {
        stage.write(leader, "x", &format!("{number}"));
    }
    stage.strike(damage(NodeId(follower)));
    stage.dies(follower);
    stage.starts(follower);
    stage.pass(ELECTION);
    let reason = stage.world.gone(NodeId(follower)).map(str::to_owned);
    stage.expect(reason.is_some(), format!("it refuses to start: {reason:?}"));
    stage.write(leader, "x", "without it");
    stage.read(leader, "x", "without it");
    stage.finish()
}

/// §8.44: a bit of an old record flips.
pub fn bit_flip(seed: u64) -> Outcome {
    refuses(seed, Fault::FlipBit)
}

/// §8.47: a write that was meant for elsewhere hits an old record.
pub fn misdirected(seed: u64) -> Outcome {
    refuses(seed, Fault::Misdirect)
}

/// §8.28: the leader's own disk is the last; a write is chosen by its followers alone, and outlives the leader.
pub fn own_sync_last(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    stage.pass(2 * ELECTION);
    stage.strike(Fault::StuckDisk(NodeId(leader)));
    let asked = stage.client(3).puts("x", "chosen by the followers").at(leader);
    until_chosen(&mut stage);
    stage.loses_power(leader);
    stage.told(asked);
    let new = stage.expect_leader(10 * ELECTION, &[leader]);
    stage.read(new, "x", "chosen by the followers");
    stage.finish()
}

/// etcd #13766: the applied index was durable apart from the data it spoke of. The power fails at every step of
/// writing checkpoints and cutting the journal; no state ever differs from the others' at the same slot.
pub fn applied_with_data(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let follower = stage.others(leader)[0];
    let mut value = 0;
    for operations in 0..24 {
        for _ in 0..8 {
            value += 1;
            let asked = stage.client(1).puts("x", &format!("{value}:{}", "x".repeat(250))).at(leader);
            stage.expect_told(asked, &Answer::Done);
        }
        let deaths = stage.world.tally().deaths;
        let point = Point::DiskOperations(operations);
        stage.strike(Fault::Crash(NodeId(follower), Death::Power, point));
        until_back(&mut stage, follower, deaths);
    }
    stage.expect_everybody_learns();
    let states: Vec<_> = (1..=3).filter_map(|node| stage.world.program(NodeId(node))).collect();
    let states: std::collections::BTreeSet<_> =
        states.into_iter().map(crate::program::Program::state).collect();
    stage.expect(states.len() == 1, "all states are equal");
    stage.finish()
}

/// etcd #14370: a cluster of one answered before the write was durable, and lost it with the power.
pub fn single_member(seed: u64) -> Outcome {
    let (mut stage, only) = led(seed, 1);
    for number in 0..10 {
        let value = format!("{number}");
        stage.write(only, "x", &value);
        stage.loses_power(only);
        stage.starts(only);
        stage.expect_leader(20 * ELECTION, &[]);
        stage.read(only, "x", &value);
    }
    stage.finish()
}

/// etcd #20418: a process stops with a read in its hands, already past the check that it leads, and answers later.
pub fn paused_reader(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    // As far as the read may have come: each step takes a fraction of a millisecond.
    for step in 0..8 {
        let read = stage.client(30 + step).gets("x").at(old);
        stage.world.run_until(stage.world.now() + step * 150_000);
        stage.sleeps(old);
        let new = stage.expect_leader(10 * ELECTION, &[old]);
        stage.write(new, "x", "before");
        let late = stage.client(40 + step).gets("x").at(old);
        stage.write(new, "x", &format!("after {step}"));
        stage.pass(20);
        stage.wakes(old);
        stage.told(read);
        stage.told(late);
        let leader = stage.expect_leader(10 * ELECTION, &[]);
        stage.expect_told_by(leader, "x", &holds(&format!("after {step}")));
        if leader != old {
            break;
        }
    }
    stage.finish()
}
