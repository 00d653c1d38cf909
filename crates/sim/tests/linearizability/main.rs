//! The linearizability checker: histories known to be good and bad, histories of an atomic store, and the verdicts
//! of another checker.

#![allow(clippy::unwrap_used)]

mod appends;
mod atomic;
mod cross_check;
mod generator;
mod known;
mod revisions;
mod words;
