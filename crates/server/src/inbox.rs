//! What waits for the voter, in lanes with a bound and a policy each.
//!
//! | lane | bound | when full |
//! |---|---|---|
//! | frames from peers | number and bytes | dropped and counted: the protocol sends again |
//! | requests of clients | number and bytes | refused: "too many requests" |
//! | finished work | what the voter has under way | cannot be: each finishes once |
//!
//! One lock, one wake-up: the voter takes all lanes at once, so bursts form by themselves under load.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use synod_member::voter::SlotView;
use synod_paxos::durable::Token;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use tokio::sync::oneshot;

use crate::handle::{ReadError, WriteError, Written};

/// Frames that wait, at most.
const FRAMES_MAX: usize = 16 * 1024;
/// Their bytes, at most; one frame is always taken.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Requests that wait, at most.
const REQUESTS_MAX: usize = 16 * 1024;
/// Their bytes, at most; one request is always taken.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a client of this member wants of the voter.
#[derive(Debug)]
pub(crate) enum Request {
    /// Have a command chosen and applied.
    Write { command: Bytes, reply: oneshot::Sender<Result<Written, WriteError>> },
    /// Confirm that a slot is as new as anything acknowledged.
    Read { reply: oneshot::Sender<Result<Slot, ReadError>> },
    /// Show a part of the log.
    Slots { from: Slot, limit: usize, reply: oneshot::Sender<Vec<SlotView>> },
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Write { command, .. } => command.len(),
            Request::Read { .. } | Request::Slots { .. } => 0,
        }
    }
}

/// Work on checkpoints that is done.
#[derive(Debug)]
pub(crate) enum CheckpointDone {
    /// One of this member's own is on disk.
    Durable(Slot),
    /// One from another member is on disk and loaded.
    Received(Slot),
    /// One from another member could not be used.
    Refused,
    /// A part that another member asked for.
    Part { to: NodeId, slot: Slot, offset: u64, length: u64, bytes: Bytes },
}

/// Everything that waited.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    pub(crate) persisted: Option<Token>,
    /// Starts that the log registered.
    pub(crate) registered: Vec<(NodeId, Incarnation)>,
    pub(crate) applied: Option<Slot>,
    pub(crate) checkpoints: Vec<CheckpointDone>,
    /// Each with the name of the member from whose address it came.
    pub(crate) frames: Vec<(Arc<str>, Bytes)>,
    pub(crate) requests: Vec<Request>,
    pub(crate) closed: bool,
}

impl Burst {
    /// Empties it and keeps the memory.
    fn clear(&mut self) {
        let Burst { persisted, registered, applied, checkpoints, frames, requests, closed } = self;
        (*persisted, *applied, *closed) = (None, None, false);
        registered.clear();
        checkpoints.clear();
        frames.clear();
        requests.clear();
    }
}

#[derive(Debug, Default)]
struct Lanes {
    burst: Burst,
    frame_bytes: usize,
    request_bytes: usize,
    dropped: u64,
    waiting: bool,
}

impl Lanes {
    fn is_empty(&self) -> bool {
        // What was applied lets the voter do nothing that it could not do before: it wakes nobody.
        let Burst { persisted, registered, applied: _, checkpoints, frames, requests, closed } = &self.burst;
        let finished = persisted.is_some() || !checkpoints.is_empty() || !registered.is_empty();
        !finished && frames.is_empty() && requests.is_empty() && !closed
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many wait.
    TooMany,
    /// The member has stopped.
    Closed,
}

/// The voter's lanes.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    lanes: Mutex<Lanes>,
    filled: Condvar,
}

impl Inbox {
    /// Takes a frame, or drops it.
    pub(crate) fn frame(&self, from: Arc<str>, frame: Bytes) {
        self.change(|lanes| {
            let room = lanes.frame_bytes < FRAME_BYTES_MAX && lanes.burst.frames.len() < FRAMES_MAX;
            if room && !lanes.burst.closed {
                lanes.frame_bytes += frame.len();
                lanes.burst.frames.push((from, frame));
            } else {
                lanes.dropped += 1;
            }
        });
    }

    /// Takes a request.
    ///
    /// # Errors
    /// If too many wait, or nobody will ever take it.
    pub(crate) fn request(&self, request: Request) -> Result<(), Full> {
        self.change(|lanes| {
            if lanes.burst.closed {
                return Err(Full::Closed);
            }
            if lanes.request_bytes >= REQUEST_BYTES_MAX || lanes.burst.requests.len() >= REQUESTS_MAX {
                return Err(Full::TooMany);
            }
            lanes.request_bytes += request.bytes();
            lanes.burst.requests.push(request);
            Ok(())
        })
    }

    /// The write of `token`, and all before it, are on disk.
    pub(crate) fn persisted(&self, token: Token) {
        self.change(|lanes| lanes.burst.persisted = lanes.burst.persisted.max(Some(token)));
    }

    /// The log registered this start of `node`.
    pub(crate) fn registered(&self, node: NodeId, incarnation: Incarnation) {
        self.change(|lanes| lanes.burst.registered.push((node, incarnation)));
    }

    /// Everything up to `slot` is applied.
    pub(crate) fn applied(&self, slot: Slot) {
        self.change(|lanes| lanes.burst.applied = lanes.burst.applied.max(Some(slot)));
    }

    /// Work on a checkpoint is done.
    pub(crate) fn checkpoint(&self, done: CheckpointDone) {
        self.change(|lanes| lanes.burst.checkpoints.push(done));
    }

    /// Nothing more is taken, and the voter stops. Requests that wait are dropped, which tells who waits for them.
    pub(crate) fn close(&self) {
        self.change(|lanes| {
            lanes.burst.closed = true;
            lanes.burst.requests.clear();
        });
    }

    /// Whether the member is stopping or has stopped.
    pub(crate) fn is_closed(&self) -> bool {
        self.lanes.lock().burst.closed
    }

    /// Frames dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.lanes.lock().dropped
    }

    /// Fills `burst` with everything that waits; waits for something for at most `patience`.
    pub(crate) fn take(&self, burst: &mut Burst, patience: Duration) {
        burst.clear();
        let mut lanes = self.lanes.lock();
        if lanes.is_empty() && !patience.is_zero() {
            lanes.waiting = true;
            self.filled.wait_for(&mut lanes, patience);
            lanes.waiting = false;
        }
        let closed = lanes.burst.closed;
        std::mem::swap(&mut lanes.burst, burst);
        lanes.burst.closed = closed;
        lanes.frame_bytes = 0;
        lanes.request_bytes = 0;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Lanes) -> T) -> T {
        let mut lanes = self.lanes.lock();
        let result = change(&mut lanes);
        if lanes.waiting && !lanes.is_empty() {
            lanes.waiting = false;
            self.filled.notify_one();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(inbox: &Inbox) -> Burst {
        let mut burst = Burst::default();
        inbox.take(&mut burst, Duration::ZERO);
        burst
    }

    fn write(size: usize) -> Request {
        Request::Write { command: vec![0; size].into(), reply: oneshot::channel().0 }
    }

    #[test]
    fn completions_are_cumulative() {
        let inbox = Inbox::default();
        inbox.persisted(Token(2));
        inbox.persisted(Token(1));
        inbox.applied(Slot(5));
        let burst = take(&inbox);
        assert_eq!((burst.persisted, burst.applied), (Some(Token(2)), Some(Slot(5))));
        assert_eq!(take(&inbox).persisted, None);
    }

    #[test]
    fn a_flood_of_frames_costs_bounded_memory_and_leaves_the_other_lanes_alone() {
        let inbox = Inbox::default();
        let frame = Bytes::from(vec![0; 1024 * 1024]);
        for _ in 0..100 {
            inbox.frame("m1".into(), frame.clone());
        }
        assert_eq!(inbox.dropped(), 100 - (FRAME_BYTES_MAX / frame.len()) as u64);
        assert_eq!(inbox.request(write(1)), Ok(()));
        let burst = take(&inbox);
        assert_eq!((burst.frames.len(), burst.requests.len()), (64, 1));
        inbox.frame("m1".into(), frame);
        assert_eq!(take(&inbox).frames.len(), 1, "what was taken makes room");
    }

    #[test]
    fn a_flood_of_requests_is_refused() {
        let inbox = Inbox::default();
        for _ in 0..REQUESTS_MAX {
            inbox.request(write(0)).unwrap();
        }
        assert_eq!(inbox.request(write(0)), Err(Full::TooMany));
        drop(take(&inbox));
        inbox.request(write(REQUEST_BYTES_MAX)).unwrap();
        assert_eq!(inbox.request(write(1)), Err(Full::TooMany));
    }

    #[test]
    fn closing_lets_everybody_who_waits_know() {
        let inbox = Inbox::default();
        let (reply, mut answer) = oneshot::channel();
        inbox.request(Request::Read { reply }).unwrap();
        inbox.close();
        assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(inbox.request(write(1)), Err(Full::Closed));
        assert!(take(&inbox).closed && take(&inbox).closed, "closed for good");
    }

    #[test]
    fn a_waiting_voter_is_woken() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut burst = Burst::default();
                while burst.persisted.is_none() {
                    inbox.take(&mut burst, Duration::from_secs(600));
                }
                burst.persisted
            });
            inbox.persisted(Token(1));
            assert_eq!(waiting.join().unwrap(), Some(Token(1)));
        });
    }
}
