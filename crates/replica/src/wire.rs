//! Bytes for peers and for the disk.
//!
//! The encoding is postcard's: compact, and the same everywhere. What it reads allocates no more than a small multiple of the
//! bytes that are there. Whoever carries the bytes checks their sums.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// What replicas send each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame<M> {
    /// A message of the protocol.
    Protocol(M),
    /// Asks for a part of the newest durable snapshot.
    WantSnapshot {
        /// Which one, if some of it is there already; from its beginning on, if all of it is and it is of no use.
        snapshot: Option<u32>,
        /// From where on.
        offset: u64,
    },
    /// A part of a snapshot.
    SnapshotPart {
        /// Which one: the sum over its bytes.
        snapshot: u32,
        /// Where the part belongs.
        offset: u64,
        /// How long the whole is.
        length: u64,
        /// The part.
        bytes: Vec<u8>,
    },
}

/// `value` as bytes.
pub fn encode(value: &impl Serialize) -> Bytes {
    postcard::to_stdvec(value).expect("what is encoded has a known length and no maps of unknown size").into()
}

/// What `bytes` hold, all of them.
///
/// # Errors
/// If they hold something else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError(format!("{} bytes too many", rest.len()))),
        Err(error) => Err(DecodeError(error.to_string())),
    }
}
