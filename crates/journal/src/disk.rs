//! What a journal needs of a filesystem.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A flat directory of files. Names have no separators.
pub trait Disk: Send + std::fmt::Debug {
    /// The names of all files, in no particular order.
    ///
    /// # Errors
    /// As the system reports them; so for all methods.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// A new file for appending; it must not exist.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The whole contents of a file.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;

    /// Deletes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Cuts a file and syncs it.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    fn sync_dir(&mut self) -> io::Result<()>;
}

/// A file that is appended to.
pub trait DiskFile: Send + std::fmt::Debug {
    /// Appends all parts, one after the other; nothing is durable yet.
    ///
    /// # Errors
    /// As the system reports them. How much was appended then is unknown.
    fn append(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Makes everything appended durable (`fdatasync`).
    ///
    /// # Errors
    /// As the system reports them. What is durable then is unknown, and trying again proves nothing.
    fn sync(&mut self) -> io::Result<()>;
}

/// Whether nothing was opened because this process, or the system, has as many open files as it may. That passes, and
/// nothing is wrong with the disk.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// A directory of the real filesystem.
#[derive(Debug)]
pub struct DirectoryDisk {
    path: PathBuf,
    /// Kept open: what was renamed can be made durable although no more files can be opened.
    directory: File,
}

impl DirectoryDisk {
    /// The directory at `path`, created if need be.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new(path: impl AsRef<Path>) -> io::Result<DirectoryDisk> {
        let path = std::path::absolute(path)?;
        create_durably(&path)?;
        let directory = File::open(&path)?;
        Ok(DirectoryDisk { path, directory })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Modes of what is made here: other users of the machine may not read it, whatever the process's umask says. Journals and
/// checkpoints hold what clients keep secret.
pub(crate) const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// Creates a directory and those above it that are missing. Each has an entry in its parent that has to survive
/// too. The last parent is synced even if the directory exists: a crash may have come between the two.
fn create_durably(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if !path.is_dir() {
        if !parent.is_dir() {
            create_durably(parent)?;
        }
        match fs::DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    File::open(parent)?.sync_all()
}

impl Disk for DirectoryDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file =
            OpenOptions::new().append(true).create_new(true).mode(PRIVATE_FILE).open(self.path.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.directory.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn append(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut left = &mut parts[..];
        // Empty ones in front would make a write of nothing look like an end.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.0.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
