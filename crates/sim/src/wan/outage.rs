//! How long nobody is served when links are cut, a leader dies, or all offer themselves at once.

use std::fmt;

use synod_paxos::node::NodeId;

use super::sites::MS;
use crate::faults::{Plan, chained, constrained_election, quorum_loss};
use crate::history::{Operation, Outcome};
use crate::machine::Death;
use crate::network::between;
use crate::program::Program;
use crate::programs::replicated::Setup;
use crate::random::Random;
use crate::world::{World, WorldConfig};

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// Everybody is connected to one node only, and it is not the leader (OmniPaxos, EuroSys '23, §2).
    QuorumLoss,
    /// The same, the leader is connected to nobody, and the one node has missed something.
    ConstrainedElection,
    /// Three nodes in a row, the leader at one end; a client of the middle.
    Chained,
    /// The same, with a client of the other end.
    ChainEnd,
    /// The leader dies and does not come back.
    LeaderCrash,
    /// The same, with a write of its own under way to the key that others write then.
    CrashInConflict,
    /// All start at the same moment, and everybody may lead.
    Duel,
}

impl Scene {
    /// All of them.
    pub const ALL: [Scene; 7] = [
        Scene::QuorumLoss,
        Scene::ConstrainedElection,
        Scene::Chained,
        Scene::ChainEnd,
        Scene::LeaderCrash,
        Scene::CrashInConflict,
        Scene::Duel,
    ];

    fn nodes(self) -> u64 {
        if matches!(self, Scene::Chained | Scene::ChainEnd) { 3 } else { 5 }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scene::QuorumLoss => "quorum loss",
            Scene::ConstrainedElection => "constrained election",
            Scene::Chained => "chained",
            Scene::ChainEnd => "chained, far end",
            Scene::LeaderCrash => "leader crash",
            Scene::CrashInConflict => "crash in conflict",
            Scene::Duel => "duel",
        })
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How long until a client of a node that can make progress was answered, in thousandths of the time after which
    /// nodes stop waiting for a leader; none if that was not within [`WATCHED`].
    pub downtime: Option<u64>,
    /// How often somebody became a leader within [`WATCHED`].
    pub leaders: u64,
}

/// For how many election timeouts is watched.
pub const WATCHED: u64 = 20;

/// A client asks again after so many nanoseconds, as another client.
const PERIOD: u64 = 25 * MS;

/// Plays a scene.
pub(super) fn interrupt<P: Program<Setup = Setup>>(
    scene: Scene,
    seed: u64,
    leads: bool,
) -> Result<Outage, String> {
    let nodes: Vec<NodeId> = (1..=scene.nodes()).map(NodeId).collect();
    let (setup, plan, phase2) = (Setup::default(), Plan::calm(&nodes), nodes.len() / 2 + 1);
    let timeout = P::election_timeout(&setup).as_nanos() as u64;
    let record = false;
    let mut world =
        World::<P>::new(WorldConfig { seed, setup, nodes, plan, phase2, clients: 0, operations: 0, record });
    let mut random = Random::new(seed, "outage");
    let asked = match scene {
        Scene::Duel => *random.pick(world.nodes()),
        _ => {
            let old = led(&mut world, leads, timeout, &mut random)?;
            strike(&mut world, scene, old, &mut random)?
        }
    };
    watch(&mut world, asked, timeout)
}

/// The leader, once all is quiet; any node if nobody leads.
fn led<P: Program>(
    world: &mut World<P>,
    leads: bool,
    timeout: u64,
    random: &mut Random,
) -> Result<NodeId, String> {
    world.run_until(10 * timeout + random.below(timeout));
    match world.leader().filter(|_| leads) {
        Some(leader) => Ok(leader),
        None if leads => Err("nobody leads".to_owned()),
        None => Ok(*random.pick(world.nodes())),
    }
}

/// Breaks what the scene breaks; returns who is asked then.
fn strike<P: Program>(
    world: &mut World<P>,
    scene: Scene,
    old: NodeId,
    random: &mut Random,
) -> Result<NodeId, String> {
    let nodes = world.nodes().to_vec();
    let others: Vec<NodeId> = nodes.iter().copied().filter(|node| *node != old).collect();
    let hub = *random.pick(&others);
    let put = |key: &str| Operation::Put { key: key.to_owned(), value: "before".to_owned() };
    let call = world.ask(1, old, put("before"));
    world.run_until_that(world.now() + 1_000 * MS, |world| world.outcome(call).is_some());
    match scene {
        Scene::QuorumLoss => world.cut(&quorum_loss(hub, &nodes)),
        Scene::ConstrainedElection => {
            let missed = between(&[hub], &nodes);
            world.cut(&missed);
            let call = world.ask(1, old, put("missed"));
            world.run_until_that(world.now() + 1_000 * MS, |world| world.outcome(call).is_some());
            world.join(&missed);
            world.cut(&constrained_election(hub, old, &nodes));
        }
        Scene::Chained | Scene::ChainEnd => {
            let last = others.iter().copied().find(|node| *node != hub).unwrap_or(hub);
            world.cut(&chained(&[old, hub, last]));
            if scene == Scene::ChainEnd {
                return Ok(last);
            }
        }
        Scene::LeaderCrash => world.kill(old, Death::Process),
        Scene::CrashInConflict => {
            world.ask(1, old, put("k"));
            // Others have heard of it, and none of the answers has come back.
            let sent = world.tally().messages;
            let spoke = |world: &World<P>| world.tally().messages > sent;
            world.run_until_that(world.now() + 1_000 * MS, spoke);
            world.run_until(world.now() + MS / 2);
            world.kill(old, Death::Process);
        }
        Scene::Duel => return Err("nothing breaks in a duel".to_owned()),
    }
    Ok(hub)
}

/// Asks `node` again and again until somebody is answered.
fn watch<P: Program>(world: &mut World<P>, node: NodeId, timeout: u64) -> Result<Outage, String> {
    let (from, leaders) = (world.now(), world.tally().leaders);
    let answered = world.tally().answered;
    let end = from + WATCHED * timeout;
    let mut first = None;
    let mut client = 100;
    while first.is_none() && world.now() < end {
        client += 1;
        world.ask(client, node, Operation::Put { key: "k".to_owned(), value: client.to_string() });
        let done = world.run_until_that(world.now() + PERIOD, |world| world.tally().answered > answered);
        first = done.then(|| world.now() - from);
    }
    world.run_until(end);
    if let Some(violation) = world.violation() {
        return Err(format!("{}: {}", violation.invariant, violation.what));
    }
    let refused = world.history().iter().all(|call| call.client <= 100 || call.outcome == Outcome::Failed);
    if first.is_some() && refused {
        return Err("nobody was answered after all".to_owned());
    }
    let leaders = world.tally().leaders - leaders;
    Ok(Outage { downtime: first.map(|nanos| nanos * 1_000 / timeout), leaders })
}
