//! Egalitarian Paxos: the shipped [`Core`](synod_paxos::egalitarian::core::Core) of every replica.
//!
//! Messages stay in the network until they can do nothing any more: that covers loss, duplication and reordering, and
//! states do not differ by what is spent. Refusals are projected out: they only tell a recoverer which ballot to beat.
//! A command that became a no-op is proposed again by the code, but
//! what is said of it under its new identity is lost here, so that the space ends. Without crashes, writes are durable at
//! once; with them, a write beside which something was sent becomes durable in a step of its own, and a crash keeps
//! exactly what was durable.

mod cluster;
mod invariants;
mod model;
pub mod settings;

pub use cluster::{Command, Opening, Setting, State};
pub use model::{Action, Replicas};
