//! The normal case: message delays and messages of one command when nothing else is under way.

use std::time::Duration;

use synod_paxos::node::NodeId;

use super::leader;
use super::sites::MS;
use crate::faults::Plan;
use crate::history::{Operation, Outcome};
use crate::network::Weather;
use crate::program::Program;
use crate::programs::replicated::Setup;
use crate::world::pace::Pace;
use crate::world::{World, WorldConfig};

/// What one command costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Message delays until the client's replica knows that it is committed.
    pub commit: u64,
    /// Message delays until the client's replica has executed it.
    pub execution: u64,
    /// Messages between replicas, less those that are sent anyway, in thousandths.
    pub messages: u64,
}

/// What commands cost among some replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Replicas.
    pub nodes: u64,
    /// Of a client of the leader, or of any replica where there is none.
    pub at_leader: Cost,
    /// Of a client of another replica.
    pub elsewhere: Cost,
}

/// What a message takes.
pub(super) const DELAY: u64 = 10 * MS;

/// Commands that are counted, one after the other.
const COMMANDS: u64 = 50;

/// From one to the next: time enough for everything that follows from it.
const PERIOD: u64 = 20 * DELAY;

/// Counts messages and delays among `nodes` replicas.
pub(super) fn count<P: Program<Setup = Setup>>(nodes: u64, leads: bool) -> Result<Costs, String> {
    let at = |node: NodeId| -> Result<Cost, String> {
        let idle = run::<P>(nodes, leads, None)?;
        let busy = run::<P>(nodes, leads, Some(node))?;
        let messages = busy.messages.saturating_sub(idle.messages) * 1_000 / COMMANDS;
        Ok(Cost { messages, commit: in_delays(busy.commit)?, execution: in_delays(busy.execution)? })
    };
    Ok(Costs { nodes, at_leader: at(NodeId(1))?, elsewhere: at(NodeId(2))? })
}

fn in_delays(nanoseconds: u64) -> Result<u64, String> {
    if nanoseconds.is_multiple_of(DELAY) {
        return Ok(nanoseconds / DELAY);
    }
    Err(format!("{nanoseconds} ns are no whole number of delays: something waited for a clock"))
}

/// A world in which every message takes [`DELAY`] and nothing else takes any time; node 1 leads, if somebody does.
pub(super) fn even_world<P: Program<Setup = Setup>>(
    nodes: u64,
    leads: bool,
    seed: u64,
    record: bool,
) -> Result<World<P>, String> {
    let nodes: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
    let mut plan = Plan::calm(&nodes);
    plan.weather = Weather { delay: DELAY, jitter: 0, ..Weather::FAIR };
    let setup = Setup { snapshot_bytes: 16 << 20, segment_bytes: 64 << 20, ..Setup::default() };
    let patience = setup.patience.max(Duration::from_nanos(10 * DELAY)).as_nanos() as u64;
    let phase2 = nodes.len() / 2 + 1;
    let mut world =
        World::new(WorldConfig { seed, setup, nodes, plan, phase2, clients: 0, operations: 0, record });
    world.set_pace(Pace::steady(0));
    if leads {
        leader::install(&mut world, NodeId(1), 40 * patience, 4 * patience)?;
    } else {
        world.run_until(4 * patience);
    }
    Ok(world)
}

struct Counted {
    messages: u64,
    commit: u64,
    execution: u64,
}

/// What was sent in the time of [`COMMANDS`] commands, and the longest that one took, if a client of `node` asks.
fn run<P: Program<Setup = Setup>>(nodes: u64, leads: bool, node: Option<NodeId>) -> Result<Counted, String> {
    let mut world = even_world::<P>(nodes, leads, 1, false)?;
    let before = world.tally().messages;
    let mut counted = Counted { messages: 0, commit: 0, execution: 0 };
    for number in 0..COMMANDS {
        let end = world.now() + PERIOD;
        let put = Operation::Put { key: "k".to_owned(), value: number.to_string() };
        let call = node.map(|node| world.ask(1, node, put));
        world.run_until(end);
        if let Some(violation) = world.violation() {
            return Err(format!("{}: {}", violation.invariant, violation.what));
        }
        let Some(call) = call else { continue };
        let Some(Outcome::Answered { at, .. }) = world.outcome(call) else {
            return Err(format!("{:?} was not answered in time", world.history()[call]));
        };
        let (at, called) = (*at, world.history()[call].called);
        counted.execution = counted.execution.max(at - called);
        counted.commit = counted.commit.max(world.decided(call).unwrap_or(at) - called);
    }
    counted.messages = world.tally().messages - before;
    Ok(counted)
}
