//! `synod append`: the texts' PutAppend.
//!
//! The key is read, then one transaction puts the longer value if the key's mod revision is still the one that was
//! read, and reads it otherwise; after a conflict it starts over from what it just read. Of appends at the same time
//! each succeeds on top of another, so none is lost.
//!
//! None is done twice either. After a definite "somebody was faster" the transaction did nothing and never will: it
//! was applied. When no answer comes, it is *not* tried again, and the outcome is reported as unknown. What would
//! make a second try safe is a marker written by the same transaction, which must outlive every delayed first try
//! and go away by itself, that is, hang on a lease. Until there are leases, a marker would either
//! stay for ever or be gone when a delayed first try of a key that was absent, and is absent again, arrives; so there
//! is none.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use clap::Args;
use synod_server::proto::etcdserverpb as pb;
use synod_server::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use synod_server::proto::etcdserverpb::request_op::Request as Step;
use synod_server::proto::etcdserverpb::response_op::Response as Answer;

use super::args::{Common, value_or_stdin};
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{get, json, output};

const EXAMPLES: &str = "\
Examples:
  synod append greeting ', world'
  date | synod append visits           each line at the end, by however many at once

A key that is not there is created. If no answer comes, nobody knows whether it was done (exit code 4): look before
you append again.";

/// Adds to the end of a key's value.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AppendCommand {
    #[command(flatten)]
    common: Common,
    /// The key
    key: OsString,
    /// What to add; `-` or nothing reads it from standard input
    #[arg(allow_hyphen_values = true)]
    value: Option<OsString>,
}

/// What a key held when it was read: nothing, at revision 0, if it was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    mod_revision: i64,
    value: Bytes,
}

impl Seen {
    fn of(response: &pb::RangeResponse) -> Seen {
        match response.kvs.first() {
            Some(kv) => Seen { mod_revision: kv.mod_revision, value: kv.value.clone() },
            None => Seen::default(),
        }
    }
}

fn read(key: &Bytes) -> pb::RangeRequest {
    pb::RangeRequest { key: key.clone(), ..Default::default() }
}

/// Puts what was seen and `suffix` if nothing changed since, else reads again.
fn transaction(key: &Bytes, seen: &Seen, suffix: &Bytes) -> pb::TxnRequest {
    let mut value = BytesMut::with_capacity(seen.value.len() + suffix.len());
    value.extend_from_slice(&seen.value);
    value.extend_from_slice(suffix);
    let put = pb::PutRequest { key: key.clone(), value: value.freeze(), ..Default::default() };
    let step = |step| pb::RequestOp { request: Some(step) };
    pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::ModRevision(seen.mod_revision)),
            range_end: Bytes::new(),
        }],
        success: vec![step(Step::RequestPut(Box::new(put)))],
        failure: vec![step(Step::RequestRange(Box::new(read(key))))],
    }
}

/// What the losing branch of [`transaction`] read.
fn seen_instead(response: &pb::TxnResponse) -> Result<Seen, ClientError> {
    match response.responses.first().and_then(|op| op.response.as_ref()) {
        Some(Answer::ResponseRange(range)) => Ok(Seen::of(range)),
        other => Err(ClientError::NotDone(format!("not appended: the member answered {other:?} to a read"))),
    }
}

pub(super) async fn run(command: AppendCommand) -> Result<(), ClientError> {
    let AppendCommand { common, key: mut name, mut value } = command;
    common.unescape(&mut name)?;
    if let Some(value) = &mut value {
        common.unescape(value)?;
    }
    let suffix = value_or_stdin(value)?;
    let key = Bytes::from(name.clone().into_vec());
    let name = name.display();
    let cluster = Cluster::new(&common);
    let next = format!("Look with `synod get {name}` before you append again.");
    let deadline = Instant::now() + cluster.timeout();
    let mut seen = Seen::of(&get::range(&cluster, read(&key)).await?);
    loop {
        let ask = |channel, request| async move { kv(channel).txn(request).await };
        let response = cluster.write(transaction(&key, &seen, &suffix), &next, ask).await?;
        if response.succeeded {
            if common.json {
                return output::print_json(&json::txn(&response));
            }
            return output::print(format!("OK, revision {}", output::revision(response.header)).as_bytes());
        }
        seen = seen_instead(&response)?;
        if Instant::now() >= deadline {
            let text = format!(
                "not appended: others kept changing '{name}' for {:?}\nTry again, or wait longer with --timeout.",
                cluster.timeout()
            );
            return Err(ClientError::NotDone(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_value_is_put_only_if_nothing_changed_since_it_was_read() {
        let seen = Seen { mod_revision: 7, value: "ab".into() };
        let txn = transaction(&"k".into(), &seen, &"cd".into());
        assert_eq!(txn.compare.len(), 1);
        assert_eq!(txn.compare[0].target_union, Some(TargetUnion::ModRevision(7)));
        assert_eq!((txn.compare[0].target, txn.compare[0].result), (2, 0), "mod =");
        let put = pb::PutRequest { key: "k".into(), value: "abcd".into(), ..Default::default() };
        assert_eq!(txn.success[0].request, Some(Step::RequestPut(Box::new(put))));
        assert_eq!(txn.failure[0].request, Some(Step::RequestRange(Box::new(read(&"k".into())))));
    }

    #[test]
    fn a_key_that_is_not_there_has_mod_revision_0_and_nothing_in_it() {
        assert_eq!(Seen::of(&pb::RangeResponse::default()), Seen { mod_revision: 0, value: Bytes::new() });
    }
}
