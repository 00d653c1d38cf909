//! The journal's thread: everything that waits is written with one sync.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use synod_journal::{Journal, JournalError};
use synod_paxos::durable::Token;
use synod_paxos::slot::Slot;

use crate::shared::{Shared, StopReason, Trouble};
use crate::voter_loop::Queues;

/// What the journal is given.
#[derive(Debug)]
pub(crate) enum JournalWork {
    /// Write and sync.
    Persist { token: Token, state: Bytes, mark: u64, records: Vec<Bytes> },
    /// Forget what a checkpoint covers.
    Truncate { through: Slot },
}

impl JournalWork {
    /// What it weighs while it waits.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            JournalWork::Persist { state, records, .. } => {
                (state.len() + records.iter().map(Bytes::len).sum::<usize>()) as u64
            }
            JournalWork::Truncate { .. } => 0,
        }
    }
}

/// Runs until the queue is closed, or the disk fails: then for good, since nobody knows what a disk holds after a
/// failed sync.
pub(crate) fn run(mut journal: Journal, shared: &Shared, queues: &Queues) {
    let mut work = Vec::new();
    while queues.journal.take(&mut work) {
        let bytes = work.iter().map(JournalWork::bytes).sum();
        let written = write(&mut journal, &mut work);
        let grows = journal.is_out_of_descriptors().then(|| {
            "no more files can be opened (ulimit -n): the journal goes on in a segment that is full"
                .to_owned()
        });
        shared.troubles.set(Trouble::Segment, grows);
        match written {
            Ok(None) => {}
            Ok(Some(token)) => {
                shared.journal_bytes.store(journal.bytes(), Ordering::Relaxed);
                queues.journal_backlog.fetch_sub(bytes, Ordering::Relaxed);
                shared.inbox.persisted(token);
            }
            Err(error) => return shared.fail(StopReason::Disk(error.to_string())),
        }
    }
}

/// Writes everything with one sync; returns the newest token of it.
fn write(journal: &mut Journal, work: &mut Vec<JournalWork>) -> Result<Option<Token>, JournalError> {
    let (mut newest, mut covered) = (None, None);
    for item in work.drain(..) {
        match item {
            JournalWork::Persist { token, state, mark, records } => {
                journal.append(&state, mark, &records);
                newest = newest.max(Some(token));
            }
            JournalWork::Truncate { through } => covered = covered.max(Some(through)),
        }
    }
    journal.sync()?;
    if let Some(through) = covered {
        journal.truncate(through.0)?;
    }
    Ok(newest)
}
