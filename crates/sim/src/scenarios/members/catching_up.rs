//! Members that are behind: gaps, checkpoints taken over while the log goes on, and deaths in the middle of that.

use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use super::{ELECTION, holds, led};
use crate::faults::{Fault, Point, quorum_loss};
use crate::machine::Death;
use crate::program::Program;
use crate::programs::member::Member;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// Writes enough for everybody who hears it to take checkpoints and to cut the log.
fn write_much(stage: &mut Stage<Member>, node: u64) {
    for number in 0..120 {
        let asked = stage.client(1).puts("x", &format!("{number}:{}", "x".repeat(200))).at(node);
        stage.told(asked);
    }
    let (_, complaints) = stage.take_story();
    stage.expect(complaints.is_empty(), "so much was written that the log was cut");
}

/// A cluster of three, its leader, and a member that was away while the others cut their logs.
fn left_behind(seed: u64) -> (Stage<Member>, u64, u64) {
    let (mut stage, leader) = led(seed, 3);
    let behind = stage.others(leader)[0];
    stage.isolate(behind);
    write_much(&mut stage, leader);
    stage.write(leader, "y", "what one missed");
    (stage, leader, behind)
}

/// A leader that lacks what the others have cut from their logs: its checkpoint does not come, the old leader is dead, and
/// the third member cannot lead. Writes and reads at the third are answered all the same; a read at the leader itself is
/// answered once it holds what it had to wait for.
pub fn truncated_leader(seed: u64) -> Outcome {
    let (mut stage, old, behind) = left_behind(seed);
    let third = stage.others(old)[1];
    stage.lose("checkpoint-part", FROM_ANYONE, to(behind));
    stage.lose("pre-check", from(third), TO_ANYONE);
    stage.dies(old);
    stage.reconnect(behind);
    stage.expect_leader(20 * ELECTION, &[old, third]);
    for number in 0..3 {
        let value = format!("{number}, by a leader that lacks the beginning");
        stage.write(third, "z", &value);
        stage.read(third, "z", &value);
    }
    let applied = stage.world.program(NodeId(behind)).map(|program| program.standing().applied);
    let chosen = stage.world.ledger().chosen_prefix();
    stage.expect(applied < Some(chosen), format!("the leader has applied {applied:?} of {chosen}"));
    let asked = stage.client(3).gets("z").at(behind);
    stage.pass(2 * ELECTION);
    let waits = stage.waits(asked);
    stage.expect(waits, "the leader lets a read wait for what it does not hold");
    stage.let_through("checkpoint-part", FROM_ANYONE, to(behind));
    stage.let_through("pre-check", from(third), TO_ANYONE);
    stage.starts(old);
    stage.expect_everybody_learns();
    stage.expect_told(asked, &holds("2, by a leader that lacks the beginning"));
    stage.read(behind, "y", "what one missed");
    stage.finish()
}

/// The only node that is connected to a quorum lacks what the others have cut from their logs. It does not give way to
/// nodes that cannot lead: it leads as soon as it would otherwise.
pub fn stalled_hub(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 5);
    let (hub, other) = (stage.others(old)[0], stage.others(old)[1]);
    stage.isolate(hub);
    write_much(&mut stage, old);
    stage.lose("checkpoint-part", FROM_ANYONE, to(hub));
    stage.reconnect(hub);
    let links = quorum_loss(NodeId(hub), stage.world.nodes());
    stage.cut(&format!("only n{hub} is connected to the others"), &links);
    let others = stage.others(hub);
    stage.expect_leader(3 * ELECTION, &others);
    stage.write(other, "y", "by way of the hub");
    stage.read(other, "y", "by way of the hub");
    stage.pass(15 * ELECTION);
    stage.write(other, "y", "the hub leads on");
    stage.let_through("checkpoint-part", FROM_ANYONE, to(hub));
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.20: one slot's messages are lost, and those behind it are chosen: nothing behind the gap is applied until it is
/// filled.
pub fn gap(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    stage.write(leader, "x", "before the gap");
    stage.pass(2 * ELECTION);
    let lost = stage.world.ledger().chosen_prefix().next();
    stage.lose(&format!("accept s{}", lost.0), from(leader), TO_ANYONE);
    let first = stage.client(3).puts("x", "in the gap").at(leader);
    stage.pass(5);
    let later = stage.client(4).puts("y", "behind the gap").at(leader);
    stage.pass(20);
    let chosen = |slot: Slot, stage: &Stage<Member>| stage.world.ledger().chosen(slot).is_some();
    let open = !chosen(lost, &stage) && chosen(lost.next(), &stage);
    stage.expect(open, format!("the slot behind {lost} is chosen, and {lost} is not"));
    let waits = stage.waits(first) && stage.waits(later);
    stage.expect(waits, "nobody is answered for what lies behind the gap");
    stage.let_through(&format!("accept s{}", lost.0), from(leader), TO_ANYONE);
    stage.expect_told(first, &crate::history::Answer::Done);
    stage.expect_told(later, &crate::history::Answer::Done);
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.25 and §8.27: while a checkpoint is on its way to a member, it votes in slots above it; and its promise stands.
pub fn checkpoint_and_accepts(seed: u64) -> Outcome {
    let (mut stage, leader, behind) = left_behind(seed);
    stage.hold("checkpoint-part", from(leader), to(behind));
    stage.reconnect(behind);
    let third = stage.others(leader)[1];
    stage.hold("checkpoint-part", from(third), to(behind));
    stage.until("it has asked for the checkpoint", 20_000, |world| {
        let held = |node| {
            let pattern = crate::world::filter::Pattern {
                name: Some("checkpoint-part".to_owned()),
                from: Some(NodeId(node)),
                to: Some(NodeId(behind)),
            };
            world.held(&pattern) > 0
        };
        held(leader) || held(third)
    });
    stage.isolate(third);
    let asked = stage.client(3).puts("z", "with the vote of the one that is behind").at(leader);
    stage.expect_told(asked, &crate::history::Answer::Done);
    for node in [leader, third] {
        stage.let_through("checkpoint-part", from(node), to(behind));
        stage.deliver("checkpoint-part", from(node), to(behind));
    }
    stage.until("it has applied everything", 20_000, |world| {
        let applied = world.program(NodeId(behind)).map(|program| program.standing().applied);
        applied >= Some(world.ledger().chosen_prefix())
    });
    stage.dies(leader);
    stage.reconnect(third);
    let new = stage.expect_leader(20 * ELECTION, &[leader]);
    stage.read(new, "z", "with the vote of the one that is behind");
    stage.finish()
}

/// §8.44: the checkpoint that a member is offered has rotted on its source's disk: it takes another member's.
pub fn rotten_checkpoint(seed: u64) -> Outcome {
    let mut last = None;
    for rotten in 0..2 {
        let (mut stage, leader, behind) = left_behind(seed);
        let source = [leader, stage.others(leader)[1]][rotten];
        stage.say(format_args!("the checkpoint of n{source} rots"));
        stage.world.rot(NodeId(source), "checkpoint-");
        stage.reconnect(behind);
        stage.expect_everybody_learns();
        stage.read(behind, "y", "what one missed");
        let outcome = stage.finish();
        if outcome.verdict.is_err() {
            return outcome;
        }
        last = Some(outcome);
    }
    last.expect("there are two")
}

/// §8.26: a member dies at every single disk operation of taking over a checkpoint, and takes it over in the end.
pub fn crash_while_installing(seed: u64) -> Outcome {
    let mut last = None;
    for operation in 0..12 {
        let (mut stage, leader, behind) = left_behind(seed);
        let death = if operation % 2 == 0 { Death::Power } else { Death::Process };
        stage.reconnect(behind);
        let point = Point::DiskOperations(operation);
        let crash = stage.strike(Fault::Crash(NodeId(behind), death, point));
        stage.pass(4 * ELECTION);
        stage.relent(crash);
        stage.read(leader, "y", "what one missed");
        stage.expect_everybody_learns();
        stage.read(behind, "y", "what one missed");
        let outcome = stage.finish();
        if outcome.verdict.is_err() {
            return outcome;
        }
        last = Some(outcome);
    }
    last.expect("there are twelve")
}

/// §8.24: one follower is dead and another's disk is slow: the leader takes no more than fits in its window and queues.
pub fn backpressure(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let others = stage.others(leader);
    stage.dies(others[0]);
    let slow = stage.strike(Fault::SlowDisk(NodeId(others[1]), 64));
    for client in 0..200 {
        stage.client(100 + client).puts(&format!("k{client}"), &"x".repeat(2_000)).at(leader);
    }
    stage.pass(4 * ELECTION);
    let queued = stage.world.tally().queued_max;
    let _ = stage.take_story();
    stage.expect(queued <= QUEUED_MAX, format!("no member ever kept more than {QUEUED_MAX} items: {queued}"));
    stage.relent(slow);
    stage.write(leader, "x", "served again");
    stage.starts(others[0]);
    stage.expect_everybody_learns();
    stage.finish()
}

/// What a member may keep with two hundred clients waiting: a few items for each.
const QUEUED_MAX: usize = 1_000;
