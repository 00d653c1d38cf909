//! `synod txn`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use synod_server::proto::etcdserverpb::TxnRequest;
use synod_server::proto::etcdserverpb::request_op::Request as Step;

use super::args::Common;
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{json, output, txn_format};

const EXAMPLES: &str = "\
The transaction is read from standard input or --file: conditions, an empty line, the steps if all hold, an empty
line, the steps otherwise. Lines that start with # are comments.

  # only if nobody has it
  create(lock) = 0

  put lock 'it is mine'

  get lock

Conditions compare ver, create, mod, val or lease of a key by =, !=, < or >. Steps are put, get and del with their
options. A word that begins with a quote ends with it, any other at the next space; between double quotes there are the
escapes \\n, \\t, \\xNN and so on. All steps happen at one revision, or none does.

Examples:
  synod txn --file take-lock.txn
  printf 'val(a) = 1\\n\\nput a 2\\n' | synod txn

SUCCESS means that all conditions held, FAILURE that one did not; both end with 0.";

/// Runs steps if conditions hold, else others, all at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TxnCommand {
    #[command(flatten)]
    common: Common,
    /// Read the transaction from this file
    #[arg(long)]
    file: Option<PathBuf>,
}

fn read_text(file: Option<PathBuf>) -> Result<Vec<u8>, ClientError> {
    let failed = |what: String| move |source| ClientError::Local { what, source };
    if let Some(file) = file {
        return std::fs::read(&file).map_err(failed(format!("{} cannot be read", file.display())));
    }
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note(
            "Conditions, an empty line, steps if all hold, an empty line, steps otherwise; Ctrl-D ends them.",
        );
    }
    let mut text = Vec::new();
    stdin.read_to_end(&mut text).map_err(failed("standard input cannot be read".to_owned()))?;
    Ok(text)
}

/// Whether a transaction can be sent twice without harm.
fn only_reads(request: &TxnRequest) -> bool {
    let mut steps = request.success.iter().chain(&request.failure);
    steps.all(|step| matches!(step.request, Some(Step::RequestRange(_))))
}

pub(super) async fn run(command: TxnCommand) -> Result<(), ClientError> {
    let TxnCommand { common, file } = command;
    let text = read_text(file)?;
    let request = txn_format::parse(&text).map_err(|error| ClientError::Usage(error.to_string()))?;
    let ask = |channel, request| async move { kv(channel).txn(request).await };
    let cluster = Cluster::new(&common);
    let response = if only_reads(&request) {
        cluster.read(request, ask).await?
    } else {
        cluster.write(request, "Read the keys it writes before you run it again.", ask).await?
    };
    if common.json {
        return output::print_json(&json::txn(&response));
    }
    output::print(output::txn(&response).as_bytes())
}
