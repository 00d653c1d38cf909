//! A deterministic multi-version key-value state machine with the etcd v3 data model.

pub mod request;
pub mod response;
