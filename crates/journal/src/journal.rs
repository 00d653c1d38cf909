//! The journal itself: append, sync in groups, roll, truncate.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use synod_probe::{mark, mutant};

use crate::atomic::AtomicFile;
use crate::disk::{Disk, DiskFile, is_out_of_descriptors};
use crate::error::{JournalError, OpenError};
use crate::format::{
    BATCH_BYTES_MAX, Batch, Encoder, HEADER_BYTES, Header, Identity, Position, segment_name,
};
use crate::recovery::{Closed, Recovered, Scan, scan};

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has grown to so many bytes is closed by the next sync.
    pub segment_bytes: u64,
    /// The highest slot that a durable checkpoint covers. What was deleted spoke of no higher one, so that a journal whose
    /// deleted segments did is refused. Not checked if `None`.
    pub covered: Option<u64>,
}

impl Default for Options {
    /// Segments of 64 MiB; what a checkpoint covers is not known.
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, covered: None }
    }
}

/// The segment that is written.
#[derive(Debug)]
struct Current {
    number: u64,
    /// The checksum of its header.
    seed: u32,
    /// The checksum of its last batch, or of its header.
    last: u32,
    file: Box<dyn DiskFile>,
    /// How much of it is synced, which is all that was written.
    bytes: u64,
    mark: u64,
    /// The highest mark in all segments before it, deleted ones included.
    before: u64,
}

/// An open journal.
///
/// **Invariant:** between two calls everything written is synced, or the journal has failed for good.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    identity: Identity,
    options: Options,
    closed: VecDeque<Closed>,
    current: Current,
    pending: Vec<Batch>,
    /// The current segment is full, and the next one could not be opened.
    roll_put_off: bool,
    failed: Option<JournalError>,
}

impl Journal {
    /// Reads what the disk holds and begins a new segment. When this returns, everything recovered is
    /// durable: what was not proven to be synced was written again, since what was read may have come from a
    /// cache whose write had failed; and the torn tail is cut.
    ///
    /// A crash on the way leaves the journal as it was, or the new segment complete: it gets its name when it
    /// is synced, and only then is anything removed.
    ///
    /// # Errors
    /// If the journal is somebody else's or damaged (then nothing was changed), or the disk fails.
    pub fn open(
        disk: impl Disk + 'static,
        identity: Identity,
        options: Options,
    ) -> Result<(Journal, Recovered), OpenError> {
        let mut disk: Box<dyn Disk> = Box::new(disk);
        let Scan { recovered, proven, link, before, unproven, closed, cut, obsolete, next } =
            scan(&mut *disk, identity, options.covered)?;
        // The last batch of a journal is never proven, so it is among those, and the state with it.
        let newest = unproven.last().map(|batch| &batch.state);
        assert!(
            newest == recovered.state.as_ref() || mutant!(UnprovenTailNotRewritten),
            "the newest state is not written again: {newest:?}"
        );
        mark!(UnprovenTailWrittenAgain if unproven.len() > 1);
        let header = Header { identity, segment: next, after: proven, link, founded: 0, before };
        let name = segment_name(next);
        let file = AtomicFile::create(&mut *disk, &name);
        let file = file.map_err(|error| JournalError::new(&name, "begun", &error))?;
        let current = found(&mut *disk, file, header, &unproven)?;
        clean_up(&mut *disk, &cut, &obsolete)?;
        let journal = Journal {
            disk,
            identity,
            options,
            closed: closed.into(),
            current,
            pending: Vec::new(),
            roll_put_off: false,
            failed: None,
        };
        Ok((journal, recovered))
    }

    /// Adds a batch to what the next `sync` writes: `records`, of which none speaks of a slot above `mark`, and
    /// `state`, the summary that every batch repeats. After a failure it is dropped, since nothing will be
    /// written any more.
    pub fn append(&mut self, state: &[u8], mark: u64, records: &[Bytes]) {
        if self.failed.is_none() {
            let state = Bytes::copy_from_slice(state);
            self.pending.push(Batch { mark, state, records: records.to_vec() });
        }
    }

    /// Makes everything appended durable: one vectored write, one sync. The first failure is final: later calls
    /// return it again and touch nothing.
    ///
    /// # Errors
    /// If the disk fails. What it holds then is unknown.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.unless_failed(Journal::write_pending)
    }

    /// Deletes closed segments, oldest first, as long as none of their records speaks of a slot above `mark`,
    /// and returns how many. A durable checkpoint covers these slots. The newest state survives: each segment
    /// repeats it in its founding bytes.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn truncate(&mut self, mark: u64) -> Result<usize, JournalError> {
        self.unless_failed(|journal| journal.delete_closed(mark))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + self.current.bytes
    }

    /// Whether this process had no descriptor left for the next segment when it was last needed. The current one goes
    /// on growing until there is one.
    pub fn is_out_of_descriptors(&self) -> bool {
        self.roll_put_off
    }

    fn unless_failed<T>(
        &mut self,
        act: impl FnOnce(&mut Journal) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let result = act(self);
        if let Err(error) = &result {
            mark!(JournalStopped);
            mark!(DiskFull if matches!(error, JournalError::Full { .. }));
            self.failed = Some(error.clone());
            self.pending = Vec::new();
        }
        result
    }

    fn write_pending(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Some(size) = self.pending.iter().map(Batch::size).find(|size| *size > BATCH_BYTES_MAX) {
            return Err(JournalError::TooLarge(size));
        }
        let pending = std::mem::take(&mut self.pending);
        if self.current.bytes >= self.options.segment_bytes
            && let Some(file) = self.open_next()?
        {
            return self.roll(file, &pending);
        }
        self.write(&pending)
    }

    /// The file of the next segment, without its name; none if no descriptor is free. That is no failure of the disk,
    /// and the size of a segment is no promise.
    fn open_next(&mut self) -> Result<Option<AtomicFile>, JournalError> {
        let name = segment_name(self.current.number + 1);
        let opened = AtomicFile::create(&mut *self.disk, &name);
        self.roll_put_off = opened.as_ref().is_err_and(is_out_of_descriptors);
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(_) if self.roll_put_off => {
                mark!(SegmentPutOff);
                Ok(None)
            }
            Err(error) => Err(JournalError::new(&name, "begun", &error)),
        }
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), JournalError> {
        let current = &mut self.current;
        let mut encoder = Encoder::new(current.seed, current.bytes);
        for batch in batches {
            let synced = if mutant!(SyncedThroughOverstated) { encoder.end() } else { current.bytes };
            encoder.push(synced, batch);
        }
        let name = segment_name(current.number);
        let written = current.file.append(&encoder.slices());
        written.map_err(|error| JournalError::new(&name, "written", &error))?;
        let mut synced = if mutant!(SyncSkipped) { Ok(()) } else { current.file.sync() };
        if mutant!(SyncRetried) && synced.is_err() {
            synced = current.file.sync();
        }
        synced.map_err(|error| JournalError::new(&name, "synced", &error))?;
        current.bytes = encoder.end();
        current.last = encoder.last_checksum();
        current.mark = current.mark.max(highest_mark(batches));
        Ok(())
    }

    /// Closes the current segment, of which everything is synced, and begins the next with `batches`.
    fn roll(&mut self, file: AtomicFile, batches: &[Batch]) -> Result<(), JournalError> {
        mark!(SegmentRolled);
        let Current { number, last, bytes, mark, before, .. } = self.current;
        let after = Position { segment: number, offset: bytes };
        let (identity, segment, before) = (self.identity, number + 1, before.max(mark));
        let header = Header { identity, segment, after, link: last, founded: 0, before };
        self.current = found(&mut *self.disk, file, header, batches)?;
        self.closed.push_back(Closed { number, bytes, mark });
        Ok(())
    }

    fn delete_closed(&mut self, mark: u64) -> Result<usize, JournalError> {
        let mut deleted = 0;
        while let Some(oldest) = self.closed.front().filter(|oldest| is_covered(oldest, mark)) {
            // One at a time and durably: a hole in the chain would be taken for damage.
            let name = segment_name(oldest.number);
            let removed = self.disk.remove(&name).and_then(|()| self.disk.sync_dir());
            removed.map_err(|error| JournalError::new(&name, "deleted", &error))?;
            mark!(SegmentDeleted);
            self.closed.pop_front();
            deleted += 1;
        }
        Ok(deleted)
    }
}

/// Whether nothing in it is above `mark`.
fn is_covered(segment: &Closed, mark: u64) -> bool {
    segment.mark <= mark || mutant!(SegmentDeletedTooEarly)
}

fn highest_mark(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.mark).max().unwrap_or(0)
}

/// Begins a segment in `file` with `batches` in it, which settles the header's `founded`. When this returns, the segment is
/// durable; before, it has no name.
fn found(
    disk: &mut dyn Disk,
    file: AtomicFile,
    header: Header,
    batches: &[Batch],
) -> Result<Current, JournalError> {
    let size: usize = batches.iter().map(Batch::size).sum();
    let founded = (HEADER_BYTES + size) as u64;
    let Header { segment: number, before, .. } = header;
    let (header, seed) = Header { founded, ..header }.encode();
    let mut encoder = Encoder::new(seed, HEADER_BYTES as u64);
    for batch in batches {
        encoder.push(0, batch);
    }
    assert_eq!(encoder.end(), founded, "the size of {} batches", batches.len());
    let mut slices = vec![IoSlice::new(&header)];
    slices.extend(encoder.slices());
    let name = segment_name(number);
    let file = write_new(disk, file, &slices).map_err(|error| JournalError::new(&name, "begun", &error))?;
    let (last, mark) = (encoder.last_checksum(), highest_mark(batches));
    Ok(Current { number, seed, last, file, bytes: founded, mark, before })
}

fn write_new(
    disk: &mut dyn Disk,
    mut file: AtomicFile,
    parts: &[IoSlice<'_>],
) -> io::Result<Box<dyn DiskFile>> {
    file.append_parts(parts)?;
    file.finish_open(disk)
}

/// Removes what the new segment has made superfluous. What a crash leaves of it, the next start removes.
fn clean_up(disk: &mut dyn Disk, cut: &[(u64, u64)], obsolete: &[u64]) -> Result<(), OpenError> {
    for (number, bytes) in cut {
        let file = segment_name(*number);
        disk.truncate(&file, *bytes).map_err(|source| OpenError::Io { file, action: "cut", source })?;
    }
    for number in obsolete {
        let file = segment_name(*number);
        let removed = disk.remove(&file).and_then(|()| disk.sync_dir());
        removed.map_err(|source| OpenError::Io { file, action: "removed", source })?;
    }
    Ok(())
}
