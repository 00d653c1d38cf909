//! The Paxos family as pure state machines.
//!
//! Nothing here does I/O, reads a clock, draws randomness, starts a thread or iterates in an undefined
//! order. Time, seeds, messages and finished disk writes come in as arguments; messages to send, records
//! to write and chosen values come out. Every protocol has the same verbs:
//!
//! | in | out |
//! |---|---|
//! | `handle_message(now, from, message)` | `poll_output() -> Option<Output>` until `None` |
//! | `handle_timeout(now)` | `next_timeout() -> Option<Time>` |
//! | `handle_persisted(now, token)` | |
//! | `propose(now, value)` and the like | |
//!
//! **Durability lives in the types.** A message that tells others of an acceptor's promise or vote is
//! [`durable::Sealed`] until the driver has reported the write it depends on with `handle_persisted`.

pub mod backoff;
pub mod ballot;
pub mod choose;
pub mod choose_fast;
pub mod config;
pub mod durable;
pub mod egalitarian;
pub mod fast;
pub mod membership;
pub mod multi;
pub mod node;
pub mod protocol;
pub mod quorum;
pub mod slot;
pub mod synod;
pub mod time;
