//! What the tests of real processes share.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod cluster;
pub mod poll;
pub mod ports;
pub mod process;
pub mod verb;
