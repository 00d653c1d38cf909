//! Single-decree Paxos, in two views of the same code.
//!
//! [`messages`] is Lamport's: acceptors and a set of messages that only grows. It is what published counts are of.
//! [`nodes`] is whole nodes with disks, which crash.

pub mod messages;
pub mod nodes;
