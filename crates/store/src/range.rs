//! Reading one key or many.

use std::cmp::Ordering;

use bytes::{Bytes, BytesMut};

use crate::request::{KeyRange, Range, SortOrder, SortTarget};
use crate::response::{KeyValue, RangeResponse, Refusal};
use crate::state::{State, key_value};
use crate::stored_key::StoredKey;

impl Range {
    /// All of `keys` as they are now, in order.
    pub fn new(keys: KeyRange) -> Range {
        Range {
            keys,
            limit: 0,
            revision: 0,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }

    /// Whether results come in the order in which they are stored, as etcd decides it before it reads: without an
    /// order none is asked for, whatever the target says.
    fn reads_in_order(&self) -> bool {
        match self.sort_order {
            SortOrder::None => true,
            SortOrder::Ascend => self.sort_target == SortTarget::Key,
            SortOrder::Descend => false,
        }
    }

    fn has_filters(&self) -> bool {
        [self.min_mod_revision, self.max_mod_revision, self.min_create_revision, self.max_create_revision]
            .iter()
            .any(|bound| *bound != 0)
    }

    fn admits(&self, kv: &KeyValue) -> bool {
        let within = |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
        within(kv.mod_revision, self.min_mod_revision, self.max_mod_revision)
            && within(kv.create_revision, self.min_create_revision, self.max_create_revision)
    }

    /// Ties stay in the order of the keys.
    fn sort(&self, kvs: &mut [KeyValue]) {
        let by: fn(&KeyValue, &KeyValue) -> Ordering = match self.sort_target {
            SortTarget::Key => |a, b| a.key.cmp(&b.key),
            SortTarget::Version => |a, b| a.version.cmp(&b.version),
            SortTarget::Create => |a, b| a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => |a, b| a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => |a, b| a.value.cmp(&b.value),
        };
        match self.sort_order {
            SortOrder::Descend => kvs.sort_by(|a, b| by(b, a)),
            // Another target than the key without an order means ascending.
            SortOrder::None | SortOrder::Ascend if self.sort_target != SortTarget::Key => kvs.sort_by(by),
            SortOrder::None | SortOrder::Ascend => {}
        }
    }
}

/// Answers `range` from `state`, whose newest revision is `now` (one more than the last complete one inside a
/// transaction that has written).
///
/// # Errors
/// [`Refusal::FutureRevision`] and [`Refusal::Compacted`].
pub(crate) fn read(state: &State, now: i64, range: &Range) -> Result<RangeResponse, Refusal> {
    let at = revision(state, now, range)?;
    let limit = match range.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    // What has to be filtered or sorted has to be read whole. One more than the limit shows that there is more.
    let cut_early = range.reads_in_order() && !range.has_filters();
    let fetch = if range.count_only {
        0
    } else if cut_early {
        limit.saturating_add(1)
    } else {
        usize::MAX
    };
    let (mut kvs, mut count, mut names) = (Vec::new(), 0, Names::new(&range.keys));
    for (key, history) in state.span(&range.keys) {
        let Some((version, live)) = history.live_at(at) else { continue };
        count += 1;
        if kvs.len() < fetch {
            kvs.push(key_value(names.add(key), version, live));
        }
    }
    if range.has_filters() {
        kvs.retain(|kv| range.admits(kv));
    }
    range.sort(&mut kvs);
    let more = kvs.len() > limit;
    kvs.truncate(limit);
    if range.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    Ok(RangeResponse { kvs, more, count })
}

/// The revision at which `range` is read, `now` being the newest.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn revision(state: &State, now: i64, range: &Range) -> Result<i64, Refusal> {
    if range.revision > now {
        return Err(Refusal::FutureRevision);
    }
    let at = if range.revision <= 0 { now } else { range.revision };
    if at < state.compacted {
        return Err(Refusal::Compacted);
    }
    Ok(at)
}

/// The keys of an answer. Many short ones share a buffer: they are made and dropped together, and an allocation for
/// each would be most of the cost of a long range.
struct Names(Option<BytesMut>);

impl Names {
    /// In bytes: a page.
    const BUFFER: usize = 4096;

    fn new(keys: &KeyRange) -> Names {
        match keys {
            KeyRange::One(_) => Names(None),
            KeyRange::Span(..) | KeyRange::From(_) => Names(Some(BytesMut::new())),
        }
    }

    fn add(&mut self, key: &StoredKey) -> Bytes {
        match (key, &mut self.0) {
            (StoredKey::Inline { .. }, Some(buffer)) => {
                if buffer.capacity() < key.as_slice().len() {
                    *buffer = BytesMut::with_capacity(Names::BUFFER);
                }
                buffer.extend_from_slice(key.as_slice());
                buffer.split().freeze()
            }
            _ => key.to_bytes(),
        }
    }
}
