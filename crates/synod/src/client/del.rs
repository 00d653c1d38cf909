//! `synod del`.

use clap::Args;
use synod_server::proto::etcdserverpb::DeleteRangeRequest;

use super::args::{Common, Keys};
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{json, output};

const EXAMPLES: &str = "\
Examples:
  synod del greeting
  synod del app/ --prefix              all keys that start with app/
  synod del a c --prev-kv              from a up to but without c; shows what they held
  synod del --prefix ''                everything

A key that is not there is no error: the answer tells how many were removed.";

/// Removes one key or many.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DelCommand {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    del: DelSpec,
}

/// What to remove; also a step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct DelSpec {
    #[command(flatten)]
    keys: Keys,
    /// Answer with what was there before
    #[arg(long)]
    prev_kv: bool,
}

impl DelSpec {
    /// # Errors
    /// If no key is given: everything is removed only for somebody who says so.
    pub(super) fn into_step(self) -> Result<DeleteRangeRequest, String> {
        if self.keys.key.is_none() {
            return Err("which keys? To remove everything, say so: del --prefix ''".to_owned());
        }
        let (key, range_end) = self.keys.to_wire();
        Ok(DeleteRangeRequest { key, range_end, prev_kv: self.prev_kv })
    }
}

pub(super) async fn run(command: DelCommand) -> Result<(), ClientError> {
    let DelCommand { common, mut del } = command;
    del.keys.unescape(&common)?;
    let request = del.into_step().map_err(ClientError::Usage)?;
    let ask = |channel, request| async move { kv(channel).delete_range(request).await };
    let next = "`synod get` with the same keys shows whether it was; removing them again does no harm.";
    let response = Cluster::new(&common).write(request, next, ask).await?;
    if common.json {
        return output::print_json(&json::delete_range(&response));
    }
    output::print(output::delete_range(&response).as_bytes())
}
