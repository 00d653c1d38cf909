//! What is broken, when and for how long: a plan drawn from the seed.
//!
//! Each seed draws which classes of faults it has and how strong each is (*swarm testing*: a run in which everything
//! happens at once hides what needs one thing to happen often). A plan is a list, so that a failing run can be shrunk
//! by leaving items out.

use std::fmt;

use serde::{Deserialize, Serialize};
use synod_paxos::node::NodeId;

use crate::clock::STEADY;
use crate::machine::Death;
use crate::network::{Link, Weather, between};
use crate::random::Random;

/// A nanosecond count.
const MS: u64 = 1_000_000;

/// A class of faults that can be left out of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Messages that do not arrive.
    Loss,
    /// Messages that arrive twice.
    Duplicate,
    /// Messages that take long and overtake each other.
    Delay,
    /// Messages of long ago.
    Replay,
    /// Links that hold everything back and release it at once.
    Clog,
    /// Cuts between groups, of single directions, and partial connectivity.
    Cut,
    /// Processes and machines that die and start again.
    Crash,
    /// Processes that stand still for a while.
    Pause,
    /// Disks that are slow, stuck, full or fail once.
    Disk,
    /// Old records that rot or are overwritten, disks that are lost.
    Damage,
    /// Clocks that are wrong.
    Clock,
    /// Lost replies, slow readers, large requests.
    Client,
    /// State machines that are slow or do nothing.
    Applier,
    /// Disks that are set back to an earlier copy.
    Rollback,
}

impl Class {
    /// All of them.
    pub const ALL: &[Class] = &[
        Class::Loss,
        Class::Duplicate,
        Class::Delay,
        Class::Replay,
        Class::Clog,
        Class::Cut,
        Class::Crash,
        Class::Pause,
        Class::Disk,
        Class::Damage,
        Class::Clock,
        Class::Client,
        Class::Applier,
        Class::Rollback,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Which faults a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// None.
    Calm,
    /// Those of the network.
    Network,
    /// Those of processes.
    Processes,
    /// Those of disks.
    Disks,
    /// Those of clocks.
    Clocks,
    /// All that a correct cluster must survive.
    All,
    /// More damage than can be survived: the right answer is to refuse service, never a wrong answer.
    Beyond,
}

impl Profile {
    /// All of them, with their names.
    pub const ALL: &[(&str, Profile)] = &[
        ("calm", Profile::Calm),
        ("network", Profile::Network),
        ("processes", Profile::Processes),
        ("disks", Profile::Disks),
        ("clocks", Profile::Clocks),
        ("all", Profile::All),
        ("beyond", Profile::Beyond),
    ];

    fn allows(self, class: Class) -> bool {
        use Class::{
            Applier, Clock, Clog, Crash, Cut, Damage, Delay, Disk, Duplicate, Loss, Pause, Replay, Rollback,
        };
        match self {
            Profile::Calm => false,
            Profile::Network => matches!(class, Loss | Duplicate | Delay | Replay | Clog | Cut),
            Profile::Processes => matches!(class, Crash | Pause | Applier),
            Profile::Disks => matches!(class, Disk | Damage | Rollback | Crash),
            Profile::Clocks => matches!(class, Clock | Pause | Delay),
            Profile::All | Profile::Beyond => true,
        }
    }
}

/// Where exactly a death strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Between two events.
    Now,
    /// After so many more outputs of the program: some of what belongs together is done, the rest is not.
    Effects(u64),
    /// After so many more operations of its disk: in the middle of a write, a checkpoint, a truncation, a start.
    DiskOperations(u64),
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing gets through these links.
    Cut(&'static str, Vec<Link>),
    /// These links hold back and release at the end.
    Clog(Vec<Link>),
    /// A node dies, and starts again at the end.
    Crash(NodeId, Death, Point),
    /// All nodes die at once.
    CrashAll(Death),
    /// The process stands still.
    Pause(NodeId),
    /// The disk takes so many times longer.
    SlowDisk(NodeId, u64),
    /// The disk does nothing.
    StuckDisk(NodeId),
    /// The state machine takes so many times longer.
    SlowApplier(NodeId, u64),
    /// The state machine does nothing.
    HungApplier(NodeId),
    /// No more than so many bytes fit.
    FullDisk(NodeId, u64),
    /// The sync after so many others fails, once.
    FailSync(NodeId, u64),
    /// The operation after so many others fails, once.
    FailOperation(NodeId, u64),
    /// A bit of an old record flips.
    FlipBit(NodeId),
    /// A write for somewhere else hits an old record.
    Misdirect(NodeId),
    /// The disk is lost, and replaced by an empty one.
    Replace(NodeId),
    /// The disk is replaced by an earlier copy of itself.
    Restore(NodeId),
    /// The clock jumps ahead by so many nanoseconds.
    Jump(NodeId, u64),
    /// The clock goes at this rate until the end.
    Drift(NodeId, u64),
}

impl Fault {
    /// Its class, the node that it strikes, if it is one, and what it is, for people.
    fn portrait(&self) -> (Class, Option<NodeId>, String) {
        let at = |class, node: &NodeId, text: &str| (class, Some(*node), text.to_owned());
        match self {
            Fault::Cut(name, links) => (Class::Cut, None, describe_links(&format!("cut ({name})"), links)),
            Fault::Clog(links) => (Class::Clog, None, describe_links("clogged", links)),
            Fault::Crash(node, death, Point::Now) => at(Class::Crash, node, &format!("crash ({death:?})")),
            Fault::Crash(node, death, point) => {
                at(Class::Crash, node, &format!("crash soon ({death:?}, {point:?})"))
            }
            Fault::CrashAll(death) => (Class::Crash, None, format!("everybody crashes ({death:?})")),
            Fault::Pause(node) => at(Class::Pause, node, "paused"),
            Fault::SlowDisk(node, times) => at(Class::Disk, node, &format!("disk {times} × slower")),
            Fault::StuckDisk(node) => at(Class::Disk, node, "disk stuck"),
            Fault::SlowApplier(node, times) => at(Class::Applier, node, &format!("applier {times} × slower")),
            Fault::HungApplier(node) => at(Class::Applier, node, "applier hangs"),
            Fault::FullDisk(node, _) => at(Class::Disk, node, "disk full"),
            Fault::FailSync(node, _) => at(Class::Disk, node, "a sync will fail"),
            Fault::FailOperation(node, _) => at(Class::Disk, node, "a disk operation will fail"),
            Fault::FlipBit(node) => at(Class::Damage, node, "a bit of an old record flips"),
            Fault::Misdirect(node) => at(Class::Damage, node, "a misdirected write hits an old record"),
            Fault::Replace(node) => at(Class::Damage, node, "disk lost and replaced by an empty one"),
            Fault::Restore(node) => at(Class::Rollback, node, "disk set back to an earlier copy"),
            Fault::Jump(node, ahead) => {
                at(Class::Clock, node, &format!("clock jumps {} ms ahead", ahead / MS))
            }
            Fault::Drift(node, rate) => at(Class::Clock, node, &format!("clock goes {rate} µs a second")),
        }
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.portrait().0
    }

    /// The node it strikes, if it is one.
    pub fn node(&self) -> Option<NodeId> {
        self.portrait().1
    }
}

/// Links for people: `cut: n1→n2 n2→n1`.
pub(crate) fn describe_links(verb: &str, links: &[Link]) -> String {
    let names: Vec<String> = links.iter().map(|(from, to)| format!("{from}→{to}")).collect();
    format!("{verb}: {}", names.join(" "))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.portrait().2)
    }
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins, in nanoseconds.
    pub at: u64,
    /// How long it lasts.
    pub lasts: u64,
    /// What.
    pub fault: Fault,
}

/// How clients behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHabits {
    /// How often a reply is lost, per mille; the client asks again.
    pub reply_loss: u64,
    /// How often a client takes long to read its reply, per mille.
    pub slow_reader: u64,
    /// How often a request is as large as it may be, per mille.
    pub large: u64,
}

/// Everything that goes wrong in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All the time, until the faults stop.
    pub weather: Weather,
    /// All the time, until the faults stop.
    pub clients: ClientHabits,
    /// The rates of the nodes' clocks at the start, in order.
    pub rates: Vec<u64>,
    /// From time to time.
    pub faults: Vec<Planned>,
}

impl Plan {
    /// A plan without faults.
    pub fn calm(nodes: &[NodeId]) -> Plan {
        Plan {
            weather: Weather::FAIR,
            clients: ClientHabits { reply_loss: 0, slow_reader: 0, large: 0 },
            rates: vec![STEADY; nodes.len()],
            faults: Vec::new(),
        }
    }

    /// The plan of `seed` for `nodes`: faults begin after `from` and before `until`.
    pub fn draw(seed: u64, profile: Profile, nodes: &[NodeId], from: u64, until: u64) -> Plan {
        let mut random = Random::new(seed, "swarm");
        let mut plan = Plan::calm(nodes);
        let on = |random: &mut Random, class| random.chance(600) && profile.allows(class);
        if on(&mut random, Class::Loss) {
            plan.weather.loss = random.skewed(300);
        }
        if on(&mut random, Class::Duplicate) {
            plan.weather.duplicate = random.skewed(300);
        }
        if on(&mut random, Class::Replay) {
            plan.weather.replay = random.skewed(100);
        }
        if on(&mut random, Class::Delay) {
            plan.weather.delay = random.skewed(20 * MS);
            plan.weather.jitter = random.skewed(150 * MS);
        }
        if on(&mut random, Class::Client) {
            let (reply_loss, slow_reader) = (random.skewed(200), random.skewed(200));
            plan.clients = ClientHabits { reply_loss, slow_reader, large: random.skewed(40) };
        }
        if on(&mut random, Class::Clock) {
            // A thousandth is twenty times what real clocks are off by.
            plan.rates = nodes.iter().map(|_| random.between(STEADY - 1_000, STEADY + 1_000)).collect();
        }
        // Who may lose data for good: never so many that no quorum is left, unless that is what is tried.
        let spare = if profile == Profile::Beyond { nodes.len() } else { (nodes.len() - 1) / 2 };
        let doomed = random.sample(nodes, spare);
        for (class, every) in TIMED {
            if on(&mut random, *class) {
                let mut draw = Draw { random: Random::new(seed, &class.to_string()), nodes, doomed: &doomed };
                let every = every << random.below(4);
                draw.times(*class, every, from, until, &mut plan.faults);
            }
        }
        plan.faults.sort_by_key(|planned| planned.at);
        plan
    }

    /// Leaves classes out.
    #[must_use]
    pub fn without(mut self, classes: &[Class]) -> Plan {
        for class in classes {
            match class {
                Class::Loss => self.weather.loss = 0,
                Class::Duplicate => self.weather.duplicate = 0,
                Class::Replay => self.weather.replay = 0,
                Class::Delay => {
                    (self.weather.delay, self.weather.jitter) = (Weather::FAIR.delay, Weather::FAIR.jitter);
                }
                Class::Client => {
                    self.clients = ClientHabits { reply_loss: 0, slow_reader: 0, large: 0 };
                }
                Class::Clock => self.rates.fill(STEADY),
                _ => {}
            }
        }
        self.faults.retain(|planned| !classes.contains(&planned.fault.class()));
        self
    }
}

/// Classes whose faults come and go, and how often one begins when they are frequent. A new one goes to the end: what is
/// drawn for the others stays the same.
const TIMED: &[(Class, u64)] = &[
    (Class::Clog, 700 * MS),
    (Class::Cut, 700 * MS),
    (Class::Crash, 500 * MS),
    (Class::Pause, 700 * MS),
    (Class::Disk, 700 * MS),
    (Class::Damage, 2_000 * MS),
    (Class::Clock, 1_000 * MS),
    (Class::Applier, 1_000 * MS),
    (Class::Rollback, 8_000 * MS),
];

struct Draw<'a> {
    random: Random,
    nodes: &'a [NodeId],
    doomed: &'a [NodeId],
}

impl Draw<'_> {
    fn times(&mut self, class: Class, every: u64, from: u64, until: u64, faults: &mut Vec<Planned>) {
        let mut at = from + self.random.below(every);
        while at < until {
            if let Some(fault) = self.fault(class) {
                let lasts = self.lasts(class);
                faults.push(Planned { at, lasts, fault });
            }
            at += 1 + self.random.below(2 * every);
        }
    }

    fn lasts(&mut self, class: Class) -> u64 {
        match class {
            Class::Pause => 20 * MS + self.random.skewed(3_000 * MS),
            Class::Crash => 5 * MS + self.random.skewed(2_000 * MS),
            // Whoever could tell may die meanwhile.
            Class::Rollback => 5 * MS + self.random.skewed(500 * MS),
            Class::Clog => 50 * MS + self.random.skewed(3_000 * MS),
            _ => 100 * MS + self.random.skewed(4_000 * MS),
        }
    }

    fn node(&mut self) -> NodeId {
        *self.random.pick(self.nodes)
    }

    fn death(&mut self) -> Death {
        *self.random.pick(&[Death::Process, Death::Power])
    }

    fn fault(&mut self, class: Class) -> Option<Fault> {
        let node = self.node();
        Some(match class {
            Class::Cut => self.cut(),
            Class::Clog => {
                let links = between(self.nodes, self.nodes);
                let count = usize::try_from(self.random.between(1, 6)).expect("small");
                Fault::Clog(self.random.sample(&links, count))
            }
            Class::Crash => self.crash(),
            Class::Pause => Fault::Pause(node),
            Class::Disk => match self.random.below(6) {
                0 | 1 => Fault::SlowDisk(node, 1 << self.random.between(2, 7)),
                2 => Fault::StuckDisk(node),
                3 => Fault::FullDisk(node, self.random.skewed(4_000)),
                4 => Fault::FailSync(node, self.random.below(4)),
                _ => Fault::FailOperation(node, self.random.below(12)),
            },
            Class::Applier => match self.random.below(3) {
                0 => Fault::HungApplier(node),
                _ => Fault::SlowApplier(node, 1 << self.random.between(4, 12)),
            },
            Class::Damage => {
                if self.doomed.is_empty() {
                    return None;
                }
                let node = *self.random.pick(self.doomed);
                match self.random.below(5) {
                    0 | 1 => Fault::FlipBit(node),
                    2 | 3 => Fault::Misdirect(node),
                    _ => Fault::Replace(node),
                }
            }
            Class::Rollback if self.doomed.is_empty() => return None,
            Class::Rollback => Fault::Restore(*self.random.pick(self.doomed)),
            Class::Clock => match self.random.below(3) {
                0 => Fault::Jump(node, self.random.skewed(10_000 * MS)),
                1 => Fault::Jump(node, self.random.skewed(3_600_000 * MS)),
                _ => Fault::Drift(node, self.random.between(STEADY - 50_000, STEADY + 50_000)),
            },
            Class::Loss | Class::Duplicate | Class::Delay | Class::Replay | Class::Client => return None,
        })
    }

    fn crash(&mut self) -> Fault {
        let death = self.death();
        if self.random.chance(80) {
            return Fault::CrashAll(death);
        }
        let point = match self.random.below(3) {
            0 => Point::Now,
            1 => Point::Effects(self.random.below(12)),
            _ => Point::DiskOperations(self.random.below(12)),
        };
        Fault::Crash(self.node(), death, point)
    }

    fn cut(&mut self) -> Fault {
        let shuffled = self.random.sample(self.nodes, self.nodes.len());
        let at = usize::try_from(self.random.between(1, self.nodes.len() as u64 - 1)).expect("small");
        let (left, right) = shuffled.split_at(at);
        match self.random.below(7) {
            0 | 1 => Fault::Cut("groups", between(left, right)),
            2 => {
                let one_way = |link: &Link| left.contains(&link.0);
                Fault::Cut("one way", between(left, right).into_iter().filter(one_way).collect())
            }
            3 => {
                let links = between(self.nodes, self.nodes);
                let count = usize::try_from(self.random.between(1, links.len() as u64 / 2)).expect("small");
                Fault::Cut("some links", self.random.sample(&links, count))
            }
            4 => Fault::Cut("quorum loss", quorum_loss(shuffled[0], self.nodes)),
            5 => {
                Fault::Cut("constrained election", constrained_election(shuffled[0], shuffled[1], self.nodes))
            }
            _ => Fault::Cut("chained", chained(&shuffled)),
        }
    }
}

/// Everybody is connected to `hub` alone (OmniPaxos, EuroSys '23, §2).
pub fn quorum_loss(hub: NodeId, nodes: &[NodeId]) -> Vec<Link> {
    let links = between(nodes, nodes).into_iter();
    links.filter(|(from, to)| *from != hub && *to != hub).collect()
}

/// Everybody is connected to `hub` alone, and `leader` to nobody: only `hub` can lead, and its log may be behind
/// (OmniPaxos, EuroSys '23, §2).
pub fn constrained_election(hub: NodeId, leader: NodeId, nodes: &[NodeId]) -> Vec<Link> {
    let links = between(nodes, nodes).into_iter();
    let cut = |(from, to): &Link| (*from != hub && *to != hub) || *from == leader || *to == leader;
    links.filter(cut).collect()
}

/// Each node is connected to its neighbours only (OmniPaxos, EuroSys '23, §2).
pub fn chained(nodes: &[NodeId]) -> Vec<Link> {
    let place = |node: NodeId| nodes.iter().position(|other| *other == node).expect("one of them");
    let links = between(nodes, nodes).into_iter();
    links.filter(|(from, to)| place(*from).abs_diff(place(*to)) > 1).collect()
}
