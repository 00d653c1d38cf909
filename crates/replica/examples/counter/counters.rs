//! The state machine: counters by name. This is all that one of your own takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_paxos::egalitarian::interference::Extent;
use synod_replica::machine::{Interferes, ParseError, RestoreError, Service, StateMachine};
use synod_replica::wire::{decode, encode};

/// What clients ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Command {
    Add { name: String, amount: i64 },
    Read { name: String },
}

/// What they are told.
#[derive(Debug)]
pub enum Reply {
    Done,
    Count(i64),
}

/// The counters. One that nobody has added to is 0.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    counts: BTreeMap<String, i64>,
}

impl StateMachine for Counters {
    type Command = Command;
    type Reply = Reply;

    fn size(command: &Command) -> usize {
        command.name().len() + size_of::<i64>()
    }

    fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Add { name, amount } => {
                let count = self.counts.entry(name.clone()).or_default();
                // The same in every build: a debug build must not panic where a release build goes on.
                *count = count.wrapping_add(*amount);
                Reply::Done
            }
            Command::Read { name } => Reply::Count(self.counts.get(name).copied().unwrap_or(0)),
        }
    }

    fn snapshot(&self) -> Bytes {
        encode(self)
    }

    fn restore(snapshot: &[u8]) -> Result<Counters, RestoreError> {
        decode(snapshot).map_err(|error| RestoreError(error.to_string()))
    }

    fn digest(&self) -> u64 {
        crc32c::crc32c(&self.snapshot()).into()
    }
}

impl Command {
    fn name(&self) -> &str {
        match self {
            Command::Add { name, .. } | Command::Read { name } => name,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Command::Read { .. })
    }
}

/// Only Egalitarian Paxos asks for this.
impl Interferes for Command {
    type Key = String;

    /// A read and an addition to one counter. Two additions do not: nobody can tell which came first.
    fn interferes(&self, other: &Command) -> bool {
        self.name() == other.name() && self.is_read() != other.is_read()
    }

    fn extents(&self) -> Vec<Extent<String>> {
        vec![Extent::Key(self.name().to_owned())]
    }
}

impl Service for Counters {
    fn parse(line: &str) -> Result<Command, ParseError> {
        let wrong = || ParseError("add NAME N or read NAME".to_owned());
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["add", name, amount] => {
                Ok(Command::Add { name: name.to_owned(), amount: amount.parse().map_err(|_| wrong())? })
            }
            ["read", name] => Ok(Command::Read { name: name.to_owned() }),
            _ => Err(wrong()),
        }
    }

    fn show(reply: &Reply) -> String {
        match reply {
            Reply::Done => "done".to_owned(),
            Reply::Count(count) => count.to_string(),
        }
    }
}
