//! Whose disk it is.
//!
//! An acceptor that lost its disk is a new acceptor: it has forgotten what it promised. Names, addresses and counters that
//! begin again do not show the loss, so every disk has an identity of its own, and a cluster is a [`roster::Roster`] of
//! names with disks.
//!
//! Example: a, b and c found a cluster. Later a is down, b and c acknowledge a write, and the disk of c is lost. The
//! process that starts on an empty disk under the name c has another identity. The roster of a and b names the lost
//! disk for c, so both refuse it, and a and the new c cannot decide anything without b.

pub mod directory;
pub mod disk;
pub mod file;
pub mod roster;
