//! One Synod member, pure: protocol, journal records, state machine and waiting clients.
//!
//! A member is two values joined by explicit queues. The [`voter::Voter`] is the protocol replica: it may
//! never be delayed by anything else. The [`applier::Applier`] is the store and all that is derived from
//! the chosen log. A driver runs them on two threads; a simulator interleaves them as it likes.
//!
//! **Invariant:** no I/O, no clock, no randomness, no threads. A driver sees bytes, deadlines and replies. Two files
//! stand apart: [`checkpoint_files`] orders the steps of a checkpoint, and [`identity::directory`] those of a start, on
//! a disk that the driver gives them, so that the simulator crashes the very steps that ship.

pub mod applier;
pub mod checkpoint;
pub mod checkpoint_files;
pub mod codec;
pub mod identity;
pub mod introduction;
mod outstanding;
pub mod record;
mod sessions;
pub mod submission;
mod transfer;
pub mod voter;
pub mod wire;

pub use transfer::PART_BYTES_MAX;
