//! The world: one thread, one queue of events, one seed.

mod directing;
mod disks;
mod events;
mod faulting;
pub mod filter;
mod nodes;
pub mod pace;
mod requests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;

use crate::check::Violation;
use crate::checkers::answers::Answers;
use crate::checkers::disks::Disks;
use crate::checkers::executions::Executions;
use crate::checkers::instances::Instances;
use crate::checkers::ledger::Ledger;
use crate::checkers::states::States;
use crate::checkers::terms::Terms;
use crate::clients::{Client, Workload};
use crate::clock::Clock;
use crate::faults::{ClientHabits, Plan};
use crate::history::Call;
use crate::machine::Machine;
use crate::network::{Letter, Network};
use crate::program::{Digest, Fact, Instance, Operation, Program, Queue, Reply, RequestId, Stand, WorkId};
use crate::random::Random;
use crate::trace::{Event as Traced, Happening};

/// Something that will happen.
#[derive(Debug)]
enum Event {
    /// A letter arrives.
    Deliver(Letter),
    /// A node's queue gets to this work.
    Work { node: NodeId, boot: u64, queue: Queue, work: WorkId },
    /// A node hears that work is done.
    WorkDone { node: NodeId, boot: u64, work: WorkId },
    /// A node that was to die in some act dies now, if it still lives.
    Overdue { node: NodeId, boot: u64 },
    /// A node starts.
    Boot { node: NodeId },
    /// A node that stopped by itself may start again.
    Relieve { node: NodeId },
    /// A fault of the plan begins.
    Begin(usize),
    /// A fault of the plan ends.
    End(usize),
    /// A client begins something.
    Act { client: u64 },
    /// A request arrives at a node.
    Request { node: NodeId, request: RequestId, operation: Operation },
    /// A reply arrives at a client.
    Reply { client: u64, request: RequestId, reply: Reply },
    /// A client has waited long enough.
    Impatient { client: u64, request: RequestId },
}

struct Due(u64, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// How a world is made.
#[derive(Clone, Debug)]
pub struct WorldConfig<S> {
    /// The seed of everything.
    pub seed: u64,
    /// What the programs are told.
    pub setup: S,
    /// All nodes.
    pub nodes: Vec<NodeId>,
    /// What goes wrong.
    pub plan: Plan,
    /// How many votes of one ballot choose.
    pub phase2: usize,
    /// Clients that act by themselves, and how many operations each begins.
    pub clients: u64,
    /// See there.
    pub operations: u64,
    /// Whether to keep a trace.
    pub record: bool,
}

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events handled.
    pub events: u64,
    /// Messages sent.
    pub messages: u64,
    /// Operations answered.
    pub answered: u64,
    /// Nodes that became leaders.
    pub leaders: u64,
    /// Nodes that died or stopped.
    pub deaths: u64,
    /// States taken over from other nodes.
    pub installed: u64,
    /// The most that any node kept for later.
    pub queued_max: usize,
}

/// Nodes, links, clients and checkers.
pub struct World<P: Program> {
    setup: P::Setup,
    nodes: Vec<NodeId>,
    plan: Plan,
    now: u64,
    events: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
    machines: BTreeMap<NodeId, Machine<P>>,
    network: Network,
    pace: pace::Pace,
    filter: filter::Filter,
    /// Who believes to lead, and with which ballot.
    leading: BTreeMap<NodeId, Ballot>,
    /// Events for nodes that stand still.
    stashed: BTreeMap<NodeId, Vec<Event>>,
    clients: BTreeMap<u64, Client>,
    habits: ClientHabits,
    hot: u64,
    random: Random,
    /// Who asked.
    requests: BTreeMap<RequestId, (u64, NodeId)>,
    next_request: u64,
    next_message: u64,
    history: Vec<Call>,
    decided: BTreeMap<usize, u64>,
    answers: Answers,
    disks: Disks,
    /// Whether all disks have held the roster.
    founded: bool,
    /// Whether no fault strikes any more.
    calm: bool,
    /// Whether machines that were set back start though not every other would tell.
    untold: bool,
    ledger: Ledger,
    states: States,
    executions: Executions,
    instances: Instances,
    terms: Terms,
    tally: Tally,
    hash: Digest,
    trace: Option<Vec<Traced>>,
    violation: Option<Violation>,
}

/// No run comes near so many events, unless nodes never come to rest.
const EVENTS_MAX: u64 = 1_000_000;

/// Nobody keeps more for later, with as few clients as there are.
const QUEUED_MAX: usize = 2_000;

/// Nobody wants more done at once.
const EFFECTS_MAX: u64 = 20_000;

/// Clocks of real machines show how long they have been up: anything.
const UPTIME_MAX: u64 = 1 << 40;

impl<P: Program> World<P> {
    /// A world in which every node is starting.
    pub fn new(config: WorldConfig<P::Setup>) -> World<P> {
        let WorldConfig { seed, setup, nodes, plan, phase2, clients, operations, record } = config;
        let mut random = Random::new(seed, "world");
        let quorums = FastQuorumSystem::majority(nodes.iter().copied());
        let fast = quorums.expect("a world has nodes, and each once").fast_size();
        let mut machines = BTreeMap::new();
        for (id, rate) in nodes.iter().zip(&plan.rates) {
            let clock = Clock::new(random.below(UPTIME_MAX), *rate);
            let stream = |purpose| Random::new(seed, &format!("{purpose} {id}"));
            machines.insert(*id, Machine::new(*id, clock, stream("machine"), stream("copies")));
        }
        let client = |id| (id, Client::new(id, operations, Random::new(seed, &format!("client {id}"))));
        let mut world = World {
            setup,
            network: Network::new(plan.weather, Random::new(seed, "network")),
            pace: pace::Pace::USUAL,
            filter: filter::Filter::default(),
            leading: BTreeMap::new(),
            habits: plan.clients,
            hot: random.skewed(900),
            plan,
            now: 0,
            events: BinaryHeap::new(),
            scheduled: 0,
            machines,
            stashed: BTreeMap::new(),
            clients: (1..=clients).map(client).collect(),
            random,
            requests: BTreeMap::new(),
            next_request: 0,
            next_message: 0,
            history: Vec::new(),
            decided: BTreeMap::new(),
            answers: Answers::default(),
            disks: Disks::default(),
            founded: false,
            calm: false,
            untold: false,
            ledger: Ledger::new(phase2).with_fast_rounds(P::is_fast, fast),
            states: States::default(),
            executions: Executions::default(),
            instances: Instances::default(),
            terms: Terms::default(),
            tally: Tally::default(),
            hash: Digest::EMPTY,
            trace: record.then(Vec::new),
            violation: None,
            nodes: nodes.clone(),
        };
        for node in nodes {
            let disk = world.machines[&node].node_id();
            world.disks.insert(node, disk, false);
            world.at(0, Event::Boot { node });
        }
        for client in 1..=clients {
            let at =
                world.random.below(if P::WORKLOAD == Workload::Decree { 50_000_000 } else { 1_000_000_000 });
            world.at(at, Event::Act { client });
        }
        for index in 0..world.plan.faults.len() {
            world.at(world.plan.faults[index].at, Event::Begin(index));
        }
        world
    }

    /// Simulated time, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// All nodes.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// A node's program, if it runs.
    pub fn program(&self, node: NodeId) -> Option<&P> {
        self.machines[&node].program.as_ref()
    }

    /// Why a node will never come back, if so.
    pub fn gone(&self, node: NodeId) -> Option<&str> {
        self.machines[&node].gone.as_deref()
    }

    /// Whether a node runs, or will when it is started: one whose disk was damaged refuses to, and one whose disk was set
    /// back is refused.
    pub fn can_run(&self, node: NodeId) -> bool {
        let machine = &self.machines[&node];
        machine.gone.is_none() && !machine.set_back && (machine.program.is_some() || !machine.damaged)
    }

    /// What clients asked and were told.
    pub fn history(&self) -> &[Call] {
        &self.history
    }

    /// The durable votes and what was chosen.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What state machines executed, key by key.
    pub fn executions(&self) -> &Executions {
        &self.executions
    }

    /// Figures so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The fingerprint of everything that happened.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// What broke, if something did. Then time stands still.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Something is not as it must be.
    pub fn violate(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    /// Everything that happened, if it was recorded.
    pub fn take_trace(&mut self) -> Vec<Traced> {
        self.trace.take().unwrap_or_default()
    }

    /// Whether a trace is kept: then texts for people are worth making.
    fn records(&self) -> bool {
        self.trace.is_some()
    }

    fn at(&mut self, time: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Due(time.max(self.now), self.scheduled, event)));
    }

    /// Adds to the fingerprint of the run.
    fn note(&mut self, kind: u64, a: u64, b: u64) {
        self.hash = self.hash.and(self.now).and(kind).and(a).and(b);
    }

    fn record(&mut self, what: impl FnOnce() -> Happening) {
        if let Some(trace) = &mut self.trace {
            trace.push(Traced { at: self.now, what: what() });
        }
    }

    fn check(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.violation.get_or_insert(violation);
        }
    }

    /// Runs until simulated time `end`, or until something breaks.
    pub fn run_until(&mut self, end: u64) {
        self.run_until_that(end, |_| false);
    }

    /// Runs until `done`, which is asked after every event, or until simulated time `end`. Returns whether it was done.
    pub fn run_until_that(&mut self, end: u64, mut done: impl FnMut(&World<P>) -> bool) -> bool {
        while self.violation.is_none() {
            if done(self) {
                return true;
            }
            let event = self.events.peek().map(|Reverse(due)| due.0);
            let timer = self.next_timer();
            let next = event.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = self.now.max(end);
                return false;
            };
            self.now = self.now.max(next);
            self.tally.events += 1;
            if self.tally.events > EVENTS_MAX {
                self.violate(
                    "Bounds",
                    format!("more than {EVENTS_MAX} events: the nodes keep each other busy"),
                );
                return false;
            }
            match timer {
                Some((at, node)) if event.is_none_or(|event| at < event) => self.wake(node),
                _ => {
                    if let Some(Reverse(Due(_, _, event))) = self.events.pop() {
                        self.handle(event);
                    }
                }
            }
        }
        false
    }

    /// When the next node wants to be woken, and which.
    fn next_timer(&self) -> Option<(u64, NodeId)> {
        let awake = self.machines.values().filter(|machine| machine.paused == 0);
        let timers = awake.filter_map(|machine| {
            let program = machine.program.as_ref()?;
            debug_assert_eq!(machine.timeout, program.next_timeout(), "{} was not settled", machine.id);
            Some((machine.clock.when(machine.timeout?), machine.id))
        });
        timers.min()
    }

    fn machine(&mut self, node: NodeId) -> &mut Machine<P> {
        self.machines.get_mut(&node).expect("a node of this world")
    }

    fn workload() -> Workload {
        P::WORKLOAD
    }
}

/// A frame for the fingerprint.
fn print(frame: &Bytes) -> u64 {
    Digest::of(frame).0
}

/// A fact worth showing to people.
fn tell(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Promised { ballot } => format!("promised {ballot}"),
        Fact::Voted { slot, ballot, .. } => format!("voted {ballot} {slot}"),
        Fact::Chosen { slot, .. } => format!("chosen {slot}"),
        Fact::Leads { ballot: Some(ballot) } => format!("leads {ballot}"),
        Fact::Leads { ballot: None } => "leads no more".to_owned(),
        Fact::Checkpointed { slot } => format!("checkpoint {slot}"),
        Fact::Truncated { slot } => format!("truncated {slot}"),
        Fact::Applied { slot, installed: true, .. } => format!("installed {slot}"),
        Fact::Rejected { from, reason } => format!("rejects {from}: {reason}"),
        Fact::Elected { term, .. } => format!("elected in term {term}"),
        Fact::Logged { index, term, .. } => format!("logged {index} of term {term}"),
        Fact::Committed { index, term, .. } => format!("committed {index} of term {term}"),
        Fact::Knows(Instance { id, stand: Stand::Agreed, .. }) => format!("agreed on {id}"),
        Fact::Decided { .. }
        | Fact::Knows(_)
        | Fact::Proposable { .. }
        | Fact::Applied { .. }
        | Fact::Executed { .. }
        | Fact::Roster { .. }
        | Fact::Remembers(_) => {
            return None;
        }
    })
}
