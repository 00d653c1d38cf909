//! A whole store as a stream of bytes: one format for checkpoints, for members that are behind, and for backups.
//!
//! ```text
//! snapshot = "synodsnp" format:u16 frame*                              integers of fixed size are little-endian
//! frame    = crc32c:u32 length:u32 sequence:u64 payload                the checksum covers all that follows it
//! payloads = revision compacted key* end                               varints; a key may span frames
//! key      = bytes versions version*                                   keys ascending, versions oldest first
//! end      = an empty key with 0 versions
//! version  = main sub kind ( 0:tombstone | 1:put create version lease bytes )
//! ```
//!
//! A stream that was cut short has no end, or no whole last frame.

mod encode;
mod restore;

use thiserror::Error;

pub(crate) use encode::Encoder;
pub use restore::Restore;

const MAGIC: &[u8; 8] = b"synodsnp";

/// The format that is written.
const FORMAT: u16 = 1;

/// Bytes before the first frame.
const PREFIX: usize = 10;

/// Bytes of a frame before its payload.
const FRAME_HEADER: usize = 16;

/// The largest payload of a frame, in bytes.
const FRAME_PAYLOAD: usize = 256 * 1024;

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The stream does not begin as a snapshot does.
    #[error("not a snapshot")]
    NotASnapshot,
    /// Written by a later version.
    #[error("snapshot in format {0}, but this version reads format {FORMAT} only")]
    UnknownFormat(u16),
    /// A frame is damaged.
    #[error("snapshot is damaged in frame {frame}, at byte {offset}")]
    Damaged {
        /// Which frame, from 0.
        frame: u64,
        /// Where in the stream it begins.
        offset: u64,
    },
    /// The stream ends before the snapshot does.
    #[error("snapshot ends too early, after {0} bytes")]
    Truncated(u64),
    /// There are bytes behind the snapshot.
    #[error("bytes behind the end of the snapshot")]
    Trailing,
    /// The frames are whole, but what they say cannot be: whoever wrote them was wrong.
    #[error("snapshot contradicts itself: {0}")]
    Inconsistent(&'static str),
}
