//! What happened in a run, in order: to be hashed, written as JSON, and drawn.

use serde::{Deserialize, Serialize};

use crate::history::{Operation, Outcome};

/// A whole run. The format is described in `docs/trace.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Of this format; 1.
    pub version: u32,
    /// The protocol's name.
    pub protocol: String,
    /// The scenario, if the run was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The seed.
    pub seed: u64,
    /// All nodes.
    pub nodes: Vec<u64>,
    /// All events, in order.
    pub events: Vec<Event>,
    /// The invariant that broke at the end, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<Violated>,
}

/// The end of a bad run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violated {
    /// By the name the literature gives it.
    pub invariant: String,
    /// What was seen.
    pub what: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds of simulated time.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A node sent a message. `message` is its name in all later events; `fate` tells whether the network will lose it.
    Sent {
        /// Names this copy of it.
        message: u64,
        /// Sender.
        from: u64,
        /// Receiver.
        to: u64,
        /// What it is, for people.
        text: String,
        /// Whether the network loses it.
        lost: bool,
    },
    /// A message arrived.
    Delivered {
        /// Which.
        message: u64,
        /// Sender.
        from: u64,
        /// Receiver.
        to: u64,
    },
    /// A message arrived where nobody listened: the node is down, or the link is cut.
    Dropped {
        /// Which.
        message: u64,
        /// Receiver.
        to: u64,
    },
    /// A node gave its disk work.
    Writing {
        /// Which node.
        node: u64,
        /// Names the work at the node.
        work: u64,
    },
    /// The work is done and durable.
    Written {
        /// Which node.
        node: u64,
        /// Which work.
        work: u64,
    },
    /// A client asked.
    Asked {
        /// Which client.
        client: u64,
        /// Which node it asked.
        node: u64,
        /// What.
        operation: Operation,
    },
    /// A client was told, or gave up.
    Told {
        /// Which client.
        client: u64,
        /// What became of its operation.
        outcome: Outcome,
    },
    /// A fact about a node worth showing: a promise, a vote, a choice, a new leader.
    Fact {
        /// Which node.
        node: u64,
        /// In a few words.
        text: String,
    },
    /// Something was broken or repaired on purpose.
    Fault {
        /// Which node, where it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        node: Option<u64>,
        /// In a few words.
        text: String,
    },
}
