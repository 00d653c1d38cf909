//! Messages in a few words, for people.

use std::fmt::Debug;

use crate::egalitarian::instance::{Decree, Phase};
use crate::egalitarian::message::{Message, Report};

/// A message as a trace or a diagram shows it.
pub fn describe<C: Debug>(message: &Message<C>) -> String {
    let name = message.name();
    match message {
        Message::PreAccept { id, command, deps } => format!("{name} {id} {command:?} after {deps}"),
        Message::PreAcceptOk { id, deps } => format!("{name} {id} after {deps}"),
        Message::Accept { id, ballot, decree: what, deps } => {
            format!("{name} {id} {ballot} {} after {deps}", decree(what))
        }
        Message::Commit { id, decree: what, deps } => format!("{name} {id} {} after {deps}", decree(what)),
        Message::AcceptOk { id, ballot } | Message::Recover { id, ballot } => format!("{name} {id} {ballot}"),
        Message::RecoverOk { id, ballot, report } => format!("{name} {id} {ballot}: {}", words(report)),
        Message::Validate { id, ballot, command, deps } => {
            format!("{name} {id} {ballot} {command:?} after {deps}")
        }
        Message::ValidateOk { id, ballot, conflicts } => {
            let conflicts: Vec<String> =
                conflicts.iter().map(|(id, phase)| format!("{id} {}", phase_words(*phase))).collect();
            let against = if conflicts.is_empty() { "nothing".to_owned() } else { conflicts.join(", ") };
            format!("{name} {id} {ballot}: {against} against it")
        }
        Message::Waiting { id, supporters } => format!("{name} {id}, {supporters} for it"),
        Message::Nack { id, ballot, promised } => format!("{name} {id} {ballot} promised {promised}"),
        Message::Status(_) => name.to_owned(),
        Message::Fetch { have } => format!("{name} beyond {have}"),
        Message::Fetched { instances, more } => {
            let ids: Vec<String> = instances.iter().map(|committed| committed.id.to_string()).collect();
            format!("{name} {}{}", ids.join(", "), if *more { " and more" } else { "" })
        }
    }
}

fn decree<C: Debug>(decree: &Decree<C>) -> String {
    match decree {
        Decree::Nop => "no-op".to_owned(),
        Decree::Command(command) => format!("{command:?}"),
    }
}

/// A phase in words.
pub fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Initial => "initial",
        Phase::PreAccepted => "pre-accepted",
        Phase::Accepted => "accepted",
        Phase::Committed => "committed",
    }
}

fn words<C: Debug>(report: &Report<C>) -> String {
    let what = report.decree.as_ref().map_or("nothing".to_owned(), decree);
    format!("{} {what} {} after {}", phase_words(report.phase), report.accepted, report.deps)
}
