//! Drives a Synod member in the real world: sockets, files, clocks, gRPC.
//!
//! **Invariant:** nothing here decides about ballots, votes or quorums; it moves bytes between sockets,
//! files and a [`synod_member::voter::Voter`] and a [`synod_member::applier::Applier`].

pub mod api;
mod applier_loop;
mod checkpoint_loop;
mod clock;
pub mod cluster;
mod data_dir;
pub mod descriptors;
pub mod handle;
mod inbox;
mod journal_loop;
mod leader_watch;
pub mod member;
mod peers;
pub mod proto;
mod repeats;
mod shared;
mod start_error;
mod voter_loop;
mod words;
mod work_queue;
