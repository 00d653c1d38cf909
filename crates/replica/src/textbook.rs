//! The key-value store of the texts: Put, Append, Get, Delete, and nothing else.
//!
//! ```text
//! put KEY VALUE     → done
//! append KEY TEXT   → done
//! get KEY           → value VALUE | none
//! delete KEY        → deleted | none
//! ```
//! So clients say it, in a line each. A key has no blanks; value and text are the rest of the line.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_paxos::egalitarian::interference::Extent;

use crate::machine::{Interferes, ParseError, RestoreError, Service, StateMachine};
use crate::wire::{decode, encode};

/// What clients ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Read a key.
    Get {
        /// Which.
        key: String,
    },
    /// Write a key.
    Put {
        /// Which.
        key: String,
        /// What.
        value: String,
    },
    /// Add to the end of what a key holds; one that is not there is empty.
    Append {
        /// Which.
        key: String,
        /// What.
        text: String,
    },
    /// Remove a key.
    Delete {
        /// Which.
        key: String,
    },
}

/// What they are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// What the key holds.
    Value(Option<String>),
    /// It is written.
    Done,
    /// Whether the key was there.
    Deleted(bool),
}

impl Command {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Command::Get { key }
            | Command::Put { key, .. }
            | Command::Append { key, .. }
            | Command::Delete { key } => key,
        }
    }

    /// Whether it only looks.
    pub fn is_read(&self) -> bool {
        matches!(self, Command::Get { .. })
    }
}

impl Interferes for Command {
    type Key = String;

    /// They are about one key, and one of them writes.
    fn interferes(&self, other: &Command) -> bool {
        self.key() == other.key() && !(self.is_read() && other.is_read())
    }

    fn extents(&self) -> Vec<Extent<String>> {
        vec![Extent::Key(self.key().to_owned())]
    }
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Textbook {
    values: BTreeMap<String, String>,
}

impl Textbook {
    /// What a key holds here, now.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}

impl StateMachine for Textbook {
    type Command = Command;
    type Reply = Reply;

    fn size(command: &Command) -> usize {
        command.key().len()
            + match command {
                Command::Put { value, .. } => value.len(),
                Command::Append { text, .. } => text.len(),
                Command::Get { .. } | Command::Delete { .. } => 0,
            }
    }

    fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Get { key } => Reply::Value(self.values.get(key).cloned()),
            Command::Put { key, value } => {
                self.values.insert(key.clone(), value.clone());
                Reply::Done
            }
            Command::Append { key, text } => {
                self.values.entry(key.clone()).or_default().push_str(text);
                Reply::Done
            }
            Command::Delete { key } => Reply::Deleted(self.values.remove(key).is_some()),
        }
    }

    fn snapshot(&self) -> Bytes {
        encode(self)
    }

    fn restore(snapshot: &[u8]) -> Result<Textbook, RestoreError> {
        decode(snapshot).map_err(|error| RestoreError(error.to_string()))
    }

    fn digest(&self) -> u64 {
        // FNV-1a over the snapshot: equal on every machine, and independent of how the state came about.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.snapshot().iter().fold(0xcbf2_9ce4_8422_2325, step)
    }
}

impl Service for Textbook {
    fn parse(line: &str) -> Result<Command, ParseError> {
        let wrong = |reason: String| Err(ParseError(reason));
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (key, value) = match rest.split_once(' ') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (rest.to_owned(), None),
        };
        if key.is_empty() {
            return wrong("put KEY VALUE, append KEY TEXT, get KEY or delete KEY".to_owned());
        }
        match (verb, value) {
            ("get", None) => Ok(Command::Get { key }),
            ("delete", None) => Ok(Command::Delete { key }),
            ("put", Some(value)) => Ok(Command::Put { key, value }),
            ("append", Some(text)) => Ok(Command::Append { key, text }),
            ("get" | "delete", Some(_)) => wrong(format!("{verb} takes a key and nothing else")),
            ("put" | "append", None) => wrong(format!("{verb} takes a key and a value")),
            _ => wrong(format!("{verb} is none of put, append, get, delete")),
        }
    }

    fn show(reply: &Reply) -> String {
        match reply {
            Reply::Done => "done".to_owned(),
            Reply::Value(Some(value)) => format!("value {value}"),
            Reply::Deleted(true) => "deleted".to_owned(),
            Reply::Value(None) | Reply::Deleted(false) => "none".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Command {
        Command::Put { key: key.to_owned(), value: value.to_owned() }
    }

    fn append(key: &str, text: &str) -> Command {
        Command::Append { key: key.to_owned(), text: text.to_owned() }
    }

    fn get(key: &str) -> Command {
        Command::Get { key: key.to_owned() }
    }

    #[test]
    fn the_four_operations_do_what_the_texts_say() {
        let mut store = Textbook::default();
        assert_eq!(store.apply(&get("a")), Reply::Value(None));
        assert_eq!(store.apply(&append("a", "x")), Reply::Done);
        assert_eq!(store.apply(&append("a", "y")), Reply::Done);
        assert_eq!(store.apply(&get("a")), Reply::Value(Some("xy".to_owned())));
        assert_eq!(store.apply(&put("a", "z")), Reply::Done);
        assert_eq!(store.get("a"), Some("z"));
        let delete = Command::Delete { key: "a".to_owned() };
        assert_eq!(store.apply(&delete), Reply::Deleted(true));
        assert_eq!(store.apply(&delete), Reply::Deleted(false));
        assert_eq!(store, Textbook::default());
    }

    #[test]
    fn a_restored_store_is_the_same_and_another_has_another_digest() {
        let mut store = Textbook::default();
        store.apply(&put("a", "1"));
        let restored = Textbook::restore(&store.snapshot()).unwrap();
        assert_eq!((&restored, restored.digest()), (&store, store.digest()));
        store.apply(&put("a", "2"));
        assert_ne!(restored.digest(), store.digest());
        assert!(Textbook::restore(b"\x05garbage").is_err());
    }

    #[test]
    fn a_line_is_one_command_and_the_rest_of_it_the_value() {
        assert_eq!(Textbook::parse("put a two words"), Ok(put("a", "two words")));
        assert_eq!(Textbook::parse("get a"), Ok(get("a")));
        for wrong in ["", "get", "get ", "get a b", "put a", "fetch a", "put"] {
            assert!(Textbook::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_commands_whose_order_shows_interfere() {
        assert!(put("a", "1").interferes(&put("a", "2")) && get("a").interferes(&append("a", "x")));
        assert!(!get("a").interferes(&get("a")) && !put("a", "1").interferes(&put("b", "1")));
    }
}
