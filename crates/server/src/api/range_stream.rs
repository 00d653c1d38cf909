//! `KV.RangeStream` (etcd 3.7): a range in pieces that, merged, are what `Range` answers.
//!
//! The keys are collected once, values shared with the store, so that no state of the store is held while a slow
//! client reads; each piece is encoded when the client is ready for it.

use synod_store::request::{Range, SortOrder, SortTarget};
use synod_store::response::{KeyValue, RangeResponse};

use crate::proto::etcdserverpb as pb;

use super::convert::key_value;
use super::error::ApiError;

/// A piece holds one key at least, and no further one that would make it larger than this.
const PIECE_BYTES: usize = 1024 * 1024;
/// What a key takes beside its name and value.
const KEY_OVERHEAD_BYTES: usize = 64;

/// # Errors
/// For what cannot be streamed, as in etcd: other orders than the keys', and filters by revision.
pub(crate) fn check(range: &Range) -> Result<(), ApiError> {
    let in_order = match range.sort_order {
        SortOrder::None => true,
        SortOrder::Ascend => range.sort_target == SortTarget::Key,
        SortOrder::Descend => false,
    };
    if !in_order {
        return Err(ApiError::Unimplemented("RangeStream does not support custom sort orders"));
    }
    let filters = [
        range.min_mod_revision,
        range.max_mod_revision,
        range.min_create_revision,
        range.max_create_revision,
    ];
    if filters.iter().any(|bound| *bound != 0) {
        return Err(ApiError::Unimplemented("RangeStream does not support revision filters"));
    }
    Ok(())
}

/// What an answer takes while it is streamed.
pub(crate) fn held_bytes(found: &RangeResponse) -> usize {
    found.kvs.iter().map(size).sum()
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len() + KEY_OVERHEAD_BYTES
}

/// The answer in pieces; header, `more` and `count` come with the last one.
pub(crate) fn pieces(
    header: pb::ResponseHeader,
    found: RangeResponse,
) -> impl Iterator<Item = pb::RangeStreamResponse> + Send {
    let mut kvs = found.kvs.into_iter().peekable();
    let mut last = Some((header, found.more, found.count));
    std::iter::from_fn(move || {
        let mut piece = pb::RangeResponse::default();
        let mut room = PIECE_BYTES;
        while let Some(kv) = kvs.next_if(|kv| piece.kvs.is_empty() || size(kv) <= room) {
            room = room.saturating_sub(size(&kv));
            piece.kvs.push(key_value(kv));
        }
        if kvs.peek().is_none() {
            let (header, more, count) = last.take()?;
            piece = pb::RangeResponse { header: Some(header), more, count, ..piece };
        }
        Some(pb::RangeStreamResponse { range_response: Some(piece) })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;
    use synod_store::request::KeyRange;

    use super::super::convert::range_response;
    use super::*;

    fn header() -> pb::ResponseHeader {
        pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 30, raft_term: 4 }
    }

    fn found(sizes: &[usize]) -> RangeResponse {
        let kvs = sizes.iter().enumerate().map(|(index, size)| KeyValue {
            key: Bytes::from(format!("key{index:04}")),
            create_revision: 2,
            mod_revision: 3 + index as i64,
            version: 1,
            value: Bytes::from(vec![b'v'; *size]),
            lease: 0,
        });
        RangeResponse { kvs: kvs.collect(), more: true, count: 99 }
    }

    fn streamed(found: RangeResponse) -> Vec<pb::RangeResponse> {
        pieces(header(), found).map(|piece| piece.range_response.expect("every piece has one")).collect()
    }

    #[test]
    fn merged_pieces_are_what_range_answers() {
        for sizes in [vec![], vec![10], vec![300_000; 20], vec![3_000_000, 5, 5, 2_000_000, 900_000]] {
            let mut merged = pb::RangeResponse::default();
            for piece in streamed(found(&sizes)) {
                merged.merge(piece.encode_to_vec().as_slice()).unwrap();
            }
            assert_eq!(merged, range_response(header(), found(&sizes)), "{sizes:?}");
        }
    }

    #[test]
    fn only_the_last_piece_tells_header_more_and_count() {
        let pieces = streamed(found(&[400_000; 5]));
        let (last, others) = pieces.split_last().expect("there is always a last one");
        assert_eq!(others.len(), 2);
        assert!(others.iter().all(|piece| piece.header.is_none() && !piece.more && piece.count == 0));
        assert_eq!((last.header, last.more, last.count), (Some(header()), true, 99));
    }

    #[test]
    fn pieces_stay_small_unless_one_value_alone_is_large() {
        let sizes: Vec<usize> = pieces(header(), found(&[500_000, 600_000, 3_000_000, 1]))
            .map(|piece| piece.range_response.map_or(0, |range| range.kvs.len()))
            .collect();
        assert_eq!(sizes, [1, 1, 1, 1]);
        assert!(streamed(found(&[10_000; 1000])).iter().all(|piece| piece.encoded_len() <= PIECE_BYTES));
    }

    #[test]
    fn custom_orders_and_filters_are_not_streamed() {
        let range = Range::new(KeyRange::From("a".into()));
        assert_eq!(check(&range), Ok(()));
        assert_eq!(check(&Range { sort_order: SortOrder::Ascend, ..range.clone() }), Ok(()));
        assert!(check(&Range { sort_order: SortOrder::Descend, ..range.clone() }).is_err());
        let by_revision =
            Range { sort_order: SortOrder::Ascend, sort_target: SortTarget::Mod, ..range.clone() };
        assert!(check(&by_revision).is_err());
        assert!(check(&Range { max_create_revision: 7, ..range }).is_err());
    }
}
