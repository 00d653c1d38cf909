//! Where replicas stand, and how far that is from each other.

use std::fmt;

use synod_paxos::node::NodeId;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// A place with a replica and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// N. California.
    California,
    /// N. Virginia.
    Virginia,
    /// Ireland.
    Ireland,
    /// Oregon.
    Oregon,
    /// Tokyo.
    Japan,
}

/// Round trips in milliseconds, in the order of [`Site::ALL`]: what `ping` shows between the data centres of Amazon
/// EC2, as the artifact of Gus (NSDI '23, `gus-automation/config.json`) emulates them, for the five sites of the
/// evaluation of EPaxos (SOSP '13, §7.2). The paper itself has its own only in a picture.
const ROUND_TRIPS: [[u64; 5]; 5] = [
    [0, 72, 151, 59, 113],
    [72, 0, 88, 93, 162],
    [151, 88, 0, 145, 220],
    [59, 93, 145, 0, 121],
    [113, 162, 220, 121, 0],
];

impl Site {
    /// All of them. The first three are those of the paper's experiment with three replicas.
    pub const ALL: [Site; 5] = [Site::California, Site::Virginia, Site::Ireland, Site::Oregon, Site::Japan];

    /// Its short name.
    pub fn name(self) -> &'static str {
        match self {
            Site::California => "CA",
            Site::Virginia => "VA",
            Site::Ireland => "IE",
            Site::Oregon => "OR",
            Site::Japan => "JP",
        }
    }

    /// The node that stands there.
    pub fn node(self) -> NodeId {
        NodeId(self as u64 + 1)
    }

    /// The round trip to `other`, in nanoseconds.
    pub fn round_trip(self, other: Site) -> u64 {
        ROUND_TRIPS[self as usize][other as usize] * MS
    }

    /// How long it takes to hear from `quorum` of `sites`, itself included: the round trip to the farthest of the
    /// nearest.
    ///
    /// # Panics
    /// If there are not as many sites.
    pub fn round_trip_to_quorum(self, sites: &[Site], quorum: usize) -> u64 {
        let mut trips: Vec<u64> = sites.iter().map(|other| self.round_trip(*other)).collect();
        trips.sort_unstable();
        trips[quorum - 1]
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
