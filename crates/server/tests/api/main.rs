//! The client interface over real connections, against real members.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but does not see helpers of tests")]

mod http2;
mod kv;
mod limits;
mod members;
mod support;
