//! Every request that a program accepted gets exactly one answer, and in time.

use std::collections::BTreeMap;

use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::checkers::violated;
use crate::program::RequestId;

/// The requests that running programs have not answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// By node: when each is late, on the stopwatch of its machine. One without a bound may be answered at any time.
    owed: BTreeMap<NodeId, BTreeMap<RequestId, Option<u64>>>,
}

impl Answers {
    /// A request has reached the program of `node`, which must answer before its machine's stopwatch shows `by`.
    pub fn accept(&mut self, node: NodeId, request: RequestId, by: Option<u64>) {
        self.owed.entry(node).or_default().insert(request, by);
    }

    /// The program of `node` answers.
    ///
    /// # Errors
    /// If it has answered before, or this process was never asked.
    pub fn answer(&mut self, node: NodeId, request: RequestId) -> Result<(), Violation> {
        match self.owed.get_mut(&node).and_then(|owed| owed.remove(&request)) {
            Some(_) => Ok(()),
            None => violated("Answers", format!("{node} answers {request:?}, to which it owes no answer")),
        }
    }

    /// The program of `node` is gone, and with it all that it owed.
    pub fn forget(&mut self, node: NodeId) {
        self.owed.remove(&node);
    }

    /// The machine's stopwatch shows `unhindered`. Only the oldest request is looked at: all wait equally long at most,
    /// and each becomes the oldest.
    ///
    /// # Errors
    /// If an answer is late.
    pub fn check(&self, node: NodeId, unhindered: u64) -> Result<(), Violation> {
        let oldest = self.owed.get(&node).and_then(BTreeMap::first_key_value);
        match oldest {
            Some((request, Some(by))) if unhindered > *by => {
                violated("Answers", format!("{node} leaves {request:?} unanswered"))
            }
            _ => Ok(()),
        }
    }

    /// How many requests `node` has not answered.
    pub fn owed(&self, node: NodeId) -> usize {
        self.owed.get(&node).map_or(0, BTreeMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);
    const REQUEST: RequestId = RequestId(7);

    #[test]
    fn a_request_is_answered_once() {
        let mut answers = Answers::default();
        assert!(answers.answer(NODE, REQUEST).is_err(), "nobody asked");
        answers.accept(NODE, REQUEST, None);
        assert!(answers.answer(NodeId(2), REQUEST).is_err(), "another was asked");
        assert!(answers.answer(NODE, REQUEST).is_ok());
        assert!(answers.answer(NODE, REQUEST).is_err(), "a second answer");
    }

    #[test]
    fn an_answer_comes_in_time_unless_the_process_is_gone() {
        let mut answers = Answers::default();
        answers.accept(NODE, REQUEST, Some(10));
        answers.accept(NODE, RequestId(8), Some(12));
        assert!(answers.check(NODE, 10).is_ok() && answers.check(NODE, 11).is_err());
        assert!(answers.answer(NODE, REQUEST).is_ok());
        assert!(answers.check(NODE, 12).is_ok() && answers.check(NODE, 13).is_err());
        assert_eq!(answers.owed(NODE), 1);
        answers.forget(NODE);
        assert!(answers.check(NODE, 13).is_ok() && answers.owed(NODE) == 0);
        answers.accept(NODE, REQUEST, None);
        assert!(answers.check(NODE, u64::MAX).is_ok(), "it may wait forever");
    }
}
