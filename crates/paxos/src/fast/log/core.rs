//! A replica without time: every rule of the log, and nothing that depends on a clock.
//!
//! A model checker may call any method at any moment; nothing here is unsafe at the wrong time. What makes it live is in
//! [`replica`](crate::fast::log::replica), and when windows are opened in [`fallback`](crate::fast::log::fallback).

use std::collections::VecDeque;
use std::sync::Arc;

use synod_probe::mark;

use crate::ballot::Ballot;
use crate::durable::{Gate, Sealed, Token};
use crate::fast::acceptor::AnswerKind;
use crate::fast::log::acceptor::{Acceptor, Answer};
use crate::fast::log::grant::Grant;
use crate::fast::log::leader::Leader;
use crate::fast::log::message::Message;
use crate::fast::log::record::{Record, Recovered};
use crate::fast::log::rejection::{Rejection, check};
use crate::fast::log::tallies::Tallies;
use crate::fast::log::writer::Writer;
use crate::fast::round::{Round, Vote};
use crate::multi::election::Election;
use crate::multi::entry::{Command, Entry};
use crate::multi::learner::Learner;
use crate::multi::message::Health;
use crate::node::NodeId;
use crate::quorum::FastQuorumSystem;
use crate::slot::Slot;

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<C> {
    /// Send `message` to each of `to`.
    Send {
        /// Other nodes, in order.
        to: Vec<NodeId>,
        /// What to send.
        message: Message<C>,
    },
    /// Write `records` after all earlier ones and sync, then call `handle_persisted(token)`.
    Persist {
        /// Names the write.
        token: Token,
        /// What must not be forgotten.
        records: Vec<Record<C>>,
    },
    /// The next slot of the chosen prefix: execute it.
    Chosen {
        /// Which slot; one more than the one before.
        slot: Slot,
        /// What was chosen.
        entry: Entry<C>,
    },
    /// The slots wanted are gone from the log of `from`, which has a state that covers them.
    StateNeeded {
        /// Who has it.
        from: NodeId,
    },
}

/// A message and who gets it, the sender itself perhaps among them.
type Letter<C> = (Vec<NodeId>, Message<C>);

/// Writer, acceptor, learner and, at times, leader of one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<C: Command> {
    pub(super) id: NodeId,
    pub(super) quorums: Arc<FastQuorumSystem>,
    pub(super) used: Ballot,
    pub(super) acceptor: Acceptor<C>,
    pub(super) learner: Learner<C>,
    pub(super) tallies: Tallies<C>,
    pub(super) writer: Writer<C>,
    pub(super) leader: Option<Leader<C>>,
    pub(super) election: Election,
    pub(super) gate: Gate<Letter<C>>,
    pub(super) promise_token: Token,
    pub(super) used_token: Token,
    pub(super) open_write: Option<Token>,
    pub(super) records: Vec<Record<C>>,
    pub(super) commit_recorded: Slot,
    pub(super) delivered: Slot,
    pub(super) refused: bool,
    /// Whether a fast round had to be recovered since somebody asked.
    pub(super) relapsed: bool,
    pub(super) stalled: bool,
    pub(super) fetching: bool,
    pub(super) out: VecDeque<Output<C>>,
}

impl<C: Command> Core<C> {
    /// The replica whose state covers everything up to `checkpoint` and that wrote `records`.
    ///
    /// # Panics
    /// If `id` is no acceptor, or no replica can have written the records.
    pub fn new(
        id: NodeId,
        quorums: Arc<FastQuorumSystem>,
        checkpoint: Slot,
        records: &[Record<C>],
    ) -> Core<C> {
        assert!(quorums.classic().contains(id), "{id} is not in the group: {quorums:?}");
        let Recovered { used, acceptor, learner } = Recovered::new(checkpoint, records);
        Core {
            id,
            used,
            election: Election::new(id, acceptor.promised().max(used)),
            acceptor,
            tallies: Tallies::new(quorums.clone()),
            quorums,
            commit_recorded: learner.through(),
            learner,
            writer: Writer::default(),
            leader: None,
            gate: Gate::default(),
            promise_token: Token::default(),
            used_token: Token::default(),
            open_write: None,
            records: Vec::new(),
            delivered: checkpoint,
            refused: false,
            relapsed: false,
            stalled: false,
            fetching: false,
            out: VecDeque::new(),
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// All nodes and their quorums.
    pub fn quorums(&self) -> &FastQuorumSystem {
        &self.quorums
    }

    /// The highest ballot this node has used.
    pub fn used(&self) -> Ballot {
        self.used
    }

    /// What this node has promised and voted.
    pub fn acceptor(&self) -> &Acceptor<C> {
        &self.acceptor
    }

    /// What this node knows to be chosen.
    pub fn learner(&self) -> &Learner<C> {
        &self.learner
    }

    /// Who this node knows to have voted for what.
    pub fn tallies(&self) -> &Tallies<C> {
        &self.tallies
    }

    /// This node's commands on their way into the log.
    pub fn writer(&self) -> &Writer<C> {
        &self.writer
    }

    /// This node's own leadership, complete or not.
    pub fn leadership(&self) -> Option<&Leader<C>> {
        self.leader.as_ref()
    }

    /// What this node knows of the others.
    pub fn election(&self) -> &Election {
        &self.election
    }

    /// The last slot handed out to be executed, or installed.
    pub fn delivered(&self) -> Slot {
        self.delivered
    }

    pub(super) fn leading(&self) -> Option<&Leader<C>> {
        self.leader.as_ref().filter(|leader| leader.is_leading())
    }

    /// The last slot that is known to be used: somebody voted there, or it is chosen.
    pub fn last_used(&self) -> Slot {
        let chosen = self.learner.chosen_from(self.learner.through()).last().map(|(slot, _)| slot);
        let voted = self.acceptor.votes_from(Slot::ZERO).next_back().map(|(slot, _)| slot);
        let known = chosen.max(voted).max(self.tallies.last()).unwrap_or(Slot::ZERO);
        known.max(self.learner.through())
    }

    // ---- durability -------------------------------------------------------------------------------

    /// The write that everything changed since the last one goes into.
    pub(super) fn write(&mut self) -> Token {
        *self.open_write.get_or_insert_with(|| self.gate.issue())
    }

    /// The driver's disk has everything up to `token`.
    ///
    /// # Panics
    /// If the token was not given out: the driver reports a write it never had.
    pub fn handle_persisted(&mut self, token: Token) {
        assert!(
            self.open_write.is_none_or(|open| token < open),
            "{token:?} is reported durable before it was given out"
        );
        self.gate.persisted(token);
        self.release();
    }

    /// Keeps a message until everything that changed up to now is durable.
    pub(super) fn hold(&mut self, to: Vec<NodeId>, message: Sealed<Message<C>>) {
        self.gate.hold(self.gate.issued(), message.map(|message| (to, message)));
        self.release();
    }

    fn release(&mut self) {
        while let Some((to, message)) = self.gate.pop() {
            self.send(to, message);
        }
    }

    /// Sends to others, and takes what is for this node itself at once.
    pub(super) fn send(&mut self, mut to: Vec<NodeId>, message: Message<C>) {
        let mine = to.contains(&self.id);
        to.retain(|node| *node != self.id);
        if !to.is_empty() {
            self.send_merged(to, message.clone());
        }
        if mine {
            let handled = self.handle_message(self.id, message);
            assert!(handled.is_ok(), "a node rejects its own message: {handled:?}");
        }
    }

    /// Votes that became durable together leave together, and so do proposals.
    fn send_merged(&mut self, to: Vec<NodeId>, message: Message<C>) {
        if let Some(Output::Send { to: last_to, message: last }) = self.out.back_mut()
            && *last_to == to
        {
            match (last, &message) {
                (Message::Accepted { votes: last }, Message::Accepted { votes }) => {
                    return last.extend(votes.iter().cloned());
                }
                (Message::Accept { ballot: b, entries: last }, Message::Accept { ballot, entries })
                | (Message::Propose { ballot: b, entries: last }, Message::Propose { ballot, entries })
                    if b == ballot =>
                {
                    return last.extend(entries.iter().cloned());
                }
                _ => {}
            }
        }
        self.out.push_back(Output::Send { to, message });
    }

    pub(super) fn everybody(&self) -> Vec<NodeId> {
        self.quorums.classic().acceptors().collect()
    }

    pub(super) fn others(&self) -> Vec<NodeId> {
        self.quorums.classic().acceptors().filter(|node| *node != self.id).collect()
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        if self.out.is_empty() {
            self.flush();
        }
        self.out.pop_front()
    }

    /// Turns what has gathered since the last call into outputs: batches form here by themselves.
    fn flush(&mut self) {
        self.place_commands();
        self.extend_window();
        while self.delivered < self.learner.through() {
            let slot = self.delivered.next();
            let entry = self.learner.chosen(slot).cloned();
            let entry = entry.expect("a slot is truncated only after it was handed out");
            self.delivered = slot;
            self.out.push_back(Output::Chosen { slot, entry });
        }
        if let Some(token) = self.open_write.take() {
            if self.commit_recorded < self.learner.through() {
                self.commit_recorded = self.learner.through();
                self.records.push(Record::Commit { through: self.commit_recorded });
            }
            self.out.push_back(Output::Persist { token, records: std::mem::take(&mut self.records) });
        }
    }

    // ---- messages ---------------------------------------------------------------------------------

    /// Takes a message of another node, or one of its own.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it. Nothing has changed then.
    ///
    /// # Panics
    /// If nodes disagree, or one classic round carries two values: see the roles.
    pub fn handle_message(&mut self, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        let preparing = self.leader.as_ref().filter(|leader| !leader.is_leading());
        let collecting = preparing.map(Leader::ballot);
        check(self.quorums.classic(), self.learner.heard(), collecting, from, &message)?;
        match message {
            Message::Prepare { ballot, from: first } => {
                self.election.hear(ballot);
                let answer = self.acceptor.handle_prepare(ballot, first, &self.learner);
                self.answer(from, answer);
            }
            Message::Promise(promise) => self.handle_promise(from, promise),
            Message::Nack { ballot, promised } => self.handle_nack(ballot, promised),
            Message::Any(grant) => self.handle_grant(grant),
            Message::Propose { ballot, entries } => {
                for (slot, entry) in entries {
                    self.vote(from, slot, Round::open(ballot), entry);
                }
            }
            Message::Accept { ballot, entries } => {
                for (slot, entry) in entries {
                    self.vote(from, slot, Round::closed(ballot), entry);
                }
            }
            Message::Accepted { votes } => {
                for (slot, vote) in votes {
                    self.count(from, slot, &vote);
                }
            }
            Message::Forward(commands) => self.handle_forward(from, commands),
            Message::Relay(commands) => self.take(commands),
            Message::Fetch { from: first } => self.tell_chosen(from, first),
            Message::Fetched { from: first, entries, chosen, truncated } => {
                self.handle_fetched(from, first, entries, chosen, truncated);
            }
            Message::Heartbeat { round, lead } => {
                if let Some(lead) = lead {
                    self.handle_grant(lead.grant);
                    self.learner.hear(lead.chosen);
                    self.fetch_if_behind(from);
                }
                let health = self.health();
                self.send(vec![from], Message::HeartbeatReply { round, health });
            }
            Message::HeartbeatReply { round, health } => {
                self.election.handle_reply(from, round, health);
                self.learner.hear(health.knows);
                self.yield_to_higher();
                self.fetch_if_behind(from);
            }
            Message::PreCheck { ballot } => self.handle_pre_check(from, ballot),
            Message::PreCheckReply { ballot, granted, promised } => {
                self.judge_pre_check(Some((from, ballot, granted, promised)));
            }
        }
        Ok(())
    }

    // ---- acceptor and learner ---------------------------------------------------------------------

    fn vote(&mut self, from: NodeId, slot: Slot, round: Round, entry: Entry<C>) {
        if slot <= self.learner.truncated() {
            // Chosen, and covered by a durable state: who asks learns from this node's health that it is behind.
            return;
        }
        if let Some(chosen) = self.learner.chosen(slot).cloned() {
            if from != self.id {
                self.send_fetched(from, slot, vec![chosen]);
            }
            return;
        }
        let answer = self.acceptor.vote_in(slot, round, entry);
        if round.ballot >= self.acceptor.promised() {
            self.election.follow(round.ballot);
            self.yield_to_higher();
        }
        self.answer(from, answer);
    }

    fn answer(&mut self, asker: NodeId, answer: Answer<C>) {
        let to = match answer.kind {
            AnswerKind::Vote => self.everybody(),
            AnswerKind::Promise | AnswerKind::Refusal => vec![asker],
        };
        if let Some(record) = answer.record {
            let token = self.write();
            self.records.push(record);
            if answer.promise_raised {
                self.promise_token = token;
            }
        }
        self.hold(to, answer.message);
    }

    fn count(&mut self, from: NodeId, slot: Slot, vote: &Vote<Entry<C>>) {
        if self.learner.is_chosen(slot) {
            return;
        }
        if let Some(chosen) = self.tallies.count(from, slot, vote) {
            self.learn(slot, chosen.value);
        } else if vote.round.is_fast() {
            self.recover(slot, vote.round);
        }
    }

    /// Recovers a slot whose fast round collided, as its leader. In a window that is given up, a fast quorum that does not
    /// answer is not waited for.
    fn recover(&mut self, slot: Slot, round: Round) {
        let Some(leader) = self.leading() else { return };
        if round.ballot != leader.ballot() || !leader.open().contains(&slot) {
            return;
        }
        let collided = self.tallies.is_collision(slot, round);
        if !collided && (leader.grant().is_open() || self.may_be_fast()) {
            return;
        }
        if self.close(slot) && collided {
            mark!(FastCollision);
            mark!(FastCoordinatedRecovery);
            self.relapsed = true;
        }
    }

    /// Ends the fast round of an open slot with the votes there are, if they are enough.
    pub(super) fn close(&mut self, slot: Slot) -> bool {
        let Some(leader) = &mut self.leader else { return false };
        let ballot = leader.ballot();
        let Some(votes) = self.tallies.votes(slot, Round::open(ballot)) else { return false };
        let Some(entry) = leader.close(slot, votes, &self.quorums) else { return false };
        self.send(self.everybody(), Message::Accept { ballot, entries: vec![(slot, entry)] });
        true
    }

    /// The promise, unless a raise of it is still on its way to the disk.
    pub(super) fn durable_promise(&self) -> Option<Ballot> {
        (self.promise_token <= self.gate.durable()).then(|| self.acceptor.promised())
    }

    fn health(&self) -> Health {
        let leads = self.leading().map(Leader::ballot);
        Health {
            promised: self.durable_promise(),
            leader: leads.or(self.election.leader()),
            happy: self.election.is_happy(),
            holds: self.learner.through(),
            knows: self.learner.through(),
            truncated: self.learner.truncated(),
            stalled: self.stalled,
            electable: self.election.is_electable(self.quorums.classic()),
        }
    }

    // ---- commands ---------------------------------------------------------------------------------

    /// Takes a command of this node's clients.
    pub fn propose(&mut self, command: C) {
        self.writer.enqueue(command);
    }

    fn take(&mut self, commands: Vec<C>) {
        for command in commands {
            self.writer.enqueue(command);
        }
    }

    /// A leader, or one about to lead, takes commands. Others pass them on, if that is a way to the leader.
    fn handle_forward(&mut self, from: NodeId, commands: Vec<C>) {
        let leader = self.election.leader().filter(|ballot| ballot.node != self.id && ballot.node != from);
        match leader.filter(|_| self.leader.is_none()) {
            Some(ballot) => self.send(vec![ballot.node], Message::Relay(commands)),
            None if self.leader.is_some() => self.take(commands),
            None => {}
        }
    }

    /// Puts what waits into open slots if there are any, into slots of its own if this node leads, and hands it to the
    /// leader otherwise.
    fn place_commands(&mut self) {
        let Some(followed) = self.election.leader() else { return };
        self.writer.follow(followed);
        if self.leading().is_some_and(|leader| !leader.grant().is_open()) {
            return self.place_own();
        }
        let mut entries = Vec::new();
        if followed >= self.acceptor.promised() {
            let mut used = self.last_used();
            while let Some((slot, entry)) = self.writer.next(followed, used) {
                used = slot;
                entries.push((slot, entry));
            }
        }
        if !entries.is_empty() {
            self.send(self.everybody(), Message::Propose { ballot: followed, entries });
        }
        let open = self.writer.grant().is_some_and(Grant::is_open);
        if !open && self.leader.is_none() && followed.node != self.id && self.writer.queued() > 0 {
            let way = self.election.way_to(followed);
            let commands = self.writer.drain();
            self.send(vec![way], Message::Forward(commands));
        }
    }

    fn place_own(&mut self) {
        while self.writer.queued() > 0 {
            let Some(leader) = &mut self.leader else { return };
            let Some(slot) = leader.next_own(&self.learner) else { return };
            let entry = self.writer.batch();
            self.propose_own(slot, entry);
        }
    }

    fn propose_own(&mut self, slot: Slot, entry: Entry<C>) {
        let Some(leader) = &mut self.leader else { return };
        leader.propose(slot, entry.clone());
        let ballot = leader.ballot();
        self.send(self.everybody(), Message::Accept { ballot, entries: vec![(slot, entry)] });
    }

    /// Hands over what waits for open slots although a leader is known: the window may be of no use.
    pub fn forward_waiting(&mut self) {
        let Some(followed) = self.election.leader() else { return };
        if self.leader.is_none() && followed.node != self.id && self.writer.queued() > 0 {
            let way = self.election.way_to(followed);
            let commands = self.writer.drain();
            self.send(vec![way], Message::Forward(commands));
        }
    }
}
