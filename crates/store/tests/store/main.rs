//! The store as its users see it: one file for each thing that can be asked of it.

// All of this is test code; clippy knows only of functions marked as tests.
#![allow(clippy::unwrap_used)]

mod check;
mod codec;
mod compaction;
mod delete;
mod model;
mod put;
mod random;
mod range;
mod snapshot;
mod support;
mod txn;
mod view;
