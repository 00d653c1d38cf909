//! Raft, for comparison: it runs in the simulated world alone, beside the protocols that ship.
//!
//! Ongaro, *Consensus: Bridging Theory and Practice* (2014): elections (§3.4, §3.6.1) with pre-vote (§9.6) and a leader that
//! steps down when no majority answers it (§6.2), log replication (§3.5), the commit rule with its restriction to the
//! current term (§3.6.2), a leader's disk beside its followers' (§10.2.1), and snapshots (§5). Members do not change.
//! `docs/protocols/raft.md` tells what it does otherwise than Multi-Paxos.

mod election;
mod log;
mod message;
mod node;
mod protocol;
mod replication;

pub use log::{Entry, Log, Position};
pub use message::{Message, Record, Rejection};
pub use node::Raft;
