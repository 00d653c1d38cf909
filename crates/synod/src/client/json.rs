//! Answers as etcd prints them in JSON: its field names, keys and values in base64, nothing that is empty.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::response_op::Response as Op;
use synod_server::proto::mvccpb::KeyValue;

/// An object of the fields that hold something.
pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let holds = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    };
    let fields = fields.into_iter().filter(|(_, value)| holds(value));
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn base64(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

pub(super) fn header(header: Option<pb::ResponseHeader>) -> Value {
    header.map_or(Value::Null, |header| {
        object([
            ("cluster_id", json!(header.cluster_id)),
            ("member_id", json!(header.member_id)),
            ("revision", json!(header.revision)),
            ("raft_term", json!(header.raft_term)),
        ])
    })
}

fn key_value(kv: &KeyValue) -> Value {
    object([
        ("key", base64(&kv.key)),
        ("create_revision", json!(kv.create_revision)),
        ("mod_revision", json!(kv.mod_revision)),
        ("version", json!(kv.version)),
        ("value", base64(&kv.value)),
        ("lease", json!(kv.lease)),
    ])
}

fn key_values(kvs: &[KeyValue]) -> Value {
    Value::Array(kvs.iter().map(key_value).collect())
}

pub(super) fn range(response: &pb::RangeResponse) -> Value {
    object([
        ("header", header(response.header)),
        ("kvs", key_values(&response.kvs)),
        ("more", json!(response.more)),
        ("count", json!(response.count)),
    ])
}

pub(super) fn put(response: &pb::PutResponse) -> Value {
    let previous = response.prev_kv.as_ref().map_or(Value::Null, key_value);
    object([("header", header(response.header)), ("prev_kv", previous)])
}

pub(super) fn delete_range(response: &pb::DeleteRangeResponse) -> Value {
    object([
        ("header", header(response.header)),
        ("deleted", json!(response.deleted)),
        ("prev_kvs", key_values(&response.prev_kvs)),
    ])
}

pub(super) fn txn(response: &pb::TxnResponse) -> Value {
    let responses = response.responses.iter().map(|op| match &op.response {
        Some(Op::ResponseRange(response)) => json!({ "response_range": range(response) }),
        Some(Op::ResponsePut(response)) => json!({ "response_put": put(response) }),
        Some(Op::ResponseDeleteRange(response)) => json!({ "response_delete_range": delete_range(response) }),
        Some(Op::ResponseTxn(response)) => json!({ "response_txn": txn(response) }),
        None => Value::Null,
    });
    object([
        ("header", header(response.header)),
        ("succeeded", json!(response.succeeded)),
        ("responses", Value::Array(responses.collect())),
    ])
}

pub(super) fn compaction(response: &pb::CompactionResponse) -> Value {
    object([("header", header(response.header))])
}

fn member(member: &pb::Member) -> Value {
    object([
        ("ID", json!(member.id)),
        ("name", json!(member.name)),
        ("peerURLs", json!(member.peer_ur_ls)),
        ("clientURLs", json!(member.client_ur_ls)),
        ("isLearner", json!(member.is_learner)),
    ])
}

pub(super) fn members(response: &pb::MemberListResponse) -> Value {
    object([
        ("header", header(response.header)),
        ("members", Value::Array(response.members.iter().map(member).collect())),
    ])
}

pub(super) fn status(status: &pb::StatusResponse) -> Value {
    object([
        ("header", header(status.header)),
        ("version", json!(status.version)),
        ("dbSize", json!(status.db_size)),
        ("leader", json!(status.leader)),
        ("raftIndex", json!(status.raft_index)),
        ("raftTerm", json!(status.raft_term)),
        ("raftAppliedIndex", json!(status.raft_applied_index)),
        ("errors", json!(status.errors)),
        ("dbSizeInUse", json!(status.db_size_in_use)),
        ("isLearner", json!(status.is_learner)),
        ("storageVersion", json!(status.storage_version)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_base64_and_what_is_empty_is_left_out() {
        let response = pb::RangeResponse {
            header: Some(pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 0 }),
            kvs: vec![KeyValue {
                key: "k1".into(),
                create_revision: 2,
                mod_revision: 3,
                version: 2,
                value: vec![0xff].into(),
                lease: 0,
            }],
            more: false,
            count: 1,
        };
        let expected = json!({
            "header": { "cluster_id": 1, "member_id": 2, "revision": 3 },
            "kvs": [{ "key": "azE=", "create_revision": 2, "mod_revision": 3, "version": 2, "value": "/w==" }],
            "count": 1,
        });
        assert_eq!(range(&response), expected);
    }
}
