//! What can go wrong for a user, said with what to do next.

use std::process::ExitCode;

use thiserror::Error;
use tonic::{Code, Status};

use super::connection::Endpoint;

/// Why a command was not done, or is not known to be.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The command cannot mean anything.
    #[error("{0}")]
    Usage(String),
    /// A member answered that it will not be done. Nothing was changed.
    #[error("refused: {}\n{}", .0.message(), next_step(.0))]
    Refused(Status),
    /// It was not done, for a reason found here.
    #[error("{0}")]
    NotDone(String),
    /// No member answered; nothing was changed.
    #[error("no member answered; nothing was changed\n{}\n{UNREACHABLE_NEXT}", tried(.0))]
    NoAnswer(Vec<(Endpoint, String)>),
    /// Some of the members that were to be shown did not answer.
    #[error("not every member answered\n{}", tried(.0))]
    SomeSilent(Vec<(Endpoint, String)>),
    /// A write was sent, and no answer came.
    #[error(
        "outcome unknown: the write was sent to {endpoint}, and no answer came ({reason})\n\
         It may have been done, or may still be. {next}"
    )]
    OutcomeUnknown {
        /// Whom it was sent to.
        endpoint: Endpoint,
        /// What came instead of an answer.
        reason: String,
        /// How to find out.
        next: String,
    },
    /// It was done, and the answer could not be shown.
    #[error("the answer came, but standard output cannot be written: {0}\nWhat was asked for has been done.")]
    NotShown(std::io::Error),
    /// It was done, and no message can hold the answer.
    #[error("{0}\nWhat was asked for has been done.")]
    AnswerTooLarge(String),
    /// A value could not be read, so nothing was asked.
    #[error("{what}: {source}")]
    Local {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

const UNREACHABLE_NEXT: &str = "Is a cluster running there, and has it a leader? `synod status` tells; `synod dev` \
                                starts one; --endpoints (or SYNOD_ENDPOINTS) names another; --timeout waits longer.";

fn tried(attempts: &[(Endpoint, String)]) -> String {
    let lines: Vec<String> =
        attempts.iter().map(|(endpoint, reason)| format!("  {endpoint}: {reason}")).collect();
    lines.join("\n")
}

impl ClientError {
    /// What is wrong with one member, for a table.
    pub(super) fn in_one_line(&self) -> String {
        match self {
            ClientError::NoAnswer(attempts) => {
                attempts.first().map_or_else(|| "no answer".to_owned(), |(_, reason)| reason.clone())
            }
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// See the module `client`.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            ClientError::Refused(_) | ClientError::NotDone(_) | ClientError::Local { .. } => 1,
            ClientError::Usage(_) => 2,
            ClientError::NoAnswer(_) | ClientError::SomeSilent(_) => 3,
            ClientError::OutcomeUnknown { .. } => 4,
            ClientError::NotShown(_) | ClientError::AnswerTooLarge(_) => 5,
        })
    }
}

/// What a user can do about a refusal.
fn next_step(status: &Status) -> &'static str {
    let text = status.message();
    let known = [
        ("key is not provided", "Give a key; every key but the empty one will do."),
        ("required revision has been compacted", "Leave --rev out, or ask for a newer revision."),
        (
            "required revision is a future revision",
            "Leave --rev out, or ask for a revision that has been reached.",
        ),
        ("requested lease not found", "Leases are not there yet in this version; leave the lease out."),
        ("request is too large", "Split the value over several keys; a request takes 1.5 MiB."),
        ("too many operations", "Split the transaction; a list takes 128 steps."),
        ("duplicate key", "Write each key once in a transaction."),
        ("key not found", "The option needs a key that exists; put it first, or leave the option out."),
        ("value is provided", "Leave out either the value or --ignore-value."),
        ("too many requests", "Try again in a moment; nothing was changed."),
        ("no leader", "Nothing was changed. `synod status` shows how the members stand."),
    ];
    if let Some((_, step)) = known.iter().find(|(part, _)| text.contains(part)) {
        return step;
    }
    match status.code() {
        Code::Unimplemented => {
            "This member does not know the request; is it another version, or another program?"
        }
        _ => "`synod status` shows how the members stand.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_wrong_and_what_to_do() {
        let refused = ClientError::Refused(Status::invalid_argument("etcdserver: key is not provided"));
        let text =
            "refused: etcdserver: key is not provided\nGive a key; every key but the empty one will do.";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn an_unknown_outcome_says_so_plainly() {
        let error = ClientError::OutcomeUnknown {
            endpoint: "127.0.0.1:2379".parse().unwrap(),
            reason: "etcdserver: request timed out".to_owned(),
            next: "`synod get k` shows whether it was.".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "outcome unknown: the write was sent to 127.0.0.1:2379, and no answer came (etcdserver: request timed \
             out)\nIt may have been done, or may still be. `synod get k` shows whether it was."
        );
    }

    #[test]
    fn every_endpoint_that_was_tried_is_named_with_its_reason() {
        let attempts = ["a:1", "b:2"].map(|endpoint| (endpoint.parse().unwrap(), "refused".to_owned()));
        let text = ClientError::NoAnswer(attempts.into()).to_string();
        assert!(
            text.starts_with("no member answered; nothing was changed\n  a:1: refused\n  b:2: refused\n")
        );
    }
}
