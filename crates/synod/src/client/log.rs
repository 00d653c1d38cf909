//! `synod log`: the replicated log itself, of all members side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use synod_server::proto::synod::v1::SlotsRequest;
use synod_server::proto::synod::v1::log_client::LogClient;

use super::args::{Common, parse_duration};
use super::connection::Cluster;
use super::error::ClientError;
use super::log_table::{Line, Logs, MemberLog};
use super::status::{Target, status, targets};
use super::{members, output};

const EXAMPLES: &str = "\
A slot is accepted where the member voted for its value, chosen where the member knows that a quorum did, applied
where it changed the keys, truncated where a checkpoint has taken its place. A ballot is (round, proposer).

Examples:
  synod log                    the newest slots of every member
  synod log --from 1           from the first slot on
  synod log --follow           new slots, and old ones as they change, until Ctrl-C";

/// Shows the members' logs side by side, slot by slot.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogCommand {
    #[command(flatten)]
    common: Common,
    /// The first slot to show; without it the newest are shown
    #[arg(long)]
    from: Option<u64>,
    /// At most so many slots
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Go on showing new slots and changes
    #[arg(long)]
    follow: bool,
    /// How often to look for changes
    #[arg(long, default_value = "500ms", value_parser = parse_duration, requires = "follow")]
    interval: Duration,
}

pub(super) async fn run(command: LogCommand) -> Result<(), ClientError> {
    let cluster = Cluster::new(&command.common);
    let targets = targets(&cluster).await?;
    let from = match command.from {
        Some(from) => from.max(1),
        None => (newest(&cluster, &targets).await + 1).saturating_sub(command.limit).max(1),
    };
    if command.follow {
        return follow(&cluster, &targets, &command, from).await;
    }
    let logs = read(&cluster, &targets, from, command.limit).await;
    if command.common.json {
        output::print_json(&logs.to_json())?;
    } else {
        output::print(logs.table(None).as_bytes())?;
    }
    all_answered(&logs, &targets)
}

/// The last slot of the longest chosen prefix.
async fn newest(cluster: &Cluster, targets: &[Target]) -> u64 {
    let answers = join_all(targets.iter().map(|target| status(cluster, &target.endpoint))).await;
    answers.into_iter().flatten().map(|status| status.raft_index).max().unwrap_or(0)
}

/// What every member has from a slot on.
async fn read(cluster: &Cluster, targets: &[Target], from: u64, limit: u64) -> Logs {
    let ask = |target: &Target| {
        let cluster = cluster.only(&target.endpoint);
        let called = target.member.as_ref().map_or_else(|| target.endpoint.to_string(), members::name);
        async move {
            let ask = |channel, request| async move {
                LogClient::new(channel).max_decoding_message_size(usize::MAX).slots(request).await
            };
            match cluster.read(SlotsRequest { from, limit }, ask).await {
                Ok(response) => MemberLog::answered(response),
                Err(error) => MemberLog { name: called, id: 0, slots: Err(error.in_one_line()) },
            }
        }
    };
    Logs { members: join_all(targets.iter().map(ask)).await }
}

fn all_answered(logs: &Logs, targets: &[Target]) -> Result<(), ClientError> {
    let silent = logs.members.iter().zip(targets).filter_map(|(member, target)| {
        member.slots.as_ref().err().map(|reason| (target.endpoint.clone(), reason.clone()))
    });
    let silent: Vec<_> = silent.collect();
    if silent.is_empty() { Ok(()) } else { Err(ClientError::SomeSilent(silent)) }
}

/// Shows lines as they appear and change, until the process is ended.
async fn follow(
    cluster: &Cluster,
    targets: &[Target],
    command: &LogCommand,
    mut from: u64,
) -> Result<(), ClientError> {
    let mut shown: BTreeMap<(u64, Vec<String>), Line> = BTreeMap::new();
    let mut columns: Option<Columns> = None;
    let mut silent: Vec<String> = Vec::new();
    loop {
        let logs = read(cluster, targets, from, command.limit.max(100)).await;
        let now_silent = logs.silent().map(|(name, reason)| format!("{name} does not answer: {reason}"));
        let now_silent: Vec<String> = now_silent.collect();
        if now_silent != silent {
            now_silent.iter().for_each(output::note);
            silent = now_silent;
        }
        let lines = logs.lines();
        for line in &lines {
            let key = (line.slot, line.operations.clone());
            if shown.get(&key) == Some(line) {
                continue;
            }
            if command.common.json {
                output::print_json(&logs.line_json(line))?;
            } else {
                let cells = logs.cells(line);
                if columns.is_none() {
                    let layout = Columns::for_header(&logs.header());
                    output::print(layout.row(&logs.header()).as_bytes())?;
                    columns = Some(layout);
                }
                if let Some(layout) = &columns {
                    output::print(layout.row(&cells).as_bytes())?;
                }
            }
            shown.insert(key, line.clone());
        }
        from = settled_before(&logs, from);
        shown.retain(|(slot, _), _| *slot >= from);
        tokio::time::sleep(command.interval).await;
    }
}

/// The first slot that may still change: every member that answers has applied all before it.
fn settled_before(logs: &Logs, from: u64) -> u64 {
    let settled = logs.members.iter().map(|member| match &member.slots {
        Ok(slots) => {
            let applied = slots.iter().take_while(|slot| slot.applied || slot.truncated);
            applied.last().map_or(from, |slot| slot.slot + 1)
        }
        // Whoever does not answer now may do so later.
        Err(_) => from,
    });
    settled.min().unwrap_or(from)
}

/// The widths of the columns of lines that are printed one by one.
struct Columns {
    widths: Vec<usize>,
}

impl Columns {
    fn for_header(header: &[String]) -> Columns {
        // Slot, operation, ballot, and what members say: room for what is usual.
        let usual = [8, 32, 10].into_iter().chain(std::iter::repeat(16));
        let widths = header.iter().zip(usual).map(|(title, usual)| title.chars().count().max(usual));
        Columns { widths: widths.collect() }
    }

    fn row(&self, cells: &[String]) -> String {
        let padded = cells.iter().zip(&self.widths).map(|(cell, width)| {
            let cell = cell.replace('\n', "; ");
            if cell.chars().count() <= *width {
                return format!("{cell:<width$}");
            }
            let kept: String = cell.chars().take(width - 1).collect();
            format!("{kept}…")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use synod_server::proto::synod::v1::Slot;

    use super::*;

    #[test]
    fn lines_that_are_followed_have_columns_of_their_own() {
        let header = ["slot", "operation", "ballot", "n1", "n2"].map(str::to_owned);
        let columns = Columns::for_header(&header);
        let cells = ["7", "Put k1 v1\nPut k2 a value that is rather long", "(1,n1)", "applied", "chosen"];
        let expected = "\
slot      operation                         ballot      n1                n2
7         Put k1 v1; Put k2 a value that …  (1,n1)      applied           chosen";
        let shown = [columns.row(&header), columns.row(&cells.map(str::to_owned))].join("\n");
        assert_eq!(shown, expected);
    }

    #[test]
    fn following_goes_on_behind_what_every_member_has_applied() {
        let member = |applied: u64, slots: u64| MemberLog {
            name: String::new(),
            id: 1,
            slots: Ok((5..=slots)
                .map(|slot| Slot { slot, applied: slot <= applied, ..Default::default() })
                .collect()),
        };
        let logs = Logs { members: vec![member(9, 10), member(7, 12)] };
        assert_eq!(settled_before(&logs, 5), 8);
        let silent = MemberLog { name: String::new(), id: 0, slots: Err("gone".to_owned()) };
        let logs = Logs { members: vec![member(9, 10), silent] };
        assert_eq!(settled_before(&logs, 5), 5);
    }
}
