//! Checkpoints on disk: one file each, `checkpoint-<slot>`, complete as soon as it has its name.
//!
//! The newest is kept, and the one that another member is reading. Older ones go when a newer one is durable and has
//! been read back, and at the next start; so does what a crash left unfinished.
//!
//! Two of the same slot may come at once: this member's own, and one from another member. Until they are complete they
//! have names of their own. The first that is complete stands; the other is as good, and goes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use synod_journal::atomic::{AtomicFile, TEMPORARY_SUFFIX};
use synod_journal::{Disk, Files};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};
use thiserror::Error;

use crate::checkpoint::{CheckpointLoader, LoadedCheckpoint};
use crate::identity::roster::Roster;

/// What a file's name begins with.
pub const PREFIX: &str = "checkpoint-";
/// What one part of a transfer holds at most, usually.
pub const PART_BYTES: usize = 256 * 1024;
/// What is read at once at the start.
const LOAD_BYTES: usize = 1024 * 1024;
/// A reader that asked for nothing for so long is gone.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// A part of a checkpoint.
#[derive(Debug)]
pub struct Part {
    /// Of which checkpoint.
    pub slot: Slot,
    /// Where it belongs.
    pub offset: u64,
    /// How long the whole is.
    pub length: u64,
    /// The part.
    pub bytes: Bytes,
}

/// Why a checkpoint from another member was not taken.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// What came is no checkpoint, or not all of one.
    #[error("{0}")]
    Unusable(String),
    /// This member's disk failed.
    #[error("a checkpoint cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// Why a member cannot start from its newest checkpoint.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// As the system reports it.
        source: io::Error,
    },
    /// The file holds no checkpoint any more.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The checkpoints of one member.
#[derive(Debug)]
pub struct Checkpoints {
    files: Files,
    /// Of the cluster whose checkpoints they are; there are none before it is founded.
    roster: OnceLock<Roster>,
    part_bytes: usize,
    held: Mutex<Held>,
    /// Only the thread that exchanges parts locks it.
    incoming: Mutex<Option<Incoming>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Complete ones, with their sizes.
    bytes: BTreeMap<Slot, u64>,
    reader: Option<(Slot, Time)>,
}

/// One on its way here.
#[derive(Debug)]
struct Incoming {
    slot: Slot,
    received: u64,
    file: AtomicFile,
}

/// Where one on its way here comes from, in the name of its file.
const RECEIVED: &str = "received";

fn name(slot: Slot) -> String {
    format!("{PREFIX}{:020}", slot.0)
}

/// The slot in a checkpoint's file name.
pub(crate) fn parse(name: &str) -> Option<Slot> {
    let digits = name.strip_prefix(PREFIX)?;
    let slot = digits.parse().ok().map(Slot)?;
    (self::name(slot) == name).then_some(slot)
}

impl Checkpoints {
    /// Finds what is there, and removes what is not needed. Other members get it in parts of `part_bytes`.
    ///
    /// # Errors
    /// As the disk reports them; so for all methods that say no more. Each can be called again if it failed because
    /// no more files could be opened (`is_out_of_descriptors`).
    pub fn open(
        files: Files,
        roster: Option<Roster>,
        part_bytes: usize,
        now: Time,
    ) -> io::Result<Checkpoints> {
        let mut disk = files.disk()?;
        let mut held = Held::default();
        for name in disk.list()? {
            if name.starts_with(PREFIX) && name.ends_with(TEMPORARY_SUFFIX) {
                disk.remove(&name)?;
            } else if let Some(slot) = parse(&name) {
                let (length, _) = files.read_part(&name, 0, 0)?;
                held.bytes.insert(slot, length);
            }
        }
        let checkpoints = Checkpoints {
            files,
            roster: roster.map_or_else(OnceLock::new, OnceLock::from),
            part_bytes,
            held: Mutex::new(held),
            incoming: Mutex::new(None),
        };
        checkpoints.remove_old(now, &mut *disk, &mut checkpoints.held.lock())?;
        Ok(checkpoints)
    }

    /// The cluster was founded with this roster. A later call changes nothing.
    pub fn found(&self, roster: Roster) {
        self.roster.get_or_init(|| roster);
    }

    fn roster(&self) -> Roster {
        self.roster.get().expect("checkpoints are written and exchanged under a roster").clone()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.held.lock().bytes.values().sum()
    }

    /// The state to start from: the newest checkpoint, or the empty state.
    ///
    /// # Errors
    /// If the newest is damaged. An older one would not do: the journal was cut after the newest.
    pub fn load_newest(&self) -> Result<LoadedCheckpoint, LoadError> {
        let Some(slot) = self.newest() else { return Ok(LoadedCheckpoint::empty()) };
        let file = name(slot);
        let loaded = self.read_back(slot, &file, CheckpointLoader::new(self.roster()));
        let path = || self.files.path().join(&file);
        let loaded = loaded.map_err(|source| LoadError::Disk { path: path(), source })?;
        loaded.map_err(|reason| LoadError::Damaged { path: path(), reason })
    }

    fn newest(&self) -> Option<Slot> {
        self.held.lock().bytes.last_key_value().map(|(slot, _)| *slot)
    }

    /// Has `loader` read `file`, which should be the checkpoint of `slot`, or says why it is not.
    fn read_back(
        &self,
        slot: Slot,
        file: &str,
        mut loader: CheckpointLoader,
    ) -> io::Result<Result<LoadedCheckpoint, String>> {
        let mut offset = 0;
        loop {
            let (_, bytes) = self.files.read_part(file, offset, LOAD_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            if let Err(error) = loader.push(&bytes) {
                return Ok(Err(error.to_string()));
            }
            offset += bytes.len() as u64;
        }
        Ok(match loader.finish() {
            Ok(loaded) if loaded.slot() == slot => Ok(loaded),
            Ok(other) => Err(format!("it holds {}, not {slot}", other.slot())),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Writes a checkpoint and makes it durable, unless one as new is held; older ones go.
    ///
    /// # Errors
    /// Also if what was written cannot be read back: then the older ones stay.
    pub fn write(&self, now: Time, slot: Slot, parts: impl Iterator<Item = Bytes>) -> io::Result<()> {
        if self.newest() >= Some(slot) {
            return Ok(());
        }
        let mut disk = self.files.disk()?;
        let mut file = AtomicFile::create(&mut *disk, &name(slot))?;
        let mut length = 0;
        for part in parts {
            file.append(&part)?;
            length += part.len() as u64;
        }
        file.sync()?;
        let loader = CheckpointLoader::of_nothing(self.roster());
        if let Err(reason) = self.read_back(slot, file.temporary(), loader)? {
            return Err(io::Error::other(format!("{} cannot be read back: {reason}", file.temporary())));
        }
        self.complete(now, &mut *disk, file, slot, length)
    }

    /// Gives a complete file its name, unless the slot is held by now, and removes older ones: all as one step, since
    /// this member's own checkpoints and those of others are completed by different threads.
    fn complete(
        &self,
        now: Time,
        disk: &mut dyn Disk,
        file: AtomicFile,
        slot: Slot,
        length: u64,
    ) -> io::Result<()> {
        let mut held = self.held.lock();
        if mutant!(OldCheckpointRemovedFirst) {
            while let Some((old, _)) = held.bytes.pop_first() {
                disk.remove(&name(old))?;
            }
        }
        match held.bytes.entry(slot) {
            Entry::Occupied(_) => {
                mark!(CheckpointHeldAlready);
                file.abandon(disk)?;
            }
            Entry::Vacant(place) => {
                file.finish(disk)?;
                place.insert(length);
            }
        }
        self.remove_old(now, disk, &mut held)
    }

    /// Removes all but the newest and the one being read.
    fn remove_old(&self, now: Time, disk: &mut dyn Disk, held: &mut Held) -> io::Result<()> {
        let newest = held.bytes.last_key_value().map(|(slot, _)| *slot);
        let read = held.reader.filter(|(_, at)| now - *at < READER_PATIENCE).map(|(slot, _)| slot);
        let stays = |slot: &Slot| Some(*slot) == newest || Some(*slot) == read;
        let old: Vec<Slot> = held.bytes.keys().copied().filter(|slot| !stays(slot)).collect();
        for slot in old {
            disk.remove(&name(slot))?;
            held.bytes.remove(&slot);
        }
        disk.sync_dir()
    }

    /// A part of a checkpoint: of the one asked for if it is still there, else of the newest. `None` if there is
    /// none, or the part lies behind its end.
    pub fn read_part(&self, now: Time, slot: Option<Slot>, offset: u64) -> io::Result<Option<Part>> {
        let (slot, offset) = {
            let mut held = self.held.lock();
            let wanted = slot.filter(|slot| held.bytes.contains_key(slot));
            let newest = held.bytes.last_key_value().map(|(slot, _)| *slot);
            let Some(found) = wanted.or(newest) else { return Ok(None) };
            held.reader = Some((found, now));
            // One that was replaced is read from its beginning.
            (found, if wanted == slot { offset } else { 0 })
        };
        match self.files.read_part(&name(slot), offset, self.part_bytes) {
            Ok((length, bytes)) => Ok((!bytes.is_empty()).then_some(Part { slot, offset, length, bytes })),
            // It was replaced a moment ago: the other member asks again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a part from another member. Offset 0 begins; a part that does not follow the last one spoils the whole.
    pub fn store_part(&self, slot: Slot, offset: u64, bytes: &Bytes) -> io::Result<()> {
        let mut incoming = self.incoming.lock();
        if offset == 0 {
            let disk = &mut *self.files.disk()?;
            discard(disk, incoming.take())?;
            let file = AtomicFile::create_from(disk, &name(slot), RECEIVED)?;
            *incoming = Some(Incoming { slot, received: 0, file });
        }
        match incoming.as_mut() {
            Some(coming) if coming.slot == slot && coming.received == offset => {
                coming.file.append(bytes)?;
                coming.received += bytes.len() as u64;
                Ok(())
            }
            _ => discard(&mut *self.files.disk()?, incoming.take()),
        }
    }

    /// No more parts come: removes what there is of them.
    pub fn give_up(&self) -> io::Result<()> {
        discard(&mut *self.files.disk()?, self.incoming.lock().take())
    }

    /// All parts came: makes them durable, unless they are no checkpoint; then they go.
    ///
    /// # Errors
    /// If they are none, or the disk fails.
    pub fn finish(&self, now: Time, slot: Slot, length: u64) -> Result<LoadedCheckpoint, ReceiveError> {
        let unusable = |reason: String| ReceiveError::Unusable(reason);
        let disk = &mut *self.files.disk()?;
        let mut incoming = self.incoming.lock();
        let Some(coming) = &mut *incoming else { return Err(unusable("parts are missing".into())) };
        let loaded = if (coming.slot, coming.received) == (slot, length) {
            coming.file.sync()?;
            self.read_back(slot, coming.file.temporary(), CheckpointLoader::new(self.roster()))?
        } else {
            Err(format!("{} of {length} bytes came", coming.received))
        };
        // Taken only now: if it could not be read for want of a descriptor, it is finished later.
        let file = incoming.take().expect("it was there, and it is locked").file;
        match loaded {
            Ok(loaded) => {
                self.complete(now, disk, file, slot, length)?;
                Ok(loaded)
            }
            Err(reason) => {
                file.abandon(disk)?;
                Err(unusable(reason))
            }
        }
    }
}

fn discard(disk: &mut dyn Disk, incoming: Option<Incoming>) -> io::Result<()> {
    incoming.map_or(Ok(()), |coming| coming.file.abandon(disk))
}

#[cfg(test)]
#[path = "checkpoint_files_tests.rs"]
mod tests;
