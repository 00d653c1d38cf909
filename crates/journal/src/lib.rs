//! The acceptor's memory: checksummed records in append-only segments, synced in groups.
//!
//! A journal is generic over the protocol: records are opaque bytes, and so is the *state*, the summary of
//! promises that every batch repeats so that the newest batch proves it. What an acceptor forgets may make
//! two values chosen, so recovery is strict: what may be lost without harm, because it was never
//! acknowledged, is cut; everything else that is missing or damaged makes [`Journal::open`] refuse.
//!
//! - [`mod@format`] has the bytes, [`recovery`] tells a torn tail from damage.
//! - [`disk`] is what a journal needs of a filesystem, so that a simulator can inject every fault.
//! - [`lock`] keeps two processes off one directory, [`atomic`] replaces whole files.
//!
//! **Invariant:** a segment has its name only when what it began with is synced, and nothing is removed before what
//! replaces it is durable. So a crash at any point leaves either the journal as it was or as it was to become.
//!
//! **Invariant:** after the first failed write or sync a journal never touches its files again. What a disk
//! holds after a failed sync nobody knows, and a second sync may succeed without having written anything.

pub mod atomic;
pub mod disk;
pub mod error;
pub mod files;
pub mod filesystem;
pub mod format;
mod journal;
pub mod lock;
mod memory;
pub mod recovery;

pub use disk::{DirectoryDisk, Disk, DiskFile, is_out_of_descriptors};
pub use error::{JournalError, OpenError};
pub use files::Files;
pub use format::{BATCH_MAGIC, Identity, Position};
pub use journal::{Journal, Options};
pub use lock::{DataDirLock, LockError};
pub use memory::MemoryDisk;
pub use recovery::{Recovered, TornTail};
