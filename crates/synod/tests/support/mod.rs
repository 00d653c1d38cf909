//! What the tests of real processes share.

pub mod cluster;
pub mod poll;
pub mod ports;
pub mod process;
