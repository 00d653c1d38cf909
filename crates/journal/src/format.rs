//! The bytes of a journal.
//!
//! A journal is a chain of files `journal-<number>`, the number in 16 hexadecimal digits. All integers are
//! little-endian. Each file, a *segment*, begins with a header of 76 bytes:
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | magic | 8 | `SYNODJNL` |
//! | version | 4 | 2 |
//! | cluster, node | 2 × 8 | whose journal it is |
//! | number | 8 | the segment's own |
//! | after: segment, offset | 2 × 8 | where the journal stands that this segment continues |
//! | link | 4 | the checksum of the last batch before `after`, or of that segment's header if there is none |
//! | founded | 8 | so many bytes of this file, header included, were synced before it got its name |
//! | before | 8 | the highest mark of all batches that were ever written before `after` |
//! | checksum | 4 | CRC-32C of the 72 bytes before |
//!
//! Batches follow, one directly after the other:
//!
//! | batch | bytes | |
//! |---|---|---|
//! | magic | 4 | `BTCH` |
//! | checksum | 4 | CRC-32C of everything after it, begun with the checksum of the segment's header |
//! | length | 4 | of everything after it |
//! | offset | 8 | where in the file this batch begins |
//! | synced through | 8 | everything before this offset, and in all earlier segments, was synced when it was written |
//! | mark | 8 | the highest slot its records speak of |
//! | state length, record count | 2 × 4 | |
//! | state | | the protocol's summary, repeated in every batch |
//! | records | | each with its length in 4 bytes before it |
//!
//! **What tells a stranger.** A batch counts only at the offset that it names, under the header that its
//! checksum was begun with, and the header names cluster, member, segment and predecessor, the latter by what
//! it held. So bytes that were written for another place, another file, another member or an earlier life do not
//! match.
//!
//! **What bears witness.** A segment is written under a temporary name, synced, and only then named. Its name
//! proves that its first `founded` bytes were synced, and so were all of its predecessors up to `after`. What
//! lies in a predecessor behind `after` is no longer part of the journal. Predecessors are deleted once a checkpoint covers
//! them, so the oldest segment's `before` is no higher than the newest checkpoint: if it is, files were removed.

use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use synod_probe::mutant;

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub node: u64,
}

/// A place in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the segment; 0 is before the first.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} of {}", self.offset, segment_name(self.segment))
    }
}

pub(crate) const HEADER_BYTES: usize = 76;
/// With what a batch begins.
pub const BATCH_MAGIC: &[u8; 4] = b"BTCH";
const SEGMENT_MAGIC: &[u8; 8] = b"SYNODJNL";
const VERSION: u32 = 2;
/// Magic, checksum and length.
const BATCH_PREFIX_BYTES: usize = 12;
const BATCH_FIXED_BYTES: usize = 32;
/// Where in a batch the bytes begin that its checksum covers.
const BATCH_CHECKED_FROM: usize = 8;
/// A record of at least so many bytes is written from where it lies; a smaller one is cheaper to copy.
const RECORD_BYTES_COPIED: usize = 4096;

/// More in one batch is refused when it is written and taken for damage when it is read.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// The file name of a segment.
pub fn segment_name(segment: u64) -> String {
    format!("journal-{segment:016x}")
}

/// The number in a segment's file name.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-").filter(|digits| digits.len() == 16)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(number) == name).then_some(number)
}

/// What is wrong with a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not one, or one that does not match its checksum or file name.
    Bad(&'static str),
    Version(u32),
    Foreign(Identity),
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    pub(crate) segment: u64,
    pub(crate) after: Position,
    /// The checksum of what stands right before `after`.
    pub(crate) link: u32,
    pub(crate) founded: u64,
    /// The highest mark of all batches before `after`, deleted ones included.
    pub(crate) before: u64,
}

impl Header {
    /// The bytes, and the checksum in them, with which those of the batches begin.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let Header { identity, segment, after, link, founded, before } = *self;
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for number in [identity.cluster, identity.node, segment, after.segment, after.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&link.to_le_bytes());
        out.extend_from_slice(&founded.to_le_bytes());
        out.extend_from_slice(&before.to_le_bytes());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        (out, checksum)
    }

    /// Reads the header of `segment` in a file of `identity`, and its checksum.
    pub(crate) fn decode(
        file: &[u8],
        identity: Identity,
        segment: u64,
    ) -> Result<(Header, u32), HeaderFault> {
        let Some((mut fields, mut checksum)) =
            file.get(..HEADER_BYTES).map(|header| header.split_at(HEADER_BYTES - 4))
        else {
            return Err(HeaderFault::Bad("the segment header is cut off"));
        };
        let checksum = checksum.get_u32_le();
        if checksum != crc32c::crc32c(fields) {
            return Err(HeaderFault::Bad("the checksum of the segment header does not match"));
        }
        if !fields.starts_with(SEGMENT_MAGIC) {
            return Err(HeaderFault::Bad("it does not begin like a journal segment"));
        }
        fields.advance(SEGMENT_MAGIC.len());
        let version = fields.get_u32_le();
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let found = Identity { cluster: fields.get_u64_le(), node: fields.get_u64_le() };
        if found != identity {
            return Err(HeaderFault::Foreign(found));
        }
        let number = fields.get_u64_le();
        let after = Position { segment: fields.get_u64_le(), offset: fields.get_u64_le() };
        let (link, founded, before) = (fields.get_u32_le(), fields.get_u64_le(), fields.get_u64_le());
        let header = Header { identity, segment, after, link, founded, before };
        if number != segment || after.segment >= segment || header.founded < HEADER_BYTES as u64 {
            return Err(HeaderFault::Bad("the segment header belongs to another file"));
        }
        Ok((header, checksum))
    }
}

/// One batch, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) mark: u64,
    pub(crate) state: Bytes,
    pub(crate) records: Vec<Bytes>,
}

impl Batch {
    /// Its size on disk.
    pub(crate) fn size(&self) -> usize {
        let records: usize = self.records.iter().map(|record| record.len() + 4).sum();
        BATCH_PREFIX_BYTES + BATCH_FIXED_BYTES + self.state.len() + records
    }
}

/// Batches on their way into one segment, for one vectored write. Long records are not copied.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The checksum of the segment's header.
    seed: u32,
    /// The checksum of the last batch.
    last: u32,
    /// Where the next batch will stand.
    offset: u64,
    copied: Vec<u8>,
    /// Long records, each with the number of copied bytes that come before it.
    long: Vec<(usize, Bytes)>,
}

impl Encoder {
    /// For batches from `offset` on, in the segment whose header has the checksum `seed`.
    pub(crate) fn new(seed: u32, offset: u64) -> Encoder {
        Encoder { seed, last: seed, offset, copied: Vec::new(), long: Vec::new() }
    }

    /// Where the batches end.
    pub(crate) fn end(&self) -> u64 {
        self.offset
    }

    /// The checksum of the last batch, or of the header if there is none.
    pub(crate) fn last_checksum(&self) -> u32 {
        self.last
    }

    /// Adds a batch. Its size was checked against [`BATCH_BYTES_MAX`].
    pub(crate) fn push(&mut self, synced_through: u64, batch: &Batch) {
        let size = batch.size();
        assert!(size <= BATCH_BYTES_MAX, "a batch of {size} bytes was not refused");
        let start = self.copied.len();
        self.copied.extend_from_slice(BATCH_MAGIC);
        self.copied.extend_from_slice(&[0; 4]);
        self.put_length(size - BATCH_PREFIX_BYTES);
        for number in [self.offset, synced_through, batch.mark] {
            self.copied.extend_from_slice(&number.to_le_bytes());
        }
        self.put_length(batch.state.len());
        self.put_length(batch.records.len());
        self.copied.extend_from_slice(&batch.state);
        // What lies before a long record is summed up before it, the rest at the end.
        let (mut checksum, mut summed) = (self.seed, start + BATCH_CHECKED_FROM);
        for record in &batch.records {
            self.put_length(record.len());
            if record.len() < RECORD_BYTES_COPIED {
                self.copied.extend_from_slice(record);
                continue;
            }
            checksum = crc32c::crc32c_append(checksum, &self.copied[summed..]);
            checksum = crc32c::crc32c_append(checksum, record);
            summed = self.copied.len();
            self.long.push((summed, record.clone()));
        }
        checksum = crc32c::crc32c_append(checksum, &self.copied[summed..]);
        self.copied[start + 4..start + BATCH_CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        self.last = checksum;
        self.offset += size as u64;
    }

    fn put_length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a batch is smaller than a gibibyte");
        self.copied.extend_from_slice(&length.to_le_bytes());
    }

    /// Everything, in order.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.long.len() + 1);
        let mut from = 0;
        for (before, record) in &self.long {
            slices.push(IoSlice::new(&self.copied[from..*before]));
            slices.push(IoSlice::new(record));
            from = *before;
        }
        slices.push(IoSlice::new(&self.copied[from..]));
        slices
    }
}

/// A batch as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) batch: Batch,
    pub(crate) synced_through: u64,
    pub(crate) checksum: u32,
    /// Its size on disk.
    pub(crate) size: usize,
}

/// Reads the batch that should stand at `offset`, where `rest` begins, under the header with the checksum
/// `seed`. Allocates no more than `rest` is long, whatever the bytes say.
pub(crate) fn decode_batch(rest: &Bytes, seed: u32, offset: u64) -> Result<Found, &'static str> {
    if !rest.starts_with(BATCH_MAGIC) {
        return Err("no batch begins here");
    }
    if rest.len() < BATCH_PREFIX_BYTES + BATCH_FIXED_BYTES {
        return Err("the batch is cut off");
    }
    let mut prefix = &rest[4..BATCH_PREFIX_BYTES];
    let (checksum, length) = (prefix.get_u32_le(), prefix.get_u32_le() as usize);
    if !(BATCH_FIXED_BYTES..=BATCH_BYTES_MAX).contains(&length) {
        return Err("the length of the batch is impossible");
    }
    let size = BATCH_PREFIX_BYTES + length;
    if rest.len() < size {
        return Err("the batch is cut off");
    }
    let mut body = rest.slice(BATCH_PREFIX_BYTES..size);
    // Before the checksum, so that records full of magics do not make a search cost their square.
    if body.get_u64_le() != offset && !mutant!(MisplacedBatchTaken) {
        return Err("the batch was written for another place");
    }
    if crc32c::crc32c_append(seed, &rest[BATCH_CHECKED_FROM..size]) != checksum && !mutant!(ChecksumIgnored) {
        return Err("the checksum of the batch does not match");
    }
    let synced_through = body.get_u64_le();
    let mark = body.get_u64_le();
    let contents = decode_contents(body).filter(|_| synced_through <= offset);
    let (state, records) = contents.ok_or("the batch contradicts itself")?;
    Ok(Found { batch: Batch { mark, state, records }, synced_through, checksum, size })
}

fn decode_contents(mut body: Bytes) -> Option<(Bytes, Vec<Bytes>)> {
    let (state, count) = (body.get_u32_le() as usize, body.get_u32_le());
    if state > body.len() {
        return None;
    }
    let state = body.split_to(state);
    let mut records = Vec::new();
    for _ in 0..count {
        let length = body.try_get_u32_le().ok()? as usize;
        if length > body.len() {
            return None;
        }
        records.push(body.split_to(length));
    }
    body.is_empty().then_some((state, records))
}
