//! Reading a journal after a crash: what may be lost, what must not be, and how to tell.
//!
//! Every batch says how far earlier bytes were known to be synced when it was written. Bad bytes at x are a
//! *torn tail* exactly if no valid batch anywhere says that the journal was synced beyond x: then nothing
//! that depended on them was ever acknowledged, and they are cut. Otherwise they are *damage*.
//!
//! Damage inside the last batch that was synced cannot be told from a torn tail, since no batch after it
//! bears witness. That one batch is the price of a journal without a second copy of its end.

use bytes::Bytes;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{
    BATCH_MAGIC, Batch, HeaderFault, Identity, Position, SEGMENT_HEADER_BYTES, check_header, decode_batch,
    segment_name, segment_number,
};

/// What a journal held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The state of the newest batch.
    pub state: Option<Bytes>,
    /// All records, in the order in which they were written. After a crash in the middle of a recovery a run
    /// of records at the end may stand twice.
    pub records: Vec<Bytes>,
    /// What was cut.
    pub torn: Option<TornTail>,
}

/// Bytes that were cut because nothing acknowledged can have depended on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where they began.
    pub position: Position,
    /// How many bytes were in the files from there on.
    pub bytes: u64,
}

/// A segment as it was found.
#[derive(Debug)]
pub(crate) struct FoundSegment {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) mark: u64,
}

/// The valid part of a journal.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) segments: Vec<FoundSegment>,
    pub(crate) batches: Vec<(Position, Batch)>,
    /// Up to here everything was synced for certain.
    pub(crate) proven: Position,
    pub(crate) torn: Option<TornTail>,
    /// Segments that begin behind the torn place: nothing in them counts.
    pub(crate) void: Vec<u64>,
}

struct Fault {
    position: Position,
    batch: usize,
    reason: &'static str,
}

/// Reads everything, changes nothing.
pub(crate) fn scan(disk: &mut dyn Disk, identity: Identity) -> Result<Scan, OpenError> {
    let listed = disk.list();
    let names =
        listed.map_err(|source| OpenError::Io { file: "the journal".into(), action: "listed", source })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut scan = Scan::default();
    let mut fault: Option<Fault> = None;
    let mut expected = numbers.first().copied();
    for number in numbers {
        if fault.is_none()
            && let Some(missing) = expected.filter(|expected| *expected != number)
        {
            let position = Position { segment: missing, offset: 0 };
            fault = Some(Fault { position, batch: 1, reason: "the file is missing" });
        }
        expected = Some(number + 1);
        scan_segment(disk, identity, number, &mut scan, &mut fault)?;
    }
    let Some(fault) = fault else { return Ok(scan) };
    if scan.proven > fault.position {
        return Err(OpenError::Damaged {
            file: segment_name(fault.position.segment),
            offset: fault.position.offset,
            batch: fault.batch,
            reason: fault.reason.to_owned(),
            proof: scan.proven,
        });
    }
    if let Some(torn) = &mut scan.torn {
        torn.position = fault.position;
    }
    Ok(scan)
}

/// Reads one segment. Behind the first fault only witnesses are sought: valid batches that say how far the
/// journal was synced.
fn scan_segment(
    disk: &mut dyn Disk,
    identity: Identity,
    number: u64,
    scan: &mut Scan,
    fault: &mut Option<Fault>,
) -> Result<(), OpenError> {
    let file = segment_name(number);
    let bytes = disk.read(&file);
    let bytes =
        Bytes::from(bytes.map_err(|source| OpenError::Io { file: file.clone(), action: "read", source })?);
    let length = bytes.len() as u64;
    let at = |offset: usize| Position { segment: number, offset: offset as u64 };
    let mut offset = SEGMENT_HEADER_BYTES;
    match check_header(&bytes, identity, number) {
        Ok(()) => {}
        Err(HeaderFault::Version(version)) => return Err(OpenError::Version { file, version }),
        Err(HeaderFault::Foreign(found)) => {
            return Err(OpenError::Foreign { file, found, expected: identity });
        }
        Err(HeaderFault::Bad(reason)) => {
            fault.get_or_insert(Fault { position: at(0), batch: 1, reason });
            offset = 0;
        }
    }
    if fault.is_some() {
        let torn = scan.torn.get_or_insert(TornTail { position: at(0), bytes: 0 });
        torn.bytes += length;
        scan.void.push(number);
        seek_witnesses(&bytes, number, offset, &mut scan.proven);
        return Ok(());
    }
    let mut mark = 0;
    let mut count = 0;
    while offset < bytes.len() {
        match decode_batch(&bytes.slice(offset..), at(offset)) {
            Ok((batch, size)) => {
                count += 1;
                mark = mark.max(batch.mark);
                scan.proven = scan.proven.max(batch.synced_through);
                scan.batches.push((at(offset), batch));
                offset += size;
            }
            Err(reason) => {
                *fault = Some(Fault { position: at(offset), batch: count + 1, reason });
                scan.torn = Some(TornTail { position: at(offset), bytes: length - offset as u64 });
                seek_witnesses(&bytes, number, offset, &mut scan.proven);
                break;
            }
        }
    }
    scan.segments.push(FoundSegment { number, bytes: offset as u64, mark });
    Ok(())
}

/// Every place where a valid batch begins, whatever lies between.
fn seek_witnesses(bytes: &Bytes, segment: u64, from: usize, proven: &mut Position) {
    let mut offset = from;
    while let Some(found) =
        bytes[offset..].windows(BATCH_MAGIC.len()).position(|window| window == BATCH_MAGIC)
    {
        offset += found;
        let position = Position { segment, offset: offset as u64 };
        match decode_batch(&bytes.slice(offset..), position) {
            Ok((batch, size)) => {
                *proven = (*proven).max(batch.synced_through);
                offset += size;
            }
            Err(_) => offset += 1,
        }
    }
}
