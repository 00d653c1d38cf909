//! What a replica keeps on its disk.
//!
//! ```text
//! identity       whose data it is, and how often it was started
//! snapshot       state and position; replaced as a whole
//! *.tmp          unfinished
//! the rest       segments of the journal
//! ```

use std::io;

use bytes::Bytes;
use synod_journal::atomic::write_atomically;
use synod_journal::format::segment_number;
use synod_journal::{DirectoryDisk, Disk, Files, Identity, Journal, OpenError, Options};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_probe::mutant;
use thiserror::Error;

const IDENTITY: &str = "identity";
const SNAPSHOT: &str = "snapshot";

/// First line of the identity: its format.
const FORMAT: &str = "synod-replica 1";

/// Whose disk it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Of which node.
    pub node: NodeId,
    /// By which protocol: another one cannot read its records.
    pub protocol: &'static str,
}

/// Why a replica cannot start from its disk.
#[derive(Debug, Error)]
pub enum HomeError {
    /// The disk does not work.
    #[error("the disk fails: {0}")]
    Disk(String),
    /// What it holds was lost, damaged or belongs to somebody else. A replica that forgot a vote must not take part.
    #[error("{0}")]
    Refused(String),
}

impl From<io::Error> for HomeError {
    fn from(error: io::Error) -> HomeError {
        HomeError::Disk(error.to_string())
    }
}

impl From<OpenError> for HomeError {
    fn from(error: OpenError) -> HomeError {
        match error {
            OpenError::Io { .. } | OpenError::Write(_) => HomeError::Disk(error.to_string()),
            _ => HomeError::Refused(error.to_string()),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Which process this is. Durable.
    pub incarnation: Incarnation,
    /// Of the newest snapshot. Every record carries it as its mark in the journal, or an earlier one.
    pub generation: u64,
    /// The newest snapshot; none before the first.
    pub snapshot: Option<Bytes>,
    /// All records, in the order in which they were written.
    pub records: Vec<Bytes>,
}

/// A replica's files.
#[derive(Debug)]
pub struct Home {
    disk: Box<dyn Disk>,
    journal: Journal,
}

impl Home {
    /// Opens the disk, or makes it `owner`'s if it is empty. When this returns, one more start is counted, and
    /// everything found is durable.
    ///
    /// A journal whose segments grow to `segment_bytes` begins another one.
    ///
    /// # Errors
    /// If the disk fails, or something is missing, damaged or somebody else's.
    pub fn open(files: &Files, owner: Owner, segment_bytes: u64) -> Result<(Home, Memory), HomeError> {
        let mut disk = files.disk()?;
        let starts = read_starts(&mut *disk, owner)?;
        let names = disk.list()?;
        if starts == 0 {
            // All files exist before a first start is counted, so one that is missing later was lost.
            write_identity(&mut *disk, owner, 0)?;
            drop(open_journal(files, owner, segment_bytes)?);
            write_snapshot(&mut *disk, 0, &[])?;
        } else if !names.iter().any(|name| segment_number(name).is_some()) {
            return Err(HomeError::Refused("the journal is gone".to_owned()));
        } else if !names.iter().any(|name| name == SNAPSHOT) {
            return Err(HomeError::Refused("the snapshot is gone".to_owned()));
        }
        write_identity(&mut *disk, owner, starts + 1)?;
        let (generation, snapshot) = read_snapshot(&disk.read(SNAPSHOT)?)?;
        let (journal, recovered) = open_journal(files, owner, segment_bytes)?;
        let incarnation = Incarnation::numbered(starts + 1);
        Ok((Home { disk, journal }, Memory { incarnation, generation, snapshot, records: recovered.records }))
    }

    /// Adds `records` to what the next sync makes durable, under the mark of their generation.
    pub fn append(&mut self, mark: u64, records: &[Bytes]) {
        self.journal.append(&[], mark, records);
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// If the disk fails. What it holds then is unknown, so the replica has to stop.
    pub fn sync(&mut self) -> Result<(), HomeError> {
        self.journal.sync().map_err(|error| HomeError::Disk(error.to_string()))
    }

    /// Deletes what the journal holds of generations up to `mark`, in whole segments.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn truncate(&mut self, mark: u64) -> Result<(), HomeError> {
        self.journal.truncate(mark).map(drop).map_err(|error| HomeError::Disk(error.to_string()))
    }

    /// Replaces the snapshot. When this returns, the new one is durable.
    ///
    /// # Errors
    /// If the disk fails. One of the two is there then.
    pub fn write_snapshot(&mut self, generation: u64, snapshot: &[u8]) -> Result<(), HomeError> {
        Ok(write_snapshot(&mut *self.disk, generation, snapshot)?)
    }
}

fn open_journal(
    files: &Files,
    owner: Owner,
    segment_bytes: u64,
) -> Result<(Journal, synod_journal::Recovered), HomeError> {
    let identity = Identity { cluster: owner.cluster.0, node: owner.node.0 };
    let options = Options { segment_bytes, ..Options::default() };
    Ok(match files {
        Files::Memory(disk) => Journal::open(disk.clone(), identity, options)?,
        Files::Directory(path) => Journal::open(DirectoryDisk::new(path)?, identity, options)?,
    })
}

fn identity(owner: Owner, starts: u64) -> String {
    let Owner { cluster, node, protocol } = owner;
    format!("{FORMAT}\ncluster {cluster}\nnode {node}\nprotocol {protocol}\nstart {starts}\n")
}

fn write_identity(disk: &mut dyn Disk, owner: Owner, starts: u64) -> io::Result<()> {
    let text = identity(owner, starts);
    let sum = crc32c::crc32c(text.as_bytes());
    write_atomically(disk, IDENTITY, format!("{text}checksum {sum:08x}\n").as_bytes())
}

/// How often this disk's owner was started; 0 if the disk is empty.
fn read_starts(disk: &mut dyn Disk, owner: Owner) -> Result<u64, HomeError> {
    let names = disk.list()?;
    if !names.iter().any(|name| name == IDENTITY) {
        // The identity is the first file that is written.
        let used = names.iter().any(|name| segment_number(name).is_some() || name == SNAPSHOT);
        return if used { Err(HomeError::Refused("the identity is missing".to_owned())) } else { Ok(0) };
    }
    let damaged = || HomeError::Refused("the identity is damaged".to_owned());
    let text = String::from_utf8(disk.read(IDENTITY)?).map_err(|_| damaged())?;
    let (content, sum) = text.rsplit_once("checksum ").ok_or_else(damaged)?;
    if sum != format!("{:08x}\n", crc32c::crc32c(content.as_bytes())) {
        return Err(damaged());
    }
    let starts = content.trim_end().rsplit(' ').next().and_then(|starts| starts.parse().ok());
    let starts = starts.ok_or_else(damaged)?;
    if content != identity(owner, starts) {
        let said = content.lines().skip(1).take(3).collect::<Vec<_>>().join(", ");
        let what =
            format!("it belongs to {said}, not to {} in {} by {}", owner.node, owner.cluster, owner.protocol);
        return Err(HomeError::Refused(what));
    }
    Ok(starts)
}

/// The generation with its own checksum, then the snapshot, which has one.
fn write_snapshot(disk: &mut dyn Disk, generation: u64, snapshot: &[u8]) -> io::Result<()> {
    let generation = generation.to_le_bytes();
    let sum = crc32c::crc32c(&generation).to_le_bytes();
    write_atomically(disk, SNAPSHOT, &[&generation[..], &sum, snapshot].concat())
}

fn read_snapshot(bytes: &[u8]) -> Result<(u64, Option<Bytes>), HomeError> {
    let damaged = || HomeError::Refused("the snapshot is damaged".to_owned());
    let (generation, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (sum, snapshot) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if *sum != crc32c::crc32c(generation).to_le_bytes() && !mutant!(ChecksumIgnored) {
        return Err(damaged());
    }
    let generation = u64::from_le_bytes(*generation);
    if snapshot.is_empty() && generation > 0 {
        return Err(damaged());
    }
    Ok((generation, (!snapshot.is_empty()).then(|| Bytes::copy_from_slice(snapshot))))
}
