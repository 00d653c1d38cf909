//! Puts the checksums of damaged bytes right, and what else only tells one place from another, so that a fuzzer gets
//! behind them.

use synod_journal::BATCH_MAGIC;
use synod_journal::format::BATCH_BYTES_MAX;

/// A frame between members: the checksum of the rest comes first.
pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    if let Some((checksum, rest)) = frame.split_first_chunk_mut::<4>() {
        *checksum = crc32c::crc32c(rest).to_le_bytes();
    }
    frame
}

/// An identity file: the checksum of all lines stands in the last one.
pub(super) fn identity(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    match text.find("\nchecksum ") {
        Some(end) => {
            let content = &text[..=end];
            format!("{content}checksum {:08x}\n", crc32c::crc32c(content.as_bytes()))
        }
        None => text,
    }
}

/// The whole state of a member: magic and version, length and checksum of the head, head, snapshot.
pub(super) fn checkpoint(bytes: &[u8]) -> Vec<u8> {
    let mut checkpoint = bytes.to_vec();
    if let Some((prefix, rest)) = checkpoint.split_first_chunk_mut::<17>() {
        let length = number(&prefix[9..13]);
        if let Some((head, store)) = rest.split_at_mut_checked(length) {
            prefix[13..17].copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
            let sealed = snapshot(store);
            store.copy_from_slice(&sealed);
        }
    }
    checkpoint
}

/// A store: ten bytes, then frames of checksum, length, sequence and payload.
pub(super) fn snapshot(bytes: &[u8]) -> Vec<u8> {
    let mut snapshot = bytes.to_vec();
    let mut rest = snapshot.get_mut(10..).unwrap_or_default();
    for sequence in 0_u64.. {
        if rest.len() < 16 {
            break;
        }
        let size = 16 + number(&rest[4..8]);
        let Some((frame, behind)) = rest.split_at_mut_checked(size) else { break };
        frame[8..16].copy_from_slice(&sequence.to_le_bytes());
        let checksum = crc32c::crc32c(&frame[4..]);
        frame[..4].copy_from_slice(&checksum.to_le_bytes());
        rest = behind;
    }
    snapshot
}

const SEGMENT_MAGIC: &[u8; 8] = b"SYNODJNL";
pub(super) const HEADER_BYTES: usize = 76;
const BATCH_BYTES_MIN: usize = 44;

/// The segments of a journal that were written one after the other: a new one begins where a magic stands.
pub(super) fn segments(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = vec![0];
    let magics = bytes.windows(SEGMENT_MAGIC.len()).enumerate().skip(1);
    starts.extend(magics.filter(|(_, window)| window == SEGMENT_MAGIC).map(|(at, _)| at));
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| bytes[*start..end].to_vec()).collect()
}

/// Segments numbered from 1 on that follow each other, each header and batch with its own place and checksum.
pub(super) fn journal(mut segments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut link = None;
    for (number, segment) in (1_u64..).zip(&mut segments) {
        link = seal_segment(segment, number, link);
    }
    segments
}

/// Returns the checksum that the next segment continues.
fn seal_segment(segment: &mut [u8], number_of_segment: u64, link: Option<u32>) -> Option<u32> {
    let (header, batches) = segment.split_at_mut_checked(HEADER_BYTES)?;
    let ends = batch_ends(batches);
    header[28..36].copy_from_slice(&number_of_segment.to_le_bytes());
    if let Some(link) = link {
        header[52..56].copy_from_slice(&link.to_le_bytes());
    }
    let seed = crc32c::crc32c(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&seed.to_le_bytes());
    let mut last = seed;
    for between in ends.windows(2) {
        let batch = &mut batches[between[0] - HEADER_BYTES..between[1] - HEADER_BYTES];
        batch[12..20].copy_from_slice(&(between[0] as u64).to_le_bytes());
        last = crc32c::crc32c_append(seed, &batch[8..]);
        batch[4..8].copy_from_slice(&last.to_le_bytes());
    }
    Some(last)
}

/// Where in the segment the header and each whole batch end.
fn batch_ends(mut batches: &[u8]) -> Vec<usize> {
    let mut ends = vec![HEADER_BYTES];
    let mut end = HEADER_BYTES;
    while batches.starts_with(BATCH_MAGIC) && batches.len() >= BATCH_BYTES_MIN {
        let size = 12 + number(&batches[8..12]);
        if !(BATCH_BYTES_MIN..=BATCH_BYTES_MAX).contains(&size) || size > batches.len() {
            break;
        }
        batches = &batches[size..];
        end += size;
        ends.push(end);
    }
    ends
}

/// Four bytes as a length.
fn number(bytes: &[u8]) -> usize {
    let bytes = bytes.try_into().expect("the caller cuts four bytes");
    usize::try_from(u32::from_le_bytes(bytes)).expect("lengths of 32 bits")
}
