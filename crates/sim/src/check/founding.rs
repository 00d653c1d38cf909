//! Founding: the shipped [`Introductions`] of every founder's process.
//!
//! A question is answered and the answer heard at once, or neither: it may be asked at any time. Some answers come late
//! instead, at any time or never, also after their sender has died. What a process asks by itself when it holds the roster
//! is left out: it may ask at any time anyway. A crashed founder starts again at once, with what was durable; a founder
//! whose disk is lost starts again on an empty one. After every step that decides something it is tried whether founding
//! completes if nothing breaks from then on.
//!
//! Two things keep the space small. Questions may be asked without end, and their numbers grow: only the order of the
//! numbers counts, so they are given anew by their order after every step. Of two founders of which neither is the decider
//! nor holds a roster, none asks the other: what they would learn decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use synod_member::identity::roster::Roster;
use synod_member::introduction::hello::{Beginning, Hello, Speaker};
use synod_member::introduction::{Action as Wanted, Introductions, Me};
use synod_paxos::config::ClusterId;
use synod_paxos::node::{Incarnation, NodeId};

use crate::check::fingerprint::Fingerprint;
use crate::check::{Model, Violation};

const CLUSTER: ClusterId = ClusterId(7);

/// What may break.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How many founders there are.
    pub founders: usize,
    /// Answers that come late, all together.
    pub late: u8,
    /// Crashes, all together.
    pub crashes: u8,
    /// Disks that are replaced by empty ones, all together.
    pub lost_disks: u8,
}

/// Founders that introduce themselves to each other.
#[derive(Clone, Copy, Debug)]
pub struct Founding(pub Setting);

/// One founder: its disk and its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Founder {
    node: NodeId,
    starts: u64,
    held: Option<Roster>,
    process: Introductions,
    /// On its way to the disk.
    writing: Option<Roster>,
    /// It was told to stop.
    over: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Packet {
    from: usize,
    to: usize,
    /// Which of all hellos ever said: they have no order of their own.
    hello: Fingerprint,
}

impl Packet {
    fn new(from: usize, to: usize, said: &(Speaker, Hello)) -> Packet {
        Packet { from, to, hello: Fingerprint::of(said) }
    }
}

/// Everything that the future depends on.
#[derive(Clone, Debug)]
pub struct State {
    founders: Vec<Arc<Founder>>,
    /// Answers on their way.
    sent: BTreeMap<Packet, Arc<(Speaker, Hello)>>,
    late: u8,
    crashes: u8,
    lost_disks: u8,
    /// Every disk that ever held a roster, with that roster.
    ever: Vec<(NodeId, Roster)>,
}

/// What may happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A founder asks another, and hears the answer.
    Ask(usize, usize),
    /// A founder asks another, and the answer is on its way.
    AskLate(usize, usize),
    /// A late answer arrives.
    Deliver(usize),
    /// A founder's roster becomes durable, and its process hears of it.
    Persist(usize),
    /// A founder's process dies, and starts again.
    Crash(usize),
    /// A founder's disk is lost, and its process starts again on an empty one.
    LoseDisk(usize),
}

/// The founder first by name.
const DECIDER: usize = 0;

fn name(at: usize) -> String {
    ["a", "b", "c", "d", "e"][at].to_owned()
}

impl Founder {
    fn new(setting: &Setting, at: usize, node: NodeId, starts: u64, held: Option<Roster>) -> Founder {
        let me = Me {
            cluster: CLUSTER,
            name: name(at),
            node,
            starts: vec![Incarnation { start: starts, nonce: starts }],
            recovered: 0,
            beginning: Beginning::default(),
            founds: true,
            client_urls: Vec::new(),
        };
        let process = Introductions::new(me, (0..setting.founders).map(name), held.clone());
        Founder { node, starts, held, process, writing: None, over: false }
    }
}

impl State {
    fn founder(&mut self, at: usize) -> &mut Founder {
        Arc::make_mut(&mut self.founders[at])
    }

    /// Carries out what a founder's process wants. Returns its questions that answer nothing.
    fn settle(&mut self, at: usize) -> Vec<(usize, Speaker, Hello)> {
        let mut questions = Vec::new();
        while let Some(wanted) = self.founder(at).process.poll_action() {
            match wanted {
                Wanted::Send { to, hello } => {
                    let to = (0..self.founders.len()).find(|at| name(*at) == to).expect("a founder");
                    let speaker = self.founders[at].process.speaker();
                    if hello.answer.is_none() {
                        questions.push((to, speaker, *hello));
                        continue;
                    }
                    let said = (speaker, *hello);
                    self.sent.insert(Packet::new(at, to, &said), Arc::new(said));
                }
                Wanted::Hold(roster) => self.founder(at).writing = Some(roster),
                Wanted::Met { .. } => {}
                Wanted::Refused(_) | Wanted::End(_) => {
                    let founder = self.founder(at);
                    (founder.over, founder.writing) = (true, None);
                }
            }
        }
        questions
    }

    fn hear(&mut self, from: usize, to: usize, speaker: Speaker, hello: Hello) {
        if !self.founders[to].over {
            let handled = self.founder(to).process.handle_hello(&name(from), speaker, hello);
            handled.expect("the sender is a founder");
            self.settle(to);
        }
    }

    fn ask(&mut self, at: usize, to: usize) {
        self.founder(at).process.ask_one(&name(to));
        for (to, speaker, hello) in self.settle(at) {
            self.hear(at, to, speaker, hello);
        }
    }

    /// Everything is heard that was said since only `old` was on its way.
    fn hear_all_but(&mut self, old: &BTreeSet<Packet>) {
        while let Some(packet) = self.sent.keys().find(|packet| !old.contains(*packet)).cloned() {
            self.deliver(&packet);
        }
    }

    fn deliver(&mut self, packet: &Packet) {
        let sent = self.sent.remove(packet).expect("it was sent");
        let (speaker, hello) = (*sent).clone();
        self.hear(packet.from, packet.to, speaker, hello);
    }

    /// Gives all questions numbers anew, by their order, so that they do not grow.
    fn recount(&mut self, before: &State) {
        let same_sent = self.sent.keys().eq(before.sent.keys());
        let mut sent: Vec<(Packet, (Speaker, Hello))> =
            self.sent.iter().map(|(packet, said)| (packet.clone(), (**said).clone())).collect();
        for asker in 0..self.founders.len() {
            if same_sent && Arc::ptr_eq(&self.founders[asker], &before.founders[asker]) {
                continue;
            }
            let speaker = self.founders[asker].process.speaker();
            for asked in (0..self.founders.len()).filter(|asked| *asked != asker) {
                let mut on_their_way = Vec::new();
                for (packet, (sender, hello)) in &mut sent {
                    let asks = packet.from == asker && packet.to == asked && *sender == speaker;
                    on_their_way.extend((asks && hello.question > 0).then_some(&mut hello.question));
                    if let Some(answer) = &mut hello.answer {
                        let answers = packet.from == asked && packet.to == asker && answer.speaker == speaker;
                        on_their_way.extend(answers.then_some(&mut answer.question));
                    }
                }
                renumber(self.founder(asker).process.questions_mut(&name(asked)), on_their_way);
            }
        }
        let packet =
            |(packet, said): (Packet, _)| (Packet::new(packet.from, packet.to, &said), Arc::new(said));
        self.sent = sent.into_iter().map(packet).collect();
    }

    fn persist(&mut self, at: usize) {
        let founder = self.founder(at);
        let Some(roster) = founder.writing.take() else { return };
        founder.held = Some(roster.clone());
        let entry = (founder.node, roster.clone());
        founder.process.handle_held(roster);
        if !self.ever.contains(&entry) {
            self.ever.push(entry);
            self.ever.sort_by_key(|(node, roster)| (*node, roster.nodes()));
        }
        self.settle(at);
    }

    fn restart(&mut self, setting: &Setting, at: usize) {
        let Founder { node, starts, held, .. } = self.founder(at).clone();
        self.founders[at] = Arc::new(Founder::new(setting, at, node, starts + 1, held));
        self.settle(at);
    }

    /// The rosters that are held by a majority of their disks, as `holds` says.
    fn with_quorum(&self, holds: impl Fn(NodeId, &Roster) -> bool) -> BTreeSet<Vec<NodeId>> {
        let rosters = self.ever.iter().map(|(_, roster)| roster);
        let quorate = rosters.filter(|roster| {
            let nodes = roster.nodes();
            2 * nodes.iter().filter(|node| holds(**node, roster)).count() > nodes.len()
        });
        quorate.map(Roster::nodes).collect()
    }

    fn check(&self) -> Result<(), Violation> {
        let broken = |invariant, what| Err(Violation { invariant, what });
        if let Some((node, roster)) = self.ever.iter().find(|(node, roster)| roster.name(*node).is_none()) {
            return broken("Roster", format!("disk {node} holds a roster that does not name it: {roster:?}"));
        }
        let ever = self.with_quorum(|node, roster| self.ever.contains(&(node, roster.clone())));
        if ever.len() > 1 {
            return broken("One founding", format!("two rosters had a quorum each: {ever:?}"));
        }
        Ok(())
    }

    /// Whether founding completes if nothing breaks from now on: every process asks, and everything arrives in time.
    fn completes(&self) -> bool {
        let mut state = self.clone();
        for _ in 0..ROUNDS {
            let held = |node: NodeId, roster: &Roster| {
                state
                    .founders
                    .iter()
                    .any(|founder| founder.node == node && founder.held.as_ref() == Some(roster))
            };
            if !state.with_quorum(held).is_empty() {
                return true;
            }
            let old: BTreeSet<Packet> = state.sent.keys().cloned().collect();
            for at in 0..state.founders.len() {
                state.persist(at);
                for to in 0..state.founders.len() {
                    if to != at && !state.founders[at].over {
                        state.ask(at, to);
                    }
                }
            }
            state.hear_all_but(&old);
        }
        false
    }
}

/// Replaces the numbers of questions by their ranks; 0 stays 0. The third that a process remembers is the last question that
/// another process may no longer answer: only its place among those on their way counts.
fn renumber<'a>(mut remembered: Vec<&'a mut u64>, mut on_their_way: Vec<&'a mut u64>) {
    if let Some(told) = remembered.get_mut(2) {
        let void = on_their_way.iter().map(|question| **question).filter(|question| question <= *told);
        **told = void.max().unwrap_or(0);
    }
    let numbers = remembered.iter().chain(&on_their_way).map(|number| **number);
    let order: BTreeSet<u64> = numbers.chain([0]).collect();
    for number in remembered.iter_mut().chain(&mut on_their_way) {
        **number = order.range(..**number).count() as u64;
    }
}

/// Rounds of questions after which everything is settled, with room to spare.
const ROUNDS: usize = 8;

impl Model for Founding {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        let founder = |at| Arc::new(Founder::new(&self.0, at, NodeId(at as u64 + 1), 1, None));
        vec![State {
            founders: (0..self.0.founders).map(founder).collect(),
            sent: BTreeMap::new(),
            late: 0,
            crashes: 0,
            lost_disks: 0,
            ever: Vec::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, founder) in state.founders.iter().enumerate() {
            let matters = |to: &usize| {
                *to != at
                    && (at.min(*to) == DECIDER
                        || founder.held.is_some()
                        || state.founders[*to].held.is_some())
            };
            let asks = !founder.over && !founder.process.is_complete();
            let open: Vec<usize> = (0..self.0.founders).filter(|to| asks && matters(to)).collect();
            actions.extend(open.iter().map(|to| Action::Ask(at, *to)));
            if state.late < self.0.late {
                actions.extend(open.iter().map(|to| Action::AskLate(at, *to)));
            }
            actions.extend(founder.writing.is_some().then_some(Action::Persist(at)));
            if state.crashes < self.0.crashes {
                actions.push(Action::Crash(at));
            }
            if state.lost_disks < self.0.lost_disks {
                actions.push(Action::LoseDisk(at));
            }
        }
        actions.extend((0..state.sent.len()).map(Action::Deliver));
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        match *action {
            Action::Ask(at, to) => {
                next.ask(at, to);
                next.hear_all_but(&state.sent.keys().cloned().collect());
            }
            Action::AskLate(at, to) => {
                next.late += 1;
                next.ask(at, to);
            }
            Action::Deliver(packet) => {
                let packet = state.sent.keys().nth(packet).expect("one of those sent").clone();
                next.deliver(&packet);
                let late = state.sent.keys().filter(|sent| **sent != packet).cloned().collect();
                next.hear_all_but(&late);
            }
            Action::Persist(at) => next.persist(at),
            Action::Crash(at) => {
                next.crashes += 1;
                next.restart(&self.0, at);
            }
            Action::LoseDisk(at) => {
                next.lost_disks += 1;
                let founder = next.founder(at);
                (founder.node, founder.starts, founder.held) = (NodeId(founder.node.0 + 10), 0, None);
                next.restart(&self.0, at);
            }
        }
        next.recount(state);
        next.check()?;
        if self.fingerprint(&next) == self.fingerprint(state) {
            return Ok(None);
        }
        // What only asks or answers gets no process nearer to a dead end.
        let decisive = next.founders.iter().zip(&state.founders).any(|(next, before)| {
            (next.node, next.starts, next.over, &next.held, &next.writing)
                != (before.node, before.starts, before.over, &before.held, &before.writing)
        });
        if decisive && !next.completes() {
            let what = "nothing breaks from now on, and no roster is held by a quorum".to_owned();
            return Err(Violation { invariant: "Founding completes", what });
        }
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let sent: Vec<&Packet> = state.sent.keys().collect();
        Fingerprint::of(&(&state.founders, sent, state.late, state.crashes, state.lost_disks, &state.ever))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        match *action {
            Action::Ask(at, to) => format!("{} asks {}, and hears the answer", name(at), name(to)),
            Action::AskLate(at, to) => format!("{} asks {}, whose answer comes late", name(at), name(to)),
            Action::Deliver(packet) => {
                let (packet, sent) = state.sent.iter().nth(packet).expect("one of those sent");
                let (from, to, speaker) = (name(packet.from), name(packet.to), &sent.0);
                format!(
                    "{to} hears the answer of {from}, disk {} start {}",
                    speaker.node, speaker.incarnation
                )
            }
            Action::Persist(at) => format!("the roster is durable at {}", name(at)),
            Action::Crash(at) => format!("{} crashes and starts again", name(at)),
            Action::LoseDisk(at) => format!("{} starts again on an empty disk", name(at)),
        }
    }
}
