//! What is replicated.

use std::fmt::Debug;
use std::hash::Hash;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// A snapshot that holds no state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it holds no state: {0}")]
pub struct RestoreError(pub String);
