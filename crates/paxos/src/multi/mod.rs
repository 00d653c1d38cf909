//! Multi-Paxos: a replicated log, one instance of consensus a slot.
//!
//! `docs/protocols/multi.md` is the page about it: glossary, messages, diagram, invariants.

pub mod entry;
pub mod record;
