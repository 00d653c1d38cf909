//! Commands in words, as the texts write them: `Put k1 v1`.

use bytes::Bytes;
use synod_member::voter::Operation;
use synod_paxos::node::NodeId;
use synod_store::request::{Command, KeyRange, Txn, TxnOp};

/// Longer keys and values are cut.
const SHOWN_BYTES: usize = 48;
/// Longer transactions are cut.
const SHOWN_STEPS: usize = 4;

/// The operations of a slot; a no-op if it has none. `name` is what a member is called.
pub(crate) fn operations(operations: &[Operation], name: impl Fn(NodeId) -> String) -> Vec<String> {
    if operations.is_empty() {
        return vec!["no-op".to_owned()];
    }
    let in_words = operations.iter().map(|operation| match operation {
        Operation::Register(member, incarnation) => format!("Register {} {incarnation}", name(*member)),
        Operation::Store(command) => stored(command),
    });
    in_words.collect()
}

fn stored(command: &Bytes) -> String {
    Command::decode(command.clone()).map_or_else(|error| format!("? {error}"), |command| words(&command))
}

fn words(command: &Command) -> String {
    match command {
        Command::Put(put) => format!("Put {} {}", text(&put.key), text(&put.value)),
        Command::DeleteRange(delete) => format!("Delete {}", keys(&delete.keys)),
        Command::Txn(txn) => transaction(txn),
        Command::Compact(compact) => format!("Compact {}", compact.revision),
    }
}

fn transaction(txn: &Txn) -> String {
    let conditions = txn.compare.len();
    let plural = if conditions == 1 { "" } else { "s" };
    format!(
        "Txn if {conditions} condition{plural} then [{}] else [{}]",
        steps(&txn.success),
        steps(&txn.failure)
    )
}

fn steps(steps: &[TxnOp]) -> String {
    let mut shown: Vec<String> = steps.iter().take(SHOWN_STEPS).map(step).collect();
    if steps.len() > SHOWN_STEPS {
        shown.push(format!("{} more", steps.len() - SHOWN_STEPS));
    }
    shown.join(", ")
}

fn step(step: &TxnOp) -> String {
    match step {
        TxnOp::Range(range) => format!("Get {}", keys(&range.keys)),
        TxnOp::Put(put) => format!("Put {} {}", text(&put.key), text(&put.value)),
        TxnOp::DeleteRange(delete) => format!("Delete {}", keys(&delete.keys)),
        // Not looked into: how deep they go is the client's choice.
        TxnOp::Txn(_) => "Txn".to_owned(),
    }
}

fn keys(keys: &KeyRange) -> String {
    match keys {
        KeyRange::One(key) => text(key),
        KeyRange::Span(from, to) => format!("[{}, {})", text(from), text(to)),
        KeyRange::From(from) => format!("[{}, …)", text(from)),
    }
}

/// Text as it is, other bytes escaped.
fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let mut text = String::new();
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        // A character cut at the end is left out, other bytes are shown.
        let cut = bytes.len() > SHOWN_BYTES && chunk.invalid().as_ptr_range().end == shown.as_ptr_range().end;
        if !cut {
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
    }
    if bytes.len() > SHOWN_BYTES {
        text.push('…');
    }
    text
}

/// What founding waits for.
pub(crate) fn missing(missing: &[(String, String)]) -> String {
    let names: Vec<String> = missing.iter().map(|(name, reason)| format!("{name} {reason}")).collect();
    format!("the cluster is not founded yet, which needs every founder up once: {}", names.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_store::request::{Compact, DeleteRange, Put};

    fn said(command: &Command) -> String {
        stored(&command.encode())
    }

    #[test]
    fn commands_read_as_the_texts_write_them() {
        assert_eq!(said(&Command::Put(Put::new("k1", "v1"))), "Put k1 v1");
        let keys = KeyRange::Span("a".into(), "b".into());
        assert_eq!(said(&Command::DeleteRange(DeleteRange { keys, prev_kv: false })), "Delete [a, b)");
        assert_eq!(said(&Command::Compact(Compact { revision: 7 })), "Compact 7");
        let put = |key: &'static str| TxnOp::Put(Put::new(key, "v"));
        let txn = Txn { success: vec![put("a"), put("b")], failure: vec![put("c"); 6], ..Txn::default() };
        assert_eq!(
            said(&Command::Txn(txn)),
            "Txn if 0 conditions then [Put a v, Put b v] else [Put c v, Put c v, Put c v, Put c v, 2 more]"
        );
    }

    #[test]
    fn a_gap_is_a_no_op_and_garbage_is_no_panic() {
        let name = |member| format!("m{member}");
        assert_eq!(operations(&[], name), ["no-op"]);
        let registration = Operation::Register(NodeId(3), synod_paxos::node::Incarnation::numbered(2));
        assert_eq!(operations(&[registration], name), ["Register mn3 #2"]);
        assert!(stored(&Bytes::from_static(b"\xff\xff")).starts_with("? "));
    }

    #[test]
    fn long_and_binary_values_stay_one_readable_line() {
        let value = Bytes::from("ä".repeat(100));
        let line = said(&Command::Put(Put::new("k", value)));
        assert_eq!(line, format!("Put k {}…", "ä".repeat(24)));
        assert_eq!(said(&Command::Put(Put::new("k", &b"a\n\xff\x00"[..]))), "Put k a\\n\\xff\\u{0}");
    }
}
