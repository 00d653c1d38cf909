//! The one binary: members, and what talks to them.

mod bench;
mod check;
mod client;
mod config;
mod dev;
mod environment;
mod lift_refusal;
mod line_queue;
mod logging;
mod serve;
mod sim;
mod textbook;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use bench::BenchOptions;
use check::CheckOptions;
use client::ClientCommand;
use config::ServeOptions;
use dev::DevOptions;
use lift_refusal::LiftRefusalOptions;
use sim::SimOptions;

const EXAMPLES: &str = "\
Examples:
  synod dev                          three members on this machine, data in ./synod-data
  synod put greeting hello           write a key
  synod get greeting                 read it
  etcdctl get --prefix ''            etcd's own client works as well
  synod serve --help                 how to run one member of a real cluster";

/// Paxos, complete: a coordination service that every etcd v3 client can use.
#[derive(Debug, Parser)]
#[command(name = "synod", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one member of a cluster
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<ServeOptions>),
    /// Lets a member start again whose data directory the cluster refused
    #[command(after_help = lift_refusal::EXAMPLES)]
    LiftRefusal(LiftRefusalOptions),
    /// Runs a whole cluster in one process, to try things out
    #[command(after_help = dev::EXAMPLES)]
    Dev(DevOptions),
    /// Visits every state of small configurations of the protocols
    #[command(after_help = check::EXAMPLES)]
    Check(CheckOptions),
    /// Runs whole clusters in a simulated world that tries to break them
    #[command(after_help = sim::EXAMPLES)]
    Sim(Box<SimOptions>),
    /// Measures the protocols side by side on this machine
    #[command(after_help = bench::EXAMPLES)]
    Bench(BenchOptions),
    #[command(flatten)]
    Client(ClientCommand),
}

fn main() -> ExitCode {
    let command = Cli::command();
    let warnings = environment::unknown(&command);
    let matches = environment::without_empty(command).get_matches();
    warnings.iter().for_each(|warning| eprintln!("synod: {warning}"));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Serve(options) => {
            let (_, matches) = matches.subcommand().expect("the command was taken from it");
            serve::run(*options, matches)
        }
        Command::LiftRefusal(options) => lift_refusal::run(options),
        Command::Dev(options) => dev::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Client(command) => block_on(client::run(command)),
    }
}

/// Runs a future on all processors.
fn block_on(future: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(future);
            // Work that nobody waits for any more must not hold the end up.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("synod: the system gives no threads or events: {error}");
            ExitCode::FAILURE
        }
    }
}
