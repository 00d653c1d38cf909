//! `synod bench`: the textbook store by each protocol, side by side: real processes, sockets and disks.

mod cluster;
mod load;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::block_on;
use crate::client::args::parse_duration;
use crate::textbook::Protocol;
use cluster::Cluster;
use load::{Load, Measured};

pub(crate) const EXAMPLES: &str = "\
Examples:
  synod bench                                     every protocol, without and with conflicts, one client and many
  synod bench --protocol multi,egalitarian        two of them
  synod bench --members 5 --clients 64 --time 10s five members, 64 clients, ten seconds a measurement
  synod bench --at 1                              all clients at the first member
  synod bench --json                              for a script

Each protocol gets fresh members, each a process of its own with its data on this disk; every write that is answered is
synced on a quorum of disks. The etcd service has a benchmark of its own: cargo run --release -p synod --example bench";

/// What `synod bench` can be told.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Which protocols
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Protocol::value_variants().to_vec(), value_name = "PROTOCOLS")]
    protocol: Vec<Protocol>,
    /// How many members
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    members: u16,
    /// How many clients write at once, each as soon as it is answered
    #[arg(long, value_delimiter = ',', default_value = "1,32", value_name = "COUNTS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// How many of a hundred writes go to one key that all share; the others go to keys of the client's own
    #[arg(long, value_delimiter = ',', default_value = "0,100", value_name = "PERCENTAGES", value_parser = clap::value_parser!(u8).range(0..=100))]
    conflicts: Vec<u8>,
    /// All clients are at this member, instead of at all in turn
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=9))]
    at: Option<u16>,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    value_size: u32,
    /// How long each measurement takes, such as 500ms or 5s
    #[arg(long, default_value = "3s", value_name = "DURATION", value_parser = parse_duration)]
    time: Duration,
    /// Where the members keep their data meanwhile; a directory in it is made and removed
    #[arg(long, default_value = ".", value_name = "DIR")]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A measurement and what it was of.
struct Row {
    protocol: Protocol,
    load: Load,
    measured: Measured,
}

/// Runs what was asked for.
pub(crate) fn run(options: &BenchOptions) -> ExitCode {
    if let Some(at) = options.at.filter(|at| *at > options.members) {
        eprintln!("synod bench: --at {at}: there are {} members", options.members);
        return ExitCode::from(2);
    }
    block_on(async {
        match compare(options).await {
            Ok(rows) => {
                let text = if options.json { json(options, &rows) } else { table(&rows) };
                // Who reads it may have seen enough, as `head` does.
                drop(writeln!(std::io::stdout(), "{text}"));
                ExitCode::SUCCESS
            }
            Err(reason) => {
                eprintln!("synod bench: {reason}");
                ExitCode::FAILURE
            }
        }
    })
}

async fn compare(options: &BenchOptions) -> Result<Vec<Row>, String> {
    let loads = || {
        let conflicts = options.conflicts.iter();
        conflicts.flat_map(|conflicts| options.clients.iter().map(|clients| (*conflicts, *clients)))
    };
    let bar = ProgressBar::new((options.protocol.len() * loads().count()) as u64);
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len}  {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let mut rows = Vec::new();
    for protocol in &options.protocol {
        bar.set_message(format!("{}: the members start", protocol.name()));
        let cluster = Cluster::start(*protocol, options.members, &options.data_dir).await?;
        for (conflicts, clients) in loads() {
            bar.set_message(format!("{}: {clients} clients, {conflicts} % conflicts", protocol.name()));
            let load = Load { conflicts, clients, value_size: options.value_size, time: options.time };
            let measured = load::measure(&load, &cluster.ports_for(options.at)).await?;
            rows.push(Row { protocol: *protocol, load, measured });
            bar.inc(1);
        }
        cluster.expect_equal_members().await?;
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// What the first protocol did under the same load.
fn reference<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    let same = |other: &&Row| other.load == row.load && other.measured.answered > 0;
    rows.iter().find(same).filter(|other| other.protocol != row.protocol)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "conflicts",
        "clients",
        "protocol",
        "writes/s",
        "p50",
        "p99",
        "worst",
        "failed",
        "ratio",
    ]);
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.load.conflicts, row.load.clients));
    for row in sorted {
        let Measured { answered, failed, .. } = row.measured;
        let ratio = reference(rows, row).map_or("1".to_owned(), |reference| {
            format!("{:.2}", row.measured.per_second() / reference.measured.per_second())
        });
        table.add_row([
            format!("{} %", row.load.conflicts),
            row.load.clients.to_string(),
            row.protocol.name().to_owned(),
            if answered == 0 { "none".to_owned() } else { format!("{:.0}", row.measured.per_second()) },
            milliseconds(row.measured.p50),
            milliseconds(row.measured.p99),
            milliseconds(row.measured.worst),
            failed.to_string(),
            ratio,
        ]);
    }
    format!("{table}\nratio: writes a second, against the first protocol under the same load")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn json(options: &BenchOptions, rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "protocol": row.protocol.name(),
                "conflicts_percent": row.load.conflicts,
                "clients": row.load.clients,
                "answered": row.measured.answered,
                "failed": row.measured.failed,
                "writes_per_second": row.measured.per_second(),
                "p50_us": row.measured.p50.as_micros() as u64,
                "p99_us": row.measured.p99.as_micros() as u64,
                "worst_us": row.measured.worst.as_micros() as u64,
            })
        })
        .collect();
    json!({ "members": options.members, "value_size": options.value_size, "measurements": rows }).to_string()
}
