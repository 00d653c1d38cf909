//! The client verbs: what a user asks a running cluster.
//!
//! Exit codes: 0 done; 1 the cluster refused; 2 the command is wrong; 3 no member answered, nothing was changed;
//! 4 a write was sent and no answer came, so nobody knows whether it was done.

mod append;
mod args;
mod compact;
mod connection;
mod del;
mod error;
mod escape;
mod get;
mod json;
mod log;
mod log_table;
mod members;
mod output;
mod put;
mod status;
mod txn;
mod txn_format;

use std::process::ExitCode;

use clap::Subcommand;

/// What a user can ask a cluster.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Writes a key.
    Put(put::PutCommand),
    /// Reads one key or many.
    Get(get::GetCommand),
    /// Removes one key or many.
    Del(del::DelCommand),
    /// Adds to the end of a key's value; of appends at the same time none is lost.
    Append(append::AppendCommand),
    /// Runs steps if conditions hold, else others, all at once.
    Txn(txn::TxnCommand),
    /// Forgets the history before a revision.
    Compact(compact::CompactCommand),
    /// Shows how every member stands.
    Status(status::StatusCommand),
    /// Shows who the members are.
    Members(members::MembersCommand),
    /// Shows the members' logs side by side, slot by slot.
    Log(log::LogCommand),
}

/// Runs a command to its end. Answers go to standard output, everything else to standard error.
pub async fn run(command: ClientCommand) -> ExitCode {
    let done = match command {
        ClientCommand::Put(command) => put::run(command).await,
        ClientCommand::Get(command) => get::run(command).await,
        ClientCommand::Del(command) => del::run(command).await,
        ClientCommand::Append(command) => append::run(command).await,
        ClientCommand::Txn(command) => txn::run(command).await,
        ClientCommand::Compact(command) => compact::run(command).await,
        ClientCommand::Status(command) => status::run(command).await,
        ClientCommand::Members(command) => members::run(command).await,
        ClientCommand::Log(command) => log::run(command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
