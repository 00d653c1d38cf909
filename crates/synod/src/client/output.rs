//! Answers as a person reads them. Pure: text in, text out; printing is [`print()`] alone.

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::response_op::Response as Op;
use synod_server::proto::mvccpb::KeyValue;

use super::error::ClientError;
use super::escape;

/// Prints an answer and ends the line.
///
/// # Errors
/// If standard output cannot be written; that nobody reads on (`| head`) is no error. An answer says that something
/// was done, so this is never a reason to think that it was not.
pub(super) fn print(bytes: &[u8]) -> Result<(), ClientError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(ClientError::NotShown(source)),
        _ => Ok(()),
    }
}

/// Tells the user something beside the answer, on standard error. If that cannot be written, the exit code has to do.
pub(super) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints JSON on one line.
///
/// # Errors
/// Those of [`print()`].
pub(super) fn print_json(value: &Value) -> Result<(), ClientError> {
    print(value.to_string().as_bytes())
}

/// `1 key`, `2 keys`.
pub(super) fn plural(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The revision an answer speaks of.
pub(super) fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// Key and value on a line each, as `etcdctl` prints them.
pub(super) fn key_values(kvs: &[KeyValue], keys_only: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for kv in kvs {
        lines.push(escape::text(&kv.key));
        if !keys_only {
            lines.push(escape::text(&kv.value));
        }
    }
    lines
}

/// What a put did.
pub(super) fn put(response: &pb::PutResponse, asked_for_previous: bool) -> String {
    let done = format!("OK, revision {}", revision(response.header));
    match &response.prev_kv {
        Some(previous) => format!("{done}\nbefore: {}", escape::text(&previous.value)),
        None if asked_for_previous => format!("{done}\nbefore: no such key"),
        None => done,
    }
}

/// What a removal did.
pub(super) fn delete_range(response: &pb::DeleteRangeResponse) -> String {
    let mut lines = vec![format!("removed {}", plural(response.deleted, "key"))];
    lines.extend(key_values(&response.prev_kvs, false));
    lines.join("\n")
}

/// What a transaction did.
pub(super) fn txn(response: &pb::TxnResponse) -> String {
    let branch = if response.succeeded { "SUCCESS" } else { "FAILURE" };
    let mut lines = vec![branch.to_owned()];
    for op in &response.responses {
        lines.push(String::new());
        match &op.response {
            Some(Op::ResponseRange(range)) if range.kvs.is_empty() => {
                lines.push(format!("found {}", plural(range.count, "key")));
            }
            Some(Op::ResponseRange(range)) => lines.extend(key_values(&range.kvs, false)),
            Some(Op::ResponsePut(response)) => lines.push(put(response, false)),
            Some(Op::ResponseDeleteRange(response)) => lines.push(delete_range(response)),
            Some(Op::ResponseTxn(response)) => lines.push(txn(response)),
            None => lines.push("no answer".to_owned()),
        }
    }
    lines.join("\n")
}

/// A table as wide as the terminal allows, or `width` if given.
pub(crate) fn table(header: Vec<String>, rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(width);
    }
    table.set_header(header);
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    table.trim_fmt()
}

/// A size for people: three digits and a unit.
pub(super) fn bytes(bytes: i64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1000.0 {
            return if unit == "B" || size >= 100.0 {
                format!("{size:.0} {unit}")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
    }

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        let shown: Vec<String> = [0, 999, 1024, 150_000, 5 << 20, 3 << 40].into_iter().map(bytes).collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KiB", "146 KiB", "5.0 MiB", "3.0 TiB"]);
    }

    #[test]
    fn a_put_tells_the_revision_and_what_was_there() {
        let header = Some(pb::ResponseHeader { revision: 5, ..Default::default() });
        assert_eq!(put(&pb::PutResponse { header, prev_kv: None }, false), "OK, revision 5");
        assert_eq!(
            put(&pb::PutResponse { header, prev_kv: None }, true),
            "OK, revision 5\nbefore: no such key"
        );
        let replaced = pb::PutResponse { header, prev_kv: Some(kv("k", "old")) };
        assert_eq!(put(&replaced, true), "OK, revision 5\nbefore: old");
    }

    #[test]
    fn a_transaction_tells_its_branch_and_each_answer() {
        let ops = [
            Op::ResponsePut(pb::PutResponse {
                header: Some(pb::ResponseHeader { revision: 7, ..Default::default() }),
                prev_kv: None,
            }),
            Op::ResponseRange(pb::RangeResponse { kvs: vec![kv("k", "v")], count: 1, ..Default::default() }),
            Op::ResponseRange(pb::RangeResponse::default()),
            Op::ResponseDeleteRange(pb::DeleteRangeResponse { deleted: 2, ..Default::default() }),
        ];
        let responses = ops.map(|op| pb::ResponseOp { response: Some(op) }).into();
        let shown = txn(&pb::TxnResponse { header: None, succeeded: true, responses });
        assert_eq!(shown, "SUCCESS\n\nOK, revision 7\n\nk\nv\n\nfound 0 keys\n\nremoved 2 keys");
    }
}
