//! The world that tries to break Synod.
//!
//! Whole members, the very code that ships, run in a deterministic world: one thread, one seed, every fault that is
//! known to break such systems. Checkers watch every step. The same seed is the same history on every machine.
//!
//! Beside it stands a model checker that explores every schedule of small configurations of the same code.

pub mod check;
pub mod checkers;
pub mod clients;
pub mod clock;
mod copies;
pub mod diagram;
pub mod faults;
pub mod fuzz;
pub mod history;
pub mod linearizability;
pub mod machine;
#[cfg(synod_mutants)]
pub mod mutants;
pub mod network;
pub mod program;
pub mod programs;
pub mod raft;
pub mod random;
pub mod run;
pub mod scenarios;
pub mod shrink;
pub mod trace;
pub mod wan;
pub mod world;
