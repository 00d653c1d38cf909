//! Single-decree Paxos, in two views of the same code.
//!
//! [`messages`] is Lamport's: acceptors and a set of messages that only grows. It is what published counts are of.

pub mod messages;
