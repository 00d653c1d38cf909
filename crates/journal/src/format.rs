//! The bytes of a journal.
//!
//! A journal is a sequence of files `journal-<number>`, the number in 16 hexadecimal digits, consecutive.
//! All integers are little-endian.
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | magic | 8 | `SYNODJNL` |
//! | version | 4 | 1 |
//! | cluster, node, segment number | 3 × 8 | |
//! | checksum | 4 | CRC-32C of the 36 bytes before |
//!
//! Batches follow:
//!
//! | batch | bytes | |
//! |---|---|---|
//! | magic | 4 | `BTCH` |
//! | checksum | 4 | CRC-32C of everything after it |
//! | length | 4 | of everything after it |
//! | segment, offset | 2 × 8 | where this batch stands: one that stands elsewhere was misdirected |
//! | synced segment, synced offset | 2 × 8 | `synced_through`: how far all earlier bytes were known to be synced |
//! | mark | 8 | the highest slot its records speak of |
//! | state length, record count | 2 × 4 | |
//! | state | | the protocol's summary, repeated in every batch |
//! | records | | each with its length in 4 bytes before it |

use std::fmt;

use bytes::{Buf, Bytes};

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
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} of {}", self.offset, segment_name(self.segment))
    }
}

pub(crate) const SEGMENT_HEADER_BYTES: usize = 40;
pub(crate) const BATCH_MAGIC: &[u8; 4] = b"BTCH";
const SEGMENT_MAGIC: &[u8; 8] = b"SYNODJNL";
const VERSION: u32 = 1;
const BATCH_PREFIX_BYTES: usize = 12;
const BATCH_FIXED_BYTES: usize = 48;

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

pub(crate) fn encode_header(identity: Identity, segment: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    out.extend_from_slice(SEGMENT_MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    for number in [identity.cluster, identity.node, segment] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

pub(crate) fn check_header(bytes: &[u8], identity: Identity, segment: u64) -> Result<(), HeaderFault> {
    let Some(mut header) = bytes.get(..SEGMENT_HEADER_BYTES) else {
        return Err(HeaderFault::Bad("the segment header is cut off"));
    };
    let checksum = crc32c::crc32c(&header[..SEGMENT_HEADER_BYTES - 4]);
    if header[SEGMENT_HEADER_BYTES - 4..] != checksum.to_le_bytes() {
        return Err(HeaderFault::Bad("the checksum of the segment header does not match"));
    }
    if !header.starts_with(SEGMENT_MAGIC) {
        return Err(HeaderFault::Bad("it does not begin like a journal segment"));
    }
    header.advance(SEGMENT_MAGIC.len());
    let version = header.get_u32_le();
    if version != VERSION {
        return Err(HeaderFault::Version(version));
    }
    let found = Identity { cluster: header.get_u64_le(), node: header.get_u64_le() };
    if found != identity {
        return Err(HeaderFault::Foreign(found));
    }
    if header.get_u64_le() != segment {
        return Err(HeaderFault::Bad("the segment header belongs to another file"));
    }
    Ok(())
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) synced_through: Position,
    pub(crate) mark: u64,
    pub(crate) state: Bytes,
    pub(crate) records: Vec<Bytes>,
}

/// The size of a batch on disk.
pub(crate) fn batch_bytes(state: &[u8], records: &[Bytes]) -> usize {
    let records: usize = records.iter().map(|record| record.len() + 4).sum();
    BATCH_PREFIX_BYTES + BATCH_FIXED_BYTES + state.len() + records
}

/// Appends a batch that will stand at `position`. Its size was checked against [`BATCH_BYTES_MAX`].
pub(crate) fn encode_batch(out: &mut Vec<u8>, position: Position, batch: &Batch) {
    let start = out.len();
    let length = batch_bytes(&batch.state, &batch.records);
    assert!(length <= BATCH_BYTES_MAX, "a batch of {length} bytes was not refused");
    out.reserve(length);
    out.extend_from_slice(BATCH_MAGIC);
    out.extend_from_slice(&[0; 4]);
    put_length(out, length - BATCH_PREFIX_BYTES);
    let Batch { synced_through, mark, state, records } = batch;
    let places = [position.segment, position.offset, synced_through.segment, synced_through.offset, *mark];
    for number in places {
        out.extend_from_slice(&number.to_le_bytes());
    }
    put_length(out, state.len());
    put_length(out, records.len());
    out.extend_from_slice(state);
    for record in records {
        put_length(out, record.len());
        out.extend_from_slice(record);
    }
    let checksum = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a batch is smaller than a gibibyte");
    out.extend_from_slice(&length.to_le_bytes());
}

/// Reads the batch that should stand at `position`, where `rest` begins. Returns it with its size.
pub(crate) fn decode_batch(rest: &Bytes, position: Position) -> Result<(Batch, usize), &'static str> {
    if rest.len() < BATCH_PREFIX_BYTES + BATCH_FIXED_BYTES {
        return Err("the batch is cut off");
    }
    if !rest.starts_with(BATCH_MAGIC) {
        return Err("no batch begins here");
    }
    let mut header = rest.slice(4..BATCH_PREFIX_BYTES);
    let (checksum, length) = (header.get_u32_le(), header.get_u32_le() as usize);
    let Some(body) = rest.get(BATCH_PREFIX_BYTES..).filter(|body| body.len() >= length) else {
        return Err("the batch is cut off");
    };
    if length < BATCH_FIXED_BYTES {
        return Err("the batch is too short");
    }
    if crc32c::crc32c(&rest[8..BATCH_PREFIX_BYTES + length]) != checksum {
        return Err("the checksum of the batch does not match");
    }
    debug_assert!(body.len() >= length);
    let mut body = rest.slice(BATCH_PREFIX_BYTES..BATCH_PREFIX_BYTES + length);
    let stands = Position { segment: body.get_u64_le(), offset: body.get_u64_le() };
    if stands != position {
        return Err("the batch was written for another place");
    }
    let synced_through = Position { segment: body.get_u64_le(), offset: body.get_u64_le() };
    let mark = body.get_u64_le();
    let (state, count) = (body.get_u32_le() as usize, body.get_u32_le());
    if state > body.len() {
        return Err("the batch contradicts its own lengths");
    }
    let state = body.split_to(state);
    let mut records = Vec::new();
    for _ in 0..count {
        let length = body.try_get_u32_le().map_err(|_| "the batch contradicts its own lengths")? as usize;
        if length > body.len() {
            return Err("the batch contradicts its own lengths");
        }
        records.push(body.split_to(length));
    }
    if !body.is_empty() {
        return Err("the batch contradicts its own lengths");
    }
    Ok((Batch { synced_through, mark, state, records }, BATCH_PREFIX_BYTES + length))
}
