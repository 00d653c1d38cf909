//! Drives a Synod member in the real world: sockets, files, clocks, gRPC.
//!
//! **Invariant:** nothing here decides about ballots, votes or quorums; it moves bytes between sockets,
//! files and a [`synod_member::Voter`] and [`synod_member::Applier`].

pub mod api;
pub mod handle;
pub mod proto;
