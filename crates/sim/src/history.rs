//! What clients asked and what they were told: the history that must be linearizable.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Read one key.
    Get {
        /// Which.
        key: String,
    },
    /// Write one key.
    Put {
        /// Which.
        key: String,
        /// What.
        value: String,
    },
    /// Remove one key.
    Delete {
        /// Which.
        key: String,
    },
    /// Add to the end of what is there; nothing there counts as empty.
    Append {
        /// Where.
        key: String,
        /// What.
        text: String,
    },
    /// If every key holds what is expected (`None`: is not there), one list of steps, else the other, all at once.
    Transact {
        /// The conditions.
        expected: Vec<(String, Option<String>)>,
        /// The steps if all hold.
        then: Vec<Step>,
        /// The steps otherwise.
        otherwise: Vec<Step>,
    },
    /// In one transaction write a key and then read at a revision that is yet to come: to be refused as a whole, so
    /// it never happens, whatever the client is told.
    Overreach {
        /// Which.
        key: String,
        /// What must never be seen.
        value: String,
    },
    /// Forget how keys were before `revision`; to be refused if that is yet to come. No key changes by it.
    Compact {
        /// The oldest revision that stays readable.
        revision: i64,
    },
    /// Have one value chosen, for ever: this one or somebody else's.
    Propose {
        /// The candidate.
        value: String,
    },
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Read.
    Get(String),
    /// Write.
    Put(String, String),
    /// Remove.
    Delete(String),
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To a get: what the key holds, `None` if it is not there.
    Value(Option<String>),
    /// To a put or an append.
    Done,
    /// To a delete: whether the key was there.
    Deleted(bool),
    /// To a transaction.
    Transacted {
        /// Whether all conditions held.
        succeeded: bool,
        /// What the reads of the chosen branch found, in order.
        read: Vec<Option<String>>,
    },
    /// To a proposal: what was chosen.
    Chosen(String),
}

/// How an operation ended for the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It was answered at `at`.
    Answered {
        /// When, in nanoseconds of the observer's one clock.
        at: u64,
        /// What.
        answer: Answer,
        /// The store's revision that came with the answer, if one did.
        revision: Option<i64>,
    },
    /// It certainly did not happen.
    Failed,
    /// Nobody told: it may have happened at any time since, or may still happen.
    Unknown,
}

/// One operation of one client, from call to answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// Who asked. One client has one operation under way at a time.
    pub client: u64,
    /// When, in nanoseconds of the observer's one clock.
    pub called: u64,
    /// What.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// Whether it can never change what a key holds: then nothing that was asked can come true later.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Operation::Get { .. } | Operation::Overreach { .. } | Operation::Compact { .. })
    }

    /// Every key it speaks of.
    pub fn keys(&self) -> BTreeSet<&String> {
        match self {
            Operation::Get { key }
            | Operation::Put { key, .. }
            | Operation::Delete { key }
            | Operation::Append { key, .. }
            | Operation::Overreach { key, .. } => [key].into(),
            Operation::Transact { expected, then, otherwise } => {
                let steps = then.iter().chain(otherwise).map(|step| match step {
                    Step::Get(key) | Step::Put(key, _) | Step::Delete(key) => key,
                });
                expected.iter().map(|(key, _)| key).chain(steps).collect()
            }
            Operation::Compact { .. } | Operation::Propose { .. } => BTreeSet::new(),
        }
    }
}
