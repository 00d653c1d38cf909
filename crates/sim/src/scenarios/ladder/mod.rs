//! The texts' refinement, rung by rung, all on the same schedule of four acts.
//!
//! In each act one rung falls; every rung survives the acts in which the rungs below it fell, and Paxos survives all.

pub(super) mod rungs;

use synod_paxos::slot::Slot;

use self::rungs::{Node, Rung, Setup, Source};
use super::Outcome;
use super::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};
use super::toy::Host;
use crate::program::Program;
use crate::programs::single_decree::SingleDecree;

/// A part of the schedule.
struct Act {
    title: &'static str,
    falls: Rung,
    /// The property that the rung loses.
    loses: &'static str,
}

const ACTS: [Act; 4] = [
    Act { title: "the acceptor that knows dies", falls: Rung::SingleAcceptor, loses: "Liveness 2" },
    Act { title: "four propose at once", falls: Rung::FirstProposal, loses: "Liveness 1" },
    Act { title: "an acceptor does not know that (1,M) is chosen", falls: Rung::Numbers, loses: "P2b" },
    Act { title: "what was looked at changes", falls: Rung::NoPromises, loses: "P2b" },
];

/// Legislators on the ladder.
const COUNT: u64 = 4;

fn play<P: Program>(stage: &mut Stage<P>, act: usize) {
    match act {
        0 => the_acceptor_that_knows_dies(stage),
        1 => four_propose_at_once(stage),
        2 => an_acceptor_does_not_know(stage),
        _ => what_was_looked_at_changes(stage),
    }
}

fn the_acceptor_that_knows_dies<P: Program>(stage: &mut Stage<P>) {
    stage.lose("accepted", from(1), TO_ANYONE);
    stage.client(1).proposes("M").at(2);
    stage.pass(40);
    stage.dies(1);
}

fn four_propose_at_once<P: Program>(stage: &mut Stage<P>) {
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    for (node, value) in [(1, "A"), (2, "Q"), (3, "M"), (4, "K")] {
        stage.client(node).proposes(value).at(node);
    }
    stage.pass(50);
    for node in 1..=COUNT {
        stage.deliver("accept", from(node), to(node));
    }
    for node in [4, 3, 2, 1] {
        stage.deliver("accept", from(node), TO_ANYONE);
    }
    stage.let_through("accept", FROM_ANYONE, TO_ANYONE);
}

fn an_acceptor_does_not_know<P: Program>(stage: &mut Stage<P>) {
    stage.isolate(2);
    stage.client(1).proposes("M").at(1);
    stage.pass(50);
    stage.reconnect(2);
    stage.client(2).proposes("Q").at(2);
}

fn what_was_looked_at_changes<P: Program>(stage: &mut Stage<P>) {
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    stage.client(1).proposes("A").at(1);
    stage.client(2).proposes("Q").at(2);
    stage.pass(50);
    stage.deliver("accept", from(1), TO_ANYONE);
    stage.deliver("accept", from(2), TO_ANYONE);
    stage.let_through("accept", FROM_ANYONE, TO_ANYONE);
}

/// Which property is lost, if one is, once everybody still alive has had time to talk.
fn lost<P: Program>(stage: &mut Stage<P>) -> Option<&'static str> {
    let learned = stage.world.run_until_that(stage.world.now() + 10_000_000_000, |world| {
        let mut running = world.nodes().iter().filter_map(|node| world.program(*node));
        running.all(|program| program.standing().chosen >= Slot(1))
    });
    match stage.world.violation() {
        Some(violation) => Some(violation.invariant),
        None if learned => None,
        None if stage.world.ledger().is_empty() => Some("Liveness 1"),
        None => Some("Liveness 2"),
    }
}

fn toys(seed: u64, setup: Setup) -> Stage<Host<Node>> {
    let choosing = if setup.rung == Rung::SingleAcceptor { 1 } else { 3 };
    Stage::of(seed, COUNT, choosing, setup)
}

/// Plays acts `..=last` on fresh stages; what the play lost in each, and how the last ended.
fn climb<P: Program>(stages: impl Fn() -> Stage<P>, last: usize) -> (Vec<Option<&'static str>>, Outcome) {
    let (mut losses, mut story) = (Vec::new(), Vec::new());
    let mut stage = stages();
    for (number, act) in ACTS.iter().enumerate().take(last + 1) {
        stage = stages();
        stage.pass(1);
        stage.say(format_args!("act {}: {}", number + 1, act.title));
        play(&mut stage, number);
        let loss = lost(&mut stage);
        stage.say(loss.map_or("nothing is lost".to_owned(), |loss| format!("✗ {loss} is lost")));
        story.extend(stage.take_story().0);
        losses.push(loss);
    }
    let mut outcome = stage.end(Ok(()));
    outcome.story = story;
    (losses, outcome)
}

/// One rung: it survives the acts before its own and falls in that.
fn rung(seed: u64, number: usize) -> Outcome {
    let act = &ACTS[number];
    let setup = Setup { rung: act.falls, source: Source::Slices };
    let (losses, mut outcome) = climb(|| toys(seed, setup), number);
    let mut expected = vec![None; number];
    expected.push(Some(act.loses));
    if losses != expected {
        outcome.verdict = Err(format!("{:?} loses {losses:?} and not {expected:?}", act.falls));
    }
    outcome
}

/// One acceptor: when it fails, what it chose is lost (Liveness 2).
pub fn single_acceptor(seed: u64) -> Outcome {
    rung(seed, 0)
}

/// A majority and P1 alone: four proposals, four acceptors, nothing chosen (Liveness 1).
pub fn first_proposal(seed: u64) -> Outcome {
    rung(seed, 1)
}

/// Numbers and P2a: (1,M) is chosen, and who does not know it accepts (2,Q) as P1 says (P2b).
pub fn numbers(seed: u64) -> Outcome {
    rung(seed, 2)
}

/// P2c without promises: it would take a look into the future (P2b).
pub fn no_promises(seed: u64) -> Outcome {
    rung(seed, 3)
}

/// Paxos, the shipped code: all four acts, nothing lost.
pub fn paxos(seed: u64) -> Outcome {
    let (losses, mut outcome) = climb(|| Stage::<SingleDecree>::new(seed, COUNT), ACTS.len() - 1);
    if losses.iter().any(Option::is_some) {
        outcome.verdict = Err(format!("Paxos loses {losses:?}"));
    }
    outcome
}

/// All rungs, one after the other; the trace is that of the last.
pub fn ladder(seed: u64) -> Outcome {
    let rungs = [single_acceptor, first_proposal, numbers, no_promises, paxos];
    let outcomes: Vec<Outcome> = rungs.iter().map(|rung| rung(seed)).collect();
    let names = ACTS.iter().map(|act| format!("{:?}, which loses {}", act.falls, act.loses));
    let names = names.chain(["Paxos, which loses nothing".to_owned()]);
    let story = names.zip(&outcomes).flat_map(|(name, outcome)| {
        std::iter::once(format!("— {name}")).chain(outcome.story.iter().cloned())
    });
    let story = story.collect();
    let verdict = outcomes.iter().try_for_each(|outcome| outcome.verdict.clone());
    let trace = outcomes.into_iter().next_back().expect("five rungs").trace;
    Outcome { trace, story, verdict }
}

/// A server that gives out proposal numbers is one more thing that fails; slices of the numbers need nobody.
pub fn number_server(seed: u64) -> Outcome {
    let proposals_without_node_4 = |source| {
        let mut stage = toys(seed, Setup { rung: Rung::NoPromises, source });
        stage.say(format_args!("numbers come from {source:?}"));
        stage.pass(1);
        stage.dies(COUNT);
        stage.client(1).proposes("A").at(1);
        let loss = lost(&mut stage);
        stage.say(loss.map_or("A is chosen".to_owned(), |loss| format!("✗ {loss} is lost")));
        (loss, stage)
    };
    let (server_loses, mut served) = proposals_without_node_4(Source::Server(COUNT));
    let (slices_lose, sliced) = proposals_without_node_4(Source::Slices);
    let (mut story, _) = served.take_story();
    let verdict = match (server_loses, slices_lose) {
        (Some("Liveness 1"), None) => Ok(()),
        other => Err(format!("server and slices lose {other:?}")),
    };
    let mut outcome = sliced.end(verdict);
    story.append(&mut outcome.story);
    outcome.story = story;
    outcome
}
