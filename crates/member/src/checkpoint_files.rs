//! Checkpoints on disk: one file each, `checkpoint-<slot>`, complete as soon as it has its name.
//!
//! The newest is kept, and the one that another member is reading. Older ones go when a newer one is durable, and at
//! the next start; so does what a crash left unfinished.

use std::collections::BTreeMap;
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
use synod_probe::mutant;
use thiserror::Error;

use crate::checkpoint::{CheckpointError, CheckpointLoader, LoadedCheckpoint};
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

/// One on its way here. It is checked while it comes.
#[derive(Debug)]
struct Incoming {
    slot: Slot,
    received: u64,
    file: AtomicFile,
    loader: Result<CheckpointLoader, CheckpointError>,
}

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
    /// As the disk reports them; so for all methods that say no more.
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
        let checkpoints =
            Checkpoints { files, roster: roster.map_or_else(OnceLock::new, OnceLock::from), part_bytes, held: Mutex::new(held), incoming: Mutex::new(None) };
        checkpoints.remove_old(now, &mut *disk)?;
        Ok(checkpoints)
    }

    /// The cluster was founded with this roster. A later call changes nothing.
    pub fn found(&self, roster: Roster) {
        self.roster.get_or_init(|| roster);
    }

    fn loader(&self) -> CheckpointLoader {
        let roster = self.roster.get().expect("checkpoints are written and exchanged under a roster");
        CheckpointLoader::new(roster.clone())
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
        let path = self.files.path().join(name(slot));
        let loaded = self.load(slot).map_err(|source| LoadError::Disk { path: path.clone(), source })?;
        let loaded = loaded.map_err(|error| error.to_string()).and_then(|loaded| {
            if loaded.slot() == slot { Ok(loaded) } else { Err(format!("it holds {}", loaded.slot())) }
        });
        loaded.map_err(|reason| LoadError::Damaged { path, reason })
    }

    fn newest(&self) -> Option<Slot> {
        self.held.lock().bytes.last_key_value().map(|(slot, _)| *slot)
    }

    fn load(&self, slot: Slot) -> io::Result<Result<LoadedCheckpoint, CheckpointError>> {
        let mut loader = self.loader();
        let mut offset = 0;
        loop {
            let (_, bytes) = self.files.read_part(&name(slot), offset, LOAD_BYTES)?;
            if bytes.is_empty() {
                return Ok(loader.finish());
            }
            if let Err(error) = loader.push(&bytes) {
                return Ok(Err(error));
            }
            offset += bytes.len() as u64;
        }
    }

    /// Writes a checkpoint and makes it durable; older ones go.
    pub fn write(&self, now: Time, slot: Slot, parts: impl Iterator<Item = Bytes>) -> io::Result<()> {
        let mut disk = self.files.disk()?;
        let mut file = AtomicFile::create(&mut *disk, &name(slot))?;
        let mut length = 0;
        for part in parts {
            file.append(&part)?;
            length += part.len() as u64;
        }
        self.complete(now, &mut *disk, file, slot, length)
    }

    fn complete(
        &self,
        now: Time,
        disk: &mut dyn Disk,
        file: AtomicFile,
        slot: Slot,
        length: u64,
    ) -> io::Result<()> {
        if mutant!(OldCheckpointRemovedFirst) {
            while let Some((old, _)) = self.held.lock().bytes.pop_first() {
                disk.remove(&name(old))?;
            }
        }
        file.finish(disk)?;
        self.held.lock().bytes.insert(slot, length);
        self.remove_old(now, disk)
    }

    /// Removes all but the newest and the one being read.
    fn remove_old(&self, now: Time, disk: &mut dyn Disk) -> io::Result<()> {
        let old: Vec<Slot> = {
            let held = self.held.lock();
            let newest = held.bytes.last_key_value().map(|(slot, _)| *slot);
            let read = held.reader.filter(|(_, at)| now - *at < READER_PATIENCE).map(|(slot, _)| slot);
            held.bytes.keys().copied().filter(|slot| Some(*slot) != newest && Some(*slot) != read).collect()
        };
        for slot in &old {
            disk.remove(&name(*slot))?;
            self.held.lock().bytes.remove(slot);
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
            let file = AtomicFile::create(&mut *self.files.disk()?, &name(slot))?;
            let loader = Ok(self.loader());
            *incoming = Some(Incoming { slot, received: 0, file, loader });
        }
        match incoming.as_mut() {
            Some(coming) if coming.slot == slot && coming.received == offset => coming.take(bytes),
            _ => {
                *incoming = None;
                Ok(())
            }
        }
    }

    /// All parts came: makes them durable, unless they are no checkpoint.
    ///
    /// # Errors
    /// If they are none, or the disk fails.
    pub fn finish(&self, now: Time, slot: Slot, length: u64) -> Result<LoadedCheckpoint, ReceiveError> {
        let unusable = |reason: String| ReceiveError::Unusable(reason);
        let coming = self.incoming.lock().take().ok_or_else(|| unusable("parts are missing".into()))?;
        if (coming.slot, coming.received) != (slot, length) {
            return Err(unusable(format!("{} of {length} bytes came", coming.received)));
        }
        let loaded = coming.loader.and_then(CheckpointLoader::finish);
        let loaded = loaded.map_err(|error| unusable(error.to_string()))?;
        if loaded.slot() != slot {
            return Err(unusable(format!("it holds {}, not {slot}", loaded.slot())));
        }
        self.complete(now, &mut *self.files.disk()?, coming.file, slot, length)?;
        Ok(loaded)
    }
}

impl Incoming {
    fn take(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.file.append(bytes)?;
        self.received += bytes.len() as u64;
        if let Ok(loader) = &mut self.loader
            && let Err(error) = loader.push(bytes)
        {
            self.loader = Err(error);
        }
        Ok(())
    }
}
