//! Real processes, real disks, real clients: the `synod` binary is started, killed and fed with nonsense, and asked
//! through the `etcd-client` crate, through `etcdctl` and through its own verbs.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod append;
mod bad_bytes;
mod bad_requests;
mod bad_starts;
mod descriptors;
mod dev;
mod etcdctl;
mod full_disk;
mod hanging_disk;
mod history;
mod journal_damage;
mod kill;
mod log;
mod logs;
mod lost_disk;
mod outcomes;
mod typed;
mod unread_log;
