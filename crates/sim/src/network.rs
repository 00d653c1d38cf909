//! The network: it loses, delays, repeats, reorders, clogs and cuts.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use synod_paxos::node::NodeId;

use crate::random::Random;

/// One direction between two nodes.
pub type Link = (NodeId, NodeId);

/// How bad the network is all the time. Probabilities are per mille, times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// How often a message is lost.
    pub loss: u64,
    /// How often one arrives twice.
    pub duplicate: u64,
    /// How often one that was sent long ago arrives once more.
    pub replay: u64,
    /// How long every message takes at least.
    pub delay: u64,
    /// How much longer it may take, mostly much less. Messages overtake each other by it.
    pub jitter: u64,
}

impl Weather {
    /// A good network: a fifth of a millisecond, give or take a little, and nothing lost.
    pub const FAIR: Weather = Weather { loss: 0, duplicate: 0, replay: 0, delay: 200_000, jitter: 100_000 };
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its name in the trace.
    pub message: u64,
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// Which run of the receiver's program it was sent to.
    pub run: u64,
    /// What.
    pub frame: Bytes,
}

/// A link of a certain length.
#[derive(Clone, Copy, Debug)]
struct Distance {
    delay: u64,
    /// When the last letter arrives: a connection hands them over in order.
    busy_until: u64,
}

/// All links between the nodes.
#[derive(Debug)]
pub struct Network {
    /// How it is now.
    pub weather: Weather,
    random: Random,
    /// How many faults cut a link at the moment.
    cuts: BTreeMap<Link, u32>,
    clogs: BTreeMap<Link, u32>,
    waiting: BTreeMap<Link, Vec<Letter>>,
    /// Links that take a time of their own, and keep the order.
    distances: BTreeMap<Link, Distance>,
    /// Some of what was sent, to be replayed.
    old: VecDeque<Letter>,
}

/// How many old messages are remembered.
const OLD_MAX: usize = 200;

impl Network {
    /// A whole network.
    pub fn new(weather: Weather, random: Random) -> Network {
        Network {
            weather,
            random,
            cuts: BTreeMap::new(),
            clogs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            distances: BTreeMap::new(),
            old: VecDeque::new(),
        }
    }

    /// Whether nothing gets through.
    pub fn is_cut(&self, link: Link) -> bool {
        self.cuts.contains_key(&link)
    }

    /// Cuts links.
    pub fn cut(&mut self, links: &[Link]) {
        for link in links {
            *self.cuts.entry(*link).or_default() += 1;
        }
    }

    /// Takes back one `cut` of each.
    pub fn join(&mut self, links: &[Link]) {
        for link in links {
            release(&mut self.cuts, *link);
        }
    }

    /// Holds back what is sent on links from now on.
    pub fn clog(&mut self, links: &[Link]) {
        for link in links {
            *self.clogs.entry(*link).or_default() += 1;
        }
    }

    /// Takes back one `clog` of each; returns what was held back.
    pub fn unclog(&mut self, links: &[Link]) -> Vec<Letter> {
        let mut released = Vec::new();
        for link in links {
            if release(&mut self.clogs, *link) {
                released.append(&mut self.waiting.remove(link).unwrap_or_default());
            }
        }
        released
    }

    /// When copies of a letter sent at `now` arrive; none if it is lost. A letter that is held back comes out of
    /// [`Network::unclog`].
    pub fn send(&mut self, now: u64, letter: &Letter) -> Vec<u64> {
        let link = (letter.from, letter.to);
        if self.is_cut(link) || self.random.chance(self.weather.loss) {
            return Vec::new();
        }
        if self.clogs.contains_key(&link) {
            self.waiting.entry(link).or_default().push(letter.clone());
            return Vec::new();
        }
        self.remember(letter);
        let copies = if self.random.chance(self.weather.duplicate) { 2 } else { 1 };
        (0..copies).map(|_| self.arrival(now, link)).collect()
    }

    /// From now on what is sent on `link` takes `delay` nanoseconds, and the weather's jitter more, and arrives in order.
    pub fn set_distance(&mut self, link: Link, delay: u64) {
        self.distances.insert(link, Distance { delay, busy_until: 0 });
    }

    fn arrival(&mut self, now: u64, link: Link) -> u64 {
        let usual = now + self.delay();
        let Some(distance) = self.distances.get_mut(&link) else { return usual };
        let at = usual - self.weather.delay + distance.delay;
        distance.busy_until = distance.busy_until.max(at);
        distance.busy_until
    }

    /// How long a message takes.
    pub fn delay(&mut self) -> u64 {
        self.weather.delay + self.random.skewed(self.weather.jitter.max(1))
    }

    fn remember(&mut self, letter: &Letter) {
        if self.old.len() >= OLD_MAX {
            // Not the oldest: some must become very old.
            let index = usize::try_from(self.random.below(OLD_MAX as u64)).expect("an index");
            self.old.swap_remove_back(index);
        }
        self.old.push_back(letter.clone());
    }

    /// Now and then, a letter of long ago.
    pub fn replay(&mut self) -> Option<Letter> {
        if self.old.is_empty() || !self.random.chance(self.weather.replay) {
            return None;
        }
        let index = usize::try_from(self.random.below(self.old.len() as u64)).expect("an index");
        self.old.get(index).cloned()
    }
}

/// Takes one from a count; whether none is left.
fn release(counts: &mut BTreeMap<Link, u32>, link: Link) -> bool {
    let Some(count) = counts.get_mut(&link) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(&link);
        return true;
    }
    false
}

/// Both directions of every pair of one of `left` and one of `right`.
pub fn between(left: &[NodeId], right: &[NodeId]) -> Vec<Link> {
    let mut links = Vec::new();
    for a in left {
        for b in right {
            if a != b {
                links.extend([(*a, *b), (*b, *a)]);
            }
        }
    }
    links
}
