//! Multi-Paxos: a replicated log, one instance of consensus a slot.
//!
//! `docs/protocols/multi.md` is the page about it: glossary, messages, diagram, invariants.

pub mod acceptor;
mod backlog;
mod catch_up;
pub mod core;
pub mod election;
pub mod entry;
pub mod forwarding;
mod giving_way;
mod holding;
pub mod leader;
pub mod learner;
pub mod message;
mod read_index;
pub mod reads;
pub mod record;
mod recovery;
pub mod rejection;
pub mod replica;
mod rounds;
pub mod stranded;
