//! A member's data directory.
//!
//! ```text
//! lock                         held while a process uses the directory
//! identity                     which disk this is, its starts, the founding roster
//! checkpoint-<slot>            the state at a slot
//! *.tmp                        unfinished; those of checkpoints are removed at the next start
//! everything else              segments of the journal
//! ```
//! The files lie side by side, so that one sync of the directory covers them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use parking_lot::Mutex;
use synod_journal::filesystem::filesystem;
use synod_journal::{DataDirLock, Files, Journal, Options, Recovered};
use synod_member::checkpoint::LoadedCheckpoint;
use synod_member::checkpoint_files::{self, Checkpoints};
use synod_member::identity::directory::{self, DirectoryError, Drawn};
use synod_member::identity::disk::DiskId;
use synod_member::identity::file::Identity;
use synod_member::identity::roster::Roster;
use tracing::warn;

use crate::clock;
use crate::cluster::Founding;
use crate::member::Storage;
use crate::start_error::StartError;

/// An open data directory, locked, with its start counted.
#[derive(Debug)]
pub(crate) struct DataDir {
    files: Files,
    token: String,
    identity: Mutex<Identity>,
    checkpoints: Checkpoints,
    /// None for one in memory, which no other process can reach.
    _lock: Option<DataDirLock>,
}

/// What the directory held.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    pub(crate) journal: Journal,
    pub(crate) recovered: Recovered,
    pub(crate) loaded: LoadedCheckpoint,
}

impl DataDir {
    /// Opens the directory of `name`, or makes it. When this returns, the new start is durable.
    ///
    /// # Errors
    /// If it is in use, belongs to another member or cluster, or its disk does not work.
    pub(crate) fn open(
        storage: &Storage,
        founding: &Founding,
        name: &str,
    ) -> Result<(DataDir, Found), StartError> {
        let (files, lock) = open_files(storage)?;
        let path = files.path();
        let explain = |error| StartError::directory(&path, error);
        if let Some(identity) = directory::read(&files).map_err(explain)? {
            check(&identity, &path, founding, name)?;
        }
        let drawn = Drawn { disk: DiskId::new(rand::random()), nonce: rand::random() };
        let part_bytes = checkpoint_files::PART_BYTES;
        let opened =
            directory::open(&files, Options::default(), part_bytes, drawn, clock::now()).map_err(explain)?;
        let directory::Opened { identity, journal, recovered, checkpoints, loaded, .. } = opened;
        let token = founding.token().to_owned();
        let data_dir =
            DataDir { files, token, identity: Mutex::new(identity.clone()), checkpoints, _lock: lock };
        Ok((data_dir, Found { identity, journal, recovered, loaded }))
    }

    pub(crate) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Holds the founding roster from now on, durably.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn hold(&self, roster: Roster) -> io::Result<()> {
        directory::hold(&self.files, &mut self.identity.lock(), &self.token, roster)
    }

    /// Remembers that the cluster refused this disk, durably.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn refuse(&self, reason: &str) -> io::Result<()> {
        directory::refuse(&self.files, &mut self.identity.lock(), reason)
    }

    /// What was recovered makes no member.
    pub(crate) fn unusable(&self, reason: &dyn std::fmt::Display) -> StartError {
        StartError::Unusable { path: self.files.path(), reason: reason.to_string() }
    }
}

/// Says that other users of the machine can read what clients keep here, if they can. What is made now they cannot.
fn report_readers(path: &Path) -> io::Result<()> {
    let is_open = |metadata: fs::Metadata| metadata.permissions().mode() & 0o077 != 0;
    let mut open = is_open(fs::metadata(path)?);
    for entry in fs::read_dir(path)? {
        // One that is gone by now is no concern.
        open |= entry?.metadata().is_ok_and(is_open);
    }
    if open {
        let path = path.display();
        warn!("other users of this machine may read {path} or files in it: `chmod -R go= {path}` ends that");
    }
    Ok(())
}

fn open_files(storage: &Storage) -> Result<(Files, Option<DataDirLock>), StartError> {
    Ok(match storage {
        Storage::Memory(disk) => (Files::Memory(disk.clone()), None),
        Storage::Directory(path) => {
            let files = Files::Directory(path.clone());
            let disk = |source| StartError::Disk { path: path.clone(), source };
            files.disk().map_err(disk)?;
            let lock = DataDirLock::acquire(path)?;
            report_readers(path).map_err(disk)?;
            warn_if_in_memory(path);
            (files, Some(lock))
        }
    })
}

/// Quorums survive the crash of a minority only if what each of its members acknowledged does.
fn warn_if_in_memory(path: &Path) {
    // A failure is no trouble by itself: this is a courtesy.
    if let Ok(filesystem) = filesystem(path)
        && filesystem.in_memory
    {
        warn!(
            "the data directory {} lies on {}, which is memory: whatever this member acknowledges is lost with the \
             machine's power; choose a directory on a disk",
            path.display(),
            filesystem.name
        );
    }
}

/// Forgets that the cluster refused the disk of `directory`. Returns the reason that was kept, if there was one.
///
/// # Errors
/// If a process uses the directory, it holds no identity, or the disk fails.
pub fn lift_refusal(directory: PathBuf) -> Result<Option<String>, StartError> {
    let files = Files::Directory(directory.clone());
    let explain = |error| StartError::directory(&directory, error);
    // Asked before the lock is taken, which would make a directory that is not there.
    if !directory.is_dir() {
        return Err(explain(DirectoryError::Disk(io::ErrorKind::NotFound.into())));
    }
    let _lock = DataDirLock::acquire(&directory)?;
    directory::lift(&files).map_err(explain)
}

/// Whether the directory is the one that the configuration means. One without a roster has promised nothing, so it
/// may be used for any.
fn check(identity: &Identity, path: &Path, founding: &Founding, name: &str) -> Result<(), StartError> {
    let Some(held) = &identity.held else { return Ok(()) };
    let path = path.to_owned();
    if held.token != founding.token() {
        let (found, wanted) = (held.token.clone(), founding.token().to_owned());
        return Err(StartError::OtherCluster { path, found, wanted });
    }
    let members: Vec<String> = held.roster.members().keys().cloned().collect();
    let wanted: Vec<String> = founding.founders().iter().map(|founder| founder.name.clone()).collect();
    if members != wanted {
        return Err(StartError::OtherMembers { path, members, wanted });
    }
    let found = held.roster.name(identity.disk.node()).unwrap_or_default();
    if found != name {
        return Err(StartError::OtherMember { path, found: found.to_owned(), wanted: name.to_owned() });
    }
    Ok(())
}
