//! The steps of a group of replicas.

use std::collections::BTreeSet;
use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::fast::log::core::{Core, Output};
use synod_paxos::fast::log::message::Message;
use synod_paxos::fast::log::record::{Record, Recovered};
use synod_paxos::fast::round::Round;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;
use synod_paxos::slot::Slot;

use crate::check::fast_log::cluster::{Command, Member, Packet, Setting, State, entry_words};
use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::name;
use crate::check::{Model, Violation};

/// Replicas that agree on a log.
#[derive(Clone, Debug)]
pub struct FastLog {
    setting: Setting,
    quorums: Arc<FastQuorumSystem>,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The next command is given to its writer.
    Propose,
    /// A replica runs phase 1 with a ballot above all that it knows.
    Campaign {
        /// Which replica.
        member: usize,
    },
    /// The leader sees to the first open slot.
    Settle {
        /// Which replica.
        member: usize,
    },
    /// A message arrives.
    Deliver {
        /// Its place among those sent.
        packet: usize,
    },
    /// The oldest write of a replica becomes durable, and the replica hears of it.
    Persist {
        /// Which replica.
        member: usize,
    },
    /// A replica crashes, and starts again with what was durable.
    Crash {
        /// Which replica.
        member: usize,
    },
}

impl FastLog {
    /// The model of this setting.
    pub fn new(setting: Setting) -> FastLog {
        let quorums = FastQuorumSystem::majority((1..=setting.replicas as u64).map(NodeId))
            .expect("the replicas of the spaces are different ones");
        FastLog { setting, quorums: Arc::new(quorums) }
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.setting
    }

    pub(super) fn place(&self, node: NodeId) -> usize {
        node.0 as usize - 1
    }

    /// How many votes of a round choose.
    pub(super) fn needed(&self, round: Round) -> usize {
        if round.is_fast() { self.quorums.fast_size() } else { self.quorums.classic_size() }
    }

    fn start(&self, at: usize, disk: &[Record<Command>]) -> Core<Command> {
        Core::new(NodeId(at as u64 + 1), self.quorums.clone(), Slot::ZERO, disk)
    }

    /// Takes what a replica wants done. A write of which nobody has seen anything is durable at once.
    fn collect(&self, state: &mut State, at: usize) -> Result<(), Violation> {
        loop {
            let seen = self.drain(state, at)?;
            if state.members[at].writes.is_empty() || (seen && self.setting.crashes > 0) {
                return Ok(());
            }
            self.persist(state, at);
        }
    }

    /// Returns whether something new was sent beside a write.
    fn drain(&self, state: &mut State, at: usize) -> Result<bool, Violation> {
        let mut seen = false;
        while let Some(output) = state.member(at).core.poll_output() {
            match output {
                Output::Persist { token, records } => state.member(at).writes.push((token, records)),
                Output::Send { to, message } => {
                    self.check_durable(&state.members[at], &message)?;
                    let id = NodeId(at as u64 + 1);
                    if let Some(message) = self.looked_at(message) {
                        for to in to {
                            seen |= state.send(id, to, message.clone());
                        }
                    }
                }
                Output::Chosen { .. } | Output::StateNeeded { .. } => {}
            }
        }
        Ok(seen)
    }

    /// A message without what it says of slots that are not looked at, if anything is left that matters.
    fn looked_at(&self, mut message: Message<Command>) -> Option<Message<Command>> {
        let last = Slot(self.setting.slots);
        match &mut message {
            Message::Propose { entries, .. } | Message::Accept { entries, .. } => {
                entries.retain(|(slot, _)| *slot <= last);
                (!entries.is_empty()).then_some(message)
            }
            Message::Prepare { .. }
            | Message::Promise(_)
            | Message::Any(_)
            | Message::Accepted { .. }
            | Message::Fetch { .. }
            | Message::Fetched { .. } => Some(message),
            Message::Nack { .. }
            | Message::Forward(_)
            | Message::Relay(_)
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. }
            | Message::PreCheck { .. }
            | Message::PreCheckReply { .. } => None,
        }
    }

    fn persist(&self, state: &mut State, at: usize) {
        let member = state.member(at);
        let (token, records) = member.writes.remove(0);
        for record in &records {
            if let Record::Voted { slot, vote } = record {
                member.votes.insert((*slot, vote.round, vote.value.clone()));
            }
        }
        member.disk.extend(records);
        member.core.handle_persisted(token);
    }

    fn crash(&self, state: &mut State, at: usize) {
        state.crashes += 1;
        let core = self.start(at, &state.members[at].disk);
        let member = state.member(at);
        member.writes.clear();
        member.core = core;
    }

    /// Returns who received the packet, or `None` if that changed nothing.
    fn deliver(&self, state: &mut State, packet: usize) -> Result<Option<usize>, Violation> {
        let Packet { from, to, message } = state.sent[packet].clone();
        let at = self.place(to);
        let mut core = state.members[at].core.clone();
        if let Err(rejection) = core.handle_message(from, message) {
            return Err(Violation { invariant: "nobody sends nonsense", what: rejection.to_string() });
        }
        if core == state.members[at].core {
            return Ok(None);
        }
        state.member(at).core = core;
        Ok(Some(at))
    }

    fn campaign(&self, state: &mut State, at: usize) {
        let core = &mut state.member(at).core;
        let above = core.acceptor().promised().max(core.used());
        let ballot: Ballot = core.election().next_ballot().max(above.successor(core.id()));
        core.campaign(ballot);
    }

    /// Replica 1 leads, and everybody has heard of its window.
    fn opened(&self, mut state: State) -> Result<State, Violation> {
        self.campaign(&mut state, 0);
        self.collect(&mut state, 0)?;
        for step in 0..2 {
            while !state.sent.is_empty() {
                let arrived = self.deliver(&mut state, 0)?;
                Arc::make_mut(&mut state.sent).remove(0);
                if let Some(at) = arrived {
                    self.collect(&mut state, at)?;
                }
            }
            if step == 0 {
                state.member(0).core.open_window();
                self.collect(&mut state, 0)?;
            }
        }
        Ok(state)
    }

    /// A replica without what only counts, and without the order in which its disk was written.
    fn print(&self, member: &Member) -> Fingerprint {
        let Member { core, disk, writes, votes } = member;
        let kept = (self.setting.crashes > 0).then(|| Recovered::new(Slot::ZERO, disk));
        let writes: Vec<_> = writes.iter().map(|(_, records)| records).collect();
        let roles = (core.acceptor(), core.learner(), core.tallies(), core.writer(), core.leadership());
        Fingerprint::of(&(roles, core.used(), core.election().leader(), kept, writes, votes))
    }
}

impl Model for FastLog {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        let members = (0..self.setting.replicas).map(|at| {
            let core = self.start(at, &[]);
            Arc::new(Member { core, disk: Vec::new(), writes: Vec::new(), votes: BTreeSet::new() })
        });
        let members = members.collect();
        let state = State { members, sent: Arc::default(), given: 0, campaigned: 0, crashes: 0 };
        vec![self.opened(state).expect("nothing breaks so early")]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.given < self.setting.writers.len() {
            actions.push(Action::Propose);
        }
        for candidate in self.setting.candidates {
            let member = *candidate as usize - 1;
            if state.campaigned >> member & 1 == 0 {
                actions.push(Action::Campaign { member });
            }
        }
        for (at, member) in state.members.iter().enumerate() {
            if self.setting.settles && member.core.leadership().is_some() {
                actions.push(Action::Settle { member: at });
            }
            if !member.writes.is_empty() {
                actions.push(Action::Persist { member: at });
            }
            if state.crashes < self.setting.crashes {
                actions.push(Action::Crash { member: at });
            }
        }
        actions.extend((0..state.sent.len()).map(|packet| Action::Deliver { packet }));
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let at = match *action {
            Action::Propose => {
                let at = self.setting.writers[next.given] as usize - 1;
                let command = Command(next.given as u8);
                next.given += 1;
                next.member(at).core.propose(command);
                at
            }
            Action::Campaign { member } => {
                next.campaigned |= 1 << member;
                self.campaign(&mut next, member);
                member
            }
            Action::Settle { member } => {
                next.member(member).core.settle_open(Slot(1));
                member
            }
            Action::Deliver { packet } => match self.deliver(&mut next, packet)? {
                Some(at) => at,
                None => return Ok(None),
            },
            Action::Persist { member } => {
                self.persist(&mut next, member);
                member
            }
            Action::Crash { member } => {
                self.crash(&mut next, member);
                member
            }
        };
        self.collect(&mut next, at)?;
        self.check(&next)?;
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let members: Vec<Fingerprint> = state.members.iter().map(|member| self.print(member)).collect();
        Fingerprint::of(&(members, &state.sent, state.given, state.campaigned, state.crashes))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        let id = |member: usize| member + 1;
        match *action {
            Action::Propose => {
                let writer = self.setting.writers[state.given];
                format!("a client gives replica {writer} the command {}", name(state.given))
            }
            Action::Campaign { member } => format!("replica {} campaigns", id(member)),
            Action::Settle { member } => format!("replica {} sees to the first open slot", id(member)),
            Action::Deliver { packet } => {
                let Packet { from, to, message } = &state.sent[packet];
                format!("{} -> {}: {}", from.0, to.0, words(message))
            }
            Action::Persist { member } => {
                let records = state.members[member].writes.first().map(|(_, records)| records);
                format!("the disk of replica {} has {:?}", id(member), records.unwrap_or(&Vec::new()))
            }
            Action::Crash { member } => {
                format!("replica {} crashes and starts again with its disk", id(member))
            }
        }
    }
}

fn words(message: &Message<Command>) -> String {
    let entries = match message {
        Message::Propose { entries, .. } | Message::Accept { entries, .. } => {
            entries.iter().map(|(slot, entry)| format!(" {slot} {}", entry_words(entry))).collect()
        }
        Message::Accepted { votes } => {
            let votes = votes.iter();
            votes.map(|(slot, vote)| format!(" {} {slot} {}", vote.round, entry_words(&vote.value))).collect()
        }
        Message::Promise(promise) => format!(" {:?}", promise.reports),
        _ => String::new(),
    };
    format!("{message}{entries}")
}
