//! How a member opens its data: the steps, in the order in which a crash between any two of them is harmless.
//!
//! 1. The identity file is the first that is ever written, so data without one was not written by a member.
//! 2. The journal is made before the roster is held. So a roster without a journal means that the journal was lost, and
//!    records without a roster that the roster was.
//! 3. The start is counted last, durably: whatever is sent carries it.

use std::io;

use synod_journal::atomic::write_atomically;
use synod_journal::format::segment_number;
use synod_journal::{self as journal, DirectoryDisk, Files, Journal};
use synod_paxos::node::Incarnation;
use synod_paxos::time::Time;
use synod_probe::mark;
use thiserror::Error;

use super::disk::DiskId;
use super::file::{self, Held, Identity};
use super::roster::Roster;
use crate::checkpoint::LoadedCheckpoint;
use crate::checkpoint_files::{self, Checkpoints, LoadError};

/// What is drawn at random for a start.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The identity that the disk gets if it has none.
    pub disk: DiskId,
    /// This start's nonce.
    pub nonce: u64,
}

/// An open directory, with its newest start counted.
#[derive(Debug)]
pub struct Opened {
    /// What the disk says of itself. The last start is this one.
    pub identity: Identity,
    /// This start.
    pub incarnation: Incarnation,
    /// The journal, ready to be written.
    pub journal: Journal,
    /// What the journal held.
    pub recovered: journal::Recovered,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
    /// The state of the newest one.
    pub loaded: LoadedCheckpoint,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
    /// The identity file cannot be read.
    #[error("the identity cannot be read: {0}")]
    Identity(String),
    /// There is data, but no identity.
    #[error("the identity is missing")]
    NoIdentity,
    /// There is nothing of a member.
    #[error("there is no data of a member")]
    Empty,
    /// There is a roster, but no journal.
    #[error("the journal is gone")]
    NoJournal,
    /// There are records or a checkpoint, but no roster.
    #[error("the roster is gone")]
    NoRoster,
    /// A member of the same roster refused this disk in an earlier start.
    #[error("{0}")]
    Refused(String),
    /// The newest checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] LoadError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
}

/// What the directory says of itself; nothing if it is empty. Changes nothing.
///
/// # Errors
/// If the identity is missing or unreadable, or the disk fails.
pub fn read(files: &Files) -> Result<Option<Identity>, DirectoryError> {
    let mut disk = files.disk()?;
    let names = disk.list()?;
    if names.iter().any(|name| name == file::NAME) {
        let text = String::from_utf8(disk.read(file::NAME)?).map_err(|_| "it is no text".to_owned());
        return text.and_then(|text| Identity::decode(&text)).map(Some).map_err(DirectoryError::Identity);
    }
    if names.iter().any(|name| is_segment(name) || is_checkpoint(name)) {
        return Err(DirectoryError::NoIdentity);
    }
    Ok(None)
}

fn is_segment(name: &str) -> bool {
    segment_number(name).is_some()
}

fn is_checkpoint(name: &str) -> bool {
    checkpoint_files::parse(name).is_some()
}

/// Opens a directory, or makes it. When this returns, the new start is durable.
///
/// # Errors
/// If what the directory holds makes no member, or the disk fails.
pub fn open(
    files: &Files,
    options: journal::Options,
    part_bytes: usize,
    drawn: Drawn,
    now: Time,
) -> Result<Opened, DirectoryError> {
    let mut identity = match read(files)? {
        Some(identity) => identity,
        None => {
            let identity = Identity::new(drawn.disk);
            write(files, &identity)?;
            identity
        }
    };
    if let Some(reason) = identity.refused {
        return Err(DirectoryError::Refused(reason));
    }
    let roster = identity.held.as_ref().map(|held| held.roster.clone());
    let names = files.disk()?.list()?;
    if roster.is_some() && !names.iter().any(|name| is_segment(name)) {
        return Err(DirectoryError::NoJournal);
    }
    if roster.is_none() && names.iter().any(|name| is_checkpoint(name)) {
        return Err(DirectoryError::NoRoster);
    }
    let checkpoints = Checkpoints::open(files.clone(), roster.clone(), part_bytes, now)?;
    let loaded = checkpoints.load_newest()?;
    let options = journal::Options { covered: Some(loaded.slot().0), ..options };
    let (journal, recovered) = open_journal(files, identity.disk, options)?;
    if roster.is_none() && (recovered.state.is_some() || !recovered.records.is_empty()) {
        return Err(DirectoryError::NoRoster);
    }
    let registered = loaded.registered().find(|(node, _)| *node == identity.disk.node());
    let incarnation = identity.count_start(drawn.nonce, registered.map(|(_, incarnation)| incarnation));
    write(files, &identity)?;
    Ok(Opened { identity, incarnation, journal, recovered, checkpoints, loaded })
}

/// The disk's identity stands in every segment, so that one from another disk is noticed.
fn open_journal(
    files: &Files,
    disk: DiskId,
    options: journal::Options,
) -> Result<(Journal, journal::Recovered), DirectoryError> {
    let (upper, lower) = ((disk.bits() >> 64) as u64, disk.bits() as u64);
    let identity = journal::Identity { cluster: upper, node: lower };
    Ok(match files {
        Files::Memory(disk) => Journal::open(disk.clone(), identity, options)?,
        Files::Directory(path) => Journal::open(DirectoryDisk::new(path)?, identity, options)?,
    })
}

fn write(files: &Files, identity: &Identity) -> io::Result<()> {
    write_atomically(&mut *files.disk()?, file::NAME, identity.encode().as_bytes())
}

/// Holds the founding roster from now on, durably.
///
/// # Errors
/// If the disk fails.
///
/// # Panics
/// If another one is held: a disk holds one founding roster, forever.
pub fn hold(files: &Files, identity: &mut Identity, token: &str, roster: Roster) -> io::Result<()> {
    assert!(
        identity.held.as_ref().is_none_or(|held| held.roster == roster),
        "a second founding roster for one disk: {:?} and {roster:?}",
        identity.held
    );
    mark!(RosterHeld);
    identity.held = Some(Held { token: token.to_owned(), roster });
    write(files, identity)
}

/// Remembers that a member of the same roster refused this disk. It is not started again.
///
/// # Errors
/// If the disk fails.
pub fn refuse(files: &Files, identity: &mut Identity, reason: &str) -> io::Result<()> {
    identity.refused = Some(reason.to_owned());
    write(files, identity)
}

/// Forgets that this disk was refused, because its operator says so. Returns the reason that was kept, if there was one.
///
/// # Errors
/// If there is no identity that can be read, or the disk fails.
pub fn lift(files: &Files) -> Result<Option<String>, DirectoryError> {
    let mut identity = read(files)?.ok_or(DirectoryError::Empty)?;
    let reason = identity.refused.take();
    if reason.is_some() {
        write(files, &identity)?;
    }
    Ok(reason)
}
