//! The client interface over real connections, against real members.

mod kv;
mod limits;
mod members;
mod support;
