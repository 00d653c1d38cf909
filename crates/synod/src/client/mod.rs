//! The client verbs: what a user asks a running cluster.
//!
//! | exit code | what became of it |
//! |---|---|
//! | 0 | done |
//! | 1 | refused by the cluster, or not asked for a reason found here; nothing was changed |
//! | 2 | the command is wrong |
//! | 3 | no member answered; nothing was changed |
//! | 4 | a write was sent and no answer came: it may have been done, or may still be |
//! | 5 | done, but the answer could not be shown |

mod append;
pub(crate) mod args;
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
pub(crate) mod output;
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
            output::note(&error);
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{Command, FromArgMatches};

    use super::*;

    fn parse(line: &str) -> Result<ClientCommand, ErrorKind> {
        let command = ClientCommand::augment_subcommands(Command::new("synod").no_binary_name(true));
        let matches = command.try_get_matches_from(line.split(' ')).map_err(|error| error.kind())?;
        ClientCommand::from_arg_matches(&matches).map_err(|error| error.kind())
    }

    #[test]
    fn the_definitions_of_all_commands_are_consistent() {
        ClientCommand::augment_subcommands(Command::new("synod")).debug_assert();
    }

    #[test]
    fn commands_that_make_sense_are_understood() {
        for line in [
            "put k v --prev-kv --endpoints a:1,b:2 --json --timeout 500ms",
            "put k -",
            "put k -1",
            "put k --ignore-value",
            "get k",
            "get a b --limit 3 --rev 7 --order descend --sort-by mod --keys-only --serializable",
            "get --prefix --count-only",
            "get k --from-key --print-value-only",
            "del k --prev-kv",
            "del a --prefix",
            "append k -v",
            "txn --file f",
            "compact 7",
            "status --endpoints a:1",
            "members --json",
            "log --from 3 --limit 5 --follow --interval 1s",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
        }
    }

    #[test]
    fn commands_that_make_no_sense_are_refused() {
        for (line, kind) in [
            ("put", ErrorKind::MissingRequiredArgument),
            ("put k v --ignore-value", ErrorKind::ArgumentConflict),
            ("get", ErrorKind::MissingRequiredArgument),
            ("get a b --prefix", ErrorKind::ArgumentConflict),
            ("get a --prefix --from-key", ErrorKind::ArgumentConflict),
            ("get a --print-value-only --json", ErrorKind::ArgumentConflict),
            ("get a --order upwards", ErrorKind::InvalidValue),
            ("get a --timeout never", ErrorKind::ValueValidation),
            ("get a --endpoints nowhere", ErrorKind::ValueValidation),
            ("compact yesterday", ErrorKind::ValueValidation),
            ("log --limit 0", ErrorKind::ValueValidation),
            ("log --interval 1s", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).err(), Some(kind), "{line}");
        }
    }
}
