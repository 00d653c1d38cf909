//! Writing a snapshot.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use super::{FORMAT, FRAME_HEADER, FRAME_PAYLOAD, MAGIC};
use crate::history::{History, Version};
use crate::request::Key;
use crate::state::State;
use crate::varint::{put_bytes, put_i64, put_u64};

/// Makes the chunks of a snapshot one at a time, from a state that it holds on to.
pub(crate) struct Encoder {
    state: State,
    /// Payload not yet in a frame.
    pending: BytesMut,
    /// The last key written.
    last: Option<Key>,
    /// How many frames have been made.
    frames: u64,
}

impl Encoder {
    pub(crate) fn new(state: State) -> Encoder {
        let mut pending = BytesMut::with_capacity(2 * FRAME_PAYLOAD);
        put_i64(&mut pending, state.revision);
        put_i64(&mut pending, state.compacted);
        put_u64(&mut pending, state.keys.len() as u64);
        Encoder { state, pending, last: None, frames: 0 }
    }

    /// Writes keys until a frame is full or there are no more.
    fn fill(&mut self) {
        let from = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        for (key, history) in self.state.keys.range::<_, Key>((from, Bound::Unbounded)) {
            if self.pending.len() >= FRAME_PAYLOAD {
                break;
            }
            put_key(&mut self.pending, key, history);
            last = Some(key);
        }
        if let Some(last) = last {
            self.last = Some(last.clone());
        }
    }
}

impl Iterator for Encoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.pending.len() < FRAME_PAYLOAD {
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

fn put_key(out: &mut BytesMut, key: &Key, history: &History) {
    put_bytes(out, key);
    put_u64(out, history.len() as u64);
    let mut versions: Vec<&Version> = history.iter().collect();
    versions.reverse();
    for version in versions {
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
