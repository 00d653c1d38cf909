//! When a leader opens a window, and when it tries again after one went wrong.
//!
//! A ballot begins with an open window. The first slot that has to be recovered ends it: two writers met, or a fast
//! quorum does not answer. Then the leader decides classically, and tries again after a time that doubles with every
//! relapse, from the least to the longest wait, or after the least one when only one node has sent commands, and not
//! the leader itself. A relapse costs at most a window of no-ops, so what several writers lose is bounded by one window
//! in the longest wait. A window that served for the longest wait takes the doubling back.

use std::time::Duration;

use crate::node::NodeId;
use crate::time::Time;

/// The longest wait is so many times the least.
const LONGEST: u32 = 32;

/// What a leader has seen of its writers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    me: NodeId,
    least: Duration,
    wait: Duration,
    /// Since when there is a window, or none.
    since: Time,
    is_open: bool,
    /// Who has sent commands since the window ended, while it is one.
    writer: Option<NodeId>,
    competing: bool,
}

impl Fallback {
    /// A leader that has seen nothing. It tries again after `least` at the earliest.
    pub fn new(me: NodeId, least: Duration) -> Fallback {
        let since = Time::ZERO;
        Fallback { me, least, wait: least, since, is_open: false, writer: None, competing: false }
    }

    /// Commands came from `origin`.
    pub fn note(&mut self, origin: NodeId) {
        self.competing |= self.writer.is_some_and(|writer| writer != origin);
        self.writer = Some(origin);
    }

    /// Whether to open a window now. At least one other node must have sent commands: for the leader itself, its own
    /// slots are as fast and take fewer acceptors.
    pub fn is_due(&self, now: Time) -> bool {
        let calm = !self.competing && self.writer.is_some_and(|writer| writer != self.me);
        let wait = if calm { self.least } else { self.wait };
        let wanted = calm || self.competing;
        !self.is_open && wanted && now.since(self.since) >= wait
    }

    /// The window is open.
    pub fn opened(&mut self, now: Time) {
        (self.is_open, self.since) = (true, now);
    }

    /// A slot had to be recovered, so the window ends, if there is one.
    pub fn relapsed(&mut self, now: Time) {
        if !self.is_open {
            return;
        }
        let longest = self.least * LONGEST;
        let served = now.since(self.since);
        self.wait = if served >= longest { self.least } else { (self.wait * 2).min(longest) };
        (self.is_open, self.since) = (false, now);
        (self.writer, self.competing) = (None, false);
    }

    /// How long it waits while several write.
    pub fn wait(&self) -> Duration {
        self.wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_millis(milliseconds)
    }

    fn after_a_relapse() -> Fallback {
        let mut fallback = Fallback::new(NodeId(1), Duration::from_millis(100));
        fallback.opened(at(0));
        fallback.relapsed(at(10));
        fallback
    }

    #[test]
    fn one_writer_that_is_not_the_leader_gets_a_window_after_the_least_wait() {
        let mut fallback = after_a_relapse();
        assert!(!fallback.is_due(at(10_000)), "nobody writes");
        fallback.note(NodeId(2));
        assert!(!fallback.is_due(at(109)));
        assert!(fallback.is_due(at(110)));
        let mut alone = after_a_relapse();
        alone.note(NodeId(1));
        assert!(!alone.is_due(at(10_000)), "the leader's own slots are as fast");
    }

    #[test]
    fn several_writers_wait_twice_as_long_after_every_relapse_up_to_a_bound() {
        let mut fallback = after_a_relapse();
        let mut now = 10;
        for relapse in 1..10_u32 {
            fallback.note(NodeId(2));
            fallback.note(NodeId(3));
            let wait = 100 * 2_u64.pow(relapse.min(5));
            assert_eq!(fallback.wait(), Duration::from_millis(wait));
            assert!(!fallback.is_due(at(now + wait - 1)) && fallback.is_due(at(now + wait)));
            now += wait;
            fallback.opened(at(now));
            fallback.relapsed(at(now));
        }
    }

    #[test]
    fn a_window_that_served_for_long_takes_the_doubling_back() {
        let mut fallback = after_a_relapse();
        fallback.opened(at(1_000));
        fallback.relapsed(at(1_010));
        assert_eq!(fallback.wait(), Duration::from_millis(400));
        fallback.opened(at(2_000));
        fallback.relapsed(at(2_000 + 3_200));
        assert_eq!(fallback.wait(), Duration::from_millis(100));
    }
}
