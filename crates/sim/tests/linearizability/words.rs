//! Short words to write histories with. Times are in seconds.

use synod_sim::history::{Answer, Call, Operation, Outcome, Step};

const SECOND: u64 = 1_000_000_000;

/// A client's question, to be continued with how it ended.
#[derive(Clone, Debug)]
pub struct Asked {
    client: u64,
    called: u64,
    operation: Operation,
}

/// `client` asks at `second`.
pub fn ask(client: u64, second: u64, operation: Operation) -> Asked {
    Asked { client, called: second * SECOND, operation }
}

impl Asked {
    pub fn told(self, second: u64, answer: Answer) -> Call {
        self.ended(Outcome::Answered { at: second * SECOND, answer, revision: None })
    }

    pub fn told_at(self, second: u64, answer: Answer, revision: i64) -> Call {
        self.ended(Outcome::Answered { at: second * SECOND, answer, revision: Some(revision) })
    }

    pub fn done(self, second: u64) -> Call {
        self.told(second, Answer::Done)
    }

    pub fn unknown(self) -> Call {
        self.ended(Outcome::Unknown)
    }

    pub fn failed(self) -> Call {
        self.ended(Outcome::Failed)
    }

    fn ended(self, outcome: Outcome) -> Call {
        Call { client: self.client, called: self.called, operation: self.operation, outcome }
    }
}

pub fn get(key: &str) -> Operation {
    Operation::Get { key: key.to_owned() }
}

pub fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: key.to_owned(), value: value.to_owned() }
}

pub fn delete(key: &str) -> Operation {
    Operation::Delete { key: key.to_owned() }
}

pub fn append(key: &str, text: &str) -> Operation {
    Operation::Append { key: key.to_owned(), text: text.to_owned() }
}

pub fn propose(value: &str) -> Operation {
    Operation::Propose { value: value.to_owned() }
}

/// If `key` holds `old`, it holds `new` from now on.
pub fn swap(key: &str, old: Option<&str>, new: &str) -> Operation {
    let expected = vec![(key.to_owned(), old.map(str::to_owned))];
    Operation::Transact { expected, then: vec![set(key, new)], otherwise: Vec::new() }
}

/// All at once, whatever is there.
pub fn at_once(steps: &[Step]) -> Operation {
    Operation::Transact { expected: Vec::new(), then: steps.to_vec(), otherwise: Vec::new() }
}

pub fn look(key: &str) -> Step {
    Step::Get(key.to_owned())
}

pub fn set(key: &str, value: &str) -> Step {
    Step::Put(key.to_owned(), value.to_owned())
}

pub fn holds(value: &str) -> Answer {
    Answer::Value(Some(value.to_owned()))
}

pub fn nothing() -> Answer {
    Answer::Value(None)
}

pub fn chosen(value: &str) -> Answer {
    Answer::Chosen(value.to_owned())
}

pub fn held(read: &[Option<&str>]) -> Answer {
    transacted(true, read)
}

pub fn did_not_hold() -> Answer {
    transacted(false, &[])
}

fn transacted(succeeded: bool, read: &[Option<&str>]) -> Answer {
    Answer::Transacted { succeeded, read: read.iter().map(|value| value.map(str::to_owned)).collect() }
}
