//! The textbook store, and what it did: for the checkers.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_replica::machine::{RestoreError, StateMachine};
use synod_replica::textbook::{Command, Reply, Textbook};
use synod_replica::wire::{decode, encode};

use crate::program::{Digest, Fact};

/// A textbook store that counts the writes of each key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Watched {
    store: Textbook,
    writes: BTreeMap<String, u64>,
    /// What was written since somebody last looked.
    #[serde(skip)]
    fresh: Vec<Fact>,
}

impl Watched {
    /// The writes since the last call.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.fresh)
    }
}

impl StateMachine for Watched {
    type Command = Command;
    type Reply = Reply;

    fn size(command: &Command) -> usize {
        Textbook::size(command)
    }

    fn apply(&mut self, command: &Command) -> Reply {
        if !command.is_read() {
            let index = self.writes.entry(command.key().to_owned()).or_insert(0);
            let (key, write) = (Digest::of(command.key().as_bytes()), Digest::of(&encode(command)));
            self.fresh.push(Fact::Executed { key, index: *index, write });
            *index += 1;
        }
        self.store.apply(command)
    }

    fn snapshot(&self) -> Bytes {
        encode(self)
    }

    fn restore(snapshot: &[u8]) -> Result<Watched, RestoreError> {
        decode(snapshot).map_err(|error| RestoreError(error.to_string()))
    }

    fn digest(&self) -> u64 {
        Digest::of(&self.snapshot()).0
    }
}
