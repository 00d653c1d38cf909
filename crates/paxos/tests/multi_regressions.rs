//! Bugs that the simulator found, each as the shortest schedule that shows it.

#![allow(clippy::unwrap_used)]

use synod_paxos::ballot::Ballot;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::{Core, Output};
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::leader::Window;
use synod_paxos::multi::message::{Health, Message, Promise};
use synod_paxos::multi::reads::Ticket;
use synod_paxos::multi::record::Recovered;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Word(char);

impl Command for Word {
    fn size(&self) -> usize {
        1
    }
}

fn entry(word: char) -> Entry<Word> {
    Entry::Commands(vec![Word(word)].into())
}

const OLD: Ballot = Ballot::new(1, NodeId(1));
const NEW: Ballot = Ballot::new(2, NodeId(2));

/// Everything the core wants done; its writes succeed at once.
fn outputs(core: &mut Core<Word>) -> Vec<Output<Word>> {
    let mut all = Vec::new();
    while let Some(output) = core.poll_output() {
        if let Output::Persist { token, .. } = &output {
            core.handle_persisted(*token);
        }
        all.push(output);
    }
    all
}

/// n1 of three, leading with its first ballot; n2 has promised it.
fn leader() -> Core<Word> {
    let members = Membership::founding((1..=3).map(NodeId)).unwrap();
    let nothing = Recovered::nothing();
    let mut core = Core::new(NodeId(1), Incarnation::numbered(1), members, Window::default(), nothing);
    core.campaign(OLD);
    outputs(&mut core);
    let promise = Promise { ballot: OLD, from: Slot(1), chosen: Slot::ZERO, reports: Vec::new() };
    core.handle_message(NodeId(2), Message::Promise(promise)).unwrap();
    outputs(&mut core);
    assert!(core.leadership().unwrap().is_leading());
    core
}

/// Simulator, seed 111 of its first version: two values in one slot. The old leader had not proposed in slot 1 when
/// it fetched what its successor got chosen there. Its commit notices covered the slot from then on, so a
/// proposal of its own there would have been taken for chosen by whoever voted for it.
#[test]
fn a_leader_that_fetches_a_slot_it_has_not_come_to_has_lost_its_ballot() {
    let mut core = leader();
    let (from, entries) = (Slot(1), vec![entry('N')]);
    let fetched = Message::Fetched { from, entries, chosen: Slot(1), truncated: Slot::ZERO };
    core.handle_message(NodeId(3), fetched).unwrap();
    assert!(core.learner().is_chosen(Slot(1)));
    let refused = core.propose(Word('O'));
    let proposed = outputs(&mut core).into_iter().any(
        |output| matches!(output, Output::Send { message: Message::Accept { slot, .. }, .. } if slot == Slot(1)),
    );
    assert!(!proposed, "it proposes a second value in slot 1");
    assert_eq!(refused, Err(Word('O')), "it leads no more");
}

/// Simulator, seed 7 of its first version: reads hang for ever at a leader without writes after one round of
/// confirmation was lost.
#[test]
fn a_round_of_confirmation_that_nobody_answers_can_be_repeated_until_somebody_does() {
    let mut core = leader();
    core.read(Ticket(1));
    let asked = |outputs: Vec<Output<Word>>| {
        outputs.into_iter().find_map(|output| match output {
            Output::Send { message: Message::Confirm { ballot, round }, .. } => Some((ballot, round)),
            _ => None,
        })
    };
    let first = asked(outputs(&mut core)).expect("a round is sent");
    assert_eq!(core.unconfirmed(), Some(first));
    core.confirm_again();
    let again = asked(outputs(&mut core)).expect("the round is sent again");
    assert_eq!(again, first);
    let (ballot, round) = again;
    core.handle_message(NodeId(3), Message::Confirmed { ballot, round }).unwrap();
    let ready = outputs(&mut core).into_iter().any(|output| matches!(output, Output::ReadReady { .. }));
    assert!(ready);
    assert_eq!(core.unconfirmed(), None);
}

fn health(promised: Ballot, leader: Ballot) -> Health {
    Health {
        promised: Some(promised),
        leader: Some(leader),
        happy: true,
        holds: Slot::ZERO,
        knows: Slot::ZERO,
        truncated: Slot::ZERO,
        stalled: false,
        electable: true,
    }
}

/// Simulator, seed 335 of its first version: nothing of the new leader got through to the old one, which went on
/// proposing, refused by everybody, for as long as the cut lasted.
#[test]
fn an_old_leader_that_cannot_hear_the_new_one_follows_it_by_hearsay() {
    let mut core = leader();
    let round = core.election().round();
    let health = health(NEW, NEW);
    core.handle_message(NodeId(3), Message::HeartbeatReply { round, health }).unwrap();
    core.end_round(true);
    assert_eq!(core.election().leader(), Some(NEW));
    assert_eq!(core.propose(Word('O')), Err(Word('O')), "it leads no more");
}

/// Simulator, seeds 36 and 171 of its first version: with a permanent one-way cut between a member and its leader
/// every request at that member timed out.
#[test]
fn a_member_that_does_not_reach_its_leader_asks_by_a_neighbour_that_does() {
    let members = Membership::founding((1..=3).map(NodeId)).unwrap();
    let mut core: Core<Word> =
        Core::new(NodeId(1), Incarnation::numbered(1), members, Window::default(), Recovered::nothing());
    let round = core.election().round();
    core.handle_message(NodeId(3), Message::HeartbeatReply { round, health: health(NEW, NEW) }).unwrap();
    core.end_round(true);
    assert_eq!(core.election().way_to(NEW), NodeId(3));
    core.read(Ticket(1));
    let asked = outputs(&mut core).into_iter().find_map(|output| match output {
        Output::Send { to, message: Message::ReadIndex { .. } } => Some(to),
        _ => None,
    });
    assert_eq!(asked, Some(vec![NodeId(3)]));
}

/// Ends a round in which n2 and n3 answered with these promises. Returns whether n1 prepared another ballot.
fn goes_higher(core: &mut Core<Word>, promised: [Ballot; 2]) -> bool {
    let round = core.election().round();
    for (node, promised) in [NodeId(2), NodeId(3)].into_iter().zip(promised) {
        let health = health(promised, OLD);
        core.handle_message(node, Message::HeartbeatReply { round, health }).unwrap();
    }
    core.end_round(true);
    outputs(core)
        .into_iter()
        .any(|output| matches!(output, Output::Send { message: Message::Prepare { .. }, .. }))
}

/// Simulator, seed 1003750: n1, n4 and n5 had stood still, and n2 was elected with the consent of n1, which a moment
/// before had heard from a quorum that it may lead. At the end of that round n1 went above n2, which had just taken over.
#[test]
fn a_leader_does_not_go_above_a_candidate_before_a_second_round_shows_that_it_has_failed() {
    let mut core = leader();
    outputs(&mut core);
    let round = core.election().round();
    for node in [NodeId(2), NodeId(3)] {
        core.handle_message(node, Message::HeartbeatReply { round, health: health(OLD, OLD) }).unwrap();
    }
    core.handle_message(NodeId(2), Message::Prepare { ballot: NEW, from: Slot(1) }).unwrap();
    outputs(&mut core);
    assert!(!goes_higher(&mut core, [OLD, OLD]), "n2 may be about to lead");
    assert!(!goes_higher(&mut core, [NEW, NEW]), "n2 has a quorum");
}

#[test]
fn a_leader_goes_above_an_acceptor_that_promised_more_in_two_rounds() {
    let mut core = leader();
    assert!(!goes_higher(&mut core, [OLD, OLD]));
    assert!(!goes_higher(&mut core, [OLD, NEW]), "n3 may be about to follow a new leader");
    assert!(goes_higher(&mut core, [OLD, NEW]), "one acceptor does not depose a leader that has its quorum");
}
