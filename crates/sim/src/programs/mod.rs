//! The programs that run in the world: the shipped code of each protocol, driven as the real driver drives it.

pub mod fast;
pub mod member;
pub mod replicated;
pub mod single_decree;
