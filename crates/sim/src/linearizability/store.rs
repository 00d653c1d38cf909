//! The store that every cluster pretends to be: one map, one call after the other.

use std::collections::BTreeMap;

use crate::history::{Answer, Operation, Step};

/// What is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The keys that are there.
    pub keys: BTreeMap<String, String>,
    /// What proposals have chosen.
    pub chosen: Option<String>,
}

impl Store {
    /// Does it, and says what the client is told.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Get { key } => Answer::Value(self.keys.get(key).cloned()),
            Operation::Put { key, value } => {
                self.keys.insert(key.clone(), value.clone());
                Answer::Done
            }
            Operation::Delete { key } => Answer::Deleted(self.keys.remove(key).is_some()),
            Operation::Append { key, text } => {
                self.keys.entry(key.clone()).or_default().push_str(text);
                Answer::Done
            }
            Operation::Transact { expected, then, otherwise } => {
                let succeeded = expected.iter().all(|(key, value)| self.keys.get(key) == value.as_ref());
                let steps = if succeeded { then } else { otherwise };
                let read = steps.iter().filter_map(|step| self.step(step)).collect();
                Answer::Transacted { succeeded, read }
            }
            // A refusal is no answer; whoever was told of success was told too much.
            Operation::Overreach { .. } => Answer::Transacted { succeeded: false, read: Vec::new() },
            Operation::Compact { .. } => Answer::Done,
            Operation::Propose { value } => {
                Answer::Chosen(self.chosen.get_or_insert_with(|| value.clone()).clone())
            }
        }
    }

    /// What a read finds; `None` for a write.
    fn step(&mut self, step: &Step) -> Option<Option<String>> {
        match step {
            Step::Get(key) => return Some(self.keys.get(key).cloned()),
            Step::Put(key, value) => drop(self.keys.insert(key.clone(), value.clone())),
            Step::Delete(key) => drop(self.keys.remove(key)),
        }
        None
    }
}
