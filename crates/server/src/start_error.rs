//! Why a member did not start, in plain words and with the next step.

use std::io;
use std::path::{Path, PathBuf};

use synod_journal::{LockError, OpenError};
use synod_member::checkpoint_files::LoadError;
use synod_member::identity::directory::DirectoryError;
use thiserror::Error;

use crate::cluster::Url;

/// Why a member did not start. Nothing was changed that a later start could miss.
#[derive(Debug, Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("the {purpose} address {url} cannot be listened on: {}", port_reason(.source))]
    Port {
        /// Whose port.
        purpose: &'static str,
        /// Where.
        url: Url,
        /// Why not.
        source: io::Error,
    },
    /// The system refuses something.
    #[error("the system refuses a thread or a socket: {0}")]
    System(io::Error),
    /// Another process uses the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its disk does not work.
    #[error("the data directory {} cannot be used: {}", path.display(), disk_reason(.source))]
    Disk {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It holds no identity that can be read.
    #[error(
        "{} does not say whose data this is: {reason}. Restore the file from a backup of this very directory, or \
         leave the member stopped: the others go on as long as more than half of the members run", path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds data, but no identity at all.
    #[error(
        "{} holds a journal, but the file that says whose it is ({IDENTITY_FILE}) is missing. Restore it, or choose \
         another data directory", .0.display()
    )]
    NoIdentity(PathBuf),
    /// It holds nothing of a member.
    #[error("{} holds no data of a member", .0.display())]
    Empty(PathBuf),
    /// It belongs to a member that ran before, but its journal is gone.
    #[error(
        "{} belongs to a member that has run before, but its journal is gone, and with it what the member has promised. \
         Restore the files journal-* as they were when it stopped, or leave the member stopped: the others go on as long as \
         more than half of the members run", .0.display()
    )]
    NoJournal(PathBuf),
    /// It holds a journal or a checkpoint, but the founding roster is gone.
    #[error(
        "{} holds votes or a checkpoint, but its file {IDENTITY_FILE} names no roster: it does not say among which \
         disks they count. Restore the file from a backup of this very directory, or choose another directory",
        .0.display()
    )]
    NoRoster(PathBuf),
    /// The cluster refused its disk in an earlier start.
    #[error("the cluster refused the data directory {}: {reason}. {WAY_BACK}", path.display())]
    Refused {
        /// Which directory.
        path: PathBuf,
        /// What a member of the same roster said.
        reason: String,
    },
    /// It belongs to another member.
    #[error("the data directory {} belongs to member \"{found}\", not to \"{wanted}\"", path.display())]
    OtherMember {
        /// Which directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// It belongs to a cluster with another token.
    #[error(
        "the data directory {} belongs to another cluster: its token is \"{found}\", the configuration says \
         \"{wanted}\" (--initial-cluster-token)", path.display()
    )]
    OtherCluster {
        /// Which directory.
        path: PathBuf,
        /// The token of its cluster.
        found: String,
        /// The token configured.
        wanted: String,
    },
    /// It belongs to a cluster with other members.
    #[error(
        "the data directory {} belongs to a cluster of the members {}, the configuration lists {} \
         (--initial-cluster); changing members is not possible in this version",
        path.display(), .members.join(", "), .wanted.join(", ")
    )]
    OtherMembers {
        /// Which directory.
        path: PathBuf,
        /// Who its members are.
        members: Vec<String>,
        /// Who is configured.
        wanted: Vec<String>,
    },
    /// The newest checkpoint cannot be read.
    #[error(
        "the checkpoint {} is damaged: {reason}. What it covers is gone from the journal, so this member must not vote \
         without it. Restore the file from a backup of this very directory, or leave the member stopped: the others \
         go on as long as more than half of the members run", path.display()
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The journal cannot be used.
    #[error("in {}: {source}", path.display())]
    Journal {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenError,
    },
    /// What was recovered makes no member.
    #[error("what the data directory {} holds cannot be used: {reason}", path.display())]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl StartError {
    /// Why the directory at `path` cannot be used.
    pub(crate) fn directory(path: &Path, error: DirectoryError) -> StartError {
        let path = path.to_owned();
        match error {
            DirectoryError::Disk(source) => StartError::Disk { path, source },
            DirectoryError::Identity(reason) => {
                StartError::Identity { path: path.join(IDENTITY_FILE), reason }
            }
            DirectoryError::NoIdentity => StartError::NoIdentity(path),
            DirectoryError::Empty => StartError::Empty(path),
            DirectoryError::NoJournal => StartError::NoJournal(path),
            DirectoryError::NoRoster => StartError::NoRoster(path),
            DirectoryError::Refused(reason) => StartError::Refused { path, reason },
            DirectoryError::Checkpoint(LoadError::Disk { path, source }) => StartError::Disk { path, source },
            DirectoryError::Checkpoint(LoadError::Damaged { path, reason }) => {
                StartError::Checkpoint { path, reason }
            }
            DirectoryError::Journal(source) => StartError::Journal { path, source },
        }
    }

    /// Whether the cluster refuses the member's disk: starting again does not help.
    pub fn is_refusal(&self) -> bool {
        matches!(self, StartError::Refused { .. })
    }
}

/// The file that says whose data a directory holds.
const IDENTITY_FILE: &str = synod_member::identity::file::NAME;

/// What an operator does whose member is refused.
pub(crate) const WAY_BACK: &str = "A member whose disk has forgotten something must not vote with it: acknowledged \
    writes could be lost. If the directory that the member used last still exists, start it on that one. Otherwise leave \
    the member stopped: the others go on as long as more than half of the members run. Replacing a member is not \
    possible in this version; a cluster that has lost more than half is founded anew, from a backup. If you know that the \
    disk has lost nothing, `synod lift-refusal` lets it try again";

fn port_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; another program listens there, perhaps another synod or etcd".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "it takes more rights; ports below 1024 usually do".to_owned(),
        _ => error.to_string(),
    }
}

fn disk_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    }
}
