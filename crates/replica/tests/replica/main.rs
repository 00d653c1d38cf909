//! Replicas of the textbook store, without sockets: commands, restarts, snapshots, and what is refused.

#![allow(clippy::unwrap_used)]

mod cluster;
mod home;
mod host;
