//! Schedules of Raft that are too rare to wait for.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use synod_paxos::multi::entry::Command;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::protocol::{Output, Protocol, Start};
use synod_paxos::time::Time;
use synod_sim::raft::{Entry, Message, Position, Raft, Record};

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Word(String);

impl Command for Word {
    fn size(&self) -> usize {
        self.0.len()
    }
}

const PATIENCE: Duration = Duration::from_millis(500);

fn entry(term: u64, word: &str) -> Entry<Word> {
    Entry { term, commands: vec![Word(word.to_owned())] }
}

/// Node 1 of five, with this log, in `term`, which nobody won.
fn node(term: u64, log: &[Entry<Word>]) -> Raft<Word> {
    let start = Start {
        id: NodeId(1),
        incarnation: Incarnation::numbered(1),
        nodes: (1..=5).map(NodeId).collect(),
        patience: PATIENCE,
        seed: 1,
        now: Time::ZERO,
    };
    let mut records = vec![Record::Term { term, voted: None }];
    let mut previous = 0;
    for (index, entry) in (1..).zip(log) {
        records.push(Record::Entry { index, previous, entry: entry.clone() });
        previous = entry.term;
    }
    Raft::start(start, Position::default(), records).unwrap()
}

/// What a node executes and what it says, with a disk that never waits.
fn settle(node: &mut Raft<Word>, now: Time) -> (Vec<String>, Vec<Message<Word>>) {
    let (mut executed, mut said) = (Vec::new(), Vec::new());
    while let Some(output) = node.poll_output(now) {
        match output {
            Output::Persist { token, .. } => node.handle_persisted(now, token),
            Output::Execute { commands } => executed.extend(commands.into_iter().map(|word| word.0)),
            Output::Send { message, .. } => said.push(message),
            Output::StateNeeded { from } => panic!("nothing is missing, and {from} is asked"),
        }
    }
    (executed, said)
}

/// Has the node elected in the next term by nodes 2 and 3.
fn elect(node: &mut Raft<Word>) -> Time {
    let now = node.next_timeout().unwrap();
    let term = node.term() + 1;
    node.handle_timeout(now);
    settle(node, now);
    for message in [Message::PreVoted { term, granted: true }, Message::Voted { term, granted: true }] {
        for voter in [NodeId(2), NodeId(3)] {
            node.handle_message(now, voter, message.clone()).unwrap();
            settle(node, now);
        }
    }
    assert!(node.leads() && node.term() == term);
    now
}

#[test]
fn an_entry_of_an_earlier_term_on_a_majority_is_not_committed_before_one_of_the_current_term_is() {
    // Figure 8: the entry of term 2 may still give way to one of term 3 that somebody else holds.
    let mut leader = node(3, &[entry(1, "a"), entry(2, "b")]);
    let now = elect(&mut leader);
    for follower in [NodeId(2), NodeId(3)] {
        leader.handle_message(now, follower, Message::Appended { term: 4, matched: 2 }).unwrap();
    }
    assert_eq!(settle(&mut leader, now).0, Vec::<String>::new());
    for follower in [NodeId(2), NodeId(3)] {
        leader.handle_message(now, follower, Message::Appended { term: 4, matched: 3 }).unwrap();
    }
    assert_eq!(settle(&mut leader, now).0, ["a", "b"]);
}

#[test]
fn a_vote_goes_to_one_candidate_a_term_and_to_none_whose_log_is_behind() {
    let mut voter = node(1, &[entry(1, "a")]);
    let now = Time::from_millis(1);
    let mut ask = |candidate: u64, term: u64, index: u64, log_term: u64| {
        let last = Position { index, term: log_term };
        voter.handle_message(now, NodeId(candidate), Message::Vote { term, last }).unwrap();
        let (_, said) = settle(&mut voter, now);
        matches!(said[..], [Message::Voted { granted: true, .. }])
    };
    assert!(!ask(2, 2, 0, 0), "it has nothing");
    assert!(ask(3, 2, 1, 1) && ask(3, 2, 1, 1), "a vote may be asked for again");
    assert!(!ask(4, 2, 9, 2), "the vote is given");
    assert!(ask(4, 3, 9, 2));
}

#[test]
fn a_snapshot_of_another_history_takes_the_place_of_what_was_never_committed() {
    let mut follower = node(2, &[entry(1, "a"), entry(2, "b"), entry(2, "c")]);
    let position = Position { index: 2, term: 3 };
    assert!(follower.is_ahead(&position) && follower.install(Time::ZERO, &position));
    assert_eq!((follower.log().last(), follower.position()), (position, position));
    assert_eq!(follower.remembered(), [Record::Base(position), Record::Term { term: 2, voted: None }]);
}
