//! A disk in memory that knows what was synced: for throw-away members and for breaking things on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::disk::{Disk, DiskFile};

/// A deterministic disk. Clones share the files. It has no randomness: the caller decides what goes wrong.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

/// Without the contents.
impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").field("names", &self.names()).finish_non_exhaustive()
    }
}

type FileId = u64;

#[derive(Default)]
struct Inner {
    files: BTreeMap<FileId, Contents>,
    names: BTreeMap<String, FileId>,
    /// The directory as it was after its last sync, and after each change since.
    past_names: Vec<BTreeMap<String, FileId>>,
    next_file: FileId,
    operations: u64,
    fail_sync_in: Option<u64>,
    fail_operation_at: Option<u64>,
    stop_after: Option<u64>,
    capacity: Option<u64>,
    /// Nothing can be opened.
    out_of_descriptors: bool,
}

#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    /// So many of them survive a crash.
    synced: usize,
    /// A sync failed: what was unsynced then never becomes durable, although later syncs succeed.
    broken: bool,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a crash leaves, as a disk of its own. Of each file's unsynced bytes so many survive as `kept` says,
    /// given the name and how many there are; changes of the directory that were not synced are undone.
    #[must_use]
    pub fn after_crash(&self, mut kept: impl FnMut(&str, usize) -> usize) -> MemoryDisk {
        self.after_tearing_crash(0, |name, unsynced| unsynced.truncate(kept(name, unsynced.len())))
    }

    /// The same, for worse crashes: the first so many unsynced changes of the directory survive, and `tear`
    /// may do to each file's unsynced bytes what it likes.
    #[must_use]
    pub fn after_tearing_crash(
        &self,
        directory_changes: usize,
        mut tear: impl FnMut(&str, &mut Vec<u8>),
    ) -> MemoryDisk {
        let inner = self.inner();
        let names = inner.past_names.get(directory_changes).unwrap_or(&inner.names).clone();
        let mut files = BTreeMap::new();
        for (name, id) in &names {
            let Contents { bytes, synced, .. } = &inner.files[id];
            let (synced, unsynced) = bytes.split_at(*synced);
            let mut unsynced = unsynced.to_vec();
            if !unsynced.is_empty() {
                tear(name, &mut unsynced);
            }
            let bytes = [synced, &unsynced].concat();
            files.insert(*id, Contents { synced: bytes.len(), bytes, broken: false });
        }
        let fresh = Inner { files, names, next_file: inner.next_file, ..Inner::default() };
        MemoryDisk { inner: Arc::new(Mutex::new(fresh)) }
    }

    /// How many changes of the directory are not synced.
    pub fn unsynced_directory_changes(&self) -> usize {
        self.inner().past_names.len()
    }

    /// The `nth` sync of a file from now on fails, once; 0 is the next.
    pub fn fail_sync(&self, nth: u64) {
        self.inner().fail_sync_in = Some(nth);
    }

    /// The `nth` changing operation from now on fails, once; 0 is the next.
    pub fn fail_operation(&self, nth: u64) {
        let mut inner = self.inner();
        inner.fail_operation_at = Some(inner.operations + nth);
    }

    /// After so many more changing operations every other one fails: the process is as good as dead.
    pub fn stop_after(&self, operations: u64) {
        let mut inner = self.inner();
        inner.stop_after = Some(inner.operations + operations);
    }

    /// Whether a `stop_after` has come to pass.
    pub fn is_stopped(&self) -> bool {
        self.inner().check_stopped().is_err()
    }

    /// Everything that was set to go wrong works again. What a failed sync lost stays lost.
    pub fn repair(&self) {
        let mut inner = self.inner();
        (inner.fail_sync_in, inner.fail_operation_at, inner.stop_after) = (None, None, None);
        (inner.capacity, inner.out_of_descriptors) = (None, false);
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        self.inner().files.values().map(|contents| contents.bytes.len() as u64).sum()
    }

    /// How many bytes of each file are synced, in the order of their names.
    pub fn synced(&self) -> Vec<(String, usize)> {
        let inner = self.inner();
        inner.names.iter().map(|(name, id)| (name.clone(), inner.files[id].synced)).collect()
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// No more than so many bytes fit.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner().capacity = Some(bytes);
    }

    /// From now on nothing can be opened, or everything again: files that are open are as they were.
    pub fn set_out_of_descriptors(&self, out: bool) {
        self.inner().out_of_descriptors = out;
    }

    /// Opens a file and reads all of it.
    ///
    /// # Errors
    /// If it is not there, or cannot be opened.
    pub fn open(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        inner.check_descriptors()?;
        inner.file_named(name).map(|contents| contents.bytes.clone())
    }

    /// Flips bits of one byte.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) {
        let mut inner = self.inner();
        let contents = inner.file_named(name).expect("the caller names an existing file");
        contents.bytes[offset] ^= mask;
    }

    /// A file's bytes, synced or not.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.inner().file_named(name).ok().map(|contents| contents.bytes.clone())
    }

    /// Replaces a file's bytes, durably.
    pub fn set_contents(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let id = inner.add_file(Contents { synced: bytes.len(), bytes, broken: false });
        inner.names.insert(name.to_owned(), id);
        for names in &mut inner.past_names {
            names.insert(name.to_owned(), id);
        }
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.inner().names.keys().cloned().collect()
    }
}

impl Inner {
    fn add_file(&mut self, contents: Contents) -> FileId {
        self.next_file += 1;
        self.files.insert(self.next_file, contents);
        self.next_file
    }

    fn check_stopped(&self) -> io::Result<()> {
        if self.stop_after.is_some_and(|last| self.operations >= last) {
            return Err(io::Error::other("injected: the process has stopped"));
        }
        Ok(())
    }

    fn check_descriptors(&self) -> io::Result<()> {
        if self.out_of_descriptors { Err(Errno::MFILE.into()) } else { Ok(()) }
    }

    /// Counts a changing operation.
    fn operate(&mut self) -> io::Result<()> {
        self.check_stopped()?;
        self.operations += 1;
        if self.fail_operation_at == Some(self.operations - 1) {
            return Err(io::Error::other("injected: the operation failed"));
        }
        Ok(())
    }

    fn change_names(&mut self) -> &mut BTreeMap<String, FileId> {
        self.past_names.push(self.names.clone());
        &mut self.names
    }

    fn file(&mut self, id: FileId) -> io::Result<&mut Contents> {
        self.files.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file_named(&mut self, name: &str) -> io::Result<&mut Contents> {
        let id = *self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.file(id)
    }

    fn append(&mut self, id: FileId, bytes: &[u8]) -> io::Result<()> {
        self.operate()?;
        let used = || self.files.values().map(|contents| contents.bytes.len() as u64).sum();
        let room = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used()));
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.file(id)?.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, id: FileId) -> io::Result<()> {
        let fails = self.fail_sync_in == Some(0);
        self.fail_sync_in = self.fail_sync_in.and_then(|nth| nth.checked_sub(1));
        self.check_stopped()?;
        let operated = self.operate();
        let contents = self.file(id)?;
        if fails || operated.is_err() {
            contents.broken = true;
            return Err(io::Error::other("injected: the sync failed"));
        }
        if !contents.broken {
            contents.synced = contents.bytes.len();
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.check_descriptors()?;
        inner.operate()?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.add_file(Contents::default());
        inner.change_names().insert(name.to_owned(), id);
        Ok(Box::new(MemoryFile { disk: self.clone(), id }))
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.open(name)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        if !inner.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.operate()?;
        inner.change_names().remove(name);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let id = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let names = inner.change_names();
        names.remove(from);
        names.insert(to.to_owned(), id);
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let contents = inner.file_named(name)?;
        contents.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let length = contents.bytes.len();
        // A sync that succeeds does not bring back what an earlier one lost.
        contents.synced = if contents.broken { contents.synced.min(length) } else { length };
        contents.broken &= contents.synced < length;
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let Inner { files, names, past_names, .. } = &mut *inner;
        past_names.clear();
        let named: Vec<FileId> = names.values().copied().collect();
        files.retain(|id, _| named.contains(id));
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    id: FileId,
}

impl DiskFile for MemoryFile {
    fn append(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.disk.inner().append(self.id, &bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.inner().sync(self.id)
    }
}
