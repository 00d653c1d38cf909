//! The log of Fast Paxos: the shipped [`Core`](synod_paxos::fast::log::core::Core) of every replica, writer, acceptor,
//! learner and leader together.
//!
//! It begins where replica 1 leads with an open window that all have heard of. Messages are never removed from the
//! network: that covers loss, duplication and reordering. Heartbeats, pre-checks and refusals are projected out: they
//! decide only who campaigns when, and here anybody who has a ballot left may at any time. Of the window, which is sixteen
//! slots, only the first few are looked at. A write of which nobody else has seen anything is durable at once, for a
//! crash before it is the same as the message having been lost. A crash keeps exactly what was durable.

mod cluster;
mod invariants;
mod model;
pub mod settings;

pub use cluster::{Command, Setting, State};
pub use model::{Action, FastLog};
