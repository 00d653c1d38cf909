//! Ports that stay ours between a kill and a restart.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the system takes the ports of outgoing connections: no connection of anybody can sit on
/// a member's port while the member is down.
const FIRST: u16 = 10_240;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of `count` free ports in a row. No two calls in one process give the same.
pub fn free_row(count: u16) -> u16 {
    let ours = (std::process::id() % 500) as u16 * 40;
    for _ in 0..COUNT / count {
        let place = NEXT.fetch_add(count, Ordering::Relaxed).wrapping_add(ours) % (COUNT - count);
        let first = FIRST + place;
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("{COUNT} ports were tried, none is free");
}
