//! What happens from the moment at which somebody does something about a dead replica until service goes on.

use synod_paxos::node::NodeId;

use super::costs::{DELAY, even_world};
use super::leader::CAMPAIGN;
use crate::history::Operation;
use crate::machine::Death;
use crate::program::Program;
use crate::programs::replicated::Setup;
use crate::trace::Happening;
use crate::world::World;

/// The way back to service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// How long the dead one was waited for, in thousandths of an election timeout.
    pub silence: u64,
    /// Message delays from the first message of an election, or of a recovery, to the first answer to a client.
    pub delays: u64,
    /// Messages of elections or recoveries until then.
    pub messages: u64,
}

/// The first words of messages that recover a command of somebody else's.
const RECOVERY: &[&str] = &["recover"];

/// The first words of what follows from them.
const ANSWERS: &[&str] = &[
    "pre-check-reply",
    "promise",
    "pre-voted",
    "voted",
    "recover-ok",
    "validate",
    "validate-ok",
    "waiting",
    "nack",
];

/// Node 1 of five, which leads if anybody does, dies while its write is on the way to the others; then a client of each
/// other node writes the same key.
pub(super) fn takeover<P: Program<Setup = Setup>>(seed: u64, leads: bool) -> Result<Takeover, String> {
    let mut world = even_world::<P>(5, leads, seed, true)?;
    let put = |value: u64| Operation::Put { key: "k".to_owned(), value: value.to_string() };
    world.ask(1, NodeId(1), put(1));
    world.run_until(world.now() + DELAY + DELAY / 2);
    world.kill(NodeId(1), Death::Process);
    let died = world.now();
    for node in 2..=5 {
        world.ask(node, NodeId(node), put(node));
    }
    let answered = world.tally().answered;
    let timeout = P::election_timeout(&Setup::default()).as_nanos() as u64;
    let end = died + 40 * timeout;
    if !world.run_until_that(end, |world: &World<P>| world.tally().answered > answered) {
        return Err("nobody is answered any more".to_owned());
    }
    if let Some(violation) = world.violation() {
        return Err(format!("{}: {}", violation.invariant, violation.what));
    }
    let answer = world.now();
    let trace = world.take_trace();
    let spoken = trace.iter().filter(|event| event.at >= died).filter_map(|event| match &event.what {
        Happening::Sent { text, .. } => {
            Some((event.at, text.split(' ').next().unwrap_or_default().to_owned()))
        }
        _ => None,
    });
    let is = |words: &[&str], word: &String| words.contains(&word.as_str());
    let begins = |word: &String| is(CAMPAIGN, word) || is(RECOVERY, word);
    let spoken: Vec<(u64, String)> = spoken.filter(|(_, word)| begins(word) || is(ANSWERS, word)).collect();
    let Some((first, _)) = spoken.iter().find(|(_, word)| begins(word)) else {
        return Err("service went on by itself".to_owned());
    };
    Ok(Takeover {
        silence: (first - died) * 1_000 / timeout,
        delays: (answer - first).div_ceil(DELAY),
        messages: spoken.len() as u64,
    })
}
