//! Every handler of a log's roles in every small case.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::config::ConfigId;
use synod_paxos::durable::Gate;
use synod_paxos::membership::Membership;
use synod_paxos::multi::acceptor::Acceptor;
use synod_paxos::multi::core::Core;
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::leader::{Leader, Window};
use synod_paxos::multi::learner::Learner;
use synod_paxos::multi::message::{Health, Message, Promise, ReadId, Report};
use synod_paxos::multi::reads::{Confirmations, Readers, Ticket};
use synod_paxos::multi::record::{HardState, Record, Recovered};
use synod_paxos::multi::rejection::{Rejection, SLOTS_AHEAD_MAX};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::slot::Slot;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Word(char);

impl Command for Word {
    fn size(&self) -> usize {
        1
    }
}

const SLOT: Slot = Slot(5);

fn ballot(round: u64) -> Ballot {
    Ballot::new(round, NodeId(1))
}

fn entry(word: char) -> Entry<Word> {
    Entry::Commands(vec![Word(word)].into())
}

fn vote(round: u64, word: char) -> Vote<Entry<Word>> {
    Vote { ballot: ballot(round), value: entry(word) }
}

/// An acceptor that promised round 5 and voted like this.
fn acceptor(voted: Option<Vote<Entry<Word>>>) -> Acceptor<Word> {
    let state = HardState { promised: ballot(5), highest_voted: SLOT, ..HardState::new(ConfigId::FIRST) };
    Acceptor::recover(state, voted.map(|vote| (SLOT, vote)).into_iter().collect())
}

/// What a sealed answer says, once its write is durable.
fn open(message: synod_paxos::durable::Sealed<Message<Word>>) -> Message<Word> {
    let mut gate = Gate::default();
    let token = gate.issue();
    gate.hold(token, message);
    assert_eq!(gate.pop(), None);
    gate.persisted(token);
    gate.pop().unwrap()
}

fn votes() -> [Option<Vote<Entry<Word>>>; 4] {
    [None, Some(vote(3, 'A')), Some(vote(5, 'A')), Some(vote(5, 'B'))]
}

#[test]
fn prepare_lower_equal_or_higher_meets_no_vote_an_old_one_or_one_of_the_promise() {
    for voted in votes() {
        for round in [4, 5, 6] {
            let mut acceptor = acceptor(voted.clone());
            let answer = acceptor.handle_prepare(ballot(round), Slot(1), &Learner::new(Slot::ZERO));
            assert_eq!(answer.record, None, "a promise is no vote");
            assert_eq!(answer.promise_raised, round > 5);
            assert_eq!(acceptor.promised(), ballot(round.max(5)), "a promise never goes back");
            assert_eq!(acceptor.vote(SLOT), voted.as_ref(), "a prepare changes no vote");
            match open(answer.message) {
                Message::Nack { ballot: refused, promised } => {
                    assert_eq!((round, refused, promised), (4, ballot(4), ballot(5)));
                }
                Message::Promise(promise) => {
                    assert!(round >= 5);
                    let reported: Vec<_> = voted.iter().map(|v| (SLOT, Report::Vote(v.clone()))).collect();
                    assert_eq!((promise.ballot, promise.reports), (ballot(round), reported));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn accept_lower_equal_or_higher_meets_no_vote_an_old_one_the_same_or_another() {
    for voted in votes() {
        for (round, word) in [4, 5, 6].into_iter().flat_map(|round| [(round, 'A'), (round, 'B')]) {
            let two_values =
                round == 5 && voted.as_ref().is_some_and(|v| v.ballot == ballot(5) && v.value != entry(word));
            if two_values {
                continue;
            }
            let mut acceptor = acceptor(voted.clone());
            let answer = acceptor.handle_accept(ballot(round), SLOT, entry(word));
            assert_eq!(acceptor.promised(), ballot(round.max(5)), "accepting raises the promise");
            assert_eq!(answer.promise_raised, round > 5);
            if round < 5 {
                assert_eq!(acceptor.vote(SLOT), voted.as_ref());
                let message = open(answer.message);
                assert_eq!(message, Message::Nack { ballot: ballot(4), promised: ballot(5) });
                continue;
            }
            let repeated = voted.as_ref() == Some(&vote(round, word));
            let record = Record::Vote { slot: SLOT, ballot: ballot(round), entry: entry(word) };
            assert_eq!(answer.record, (!repeated).then_some(record), "a repeated vote is not written again");
            assert_eq!(acceptor.vote(SLOT), Some(&vote(round, word)));
            assert_eq!(open(answer.message), Message::Accepted { ballot: ballot(round), slots: vec![SLOT] });
        }
    }
}

#[test]
#[should_panic(expected = "carries two values")]
fn two_values_of_one_ballot_in_one_slot_stop_the_acceptor() {
    acceptor(Some(vote(5, 'B'))).handle_accept(ballot(5), SLOT, entry('A'));
}

#[test]
fn a_promise_tells_chosen_from_voted_and_nothing_below_what_it_was_asked_or_knows() {
    let state = HardState { promised: ballot(5), highest_voted: Slot(9), ..HardState::new(ConfigId::FIRST) };
    let votes = (1..=9).map(|slot| (Slot(slot), vote(2, 'V'))).collect();
    let mut acceptor = Acceptor::recover(state, votes);
    let mut learner = Learner::new(Slot(2));
    learner.learn(Slot(3), entry('V'));
    learner.learn(Slot(7), entry('V'));
    for from in 1..=9 {
        let answer = acceptor.handle_prepare(ballot(6), Slot(from), &learner);
        let Message::Promise(promise) = open(answer.message) else { panic!() };
        assert_eq!((promise.from, promise.chosen), (Slot(from), Slot(3)));
        let slots: Vec<u64> = promise.reports.iter().map(|(slot, _)| slot.0).collect();
        assert_eq!(slots, (from.max(4)..=9).collect::<Vec<_>>());
        for (slot, report) in &promise.reports {
            assert_eq!(matches!(report, Report::Chosen(_)), *slot == Slot(7));
        }
    }
}

#[test]
fn a_commit_notice_chooses_only_votes_of_its_own_ballot_and_only_up_to_its_slot() {
    for (voted, through) in votes().into_iter().flat_map(|v| [4, 5, 6].map(|through| (v.clone(), through))) {
        let acceptor = acceptor(voted.clone());
        let mut learner = Learner::new(Slot(4));
        let learned = learner.handle_commit(ballot(5), Slot(through), &acceptor);
        let own = voted.filter(|v| v.ballot == ballot(5) && through >= 5).map(|v| (SLOT, v.value));
        assert_eq!(learned, own.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(learner.through(), if own.is_some() { Slot(5) } else { Slot(4) });
        assert_eq!(learner.heard(), Slot(through), "what was heard of is fetched");
    }
}

#[test]
#[should_panic(expected = "agreement is broken")]
fn a_learner_that_hears_of_two_chosen_values_stops() {
    let mut learner = Learner::new(Slot::ZERO);
    learner.learn(Slot(1), entry('A'));
    learner.learn(Slot(1), entry('B'));
}

fn three() -> QuorumSystem {
    QuorumSystem::majority((1..=3).map(NodeId)).unwrap()
}

fn promise(round: u64, chosen: u64, reports: Vec<(Slot, Report<Word>)>) -> Promise<Word> {
    Promise { ballot: ballot(round), from: Slot(1), chosen: Slot(chosen), reports }
}

#[test]
fn a_leader_counts_each_promise_of_its_ballot_once_and_no_other() {
    let (system, learner, window) = (three(), Learner::new(Slot::ZERO), Window::default());
    let mut leader = Leader::prepare(ballot(5), Slot(1), &system, VecDeque::new());
    let mut count = |from, promise| leader.handle_promise(NodeId(from), promise, &system, &learner, &window);
    assert_eq!(count(2, promise(4, 0, vec![])), None, "another ballot");
    assert_eq!(count(2, Promise { from: Slot(2), ..promise(5, 0, vec![]) }), None, "asked from another slot");
    assert_eq!(count(2, promise(5, 0, vec![])), None, "one of two");
    assert_eq!(count(2, promise(5, 0, vec![])), None, "the same again");
    assert_eq!(count(9, promise(5, 0, vec![])), None, "a stranger");
    let recovery = count(3, promise(5, 0, vec![])).unwrap();
    assert!(recovery.proposals.is_empty() && recovery.chosen.is_none());
}

#[test]
fn what_somebody_truncated_is_fetched_and_never_filled() {
    let (system, learner, window) = (three(), Learner::new(Slot::ZERO), Window::default());
    let mut leader = Leader::prepare(ballot(5), Slot(1), &system, VecDeque::from([Word('N')]));
    leader.handle_promise(NodeId(1), promise(5, 0, vec![]), &system, &learner, &window);
    let reports = vec![(Slot(42), Report::Vote(vote(2, 'R')))];
    let promised = leader.handle_promise(NodeId(2), promise(5, 40, reports), &system, &learner, &window);
    let recovery = promised.unwrap();
    assert_eq!(recovery.chosen, Some((Slot(40), NodeId(2))), "through 40 it is chosen: ask 2");
    let proposed: BTreeMap<u64, Entry<Word>> =
        recovery.proposals.into_iter().map(|proposal| (proposal.slot.0, proposal.entry)).collect();
    assert_eq!(proposed, BTreeMap::from([(41, Entry::Noop), (42, entry('R'))]));
    assert_eq!(leader.recovered(), Slot(42), "no read before that is applied");
    assert_eq!(leader.next_proposal(&system, &window).unwrap().slot, Slot(43));
}

#[test]
fn a_value_is_chosen_by_a_quorum_of_different_acceptors() {
    let (system, learner, window) = (three(), Learner::new(Slot::ZERO), Window::default());
    let mut leader = Leader::prepare(ballot(5), Slot(1), &system, VecDeque::from([Word('N')]));
    for node in [1, 2] {
        leader.handle_promise(NodeId(node), promise(5, 0, vec![]), &system, &learner, &window);
    }
    let slot = leader.next_proposal(&system, &window).unwrap().slot;
    assert_eq!(leader.handle_accepted(NodeId(2), slot, &system), None);
    assert_eq!(leader.handle_accepted(NodeId(2), slot, &system), None, "a duplicate counts once");
    assert_eq!(leader.handle_accepted(NodeId(7), slot, &system), None, "a stranger counts never");
    assert_eq!(leader.handle_accepted(NodeId(3), slot, &system), Some(entry('N')));
    assert_eq!(leader.handle_accepted(NodeId(1), slot, &system), None, "it is chosen once");
}

fn read(number: u64) -> ReadId {
    ReadId { node: NodeId(2), incarnation: Incarnation::numbered(1), number }
}

#[test]
fn a_read_that_arrives_while_a_round_runs_waits_for_the_next() {
    let system = three();
    let mut reads = Confirmations::default();
    reads.arrive(read(1), Slot(4));
    assert_eq!(reads.start(ballot(5), &system), Some(1));
    reads.arrive(read(2), Slot(6));
    assert_eq!(reads.start(ballot(5), &system), None, "one round at a time");
    let mut confirm =
        |node, round, number| reads.handle_confirmed(NodeId(node), ballot(round), number, &system);
    assert_eq!(confirm(1, 5, 1), []);
    assert_eq!(confirm(1, 5, 1), [], "a duplicate counts once");
    assert_eq!(confirm(3, 4, 1), [], "another ballot");
    assert_eq!(confirm(3, 5, 7), [], "another round");
    assert_eq!(confirm(3, 5, 1), [(read(1), Slot(4))]);
    assert_eq!(reads.start(ballot(5), &system), Some(2));
    assert_eq!(reads.abandon(), [read(2)]);
}

#[test]
fn a_reader_takes_no_answer_meant_for_the_process_before_it() {
    let mut readers = Readers::new(NodeId(2), Incarnation::numbered(2));
    readers.arrive(Ticket(1));
    let asked = readers.ask(ballot(5)).unwrap();
    readers.arrive(Ticket(2));
    let before = ReadId { incarnation: Incarnation::numbered(1), ..asked };
    assert_eq!(readers.handle_reply(before, Some(Slot(9))), []);
    assert_eq!(readers.handle_reply(asked, Some(Slot(9))), [Ticket(1)], "what was sent later waits");
    assert_eq!(readers.handle_reply(asked, Some(Slot(9))), [], "a duplicate answers nobody");
    assert_ne!(readers.ask(ballot(5)).unwrap(), asked);
}

#[test]
fn garbage_is_refused_by_name_and_changes_nothing() {
    let membership = Membership::founding((1..=3).map(NodeId)).unwrap();
    let mut core: Core<Word> =
        Core::new(NodeId(3), Incarnation::numbered(1), membership, Window::default(), Recovered::nothing());
    let health = Health {
        promised: None,
        leader: Some(ballot(u64::MAX)),
        happy: true,
        holds: Slot(1),
        knows: Slot(1),
        truncated: Slot::ZERO,
        stalled: false,
        electable: true,
    };
    let far = Slot(SLOTS_AHEAD_MAX + 1);
    let accept = |slot| Message::Accept { ballot: ballot(1), slot, entry: Entry::Noop, commit: Slot::ZERO };
    let unordered = vec![(Slot(3), Report::Vote(vote(1, 'A'))), (Slot(2), Report::Vote(vote(1, 'A')))];
    let strangers = ReadId { node: NodeId(77), ..read(1) };
    let refused = [
        (9, Message::Heartbeat { round: 1, commit: None }, "no member"),
        (2, Message::Prepare { ballot: ballot(1), from: Slot(1) }, "not its own"),
        (1, Message::Prepare { ballot: ballot(u64::MAX), from: Slot(1) }, "beyond any"),
        (1, Message::HeartbeatReply { round: 0, health }, "beyond any"),
        (1, accept(Slot::ZERO), "out of reach"),
        (1, accept(far), "out of reach"),
        (1, Message::Commit { ballot: ballot(1), through: Slot(u64::MAX) }, "out of reach"),
        (1, Message::Promise(promise(1, 0, unordered)), "contradicts itself"),
        (
            1,
            Message::Promise(promise(1, 4, vec![(Slot(2), Report::Chosen(Entry::Noop))])),
            "contradicts itself",
        ),
        (1, Message::ReadIndex { read: strangers }, "for the reads of"),
        (1, Message::ReadIndexReply { read: strangers, slot: None }, "for the reads of"),
    ];
    let before = core.clone();
    let mut names = BTreeSet::new();
    for (from, message, reason) in refused {
        let rejection: Rejection = core.handle_message(NodeId(from), message.clone()).unwrap_err();
        assert!(rejection.to_string().contains(reason), "{message:?}: {rejection}");
        assert!(core == before, "{message:?} changed something");
        names.insert(reason);
    }
    assert_eq!(names.len(), 6, "every kind of rejection was met");
}
