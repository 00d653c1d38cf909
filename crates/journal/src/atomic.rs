//! Whole files, complete and durable before they get their name: checkpoints, identities, segments.

use std::io::{self, IoSlice};

use synod_probe::mutant;

use crate::disk::{Disk, DiskFile};

/// A file that gets its name only when it is complete and durable. Dropped before, it leaves a temporary file.
#[derive(Debug)]
pub struct AtomicFile {
    file: Box<dyn DiskFile>,
    temporary: String,
    name: String,
    /// Whether everything added is synced.
    synced: bool,
}

/// What temporary files are called. They are leftovers of a crash when found at a start.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

impl AtomicFile {
    /// Begins a file that will be called `name`. A leftover of an earlier try is removed, so no two of one name may
    /// be under way.
    ///
    /// # Errors
    /// As the disk reports them.
    pub fn create(disk: &mut dyn Disk, name: &str) -> io::Result<AtomicFile> {
        AtomicFile::create_at(disk, name, format!("{name}{TEMPORARY_SUFFIX}"))
    }

    /// The same for a file that comes from `origin`: it may be under way beside others of its name that come from
    /// elsewhere.
    ///
    /// # Errors
    /// As the disk reports them.
    pub fn create_from(disk: &mut dyn Disk, name: &str, origin: &str) -> io::Result<AtomicFile> {
        AtomicFile::create_at(disk, name, format!("{name}.{origin}{TEMPORARY_SUFFIX}"))
    }

    fn create_at(disk: &mut dyn Disk, name: &str, temporary: String) -> io::Result<AtomicFile> {
        remove_if_there(disk, &temporary)?;
        let file = disk.create(&temporary)?;
        Ok(AtomicFile { file, temporary, name: name.to_owned(), synced: false })
    }

    /// What it is called until it is finished.
    pub fn temporary(&self) -> &str {
        &self.temporary
    }

    /// Makes what was added durable; the name is still to come.
    ///
    /// # Errors
    /// As the disk reports them. Drop the file then.
    pub fn sync(&mut self) -> io::Result<()> {
        if !self.synced && !mutant!(FileNamedBeforeSync) {
            self.file.sync()?;
        }
        self.synced = true;
        Ok(())
    }

    /// Gives it up, and removes what there is of it.
    ///
    /// # Errors
    /// As the disk reports them.
    pub fn abandon(self, disk: &mut dyn Disk) -> io::Result<()> {
        remove_if_there(disk, &self.temporary)
    }

    /// Adds to it.
    ///
    /// # Errors
    /// As the disk reports them. Drop the file then.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append_parts(&[IoSlice::new(bytes)])
    }

    /// Adds several pieces to it, with one vectored write.
    ///
    /// # Errors
    /// As the disk reports them. Drop the file then.
    pub fn append_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.synced = false;
        self.file.append(parts)
    }

    /// Syncs it, gives it its name, and makes the name durable. Until then the old file stands.
    ///
    /// # Errors
    /// As the disk reports them. Whether the old or the new file stands then is unknown.
    pub fn finish(self, disk: &mut dyn Disk) -> io::Result<()> {
        self.finish_open(disk).map(drop)
    }

    /// The same, for a file that will grow further.
    ///
    /// # Errors
    /// As the disk reports them. Whether the old or the new file stands then is unknown.
    pub fn finish_open(mut self, disk: &mut dyn Disk) -> io::Result<Box<dyn DiskFile>> {
        self.sync()?;
        disk.rename(&self.temporary, &self.name)?;
        if !mutant!(NameNotSynced) {
            disk.sync_dir()?;
        }
        Ok(self.file)
    }
}

fn remove_if_there(disk: &mut dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Replaces the file `name` by `bytes`, all at once and durably.
///
/// # Errors
/// As the disk reports them.
pub fn write_atomically(disk: &mut dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(disk, name)?;
    file.append(bytes)?;
    file.finish(disk)
}
