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
    /// Message delays from the first message of the successful election until somebody leads; where nobody does, from
    /// that of the recovery until a client is answered.
    pub delays: u64,
    /// Messages of elections or recoveries meanwhile.
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
/// other node writes the same key. None if one is answered before anybody does anything about the death.
pub(super) fn takeover<P: Program<Setup = Setup>>(
    seed: u64,
    leads: bool,
) -> Result<Option<Takeover>, String> {
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
    let after = || trace.iter().filter(|event| event.at >= died && event.at <= answer);
    let winner = after().find_map(|event| match &event.what {
        Happening::Fact { node, text } if text.starts_with("leads (") => Some((event.at, *node)),
        _ => None,
    });
    let spoken: Vec<(u64, u64, &str)> = after()
        .filter_map(|event| match &event.what {
            Happening::Sent { from, text, .. } => Some((event.at, *from, text.split(' ').next()?)),
            _ => None,
        })
        .collect();
    let begins = |word: &str| CAMPAIGN.contains(&word) || RECOVERY.contains(&word);
    let Some((first, _, opening)) = spoken.iter().find(|(_, _, word)| begins(word)).copied() else {
        return Ok(None);
    };
    // Whoever was too early was refused: what counts is the attempt that went through.
    let (end, by) = winner.map_or((answer, None), |(at, node)| (at, Some(node)));
    let attempts = spoken
        .iter()
        .filter(|(at, from, word)| *word == opening && *at <= end && by.is_none_or(|winner| winner == *from));
    let began = attempts.map(|(at, ..)| *at).max().unwrap_or(first);
    let about = spoken
        .iter()
        .filter(|(at, _, word)| (began..=end).contains(at) && (begins(word) || ANSWERS.contains(word)));
    Ok(Some(Takeover {
        silence: (first - died) * 1_000 / timeout,
        delays: (end - began).div_ceil(DELAY),
        messages: about.count() as u64,
    }))
}
