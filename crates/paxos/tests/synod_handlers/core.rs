//! The node: what it refuses to look at, and what it keeps back until it is durable.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::core::{Core, Output};
use synod_paxos::synod::message::Message;
use synod_paxos::synod::options::{Group, Learning, Options, Refusal};
use synod_paxos::synod::record::Record;
use synod_paxos::synod::rejection::Rejection;

use crate::{ballot, combined, nodes, vote};

fn outputs(core: &mut Core<char>) -> Vec<Output<char>> {
    std::iter::from_fn(|| core.poll_output()).collect()
}

fn send(to: &[u64], message: Message<char>) -> Output<char> {
    Output::Send { to: to.iter().copied().map(NodeId).collect(), message }
}

fn persist(token: u64, records: &[Record<char>]) -> Output<char> {
    Output::Persist { token: Token(token), records: records.to_vec() }
}

fn node(id: u64) -> Core<char> {
    Core::new(NodeId(id), combined(3), Options::default(), &[])
}

/// Proposers 1 and 2, acceptors 3 to 5, learner 6.
fn separate(id: u64) -> Core<char> {
    let acceptors = QuorumSystem::majority([3, 4, 5].map(NodeId)).unwrap();
    let group = Group::new(acceptors, nodes(2), [NodeId(6)], Learning::Everyone).unwrap();
    Core::new(NodeId(id), Arc::new(group), Options::default(), &[])
}

#[test]
fn a_prepare_leaves_only_after_the_ballot_is_durable() {
    let mut core = node(1);
    core.propose('A').unwrap();
    assert_eq!(outputs(&mut core), [persist(1, &[Record::Used(ballot(1, 1))])]);
    core.ask_again();
    assert_eq!(outputs(&mut core), [], "asking again does not get around the disk");
    core.handle_persisted(Token(1));
    let prepare = send(&[2, 3], Message::Prepare { ballot: ballot(1, 1) });
    let promised = persist(2, &[Record::Promised(ballot(1, 1))]);
    assert_eq!(outputs(&mut core), [prepare.clone(), prepare, promised], "its own acceptor was asked too");
}

#[test]
fn a_promise_a_vote_and_a_refusal_wait_for_every_record_before_them() {
    let mut core = node(3);
    core.handle_message(NodeId(1), Message::Prepare { ballot: ballot(4, 1) }).unwrap();
    assert_eq!(outputs(&mut core), [persist(1, &[Record::Promised(ballot(4, 1))])]);
    core.handle_message(NodeId(2), Message::Prepare { ballot: ballot(3, 2) }).unwrap();
    assert_eq!(outputs(&mut core), [], "a refusal would reveal a promise that a crash can still undo");
    core.handle_message(NodeId(1), Message::Accept { ballot: ballot(4, 1), value: 'A' }).unwrap();
    assert_eq!(outputs(&mut core), [persist(2, &[Record::Voted(vote(ballot(4, 1), 'A'))])]);
    core.handle_persisted(Token(1));
    let promise = send(&[1], Message::Promise { ballot: ballot(4, 1), vote: None });
    let nack = send(&[2], Message::Nack { ballot: ballot(3, 2), promised: ballot(4, 1) });
    assert_eq!(outputs(&mut core), [promise, nack]);
    core.handle_persisted(Token(2));
    let accepted = send(&[1, 2], Message::Accepted { ballot: ballot(4, 1), value: 'A' });
    assert_eq!(outputs(&mut core), [accepted], "every learner is told");
}

#[test]
fn a_duplicate_gets_its_answer_again_without_a_write_but_not_before_the_first_write() {
    let mut core = node(3);
    for _ in 0..2 {
        core.handle_message(NodeId(1), Message::Prepare { ballot: ballot(4, 1) }).unwrap();
    }
    assert_eq!(outputs(&mut core), [persist(1, &[Record::Promised(ballot(4, 1))])]);
    core.handle_persisted(Token(1));
    let promise = send(&[1], Message::Promise { ballot: ballot(4, 1), vote: None });
    assert_eq!(outputs(&mut core), [promise.clone(), promise]);
}

#[test]
#[should_panic(expected = "before it was given out")]
fn a_write_that_was_not_given_out_cannot_be_durable() {
    let mut core = node(1);
    core.propose('A').unwrap();
    core.handle_persisted(Token(1));
}

#[test]
fn who_ignores_what_is_too_low_says_nothing() {
    let options = Options { refusal: Refusal::Ignore, ..Options::default() };
    let promised = [Record::Promised(ballot(9, 1))];
    let mut core: Core<char> = Core::new(NodeId(3), combined(3), options, &promised);
    core.handle_message(NodeId(2), Message::Prepare { ballot: ballot(3, 2) }).unwrap();
    core.handle_message(NodeId(2), Message::Accept { ballot: ballot(3, 2), value: 'A' }).unwrap();
    assert_eq!(outputs(&mut core), []);
}

#[test]
fn votes_go_to_the_proposer_and_to_the_distinguished_learners_who_tell_the_rest() {
    let distinguished = [NodeId(2)].into();
    let group = Group::new(
        QuorumSystem::majority(nodes(3)).unwrap(),
        nodes(3),
        nodes(5),
        Learning::Distinguished(distinguished),
    );
    let group = Arc::new(group.unwrap());
    let mut acceptor = Core::new(NodeId(3), group.clone(), Options::default(), &[]);
    acceptor.handle_message(NodeId(1), Message::Accept { ballot: ballot(1, 1), value: 'A' }).unwrap();
    outputs(&mut acceptor);
    acceptor.handle_persisted(Token(1));
    let accepted = Message::Accepted { ballot: ballot(1, 1), value: 'A' };
    assert_eq!(outputs(&mut acceptor), [send(&[1, 2], accepted.clone())]);

    let mut learner = Core::new(NodeId(2), group, Options::default(), &[]);
    learner.handle_message(NodeId(3), accepted.clone()).unwrap();
    learner.handle_message(NodeId(1), accepted).unwrap();
    let chosen = Output::Chosen { ballot: ballot(1, 1), value: 'A' };
    let told = send(&[1, 3, 4, 5], Message::Chosen { ballot: ballot(1, 1), value: 'A' });
    assert_eq!(outputs(&mut learner), [chosen, told]);
}

#[test]
fn every_message_reaches_only_the_role_it_is_for_and_only_from_the_role_that_sends_it() {
    let own = ballot(0, 0);
    let messages = |to: u64| {
        let mine = if to <= 2 { ballot(1, to) } else { ballot(1, 1) };
        [
            Message::Prepare { ballot: own },
            Message::Accept { ballot: own, value: 'A' },
            Message::Promise { ballot: mine, vote: None },
            Message::Nack { ballot: mine, promised: ballot(2, 1) },
            Message::Accepted { ballot: mine, value: 'A' },
            Message::Chosen { ballot: mine, value: 'A' },
            Message::Inquire,
        ]
    };
    for (from, to) in (0..8).flat_map(|from| (1..=6).map(move |to| (from, to))) {
        for message in messages(to) {
            let message = match message {
                Message::Prepare { .. } => Message::Prepare { ballot: ballot(1, from) },
                Message::Accept { value, .. } => Message::Accept { ballot: ballot(1, from), value },
                other => other,
            };
            let (proposer, acceptor) =
                (|node: u64| (1..=2).contains(&node), |node: u64| (3..=5).contains(&node));
            let allowed = match message {
                Message::Prepare { .. } | Message::Accept { .. } => proposer(from) && acceptor(to),
                Message::Promise { .. } | Message::Nack { .. } => acceptor(from) && proposer(to),
                Message::Accepted { .. } => acceptor(from) && (proposer(to) || to == 6),
                Message::Chosen { .. } => (proposer(from) || from == 6) && (proposer(to) || to == 6),
                Message::Inquire => from == 6 && proposer(to),
            };
            let mut core = separate(to);
            if proposer(to) {
                core.start_ballot();
            }
            let before = core.clone();
            let handled = core.handle_message(NodeId(from), message.clone());
            assert_eq!(handled.is_ok(), allowed, "{from} -> {to} {message:?}: {handled:?}");
            assert!(allowed || core == before, "what is rejected changes nothing");
        }
    }
}

#[test]
fn garbage_is_rejected_by_name_and_changes_nothing() {
    let absurd = ballot(Ballot::ROUND_MAX + 1, 1);
    let cases: Vec<(u64, Message<char>, &str)> = vec![
        (9, Message::Prepare { ballot: ballot(1, 9) }, "n9 sent prepare but is no proposer"),
        (1, Message::Prepare { ballot: ballot(1, 3) }, "which is not its ballot"),
        (1, Message::Accept { ballot: ballot(1, 3), value: 'A' }, "which is not its ballot"),
        (1, Message::Prepare { ballot: absurd }, "rounds go from 1 to"),
        (1, Message::Accept { ballot: absurd, value: 'A' }, "rounds go from 1 to"),
        (1, Message::Prepare { ballot: ballot(0, 1) }, "rounds go from 1 to"),
        (1, Message::Nack { ballot: ballot(1, 2), promised: absurd }, "rounds go from 1 to"),
        (1, Message::Accepted { ballot: ballot(2, 9), value: 'A' }, "whose owner is no proposer"),
        (1, Message::Promise { ballot: ballot(1, 3), vote: None }, "with which this node never asked"),
        (1, Message::Promise { ballot: ballot(2, 2), vote: None }, "with which this node never asked"),
        (1, Message::Accepted { ballot: ballot(2, 2), value: 'A' }, "with which this node never asked"),
        (
            1,
            Message::Promise { ballot: ballot(1, 2), vote: Some(vote(ballot(1, 2), 'A')) },
            "which is not below",
        ),
        (
            1,
            Message::Promise { ballot: ballot(1, 2), vote: Some(vote(ballot(1, 3), 'A')) },
            "which is not below",
        ),
        (1, Message::Nack { ballot: ballot(1, 2), promised: ballot(1, 2) }, "which is not above"),
        (1, Message::Nack { ballot: ballot(1, 2), promised: ballot(1, 1) }, "which is not above"),
    ];
    for (from, message, expected) in cases {
        let mut core = node(2);
        core.propose('B').unwrap();
        outputs(&mut core);
        let before = core.clone();
        let rejection = core.handle_message(NodeId(from), message.clone()).unwrap_err();
        assert!(rejection.to_string().contains(expected), "{message:?}: {rejection}");
        assert_eq!(core, before);
    }
}

#[test]
fn the_last_round_of_all_does_not_stop_a_node() {
    let mut core = node(2);
    core.propose('B').unwrap();
    core.handle_message(NodeId(1), Message::Prepare { ballot: ballot(Ballot::ROUND_MAX, 1) }).unwrap();
    outputs(&mut core);
    core.handle_persisted(Token(1));
    outputs(&mut core);
    core.start_ballot();
    assert_eq!(core.proposer().unwrap().ballot(), ballot(1, 2), "nothing is left to beat that promise with");
}

#[test]
fn an_inquiry_is_answered_at_once_by_who_knows_and_after_a_ballot_by_who_does_not() {
    let mut core = separate(1);
    core.handle_message(NodeId(6), Message::Inquire).unwrap();
    assert_eq!(outputs(&mut core), [persist(1, &[Record::Used(ballot(1, 1))])]);
    core.handle_persisted(Token(1));
    outputs(&mut core);
    core.handle_message(NodeId(3), Message::Promise { ballot: ballot(1, 1), vote: None }).unwrap();
    core.handle_message(NodeId(4), Message::Promise { ballot: ballot(1, 1), vote: None }).unwrap();
    assert_eq!(outputs(&mut core), [], "nothing was chosen, and this proposer has nothing to propose");

    core.handle_message(NodeId(2), Message::Chosen { ballot: ballot(2, 2), value: 'B' }).unwrap();
    let told = send(&[6], Message::Chosen { ballot: ballot(2, 2), value: 'B' });
    assert_eq!(outputs(&mut core), [Output::Chosen { ballot: ballot(2, 2), value: 'B' }, told.clone()]);
    core.handle_message(NodeId(6), Message::Inquire).unwrap();
    assert_eq!(outputs(&mut core), [told]);
    assert_eq!(core.propose('C'), Ok(()), "it is taken");
    assert_eq!(outputs(&mut core), [], "but nothing is left to decide");
}

#[test]
#[should_panic(expected = "two values are chosen")]
fn a_proposer_that_is_told_of_two_chosen_values_stops() {
    let mut core = separate(1);
    core.handle_message(NodeId(6), Message::Chosen { ballot: ballot(1, 1), value: 'A' }).unwrap();
    let _ = core.handle_message(NodeId(6), Message::Chosen { ballot: ballot(2, 1), value: 'B' });
}

#[test]
fn a_node_without_the_role_hands_a_proposal_back() {
    assert_eq!(separate(3).propose('A'), Err('A'));
    let stranger: Result<(), Rejection> = separate(3).handle_message(NodeId(7), Message::Inquire);
    assert_eq!(stranger, Err(Rejection::NotALearner { from: NodeId(7), message: "inquire" }));
}

#[test]
#[should_panic(expected = "has no role")]
fn a_node_without_any_role_is_not_built() {
    separate(7);
}
