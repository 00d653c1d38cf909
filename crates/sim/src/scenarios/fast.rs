//! Scenarios of Fast Paxos: one decision of four nodes, of which any three are a quorum, classic or fast
//! (`facts/paxos.md` §8.50 to 52 by number), and the log of five, of which any four are a fast quorum.

use std::time::Duration;

use synod_paxos::fast::options::{Options, Recovery};

use crate::history::Answer;
use crate::programs::fast::Fast;
use crate::programs::replicated::FastLog;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// Longer than any scenario.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// Four nodes that inquire of nobody, and wait for `patience` before they do anything of their own accord.
fn four(seed: u64, recovery: Recovery, patience: Duration) -> Stage<Fast> {
    let mut stage = Stage::of(seed, 4, 3, Some(Options { recovery, patience }));
    stage.lose("inquire", FROM_ANYONE, TO_ANYONE);
    stage.pass(10);
    stage
}

/// The same, when n1 has opened a fast round and voted for A, which it wants, and n4 for B. Nobody else has heard of
/// either.
fn opened(seed: u64, recovery: Recovery, patience: Duration) -> Stage<Fast> {
    let mut stage = four(seed, recovery, patience);
    stage.hold("propose", FROM_ANYONE, TO_ANYONE);
    stage.client(1).proposes("A").at(1);
    stage.pass(20);
    stage.client(4).proposes("B").at(4);
    stage.pass(20);
    stage
}

fn chosen(value: &str) -> Answer {
    Answer::Chosen(value.to_owned())
}

/// n2's value goes straight to the acceptors. No acceptor is asked by a coordinator to accept it.
pub fn fast_path(seed: u64) -> Outcome {
    let mut stage = four(seed, Recovery::Coordinated, NEVER);
    stage.lose("accept", FROM_ANYONE, TO_ANYONE);
    stage.hold("any", FROM_ANYONE, TO_ANYONE);
    let asked = stage.client(2).proposes("X").at(2);
    stage.pass(20);
    let opened = stage.deliver("any", FROM_ANYONE, TO_ANYONE);
    stage.expect(opened == 3, "a fast round is open: whoever gets a value votes for it");
    stage.expect_told(asked, &chosen("X"));
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.50: two values reach two acceptors each. The coordinator takes their votes for promises, and proposes one of
/// the values in the classic round behind.
pub fn collision(seed: u64) -> Outcome {
    let mut stage = opened(seed, Recovery::Coordinated, NEVER);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    stage.lose("prepare", FROM_ANYONE, TO_ANYONE);
    stage.deliver("propose", from(1), to(2));
    stage.deliver("propose", from(4), to(3));
    stage.expect(!stage.is_chosen("A") && !stage.is_chosen("B"), "two votes each choose nothing");
    let accepts = stage.deliver("accept", from(1), TO_ANYONE);
    stage.expect(
        accepts == 3,
        "the coordinator proposes in the classic round, and asks for no promises first",
    );
    stage.expect_everybody_learns();
    stage.finish()
}

/// The same collision; the acceptors see each other's votes and vote again, without their coordinator.
pub fn collision_uncoordinated(seed: u64) -> Outcome {
    let mut stage = opened(seed, Recovery::Uncoordinated, NEVER);
    stage.lose("accept", FROM_ANYONE, TO_ANYONE);
    stage.lose("prepare", FROM_ANYONE, TO_ANYONE);
    stage.deliver("propose", from(1), to(2));
    stage.deliver("propose", from(4), to(3));
    stage.expect_everybody_learns();
    let one = stage.is_chosen("A") || stage.is_chosen("B");
    stage.expect(one, "one of both is chosen, and no coordinator said a word");
    stage.finish()
}

/// §8.50, §8.52: A gets three votes and is chosen, and only n2 knows. The coordinator dies, and n2 forgets. n4, which
/// voted for B, hears of A from two and of B from itself, and must pick A.
pub fn divided(seed: u64) -> Outcome {
    let mut stage = opened(seed, Recovery::Coordinated, Duration::from_secs(2));
    for deaf in [1, 3, 4] {
        stage.lose("accepted", FROM_ANYONE, to(deaf));
    }
    stage.deliver("propose", from(1), to(2));
    stage.deliver("propose", from(1), to(3));
    stage.expect_chosen("A");
    stage.dies(1);
    stage.loses_power(2);
    stage.starts(2);
    stage.let_through("accepted", FROM_ANYONE, to(4));
    for other in [2, 3] {
        stage.lose("prepare", from(other), TO_ANYONE);
    }
    stage.hold("promise", FROM_ANYONE, to(4));
    stage.until_held("promise", from(2), to(4), 19_000);
    stage.until_held("promise", from(3), to(4), 1_000);
    stage.let_through("promise", FROM_ANYONE, to(4));
    stage.deliver("promise", FROM_ANYONE, to(4));
    let asked = stage.client(5).proposes("C").at(4);
    stage.expect_told(asked, &chosen("A"));
    stage.finish()
}

/// §8.51: the permission to vote comes again to n2, which has voted for A and has heard of B since. It keeps to A.
pub fn any_again(seed: u64) -> Outcome {
    let mut stage = opened(seed, Recovery::Coordinated, Duration::from_secs(1));
    stage.lose("prepare", FROM_ANYONE, TO_ANYONE);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    stage.hold("any", FROM_ANYONE, to(2));
    // Nobody sees that the votes are divided.
    stage.lose("accepted", FROM_ANYONE, TO_ANYONE);
    stage.deliver("propose", from(1), to(2));
    stage.deliver("propose", from(4), to(2));
    stage.deliver("propose", from(4), to(3));
    stage.until_held("any", from(1), to(2), 3_000);
    stage.deliver("any", from(1), to(2));
    let nothing = !stage.is_chosen("A") && !stage.is_chosen("B");
    stage.expect(nothing, "n2 does not vote for B as well: with its vote, B would be chosen");
    stage.finish()
}

/// Five replicas of the log with a leader, which has opened slots to all. Returns two others.
fn log(seed: u64) -> (Stage<FastLog>, u64, [u64; 2]) {
    let mut stage: Stage<FastLog> = Stage::new(seed, 5);
    stage.until("somebody leads", 5_000, |world| world.leader().is_some());
    stage.pass(500);
    let leader = stage.world.leader().map_or(1, |node| node.0);
    let mut others = (1..=5).filter(|node| *node != leader);
    let writers = [others.next().unwrap_or(2), others.next().unwrap_or(3)];
    stage.say(format_args!("n{leader} leads"));
    (stage, leader, writers)
}

/// A client of a replica that does not lead writes again and again: the leader is never asked.
pub fn busy_writer(seed: u64) -> Outcome {
    let (mut stage, leader, [writer, _]) = log(seed);
    stage.lose("accept", FROM_ANYONE, TO_ANYONE);
    stage.lose("forward", FROM_ANYONE, TO_ANYONE);
    for round in 0..20 {
        let asked = stage.client(1).puts("x", &round.to_string()).at(writer);
        stage.expect_told(asked, &Answer::Done);
    }
    stage.let_through("accept", FROM_ANYONE, TO_ANYONE);
    stage.let_through("forward", FROM_ANYONE, TO_ANYONE);
    let asked = stage.client(2).gets("x").at(leader);
    stage.expect_told(asked, &Answer::Value(Some("19".to_owned())));
    stage.finish()
}

/// Two writers name the same slot. The leader recovers it, both are answered, and both send to the leader from then on.
pub fn writers_collide(seed: u64) -> Outcome {
    let (mut stage, leader, [one, two]) = log(seed);
    stage.hold("propose", FROM_ANYONE, TO_ANYONE);
    let first = stage.client(1).appends("x", "a").at(one);
    let second = stage.client(2).appends("x", "b").at(two);
    stage.pass(20);
    stage.hold("accept", from(leader), TO_ANYONE);
    stage.deliver("propose", from(one), to(leader));
    for node in (1..=5).filter(|node| ![leader, one, two].contains(node)) {
        stage.deliver("propose", from(two), to(node));
    }
    stage.until_held("accept", from(leader), TO_ANYONE, 1_000);
    stage.let_through("propose", FROM_ANYONE, TO_ANYONE);
    stage.deliver("propose", FROM_ANYONE, TO_ANYONE);
    stage.let_through("accept", from(leader), TO_ANYONE);
    stage.deliver("accept", from(leader), TO_ANYONE);
    for asked in [first, second] {
        stage.expect_told(asked, &Answer::Done);
    }
    stage.lose("propose", FROM_ANYONE, TO_ANYONE);
    let third = stage.client(3).appends("x", "c").at(one);
    stage.expect_told(third, &Answer::Done);
    let asked = stage.client(4).gets("x").at(two);
    match stage.told(asked) {
        Some(Answer::Value(Some(x))) if ["abc", "bac"].contains(&x.as_str()) => {}
        other => stage.complain(format!("each was to be done once, and c last: {other:?}")),
    }
    stage.finish()
}
