//! Events in a few words.

use super::promise;
use crate::history::{Answer, Operation, Outcome};
use crate::trace::{Event, Happening};

/// Long values are of no interest.
const VALUE: usize = 24;

/// The first `width` characters, with a sign that there are more.
pub(crate) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let short: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{short}…")
}

/// Lines of at most `width` characters, broken between words where that is possible.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is one from the beginning");
            let used = line.chars().count();
            let between = usize::from(used > 0);
            if used + between + rest.len() <= width {
                line.push_str(if between == 1 { " " } else { "" });
                line.extend(rest);
                break;
            }
            if used == 0 {
                line.extend(rest.drain(..width));
            }
            lines.push(String::new());
        }
    }
    lines
}

/// `○ accept (1,n3) s1 #59→n1 #60→n2✗`: the second is lost.
pub(super) fn sent(text: &str, copies: &[Event]) -> String {
    let mut words = format!("○ {text}");
    for copy in copies {
        if let Happening::Sent { message, to, lost, .. } = &copy.what {
            words.push_str(&format!(" #{message}→n{to}{}", if *lost { "✗" } else { "" }));
        }
    }
    words
}

/// Facts that became true together. Those that say the same of several slots are one, and a promise that is no news
/// is none.
pub(super) fn facts(group: &[Event], promised: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut promised = promised;
    for event in group {
        let Happening::Fact { text, .. } = &event.what else { continue };
        if let Some(ballot) = promise(event) {
            if ballot == promised {
                continue;
            }
            promised = ballot;
        }
        let (says, slot) = text.rsplit_once(' ').unwrap_or((text, ""));
        let same = format!("● {says} ");
        match told.last_mut().filter(|last| last.starts_with(&same) && slot.starts_with('s')) {
            Some(last) => last.push_str(&format!(" {slot}")),
            None => told.push(format!("● {text}")),
        }
    }
    told
}

pub(super) fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Get { key } => format!("get {key}"),
        Operation::Put { key, value } => format!("put {key} {}", clip(value, VALUE)),
        Operation::Delete { key } => format!("delete {key}"),
        Operation::Append { key, text } => format!("append {key} {}", clip(text, VALUE)),
        Operation::Transact { .. } => {
            let keys: Vec<&str> = operation.keys().into_iter().map(String::as_str).collect();
            format!("transaction {}", keys.join(" "))
        }
        Operation::Overreach { key, value } => format!("put {key} {} and overreach", clip(value, VALUE)),
        Operation::Compact { revision } => format!("compact {revision}"),
        Operation::Propose { value } => format!("propose {}", clip(value, VALUE)),
    }
}

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed => "refused".to_owned(),
        Outcome::Unknown => "nothing".to_owned(),
        Outcome::Answered { answer, .. } => match answer {
            Answer::Value(None) => "nothing there".to_owned(),
            Answer::Value(Some(value)) => format!("value {}", clip(value, VALUE)),
            Answer::Done => "done".to_owned(),
            Answer::Deleted(true) => "deleted".to_owned(),
            Answer::Deleted(false) => "nothing to delete".to_owned(),
            Answer::Transacted { succeeded: true, .. } => "succeeded".to_owned(),
            Answer::Transacted { succeeded: false, .. } => "conditions failed".to_owned(),
            Answer::Chosen(value) => format!("chosen {}", clip(value, VALUE)),
        },
    }
}
