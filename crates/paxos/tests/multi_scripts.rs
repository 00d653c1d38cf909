//! Golden message scripts: small plays of replicas without time, whose traces read like a protocol.
//!
//! Every trace under `golden/multi` was read by eye. `UPDATE_GOLDEN=1` writes them again.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use synod_paxos::ballot::Ballot;
use synod_paxos::config::ConfigId;
use synod_paxos::durable::Token;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::{Core, Output};
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::leader::{GapFill, Window};
use synod_paxos::multi::message::{Message, Report};
use synod_paxos::multi::reads::Ticket;
use synod_paxos::multi::record::{HardState, Record, Recovered};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Word(&'static str);

impl Command for Word {
    fn size(&self) -> usize {
        self.0.len()
    }
}

/// Nodes 1 to n, the messages between them, and what was said so far.
struct Stage {
    cores: BTreeMap<u64, Core<Word>>,
    disks: BTreeMap<u64, Vec<Token>>,
    wire: VecDeque<(u64, u64, Message<Word>)>,
    trace: String,
}

fn ballot(round: u64, node: u64) -> Ballot {
    Ballot::new(round, NodeId(node))
}

fn value(word: &'static str) -> Entry<Word> {
    if word == "no-op" { Entry::Noop } else { Entry::Commands(vec![Word(word)].into()) }
}

fn vote(slot: u64, round: u64, node: u64, word: &'static str) -> Record<Word> {
    Record::Vote { slot: Slot(slot), ballot: ballot(round, node), entry: value(word) }
}

fn chosen(slot: u64, word: &'static str) -> Record<Word> {
    Record::Chosen { slot: Slot(slot), entry: value(word) }
}

impl Stage {
    /// Nodes that remember these records.
    fn new(memories: &[Vec<Record<Word>>], gaps: GapFill) -> Stage {
        let mut stage = Stage {
            cores: BTreeMap::new(),
            disks: BTreeMap::new(),
            wire: VecDeque::new(),
            trace: String::new(),
        };
        let ids: Vec<NodeId> = (1..=memories.len() as u64).map(NodeId).collect();
        let votes = |records: &[Record<Word>]| -> Vec<(Slot, Ballot)> {
            let vote = |record: &Record<Word>| match record {
                Record::Vote { slot, ballot, .. } => Some((*slot, *ballot)),
                _ => None,
            };
            records.iter().filter_map(vote).collect()
        };
        let all: Vec<_> = memories.iter().flat_map(|records| votes(records)).collect();
        // Whoever's ballots they voted with, everybody but the stale ones promised the highest.
        let promised = all.iter().map(|(_, ballot)| *ballot).max().unwrap_or(Ballot::ZERO);
        for (id, records) in ids.iter().zip(memories) {
            let own = votes(records);
            let state = HardState {
                promised: own.iter().map(|(_, ballot)| *ballot).max().unwrap_or(promised),
                highest_voted: own.iter().map(|(slot, _)| *slot).max().unwrap_or(Slot::ZERO),
                ..HardState::new(ConfigId::FIRST)
            };
            let membership = Membership::founding(ids.iter().copied()).unwrap();
            let recovered =
                Recovered { state: Some(state), checkpoint: Slot::ZERO, records: records.clone() };
            let window = Window { gaps, ..Window::default() };
            let core = Core::new(*id, Incarnation::numbered(1), membership, window, recovered);
            stage.cores.insert(id.0, core);
            stage.disks.insert(id.0, Vec::new());
        }
        for id in ids {
            stage.settle(id.0);
        }
        stage
    }

    fn say(&mut self, line: &str) {
        writeln!(self.trace, "{line}").unwrap();
    }

    fn core(&mut self, id: u64) -> &mut Core<Word> {
        self.cores.get_mut(&id).unwrap()
    }

    fn settle(&mut self, id: u64) {
        while let Some(output) = self.core(id).poll_output() {
            match output {
                Output::Send { to, message } => {
                    for to in to {
                        self.wire.push_back((id, to.0, message.clone()));
                    }
                }
                Output::Persist { token, .. } => self.disks.get_mut(&id).unwrap().push(token),
                Output::Chosen { slot, entry } => {
                    self.say(&format!("   {id} applies {slot} {}", words(&entry)))
                }
                Output::ReadReady { slot, .. } => self.say(&format!("   {id} may read from {slot}")),
                Output::CheckpointNeeded { from, truncated } => {
                    self.say(&format!("   {id} needs the checkpoint of {} through {truncated}", from.0));
                }
            }
        }
    }

    fn campaign(&mut self, id: u64) {
        let next = self.core(id).election().next_ballot();
        self.say(&format!("{id} runs phase 1 with {}", short(next)));
        self.core(id).campaign(next);
        self.settle(id);
    }

    fn propose(&mut self, id: u64, word: &'static str) {
        let taken = self.core(id).propose(Word(word)).is_ok();
        self.say(&format!("a client gives {id} {word}{}", if taken { "" } else { ": it does not lead" }));
        self.settle(id);
    }

    fn read(&mut self, id: u64) {
        self.say(&format!("a client reads at {id}"));
        self.core(id).read(Ticket(1));
        self.settle(id);
    }

    /// The disk finishes everything it was given.
    fn sync(&mut self, id: u64) {
        while let Some(token) = self.disks.get_mut(&id).unwrap().pop() {
            self.disks.get_mut(&id).unwrap().clear();
            self.say(&format!("{id} synced"));
            self.core(id).handle_persisted(token);
            self.settle(id);
        }
    }

    /// Delivers what is on the wire between `from` and `to`, in order; what it causes stays on the wire.
    fn deliver(&mut self, from: u64, to: u64) {
        let (now, later) = self.wire.drain(..).partition(|(a, b, _)| (*a, *b) == (from, to));
        self.wire = later;
        let now: VecDeque<(u64, u64, Message<Word>)> = now;
        for (from, to, message) in now {
            self.say(&format!("{from} → {to}  {}", show(&message)));
            self.core(to).handle_message(NodeId(from), message).unwrap();
            self.settle(to);
        }
    }

    /// Everything between these nodes until nothing moves, disks included.
    fn play(&mut self, nodes: &[u64]) {
        for _ in 0..40 {
            for from in nodes {
                self.sync(*from);
                for to in nodes {
                    self.deliver(*from, *to);
                }
            }
        }
    }

    fn lose_everything(&mut self) {
        if !self.wire.is_empty() {
            self.say("everything on the wire is lost");
            self.wire.clear();
        }
    }

    fn check(&self, name: &str) {
        let path = format!("{}/tests/golden/multi/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.trace).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.trace, golden, "the trace of {name} changed; read it, then UPDATE_GOLDEN=1");
    }
}

fn short(ballot: Ballot) -> String {
    format!("({},{})", ballot.round, ballot.node.0)
}

fn words(entry: &Entry<Word>) -> String {
    match entry {
        Entry::Noop => "no-op".to_owned(),
        Entry::Commands(commands) => commands.iter().map(|word| word.0).collect::<Vec<_>>().join("+"),
    }
}

fn show(message: &Message<Word>) -> String {
    match message {
        Message::Prepare { ballot, from } => format!("prepare {} from {from}", short(*ballot)),
        Message::Promise(promise) => {
            let mut text = format!("promise {} chosen through {}", short(promise.ballot), promise.chosen);
            for (slot, report) in &promise.reports {
                match report {
                    Report::Chosen(entry) => write!(text, ", {slot} chosen {}", words(entry)),
                    Report::Vote(vote) => {
                        write!(text, ", {slot} voted {} {}", short(vote.ballot), words(&vote.value))
                    }
                }
                .unwrap();
            }
            text
        }
        Message::Nack { ballot, promised } => {
            format!("nack {}: promised {}", short(*ballot), short(*promised))
        }
        Message::Accept { ballot, slot, entry, commit } => {
            format!("accept {} {slot} {}, chosen through {commit}", short(*ballot), words(entry))
        }
        Message::Accepted { ballot, slots } => {
            let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
            format!("accepted {} {}", short(*ballot), slots.join(" "))
        }
        Message::Commit { ballot, through } => format!("commit {} through {through}", short(*ballot)),
        Message::Fetch { from } => format!("fetch from {from}"),
        Message::Fetched { from, entries, chosen, .. } => {
            let entries: Vec<String> = entries.iter().map(words).collect();
            format!("fetched from {from}: {}; chosen through {chosen}", entries.join(", "))
        }
        Message::Heartbeat { commit: Some((ballot, through)), .. } => {
            format!("heartbeat: {} leads, chosen through {through}", short(*ballot))
        }
        Message::Heartbeat { commit: None, .. } => "heartbeat".to_owned(),
        Message::HeartbeatReply { health, .. } => {
            let promised = health.promised.map_or("pending".to_owned(), short);
            let (holds, knows) = (health.holds, health.knows);
            format!("heartbeat reply: promised {promised}, holds through {holds}, knows through {knows}")
        }
        Message::Confirm { ballot, round } => format!("confirm {} round {round}", short(*ballot)),
        Message::Confirmed { ballot, round } => format!("confirmed {} round {round}", short(*ballot)),
        Message::ReadIndex { .. } => "read index?".to_owned(),
        Message::ReadIndexReply { slot, .. } => match slot {
            Some(slot) => format!("read index {slot}"),
            None => "read index: I do not lead".to_owned(),
        },
        other => other.name().to_owned(),
    }
}

/// Slots 1 to 10, 13 and 15 chosen and known; besides, what `more` adds.
fn lambda(more: &[Record<Word>]) -> Vec<Record<Word>> {
    let mut records: Vec<_> = (1..=10).map(|slot| chosen(slot, "old")).collect();
    records.push(Record::Commit { through: Slot(10) });
    records.extend([chosen(13, "thirteen"), chosen(15, "fifteen")]);
    records.extend_from_slice(more);
    records
}

fn new_leader(gaps: GapFill) -> Stage {
    let known: Vec<_> = (1..=10).map(|slot| chosen(slot, "old")).collect();
    let commit = Record::Commit { through: Slot(10) };
    let second = [
        known.clone(),
        vec![
            commit.clone(),
            vote(13, 1, 3, "thirteen"),
            vote(14, 1, 3, "fourteen"),
            vote(16, 1, 3, "sixteen"),
        ],
    ]
    .concat();
    let third = [known, vec![commit]].concat();
    let mut stage = Stage::new(&[lambda(&[]), second, third], gaps);
    stage.trace.clear();
    stage
}

#[test]
fn the_new_leader_that_knows_1_to_10_13_and_15_finds_14_and_16_constrained_and_fills_11_and_12() {
    let mut stage = new_leader(GapFill::Noops);
    stage.campaign(1);
    stage.propose(1, "next");
    stage.play(&[1, 2]);
    let last: Vec<_> = stage.trace.lines().filter(|line| line.starts_with("   1 applies s1")).collect();
    assert_eq!(
        last,
        [
            "   1 applies s11 no-op",
            "   1 applies s12 no-op",
            "   1 applies s13 thirteen",
            "   1 applies s14 fourteen",
            "   1 applies s15 fifteen",
            "   1 applies s16 sixteen",
            "   1 applies s17 next",
        ]
    );
    stage.check("new_leader_with_gaps");
}

#[test]
fn gaps_may_be_given_to_the_next_commands_of_clients() {
    let mut stage = new_leader(GapFill::Commands);
    stage.campaign(1);
    stage.propose(1, "first");
    stage.play(&[1, 2]);
    assert!(stage.trace.contains("1 applies s11 first") && stage.trace.contains("1 applies s12 no-op"));
    stage.check("gaps_filled_with_commands");
}

#[test]
fn an_old_slow_leader_beside_a_new_one_chooses_nothing_more() {
    let mut stage = Stage::new(&[vec![], vec![], vec![]], GapFill::Noops);
    stage.campaign(1);
    stage.play(&[1, 2, 3]);
    stage.say("1 is slow from here on: what it says arrives late");
    stage.propose(1, "old");
    let late: VecDeque<_> = stage.wire.drain(..).collect();
    stage.campaign(2);
    stage.propose(2, "new");
    stage.play(&[2, 3]);
    stage.say("now 1's messages arrive");
    stage.wire.retain(|(_, to, _)| *to != 1);
    stage.wire.extend(late);
    stage.play(&[1, 2, 3]);
    assert!(stage.trace.contains("3 applies s1 new") && !stage.trace.contains("applies s1 old"));
    stage.check("old_slow_leader");
}

#[test]
fn a_stale_vote_that_meets_a_commit_notice_is_not_taken_for_the_chosen_value() {
    // 5 voted for the value of a leader that nobody else heard of; another one chose without 5.
    let winner = || vec![vote(1, 2, 2, "right")];
    let memories = [vec![vote(1, 1, 1, "stale")], winner(), winner(), winner(), vec![vote(1, 1, 1, "stale")]];
    let mut stage = Stage::new(&memories, GapFill::Noops);
    stage.campaign(2);
    stage.play(&[2, 3, 4]);
    stage.lose_everything();
    stage.say("5 hears of it only now, by the notice of the next leader's heartbeat");
    stage.core(2).end_round(true);
    stage.settle(2);
    stage.wire.retain(|(from, to, _)| (*from, *to) == (2, 5));
    stage.play(&[2, 5]);
    assert!(stage.trace.contains("5 → 2  fetch from s1"), "{}", stage.trace);
    assert!(stage.trace.contains("5 applies s1 right") && !stage.trace.contains("applies s1 stale"));
    stage.check("stale_vote_and_commit_notice");
}

#[test]
fn no_vote_is_told_of_before_it_is_synced_and_the_followers_can_choose_without_the_leaders_disk() {
    let mut stage = Stage::new(&[vec![], vec![], vec![]], GapFill::Noops);
    stage.campaign(1);
    stage.play(&[1, 2, 3]);
    stage.trace.clear();
    stage.propose(1, "A");
    stage.deliver(1, 2);
    stage.deliver(2, 1);
    assert!(!stage.trace.contains("accepted"), "nothing leaves before the sync:\n{}", stage.trace);
    stage.sync(2);
    stage.deliver(2, 1);
    assert!(!stage.trace.contains("applies"), "the leader's own vote is not durable:\n{}", stage.trace);
    stage.deliver(1, 3);
    stage.sync(3);
    stage.deliver(3, 1);
    assert!(stage.trace.contains("1 applies s1 A"), "{}", stage.trace);
    stage.check("leaders_disk_last");
}

#[test]
fn an_old_leader_cannot_confirm_a_read_once_another_was_promised() {
    let mut stage = Stage::new(&[vec![], vec![], vec![]], GapFill::Noops);
    stage.campaign(1);
    stage.play(&[1, 2, 3]);
    stage.trace.clear();
    stage.campaign(2);
    stage.play(&[2, 3]);
    stage.wire.clear();
    stage.read(1);
    stage.play(&[1, 2, 3]);
    assert!(!stage.trace.contains("1 may read"), "{}", stage.trace);
    stage.check("old_leader_cannot_read");
}

#[test]
fn a_leader_that_dies_after_choosing_leaves_the_value_to_its_successor() {
    let mut stage = Stage::new(&[vec![], vec![], vec![]], GapFill::Noops);
    stage.campaign(1);
    stage.play(&[1, 2, 3]);
    stage.trace.clear();
    stage.propose(1, "A");
    stage.deliver(1, 2);
    stage.sync(2);
    stage.sync(1);
    stage.deliver(2, 1);
    assert!(stage.trace.contains("1 applies s1 A"), "chosen, and only 1 knows:\n{}", stage.trace);
    stage.lose_everything();
    stage.say("1 dies");
    stage.campaign(3);
    stage.propose(3, "B");
    stage.play(&[2, 3]);
    assert!(stage.trace.contains("3 applies s1 A") && stage.trace.contains("3 applies s2 B"));
    stage.check("leader_dies_after_choosing");
}
