//! What the explorer remembers of a state instead of the state.

use std::hash::{BuildHasherDefault, Hash, Hasher};

/// 128 bits that stand for a state.
///
/// Why 128: two states with one fingerprint would be taken for one, and a violation behind the second would be
/// missed. Among n states the chance is about n² / 2^(bits + 1): with 64 bits a few per cent at a thousand million
/// states, with 128 bits below 10⁻²⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The fingerprint of `value`: the same on every machine and in every run.
    pub fn of(value: &(impl Hash + ?Sized)) -> Fingerprint {
        let mut hasher = Mixer { low: 0x243f_6a88_85a3_08d3, high: 0x1319_8a2e_0370_7344, words: 0 };
        value.hash(&mut hasher);
        Fingerprint(hasher.finish128())
    }
}

/// Two lanes that every 64-bit word goes into, each word by way of an invertible multiplication: two different
/// sequences of words collide only by chance.
struct Mixer {
    low: u64,
    high: u64,
    words: u64,
}

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd6e8_feb8_6659_fd93;

impl Mixer {
    fn word(&mut self, word: u64) {
        let first = word.wrapping_mul(FIRST).rotate_left(31).wrapping_mul(SECOND);
        let second = word.wrapping_mul(SECOND).rotate_left(33).wrapping_mul(FIRST);
        self.low = (self.low ^ first).rotate_left(27).wrapping_add(self.high).wrapping_mul(FIRST);
        self.high = (self.high ^ second).rotate_left(31).wrapping_add(self.low).wrapping_mul(SECOND);
        self.words += 1;
    }

    fn finish128(&self) -> u128 {
        let low = scatter(self.low ^ self.words);
        let high = scatter(self.high.wrapping_add(low));
        u128::from(high) << 64 | u128::from(low.wrapping_add(high))
    }
}

/// Every bit of the result depends on every bit of `word`.
fn scatter(mut word: u64) -> u64 {
    word = (word ^ (word >> 32)).wrapping_mul(FIRST);
    word = (word ^ (word >> 29)).wrapping_mul(SECOND);
    word ^ (word >> 32)
}

/// Integers go in as words of their own value, so that neither byte order nor the size of `usize` matters.
impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.finish128() as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.word(value as i64 as u64);
    }
}

/// For sets of fingerprints: they are mixed already.
#[derive(Default)]
pub(super) struct Mixed(u64);

pub(super) type BuildMixed = BuildHasherDefault<Mixed>;

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are kept in these sets, and they are one u128");
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn small_differences_anywhere_give_other_fingerprints_in_both_halves() {
        let mut low = BTreeSet::new();
        let mut high = BTreeSet::new();
        for a in 0..64_u8 {
            for b in 0..64_u64 {
                for c in [None, Some(false), Some(true)] {
                    let Fingerprint(bits) = Fingerprint::of(&(a, vec![b], c));
                    low.insert(bits as u64);
                    high.insert((bits >> 64) as u64);
                }
            }
        }
        assert_eq!((low.len(), high.len()), (64 * 64 * 3, 64 * 64 * 3));
    }

    #[test]
    fn a_fingerprint_is_the_same_on_every_machine() {
        assert_eq!(Fingerprint::of(&(1_u8, "two", [3_u64])), Fingerprint(PINNED));
    }

    const PINNED: u128 = 205_916_763_918_962_109_780_690_200_177_644_618_205;
}
