//! Reading a journal after a crash: what may be lost, what must not be, and how to tell.
//!
//! Bad bytes at x are a *torn tail* exactly if nothing on the disk says that the journal was synced beyond x:
//! then nothing that depended on them was ever acknowledged, and they are cut. Otherwise they are *damage*.
//! Three things bear witness:
//! - a batch, by its `synced_through`, also one that stands behind the bad bytes;
//! - a segment's `after`: its predecessors were synced up to there when it was founded;
//! - a segment's name, which it got only when its first `founded` bytes were synced.
//!
//! So there is a torn tail only in the last segment, behind its founding bytes; everything else that is bad or
//! missing is damage. Damage inside the last batch that was synced cannot be told from a torn tail, since
//! nothing that came later bears witness. The same holds for removed files at the new end: without the newest segments
//! a journal looks like that of an earlier day. At the old end a journal without its oldest segments looks like one that
//! was truncated; but the oldest one left says of which slots its predecessors spoke, and a checkpoint must cover these.

use bytes::Bytes;
use synod_probe::{mark, mutant};

use crate::disk::Disk;
use crate::error::OpenError;
use crate::format::{
    BATCH_MAGIC, Batch, Found, HEADER_BYTES, Header, HeaderFault, Identity, Position, decode_batch,
    segment_name, segment_number,
};

/// What a journal held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The state of the newest batch.
    pub state: Option<Bytes>,
    /// All records, each once, in the order in which they were written.
    pub records: Vec<Bytes>,
    /// What was cut.
    pub torn: Option<TornTail>,
}

/// Bytes that were cut because nothing acknowledged can have depended on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: String,
    /// Where in it they began.
    pub offset: u64,
    /// How many bytes were in the file from there on.
    pub bytes: u64,
}

/// A segment that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) number: u64,
    /// How long the file is, or is to be.
    pub(crate) bytes: u64,
    /// The highest slot its batches speak of.
    pub(crate) mark: u64,
}

/// What is to be done with what was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) recovered: Recovered,
    /// What the new segment continues: proven to be synced up to here.
    pub(crate) proven: Position,
    /// The checksum of what stands right before it.
    pub(crate) link: u32,
    /// The highest mark up to there, that of deleted segments included.
    pub(crate) before: u64,
    /// Batches behind it, to be written again.
    pub(crate) unproven: Vec<Batch>,
    /// Segments before `proven`.
    pub(crate) closed: Vec<Closed>,
    /// Segments of which only so many bytes remain once the new one is there.
    pub(crate) cut: Vec<(u64, u64)>,
    /// Segments that are not needed once the new one is there.
    pub(crate) obsolete: Vec<u64>,
    /// The new segment's number: never used before.
    pub(crate) next: u64,
}

/// A segment of the chain.
#[derive(Debug)]
struct Segment {
    header: Header,
    checksum: u32,
    bytes: Bytes,
}

/// Reads everything, changes nothing.
///
/// # Errors
/// If the journal is damaged or somebody else's, or cannot be read.
pub(crate) fn scan(disk: &mut dyn Disk, identity: Identity, covered: Option<u64>) -> Result<Scan, OpenError> {
    let listed = disk.list();
    let names =
        listed.map_err(|source| OpenError::Io { file: "the journal".into(), action: "listed", source })?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut scan = Scan { next: numbers.last().map_or(1, |last| last.saturating_add(1)), ..Scan::default() };
    let mut chain = read_chain(disk, identity, &numbers)?;
    scan.before = deleted_mark(&chain, covered)?;
    let in_chain: Vec<u64> = chain.iter().map(|segment| segment.header.segment).collect();
    scan.obsolete = numbers.into_iter().filter(|number| !in_chain.contains(number)).collect();
    let Some(last) = chain.pop() else { return Ok(scan) };
    for (index, segment) in chain.iter().enumerate() {
        let next = chain.get(index + 1).unwrap_or(&last);
        scan.read_closed(segment, &next.header)?;
    }
    scan.read_last(&last)?;
    scan.before = scan.closed.iter().map(|closed| closed.mark).max().unwrap_or(0).max(scan.before);
    Ok(scan)
}

/// The highest mark in what was deleted before the oldest segment.
fn deleted_mark(chain: &[Segment], covered: Option<u64>) -> Result<u64, OpenError> {
    let Some(Header { segment, after, before, .. }) = chain.first().map(|oldest| oldest.header) else {
        return Ok(0);
    };
    let Some(covered) = covered.filter(|covered| before > *covered) else { return Ok(before) };
    mark!(DamageRefused);
    let (oldest, missing) = (segment_name(segment), segment_name(after.segment));
    Err(OpenError::Missing { oldest, missing, before, covered })
}

/// The segments that the last one continues, oldest first: each names the one before.
fn read_chain(disk: &mut dyn Disk, identity: Identity, numbers: &[u64]) -> Result<Vec<Segment>, OpenError> {
    let mut chain = Vec::new();
    let mut wanted = numbers.last().copied();
    while let Some(number) = wanted {
        let segment = read_segment(disk, identity, number)?;
        let after = segment.header.after.segment;
        wanted = Some(after).filter(|after| numbers.contains(after));
        // Truncation deletes from the old end, so nothing older than a deleted segment is left.
        if wanted.is_none() && numbers.first().is_some_and(|oldest| *oldest < after) {
            return Err(OpenError::Damaged {
                file: segment_name(after),
                offset: 0,
                batch: 1,
                reason: "the file is missing",
                evidence: format!("{} continues it, and older ones are there", segment_name(number)),
            });
        }
        chain.push(segment);
    }
    chain.reverse();
    Ok(chain)
}

fn read_segment(disk: &mut dyn Disk, identity: Identity, number: u64) -> Result<Segment, OpenError> {
    let file = segment_name(number);
    let bytes =
        disk.read(&file).map_err(|source| OpenError::Io { file: file.clone(), action: "read", source })?;
    match Header::decode(&bytes, identity, number) {
        Ok((header, checksum)) => Ok(Segment { header, checksum, bytes: bytes.into() }),
        Err(HeaderFault::Version(version)) => Err(OpenError::Version { file, version }),
        Err(HeaderFault::Foreign(found)) => Err(OpenError::Foreign { file, found, expected: identity }),
        Err(HeaderFault::Bad(reason)) => Err(OpenError::Damaged {
            file,
            offset: 0,
            batch: 1,
            reason,
            evidence: "a segment gets its name only when its header is synced".to_owned(),
        }),
    }
}

/// The valid batches at the start of a segment, and what is wrong behind them.
struct Batches {
    found: Vec<Found>,
    end: u64,
    /// The checksum of the last valid batch, or of the header.
    last: u32,
    fault: Option<&'static str>,
}

impl Batches {
    /// A claim about what was synced that no writer makes: it must end between two batches, and before the batch that
    /// makes it. Recovery cuts the file there, so whoever believed it would cut a batch in two.
    fn contradiction(&self, founded: u64) -> Option<String> {
        let mut offset = HEADER_BYTES as u64;
        let mut ends = vec![0, offset];
        for found in &self.found {
            if ends.binary_search(&found.synced_through).is_err() {
                let claim = found.synced_through;
                return Some(format!(
                    "the batch at offset {offset} says that it was synced up to offset {claim}"
                ));
            }
            offset += found.size as u64;
            ends.push(offset);
        }
        let inside = founded < offset && ends.binary_search(&founded).is_err();
        inside.then(|| format!("the header says that it was founded with {founded} bytes"))
    }
}

impl Segment {
    /// Reads batches up to `limit`, or up to the first bad one.
    fn batches(&self, limit: u64) -> Batches {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(self.bytes.len());
        let bytes = self.bytes.slice(..limit);
        let mut read =
            Batches { found: Vec::new(), end: HEADER_BYTES as u64, last: self.checksum, fault: None };
        let mut offset = HEADER_BYTES;
        while offset < limit {
            match decode_batch(&bytes.slice(offset..), self.checksum, offset as u64) {
                Ok(found) => {
                    offset += found.size;
                    read.last = found.checksum;
                    read.found.push(found);
                }
                Err(reason) => {
                    read.fault = Some(reason);
                    break;
                }
            }
        }
        read.end = offset as u64;
        read
    }

    fn damaged(&self, read: &Batches, evidence: String) -> OpenError {
        mark!(DamageRefused);
        OpenError::Damaged {
            file: segment_name(self.header.segment),
            offset: read.end,
            batch: read.found.len() + 1,
            reason: read.fault.unwrap_or("the file ends here"),
            evidence,
        }
    }

    /// The valid batch behind `offset` that says most of what was synced: where it stands and what it says.
    /// Whatever lies between is skipped.
    fn latest_witness(&self, offset: u64) -> Option<(u64, u64)> {
        let mut latest = None;
        let mut offset = usize::try_from(offset).ok()?;
        while let Some(rest) = self.bytes.get(offset..) {
            let Some(found) = rest.windows(BATCH_MAGIC.len()).position(|window| window == BATCH_MAGIC) else {
                break;
            };
            offset += found;
            match decode_batch(&self.bytes.slice(offset..), self.checksum, offset as u64) {
                Ok(found) => {
                    latest = latest.max(Some((found.synced_through, offset as u64)));
                    offset += found.size;
                }
                Err(_) => offset += 1,
            }
        }
        latest.map(|(synced_through, at)| (at, synced_through))
    }
}

impl Scan {
    fn take(&mut self, found: Vec<Found>) {
        for Found { batch, .. } in found {
            self.recovered.state = Some(batch.state);
            self.recovered.records.extend(batch.records);
        }
    }

    /// Everything in `segment` up to where `next` continues it was synced.
    fn read_closed(&mut self, segment: &Segment, next: &Header) -> Result<(), OpenError> {
        let (number, bytes) = (segment.header.segment, next.after.offset);
        let read = segment.batches(bytes);
        if read.fault.is_some() || read.end != bytes {
            let evidence =
                format!("{} was founded when {} had been synced", segment_name(next.segment), next.after);
            return Err(segment.damaged(&read, evidence));
        }
        if read.last != next.link {
            let evidence = format!("{} continues another one", segment_name(next.segment));
            let read = Batches {
                fault: Some("the segment is not the one that was here"),
                found: Vec::new(),
                end: 0,
                ..read
            };
            return Err(segment.damaged(&read, evidence));
        }
        let mark = read.found.iter().map(|found| found.batch.mark).max().unwrap_or(0);
        self.closed.push(Closed { number, bytes, mark });
        if segment.bytes.len() as u64 > bytes {
            self.cut.push((number, bytes));
        }
        self.take(read.found);
        Ok(())
    }

    /// The last segment may end in a torn tail.
    fn read_last(&mut self, segment: &Segment) -> Result<(), OpenError> {
        let Header { segment: number, after, founded, .. } = segment.header;
        let read = segment.batches(u64::MAX);
        if let Some(contradiction) = read.contradiction(founded) {
            let evidence = format!("{contradiction}, which is no place where a write ever ended");
            let reason = Some("the segment contradicts itself");
            return Err(segment.damaged(&Batches { fault: reason, ..read }, evidence));
        }
        if read.end < founded {
            let evidence = format!("a segment gets its name only when its first {founded} bytes are synced");
            return Err(segment.damaged(&read, evidence));
        }
        if read.fault.is_some() {
            if let Some((at, synced_through)) = segment.latest_witness(read.end)
                && synced_through > read.end
                && !mutant!(DamageTakenForTornTail)
            {
                let evidence = format!(
                    "the later batch at offset {at} says that everything before offset {synced_through} had been synced"
                );
                return Err(segment.damaged(&read, evidence));
            }
            let (file, bytes) = (segment_name(number), segment.bytes.len() as u64 - read.end);
            mark!(TornTailDropped);
            self.recovered.torn = Some(TornTail { file, offset: read.end, bytes });
        }
        self.settle_last(segment, after, founded, read);
        Ok(())
    }

    /// Decides how much of the last segment stays, and what has to be written again.
    fn settle_last(&mut self, segment: &Segment, after: Position, founded: u64, read: Batches) {
        let number = segment.header.segment;
        let claimed = read.found.iter().map(|found| found.synced_through).max().unwrap_or(0);
        let proven = if mutant!(UnprovenTailNotRewritten) { read.end } else { claimed.max(founded) };
        // A batch behind the founding bytes was written when the segment's name was known to be durable. Without
        // one the name itself may have come from a cache whose write had failed: then nothing is kept of it.
        let keep = proven > HEADER_BYTES as u64 && read.end > founded;
        let keep_bytes = if keep { proven } else { 0 };
        let mut offset = HEADER_BYTES as u64;
        let (mut mark, mut link) = (0, segment.header.link);
        for found in &read.found {
            if offset < keep_bytes {
                mark = mark.max(found.batch.mark);
                link = found.checksum;
            } else {
                self.unproven.push(found.batch.clone());
            }
            offset += found.size as u64;
        }
        if keep {
            self.closed.push(Closed { number, bytes: keep_bytes, mark });
            self.cut.push((number, keep_bytes));
            self.proven = Position { segment: number, offset: keep_bytes };
        } else {
            self.obsolete.push(number);
            self.proven = after;
        }
        self.link = link;
        self.take(read.found);
    }
}
