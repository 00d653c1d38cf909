//! The steps of a group of replicas.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::egalitarian::core::{Core, Output};
use synod_paxos::egalitarian::id::{CommandId, IdSet};
use synod_paxos::egalitarian::instance::Phase;
use synod_paxos::egalitarian::lead::Stage;
use synod_paxos::egalitarian::message::Message;
use synod_paxos::egalitarian::record::Recovered;
use synod_paxos::egalitarian::table::Table;
use synod_paxos::egalitarian::words;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::ReplicaQuorums;

use crate::check::egalitarian::cluster::{Command, Member, Opening, Packet, Setting, State};
use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::name;
use crate::check::{Model, Violation};

/// Replicas that agree on commands and what they depend on.
#[derive(Clone, Debug)]
pub struct Replicas {
    setting: Setting,
    quorums: ReplicaQuorums,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The next command is proposed.
    Propose,
    /// A replica recovers a command with its next ballot.
    Recover {
        /// Which replica.
        member: usize,
        /// Which command.
        command: usize,
    },
    /// An owner waits no longer for a fast quorum.
    Settle {
        /// Which command.
        command: usize,
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
    /// A replica's state becomes durable, and it tells all others how it stands.
    Status {
        /// Which replica.
        member: usize,
    },
    /// A replica is given the state of another.
    Install {
        /// Which replica.
        member: usize,
        /// Whose state.
        from: usize,
    },
}

impl Replicas {
    /// The model of this setting.
    pub fn new(setting: Setting) -> Replicas {
        let replicas = (1..=setting.replicas as u64).map(NodeId);
        let quorums =
            ReplicaQuorums::optimised(replicas).expect("the replicas of the spaces are different ones");
        Replicas { setting, quorums }
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.setting
    }

    fn start(&self, at: usize, recovered: Recovered<Command>) -> Core<Command> {
        Core::new(NodeId(at as u64 + 1), self.quorums.clone(), recovered)
    }

    /// Takes what a replica wants done. A write of which nobody has seen anything is durable at once.
    fn collect(&self, state: &mut State, at: usize) {
        loop {
            let seen = self.drain(state, at);
            if state.members[at].writes.is_empty() || (seen && self.setting.crashes > 0) {
                return;
            }
            self.persist(state, at);
        }
    }

    /// Returns whether something new was sent, or executed, beside a write.
    fn drain(&self, state: &mut State, at: usize) -> bool {
        let mut seen = false;
        let id = NodeId(at as u64 + 1);
        while let Some(output) = state.member(at).core.poll_output() {
            match output {
                Output::Persist { token, records } => state.member(at).writes.push((token, records)),
                Output::Send { to, message } => {
                    let is_lost = matches!(message, Message::Nack { .. })
                        || message.id().is_some_and(|id| !self.setting.is_first(id));
                    if let Message::PreAccept { command, .. } = message {
                        state.told |= 1 << command.number;
                    }
                    for to in to.into_iter().filter(|_| !is_lost) {
                        seen |= state.send(id, to, message.clone());
                    }
                }
                Output::Execute { commands } => {
                    seen = true;
                    state.member(at).executed.extend(commands.into_iter().map(|(_, command)| command));
                }
                Output::ProposedAgain { .. } | Output::StateNeeded { .. } => {}
            }
        }
        seen
    }

    fn persist(&self, state: &mut State, at: usize) {
        let member = state.member(at);
        let (token, records) = member.writes.remove(0);
        if self.setting.crashes > 0 {
            member.disk.extend(records);
        }
        member.core.handle_persisted(token);
    }

    fn crash(&self, state: &mut State, at: usize) {
        state.crashes += 1;
        let member = state.member(at);
        member.writes.clear();
        let (executed, order) = member.checkpoint.clone();
        member.executed = order;
        let records = member.disk.clone();
        member.core = self.start(at, Recovered { executed, records });
    }

    fn status(&self, state: &mut State, at: usize) {
        state.statuses += 1;
        let is_there = |node: &NodeId| node.0 != at as u64 + 1 && !self.setting.deaf.contains(&node.0);
        let present = self.quorums.replicas().filter(is_there).collect();
        let member = state.member(at);
        member.checkpoint = (member.core.executed().clone(), member.executed.clone());
        let executed: IdSet = member.checkpoint.0.clone();
        member.core.truncate(&executed);
        member.core.tell_status(&present);
    }

    fn install(&self, state: &mut State, at: usize, from: usize) -> bool {
        state.installs += 1;
        let source = &state.members[from];
        let (executed, order) = (source.core.executed().clone(), source.executed.clone());
        let member = state.member(at);
        let taken = member.core.install(&executed);
        if taken {
            member.checkpoint = (executed, order.clone());
            member.executed = order;
        }
        taken
    }

    /// Returns who received the packet, or `None` if that changed nothing.
    fn deliver(&self, state: &mut State, packet: usize) -> Result<Option<usize>, Violation> {
        let Packet { from, to, message } = state.sent[packet].clone();
        let at = to.0 as usize - 1;
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

    /// Drops the messages that can do nothing any more, so that states do not differ by them.
    fn forget_spent(&self, state: &mut State) {
        let spent = |packet: &Packet| self.is_spent(state, packet);
        if state.sent.iter().any(spent) {
            let left = state.sent.iter().filter(|packet| !spent(packet)).cloned().collect();
            state.sent = Arc::new(left);
        }
    }

    /// Whether a message changes nothing, now and later. What is known of a command only grows, except by a crash
    /// before it is durable.
    fn is_spent(&self, state: &State, Packet { from, to, message }: &Packet) -> bool {
        let Some(id) = message.id() else { return false };
        let is_deaf = self.setting.deaf.contains(&to.0);
        if is_deaf && !matches!(message, Message::Commit { .. } | Message::PreAcceptOk { .. }) {
            return true;
        }
        let member = &state.members[to.0 as usize - 1];
        if state.crashes < self.setting.crashes && !member.writes.is_empty() {
            return false;
        }
        let core = &member.core;
        if core.has_learned(id) {
            // The sender would be told, unless it knows or somebody else has told it.
            let sender = &state.members[from.0 as usize - 1];
            let knows = sender.core.has_learned(id) && sender.writes.is_empty();
            let tells = |packet: &Packet| packet.to == *from && is_commit_of(&packet.message, id);
            return knows || is_commit_of(message, id) || state.sent.iter().any(tells);
        }
        let instance = core.table().instance(id);
        let promised = instance.map_or(Ballot::ZERO, |instance| instance.promised);
        let phase = instance.map_or(Phase::Initial, |instance| instance.phase);
        let accepted = instance.filter(|_| phase == Phase::Accepted).map(|instance| instance.accepted);
        let lead = core.lead(id);
        let waits = |ballot: Ballot| {
            state.members[from.0 as usize - 1].core.lead(id).is_some_and(|lead| lead.ballot == ballot)
        };
        let stage = |ballot: Ballot| lead.filter(|lead| lead.ballot == ballot).map(|lead| &lead.stage);
        match message {
            // A refusal; it is spent only once nobody waits for the answer, lest a wrong rule be hidden.
            Message::PreAccept { .. } => {
                phase != Phase::Initial || (!promised.is_zero() && !waits(Ballot::ZERO))
            }
            Message::PreAcceptOk { .. } => !matches!(stage(Ballot::ZERO), Some(Stage::PreAccepting { .. })),
            Message::Accept { ballot, .. } => {
                accepted == Some(*ballot) || (promised > *ballot && !waits(*ballot))
            }
            Message::AcceptOk { ballot, .. } => match stage(*ballot) {
                Some(Stage::Accepting { votes, .. }) => votes.contains(from),
                Some(_) => false,
                None => true,
            },
            Message::Recover { ballot, .. } => promised >= *ballot,
            Message::RecoverOk { ballot, .. } => match stage(*ballot) {
                Some(Stage::Asking { reports }) => reports.contains_key(from),
                Some(Stage::Validating { candidate, .. } | Stage::Waiting { candidate, .. }) => {
                    candidate.quorum.contains(from)
                }
                Some(Stage::PreAccepting { .. } | Stage::Accepting { .. }) | None => true,
            },
            Message::Validate { ballot, .. } => promised > *ballot || accepted == Some(*ballot),
            Message::ValidateOk { ballot, .. } => match stage(*ballot) {
                Some(Stage::Validating { answers, .. }) => answers.contains_key(from),
                _ => true,
            },
            _ => false,
        }
    }

    fn open(&self, mut state: State, opening: Opening) -> State {
        let step = |state: &State, action: Action| {
            let taken = self.step(state, &action).expect("nothing breaks so early");
            taken.unwrap_or_else(|| state.clone())
        };
        match opening {
            Opening::Propose => step(&state, Action::Propose),
            Opening::Recover(node, command) => {
                step(&state, Action::Recover { member: node as usize - 1, command })
            }
            Opening::Status(node) => step(&state, Action::Status { member: node as usize - 1 }),
            Opening::Install(node, from) => {
                step(&state, Action::Install { member: node as usize - 1, from: from as usize - 1 })
            }
            Opening::AllTell => {
                let hears = |node: &u64| !self.setting.deaf.contains(node);
                let nodes: Vec<u64> = (1..=self.setting.replicas as u64).filter(hears).collect();
                for node in &nodes {
                    state = self.open(state, Opening::Status(*node));
                    for other in nodes.iter().filter(|other| *other != node) {
                        state = self.open(state, Opening::Deliver(*node, *other, "status"));
                    }
                    state = self.open(state, Opening::LoseAll);
                }
                state
            }
            Opening::Deliver(from, to, name) => {
                let is_meant =
                    |packet: &Packet| (packet.from.0, packet.to.0, packet.message.name()) == (from, to, name);
                let meant: Vec<Packet> =
                    state.sent.iter().filter(|packet| is_meant(packet)).cloned().collect();
                for packet in meant {
                    let place = state.sent.binary_search(&packet);
                    state = place.map_or(state.clone(), |packet| step(&state, Action::Deliver { packet }));
                }
                state
            }
            Opening::LoseAll => {
                state.sent = Arc::default();
                state
            }
        }
    }

    fn may_recover(&self, state: &State, (node, command, round): (u64, usize, u64)) -> bool {
        let id = self.setting.id(command);
        let core = &state.members[node as usize - 1].core;
        let promised = core.table().instance(id).map_or(0, |instance| instance.promised.round);
        promised + 1 == round && core.table().seen().contains(id) && !core.table().is_decided(id)
    }

    /// A replica without what only counts, and without the order in which its disk was written.
    fn print(&self, member: &Member) -> Fingerprint {
        let Member { core, disk, writes, executed, checkpoint } = member;
        let leads: Vec<_> = (0..self.setting.owners.len()).map(|at| core.lead(self.setting.id(at))).collect();
        let collection = (self.setting.statuses > 0).then(|| core.collection());
        let kept = (self.setting.crashes > 0).then(|| Table::recover(&checkpoint.0, disk));
        let writes: Vec<_> = writes.iter().map(|(_, records)| records).collect();
        let learned: Vec<bool> =
            (0..self.setting.owners.len()).map(|at| core.has_learned(self.setting.id(at))).collect();
        Fingerprint::of(&(core.table(), leads, learned, collection, kept, writes, executed, checkpoint))
    }
}

fn is_commit_of(message: &Message<Command>, about: CommandId) -> bool {
    matches!(message, Message::Commit { id, .. } if *id == about)
}

impl Model for Replicas {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        let members = (0..self.setting.replicas).map(|at| {
            let core = self.start(at, Recovered::default());
            let (disk, writes, executed) = (Vec::new(), Vec::new(), Vec::new());
            Arc::new(Member { core, disk, writes, executed, checkpoint: (IdSet::default(), Vec::new()) })
        });
        let members = members.collect();
        let mut state =
            State { members, sent: Arc::default(), given: 0, told: 0, crashes: 0, statuses: 0, installs: 0 };
        for opening in self.setting.opening {
            state = self.open(state, *opening);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.given < self.setting.owners.len() {
            actions.push(Action::Propose);
        }
        for recovery in self.setting.recoveries.iter().filter(|recovery| self.may_recover(state, **recovery))
        {
            actions.push(Action::Recover { member: recovery.0 as usize - 1, command: recovery.1 });
        }
        if self.quorums.fast_size() > self.quorums.slow_size() {
            actions.extend((0..state.given).map(|command| Action::Settle { command }));
        }
        for (at, member) in state.members.iter().enumerate() {
            if !member.writes.is_empty() {
                actions.push(Action::Persist { member: at });
            }
            if state.crashes < self.setting.crashes {
                actions.push(Action::Crash { member: at });
            }
            if state.statuses < self.setting.statuses {
                actions.push(Action::Status { member: at });
            }
            if state.installs < self.setting.installs {
                let others = (0..state.members.len()).filter(|from| *from != at);
                actions.extend(others.map(|from| Action::Install { member: at, from }));
            }
        }
        let hears = |packet: &usize| !self.setting.deaf.contains(&state.sent[*packet].to.0);
        actions.extend((0..state.sent.len()).filter(hears).map(|packet| Action::Deliver { packet }));
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let at = match *action {
            Action::Propose => {
                let at = self.setting.owners[next.given] as usize - 1;
                let command = self.setting.command(next.given);
                next.given += 1;
                let taken = next.member(at).core.propose(command);
                assert!(taken.is_ok(), "a replica takes a command");
                at
            }
            Action::Recover { member, command } => {
                next.member(member).core.recover(self.setting.id(command));
                member
            }
            Action::Settle { command } => {
                let id = self.setting.id(command);
                let at = id.owner.0 as usize - 1;
                next.member(at).core.ask_again(id);
                at
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
            Action::Status { member } => {
                self.status(&mut next, member);
                member
            }
            Action::Install { member, from } => {
                if !self.install(&mut next, member, from) {
                    return Ok(None);
                }
                member
            }
        };
        self.collect(&mut next, at);
        self.check(&next)?;
        self.forget_spent(&mut next);
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let members: Vec<Fingerprint> = state.members.iter().map(|member| self.print(member)).collect();
        let counts = (state.given, state.told, state.crashes, state.statuses, state.installs);
        Fingerprint::of(&(members, &state.sent, counts))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        let id = |member: usize| member + 1;
        match *action {
            Action::Propose => {
                let owner = self.setting.owners[state.given];
                format!("replica {owner} proposes {} as {}", name(state.given), self.setting.id(state.given))
            }
            Action::Recover { member, command } => {
                format!("replica {} recovers {}", id(member), self.setting.id(command))
            }
            Action::Settle { command } => {
                format!("the owner of {} waits no longer", self.setting.id(command))
            }
            Action::Deliver { packet } => {
                let Packet { from, to, message } = &state.sent[packet];
                format!("{} -> {}: {}", from.0, to.0, words::describe(message))
            }
            Action::Persist { member } => {
                let records = state.members[member].writes.first().map(|(_, records)| records);
                format!("the disk of replica {} has {:?}", id(member), records.unwrap_or(&Vec::new()))
            }
            Action::Crash { member } => {
                format!("replica {} crashes and starts again with its disk", id(member))
            }
            Action::Install { member, from } => {
                format!("replica {} is given the state of {}", id(member), id(from))
            }
            Action::Status { member } => {
                format!("the state of replica {} is durable, and it tells how it stands", id(member))
            }
        }
    }
}
