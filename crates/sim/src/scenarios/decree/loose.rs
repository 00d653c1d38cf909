//! Schedules that leave much to chance: lost messengers, sleepers, the parliament, and the adversary of FLP.

use synod_paxos::node::NodeId;

use super::chosen;
use crate::network::Weather;
use crate::program::Program;
use crate::programs::single_decree::SingleDecree;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};
use crate::trace::Happening;
use crate::world::World;

/// §8.2: every first promise is lost, and asked for again.
pub fn lost_promise(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 3);
    stage.lose("promise", FROM_ANYONE, TO_ANYONE);
    let asked = stage.client(2).proposes("A").at(2);
    stage.pass(150);
    stage.let_through("promise", FROM_ANYONE, TO_ANYONE);
    stage.expect_told(asked, &chosen("A"));
    stage.finish()
}

/// Monks on five peaks: one is asleep, the pigeons to a fourth never arrive, and half of all others get lost.
pub fn monks(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 5);
    stage.pass(1);
    stage.sleeps(3);
    stage.lose("", FROM_ANYONE, to(4));
    stage.weather(Weather { loss: 300, ..Weather::FAIR });
    let asked = stage.client(1).proposes("first of May").at(1);
    let other = stage.client(2).proposes("midsummer").at(2);
    let (one, two) = (stage.told(asked), stage.told(other));
    stage.expect(one.is_some() && one == two, "both were told the same date");
    stage.weather(Weather::FAIR);
    stage.wakes(3);
    stage.let_through("", FROM_ANYONE, to(4));
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.9: every message arrives twice, old ones again and again, and they overtake each other.
pub fn duplicates(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 5);
    stage.weather(Weather { duplicate: 1000, replay: 300, jitter: 30_000_000, ..Weather::FAIR });
    let asked = [1, 2, 3].map(|node| stage.client(node).proposes(&format!("v{node}")).at(node));
    let told = asked.map(|asked| stage.told(asked));
    let same = told[0].is_some() && told.iter().all(|answer| *answer == told[0]);
    stage.expect(same, "all were told the same value");
    stage.expect_everybody_learns();
    stage.finish()
}

/// §8.1: three propose at once, again and again in each other's way, until chance lets one through.
pub fn duel(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 3);
    stage.weather(Weather { delay: 20_000_000, jitter: 40_000_000, ..Weather::FAIR });
    let asked = [1, 2, 3].map(|node| stage.client(node).proposes(&format!("v{node}")).at(node));
    let told = asked.map(|asked| stage.told(asked));
    let same = told[0].is_some() && told.iter().all(|answer| *answer == told[0]);
    stage.expect(same, "all were told the same value");
    stage.finish()
}

/// The round that each node's proposer has come to.
fn rounds(world: &World<SingleDecree>) -> u64 {
    let programs = world.nodes().iter().filter_map(|node| world.program(*node));
    programs.filter_map(|p| Some(p.node().core().proposer()?.ballot().round)).max().unwrap_or(0)
}

/// A request of the first node to accept that waits for the second, which has promised more since.
fn outrun(world: &World<SingleDecree>) -> Option<(NodeId, NodeId)> {
    let nodes = world.nodes();
    let pairs = nodes.iter().flat_map(|p| nodes.iter().map(move |a| (*p, *a)));
    pairs.into_iter().find(|(proposer, acceptor)| {
        let asks = world.program(*proposer).and_then(|p| p.node().core().proposer()).map(|p| p.ballot());
        let promised =
            world.program(*acceptor).and_then(|a| a.node().core().acceptor()).map(|a| a.promised());
        let name = Some("accept".to_owned());
        let pattern = crate::world::filter::Pattern { name, from: Some(*proposer), to: Some(*acceptor) };
        promised > asks && world.held(&pattern) > 0
    })
}

/// Fischer, Lynch and Paterson: an adversary that reads all messages lets each request to accept arrive, but only
/// when its acceptor has promised more. Nothing is ever decided, and nothing goes wrong. When it stops, all is quick.
pub fn flp(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 3);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    let asked = [1, 2, 3].map(|node| stage.client(node).proposes(&format!("v{node}")).at(node));
    let until = 7_000_000_000;
    let mut late = 0;
    while stage.world.run_until_that(until, |world| outrun(world).is_some()) {
        let Some((proposer, acceptor)) = outrun(&stage.world) else { break };
        late += stage.deliver("accept", from(proposer.0), to(acceptor.0));
    }
    let round = rounds(&stage.world);
    let _ = stage.take_story();
    stage.say(format_args!("the adversary let {late} requests arrive, each too late; round {round}"));
    stage.expect(late >= 10 && round >= 5, "proposers tried again and again");
    stage.expect_nothing_chosen();
    stage.let_through("accept", FROM_ANYONE, TO_ANYONE);
    let started = stage.world.now();
    stage.deliver("accept", FROM_ANYONE, TO_ANYONE);
    stage.until("messengers are in time again, and a value is chosen", 5_000, |world| {
        !world.ledger().is_empty()
    });
    let took = (stage.world.now() - started) / 1_000_000;
    stage.say(format_args!("it took {took} ms"));
    for asked in asked {
        stage.told(asked);
    }
    stage.expect_everybody_learns();
    stage.finish()
}

/// The protocol's words and the parliament's (Lamport, *The Part-Time Parliament*, §2.3).
const WORDS: [(&str, &str); 12] = [
    ("prepare", "next-ballot"),
    ("promise", "last-vote"),
    ("accept", "begin-ballot"),
    ("accepted", "voted"),
    ("nack", "too-late"),
    ("chosen", "passed"),
    ("inquire", "what-was-passed"),
    ("promised", "notes at the back of the ledger: no vote below"),
    ("sleeps", "leaves the chamber"),
    ("wakes", "enters the chamber"),
    ("dies", "leaves for good, ledger in hand:"),
    ("starts", "comes home to the ledger"),
];

/// The same text in the parliament's language.
fn in_parliament(text: &str) -> String {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let word = WORDS.iter().find(|(ours, _)| *ours == first).map_or(first, |(_, theirs)| theirs);
    // A process wakes up; a legislator just comes.
    let rest = if first == "wakes" { "" } else { rest };
    format!("{word} {rest}").trim_end().to_owned()
}

/// Five legislators who come and go pass one decree. No two ledgers contradict each other, and once a majority stays
/// in the chamber, the decree is in everybody's.
pub fn parliament(seed: u64) -> Outcome {
    let mut stage: Stage<SingleDecree> = Stage::new(seed, 5);
    stage.pass(1);
    stage.sleeps(4);
    stage.sleeps(5);
    let olives = stage.client(1).proposes("olive tax").at(1);
    stage.pass(2);
    stage.sleeps(1);
    let lamps = stage.client(2).proposes("lamp oil").at(2);
    stage.pass(1_000);
    let passed = stage.world.ledger().len();
    stage.say(format_args!("with two of five in the chamber, {passed} decrees have passed"));
    stage.wakes(4);
    stage.loses_power(3);
    stage.pass(300);
    stage.starts(3);
    stage.wakes(5);
    stage.wakes(1);
    let (one, two) = (stage.told(olives), stage.told(lamps));
    stage.expect(one.is_some() && one == two, "one decree is passed, whoever asks");
    stage.expect_everybody_learns();
    let ledgers: std::collections::BTreeSet<_> = stage
        .world
        .nodes()
        .iter()
        .filter_map(|node| stage.world.program(*node).map(Program::state))
        .collect();
    stage.expect(ledgers.len() == 1, "no two ledgers contradict each other");
    let mut outcome = stage.finish();
    for event in &mut outcome.trace.events {
        if let Happening::Sent { text, .. } | Happening::Fact { text, .. } | Happening::Fault { text, .. } =
            &mut event.what
        {
            *text = in_parliament(text);
        }
    }
    outcome
}
