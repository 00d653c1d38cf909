//! Reading a snapshot.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::{FORMAT, FRAME_HEADER, FRAME_PAYLOAD, MAGIC, PREFIX, SnapshotError};
use crate::history::{History, Live};
use crate::revision::{FIRST, NEVER, Revision};
use crate::state::{State, key_bytes, version_bytes};
use crate::store::Store;
use crate::stored_key::StoredKey;
use crate::varint::{Cursor, Malformed};

/// No revision is this large: a change every nanosecond would take a century to get there.
const LAST_REVISION: i64 = i64::MAX / 2;

/// Builds a store from a snapshot that arrives in pieces of any size. Beside the store it holds what arrived of one
/// frame and of one value, never more than was pushed.
pub struct Restore {
    state: State,
    /// Bytes not yet known to be a whole frame.
    raw: BytesMut,
    /// Checked payload not yet taken apart.
    payload: BytesMut,
    /// How many frames were taken.
    frames: u64,
    /// How much of the stream was taken.
    offset: u64,
    /// What comes next.
    next: Next,
    /// The last key.
    last: Option<StoredKey>,
    /// Whether keys are put into the store.
    keeps: bool,
}

enum Next {
    Header,
    Key,
    Version(Partial),
    Nothing,
}

/// The key whose versions are coming in.
struct Partial {
    key: StoredKey,
    history: Option<History>,
    /// Versions yet to come.
    left: u64,
}

/// Why the payload cannot be taken further apart.
enum Stop {
    /// More has to arrive.
    Starved,
    Wrong(&'static str),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Stop {
        match malformed {
            Malformed::Truncated => Stop::Starved,
            Malformed::Number => Stop::Wrong("a malformed number"),
        }
    }
}

impl Restore {
    /// A store to be filled.
    pub fn new() -> Restore {
        Restore {
            state: State::new(),
            raw: BytesMut::new(),
            payload: BytesMut::new(),
            frames: 0,
            offset: 0,
            next: Next::Header,
            last: None,
            keeps: true,
        }
    }

    /// Only looks whether a store could be filled: every check is the same, and the store stays empty.
    pub fn of_nothing() -> Restore {
        Restore { keeps: false, ..Restore::new() }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// If the stream is no snapshot. After that the restoration has failed for good.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SnapshotError> {
        self.raw.extend_from_slice(chunk);
        if self.offset == 0 && !self.prefix()? {
            return Ok(());
        }
        while let Some(payload) = self.frame()? {
            if self.is_complete() {
                return Err(SnapshotError::Trailing);
            }
            self.payload.extend_from_slice(&payload);
            self.take_apart()?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// The store, once all of the stream was pushed.
    ///
    /// # Errors
    /// If something is missing.
    pub fn finish(self) -> Result<Store, SnapshotError> {
        if self.is_complete() && !self.raw.is_empty() {
            return Err(SnapshotError::Trailing);
        }
        if !self.is_complete() {
            return Err(SnapshotError::Truncated(self.offset + self.raw.len() as u64));
        }
        Ok(Store::from_state(self.state))
    }

    /// Checks what the stream begins with; false if that has not arrived yet.
    fn prefix(&mut self) -> Result<bool, SnapshotError> {
        let seen = self.raw.len().min(MAGIC.len());
        if self.raw[..seen] != MAGIC[..seen] {
            return Err(SnapshotError::NotASnapshot);
        }
        if self.raw.len() < PREFIX {
            return Ok(false);
        }
        self.raw.advance(MAGIC.len());
        let format = self.raw.get_u16_le();
        if format != FORMAT {
            return Err(SnapshotError::UnknownFormat(format));
        }
        self.offset = PREFIX as u64;
        Ok(true)
    }

    /// The payload of the next frame, if all of it is there.
    fn frame(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        if self.raw.len() < FRAME_HEADER {
            return Ok(None);
        }
        let damaged = SnapshotError::Damaged { frame: self.frames, offset: self.offset };
        let mut header = &self.raw[..FRAME_HEADER];
        let (checksum, length, sequence) =
            (header.get_u32_le(), header.get_u32_le() as usize, header.get_u64_le());
        if length > FRAME_PAYLOAD || sequence != self.frames {
            return Err(damaged);
        }
        if self.raw.len() < FRAME_HEADER + length {
            return Ok(None);
        }
        if crc32c::crc32c(&self.raw[4..FRAME_HEADER + length]) != checksum {
            return Err(damaged);
        }
        self.raw.advance(FRAME_HEADER);
        self.frames += 1;
        self.offset += (FRAME_HEADER + length) as u64;
        Ok(Some(self.raw.split_to(length).freeze()))
    }

    /// Takes all that has arrived whole from the payload.
    fn take_apart(&mut self) -> Result<(), SnapshotError> {
        let payload = std::mem::take(&mut self.payload);
        let mut cursor = Cursor { input: &payload, at: 0 };
        let mut taken = 0;
        while !self.is_complete() {
            match self.piece(&mut cursor) {
                Ok(()) => taken = cursor.at,
                Err(Stop::Starved) => break,
                Err(Stop::Wrong(what)) => return Err(SnapshotError::Inconsistent(what)),
            }
        }
        if self.is_complete() && taken < payload.len() {
            return Err(SnapshotError::Trailing);
        }
        self.payload.extend_from_slice(&payload[taken..]);
        Ok(())
    }

    /// Takes one header, key or version; changes nothing if it has not arrived whole.
    fn piece(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        match &mut self.next {
            Next::Header => self.header(cursor),
            Next::Key => self.key(cursor),
            Next::Version(partial) => {
                partial.version(cursor, &mut self.state, self.keeps)?;
                if partial.left == 0 {
                    self.close_key();
                }
                Ok(())
            }
            Next::Nothing => Ok(()),
        }
    }

    fn header(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let (revision, compacted) = (cursor.i64()?, cursor.i64()?);
        if !(FIRST..=LAST_REVISION).contains(&revision) {
            return Err(Stop::Wrong("an impossible revision"));
        }
        if !(NEVER..=revision).contains(&compacted) {
            return Err(Stop::Wrong("compacted beyond its revision"));
        }
        (self.state.revision, self.state.compacted) = (revision, compacted);
        self.next = Next::Key;
        Ok(())
    }

    fn key(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let key = &cursor.input[cursor.bytes()?];
        let versions = cursor.u64()?;
        if versions == 0 && key.is_empty() {
            self.next = Next::Nothing;
            return Ok(());
        }
        if self.last.as_ref().is_some_and(|last| key <= last.as_slice()) {
            return Err(Stop::Wrong("keys out of order"));
        }
        if versions == 0 {
            return Err(Stop::Wrong("a key without a version"));
        }
        self.next = Next::Version(Partial { key: StoredKey::copy_from(key), history: None, left: versions });
        Ok(())
    }

    fn close_key(&mut self) {
        let Next::Version(partial) = std::mem::replace(&mut self.next, Next::Key) else { return };
        self.last = Some(partial.key.clone());
        if self.keeps
            && let Some(history) = partial.history
        {
            self.state.bytes += key_bytes(partial.key.as_slice());
            self.state.keys.insert(partial.key, history);
        }
    }
}

impl Partial {
    fn version(&mut self, cursor: &mut Cursor<'_>, state: &mut State, keeps: bool) -> Result<(), Stop> {
        let at = Revision {
            main: cursor.i64()?,
            sub: u32::try_from(cursor.u64()?).map_err(|_| Stop::Wrong("an impossible revision"))?,
        };
        let live = match cursor.u8()? {
            0 => None,
            1 => Some(Live {
                create_revision: cursor.i64()?,
                version: cursor.i64()?,
                lease: cursor.i64()?,
                value: Bytes::copy_from_slice(&cursor.input[cursor.bytes()?]),
            }),
            _ => return Err(Stop::Wrong("an unknown kind of version")),
        };
        let newest = self.history.as_ref().map(|history| history.newest().at);
        if !(FIRST..=state.revision).contains(&at.main) || newest.is_some_and(|newest| at <= newest) {
            return Err(Stop::Wrong("versions out of order"));
        }
        if let Some(live) = &live
            && !((FIRST..=at.main).contains(&live.create_revision)
                && (1..=LAST_REVISION).contains(&live.version))
        {
            return Err(Stop::Wrong("a key younger than its version"));
        }
        state.bytes += version_bytes(live.as_ref());
        match &mut self.history {
            Some(history) if keeps => history.push(at, live),
            _ => self.history = Some(History::new(at, live.filter(|_| keeps))),
        }
        self.left -= 1;
        Ok(())
    }
}

impl Default for Restore {
    fn default() -> Restore {
        Restore::new()
    }
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore")
            .field("offset", &self.offset)
            .field("complete", &self.is_complete())
            .finish()
    }
}
