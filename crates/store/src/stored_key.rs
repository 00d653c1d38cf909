//! Keys as the store holds them.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

/// How long a key may be to lie in the map itself: as much as makes no difference to its size.
const INLINE: usize = 38;

/// A key that is compared and copied without a look elsewhere in memory if it is short: that is where most of the
/// time of a search, and of a write after a view was taken, goes (`docs/decisions/store.md`).
#[derive(Clone)]
pub(crate) enum StoredKey {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Bytes),
}

impl StoredKey {
    /// A copy, so that no buffer is kept alive by a slice of it.
    pub(crate) fn copy_from(key: &[u8]) -> StoredKey {
        match u8::try_from(key.len()) {
            Ok(length) if key.len() <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..key.len()].copy_from_slice(key);
                StoredKey::Inline { length, bytes }
            }
            _ => StoredKey::Shared(Bytes::copy_from_slice(key)),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            StoredKey::Inline { length, bytes } => &bytes[..usize::from(*length)],
            StoredKey::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            StoredKey::Inline { .. } => Bytes::copy_from_slice(self.as_slice()),
            StoredKey::Shared(bytes) => bytes.clone(),
        }
    }
}

impl Borrow<[u8]> for StoredKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &StoredKey) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for StoredKey {}

impl PartialOrd for StoredKey {
    fn partial_cmp(&self, other: &StoredKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StoredKey {
    fn cmp(&self, other: &StoredKey) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_keys_come_back_and_sort_alike() {
        let keys: Vec<Vec<u8>> =
            (0..100).flat_map(|length| [vec![b'a'; length], vec![b'b'; length]]).collect();
        for one in &keys {
            let stored = StoredKey::copy_from(one);
            assert_eq!((stored.as_slice(), &stored.to_bytes()[..]), (&one[..], &one[..]));
            for other in &keys {
                assert_eq!(stored.cmp(&StoredKey::copy_from(other)), one.cmp(other));
            }
        }
    }

    #[test]
    fn a_long_key_makes_no_key_larger() {
        assert_eq!(size_of::<StoredKey>(), size_of::<Bytes>() + 8);
    }
}
