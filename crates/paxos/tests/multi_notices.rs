//! A leader that lacks what others have truncated: what it notifies, where reads begin, and who is asked for what.

#![allow(clippy::unwrap_used)]

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::{Core, Output};
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::leader::Window;
use synod_paxos::multi::message::{Health, Message, Promise, Report};
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

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);

/// The ballot with which c leads.
const MINE: Ballot = Ballot::new(5, C);

fn entry(word: char) -> Entry<Word> {
    Entry::Commands(vec![Word(word)].into())
}

fn node(id: NodeId) -> Core<Word> {
    let members = Membership::founding([A, B, C]).unwrap();
    Core::new(id, Incarnation::numbered(1), members, Window::default(), Recovered::nothing())
}

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

fn sent(outputs: Vec<Output<Word>>) -> Vec<(Vec<NodeId>, Message<Word>)> {
    let send = |output| match output {
        Output::Send { to, message } => Some((to, message)),
        _ => None,
    };
    outputs.into_iter().filter_map(send).collect()
}

/// c has an empty disk and leads by b's promise, which says that everything through 10 is chosen. `reports` follow.
fn empty_leader(reports: Vec<(Slot, Report<Word>)>) -> Core<Word> {
    let mut core = node(C);
    core.campaign(MINE);
    outputs(&mut core);
    let promise = Promise { ballot: MINE, from: Slot(1), chosen: Slot(10), reports };
    core.handle_message(B, Message::Promise(promise)).unwrap();
    outputs(&mut core);
    assert!(core.leadership().unwrap().is_leading());
    core
}

/// c gets `word` chosen in `slot`, by its own vote and b's. Returns what it sends.
fn choose(core: &mut Core<Word>, slot: u64, word: char) -> Vec<(Vec<NodeId>, Message<Word>)> {
    core.propose(Word(word)).unwrap();
    outputs(core);
    core.handle_message(B, Message::Accepted { ballot: MINE, slots: vec![Slot(slot)] }).unwrap();
    sent(outputs(core))
}

fn notices(sent: &[(Vec<NodeId>, Message<Word>)]) -> Vec<Slot> {
    let through = |message: &Message<Word>| match message {
        Message::Commit { ballot, through } if *ballot == MINE => Some(*through),
        _ => None,
    };
    sent.iter().filter_map(|(_, message)| through(message)).collect()
}

/// Where a read of c's user may begin, once b has confirmed that c leads.
fn read_index(core: &mut Core<Word>) -> Slot {
    core.read(Ticket(1));
    outputs(core);
    let (ballot, round) = core.unconfirmed().unwrap();
    core.handle_message(B, Message::Confirmed { ballot, round }).unwrap();
    let ready = |output| match output {
        Output::ReadReady { slot, .. } => Some(slot),
        _ => None,
    };
    outputs(core).into_iter().find_map(ready).unwrap()
}

#[test]
fn a_leader_notifies_through_the_prefix_it_knows_to_be_chosen_though_it_holds_none_of_it() {
    let mut core = empty_leader(Vec::new());
    assert_eq!(core.learner().through(), Slot::ZERO);
    assert_eq!(notices(&choose(&mut core, 11, 'N')), [Slot(11)]);
    assert_eq!(notices(&choose(&mut core, 12, 'O')), [Slot(12)]);
    core.end_round(true);
    let heartbeat = sent(outputs(&mut core)).into_iter().find_map(|(_, message)| match message {
        Message::Heartbeat { commit, .. } => commit,
        _ => None,
    });
    assert_eq!(heartbeat, Some((MINE, Slot(12))));
}

#[test]
fn what_a_leader_recovers_and_has_not_counted_ends_its_notices() {
    let vote = Vote { ballot: Ballot::new(2, A), value: entry('V') };
    let mut core = empty_leader(vec![(Slot(11), Report::Vote(vote)), (Slot(12), Report::Chosen(entry('K')))]);
    assert_eq!(notices(&choose(&mut core, 13, 'N')), [], "11 is open");
    core.handle_message(B, Message::Accepted { ballot: MINE, slots: vec![Slot(11)] }).unwrap();
    assert_eq!(notices(&sent(outputs(&mut core))), [Slot(13)]);
}

#[test]
fn what_others_say_is_chosen_is_no_part_of_a_leaders_notices() {
    let mut core = empty_leader(Vec::new());
    core.propose(Word('N')).unwrap();
    outputs(&mut core);
    let later = Ballot::new(6, A);
    let hearsay = [
        Message::Commit { ballot: later, through: Slot(11) },
        Message::Fetched { from: Slot(1), entries: Vec::new(), chosen: Slot(11), truncated: Slot::ZERO },
        Message::HeartbeatReply { round: 0, health: health(11, 11, 0) },
    ];
    for message in hearsay {
        core.handle_message(A, message).unwrap();
        assert_eq!(notices(&sent(outputs(&mut core))), []);
    }
    assert_eq!(core.learner().heard(), Slot(11));
}

#[test]
fn a_read_begins_where_the_leaders_notices_end() {
    let mut core = empty_leader(Vec::new());
    assert_eq!(read_index(&mut core), Slot(10));
    choose(&mut core, 11, 'N');
    assert_eq!(read_index(&mut core), Slot(11), "whoever holds the prefix may have applied and answered it");
}

#[test]
fn a_promise_tells_of_a_slot_that_is_known_and_not_held_as_the_vote_that_is_there() {
    let mut core = node(A);
    let old = Ballot::new(2, B);
    let accept = Message::Accept { ballot: old, slot: Slot(2), entry: entry('V'), commit: Slot::ZERO };
    core.handle_message(B, accept).unwrap();
    // Through 3 everything is chosen: a holds none of it, and its vote is of another ballot.
    core.handle_message(C, Message::Commit { ballot: MINE, through: Slot(3) }).unwrap();
    outputs(&mut core);
    core.handle_message(C, Message::Prepare { ballot: MINE, from: Slot(1) }).unwrap();
    let promise = sent(outputs(&mut core)).into_iter().find_map(|(_, message)| match message {
        Message::Promise(promise) => Some(promise),
        _ => None,
    });
    let reports = vec![(Slot(2), Report::Vote(Vote { ballot: old, value: entry('V') }))];
    assert_eq!(promise, Some(Promise { ballot: MINE, from: Slot(1), chosen: Slot::ZERO, reports }));
}

fn health(holds: u64, knows: u64, truncated: u64) -> Health {
    Health {
        promised: None,
        leader: None,
        happy: false,
        holds: Slot(holds),
        knows: Slot(knows),
        truncated: Slot(truncated),
        stalled: false,
        electable: true,
    }
}

/// `core` hears these answers in one round. Returns what it sends at the round's end.
fn round(core: &mut Core<Word>, answers: &[(NodeId, Health)]) -> Vec<(Vec<NodeId>, Message<Word>)> {
    let round = core.election().round();
    for (from, health) in answers {
        core.handle_message(*from, Message::HeartbeatReply { round, health: *health }).unwrap();
    }
    outputs(core);
    core.end_round(true);
    sent(outputs(core))
}

fn asked(sent: &[(Vec<NodeId>, Message<Word>)]) -> Vec<(NodeId, Slot)> {
    let fetch = |(to, message): &(Vec<NodeId>, Message<Word>)| match message {
        Message::Fetch { from } => Some((to[0], *from)),
        _ => None,
    };
    sent.iter().filter_map(fetch).collect()
}

#[test]
fn who_holds_a_slot_is_asked_for_it_not_who_only_knows_that_it_is_chosen() {
    let mut core = node(A);
    let fetched = asked(&round(&mut core, &[(B, health(12, 12, 4)), (C, health(0, 20, 0))]));
    assert_eq!(fetched, [(B, Slot(1))], "b has at least a checkpoint");
    let mut core = node(A);
    round(&mut core, &[(B, health(9, 12, 0)), (C, health(12, 12, 4))]);
    assert_eq!(asked(&round(&mut core, &[(B, health(9, 12, 0)), (C, health(12, 12, 4))])), [(B, Slot(1))]);
    // The notice of a leader that lacks the slot itself.
    let mut core = node(A);
    round(&mut core, &[(B, health(12, 12, 0)), (C, health(0, 12, 0))]);
    let nothing =
        Message::Fetched { from: Slot(1), entries: vec![], chosen: Slot::ZERO, truncated: Slot::ZERO };
    core.handle_message(B, nothing).unwrap();
    core.handle_message(C, Message::Commit { ballot: MINE, through: Slot(12) }).unwrap();
    assert_eq!(asked(&sent(outputs(&mut core))), [(B, Slot(1))]);
}

#[test]
fn a_checkpoint_is_needed_once_none_that_answers_holds_the_next_slot_in_its_log() {
    let needed = |answers: &[(NodeId, Health)]| {
        let mut core = node(A);
        round(&mut core, answers);
        let needs = core.needs_checkpoint();
        let gone = Message::Fetched { from: Slot(1), entries: vec![], chosen: Slot(12), truncated: Slot(4) };
        core.handle_message(B, gone).unwrap();
        let wanted =
            |output: &Output<Word>| matches!(output, Output::CheckpointNeeded { from, .. } if *from == B);
        assert_eq!(outputs(&mut core).iter().any(wanted), needs);
        needs
    };
    assert!(needed(&[(B, health(12, 12, 4))]));
    assert!(needed(&[(B, health(12, 12, 4)), (C, health(0, 12, 0))]), "c only knows of it");
    assert!(!needed(&[(B, health(12, 12, 4)), (C, health(7, 12, 0))]), "c holds it in its log");
}

#[test]
fn a_value_counted_above_a_gap_is_told_to_who_asks() {
    let mut core = empty_leader(Vec::new());
    choose(&mut core, 11, 'N');
    core.handle_message(A, Message::Fetch { from: Slot(11) }).unwrap();
    let told = sent(outputs(&mut core));
    let (entries, chosen, truncated) = (vec![entry('N')], Slot::ZERO, Slot::ZERO);
    assert_eq!(told, [(vec![A], Message::Fetched { from: Slot(11), entries, chosen, truncated })]);
}

#[test]
fn a_member_says_that_it_holds_what_a_synced_commit_record_covers() {
    let mut core = node(A);
    let accept = Message::Accept { ballot: MINE, slot: Slot(1), entry: entry('V'), commit: Slot::ZERO };
    core.handle_message(C, accept).unwrap();
    outputs(&mut core);
    core.handle_message(C, Message::Commit { ballot: MINE, through: Slot(1) }).unwrap();
    outputs(&mut core);
    let told = |core: &mut Core<Word>| {
        core.handle_message(C, Message::Heartbeat { round: 1, commit: None }).unwrap();
        let mut token = None;
        let mut told = None;
        while let Some(output) = core.poll_output() {
            match output {
                Output::Persist { token: write, .. } => token = Some(write),
                Output::Send { message: Message::HeartbeatReply { health, .. }, .. } => told = Some(health),
                _ => {}
            }
        }
        (told.map(|health| (health.holds, health.knows)).unwrap(), token)
    };
    assert_eq!(told(&mut core), ((Slot::ZERO, Slot(1)), None), "no commit record is written yet");
    core.end_round(true);
    let (before, token) = told(&mut core);
    assert_eq!(before, (Slot::ZERO, Slot(1)), "the record is on its way to the disk");
    core.handle_persisted(token.unwrap());
    assert_eq!(told(&mut core), ((Slot(1), Slot(1)), None));
}

#[test]
fn a_leader_that_runs_phase_1_again_for_what_none_connected_holds_counts_connected_members_only() {
    let mut core = empty_leader(Vec::new());
    round(&mut core, &[(A, Health { promised: Some(MINE), ..health(9, 10, 0) })]);
    core.campaign_among_connected();
    outputs(&mut core);
    let ballot = core.leadership().unwrap().ballot();
    // b answers no heartbeat, but its promise arrives: what it speaks of will not.
    let promise = Promise { ballot, from: Slot(1), chosen: Slot(10), reports: Vec::new() };
    core.handle_message(B, Message::Promise(promise)).unwrap();
    outputs(&mut core);
    assert!(!core.leadership().unwrap().is_leading(), "b's promise does not count");
    let reports = vec![(Slot(10), Report::Vote(Vote { ballot: Ballot::new(2, B), value: entry('V') }))];
    let promise = Promise { ballot, from: Slot(1), chosen: Slot(9), reports };
    core.handle_message(A, Message::Promise(promise)).unwrap();
    let proposed = sent(outputs(&mut core)).into_iter().filter_map(|(_, message)| match message {
        Message::Accept { slot, entry, .. } => Some((slot.0, entry)),
        _ => None,
    });
    assert_eq!(proposed.collect::<Vec<_>>(), [(10, entry('V'))]);
}
