//! State, position and sessions as one atomic whole.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::machine::{RestoreError, StateMachine};
use crate::sessions::Sessions;
use crate::wire::{DecodeError, decode, encode};

/// What begins a snapshot: its format.
const FORMAT: &[u8; 8] = b"synodsn1";

/// Format and checksum.
const HEADER: usize = FORMAT.len() + 4;

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Something else.
    #[error("it is no snapshot of this format")]
    Format,
    /// Not what was written.
    #[error("its checksum does not match")]
    Checksum,
    /// Written by another program.
    #[error(transparent)]
    Content(#[from] DecodeError),
    /// Of another machine.
    #[error(transparent)]
    State(#[from] RestoreError),
}

/// What a replica has executed, and what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot<P, S> {
    /// How far the protocol was.
    pub position: P,
    /// Which submissions had their effect.
    pub sessions: Sessions,
    /// The machine.
    pub machine: S,
}

#[derive(Serialize, Deserialize)]
struct Content<P> {
    position: P,
    sessions: Sessions,
    machine: Vec<u8>,
}

/// The snapshot of `position`, `sessions` and `machine`, with its checksum.
pub fn write<P: Serialize, S: StateMachine>(position: P, sessions: &Sessions, machine: &S) -> Bytes {
    let sessions = sessions.clone();
    let content = encode(&Content { position, sessions, machine: machine.snapshot().to_vec() });
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend_from_slice(FORMAT);
    bytes.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
    bytes.extend_from_slice(&content);
    bytes.into()
}

/// What a snapshot holds.
///
/// # Errors
/// If it is damaged, or none.
pub fn read<P: DeserializeOwned, S: StateMachine>(bytes: &[u8]) -> Result<Snapshot<P, S>, SnapshotError> {
    let (header, content) = bytes.split_at_checked(HEADER).ok_or(SnapshotError::Format)?;
    let (format, sum) = header.split_at(FORMAT.len());
    if format != FORMAT {
        return Err(SnapshotError::Format);
    }
    if sum != crc32c::crc32c(content).to_le_bytes() {
        return Err(SnapshotError::Checksum);
    }
    let Content { position, sessions, machine } = decode(content)?;
    Ok(Snapshot { position, sessions, machine: S::restore(&machine)? })
}
