//! The thread that owns a replica's files.

use std::io;
use std::sync::mpsc as std_mpsc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::home::{Home, HomeError};
use crate::host::Write;

/// Something to be made durable.
#[derive(Debug)]
enum Job {
    Append { write: Write, mark: u64, records: Vec<Bytes> },
    Snapshot { generation: u64, bytes: Bytes },
    Truncate { mark: u64 },
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Done {
    /// Everything up to this write is durable.
    Persisted(Write),
    /// The snapshot is.
    Snapshot,
    /// The disk failed. Nothing is written any more.
    Failed(HomeError),
}

/// The way to the thread. What waits there is bounded by what clients may have waiting.
#[derive(Debug)]
pub(super) struct Disk {
    // First, so that it is dropped first: the thread ends when this is gone.
    jobs: std_mpsc::Sender<Job>,
    _thread: Thread,
}

/// Waits for the thread when it is dropped: whoever opens the files next must not find it writing.
#[derive(Debug)]
struct Thread(Option<thread::JoinHandle<()>>);

impl Drop for Thread {
    fn drop(&mut self) {
        // One that panicked has ended as well.
        drop(self.0.take().map(thread::JoinHandle::join));
    }
}

impl Disk {
    /// Starts the thread. Dropping what this returns takes until it has written what it was given, and has ended.
    pub(super) fn start(home: Home) -> io::Result<(Disk, mpsc::UnboundedReceiver<Done>)> {
        let (jobs, waiting) = std_mpsc::channel();
        let (done, finished) = mpsc::unbounded_channel();
        let thread =
            thread::Builder::new().name("journal".to_owned()).spawn(move || work(home, &waiting, &done))?;
        Ok((Disk { jobs, _thread: Thread(Some(thread)) }, finished))
    }

    // A thread that is gone has said why.
    fn give(&self, job: Job) {
        drop(self.jobs.send(job));
    }

    pub(super) fn append(&self, write: Write, mark: u64, records: Vec<Bytes>) {
        self.give(Job::Append { write, mark, records });
    }

    pub(super) fn write_snapshot(&self, generation: u64, bytes: Bytes) {
        self.give(Job::Snapshot { generation, bytes });
    }

    pub(super) fn truncate(&self, mark: u64) {
        self.give(Job::Truncate { mark });
    }
}

fn work(mut home: Home, waiting: &std_mpsc::Receiver<Job>, done: &mpsc::UnboundedSender<Done>) {
    while let Ok(first) = waiting.recv() {
        let jobs: Vec<Job> = std::iter::once(first).chain(waiting.try_iter()).collect();
        // Nobody listens any more once the replica is gone: then the next job does not come.
        if let Err(error) = carry_out(&mut home, jobs, done) {
            drop(done.send(Done::Failed(error)));
            return;
        }
    }
}

/// One sync for all appends that wait; what needs them durable comes after it.
fn carry_out(home: &mut Home, jobs: Vec<Job>, done: &mpsc::UnboundedSender<Done>) -> Result<(), HomeError> {
    let mut last = None;
    let mut others = Vec::new();
    for job in jobs {
        match job {
            Job::Append { write, mark, records } => {
                home.append(mark, &records);
                last = Some(write);
            }
            other => others.push(other),
        }
    }
    if let Some(write) = last {
        home.sync()?;
        drop(done.send(Done::Persisted(write)));
    }
    for job in others {
        match job {
            Job::Snapshot { generation, bytes } => {
                home.write_snapshot(generation, &bytes)?;
                drop(done.send(Done::Snapshot));
            }
            Job::Truncate { mark } => home.truncate(mark)?,
            Job::Append { .. } => unreachable!("appends were taken out"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use synod_journal::Files;
    use synod_paxos::config::ClusterId;
    use synod_paxos::node::NodeId;

    use super::*;
    use crate::home::Owner;

    #[test]
    fn whoever_opens_the_files_after_a_disk_was_dropped_finds_all_that_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::Directory(directory.path().to_owned());
        let owner = Owner { cluster: ClusterId(1), node: NodeId(1), protocol: "any" };
        let open = || Home::open(&files, owner, 1 << 20).unwrap();
        let (disk, _done) = Disk::start(open().0).unwrap();
        let records: Vec<Bytes> = (0..100_u8).map(|number| vec![number].into()).collect();
        for (write, record) in (1..).map(Write).zip(&records) {
            disk.append(write, 0, vec![record.clone()]);
        }
        drop(disk);
        assert_eq!(open().1.records, records);
    }
}
