//! The steps of a cluster.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::{Core, Output};
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::leader::Window;
use synod_paxos::multi::message::Message;
use synod_paxos::multi::reads::Ticket;
use synod_paxos::multi::record::{Record, Recovered};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::{Pairs, Sizes, name};
use crate::check::multi_paxos::cluster::{
    Command, Disk, Member, Opening, Packet, Setting, State, entry_words,
};
use crate::check::{Model, Violation};

/// A cluster that agrees on a log.
#[derive(Clone, Debug)]
pub struct Log {
    setting: Setting,
    sizes: Sizes,
    membership: Membership,
    /// Every ballot that may be used, in order.
    ballots: Vec<Ballot>,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A member runs phase 1 with its next ballot.
    Campaign {
        /// Which member.
        member: usize,
    },
    /// A client gives a leader a command.
    Propose {
        /// Which member.
        member: usize,
        /// The command.
        command: u8,
    },
    /// A client asks a member for a read.
    Read {
        /// Which member.
        member: usize,
    },
    /// A message arrives.
    Deliver {
        /// Its place among those sent.
        packet: usize,
    },
    /// The oldest write of a member becomes durable, and the member hears of it.
    Persist {
        /// Which member.
        member: usize,
    },
    /// A member crashes, and starts again with what was durable.
    Crash {
        /// Which member.
        member: usize,
    },
    /// What a member applied is in a durable checkpoint: it forgets the slots below.
    Checkpoint {
        /// Which member.
        member: usize,
    },
    /// A member that is behind gets another one's checkpoint.
    Install {
        /// Which member.
        member: usize,
        /// Whose checkpoint.
        from: usize,
    },
}

impl Log {
    /// The model of this setting.
    pub fn new(setting: Setting) -> Log {
        let members = (1..=setting.members as u64).map(NodeId);
        let membership = Membership::founding(members).expect("the members of the spaces are different ones");
        let mut ballots = Vec::new();
        for (at, rounds) in setting.rounds.iter().enumerate() {
            ballots.extend((1..=*rounds).map(|round| Ballot::new(round, NodeId(at as u64 + 1))));
        }
        ballots.sort_unstable();
        let sizes = Sizes::majority(setting.members, ballots.len(), setting.commands + 1);
        Log { setting, sizes, membership, ballots }
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Each command is given once, and no-ops fill only gaps below: there are no more slots than commands.
    pub(super) fn slots(&self) -> usize {
        self.setting.commands
    }

    pub(super) fn noop(&self) -> usize {
        self.setting.commands
    }

    pub(super) fn place(&self, node: NodeId) -> usize {
        node.0 as usize - 1
    }

    pub(super) fn slot(&self, slot: Slot) -> usize {
        slot.0 as usize - 1
    }

    pub(super) fn number(&self, ballot: Ballot) -> usize {
        self.ballots
            .binary_search(&ballot)
            .unwrap_or_else(|_| panic!("{ballot} is used, which nobody may use"))
    }

    pub(super) fn value(&self, entry: &Entry<Command>) -> usize {
        match entry.commands() {
            [] => self.noop(),
            [command] => usize::from(command.0),
            more => panic!("one command a slot, not {more:?}"),
        }
    }

    fn start(&self, id: NodeId, disk: &Disk, incarnation: u64) -> Core<Command> {
        let window = Window { batch_commands: 1, gaps: self.setting.gaps, ..Window::default() };
        let Disk { state, checkpoint, records } = disk.clone();
        let recovered = Recovered { state, checkpoint, records };
        Core::new(id, Incarnation::numbered(incarnation), self.membership.clone(), window, recovered)
    }

    /// The next ballot of a member, if it has one left and nothing higher is known to it.
    fn next_ballot(&self, member: &Member) -> Option<Ballot> {
        let id = member.core.id();
        let bound = member.core.hard_state().used.max(member.core.acceptor().promised());
        self.ballots.iter().copied().find(|ballot| ballot.node == id && *ballot > bound)
    }

    /// Takes what a member wants done. A write of which nobody has seen anything is durable at once.
    fn collect(&self, state: &mut State, at: usize) -> Result<(), Violation> {
        loop {
            let seen = self.drain(state, at)?;
            if seen || state.members[at].writes.is_empty() {
                return Ok(());
            }
            self.persist(state, at)?;
        }
    }

    /// Returns whether something new was sent beside a write.
    fn drain(&self, state: &mut State, at: usize) -> Result<bool, Violation> {
        let mut seen = false;
        while let Some(output) = state.member(at).core.poll_output() {
            match output {
                Output::Persist { token, state: hard, records } => {
                    state.member(at).writes.push((token, hard, records));
                }
                Output::Send { to, message } => seen |= self.send(state, at, &to, message)?,
                Output::Chosen { slot, .. } => state.applied = state.applied.max(slot),
                Output::ReadReady { ticket, slot } => self.answer(state, ticket, slot)?,
                Output::CheckpointNeeded { .. } => {}
            }
        }
        Ok(seen)
    }

    fn send(
        &self,
        state: &mut State,
        at: usize,
        to: &[NodeId],
        message: Message<Command>,
    ) -> Result<bool, Violation> {
        self.check_durable(&state.members[at], &message)?;
        if let Message::Accept { ballot, slot, entry, .. } = &message {
            let (ballot, value) = (self.number(*ballot), self.value(entry));
            state.proposals[self.slot(*slot)].insert(&self.sizes, ballot, value);
        }
        let matters = !matches!(
            message,
            Message::Nack { .. }
                | Message::Heartbeat { .. }
                | Message::HeartbeatReply { .. }
                | Message::PreCheck { .. }
                | Message::PreCheckReply { .. }
        );
        let id = state.members[at].core.id();
        let mut new = false;
        for to in to.iter().filter(|_| matters) {
            new |= state.send(id, *to, message.clone());
        }
        Ok(new)
    }

    /// A read must see everything that somebody had applied, and so perhaps acknowledged, when it was asked.
    fn answer(&self, state: &mut State, ticket: Ticket, slot: Slot) -> Result<(), Violation> {
        let read = &mut state.reads[ticket.0 as usize];
        match read.take() {
            Some(floor) if slot < floor => Err(Violation {
                invariant: "linearizable reads",
                what: format!("a read asked after {floor} was applied may be answered at {slot}"),
            }),
            _ => Ok(()),
        }
    }

    fn persist(&self, state: &mut State, at: usize) -> Result<(), Violation> {
        let member = state.member(at);
        let (token, hard, records) = member.writes.remove(0);
        for record in &records {
            if let Record::Vote { slot, ballot, entry } = record {
                let (ballot, value) = (self.number(*ballot), self.value(entry));
                member.votes[self.slot(*slot)].insert(&self.sizes, ballot, value);
            }
        }
        member.disk.state = Some(hard);
        member.disk.records.extend(records);
        member.core.handle_persisted(token);
        Ok(())
    }

    fn crash(&self, state: &mut State, at: usize) {
        state.crashes += 1;
        let incarnation = u64::from(state.crashes);
        let id = state.members[at].core.id();
        let member = state.member(at);
        member.writes.clear();
        member.core = self.start(id, &member.disk, incarnation);
    }

    fn checkpoint(&self, state: &mut State, at: usize, through: Slot) {
        let member = state.member(at);
        member.disk.checkpoint = through;
        member.disk.records.retain(|record| match record {
            Record::Vote { slot, .. } | Record::Chosen { slot, .. } => *slot > through,
            Record::Commit { .. } => true,
        });
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

    /// Two lead: see [`Opening::TwoLead`].
    fn open_with_two(&self, mut state: State) -> State {
        for leader in 0..2 {
            state = self.act(&state, Action::Campaign { member: leader });
            let circle = [NodeId(leader as u64 + 1), NodeId(3), NodeId(4)];
            state = self.exchange(state, |packet| {
                let phase1 = matches!(packet.message, Message::Prepare { .. } | Message::Promise(_));
                phase1 && circle.contains(&packet.from) && circle.contains(&packet.to)
            });
            state = self.act(&state, Action::Propose { member: leader, command: leader as u8 });
        }
        state
    }

    /// The beginning of the log is truncated: see [`Opening::Truncated`].
    fn open_truncated(&self, mut state: State) -> State {
        let among = |packet: &Packet| packet.from.0 <= 2 && packet.to.0 <= 2;
        state = self.act(&state, Action::Campaign { member: 0 });
        state = self.exchange(state, among);
        state = self.act(&state, Action::Propose { member: 0, command: 0 });
        state = self.act(&state, Action::Persist { member: 0 });
        state = self.exchange(state, among);
        for member in 0..2 {
            state = self.act(&state, Action::Checkpoint { member });
            state = self.act(&state, Action::Crash { member });
        }
        state = State { sent: Arc::default(), checkpoints: 0, crashes: 0, ..state };
        state = self.act(&state, Action::Campaign { member: 2 });
        self.exchange(state, |packet| {
            let phase1 = matches!(packet.message, Message::Prepare { .. } | Message::Promise(_));
            phase1 && packet.from.0 >= 2 && packet.to.0 >= 2
        })
    }

    fn act(&self, state: &State, action: Action) -> State {
        let next = self.step(state, &action).expect("nothing breaks so early");
        next.expect("what happens before changes something")
    }

    /// Every message that `gets_through` arrives, and so do two rounds of answers.
    fn exchange(&self, mut state: State, gets_through: impl Fn(&Packet) -> bool) -> State {
        for _ in 0..3 {
            for packet in 0..state.sent.len() {
                if gets_through(&state.sent[packet]) {
                    let next = self.step(&state, &Action::Deliver { packet });
                    state = next.expect("nothing breaks so early").unwrap_or(state);
                }
            }
        }
        state
    }

    /// A member without what only counts: tokens, rounds, and the order of its records. With reads nothing is left
    /// out, for whom they wait is not visible from outside.
    fn print(&self, member: &Member) -> Fingerprint {
        let Member { core, disk, writes, votes } = member;
        let whole = (self.setting.reads > 0).then_some(core);
        let committed = disk.records.iter().filter_map(|record| match record {
            Record::Commit { through } => Some(*through),
            Record::Vote { .. } | Record::Chosen { .. } => None,
        });
        let mut learned: Vec<&Record<Command>> =
            disk.records.iter().filter(|record| matches!(record, Record::Chosen { .. })).collect();
        learned.sort_unstable();
        let on_disk = (disk.state, disk.checkpoint, committed.max(), learned, votes);
        let writes: Vec<_> = writes.iter().map(|(_, state, records)| (state, records)).collect();
        let roles = (core.acceptor(), core.learner(), core.leadership(), core.election().leader());
        Fingerprint::of(&(whole, roles, core.hard_state(), on_disk, writes))
    }

    fn delivered(&self, member: &Member) -> Slot {
        member.core.learner().through()
    }
}

impl Model for Log {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        let members = (1..=self.setting.members as u64).map(|id| {
            let disk = Disk { state: None, checkpoint: Slot::ZERO, records: Vec::new() };
            let core = self.start(NodeId(id), &disk, 0);
            Arc::new(Member { core, disk, writes: Vec::new(), votes: vec![Pairs::default(); self.slots()] })
        });
        let state = State {
            members: members.collect(),
            sent: Arc::default(),
            proposals: vec![Pairs::default(); self.slots()],
            given: 0,
            crashes: 0,
            checkpoints: 0,
            reads: Vec::new(),
            applied: Slot::ZERO,
        };
        vec![match self.setting.opening {
            Opening::Nothing => state,
            Opening::TwoLead => self.open_with_two(state),
            Opening::Truncated => self.open_truncated(state),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, member) in state.members.iter().enumerate() {
            if self.next_ballot(member).is_some() {
                actions.push(Action::Campaign { member: at });
            }
            if member.core.leadership().is_some() {
                let left = (0..self.setting.commands as u8).filter(|command| state.given >> command & 1 == 0);
                // Commands are alike until they are given: the next is the lowest.
                actions.extend(left.take(1).map(|command| Action::Propose { member: at, command }));
            }
            if state.reads.len() < usize::from(self.setting.reads)
                && member.core.election().leader().is_some()
            {
                actions.push(Action::Read { member: at });
            }
            if !member.writes.is_empty() {
                actions.push(Action::Persist { member: at });
            }
            if state.crashes < self.setting.crashes {
                actions.push(Action::Crash { member: at });
            }
            if state.checkpoints < self.setting.checkpoints && self.delivered(member) > member.disk.checkpoint
            {
                actions.push(Action::Checkpoint { member: at });
            }
            let ahead = |from: &usize| state.members[*from].disk.checkpoint > self.delivered(member);
            let sources = (0..state.members.len()).filter(ahead);
            actions.extend(sources.map(|from| Action::Install { member: at, from }));
        }
        actions.extend((0..state.sent.len()).map(|packet| Action::Deliver { packet }));
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let at = match *action {
            Action::Campaign { member } => {
                let ballot = self.next_ballot(&next.members[member]).expect("it has a ballot left");
                next.member(member).core.campaign(ballot);
                member
            }
            Action::Propose { member, command } => {
                let taken = next.member(member).core.propose(Command(command));
                assert!(taken.is_ok(), "a leader takes a command");
                next.given |= 1 << command;
                member
            }
            Action::Read { member } => {
                let ticket = Ticket(next.reads.len() as u64);
                next.reads.push(Some(next.applied));
                next.member(member).core.read(ticket);
                member
            }
            Action::Deliver { packet } => match self.deliver(&mut next, packet)? {
                Some(at) => at,
                None => return Ok(None),
            },
            Action::Persist { member } => {
                self.persist(&mut next, member)?;
                member
            }
            Action::Crash { member } => {
                self.crash(&mut next, member);
                member
            }
            Action::Checkpoint { member } => {
                next.checkpoints += 1;
                let through = self.delivered(&next.members[member]);
                self.checkpoint(&mut next, member, through);
                next.member(member).core.truncate(through);
                member
            }
            Action::Install { member, from } => {
                let through = next.members[from].disk.checkpoint;
                self.checkpoint(&mut next, member, through);
                next.member(member).core.install(through);
                member
            }
        };
        self.collect(&mut next, at)?;
        self.check(&next)?;
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let members: Vec<Fingerprint> = state.members.iter().map(|member| self.print(member)).collect();
        let counts = (state.given, state.crashes, state.checkpoints);
        Fingerprint::of(&(members, &state.sent, &state.proposals, counts, &state.reads, state.applied))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        let id = |member: usize| member + 1;
        match *action {
            Action::Campaign { member } => {
                let ballot =
                    self.next_ballot(&state.members[member]).map_or(String::new(), |b| b.to_string());
                format!("member {} campaigns with {ballot}", id(member))
            }
            Action::Propose { member, command } => {
                format!("a client gives member {} the command {}", id(member), name(usize::from(command)))
            }
            Action::Read { member } => format!("a client asks member {} for a read", id(member)),
            Action::Deliver { packet } => {
                let Packet { from, to, message } = &state.sent[packet];
                format!("{} -> {}: {}", from.0, to.0, words(message))
            }
            Action::Persist { member } => {
                let records = state.members[member].writes.first().map(|(_, _, records)| records);
                format!("the disk of member {} has {:?}", id(member), records.unwrap_or(&Vec::new()))
            }
            Action::Crash { member } => {
                format!("member {} crashes and starts again with its disk", id(member))
            }
            Action::Checkpoint { member } => {
                let through = self.delivered(&state.members[member]);
                format!("member {} has a checkpoint through {through} and forgets what is below", id(member))
            }
            Action::Install { member, from } => {
                let through = state.members[from].disk.checkpoint;
                format!("member {} gets the checkpoint of {} through {through}", id(member), id(from))
            }
        }
    }
}

fn words(message: &Message<Command>) -> String {
    match message {
        Message::Prepare { ballot, from } => format!("prepare{ballot} from {from}"),
        Message::Promise(promise) => {
            format!("promise{}, chosen through {}, {:?}", promise.ballot, promise.chosen, promise.reports)
        }
        Message::Accept { ballot, slot, entry, commit } => {
            format!("accept{ballot} {slot} {}, chosen through {commit}", entry_words(entry))
        }
        Message::Accepted { ballot, slots } => format!("accepted{ballot} {slots:?}"),
        Message::Commit { ballot, through } => format!("commit{ballot} through {through}"),
        Message::Fetch { from } => format!("fetch from {from}"),
        Message::Fetched { from, entries, chosen, truncated } => {
            let entries: Vec<String> = entries.iter().map(entry_words).collect();
            let entries = entries.join(", ");
            format!("fetched from {from}: {entries}; chosen through {chosen}, gone through {truncated}")
        }
        other => format!("{other:?}"),
    }
}
