//! What waits, in order, and since when.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Work that ends in the order in which it began, named by keys that grow.
#[derive(Clone, Debug)]
pub(super) struct Backlog<K> {
    waiting: VecDeque<(K, Time)>,
}

impl<K: Ord + Copy> Backlog<K> {
    pub(super) fn new() -> Backlog<K> {
        Backlog { waiting: VecDeque::new() }
    }

    /// Everything up to `key` has begun, what is new of it at `now`.
    pub(super) fn begin(&mut self, key: K, now: Time) {
        if self.waiting.back().is_none_or(|(last, _)| *last < key) {
            self.waiting.push_back((key, now));
        }
    }

    /// Everything below `key` has ended.
    pub(super) fn end_below(&mut self, key: K) {
        while self.waiting.pop_front_if(|(waiting, _)| *waiting < key).is_some() {}
    }

    /// Everything up to `key` has ended.
    pub(super) fn end_through(&mut self, key: K) {
        while self.waiting.pop_front_if(|(waiting, _)| *waiting <= key).is_some() {}
    }

    /// Everything has ended.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When the oldest of what waits began.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.front().map(|(_, since)| *since)
    }
}

/// Whether the oldest of what waits is too old. It is from one limit on, and until half of that: who was too slow a moment
/// ago is not yet well.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stall {
    stalled: bool,
}

impl Stall {
    /// Judges at `now`, when the oldest of what waits began at `oldest`.
    pub(super) fn judge(&mut self, oldest: Option<Time>, now: Time, limit: Duration) -> bool {
        let limit = if self.stalled { limit / 2 } else { limit };
        self.stalled = oldest.is_some_and(|since| now - since > limit);
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_oldest_is_what_began_first_and_has_not_ended() {
        let mut backlog = Backlog::new();
        backlog.begin(3, at(10));
        backlog.begin(3, at(11));
        backlog.begin(5, at(20));
        assert_eq!(backlog.oldest(), Some(at(10)));
        backlog.end_below(3);
        assert_eq!(backlog.oldest(), Some(at(10)), "3 waits");
        backlog.end_below(4);
        assert_eq!(backlog.oldest(), Some(at(20)), "4 began with 5");
        backlog.end_through(5);
        assert_eq!(backlog.oldest(), None);
    }

    #[test]
    fn a_stall_begins_beyond_the_limit_and_ends_at_half_of_it() {
        let (mut stall, limit) = (Stall::default(), Duration::from_millis(100));
        let mut judge = |age: u64| stall.judge(Some(at(1_000 - age)), at(1_000), limit);
        let judged = [100, 101, 60, 51, 50, 60, 100, 101].map(&mut judge);
        assert_eq!(judged, [false, true, true, true, false, false, false, true]);
        assert!(!stall.judge(None, at(1_000), limit), "nothing waits");
    }
}
