//! `synod get`.

use clap::{Args, ValueEnum};
use synod_server::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use synod_server::proto::etcdserverpb::{RangeRequest, RangeResponse};

use super::args::{Common, Keys};
use super::connection::{Cluster, kv};
use super::error::ClientError;
use super::{json, output};

const EXAMPLES: &str = "\
Examples:
  synod get greeting                             key and value, on a line each
  synod get greeting --print-value-only > file   the bytes of the value alone
  synod get app/ --prefix                        all keys that start with app/
  synod get a c                                  from a up to but without c
  synod get --prefix --count-only                how many keys there are
  synod get greeting --rev 5                     as it was at revision 5
  synod get --prefix --sort-by mod --order descend --limit 3

A key that is not there prints nothing and is no error. Reads are linearizable: they see everything that was
acknowledged before, by whichever member. --serializable asks one member for what it has, perhaps stale.";

/// Reads one key or many.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetCommand {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    get: GetSpec,
    /// Print the bytes of the values and nothing else, a line end after each
    #[arg(long, conflicts_with_all = ["keys_only", "count_only", "json"])]
    print_value_only: bool,
}

/// What to read; also a step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct GetSpec {
    #[command(flatten)]
    keys: Keys,
    /// At most so many keys; 0 for all
    #[arg(long, default_value_t = 0)]
    limit: u32,
    /// As it was at this revision; 0 for now
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// In which order
    #[arg(long)]
    order: Option<Order>,
    /// Ordered by what
    #[arg(long)]
    sort_by: Option<SortBy>,
    /// Leave the values out
    #[arg(long)]
    keys_only: bool,
    /// Only count the keys
    #[arg(long)]
    count_only: bool,
    /// Take what the member has, perhaps stale, without asking a quorum
    #[arg(long)]
    serializable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Ascend,
    Descend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortBy {
    /// By key
    Key,
    /// By how often it was put
    Version,
    /// By the revision that created it
    Create,
    /// By the revision that changed it last
    #[value(alias = "modify")]
    Mod,
    /// By value
    Value,
}

impl GetSpec {
    pub(super) fn into_request(self) -> RangeRequest {
        let (key, range_end) = self.keys.to_wire();
        let order = match (self.order, self.sort_by) {
            (Some(Order::Descend), _) => SortOrder::Descend,
            (Some(Order::Ascend), _) | (None, Some(_)) => SortOrder::Ascend,
            (None, None) => SortOrder::None,
        };
        let target = match self.sort_by.unwrap_or(SortBy::Key) {
            SortBy::Key => SortTarget::Key,
            SortBy::Version => SortTarget::Version,
            SortBy::Create => SortTarget::Create,
            SortBy::Mod => SortTarget::Mod,
            SortBy::Value => SortTarget::Value,
        };
        RangeRequest {
            key,
            range_end,
            limit: self.limit.into(),
            revision: self.rev,
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.serializable,
            keys_only: self.keys_only,
            count_only: self.count_only,
            ..RangeRequest::default()
        }
    }
}

/// A linearizable or serializable range.
///
/// # Errors
/// A refusal, or that no member answered.
pub(super) async fn range(cluster: &Cluster, request: RangeRequest) -> Result<RangeResponse, ClientError> {
    let ask = |channel, request| async move { kv(channel).range(request).await };
    cluster.read(request, ask).await
}

pub(super) async fn run(command: GetCommand) -> Result<(), ClientError> {
    let GetCommand { common, mut get, print_value_only } = command;
    get.keys.unescape(&common)?;
    let (keys_only, count_only) = (get.keys_only, get.count_only);
    let response = range(&Cluster::new(&common), get.into_request()).await?;
    if common.json {
        return output::print_json(&json::range(&response));
    }
    if count_only {
        return output::print(response.count.to_string().as_bytes());
    }
    if print_value_only {
        return response.kvs.iter().try_for_each(|kv| output::print(&kv.value));
    }
    if !response.kvs.is_empty() {
        output::print(output::key_values(&response.kvs, keys_only).join("\n").as_bytes())?;
    } else {
        output::note("no such key");
    }
    if response.more {
        let left = output::plural(response.count - i64::try_from(response.kvs.len()).unwrap_or(0), "key");
        output::note(format!("({left} more; --limit cut the list)"));
    }
    Ok(())
}
