//! Fast Paxos: single-decree Paxos in which a client's value goes straight to the acceptors.
//!
//! In a fast round the coordinator allows acceptors to vote for any value, each for the first one it gets: one
//! message delay less than through a leader. Two values at once may divide the votes; then the collision is
//! recovered, by the coordinator or by the acceptors themselves.
//!
//! The roles are types of their own: [`Acceptor`](acceptor::Acceptor) is the memory,
//! [`Coordinator`](coordinator::Coordinator) opens and closes ballots, [`Learner`](learner::Learner) counts votes.
//! A [`Core`](core::Core) plays all of them, without time, and a [`Node`](node::Node) adds deadlines and
//! back-off. What may be proposed after a fast round is [`choose_fast`](crate::choose_fast::choose_fast).
//!
//! Source: Lamport, *Fast Paxos* (2006). `docs/protocols/fast.md` has the tables, and where this differs and why.

pub mod acceptor;
pub mod coordinator;
pub mod core;
pub mod learner;
pub mod log;
pub mod message;
pub mod node;
pub mod options;
pub mod record;
pub mod rejection;
pub mod round;
