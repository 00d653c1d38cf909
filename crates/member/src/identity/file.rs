//! The identity file: what a disk remembers of itself.
//!
//! ```text
//! synod-identity 2
//! disk 9f…                       128 random bits, drawn when the file was first written
//! start 4 5e…                    a start and its nonce; the last line is the newest start
//! cluster efbb6e60e758ed72       from here on only once a founding roster is held
//! token synod-cluster
//! member a 4541d94aecbf47f1      each member with its disk's node id
//! refused …                      a member of the same roster refused this disk; the reason
//! checksum 01234567
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};

use super::disk::DiskId;
use super::roster::Roster;

/// What the file is called.
pub const NAME: &str = "identity";

/// First line of the file: its format.
const FORMAT: &str = "synod-identity 2";

/// Starts that are kept at most: the first one, and the newest. A start that finds a leader registers itself, so more are
/// only counted by a member that starts again and again without one.
///
/// The first one always stays, for it says how far the own log goes. Without it a disk that was set back would show only
/// starts above the one that the others know as registered, as if its log were the newer one. A disk of which one of the
/// starts in between was registered, and that never learnt of it, is refused: on the side of safety.
const STARTS_MAX: usize = 1_000;

/// The founding roster as a disk holds it, with the token that the cluster was founded under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// What told clusters of the same members apart.
    pub token: String,
    /// The members and their disks. Never changed once it is written.
    pub roster: Roster,
}

/// What a disk remembers of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which disk.
    pub disk: DiskId,
    /// Its starts in order, the newest last: all since, and including, the last one that its own log shows as
    /// registered. Empty before the first start.
    pub starts: Vec<Incarnation>,
    /// The founding roster, once there is one.
    pub held: Option<Held>,
    /// Why a member of the same roster refused this disk, if one did.
    pub refused: Option<String>,
}

impl Identity {
    /// The identity of a disk that was never started.
    pub fn new(disk: DiskId) -> Identity {
        Identity { disk, starts: Vec::new(), held: None, refused: None }
    }

    /// The newest start, if there was one.
    pub fn newest(&self) -> Option<Incarnation> {
        self.starts.last().copied()
    }

    /// Counts one more start, with `nonce`. Starts before `registered`, which the own log shows, are forgotten.
    pub fn count_start(&mut self, nonce: u64, registered: Option<Incarnation>) -> Incarnation {
        let start = self.newest().map_or(0, |newest| newest.start) + 1;
        if let Some(registered) = registered {
            self.starts.retain(|kept| kept.start >= registered.start);
        }
        let incarnation = Incarnation { start, nonce };
        self.starts.push(incarnation);
        let surplus = self.starts.len().saturating_sub(STARTS_MAX);
        self.starts.drain(1..=surplus);
        incarnation
    }

    /// As text.
    pub fn encode(&self) -> String {
        let mut text = format!("{FORMAT}\ndisk {}\n", self.disk);
        for start in &self.starts {
            put(&mut text, format_args!("start {} {:016x}", start.start, start.nonce));
        }
        if let Some(Held { token, roster }) = &self.held {
            put(&mut text, format_args!("cluster {}\ntoken {token}", roster.cluster()));
            for (name, node) in roster.members() {
                put(&mut text, format_args!("member {name} {:016x}", node.0));
            }
        }
        if let Some(reason) = &self.refused {
            put(&mut text, format_args!("refused {}", reason.replace(char::is_control, " ")));
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        text + &format!("checksum {checksum:08x}\n")
    }

    /// # Errors
    /// What is wrong with the text.
    pub fn decode(text: &str) -> Result<Identity, String> {
        if !text.starts_with(FORMAT) {
            return Err(format!("it does not begin with \"{FORMAT}\""));
        }
        let end = text.find("\nchecksum ").ok_or("its checksum is missing")? + 1;
        let (content, checksum) = text.split_at(end);
        if checksum != format!("checksum {:08x}\n", crc32c::crc32c(content.as_bytes())) {
            return Err("its checksum does not match: it was damaged or edited".to_owned());
        }
        if content.contains(|c: char| c.is_control() && c != '\n') {
            return Err("it holds control characters".to_owned());
        }
        let mut fields = Fields::default();
        for line in content.lines().skip(1) {
            fields.take(line).ok_or_else(|| format!("the line \"{line}\" means nothing"))?;
        }
        fields.finish()
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    disk: Option<DiskId>,
    starts: Vec<Incarnation>,
    cluster: Option<ClusterId>,
    token: Option<String>,
    members: BTreeMap<String, NodeId>,
    refused: Option<String>,
}

impl Fields {
    fn take(&mut self, line: &str) -> Option<()> {
        let (key, rest) = line.split_once(' ')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        match key {
            "disk" => self.disk = Some(DiskId::new(u128::from_str_radix(rest, 16).ok()?)),
            "start" => {
                let (start, nonce) = rest.split_once(' ')?;
                self.starts.push(Incarnation { start: start.parse().ok()?, nonce: hex(nonce)? });
            }
            "cluster" => self.cluster = Some(ClusterId(hex(rest)?)),
            "token" => self.token = Some(rest.to_owned()),
            "member" => {
                let (name, node) = rest.split_once(' ')?;
                self.members.insert(name.to_owned(), NodeId(hex(node)?));
            }
            "refused" => self.refused = Some(rest.to_owned()),
            _ => return None,
        }
        Some(())
    }

    fn finish(self) -> Result<Identity, String> {
        let Fields { disk, starts, cluster, token, members, refused } = self;
        let disk = disk.ok_or("the line \"disk\" is missing")?;
        if !starts.is_sorted_by(|earlier, later| earlier.start < later.start) {
            return Err("its starts are out of order".to_owned());
        }
        let held = match (cluster, token) {
            (Some(cluster), Some(token)) => {
                let roster = Roster::new(cluster, members).map_err(|error| error.to_string())?;
                if roster.name(disk.node()).is_none() {
                    return Err("its roster does not name its own disk".to_owned());
                }
                Some(Held { token, roster })
            }
            (None, None) if members.is_empty() => None,
            _ => return Err("its roster is incomplete".to_owned()),
        };
        Ok(Identity { disk, starts, held, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let disk = DiskId::new(0x0123_4567_89ab_cdef_0000_0000_0000_0002);
        let members = [("a", 1), ("b", 2)].map(|(name, node)| (name.to_owned(), NodeId(node)));
        let roster = Roster::new(ClusterId(0xefbb), members).unwrap();
        Identity {
            disk,
            starts: vec![Incarnation { start: 3, nonce: 9 }, Incarnation { start: 4, nonce: 8 }],
            held: Some(Held { token: "synod-cluster".into(), roster }),
            refused: Some("it is\nold".into()),
        }
    }

    #[test]
    fn what_is_written_reads_back_and_every_changed_byte_is_noticed() {
        let text = identity().encode();
        let read = Identity::decode(&text).unwrap();
        assert_eq!(read, Identity { refused: Some("it is old".into()), ..identity() });
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] ^= 1;
            let changed = String::from_utf8(bytes).ok().and_then(|text| Identity::decode(&text).ok());
            assert_eq!(changed, None, "byte {index}");
        }
        let fresh = Identity::new(DiskId::new(5));
        assert_eq!(Identity::decode(&fresh.encode()), Ok(fresh));
    }

    #[test]
    fn starts_are_kept_from_the_registered_one_on_and_never_without_bound() {
        let mut identity = Identity::new(DiskId::new(5));
        for nonce in 0..5 {
            identity.count_start(nonce, None);
        }
        let registered = identity.starts[2];
        let newest = identity.count_start(7, Some(registered));
        assert_eq!(newest, Incarnation { start: 6, nonce: 7 });
        assert_eq!(identity.starts.iter().map(|start| start.start).collect::<Vec<_>>(), [3, 4, 5, 6]);
        for nonce in 0..3_000 {
            identity.count_start(nonce, None);
        }
        assert_eq!((identity.starts.len(), identity.newest().unwrap().start), (1_000, 3_006));
        assert_eq!(identity.starts[0], registered, "how far the own log goes is not forgotten");
    }

    #[test]
    fn a_roster_that_does_not_name_the_disk_is_refused() {
        let text = Identity { disk: DiskId::new(3), ..identity() }.encode();
        assert_eq!(Identity::decode(&text).unwrap_err(), "its roster does not name its own disk");
    }
}
