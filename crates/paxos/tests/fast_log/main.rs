//! Fast Paxos as a replicated log: single rules, golden message scripts, and random schedules.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not see helpers of tests")]

mod cluster;
mod handlers;
#[cfg(synod_mutants)]
mod mutants;
mod network;
mod scripts;
