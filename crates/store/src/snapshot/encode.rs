//! Writing a snapshot.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use super::{FORMAT, FRAME_HEADER, FRAME_PAYLOAD, MAGIC};
use crate::history::{History, Version};
use crate::state::State;
use crate::stored_key::StoredKey;
use crate::varint::{put_bytes, put_i64, put_u64};

/// Makes the chunks of a snapshot one at a time, from a state that it holds on to.
pub(crate) struct Encoder {
    state: State,
    /// Payload not yet in a frame.
    pending: BytesMut,
    /// The last key written.
    last: Option<StoredKey>,
    /// Whether the end has been written.
    is_at_end: bool,
    /// How many frames have been made.
    frames: u64,
}

impl Encoder {
    pub(crate) fn new(state: State) -> Encoder {
        let mut pending = BytesMut::with_capacity(2 * FRAME_PAYLOAD);
        put_i64(&mut pending, state.revision);
        put_i64(&mut pending, state.compacted);
        Encoder { state, pending, last: None, is_at_end: false, frames: 0 }
    }

    /// Writes keys until a frame is full or there are no more.
    fn fill(&mut self) {
        let from = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last: Option<&StoredKey> = None;
        for (key, history) in self.state.keys.range::<_, StoredKey>((from, Bound::Unbounded)) {
            if self.pending.len() >= FRAME_PAYLOAD {
                self.last = last.cloned();
                return;
            }
            put_key(&mut self.pending, key.as_slice(), history, self.state.compacted);
            last = Some(key);
        }
        put_bytes(&mut self.pending, &[]);
        put_u64(&mut self.pending, 0);
        self.is_at_end = true;
    }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.pending.len() < FRAME_PAYLOAD && !self.is_at_end {
            self.fill();
        }
        if self.pending.is_empty() {
            return None;
        }
        let payload = self.pending.split_to(self.pending.len().min(FRAME_PAYLOAD));
        let mut chunk = BytesMut::with_capacity(MAGIC.len() + 2 + FRAME_HEADER + payload.len());
        if self.frames == 0 {
            chunk.put_slice(MAGIC);
            chunk.put_u16_le(FORMAT);
        }
        let length = u32::try_from(payload.len()).expect("a payload is no longer than FRAME_PAYLOAD");
        let mut header = [0; FRAME_HEADER - 4];
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&self.frames.to_le_bytes());
        chunk.put_u32_le(crc32c::crc32c_append(crc32c::crc32c(&header), &payload));
        chunk.put_slice(&header);
        chunk.put_slice(&payload);
        self.frames += 1;
        Some(chunk.freeze())
    }
}

/// Writes a key, unless a compaction has put all its versions out of reach.
fn put_key(out: &mut BytesMut, key: &[u8], history: &History, compacted: i64) {
    let versions: Vec<&Version> = history.reachable(compacted).collect();
    if versions.is_empty() {
        return;
    }
    put_bytes(out, key);
    put_u64(out, versions.len() as u64);
    for version in versions.into_iter().rev() {
        put_i64(out, version.at.main);
        put_u64(out, u64::from(version.at.sub));
        let Some(live) = &version.live else {
            out.put_u8(0);
            continue;
        };
        out.put_u8(1);
        put_i64(out, live.create_revision);
        put_i64(out, live.version);
        put_i64(out, live.lease);
        put_bytes(out, &live.value);
    }
}
