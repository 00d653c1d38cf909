//! Simulated clients: what they ask, of whom, and what they make of the answers.

use synod_paxos::node::NodeId;

use crate::history::{Answer, Call, Operation, Outcome, Step};
use crate::program::{Reply, RequestId};
use crate::random::Random;

/// What clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Reads and writes of a few keys.
    KeyValue,
    /// The same with the texts' operations: no transactions, and appends that are one request.
    Textbook,
    /// One decision.
    Decree,
}

/// An operation under way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its place in the history.
    pub call: usize,
    /// Whom it was sent to.
    pub node: NodeId,
    /// The request that an answer is expected to; replies to others are of earlier ones.
    pub request: RequestId,
    /// Whether an append is a request by itself, and not a read and a transaction.
    pub direct: bool,
    /// An append: what it read, once it has.
    pub read: Option<Option<String>>,
}

/// What a client does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, as part of the same operation.
    Send(Operation),
    /// It is over.
    Over(Outcome),
}

/// One client: one operation at a time.
#[derive(Debug)]
pub struct Client {
    /// Who.
    pub id: u64,
    /// What it waits for.
    pub pending: Option<Pending>,
    /// Operations it will still begin by itself.
    pub left: u64,
    /// Operations that it may still begin in the place of others that came to nothing.
    spare: u64,
    /// Its randomness.
    pub random: Random,
    count: u64,
    /// The newest revision it was told.
    revision: i64,
}

/// The keys: few, so that clients meet.
const KEYS: &[&str] = &["a", "b", "c", "d", "e"];

/// About as large as a request may be in a simulated cluster: many times a segment of its journals.
const LARGE: usize = 20_000;

/// For each operation, so many more if operations come to nothing: else faults that refuse quickly would use up all
/// the work.
const SPARE: u64 = 4;

impl Client {
    /// A client that begins `left` operations by itself.
    pub fn new(id: u64, left: u64, random: Random) -> Client {
        Client { id, pending: None, left, spare: SPARE * left, random, count: 0, revision: 0 }
    }

    /// The next operation. Every value is written once in a run, so that a reader knows whose it saw.
    pub fn operation(&mut self, workload: Workload, hot: u64, large: u64) -> Operation {
        self.count += 1;
        let mut value = format!("{}.{}", self.id, self.count);
        if workload == Workload::Decree {
            return Operation::Propose { value };
        }
        if self.random.chance(large) {
            value = format!("{value}:{}", "x".repeat(LARGE));
        }
        let key = self.key(hot);
        if workload == Workload::Textbook {
            return self.textbook(key, value);
        }
        match self.random.below(100) {
            0..3 => Operation::Overreach { key, value },
            3..6 => self.compaction(),
            6..30 => Operation::Get { key },
            30..55 => Operation::Put { key, value },
            55..62 => Operation::Delete { key },
            62..80 => Operation::Append { key: format!("log-{key}"), text: format!("<{value}>") },
            _ => self.transaction(key, value),
        }
    }

    /// An operation came to nothing, and is made up for.
    pub fn make_up(&mut self) {
        if self.spare > 0 {
            self.spare -= 1;
            self.left += 1;
        }
    }

    /// It begins nothing any more by itself.
    pub fn retire(&mut self) {
        (self.left, self.spare) = (0, 0);
    }

    /// Of what it was told, or of what nobody can have been told.
    fn compaction(&mut self) -> Operation {
        let ahead = if self.random.chance(300) { 1_000 } else { 0 };
        let back = i64::try_from(self.random.below(20)).expect("small");
        Operation::Compact { revision: (self.revision - back).max(1) + ahead }
    }

    /// It was told this revision.
    pub fn see(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    fn textbook(&mut self, key: String, value: String) -> Operation {
        match self.random.below(100) {
            0..20 => Operation::Get { key },
            20..35 => Operation::Get { key: format!("log-{key}") },
            35..60 => Operation::Put { key, value },
            60..67 => Operation::Delete { key },
            _ => Operation::Append { key: format!("log-{key}"), text: format!("<{value}>") },
        }
    }

    /// One key may be asked for far more often than the others.
    fn key(&mut self, hot: u64) -> String {
        let key = if self.random.chance(hot) { KEYS[0] } else { *self.random.pick(KEYS) };
        key.to_owned()
    }

    fn transaction(&mut self, key: String, value: String) -> Operation {
        // Only these two meet in one transaction: the keys of one have to be checked together.
        let other = KEYS[usize::from(key == KEYS[0])].to_owned();
        let both = key == KEYS[0] || key == KEYS[1];
        let absent = self.random.chance(500);
        let expected = vec![(key.clone(), if absent { None } else { Some("1.1".to_owned()) })];
        let mut then = vec![Step::Put(key.clone(), value.clone())];
        if both && self.random.chance(400) {
            then.push(Step::Put(other.clone(), value.clone()));
        }
        let mut otherwise = vec![Step::Get(key.clone())];
        match self.random.below(3) {
            0 => otherwise.push(Step::Delete(key)),
            1 => otherwise.push(Step::Put(key, value)),
            _ if both => otherwise.push(Step::Get(other)),
            _ => {}
        }
        Operation::Transact { expected, then, otherwise }
    }

    /// What is sent first for `operation`: an append that is none by itself begins with a read.
    pub fn first(operation: &Operation, direct: bool) -> Operation {
        match operation {
            Operation::Append { key, .. } if !direct => Operation::Get { key: key.clone() },
            other => other.clone(),
        }
    }

    /// What follows from a reply to the operation under way.
    pub fn handle_reply(pending: &mut Pending, call: &Call, reply: Reply, now: u64) -> Next {
        let (key, text) = match &call.operation {
            Operation::Append { key, text } if !pending.direct => (key, text),
            _ => {
                return Next::Over(match reply {
                    Reply::Answer { answer, revision } => Outcome::Answered { at: now, answer, revision },
                    Reply::Refused => Outcome::Failed,
                    Reply::Unknown if call.operation.is_harmless() => Outcome::Failed,
                    Reply::Unknown => Outcome::Unknown,
                });
            }
        };
        match (reply, &pending.read) {
            (Reply::Answer { answer: Answer::Value(value), .. }, None) => {
                pending.read = Some(value.clone());
                let longer = format!("{}{text}", value.as_deref().unwrap_or_default());
                Next::Send(Operation::Transact {
                    expected: vec![(key.clone(), value)],
                    then: vec![Step::Put(key.clone(), longer)],
                    otherwise: vec![Step::Get(key.clone())],
                })
            }
            (Reply::Answer { answer: Answer::Transacted { succeeded: true, .. }, revision }, Some(_)) => {
                Next::Over(Outcome::Answered { at: now, answer: Answer::Done, revision })
            }
            // Somebody was faster: what is there now came with the refusal.
            (Reply::Answer { answer: Answer::Transacted { read, .. }, .. }, Some(_)) => {
                let value = read.into_iter().next().flatten();
                pending.read = None;
                let again = Reply::Answer { answer: Answer::Value(value), revision: None };
                Client::handle_reply(pending, call, again, now)
            }
            (Reply::Unknown, Some(_)) => Next::Over(Outcome::Unknown),
            _ => Next::Over(Outcome::Failed),
        }
    }

    /// What becomes of the operation under way if nobody answers any more.
    pub fn give_up(pending: &Pending, call: &Call) -> Outcome {
        match call.operation {
            Operation::Append { .. } if !pending.direct && pending.read.is_none() => Outcome::Failed,
            _ if call.operation.is_harmless() => Outcome::Failed,
            _ => Outcome::Unknown,
        }
    }
}
