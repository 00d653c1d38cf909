//! A disk in memory that knows what was synced: for throw-away members and for breaking things on purpose.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// A deterministic disk. Clones share the files. It has no randomness: the caller decides what goes wrong.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    files: BTreeMap<String, Contents>,
    /// What the directory would hold after a crash: name, and which contents.
    durable_names: BTreeMap<String, u64>,
    next_file: u64,
    operations: u64,
    fail_sync_in: Option<u64>,
    stop_after: Option<u64>,
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Contents {
    id: u64,
    bytes: Vec<u8>,
    synced: usize,
    /// A sync failed: what was unsynced then is lost although later syncs succeed.
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

    /// What a crash leaves, as a disk of its own. For every file with unsynced bytes `kept` says how many of
    /// them survive; names that were not made durable are gone.
    #[must_use]
    pub fn after_crash(&self, mut kept: impl FnMut(&str, usize) -> usize) -> MemoryDisk {
        let inner = self.inner();
        let mut files = BTreeMap::new();
        for (name, id) in &inner.durable_names {
            let Some(contents) = inner.files.values().find(|contents| contents.id == *id) else { continue };
            let unsynced = contents.bytes.len() - contents.synced;
            let kept = if contents.broken { 0 } else { kept(name, unsynced).min(unsynced) };
            let bytes = contents.bytes[..contents.synced + kept].to_vec();
            let synced = bytes.len();
            files.insert(name.clone(), Contents { id: *id, bytes, synced, broken: false });
        }
        let durable_names = files.iter().map(|(name, contents)| (name.clone(), contents.id)).collect();
        let fresh = Inner { files, durable_names, next_file: inner.next_file, ..Inner::default() };
        MemoryDisk { inner: Arc::new(Mutex::new(fresh)) }
    }

    /// The `nth` sync from now on fails, once; 0 is the next.
    pub fn fail_sync(&self, nth: u64) {
        self.inner().fail_sync_in = Some(nth);
    }

    /// After so many more changing operations every other one fails: the process is as good as dead.
    pub fn stop_after(&self, operations: u64) {
        let mut inner = self.inner();
        inner.stop_after = Some(inner.operations + operations);
    }

    /// How many changing operations there were.
    pub fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// No more than so many bytes fit.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner().capacity = Some(bytes);
    }

    /// Flips bits of one byte.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) {
        let mut inner = self.inner();
        let contents = inner.files.get_mut(name).expect("the caller names an existing file");
        contents.bytes[offset] ^= mask;
    }

    /// A file's bytes, synced or not.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.inner().files.get(name).map(|contents| contents.bytes.clone())
    }

    /// Replaces a file's bytes, durably.
    pub fn set_contents(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let id = inner.fresh_id();
        let synced = bytes.len();
        inner.files.insert(name.to_owned(), Contents { id, bytes, synced, broken: false });
        inner.durable_names.insert(name.to_owned(), id);
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.inner().files.keys().cloned().collect()
    }
}

impl Inner {
    fn fresh_id(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    fn operate(&mut self) -> io::Result<()> {
        if self.stop_after.is_some_and(|last| self.operations >= last) {
            return Err(io::Error::other("injected: the process has stopped"));
        }
        self.operations += 1;
        Ok(())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Contents> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.operate()?;
        let used: u64 = self.files.values().map(|contents| contents.bytes.len() as u64).sum();
        let room = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used));
        let fits = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.file(name)?.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.operate()?;
        let fails = self.fail_sync_in == Some(0);
        self.fail_sync_in = self.fail_sync_in.and_then(|nth| nth.checked_sub(1));
        let contents = self.file(name)?;
        if fails {
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
        Ok(self.names().into_iter().filter(|name| !name.contains('\u{0}')).collect())
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.operate()?;
        if inner.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.fresh_id();
        inner.files.insert(name.to_owned(), Contents { id, ..Contents::default() });
        Ok(Box::new(MemoryFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.inner().file(name).map(|contents| contents.bytes.clone())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        // The contents stay reachable by their durable name until the directory is synced.
        match inner.files.remove(name) {
            Some(contents) => {
                let hidden = format!("{name}\u{0}{}", contents.id);
                inner.files.insert(hidden, contents);
                Ok(())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let contents = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = inner.files.insert(to.to_owned(), contents) {
            let hidden = format!("{to}\u{0}{}", replaced.id);
            inner.files.insert(hidden, replaced);
        }
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        let contents = inner.file(name)?;
        contents.bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        contents.synced = contents.bytes.len();
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.operate()?;
        inner.files.retain(|name, _| !name.contains('\u{0}'));
        inner.durable_names =
            inner.files.iter().map(|(name, contents)| (name.clone(), contents.id)).collect();
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl DiskFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.inner().append(&self.name, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.inner().sync(&self.name)
    }
}
