//! A node without time: the roles it plays, and the messages and writes between them.
//!
//! A model checker may call any method at any moment; nothing here is unsafe at the wrong time. What makes
//! it live is in [`node`](crate::fast::node).

use std::collections::VecDeque;
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::{Gate, Sealed, Token};
use crate::fast::acceptor::{Acceptor, Answer, AnswerKind};
use crate::fast::coordinator::{Coordinator, Phase, pick};
use crate::fast::learner::Learner;
use crate::fast::message::{Letter, Message};
use crate::fast::options::{Kind, Options, Recovery};
use crate::fast::record::Record;
use crate::fast::rejection::{Rejection, check};
use crate::fast::round::{Round, Step, Vote};
use crate::node::NodeId;
use crate::quorum::FastQuorumSystem;
use crate::synod::Value;

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<V> {
    /// Send `message` to each of `to`.
    Send {
        /// Other nodes, in order.
        to: Vec<NodeId>,
        /// What to send.
        message: Message<V>,
    },
    /// Append `records` to what is on disk and sync, then call `handle_persisted(token)`.
    Persist {
        /// Names the write.
        token: Token,
        /// What to append, in order.
        records: Vec<Record<V>>,
    },
    /// The value is chosen. Said once, by every node that finds out.
    Chosen(Vote<V>),
}

/// Proposer, acceptor, coordinator and learner of one node: every node of the group plays all roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<V> {
    id: NodeId,
    quorums: Arc<FastQuorumSystem>,
    options: Options,
    acceptor: Acceptor<V>,
    coordinator: Coordinator<V>,
    learner: Learner<V>,
    /// What this node's own client wants.
    candidate: Option<V>,
    /// The first value that any client was heard to want: what the acceptor votes for when it may.
    wish: Option<V>,
    /// The highest ballot known to be open, and what is done about its collisions. A restart forgets it: the
    /// coordinator tells it again.
    opened: Option<(Ballot, Recovery)>,
    gate: Gate<Letter<V>>,
    open_write: Option<Token>,
    records: Vec<Record<V>>,
    out: VecDeque<Output<V>>,
}

impl<V: Value> Core<V> {
    /// The node that wrote `records`, in this order; none if it starts for the first time.
    ///
    /// # Panics
    /// If `id` is no acceptor, or no acceptor can have written the records (see [`Acceptor::recover`]).
    pub fn new(
        id: NodeId,
        quorums: Arc<FastQuorumSystem>,
        options: Options,
        records: &[Record<V>],
    ) -> Core<V> {
        assert!(quorums.classic().contains(id), "{id} is not in the group: {quorums:?}");
        Core {
            id,
            options,
            acceptor: Acceptor::recover(records),
            coordinator: Coordinator::recover(id, quorums.clone(), records),
            learner: Learner::new(quorums.clone()),
            quorums,
            candidate: None,
            wish: None,
            opened: None,
            gate: Gate::default(),
            open_write: None,
            records: Vec::new(),
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

    /// This node's acceptor.
    pub fn acceptor(&self) -> &Acceptor<V> {
        &self.acceptor
    }

    /// This node's coordinator.
    pub fn coordinator(&self) -> &Coordinator<V> {
        &self.coordinator
    }

    /// This node's learner.
    pub fn learner(&self) -> &Learner<V> {
        &self.learner
    }

    /// What this node's client wants.
    pub fn candidate(&self) -> Option<&V> {
        self.candidate.as_ref()
    }

    /// The first value that any client was heard to want.
    pub fn wish(&self) -> Option<&V> {
        self.wish.as_ref()
    }

    /// A round in which the value was chosen and the value, once this node knows.
    pub fn chosen(&self) -> Option<&Vote<V>> {
        self.learner.chosen()
    }

    /// Whether a write is not yet reported durable.
    pub fn is_unsynced(&self) -> bool {
        self.gate.durable() < self.gate.issued()
    }

    // ---- what the driver asks for --------------------------------------------------------------------

    /// Proposes `value`: sends it to all acceptors, who vote for it if a fast round is open and nothing else came
    /// first.
    ///
    /// # Errors
    /// The value itself if this node has a candidate already.
    pub fn propose(&mut self, value: V) -> Result<(), V> {
        if self.candidate.is_some() {
            return Err(value);
        }
        self.candidate = Some(value);
        self.tell_candidate();
        Ok(())
    }

    /// Has a higher ballot run, in place of the one under way. Returns whether one was started: none is if
    /// this node knows what was chosen, or the rounds are exhausted.
    pub fn start_ballot(&mut self, kind: Kind) -> bool {
        if self.chosen().is_some() {
            return false;
        }
        // The acceptor on the same node knows what there is to beat.
        let opened = self.opened.map_or(Ballot::ZERO, |(ballot, _)| ballot);
        let above = self.acceptor.promised().ballot.max(opened);
        let Some(record) = self.coordinator.start(above, kind) else { return false };
        self.records.push(record);
        self.write();
        self.ask(self.everybody());
        true
    }

    /// Ends the fast part of the ballot under way with the votes heard so far, if they are enough: somebody may be
    /// down, so that it cannot be known whether the round collided. Returns whether it did.
    pub fn close_round(&mut self) -> bool {
        let votes = self.coordinator.awaited().and_then(|round| self.learner.votes(round));
        let closed = votes.is_some_and(|votes| self.coordinator.close(votes));
        if closed {
            self.ask(self.everybody());
        }
        closed
    }

    /// Sends again what was not answered: the question or the answer may have been lost.
    pub fn ask_again(&mut self) {
        if self.chosen().is_none() {
            self.tell_candidate();
            self.ask(self.everybody());
        }
    }

    /// Asks all others what was chosen.
    pub fn inquire(&mut self) {
        if self.chosen().is_none() {
            let others = self.everybody().into_iter().filter(|node| *node != self.id).collect();
            self.send(Letter { to: others, message: Message::Inquire });
        }
    }

    fn tell_candidate(&mut self) {
        if let Some(value) = self.candidate.clone() {
            self.send(Letter { to: self.everybody(), message: Message::Propose { value } });
        }
    }

    fn everybody(&self) -> Vec<NodeId> {
        self.quorums.classic().acceptors().collect()
    }

    // ---- messages --------------------------------------------------------------------------------------

    /// Takes a message; `from` is who sent it, as the transport knows.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it here. Nothing changed then.
    ///
    /// # Panics
    /// If nodes disagree, or one classic round carries two values: see the roles.
    pub fn handle_message(&mut self, from: NodeId, message: Message<V>) -> Result<(), Rejection> {
        check(&self.quorums, self.id, self.coordinator.ballot(), from, &message)?;
        if self.tell_chosen(from, &message) {
            return Ok(());
        }
        match message {
            Message::Propose { value } => {
                if mutant!(FastVotedTwice) {
                    self.wish = None;
                }
                self.wish.get_or_insert(value);
                self.vote_for_wish();
            }
            Message::Prepare { ballot } => {
                let answer = self.acceptor.handle_prepare(ballot);
                self.answer(from, answer);
            }
            Message::Any { ballot, recovery } => self.handle_any(from, ballot, recovery),
            Message::Accept { ballot, value } => {
                let answer = self.acceptor.vote_in(Round::closed(ballot), value);
                self.answer(from, answer);
            }
            Message::Promise { ballot, vote } => {
                let wish = self.candidate.as_ref().or(self.wish.as_ref());
                let recovery = self.options.recovery;
                if self.coordinator.handle_promise(from, ballot, vote, wish, recovery) {
                    self.ask(self.everybody());
                }
            }
            Message::Accepted(vote) => self.count(from, &vote),
            Message::Nack { ballot, promised } => self.coordinator.handle_nack(from, ballot, promised),
            Message::Chosen(vote) => self.know(&vote),
            Message::Inquire => {}
        }
        Ok(())
    }

    /// Whoever asks, or still tries to have something chosen, is told what was by any node that knows.
    fn tell_chosen(&mut self, from: NodeId, message: &Message<V>) -> bool {
        let Some(chosen) = self.chosen().cloned() else { return false };
        let tries = matches!(
            message,
            Message::Propose { .. }
                | Message::Prepare { .. }
                | Message::Any { .. }
                | Message::Accept { .. }
                | Message::Inquire
        );
        if tries && from != self.id {
            self.send(Letter { to: vec![from], message: Message::Chosen(chosen) });
        }
        tries
    }

    fn handle_any(&mut self, from: NodeId, ballot: Ballot, recovery: Recovery) {
        let round = Round::open(ballot);
        if self.opened.is_none_or(|(opened, _)| opened < ballot) {
            self.opened = Some((ballot, recovery));
        }
        let voted = self.acceptor.vote().filter(|vote| vote.round.ballot == ballot);
        let value = voted.map(|vote| vote.value.clone());
        if let Some(value) = value.or_else(|| self.wish.clone()) {
            let answer = self.acceptor.vote_in(round, value);
            self.answer(from, answer);
        }
        // The votes may have come before the permission.
        self.recover(round);
    }

    /// The acceptor votes for the first value it knows of, once, if a fast round is open.
    fn vote_for_wish(&mut self) {
        let (Some((ballot, _)), Some(wish)) = (self.opened, self.wish.clone()) else { return };
        let round = Round::open(ballot);
        if self.acceptor.may_vote(round) {
            let answer = self.acceptor.vote_in(round, wish);
            self.answer(ballot.node, answer);
        }
    }

    fn answer(&mut self, coordinator: NodeId, answer: Answer<V>) {
        let to = match answer.kind {
            AnswerKind::Vote => self.everybody(),
            AnswerKind::Promise | AnswerKind::Refusal => vec![coordinator],
        };
        if let Some(record) = answer.record {
            self.records.push(record);
            self.write();
        }
        self.hold(to, answer.message);
    }

    fn count(&mut self, from: NodeId, vote: &Vote<V>) {
        match self.learner.handle_accepted(from, vote) {
            Some(chosen) => self.conclude(chosen),
            None => self.recover(vote.round),
        }
    }

    /// Recovers `round` if it collided: as its coordinator, or as an acceptor if that is how this ballot does it.
    fn recover(&mut self, round: Round) {
        if !self.learner.is_collision(round) {
            return;
        }
        mark!(FastCollision);
        mark!(FastRecoveryCollided if round.step == Step::Again);
        if self.coordinator.awaited() == Some(round) {
            mark!(FastCoordinatedRecovery);
            self.close_round();
        }
        let again = Round::again(round.ballot);
        if round.step == Step::Open
            && self.opened == Some((round.ballot, Recovery::Uncoordinated))
            && self.acceptor.may_vote(again)
            && let Some(votes) = self.learner.votes(round)
        {
            mark!(FastUncoordinatedRecovery);
            let picked = pick(&self.quorums, again, round, votes);
            let value = match self.wish.clone() {
                Some(wish) if mutant!(FastRecoveryIgnoresVotes) => wish,
                _ => picked,
            };
            let answer = self.acceptor.vote_in(again, value);
            self.answer(round.ballot.node, answer);
        }
    }

    fn know(&mut self, vote: &Vote<V>) {
        if self.learner.conclude(vote) {
            self.conclude(vote.clone());
        }
    }

    fn conclude(&mut self, chosen: Vote<V>) {
        self.coordinator.stop();
        self.out.push_back(Output::Chosen(chosen));
    }

    // ---- what leaves, and when -------------------------------------------------------------------------

    /// Sends the question of the present phase.
    fn ask(&mut self, to: Vec<NodeId>) {
        if let Phase::Preparing { promises, .. } = self.coordinator.phase() {
            let to = to.into_iter().filter(|node| !promises.contains(*node)).collect();
            if let Some(prepare) = self.coordinator.prepare() {
                self.hold(to, prepare);
            }
        } else if let Some(message) = self.coordinator.phase2a() {
            self.send(Letter { to, message });
        }
    }

    /// The write that everything changed since the last one goes into.
    fn write(&mut self) {
        if self.open_write.is_none() {
            self.open_write = Some(self.gate.issue());
        }
    }

    /// Keeps a message until everything that changed up to now is durable.
    fn hold(&mut self, to: Vec<NodeId>, message: Sealed<Message<V>>) {
        self.gate.hold(self.gate.issued(), message.map(|message| Letter { to, message }));
        self.release();
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

    fn release(&mut self) {
        while let Some(letter) = self.gate.pop() {
            self.send(letter);
        }
    }

    /// Sends to others, and takes what is for this node itself at once.
    fn send(&mut self, letter: Letter<V>) {
        let Letter { mut to, message } = letter;
        let mine = to.contains(&self.id);
        to.retain(|node| *node != self.id);
        if !to.is_empty() {
            self.out.push_back(Output::Send { to, message: message.clone() });
        }
        if mine {
            let handled = self.handle_message(self.id, message);
            assert!(handled.is_ok(), "a node rejects its own message: {handled:?}");
        }
    }

    /// What to do next, or `None` when there is nothing. Call it after every other call, until `None`.
    pub fn poll_output(&mut self) -> Option<Output<V>> {
        if self.out.is_empty()
            && let Some(token) = self.open_write.take()
        {
            return Some(Output::Persist { token, records: std::mem::take(&mut self.records) });
        }
        self.out.pop_front()
    }
}
