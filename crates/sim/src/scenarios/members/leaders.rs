//! Leaders that are slow, cut off, deaf, or too many.

use std::collections::BTreeSet;

use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use super::{ELECTION, led};
use crate::clock::STEADY;
use crate::faults::{Fault, chained, constrained_election, quorum_loss};
use crate::network::Link;
use crate::program::{Digest, Program};
use crate::programs::member::Member;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// §8.16 and §8.17: an old leader that was only slow, with a client's read in its hands.
pub fn slow_leader(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    stage.sleeps(old);
    let new = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(new, "x", "after");
    let stale = stage.client(3).gets("x").at(old);
    stage.pass(50);
    stage.wakes(old);
    let told = stage.told(stale);
    stage.expect(told != Some(super::holds("before")), "the old leader did not answer from memory");
    stage.write(old, "y", "through the old leader");
    for node in stage.others(old) {
        stage.read(node, "y", "through the old leader");
    }
    stage.expect_everybody_learns();
    stage.finish()
}

/// Two leaders fall asleep, a third is elected, and both wake up with a client's write in their hands.
pub fn three_leaders(seed: u64) -> Outcome {
    let (mut stage, first) = led(seed, 5);
    stage.sleeps(first);
    let second = stage.expect_leader(10 * ELECTION, &[first]);
    stage.sleeps(second);
    let third = stage.expect_leader(10 * ELECTION, &[first, second]);
    let leaders = stage.world.nodes().iter().filter(|node| stage.world.leads(**node).is_some()).count();
    stage.expect(leaders == 3, "three believe that they lead");
    let asked = [first, second, third]
        .map(|leader| stage.client(10 + leader).appends("log", &format!("<{leader}>")).at(leader));
    stage.wakes(first);
    stage.wakes(second);
    for asked in asked {
        stage.told(asked);
    }
    stage.write(third, "x", "after all");
    for node in 1..=5 {
        let read = stage.client(20).gets("log").at(node);
        stage.told(read);
        stage.read(node, "x", "after all");
    }
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.17: a leader that is cut off from the others, but not from its client, answers nothing rather than old news.
pub fn isolated_leader(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    stage.isolate(old);
    let early = stage.client(3).gets("x").at(old);
    let new = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(new, "x", "after");
    let late = stage.client(4).gets("x").at(old);
    let (early, late) = (stage.told(early), stage.told(late));
    stage
        .expect(early.is_none() && late.is_none(), "whoever asks the leader that was cut off gets no answer");
    stage.reconnect(old);
    stage.read(old, "x", "after");
    stage.finish()
}

/// `old` is cut off while answers that confirm it are on their way to it; another leads, and "x" holds "after".
/// Whoever then asks `old` must not be told "before", though the answers arrive.
fn confirmed_too_early(mut stage: Stage<Member>, old: u64) -> Outcome {
    stage.silence(old);
    let new = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(new, "x", "after");
    let late = stage.client(4).gets("x").at(old);
    stage.pass(20);
    let arrived = stage.deliver("confirmed", FROM_ANYONE, to(old));
    stage.expect(arrived > 0, "old answers arrive");
    let told = stage.answer(late).cloned();
    stage.expect(told.is_none(), "whoever asked late is not told what was so before");
    stage.let_through("confirmed", FROM_ANYONE, to(old));
    stage.end_silence(old);
    stage.told(late);
    stage.read(old, "x", "after");
    stage.finish()
}

/// Answers that confirm an old leader are late: they count for the read that asked for them, not for one that came
/// when they had been given.
pub fn late_confirmations(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    stage.hold("confirmed", FROM_ANYONE, to(old));
    let asker = stage.others(old)[0];
    stage.client(3).gets("x").at(asker);
    stage.pass(20);
    let given = stage.held("confirmed", FROM_ANYONE, to(old));
    stage.expect(given == 2, "the others have confirmed, and nobody has heard it");
    confirmed_too_early(stage, old)
}

/// The same with an answer to a round that has ended: another follower's was enough for it.
pub fn earlier_confirmation(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    stage.write(old, "x", "before");
    let slow = stage.others(old)[0];
    stage.hold("confirmed", from(slow), to(old));
    stage.read(old, "x", "before");
    confirmed_too_early(stage, old)
}

/// The answer to a read comes when the process that asked is gone: its successor, which counts its reads from the
/// beginning too, does not take it for the answer to its own.
pub fn answer_of_before(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let asker = stage.others(leader)[0];
    stage.write(leader, "x", "before");
    stage.pass(2 * ELECTION);
    stage.hold("read-index-reply", from(leader), to(asker));
    stage.client(3).gets("x").at(asker);
    stage.pass(20);
    stage.dies(asker);
    stage.write(leader, "x", "after");
    for name in ["accept", "commit", "heartbeat"] {
        stage.lose(name, from(leader), to(asker));
    }
    stage.lose("fetched", FROM_ANYONE, to(asker));
    stage.hold("read-index", from(asker), TO_ANYONE);
    stage.starts(asker);
    stage.pass(2 * ELECTION);
    let late = stage.client(4).gets("x").at(asker);
    stage.pass(20);
    let waiting = stage.held("read-index", from(asker), TO_ANYONE) > 0;
    stage.expect(waiting, "the new process has asked for its first read");
    stage.deliver("read-index-reply", from(leader), to(asker));
    let told = stage.answer(late).cloned();
    stage.expect(told.is_none(), "it does not take the answer to the first read of the process before");
    for name in ["accept", "commit", "heartbeat", "read-index-reply"] {
        stage.let_through(name, from(leader), to(asker));
    }
    stage.let_through("fetched", FROM_ANYONE, to(asker));
    stage.let_through("read-index", from(asker), TO_ANYONE);
    stage.expect_told(late, &super::holds("after"));
    stage.finish()
}

/// A leader comes back with a higher ballot, and a vote for its earlier one arrives: it is no vote for this one.
pub fn votes_of_before(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 5);
    let others = stage.others(leader);
    let (voter, successor, witness, deaf) = (others[0], others[1], others[2], others[3]);
    for node in [successor, witness, deaf] {
        stage.lose("accept", from(leader), to(node));
    }
    stage.hold("accepted", from(voter), to(leader));
    let asked = stage.client(3).puts("x", "v").at(leader);
    stage.pass(20);
    let slot = stage.world.ledger().chosen_prefix().next();
    stage.silence(voter);
    stage.isolate(leader);
    for node in [witness, deaf] {
        stage.lose("pre-check", from(node), TO_ANYONE);
    }
    stage.expect_leader(20 * ELECTION, &[leader]);
    stage.isolate(successor);
    stage.reconnect(leader);
    stage.let_through("accept", from(leader), to(witness));
    stage.expect_leader(20 * ELECTION, &[successor]);
    stage.pass(20);
    let arrived = stage.deliver("accepted", from(voter), to(leader));
    stage.expect(arrived > 0, "votes of before arrive");
    let chosen = stage.world.ledger().chosen(slot);
    stage.expect(chosen.is_none(), "two votes of five and one of an earlier ballot choose nothing");
    stage.let_through("accept", from(leader), to(deaf));
    stage.let_through("accepted", from(voter), to(leader));
    stage.end_silence(voter);
    stage.reconnect(successor);
    stage.told(asked);
    stage.read(voter, "x", "v");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.38: a leader that is heard by all and hears nobody gives up, and another takes over.
pub fn deaf_leader(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    let inward: Vec<Link> = stage.around(old).into_iter().filter(|(_, to)| to.0 == old).collect();
    stage.cut(&format!("n{old} hears nobody any more"), &inward);
    let new = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(new, "x", "without the deaf");
    stage.join(&format!("n{old} hears again"), &inward);
    stage.read(old, "x", "without the deaf");
    stage.expect_everybody_learns();
    stage.finish()
}

/// Whoever can lead does within four election timeouts, after at most two changes of leader, and writes get through.
fn elects(mut stage: Stage<Member>, may_lead: &[u64], write_at: u64) -> Outcome {
    let before = stage.world.tally().leaders;
    let started = stage.world.now();
    let others: Vec<u64> = stage.others(0).into_iter().filter(|node| !may_lead.contains(node)).collect();
    stage.expect_leader(4 * ELECTION, &others);
    let took = (stage.world.now() - started) / 1_000_000;
    stage.say(format_args!("{took} ms after the cut"));
    stage.write(write_at, "x", "again");
    stage.pass(10 * ELECTION);
    let changes = stage.world.tally().leaders - before;
    stage.expect(changes <= 2, format!("{changes} changes of leader are at most two"));
    stage.finish()
}

/// §8.35: everybody is connected to one node only, and it is not the leader.
pub fn quorum_lost(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 5);
    let hub = stage.others(old)[0];
    let links = quorum_loss(NodeId(hub), stage.world.nodes());
    stage.cut(&format!("only n{hub} is connected to the others"), &links);
    elects(stage, &[hub], hub)
}

/// §8.36: the same, the leader is cut off, and the one node that can lead is behind.
pub fn constrained(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 5);
    let hub = stage.others(old)[0];
    stage.isolate(hub);
    stage.write(old, "x", "what the hub missed");
    stage.reconnect(hub);
    let links = constrained_election(NodeId(hub), NodeId(old), stage.world.nodes());
    stage.cut(&format!("only n{hub} is connected to the others, and n{old} to nobody"), &links);
    elects(stage, &[hub], hub)
}

/// §8.37: three nodes in a row, the leader at one end.
pub fn in_a_row(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    let others = stage.others(old);
    let row = [old, others[0], others[1]].map(NodeId);
    stage.cut(&format!("{row:?} hear their neighbours only"), &chained(&row));
    elects(stage, &[1, 2, 3], others[0])
}

/// §8.39: a node that was alone for long comes back and does not disturb the leader.
pub fn rejoining(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    let lonely = stage.others(leader)[0];
    stage.isolate(lonely);
    stage.pass(20 * ELECTION);
    let before = stage.world.tally().leaders;
    stage.reconnect(lonely);
    stage.pass(10 * ELECTION);
    let after = stage.world.tally().leaders;
    let same = stage.world.leader() == Some(NodeId(leader)) && before == after;
    stage.expect(same, format!("n{leader} leads as before"));
    stage.write(lonely, "x", "from the one that was alone");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.40: a leader whose disk does nothing any more is replaced, though its heartbeats go on.
pub fn stalled_disk(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    let stuck = stage.strike(Fault::StuckDisk(NodeId(old)));
    let asked = stage.client(3).puts("x", "while the disk is stuck").at(old);
    let new = stage.expect_leader(20 * ELECTION, &[old]);
    stage.write(new, "y", "elsewhere");
    stage.relent(stuck);
    stage.told(asked);
    stage.read(old, "y", "elsewhere");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.41: clocks jump an hour ahead, the leader's first; nobody reads anything old, and service goes on.
pub fn clock_jumps(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    stage.write(leader, "x", "before");
    for node in [vec![leader], stage.others(leader)].concat() {
        stage.strike(Fault::Jump(NodeId(node), 3_600_000_000_000));
        let asked = stage.client(3).puts("x", &format!("after the jump of n{node}")).at(node);
        let read = stage.client(4).gets("x").at(node);
        stage.told(read);
        stage.told(asked);
    }
    stage.expect_leader(10 * ELECTION, &[]);
    stage.write(leader, "x", "at last");
    stage.read(leader, "x", "at last");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.41: the leader's clock loses and the others' gain a twentieth; nobody reads anything old, and somebody leads.
pub fn clock_drift(seed: u64) -> Outcome {
    let (mut stage, leader) = led(seed, 3);
    stage.strike(Fault::Drift(NodeId(leader), STEADY - STEADY / 20));
    for other in stage.others(leader) {
        stage.strike(Fault::Drift(NodeId(other), STEADY + STEADY / 20));
    }
    for number in 0..10 {
        stage.write(leader, "x", &format!("{number}"));
        for node in 1..=3 {
            stage.read(node, "x", &format!("{number}"));
        }
        stage.pass(ELECTION);
    }
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.15: λ knows everything up to a point and has seen 13 and 15 of what came next; 14 and 16 are known to another;
/// 11 and 12 to nobody alive. 11 and 12 become no-ops, 13 to 16 stay, new commands begin at 17.
pub fn gaps(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    let (heir, witness) = (stage.others(old)[0], stage.others(old)[1]);
    stage.write(old, "x", "the last that all know");
    stage.pass(2 * ELECTION);
    let base = stage.world.ledger().chosen_prefix().0;
    // The text's slots 11 to 16 are the six after `base`.
    let slot = |number: u64| base + number - 10;
    stage.hold("commit", from(old), TO_ANYONE);
    for number in 11..=16 {
        for (node, hears) in [(heir, [13, 15]), (witness, [14, 16])] {
            if !hears.contains(&number) {
                stage.lose(&format!("accept s{}", slot(number)), from(old), to(node));
            }
        }
    }
    let all: Vec<u64> = (11..=16).collect();
    for number in &all {
        stage.client(*number).puts(&format!("k{number}"), "v").at(old);
        stage.pass(3);
    }
    stage.pass(20);
    stage.dies(old);
    stage.expect(stage.world.ledger().chosen(Slot(slot(12))).is_none(), "12 is not chosen");
    let heir = stage.expect_leader(10 * ELECTION, &[old]);
    stage.write(heir, "y", "the next command");
    let noop = Some(Digest::EMPTY);
    for number in [11, 12] {
        let chosen = stage.world.ledger().chosen(Slot(slot(number)));
        stage.expect(chosen == noop, format!("a no-op is chosen in {number}"));
    }
    let bound: BTreeSet<_> =
        (13..=16).map(|number| stage.world.ledger().chosen(Slot(slot(number)))).collect();
    let kept = bound.len() == 4 && !bound.contains(&noop) && !bound.contains(&None);
    stage.expect(kept, "13 to 16 are what was proposed there");
    for number in 13..=16 {
        stage.read(heir, &format!("k{number}"), "v");
    }
    let new = stage.world.ledger().chosen(Slot(slot(17)));
    stage.expect(new.is_some() && new != noop, "new commands begin at 17");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.18: a follower that holds an old vote hears that its slot is committed, but not with what: it must ask.
pub fn stale_vote(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 5);
    let follower = stage.others(old)[0];
    let rest: Vec<u64> = stage.others(old)[1..].to_vec();
    for node in &rest {
        stage.lose("accept", from(old), to(*node));
    }
    stage.client(3).puts("x", "only the old leader and one follower voted").at(old);
    stage.pass(20);
    stage.isolate(old);
    stage.isolate(follower);
    let new = stage.expect_leader(10 * ELECTION, &[old, follower]);
    stage.write(new, "x", "what was chosen");
    stage.lose("accept", FROM_ANYONE, to(follower));
    stage.reconnect(follower);
    stage.until("the follower has asked what was chosen", 10_000, |world| {
        let applied = world.program(NodeId(follower)).map(|program| program.standing().applied);
        applied >= Some(world.ledger().chosen_prefix())
    });
    stage.read(follower, "x", "what was chosen");
    stage.reconnect(old);
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.19: whoever alone can lead is behind what the others have cut off: it takes over a checkpoint, no no-ops.
pub fn truncated(seed: u64) -> Outcome {
    let (mut stage, old) = led(seed, 3);
    let behind = stage.others(old)[0];
    stage.isolate(behind);
    for number in 0..120 {
        let asked = stage.client(1).puts("x", &format!("{number}:{}", "x".repeat(200))).at(old);
        stage.told(asked);
    }
    let _ = stage.take_story();
    stage.write(old, "y", "the last of many that one node missed");
    stage.reconnect(behind);
    let links = quorum_loss(NodeId(behind), stage.world.nodes());
    stage.cut(&format!("only n{behind}, which is behind, is connected to the others"), &links);
    stage.expect_everybody_learns();
    let installed = stage.world.tally().installed;
    stage.expect(installed > 0, "a checkpoint was taken over");
    stage.read(behind, "y", "the last of many that one node missed");
    stage.finish()
}
