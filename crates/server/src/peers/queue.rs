//! What waits to be sent to one peer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::FRAME_MAX;

/// Frames that wait, at most. Small ones are taken up to this bound even when the bytes are used up, so that
/// heartbeats and answers pass when a slow peer is being sent a lot.
const FRAMES_MAX: usize = 8192;
/// Bytes that wait, at most.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What counts as small.
const SMALL_BYTES: usize = 1024;
/// What is written at once.
const WRITE_FRAMES: usize = 256;
const WRITE_BYTES: usize = 1024 * 1024;

/// A bounded queue. What does not fit, or comes while there is no connection, is dropped and counted: the protocol
/// sends again what still matters, and nothing old piles up for a peer that is down.
#[derive(Debug, Default)]
pub(crate) struct PeerQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    connected: bool,
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl PeerQueue {
    /// Takes a frame. Call [`PeerQueue::flush`] after the last one of a batch.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut waiting = self.waiting.lock();
        let room = frame.len() <= SMALL_BYTES || waiting.frames.is_empty() || waiting.bytes < BYTES_MAX;
        let fits = waiting.frames.len() < FRAMES_MAX && room && frame.len() <= FRAME_MAX;
        if waiting.connected && fits {
            waiting.bytes += frame.len();
            waiting.frames.push_back(frame);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Wakes the connection.
    pub(crate) fn flush(&self) {
        self.filled.notify_one();
    }

    /// Frames dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A connection is there, or is gone; with it goes what waited.
    pub(crate) fn set_connected(&self, connected: bool) {
        let mut waiting = self.waiting.lock();
        let lost = waiting.frames.len() as u64;
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        *waiting = Waiting { connected, ..Waiting::default() };
    }

    /// The next frames to write, at least one.
    pub(crate) async fn take(&self) -> Vec<Bytes> {
        loop {
            let frames = self.try_take();
            if !frames.is_empty() {
                return frames;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self) -> Vec<Bytes> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < WRITE_FRAMES && bytes < WRITE_BYTES {
            let Some(frame) = waiting.frames.pop_front() else { break };
            bytes += frame.len();
            taken.push(frame);
        }
        waiting.bytes -= bytes;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> PeerQueue {
        let queue = PeerQueue::default();
        queue.set_connected(true);
        queue
    }

    #[test]
    fn without_a_connection_nothing_is_kept() {
        let queue = PeerQueue::default();
        queue.push(Bytes::from_static(b"lost"));
        assert_eq!((queue.dropped(), queue.try_take().len()), (1, 0));

        queue.set_connected(true);
        queue.push(Bytes::from_static(b"lost with the connection"));
        queue.set_connected(false);
        queue.set_connected(true);
        assert_eq!((queue.dropped(), queue.try_take().len()), (2, 0));
    }

    #[test]
    fn a_slow_peer_costs_bounded_memory_and_heartbeats_still_pass() {
        let queue = connected();
        let large = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..100 {
            queue.push(large.clone());
        }
        assert_eq!(queue.dropped(), 100 - (BYTES_MAX / large.len()) as u64);
        let before = queue.dropped();
        queue.push(Bytes::from_static(b"heartbeat"));
        assert_eq!(queue.dropped(), before);
        for _ in 0..FRAMES_MAX + 10 {
            queue.push(Bytes::from_static(b"heartbeat"));
        }
        assert!(queue.dropped() > before, "small frames are bounded by their number");
    }

    #[test]
    fn what_is_taken_makes_room_again() {
        let queue = connected();
        let large = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..BYTES_MAX / large.len() {
            queue.push(large.clone());
        }
        while !queue.try_take().is_empty() {}
        queue.push(large);
        assert_eq!(queue.dropped(), 0);
    }
}
