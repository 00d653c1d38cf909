//! Multi-Paxos: the shipped [`Core`](synod_paxos::multi::core::Core) of every member, acceptor, leader and learner
//! together.
//!
//! Messages are never removed from the network: that covers loss, duplication and reordering. Heartbeats, pre-checks
//! and refusals are projected out: they decide only who campaigns when, and here anybody who may does so at any
//! time. A write of which nobody else has seen anything is durable at once, for a crash before it is the same as
//! the message having been lost; a leader's own vote, whose proposal is on its way already, becomes durable in a
//! step of its own. A crash keeps exactly what was durable.

mod cluster;
mod invariants;
mod model;

pub(in crate::check) use cluster::entry_words;
pub use cluster::{Command, Opening, Setting, State};
pub use model::{Action, Log};
