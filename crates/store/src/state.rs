//! The logical content of a store: every key's history, in order of the keys.

use std::ops::Bound;

use imbl::OrdMap;

use crate::history::{History, Live, Version};
use crate::request::{Key, KeyRange};
use crate::response::KeyValue;
use crate::revision::{FIRST, NEVER, Revision};
use crate::stored_key::StoredKey;

/// What a version takes beside its value, and a key beside its bytes and versions: the nodes and counters around
/// them, rounded as an allocator would.
const VERSION_OVERHEAD: u64 = 144;
const KEY_OVERHEAD: u64 = 64;

/// Cloning takes constant time: the map is persistent, a clone shares all of it.
#[derive(Clone)]
pub(crate) struct State {
    /// Every key that has a version, tombstones included.
    pub(crate) keys: OrdMap<StoredKey, History>,
    /// The revision of the last change.
    pub(crate) revision: i64,
    /// The oldest readable revision; [`NEVER`] before the first compaction.
    pub(crate) compacted: i64,
    /// Approximate size in memory.
    pub(crate) bytes: u64,
}

impl State {
    pub(crate) fn new() -> State {
        State { keys: OrdMap::new(), revision: FIRST, compacted: NEVER, bytes: 0 }
    }

    /// The keys of a range that have any version, in order.
    pub(crate) fn span<'a>(
        &'a self,
        keys: &'a KeyRange,
    ) -> impl Iterator<Item = (&'a StoredKey, &'a History)> {
        let (one, bounds) = match keys {
            KeyRange::One(key) => (self.keys.get_key_value(&key[..]), None),
            // The map takes a range that ends before it starts for a bug; in a request it is an empty one.
            KeyRange::Span(from, to) if from >= to => (None, None),
            KeyRange::Span(from, to) => (None, Some((Bound::Included(&from[..]), Bound::Excluded(&to[..])))),
            KeyRange::From(from) => (None, Some((Bound::Included(&from[..]), Bound::Unbounded))),
        };
        let many = bounds.map(|bounds| self.keys.range::<_, [u8]>(bounds));
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Adds a version to a key. Copies the key if it is new; the value must be a copy already, so that no buffer is
    /// kept alive by a slice of it.
    pub(crate) fn write(&mut self, key: &[u8], at: Revision, live: Option<Live>) {
        self.bytes += version_bytes(live.as_ref());
        match self.keys.get_mut(key) {
            Some(history) => history.push(at, live),
            None => {
                self.bytes += key_bytes(key);
                self.keys.insert(StoredKey::copy_from(key), History::new(at, live));
            }
        }
    }

    /// Takes the newest version of a key away again.
    ///
    /// # Panics
    /// If the key has no version.
    pub(crate) fn unwrite(&mut self, key: &[u8]) {
        let history = self.keys.get_mut(key).expect("only what was written is taken back");
        self.bytes -= version_bytes(history.newest().live.as_ref());
        if !history.pop() {
            self.bytes -= key_bytes(key);
            self.keys.remove(key);
        }
    }
}

/// A version as clients see it.
pub(crate) fn key_value(key: Key, version: &Version, live: &Live) -> KeyValue {
    KeyValue {
        key,
        create_revision: live.create_revision,
        mod_revision: version.at.main,
        version: live.version,
        value: live.value.clone(),
        lease: live.lease,
    }
}

/// What a key adds to [`State::bytes`], without its versions.
pub(crate) fn key_bytes(key: &[u8]) -> u64 {
    KEY_OVERHEAD + key.len() as u64
}

/// What a version adds to [`State::bytes`].
pub(crate) fn version_bytes(live: Option<&Live>) -> u64 {
    VERSION_OVERHEAD + live.map_or(0, |live| live.value.len() as u64)
}
