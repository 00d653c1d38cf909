//! Fast Paxos, one decision, explored.

pub mod messages;
pub mod votes;
