//! A leader at a place of our choice.

use synod_paxos::node::NodeId;

use crate::program::Program;
use crate::world::World;
use crate::world::filter::{Fate, Pattern};

/// The first words of messages with which a node offers itself, in any of the protocols.
pub const CAMPAIGN: &[&str] = &["pre-check", "prepare", "pre-vote", "vote"];

/// Runs until `node` leads, and then as long again as `settle` nanoseconds: nobody else is heard when it offers itself.
///
/// # Errors
/// If it does not lead within `patience` nanoseconds, or somebody else does at the end.
pub fn install<P: Program>(
    world: &mut World<P>,
    node: NodeId,
    patience: u64,
    settle: u64,
) -> Result<(), String> {
    let others: Vec<NodeId> = world.nodes().iter().copied().filter(|other| *other != node).collect();
    let patterns = others.iter().flat_map(|other| {
        let pattern = |word: &&str| Pattern { name: Some((*word).to_owned()), from: Some(*other), to: None };
        CAMPAIGN.iter().map(pattern)
    });
    let patterns: Vec<Pattern> = patterns.collect();
    for pattern in &patterns {
        world.intercept(pattern.clone(), Fate::Lost);
    }
    let leads = world.run_until_that(world.now() + patience, |world| world.leader() == Some(node));
    for pattern in &patterns {
        world.let_through(pattern);
    }
    world.run_until(world.now() + settle);
    if !leads || world.leader() != Some(node) {
        return Err(format!("{} does not lead, but {:?}", node, world.leader()));
    }
    Ok(())
}
