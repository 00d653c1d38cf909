//! One process a data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

use crate::disk::PRIVATE_FILE;

/// Held as long as the process lives; the system releases it even after `kill -9`.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

/// Why a directory is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "the data directory {} is used by another process{}. Stop it first, or choose another directory",
        directory.display(), holder.map(|id| format!(" ({id})")).unwrap_or_default()
    )]
    Held {
        /// Which directory.
        directory: PathBuf,
        /// The process that says it holds it.
        holder: Option<u32>,
    },
    /// The lock file cannot be made.
    #[error("the lock file {} cannot be taken: {source}. Look after the permissions and the filesystem", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl DataDirLock {
    /// Takes the lock of `directory`, which exists, by `flock` on a file in it.
    ///
    /// # Errors
    /// If another process holds it, or the lock file cannot be made.
    pub fn acquire(directory: &Path) -> Result<DataDirLock, LockError> {
        let path = directory.join("lock");
        let io = |source| LockError::Io { file: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE);
        let mut file = options.open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                let holder = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held { directory: directory.to_path_buf(), holder });
            }
            Err(error) => return Err(io(error.into())),
        }
        // Only a hint for whoever comes second: nothing depends on it.
        let noted = file.set_len(0).and_then(|()| file.rewind());
        noted.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
        Ok(DataDirLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time_and_the_second_learns_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDirLock::acquire(directory.path()).unwrap();
        let error = DataDirLock::acquire(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DataDirLock::acquire(directory.path()).unwrap();
    }
}
