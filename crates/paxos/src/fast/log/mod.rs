//! Fast Paxos as a replicated log: one busy writer commits in two message delays without a leader in its way.
//!
//! One promise covers all slots, as in Multi-Paxos, and the leader of a ballot may use the slots behind the last one
//! itself, each in the classic round of its ballot. Or it *grants* a window of slots: there anybody may send an entry
//! straight to the acceptors, in a slot that the writer names, and they vote in the fast round of the slot for the first
//! one they get. When two writers collide the leader recovers the slot, ends the window, and everybody sends commands to
//! it again until it is time to try anew (`fallback`).
//!
//! [`Acceptor`](acceptor::Acceptor), [`Leader`](leader::Leader) and [`Writer`](writer::Writer) are the roles,
//! [`Tallies`](tallies::Tallies) count votes, a [`Core`](core::Core) plays all of them without time, and a
//! [`Replica`](replica::Replica) adds deadlines.
//!
//! Source: Lamport, *Fast Paxos* (2006), for one instance; `docs/protocols/fast.md` says where a sequence of them is done
//! otherwise than the paper sketches it, and why.

pub mod acceptor;
mod candidacy;
mod catch_up;
pub mod core;
pub mod fallback;
pub mod grant;
pub mod leader;
pub mod message;
pub mod record;
pub mod rejection;
pub mod replica;
pub mod tallies;
mod windows;
pub mod writer;
