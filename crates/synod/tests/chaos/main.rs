//! Chaos among real processes: members are killed, stopped and cut off from each other while clients write and read,
//! and what the clients saw must be linearizable.
//!
//! `SYNOD_CHAOS_SEED` repeats a run's faults (not their timing, which is the machine's), `SYNOD_CHAOS_SECONDS` says
//! for how long there are faults.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod faults;
mod links;
mod run;
