//! Where the files of a member are: in a directory, or in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use crate::disk::{DirectoryDisk, Disk};
use crate::memory::MemoryDisk;

/// One flat directory of files.
#[derive(Clone, Debug)]
pub enum Files {
    /// In a directory of its own.
    Directory(PathBuf),
    /// In memory, for tests and throw-away members.
    Memory(MemoryDisk),
}

impl Files {
    /// The directory as the journal writes to it.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(match self {
            Files::Directory(path) => Box::new(DirectoryDisk::new(path)?),
            Files::Memory(disk) => Box::new(disk.clone()),
        })
    }

    /// How people call the directory.
    pub fn path(&self) -> PathBuf {
        match self {
            Files::Directory(path) => path.clone(),
            Files::Memory(_) => Path::new("(memory)").to_owned(),
        }
    }

    /// The length of a file, and at most `max` bytes of it from `offset` on.
    ///
    /// # Errors
    /// As the system reports them.
    pub fn read_part(&self, name: &str, offset: u64, max: usize) -> io::Result<(u64, Bytes)> {
        match self {
            Files::Directory(path) => {
                let file = File::open(path.join(name))?;
                let length = file.metadata()?.len();
                let rest = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
                let mut bytes = BytesMut::zeroed(rest.min(max));
                file.read_exact_at(&mut bytes, offset)?;
                Ok((length, bytes.freeze()))
            }
            Files::Memory(disk) => {
                let bytes = Bytes::from(disk.open(name)?);
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(max).min(bytes.len());
                Ok((bytes.len() as u64, bytes.slice(from..to)))
            }
        }
    }
}
