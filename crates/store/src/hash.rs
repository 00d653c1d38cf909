//! A digest of the store, to compare members by.

use std::fmt;

use crate::state::State;

/// Mixes words by multiplication and rotation. Not meant to withstand an adversary, only to be the same everywhere:
/// the hashers of the standard library do not promise that.
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        // The multiplier is 2^64 divided by the golden ratio, made odd.
        let mixed = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

impl State {
    /// Covers revision, compaction, and every key with all its versions.
    pub(crate) fn hash(&self) -> u64 {
        let mut digest = Digest(0);
        digest.word(self.revision as u64);
        digest.word(self.compacted as u64);
        for (key, history) in &self.keys {
            let mut versions = history.reachable(self.compacted).peekable();
            if versions.peek().is_none() {
                continue;
            }
            digest.bytes(key.as_slice());
            for version in versions {
                // No revision is 0, so a key's versions end where the next key's length stands.
                digest.word(version.at.main as u64);
                digest.word(u64::from(version.at.sub));
                let Some(live) = &version.live else {
                    digest.word(0);
                    continue;
                };
                digest.word(live.version as u64);
                digest.word(live.create_revision as u64);
                digest.word(live.lease as u64);
                digest.bytes(&live.value);
            }
        }
        digest.0
    }

    /// For `Debug`: the figures, not the content.
    pub(crate) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("revision", &self.revision)
            .field("compacted", &self.compacted)
            .field("keys", &self.keys.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}
