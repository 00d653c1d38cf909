//! What is replicated.

use std::fmt::Debug;
use std::hash::Hash;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_paxos::egalitarian::interference::Extent;
use thiserror::Error;

/// A deterministic state machine: the same commands in the same order lead to the same state and replies, everywhere.
///
/// Its default is the state that everybody begins with.
pub trait StateMachine: Debug + Default {
    /// What clients ask it to do. Reads are commands as well.
    type Command: Clone + Eq + Ord + Hash + Debug + Serialize + DeserializeOwned;

    /// What clients are told.
    type Reply: Debug;

    /// The size of a command in bytes, roughly.
    fn size(command: &Self::Command) -> usize;

    /// Executes `command`.
    fn apply(&mut self, command: &Self::Command) -> Self::Reply;

    /// The whole state.
    fn snapshot(&self) -> Bytes;

    /// The state that a snapshot holds.
    ///
    /// # Errors
    /// If it holds none.
    fn restore(snapshot: &[u8]) -> Result<Self, RestoreError>;

    /// A fingerprint of the state: equal states have equal ones.
    fn digest(&self) -> u64;
}

/// A state machine that [`driver::run`](crate::driver::run) serves: clients send it a line and get a line.
pub trait Service: StateMachine<Command: Send + 'static, Reply: Send + 'static> + Send + 'static {
    /// The command that a line asks for. The line comes without its end.
    ///
    /// # Errors
    /// If it asks for none.
    fn parse(line: &str) -> Result<Self::Command, ParseError>;

    /// A reply as one line, without its end. The driver's own answers are `unknown`, `busy` and `error REASON`.
    fn show(reply: &Self::Reply) -> String;
}

/// Commands of which one can tell whether their order matters. Protocols with a log do not ask.
pub trait Interferes {
    /// What commands touch.
    type Key: Clone + Ord + Hash + Debug;

    /// Whether the order of the two shows, in the state or in what they answer. Symmetric.
    fn interferes(&self, other: &Self) -> bool;

    /// Where it acts: commands that interfere touch in at least one place.
    fn extents(&self) -> Vec<Extent<Self::Key>>;
}

/// A line that is no command: what is wrong with it, for people, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// A snapshot that holds no state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it holds no state: {0}")]
pub struct RestoreError(pub String);
