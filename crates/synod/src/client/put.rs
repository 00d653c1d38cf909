//! `synod put`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Args;
use synod_server::proto::etcdserverpb::PutRequest;

use super::args::{Common, value_or_stdin};
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{json, output};

const EXAMPLES: &str = "\
Examples:
  synod put greeting hello
  synod put config < config.toml        the value from a file, byte by byte
  echo -n secret | synod put token -    the value from another program
  synod put greeting hi --prev-kv       shows what was there before
  synod put greeting ''                 an empty value
  synod put -- key --value              what looks like a flag, behind --
  synod put --escaped '\\xd6\\xd0' a     a key that is no text, as `synod get` prints it

Ends with 0 when the value is on a quorum of disks, 1 when the cluster refused and changed nothing, 4 when no answer
came, so that the outcome is unknown, and 5 when it was written but the answer could not be shown.";

/// Writes a key.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PutCommand {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    put: PutSpec,
}

/// What to write; also a step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct PutSpec {
    /// The key
    key: OsString,
    /// The value; `-` or nothing reads it from standard input
    #[arg(conflicts_with = "ignore_value", allow_hyphen_values = true)]
    value: Option<OsString>,
    /// Answer with what was there before
    #[arg(long)]
    prev_kv: bool,
    /// Keep the value that is there: the key only gets a new revision
    #[arg(long)]
    ignore_value: bool,
    /// Keep the lease that is there
    #[arg(long)]
    ignore_lease: bool,
}

impl PutSpec {
    /// The request, if the value is part of the command.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn into_step(self) -> Result<PutRequest, String> {
        match &self.value {
            None if !self.ignore_value => Err("put needs a value here: put KEY VALUE".to_owned()),
            _ => {
                let value = self.value.clone().unwrap_or_default();
                Ok(self.into_request(value.into_vec().into()))
            }
        }
    }

    fn into_request(self, value: bytes::Bytes) -> PutRequest {
        PutRequest {
            key: self.key.into_vec().into(),
            value,
            lease: 0,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        }
    }
}

pub(super) async fn run(command: PutCommand) -> Result<(), ClientError> {
    let PutCommand { common, mut put } = command;
    common.unescape(&mut put.key)?;
    if let Some(value) = &mut put.value {
        common.unescape(value)?;
    }
    let value = if put.ignore_value { bytes::Bytes::new() } else { value_or_stdin(put.value.clone())? };
    let asked_for_previous = put.prev_kv;
    let next = format!(
        "`synod get {}` shows whether it was; putting the same value again does no harm.",
        put.key.display()
    );
    let request = put.into_request(value);
    let ask = |channel, request| async move { kv(channel).put(request).await };
    let response = Cluster::new(&common).write(request, &next, ask).await?;
    if common.json {
        return output::print_json(&json::put(&response));
    }
    output::print(output::put(&response, asked_for_previous).as_bytes())
}
