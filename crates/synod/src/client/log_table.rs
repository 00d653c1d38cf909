//! The members' logs side by side, as the texts draw them. Pure: slots in, text out.
//!
//! One line is one slot with one value. When members voted for different values in a slot, each value has its own
//! line, and it can be seen which one was chosen.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use synod_server::proto::synod::v1::{Ballot, Slot, SlotsResponse};

use super::{escape, output};

/// A batch shows at most so many operations; the rest is counted.
const OPERATIONS_SHOWN: usize = 8;

/// Several members' slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    /// One of each member, in the order of the columns.
    pub(super) members: Vec<MemberLog>,
}

/// What one member knows.
#[derive(Clone, Debug)]
pub(super) struct MemberLog {
    /// What it is called.
    pub(super) name: String,
    /// Its identity; 0 while it does not answer.
    pub(super) id: u64,
    /// Its slots, or why there are none.
    pub(super) slots: Result<Vec<Slot>, String>,
}

impl MemberLog {
    pub(super) fn answered(response: SlotsResponse) -> MemberLog {
        let id = response.member_id;
        let name = if response.member_name.is_empty() { format!("{id:x}") } else { response.member_name };
        MemberLog { name, id, slots: Ok(response.slots) }
    }
}

/// One line: a slot, one of its values, and what each member says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The slot.
    pub(super) slot: u64,
    /// The value in words.
    pub(super) operations: Vec<String>,
    /// The highest ballot in which it was voted for.
    ballot: Option<(u64, u64)>,
    /// One of each member.
    states: Vec<String>,
}

impl Logs {
    /// The lines in order.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut by_slot: BTreeMap<u64, Vec<Vec<(usize, &Slot)>>> = BTreeMap::new();
        for (column, member) in self.members.iter().enumerate() {
            for slot in member.slots.iter().flatten() {
                let values = by_slot.entry(slot.slot).or_default();
                let same = |(_, other): &(usize, &Slot)| {
                    // Who truncated a slot no longer tells its value; it was the chosen one.
                    other.operations == slot.operations || is_silent(other) || is_silent(slot)
                };
                match values.iter_mut().find(|value| value.iter().all(same)) {
                    Some(value) => value.push((column, slot)),
                    None => values.push(vec![(column, slot)]),
                }
            }
        }
        let lines = by_slot
            .into_iter()
            .flat_map(|(slot, values)| values.into_iter().map(move |value| self.line(slot, &value)));
        lines.collect()
    }

    fn line(&self, slot: u64, value: &[(usize, &Slot)]) -> Line {
        let ballot = value.iter().filter_map(|(_, slot)| slot.ballot).map(ordered).max();
        let told = value.iter().map(|(_, slot)| &slot.operations).find(|operations| !operations.is_empty());
        // A member shows only the last of the slots that it truncated.
        let gone = |member: &MemberLog| {
            member.slots.iter().flatten().any(|other| other.truncated && other.slot > slot)
        };
        let state_of = |member| if gone(member) { "truncated".to_owned() } else { String::new() };
        let mut states: Vec<String> = self.members.iter().map(state_of).collect();
        for (column, slot) in value {
            let other = slot.ballot.map(ordered).filter(|own| Some(*own) != ballot);
            states[*column] = match other {
                Some(other) => format!("{} {}", state(slot), self.ballot(other)),
                None => state(slot).to_owned(),
            };
        }
        Line { slot, operations: told.cloned().unwrap_or_default(), ballot, states }
    }

    /// `(round,name)`: the name of the member that proposes with it, if it is known.
    fn ballot(&self, (round, node): (u64, u64)) -> String {
        match self.members.iter().find(|member| member.id == node && node != 0) {
            Some(member) => format!("({round},{})", member.name),
            None => format!("({round},{node:x})"),
        }
    }

    /// The cells of a line as they are shown.
    pub(super) fn cells(&self, line: &Line) -> Vec<String> {
        let mut operations: Vec<String> = line
            .operations
            .iter()
            .take(OPERATIONS_SHOWN)
            .map(|words| escape::line(words.as_bytes()))
            .collect();
        if line.operations.len() > OPERATIONS_SHOWN {
            operations.push(format!("… and {} more", line.operations.len() - OPERATIONS_SHOWN));
        }
        if line.operations.is_empty() && line.states.iter().any(|state| state == "truncated") {
            operations.push("a checkpoint of all up to here".to_owned());
        }
        let ballot = line.ballot.map_or_else(String::new, |ballot| self.ballot(ballot));
        let mut cells = vec![line.slot.to_string(), operations.join("\n"), ballot];
        cells.extend(line.states.iter().cloned());
        cells
    }

    /// What stands above the columns.
    pub(super) fn header(&self) -> Vec<String> {
        let mut header = vec!["slot".to_owned(), "operation".to_owned(), "ballot".to_owned()];
        header.extend(self.members.iter().map(|member| member.name.clone()));
        header
    }

    /// All of it as a table, as wide as the terminal allows, or `width` if given.
    pub(super) fn table(&self, width: Option<u16>) -> String {
        let rows = self.lines().iter().map(|line| self.cells(line)).collect();
        let mut text = output::table(self.header(), rows, width);
        for (name, reason) in self.silent() {
            text.push_str(&format!("\n{name} does not answer: {reason}"));
        }
        text
    }

    /// The members that do not answer, and why.
    pub(super) fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().filter_map(|member| {
            member.slots.as_ref().err().map(|reason| (member.name.as_str(), reason.as_str()))
        })
    }

    /// All of it for programs.
    pub(super) fn to_json(&self) -> Value {
        let members = self.members.iter().map(|member| match &member.slots {
            Ok(slots) => {
                let slots: Vec<Value> = slots.iter().map(slot_json).collect();
                json!({ "name": member.name, "ID": member.id, "slots": slots })
            }
            Err(reason) => json!({ "name": member.name, "error": reason }),
        });
        json!({ "members": members.collect::<Vec<_>>() })
    }

    /// One line for programs.
    pub(super) fn line_json(&self, line: &Line) -> Value {
        let states =
            self.members.iter().zip(&line.states).map(|(member, state)| (member.name.clone(), json!(state)));
        json!({
            "slot": line.slot,
            "operations": line.operations,
            "ballot": line.ballot.map(|(round, node)| json!({ "round": round, "node": node })),
            "members": states.collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn is_silent(slot: &Slot) -> bool {
    slot.truncated && slot.operations.is_empty()
}

fn ordered(ballot: Ballot) -> (u64, u64) {
    (ballot.round, ballot.node)
}

/// How far a slot is at a member; each state implies those before it.
fn state(slot: &Slot) -> &'static str {
    match slot {
        Slot { truncated: true, .. } => "truncated",
        Slot { applied: true, .. } => "applied",
        Slot { chosen: true, .. } => "chosen",
        Slot { ballot: Some(_), .. } => "accepted",
        _ => "",
    }
}

fn slot_json(slot: &Slot) -> Value {
    json!({
        "slot": slot.slot,
        "operations": slot.operations,
        "ballot": slot.ballot.map(|ballot| json!({ "round": ballot.round, "node": ballot.node })),
        "accepted": slot.ballot.is_some(),
        "chosen": slot.chosen,
        "applied": slot.applied,
        "truncated": slot.truncated,
    })
}

#[cfg(test)]
#[path = "log_table_tests.rs"]
mod tests;
