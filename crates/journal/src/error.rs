//! What can go wrong with a journal, in plain words and with the next step.

use std::io;

use thiserror::Error;

use crate::format::Identity;

/// A journal that can no longer be written. It stays that way until the process starts again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// The disk is full.
    #[error(
        "the disk is full: {file} cannot be written ({reason}). Free some space and start the member again"
    )]
    Full {
        /// Which file.
        file: String,
        /// The system's words.
        reason: String,
    },
    /// A write or a sync failed.
    #[error(
        "{file} cannot be {action} ({reason}). What the disk holds now is unknown, so nothing more is written or \
         tried again. Look after the disk and start the member again"
    )]
    Failed {
        /// Which file.
        file: String,
        /// "written", "synced", …
        action: &'static str,
        /// The system's words.
        reason: String,
    },
    /// More in one batch than a journal takes.
    #[error("a batch of {0} bytes is more than a journal takes")]
    TooLarge(usize),
}

impl JournalError {
    pub(crate) fn new(file: &str, action: &'static str, error: &io::Error) -> JournalError {
        let (file, reason) = (file.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::Full { file, reason },
            _ => JournalError::Failed { file, action, reason },
        }
    }
}

/// Why a journal was not opened. Nothing that it held was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk cannot be read or prepared.
    #[error(
        "{file} cannot be {action}: {source}. Look after the disk and the permissions, and start the member again"
    )]
    Io {
        /// Which file.
        file: String,
        /// "read", "created", …
        action: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// It belongs to another member or another cluster.
    #[error(
        "{file} belongs to member {:016x} of cluster {:016x}, not to member {:016x} of cluster {:016x}. Point the member \
         at its own data directory", found.node, found.cluster, expected.node, expected.cluster
    )]
    Foreign {
        /// Which file.
        file: String,
        /// Whose it is.
        found: Identity,
        /// Who opened it.
        expected: Identity,
    },
    /// It was written by another version.
    #[error(
        "{file} has format version {version}, which this program cannot read. Use the program that wrote it"
    )]
    Version {
        /// Which file.
        file: String,
        /// The version found.
        version: u32,
    },
    /// Something that had been synced is missing or damaged.
    #[error(
        "{file} is damaged at offset {offset}, in record batch {batch} of the file ({reason}), although it had been \
         synced: {evidence}. This member no longer knows all it has promised, so it must not vote. Restore \
         the file from a copy that was made after the member had stopped, or leave the member stopped"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where in it.
        offset: u64,
        /// Which batch of the file, counted from 1.
        batch: usize,
        /// What is wrong there.
        reason: &'static str,
        /// How it is known that this is no torn tail.
        evidence: String,
    },
    /// Segments or the newest checkpoint were removed.
    #[error(
        "{missing} or a newer checkpoint is missing: {oldest} continues it and says that slots up to s{before} were \
         written before, and the newest checkpoint covers only those up to s{covered}. This member no longer knows all it \
         has promised, so it must not vote. Restore the files from a copy that was made after the member had stopped, or \
         leave the member stopped"
    )]
    Missing {
        /// The oldest segment that is there.
        oldest: String,
        /// The one that it continues.
        missing: String,
        /// The highest slot that missing segments spoke of.
        before: u64,
        /// The highest slot that a checkpoint covers.
        covered: u64,
    },
    /// The new segment could not be written.
    #[error(transparent)]
    Write(#[from] JournalError),
}
