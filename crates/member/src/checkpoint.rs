//! The whole state of a member at one slot, as one sequence of bytes: roster, position, sessions and store
//! together, so that none can be saved without the others.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_store::{Restore, SnapshotError, Store, View};
use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::roster::Roster;
use crate::sessions::{Session, Sessions};

const MAGIC: &[u8; 8] = b"SYNODCKP";
const VERSION: u8 = 2;

/// Magic, version, length of the head, checksum of the head.
const PREFIX_BYTES: usize = 8 + 1 + 4 + 4;

/// A head larger than this is garbage: it holds a position and a session for each member.
const HEAD_BYTES_MAX: usize = 64 << 20;

/// A state to be written. Holds an immutable view: writing it stops nothing.
#[derive(Debug)]
pub struct Checkpoint {
    slot: Slot,
    head: Bytes,
    view: View,
}

impl Checkpoint {
    pub(crate) fn new(roster: &Roster, slot: Slot, sessions: Sessions, view: View) -> Checkpoint {
        let mut head = BytesMut::new();
        roster.encode(&mut head);
        head.slot(slot);
        head.count(sessions.by_member.len());
        for (member, session) in &sessions.by_member {
            head.put_u64_le(member.0);
            head.incarnation(session.incarnation);
            head.put_u64_le(session.floor);
            head.count(session.applied.len());
            for sequence in &session.applied {
                head.put_u64_le(*sequence);
            }
        }
        let mut out = BytesMut::with_capacity(PREFIX_BYTES + head.len());
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.count(head.len());
        out.put_u32_le(crc32c::crc32c(&head));
        out.put_slice(&head);
        Checkpoint { slot, head: out.freeze(), view }
    }

    /// The last slot applied in it.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Its parts in order, each of moderate size.
    pub fn parts(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        std::iter::once(self.head.clone()).chain(self.view.encode())
    }
}

/// Why a file is no checkpoint of this cluster.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// It does not begin like one.
    #[error("it does not begin like a checkpoint")]
    Magic,
    /// Its head is damaged.
    #[error("its head cannot be read: {0}")]
    Head(#[from] DecodeError),
    /// Of a cluster with other members, or with other disks.
    #[error("it belongs to a cluster of other disks, {0}")]
    Roster(ClusterId),
    /// The data are damaged or incomplete.
    #[error("its data cannot be read: {0}")]
    Store(#[from] SnapshotError),
}

/// A state read from a checkpoint.
#[derive(Debug)]
pub struct LoadedCheckpoint {
    pub(crate) slot: Slot,
    pub(crate) sessions: Sessions,
    pub(crate) store: Store,
}

impl LoadedCheckpoint {
    /// The state of a member that has applied nothing.
    pub fn empty() -> LoadedCheckpoint {
        LoadedCheckpoint { slot: Slot::ZERO, sessions: Sessions::default(), store: Store::new() }
    }

    /// The last slot applied in it.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The start of each member that the log had registered last.
    pub fn registered(&self) -> impl Iterator<Item = (NodeId, Incarnation)> + '_ {
        self.sessions.registered()
    }
}

/// Reads a checkpoint piece by piece.
#[derive(Debug)]
pub struct CheckpointLoader {
    roster: Roster,
    start: BytesMut,
    head: Option<(Slot, Sessions)>,
    store: Restore,
}

impl CheckpointLoader {
    /// Expects a checkpoint of the cluster with this roster.
    pub fn new(roster: Roster) -> CheckpointLoader {
        CheckpointLoader { roster, start: BytesMut::new(), head: None, store: Restore::new() }
    }

    /// Only looks whether the bytes could be loaded: every check is the same, and no store is built.
    pub fn of_nothing(roster: Roster) -> CheckpointLoader {
        CheckpointLoader { store: Restore::of_nothing(), ..CheckpointLoader::new(roster) }
    }

    /// Takes the next bytes, however they are cut.
    ///
    /// # Errors
    /// If they are no checkpoint of this cluster.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        if self.head.is_some() {
            return Ok(self.store.push(bytes)?);
        }
        self.start.extend_from_slice(bytes);
        if self.start.len() < PREFIX_BYTES {
            return Ok(());
        }
        if !self.start.starts_with(MAGIC) {
            return Err(CheckpointError::Magic);
        }
        let mut prefix = Reader(Bytes::copy_from_slice(&self.start[MAGIC.len()..PREFIX_BYTES]));
        let version = prefix.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let (length, checksum) = (prefix.u32("length")? as usize, prefix.u32("checksum")?);
        if length > HEAD_BYTES_MAX {
            return Err(DecodeError::Short("head").into());
        }
        if self.start.len() < PREFIX_BYTES + length {
            return Ok(());
        }
        let start = std::mem::take(&mut self.start).freeze();
        let head = start.slice(PREFIX_BYTES..PREFIX_BYTES + length);
        if crc32c::crc32c(&head) != checksum {
            return Err(DecodeError::Checksum.into());
        }
        self.head = Some(self.decode_head(head)?);
        Ok(self.store.push(&start[PREFIX_BYTES + length..])?)
    }

    fn decode_head(&self, head: Bytes) -> Result<(Slot, Sessions), CheckpointError> {
        let mut reader = Reader(head);
        let roster = Roster::decode(&mut reader)?;
        if roster != self.roster {
            return Err(CheckpointError::Roster(roster.cluster()));
        }
        let slot = reader.slot()?;
        let by_member = reader.list("sessions", |reader| {
            let member = NodeId(reader.u64("member")?);
            let incarnation = reader.incarnation()?;
            let floor = reader.u64("floor")?;
            let applied: BTreeSet<u64> =
                reader.list("sequences", |reader| reader.u64("sequence"))?.into_iter().collect();
            Ok((member, Session { incarnation, floor, applied }))
        })?;
        reader.end()?;
        Ok((slot, Sessions { by_member: by_member.into_iter().collect() }))
    }

    /// The state, once all bytes were pushed.
    ///
    /// # Errors
    /// If something is missing.
    pub fn finish(self) -> Result<LoadedCheckpoint, CheckpointError> {
        let (slot, sessions) = self.head.ok_or(DecodeError::Short("head"))?;
        Ok(LoadedCheckpoint { slot, sessions, store: self.store.finish()? })
    }
}
