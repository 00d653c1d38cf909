//! A machine: a program, its disk, its clock, and what is wrong with it at the moment.

use std::collections::{BTreeMap, VecDeque};

use synod_journal::MemoryDisk;
use synod_paxos::node::NodeId;
use synod_paxos::time::Time;

use crate::clock::Clock;
use crate::copies::{Copies, Copy};
use crate::program::{Program, Queue, WorkId};
use crate::random::Random;

/// What a death takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process: what it wrote is still in the system's cache.
    Process,
    /// The power: what was not synced is lost, torn, or there although what came before it is not.
    Power,
}

/// What is to happen to a running program a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doom {
    /// It dies when it has been asked for so many more outputs.
    pub effects: Option<u64>,
    /// How it dies, also if its disk stops first.
    pub death: Death,
}

/// What does a program's work beside it: its disk, or its applier.
#[derive(Debug)]
pub struct Worker {
    /// How many times longer everything takes.
    pub slow: u64,
    /// Reasons for it to do nothing.
    pub stuck: u32,
    /// What it was to do since then.
    pub waiting: Vec<(Queue, WorkId)>,
}

impl Worker {
    const IDLE: Worker = Worker { slow: 1, stuck: 0, waiting: Vec::new() };
}

/// Time in which nothing keeps a program from its work: it is not paused, and neither its disk nor its applier stands
/// still.
#[derive(Clone, Copy, Debug)]
struct Stopwatch {
    /// It showed this
    shown: u64,
    /// at this moment of simulated time,
    since: u64,
    /// and runs, or not.
    runs: bool,
}

/// One machine of the world.
#[derive(Debug)]
pub struct Machine<P> {
    /// Which.
    pub id: NodeId,
    /// Its clock.
    pub clock: Clock,
    /// Its disk.
    pub disk: MemoryDisk,
    /// How often an empty disk has replaced its disk,
    pub replaced: u64,
    /// and how often it had when this one was put in: an earlier copy may be of an earlier disk.
    pub generation: u64,
    /// Whether an earlier copy has replaced its disk, which has forgotten what came after.
    pub set_back: bool,
    /// Earlier copies of its disk.
    pub copies: Copies,
    /// Its program, if it runs.
    pub program: Option<P>,
    /// When its program wants to be woken, as it said when it was last settled: asking every program after every event
    /// would take a tenth of a run.
    pub timeout: Option<Time>,
    /// How often it was started: what was meant for an earlier run is dropped.
    pub boots: u64,
    /// Reasons for it to be down.
    pub held_down: u32,
    /// Reasons for it to be paused.
    pub paused: u32,
    /// What does the work of its disk.
    pub writer: Worker,
    /// What does the work of its state machine.
    pub applier: Worker,
    stopwatch: Stopwatch,
    /// How it will die soon.
    pub doom: Option<Doom>,
    /// Whether something that was synced long ago was damaged.
    pub damaged: bool,
    /// Why it will not come back unless its disk is replaced: that was damaged, lost or set back.
    pub gone: Option<String>,
    /// When each queue is free again.
    pub free_at: BTreeMap<Queue, u64>,
    /// When the last work of each queue is reported as done: reports arrive in the order of the work.
    pub reported_at: BTreeMap<Queue, u64>,
    /// Sizes of the synced files some writes of the journal ago: what is in them is old.
    pub old: VecDeque<Vec<(String, usize)>>,
    /// Its own randomness.
    pub random: Random,
}

/// How many writes of the journal make a record old. Damage to its last batch cannot be told from a torn tail: only a
/// later batch says that it was synced.
const WRITES_UNTIL_OLD: usize = 3;

/// Bits of a disk's identity that are its first machine's address.
const ADDRESS_BITS: u32 = 16;

impl<P: Program> Machine<P> {
    /// A machine that is off, with an empty disk.
    pub fn new(id: NodeId, clock: Clock, random: Random, copies: Random) -> Machine<P> {
        Machine {
            id,
            clock,
            disk: MemoryDisk::new(),
            replaced: 0,
            generation: 0,
            set_back: false,
            copies: Copies::new(copies),
            program: None,
            timeout: None,
            boots: 0,
            held_down: 0,
            paused: 0,
            writer: Worker::IDLE,
            applier: Worker::IDLE,
            stopwatch: Stopwatch { shown: 0, since: 0, runs: true },
            doom: None,
            damaged: false,
            gone: None,
            free_at: BTreeMap::new(),
            reported_at: BTreeMap::new(),
            old: VecDeque::new(),
            random,
        }
    }

    /// What does the work of a queue.
    pub fn worker(&mut self, queue: Queue) -> &mut Worker {
        match queue {
            Queue::Apply => &mut self.applier,
            Queue::Journal | Queue::Checkpoint | Queue::Transfer => &mut self.writer,
        }
    }

    /// How long nothing has kept the program from its work, over all runs.
    pub fn unhindered(&self, now: u64) -> u64 {
        let Stopwatch { shown, since, runs } = self.stopwatch;
        if runs { shown + (now - since) } else { shown }
    }

    /// At `now` something began or ceased to keep the program from its work.
    pub fn keep_time(&mut self, now: u64) {
        let runs = self.paused == 0 && self.writer.stuck == 0 && self.applier.stuck == 0;
        self.stopwatch = Stopwatch { shown: self.unhindered(now), since: now, runs };
    }

    /// The identity for its disk, if that has none yet.
    pub fn disk_id(&self) -> u128 {
        let low = self.node_id().0;
        let high = Random::new(low, "disk").number() | 1;
        (u128::from(high) << 64) | u128::from(low)
    }

    /// The half of the disk's identity that names it in a roster.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.id.0 + (self.generation << ADDRESS_BITS))
    }

    /// The program stops; the disk is left as this death leaves it.
    pub fn die(&mut self, death: Death) {
        self.program = None;
        self.doom = None;
        self.writer.waiting.clear();
        self.applier.waiting.clear();
        self.free_at.clear();
        self.reported_at.clear();
        if death == Death::Power {
            let (kept, random) = (self.random.below(3), &mut self.random);
            let changes = usize::try_from(kept).expect("small").min(self.disk.unsynced_directory_changes());
            self.disk = self.disk.after_tearing_crash(changes, |_, unsynced| tear(random, unsynced));
        }
        self.disk.repair();
    }

    /// A copy is kept, of something that a disk with an identity holds.
    pub fn keep_copy(&mut self) {
        self.copies.keep(Copy::of(&self.disk, self.generation, self.damaged));
    }

    /// An empty disk, or an earlier copy, replaces its disk.
    pub fn put_in(&mut self, copy: Option<Copy>) {
        self.set_back = copy.is_some();
        self.replaced += u64::from(copy.is_none());
        let empty = || Copy { disk: MemoryDisk::new(), generation: self.replaced, damaged: false };
        let Copy { disk, generation, damaged } = copy.unwrap_or_else(empty);
        (self.disk, self.generation, self.damaged) = (disk, generation, damaged);
        self.gone = None;
        self.old.clear();
    }

    /// Whether its disk ever was anything else than what its programs made of it.
    pub fn is_suspect(&self) -> bool {
        self.damaged || self.set_back || self.replaced > 0
    }

    /// Remembers what is synced now.
    pub fn note_synced(&mut self) {
        let synced = self.disk.synced();
        if self.old.back().is_some_and(|last| journal(last).eq(journal(&synced))) {
            return;
        }
        self.old.push_back(synced);
        if self.old.len() > WRITES_UNTIL_OLD {
            self.old.pop_front();
        }
    }

    /// A file, a place in it, and up to where everything in it was synced long ago: behind the place.
    pub fn old_place(&mut self) -> Option<(String, usize, usize)> {
        if self.old.len() < WRITES_UNTIL_OLD {
            return None;
        }
        // A file may have gone since, or become shorter.
        let now: BTreeMap<String, usize> = self.disk.synced().into_iter().collect();
        let old = self.old.front()?.iter();
        let left = old.filter_map(|(name, size)| Some((name, *size.min(now.get(name)?))));
        // The identity and leftovers are not what is tested here.
        let named = |name: &str| name.contains('-') && !name.ends_with(".tmp");
        let files: Vec<(&String, usize)> = left.filter(|(name, size)| *size > 0 && named(name)).collect();
        if files.is_empty() {
            return None;
        }
        let (name, size) = self.random.pick(&files);
        let (name, size) = ((*name).clone(), *size);
        let offset = usize::try_from(self.random.below(size as u64)).expect("an offset");
        Some((name, offset, size))
    }
}

/// What of these files belongs to the journal.
fn journal(files: &[(String, usize)]) -> impl Iterator<Item = &(String, usize)> {
    files.iter().filter(|(name, _)| name.starts_with("journal-"))
}

/// What a power failure does to bytes that were not synced: it keeps a part, loses whole sectors in the middle, or
/// leaves garbage in them.
fn tear(random: &mut Random, unsynced: &mut Vec<u8>) {
    const SECTOR: usize = 64;
    if random.chance(300) {
        return;
    }
    let kept = usize::try_from(random.below(unsynced.len() as u64 + 1)).expect("a length");
    if random.chance(500) {
        unsynced.truncate(kept);
    }
    if random.chance(400) {
        for sector in unsynced.chunks_mut(SECTOR) {
            if random.chance(300) {
                let garbage = if random.chance(500) { 0 } else { random.number().to_le_bytes()[0] };
                sector.fill(garbage);
            }
        }
    }
}
