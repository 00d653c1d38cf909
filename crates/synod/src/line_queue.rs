//! Lines on their way to a stream that may not take them: a pipe that is not read blocks its writer, and no thread
//! that votes or syncs may be that writer.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait, at most. One more is lost, and counted.
const LINES_MAX: usize = 4096;
/// Between two attempts to ask for a flush of a full queue.
const FLUSH_PAUSE: Duration = Duration::from_millis(5);

/// A bounded queue of lines, written by a thread of its own. What does not fit is lost and counted; where lines are
/// missing, the stream is told how many.
#[derive(Clone, Debug)]
pub(crate) struct LineQueue {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Item {
    /// Lines lost just before it.
    missing: u64,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Line(Vec<u8>),
    /// Tells that everything before it is written.
    Flush(SyncSender<()>),
}

impl LineQueue {
    /// A queue to `stream`. `lost` is the line that says how many are missing.
    ///
    /// # Panics
    /// If the system gives no thread.
    pub(crate) fn start(
        stream: impl Write + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
    ) -> LineQueue {
        let (items, waiting) = sync_channel(LINES_MAX);
        let thread = thread::Builder::new().name("synod-log".into());
        let spawned = thread.spawn(move || write_all(stream, &waiting, lost));
        spawned.expect("a process that gets no thread for its log gets none for its work either");
        LineQueue { items, lost: Arc::default() }
    }

    /// Adds a line, its end included, or counts it as lost. Never waits.
    pub(crate) fn push(&self, line: Vec<u8>) {
        if self.try_send(Work::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was added is written, but no longer than `patience`.
    pub(crate) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let (done, flushed) = sync_channel(1);
        let mut work = Work::Flush(done);
        while let Err(refused) = self.try_send(work) {
            if Instant::now() > end {
                return;
            }
            work = refused;
            thread::sleep(FLUSH_PAUSE);
        }
        // An error means that the stream takes nothing: the lines are lost.
        let _ = flushed.recv_timeout(end.saturating_duration_since(Instant::now()));
    }

    fn try_send(&self, work: Work) -> Result<(), Work> {
        let missing = self.lost.swap(0, Ordering::Relaxed);
        self.items.try_send(Item { missing, work }).map_err(|refused| {
            self.lost.fetch_add(missing, Ordering::Relaxed);
            match refused {
                TrySendError::Full(item) | TrySendError::Disconnected(item) => item.work,
            }
        })
    }
}

/// One line a call, as the formatting of log lines writes them.
impl Write for LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until every queue is gone. A stream that fails takes nothing more, and there is no place to say so.
fn write_all(mut stream: impl Write, waiting: &Receiver<Item>, lost: impl Fn(u64) -> String) {
    for Item { missing, work } in waiting {
        if missing > 0 {
            let _ = stream.write_all(lost(missing).as_bytes());
        }
        match work {
            Work::Line(line) => drop(stream.write_all(&line)),
            Work::Flush(done) => {
                let _ = stream.flush();
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A stream that takes a line only when it is allowed to.
    struct Gated {
        gate: mpsc::Receiver<()>,
        taken: mpsc::Sender<String>,
    }

    impl Write for Gated {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            let _ = self.taken.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LineQueue, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let ((open, gate), (taken, lines)) = (mpsc::channel(), mpsc::channel());
        let queue = LineQueue::start(Gated { gate, taken }, |lost| format!("{lost} lost\n"));
        (queue, open, lines)
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_up_no_writer_and_is_told_what_it_missed() {
        let (queue, open, lines) = gated();
        let all = LINES_MAX + 100;
        for number in 0..all {
            queue.push(format!("{number}\n").into_bytes());
        }
        queue.flush(Duration::from_millis(20));
        drop(open);
        queue.flush(Duration::from_secs(60));
        drop(queue);
        let written: Vec<String> = lines.iter().collect();
        // The writer had taken none or one when the queue was full.
        let (last, kept) = written.split_last().unwrap();
        let lost: usize = last.strip_suffix(" lost\n").unwrap().parse().unwrap();
        assert!(lost == all - LINES_MAX || lost == all - LINES_MAX - 1, "{lost} were lost");
        assert!(kept.iter().map(|line| line.trim().parse()).eq((0..all - lost).map(Ok)), "{kept:?}");
    }

    #[test]
    fn a_flush_waits_until_everything_is_written() {
        let (queue, open, lines) = gated();
        drop(open);
        queue.push(b"last words\n".to_vec());
        queue.flush(Duration::from_secs(60));
        assert_eq!(lines.try_recv().as_deref(), Ok("last words\n"));
    }
}
