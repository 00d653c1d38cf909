//! The journal itself: append, sync in groups, roll, truncate.

use std::cmp::Ordering;
use std::collections::VecDeque;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{JournalError, OpenError};
use crate::format::{
    BATCH_BYTES_MAX, Batch, Identity, Position, SEGMENT_HEADER_BYTES, batch_bytes, encode_batch,
    encode_header, segment_name,
};
use crate::recovery::{Recovered, Scan, scan};

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has grown beyond this is closed.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20 }
    }
}

/// A closed segment.
#[derive(Debug)]
struct Closed {
    number: u64,
    bytes: u64,
    mark: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: Box<dyn DiskFile>,
    bytes: u64,
    mark: u64,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    identity: Identity,
    options: Options,
    closed: VecDeque<Closed>,
    current: Current,
    pending: Vec<Batch>,
    /// Everything before this is synced.
    synced: Position,
    failed: Option<JournalError>,
}

impl Journal {
    /// Reads what the disk holds and prepares a new segment. When this returns, everything recovered is
    /// durable: what was not proven to be synced has been written again, since what was read may have come
    /// from a cache whose write had failed.
    ///
    /// # Errors
    /// If the journal is somebody else's or damaged (then nothing was changed), or the disk fails.
    pub fn open(
        disk: impl Disk + 'static,
        identity: Identity,
        options: Options,
    ) -> Result<(Journal, Recovered), OpenError> {
        let mut disk: Box<dyn Disk> = Box::new(disk);
        let scan = scan(&mut *disk, identity)?;
        cut(&mut *disk, &scan)?;
        let number = scan.segments.last().map_or(1, |segment| segment.number + 1);
        let current = create(&mut *disk, identity, number)?;
        let closed = scan
            .segments
            .iter()
            .map(|segment| Closed { number: segment.number, bytes: segment.bytes, mark: segment.mark })
            .collect();
        let mut journal = Journal {
            disk,
            identity,
            options,
            closed,
            current,
            pending: Vec::new(),
            synced: scan.proven,
            failed: None,
        };
        journal.write_again(&scan)?;
        let recovered = Recovered {
            state: scan.batches.last().map(|(_, batch)| batch.state.clone()),
            records: scan.batches.into_iter().flat_map(|(_, batch)| batch.records).collect(),
            torn: scan.torn,
        };
        Ok((journal, recovered))
    }

    /// Writes what was not proven to be synced once more, cuts the unproven copy, and adds an empty batch
    /// that bears witness for the new one.
    ///
    /// A crash in between finds either the old copy whole, or one that had never been synced: then nobody
    /// was told of it. The order matters: a witness beside an unproven copy would make damage of it.
    fn write_again(&mut self, scan: &Scan) -> Result<(), JournalError> {
        let Some((_, last)) = scan.batches.last() else { return self.sync_header() };
        for (position, batch) in &scan.batches {
            if *position >= scan.proven {
                self.pending.push(batch.clone());
            }
        }
        self.sync()?;
        for segment in scan.segments.iter().rev() {
            let proven = match segment.number.cmp(&scan.proven.segment) {
                Ordering::Less => break,
                Ordering::Equal => scan.proven.offset,
                // Kept, though empty: the numbers of the files have no gap.
                Ordering::Greater => SEGMENT_HEADER_BYTES as u64,
            };
            if proven < segment.bytes {
                let name = segment_name(segment.number);
                let truncated = self.disk.truncate(&name, proven);
                truncated.map_err(|error| JournalError::new(&name, "cut", &error))?;
            }
        }
        self.pending.push(Batch { records: Vec::new(), mark: 0, ..last.clone() });
        self.sync()
    }

    fn sync_header(&mut self) -> Result<(), JournalError> {
        let name = segment_name(self.current.number);
        self.current.file.sync().map_err(|error| JournalError::new(&name, "synced", &error))
    }

    /// Adds a batch to what the next `sync` writes. `mark` is the highest slot that `records` speak of.
    pub fn append(&mut self, state: &[u8], mark: u64, records: &[Bytes]) {
        let state = Bytes::copy_from_slice(state);
        // The position is filled in when the batch is written.
        self.pending.push(Batch {
            synced_through: Position::default(),
            mark,
            state,
            records: records.to_vec(),
        });
    }

    /// Makes everything appended durable: one write, one sync. The first failure is final: later calls
    /// return it again and touch nothing.
    ///
    /// # Errors
    /// If the disk fails. What it holds then is unknown.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let written = self.write_pending();
        if let Err(error) = &written {
            self.failed = Some(error.clone());
        }
        written
    }

    fn write_pending(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.current.bytes >= self.options.segment_bytes {
            self.roll()?;
        }
        let mut out = Vec::new();
        let mut mark = self.current.mark;
        for mut batch in self.pending.drain(..) {
            let size = batch_bytes(&batch.state, &batch.records);
            if size > BATCH_BYTES_MAX {
                return Err(JournalError::TooLarge(size));
            }
            let offset = self.current.bytes + out.len() as u64;
            batch.synced_through = self.synced;
            mark = mark.max(batch.mark);
            encode_batch(&mut out, Position { segment: self.current.number, offset }, &batch);
        }
        let name = segment_name(self.current.number);
        let file = &mut self.current.file;
        file.append(&out).map_err(|error| JournalError::new(&name, "written", &error))?;
        file.sync().map_err(|error| JournalError::new(&name, "synced", &error))?;
        self.current.bytes += out.len() as u64;
        self.current.mark = mark;
        self.synced = Position { segment: self.current.number, offset: self.current.bytes };
        Ok(())
    }

    /// Closes the current segment, of which everything is synced, and begins the next.
    fn roll(&mut self) -> Result<(), JournalError> {
        let next =
            create(&mut *self.disk, self.identity, self.current.number + 1).map_err(|error| match error {
                OpenError::Io { file, action, source } => JournalError::new(&file, action, &source),
                other => unreachable!("creating a segment reads nothing, yet: {other}"),
            })?;
        let Current { number, bytes, mark, .. } = std::mem::replace(&mut self.current, next);
        self.closed.push_back(Closed { number, bytes, mark });
        Ok(())
    }

    /// Deletes closed segments, oldest first, as long as none of their records speaks of a slot above `mark`.
    /// A durable checkpoint covers these slots; the state survives in the newest batch.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn truncate(&mut self, mark: u64) -> Result<usize, JournalError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        // The newest batch holds the state; a current segment without one must not be left alone.
        if self.current.bytes <= SEGMENT_HEADER_BYTES as u64 {
            return Ok(0);
        }
        let mut deleted = 0;
        while let Some(oldest) = self.closed.front().filter(|oldest| oldest.mark <= mark) {
            let name = segment_name(oldest.number);
            // One at a time and in order: what is left after a crash has no hole.
            let removed = self.disk.remove(&name).and_then(|()| self.disk.sync_dir());
            if let Err(error) = removed {
                let error = JournalError::new(&name, "deleted", &error);
                self.failed = Some(error.clone());
                return Err(error);
            }
            self.closed.pop_front();
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + self.current.bytes
    }
}

/// Removes the torn tail: nothing that depended on it was acknowledged. Later files first, so that a crash
/// in between leaves a journal with the same torn tail.
fn cut(disk: &mut dyn Disk, scan: &Scan) -> Result<(), OpenError> {
    let Some(torn) = &scan.torn else { return Ok(()) };
    for number in scan.void.iter().rev() {
        let file = segment_name(*number);
        disk.remove(&file).map_err(|source| OpenError::Io {
            file: file.clone(),
            action: "removed",
            source,
        })?;
        disk.sync_dir().map_err(|source| OpenError::Io { file, action: "removed", source })?;
    }
    if scan.segments.last().is_some_and(|segment| segment.number == torn.position.segment) {
        let file = segment_name(torn.position.segment);
        let truncated = disk.truncate(&file, torn.position.offset);
        truncated.map_err(|source| OpenError::Io { file, action: "cut", source })?;
    }
    Ok(())
}

fn create(disk: &mut dyn Disk, identity: Identity, number: u64) -> Result<Current, OpenError> {
    let name = segment_name(number);
    let io = |action| {
        let file = name.clone();
        move |source| OpenError::Io { file, action, source }
    };
    let mut file = disk.create(&name).map_err(io("created"))?;
    file.append(&encode_header(identity, number)).map_err(io("written"))?;
    disk.sync_dir().map_err(io("created"))?;
    Ok(Current { number, file, bytes: SEGMENT_HEADER_BYTES as u64, mark: 0 })
}
