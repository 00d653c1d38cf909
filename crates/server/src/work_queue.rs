//! Work for one thread, in order.

use std::mem;

use parking_lot::{Condvar, Mutex};

/// A queue from which its one reader takes everything at once.
///
/// It takes whatever comes: what bounds it is that the voter has only so much under way, which each use states.
#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    waiting: Mutex<Waiting<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    work: Vec<T>,
    closed: bool,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new() -> WorkQueue<T> {
        WorkQueue { waiting: Mutex::new(Waiting { work: Vec::new(), closed: false }), filled: Condvar::new() }
    }

    /// Adds work; forgets it once the queue is closed.
    pub(crate) fn push(&self, work: T) {
        self.push_below(work, usize::MAX);
    }

    /// Adds work unless `max` pieces wait already; says whether it did.
    pub(crate) fn push_below(&self, work: T, max: usize) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed || waiting.work.len() >= max {
            return false;
        }
        waiting.work.push(work);
        if waiting.work.len() == 1 {
            self.filled.notify_one();
        }
        true
    }

    /// How much waits.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().work.len()
    }

    /// No more work comes; the reader does what waits and ends.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.filled.notify_one();
    }

    /// Exchanges everything that waits for the emptied `taken`, waiting for something to come. False when nothing
    /// will come any more.
    pub(crate) fn take(&self, taken: &mut Vec<T>) -> bool {
        taken.clear();
        let mut waiting = self.waiting.lock();
        while waiting.work.is_empty() {
            if waiting.closed {
                return false;
            }
            self.filled.wait(&mut waiting);
        }
        mem::swap(&mut waiting.work, taken);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_comes_out_in_order_and_what_waits_at_the_end_is_still_done() {
        let queue = WorkQueue::new();
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..1000 {
                    queue.push(number);
                }
                queue.close();
                queue.push(1000);
            });
            let mut burst = Vec::new();
            while queue.take(&mut burst) {
                taken.append(&mut burst);
            }
        });
        assert!(taken.iter().copied().eq(0..1000), "{taken:?}");
    }

    #[test]
    fn a_bound_is_kept() {
        let queue = WorkQueue::new();
        assert!(queue.push_below(1, 2) && queue.push_below(2, 2) && !queue.push_below(3, 2));
    }
}
