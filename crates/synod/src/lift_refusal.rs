//! `synod lift-refusal`: lets a member that the cluster refused try again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use synod_server::member::lift_refusal;

pub(crate) const EXAMPLES: &str = "\
A member whose data directory was replaced by an earlier copy is refused by the others: it has forgotten promises and
votes, and acknowledged writes could be lost if it voted again. It remembers the refusal and does not start any more.
Lift the refusal only if you know that the directory has lost nothing. The members that refused it may refuse it again.

Example:
  synod lift-refusal m1.synod";

/// What `synod lift-refusal` is told.
#[derive(Debug, Args)]
pub struct LiftRefusalOptions {
    /// The member's data directory; the member must not run
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
}

/// Forgets the refusal, if there is one.
pub(crate) fn run(options: LiftRefusalOptions) -> ExitCode {
    let directory = options.data_dir.display().to_string();
    match lift_refusal(options.data_dir) {
        Ok(Some(reason)) => {
            println!("lifted for {directory}: {reason}\nStart the member with `synod serve`.");
            ExitCode::SUCCESS
        }
        Ok(None) => {
            println!("{directory} was not refused; nothing was changed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("synod lift-refusal: {error}");
            ExitCode::FAILURE
        }
    }
}
