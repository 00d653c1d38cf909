//! `synod compact`.

use clap::Args;
use synod_server::proto::etcdserverpb::CompactionRequest;

use super::args::Common;
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{json, output};

const EXAMPLES: &str = "\
Examples:
  synod compact 1000     revision 1000 stays readable, what came before does not";

/// Forgets the history before a revision.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompactCommand {
    #[command(flatten)]
    common: Common,
    /// The oldest revision that stays readable
    revision: i64,
}

pub(super) async fn run(command: CompactCommand) -> Result<(), ClientError> {
    let CompactCommand { common, revision } = command;
    let request = CompactionRequest { revision, physical: false };
    let ask = |channel, request| async move { kv(channel).compact(request).await };
    let next = "Compacting again does no harm.";
    let response = Cluster::new(&common).write(request, next, ask).await?;
    if common.json {
        return output::print_json(&json::compaction(&response));
    }
    output::print(format!("forgot the history before revision {revision}").as_bytes())
}
