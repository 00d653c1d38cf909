//! A node without time: the roles it plays, and the messages and writes between them.
//!
//! A model checker may call any method at any moment; nothing here is unsafe at the wrong time. What makes
//! it live is in [`node`](crate::synod::node).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::choose::Vote;
use crate::durable::{Gate, Sealed, Token};
use crate::node::NodeId;
use crate::synod::Value;
use crate::synod::acceptor::{Acceptor, Answer, AnswerKind};
use crate::synod::learner::Learner;
use crate::synod::message::{Letter, Message};
use crate::synod::options::{Group, Options, Refusal};
use crate::synod::proposer::{Phase, Proposer};
use crate::synod::record::Record;
use crate::synod::rejection::{Rejection, check};

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
    Chosen {
        /// A ballot with which it was chosen.
        ballot: Ballot,
        /// The value.
        value: V,
    },
}

/// Acceptor, proposer and learner of one node, as far as the group gives it these roles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<V> {
    id: NodeId,
    group: Arc<Group>,
    options: Options,
    acceptor: Option<Acceptor<V>>,
    proposer: Option<Proposer<V>>,
    learner: Option<Learner<V>>,
    chosen: Option<Vote<V>>,
    /// Learners who want to be told.
    inquirers: BTreeSet<NodeId>,
    gate: Gate<Letter<V>>,
    open_write: Option<Token>,
    records: Vec<Record<V>>,
    out: VecDeque<Output<V>>,
}

impl<V: Value> Core<V> {
    /// The node that wrote `records`, in this order; none if it starts for the first time.
    ///
    /// # Panics
    /// If `id` has no role in `group`, or no acceptor can have written the records (see
    /// [`Acceptor::recover`]).
    pub fn new(id: NodeId, group: Arc<Group>, options: Options, records: &[Record<V>]) -> Core<V> {
        let acceptor = group.acceptors().contains(id).then(|| Acceptor::recover(records));
        let proposer = group.proposers().contains(&id).then(|| Proposer::recover(id, group.clone(), records));
        let learner = group.learners().contains(&id).then(|| Learner::new(group.clone()));
        assert!(
            acceptor.is_some() || proposer.is_some() || learner.is_some(),
            "{id} has no role in the group: {group:?}"
        );
        Core {
            id,
            group,
            options,
            acceptor,
            proposer,
            learner,
            chosen: None,
            inquirers: BTreeSet::new(),
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

    /// All nodes and their roles.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// This node's acceptor, if it is one.
    pub fn acceptor(&self) -> Option<&Acceptor<V>> {
        self.acceptor.as_ref()
    }

    /// This node's proposer, if it is one.
    pub fn proposer(&self) -> Option<&Proposer<V>> {
        self.proposer.as_ref()
    }

    /// This node's learner, if it is one.
    pub fn learner(&self) -> Option<&Learner<V>> {
        self.learner.as_ref()
    }

    /// A ballot with which the value was chosen and the value, once this node knows.
    pub fn chosen(&self) -> Option<&Vote<V>> {
        self.chosen.as_ref()
    }

    /// Whether a write is not yet reported durable.
    pub fn is_unsynced(&self) -> bool {
        self.gate.durable() < self.gate.issued()
    }

    // ---- what the driver asks for --------------------------------------------------------------------

    /// Proposes `value`, with a first ballot if none is under way.
    ///
    /// # Errors
    /// The value itself if this node is no proposer or has a candidate already.
    pub fn propose(&mut self, value: V) -> Result<(), V> {
        let Some(proposer) = &mut self.proposer else { return Err(value) };
        proposer.propose(value)?;
        if proposer.is_idle() {
            self.start_ballot();
        }
        Ok(())
    }

    /// Has a higher ballot run, in place of the one under way. Returns whether one was started: none is if
    /// this node is no proposer, knows what was chosen, or the rounds are exhausted.
    pub fn start_ballot(&mut self) -> bool {
        if self.chosen.is_some() {
            return false;
        }
        // An acceptor on the same node knows what there is to beat.
        let above = self.acceptor.as_ref().map_or(Ballot::ZERO, Acceptor::promised);
        let Some(record) = self.proposer.as_mut().and_then(|proposer| proposer.start(above)) else {
            return false;
        };
        self.records.push(record);
        self.write();
        self.ask_first();
        true
    }

    /// Asks every acceptor again that has not answered: the question or the answer may have been lost.
    pub fn ask_again(&mut self) {
        if let Some(proposer) = &self.proposer {
            self.ask(proposer.unanswered());
        }
    }

    /// Has `proposer` find out what was chosen: it may be this node.
    pub fn inquire(&mut self, proposer: NodeId) {
        if self.chosen.is_none() && self.learner.is_some() {
            self.send(Letter { to: vec![proposer], message: Message::Inquire });
        }
    }

    // ---- messages --------------------------------------------------------------------------------------

    /// Takes a message; `from` is who sent it, as the transport knows.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it here. Nothing changed then.
    ///
    /// # Panics
    /// If nodes disagree, or one ballot carries two values: see the roles.
    pub fn handle_message(&mut self, from: NodeId, message: Message<V>) -> Result<(), Rejection> {
        check(&self.group, self.id, from, &message)?;
        self.check_asked(from, &message)?;
        match message {
            Message::Prepare { ballot } => {
                if let Some(acceptor) = &mut self.acceptor {
                    let answer = acceptor.handle_prepare(ballot);
                    self.answer(from, answer);
                }
            }
            Message::Accept { ballot, value } => {
                if let Some(acceptor) = &mut self.acceptor {
                    let answer = acceptor.handle_accept(ballot, value);
                    self.answer(from, answer);
                }
            }
            Message::Promise { ballot, vote } => {
                if let Some(proposer) = &mut self.proposer
                    && proposer.handle_promise(from, ballot, vote)
                {
                    self.ask_first();
                }
            }
            Message::Accepted { ballot, value } => self.count(from, ballot, &value),
            Message::Nack { ballot, promised } => {
                if let Some(proposer) = &mut self.proposer {
                    proposer.handle_nack(from, ballot, promised);
                }
            }
            Message::Chosen { ballot, value } => self.know(Vote { ballot, value }),
            Message::Inquire => self.answer_inquiry(from),
        }
        Ok(())
    }

    /// An answer to a ballot of this node's own that it has not used was never asked for.
    fn check_asked(&self, from: NodeId, message: &Message<V>) -> Result<(), Rejection> {
        match (message, &self.proposer) {
            (
                Message::Promise { ballot, .. }
                | Message::Nack { ballot, .. }
                | Message::Accepted { ballot, .. },
                Some(proposer),
            ) if ballot.node == self.id && *ballot > proposer.ballot() => {
                Err(Rejection::NeverAsked { from, message: message.name(), ballot: *ballot })
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, proposer: NodeId, answer: Answer<V>) {
        let to = match answer.kind {
            AnswerKind::Promise => vec![proposer],
            AnswerKind::Vote => {
                let mut to = self.group.told().clone();
                to.insert(proposer);
                to.into_iter().collect()
            }
            AnswerKind::Refusal if self.options.refusal == Refusal::Ignore => return,
            AnswerKind::Refusal => vec![proposer],
        };
        if let Some(record) = answer.record {
            self.records.push(record);
            self.write();
        }
        self.hold(to, answer.message);
    }

    fn count(&mut self, from: NodeId, ballot: Ballot, value: &V) {
        let learned = self.learner.as_mut().and_then(|learner| learner.handle_accepted(from, ballot, value));
        let counted =
            self.proposer.as_mut().and_then(|proposer| proposer.handle_accepted(from, ballot, value));
        for vote in learned.into_iter().chain(counted) {
            self.know(vote);
        }
    }

    fn know(&mut self, vote: Vote<V>) {
        if let Some(known) = &self.chosen {
            assert!(known.value == vote.value, "two values are chosen: {known:?} and {vote:?}");
            return;
        }
        if let Some(learner) = &mut self.learner {
            learner.conclude(&vote);
        }
        if let Some(proposer) = &mut self.proposer {
            proposer.stop();
        }
        self.chosen = Some(vote.clone());
        let mut to = std::mem::take(&mut self.inquirers);
        to.extend(self.group.tells(self.id));
        to.remove(&self.id);
        let Vote { ballot, value } = vote;
        self.out.push_back(Output::Chosen { ballot, value: value.clone() });
        self.send(Letter { to: to.into_iter().collect(), message: Message::Chosen { ballot, value } });
    }

    fn answer_inquiry(&mut self, from: NodeId) {
        if let Some(Vote { ballot, value }) = self.chosen.clone() {
            self.send(Letter { to: vec![from], message: Message::Chosen { ballot, value } });
            return;
        }
        self.inquirers.insert(from);
        if self.proposer.as_ref().is_some_and(Proposer::is_idle) {
            mark!(BallotRunForLearner);
            self.start_ballot();
        }
    }

    // ---- what leaves, and when -------------------------------------------------------------------------

    fn ask_first(&mut self) {
        if let Some(proposer) = &self.proposer {
            self.ask(proposer.audience(self.options.audience));
        }
    }

    /// Sends the question of the present phase.
    fn ask(&mut self, to: Vec<NodeId>) {
        let Some(proposer) = &self.proposer else { return };
        match proposer.phase() {
            Phase::Idle => {}
            Phase::Preparing { .. } => {
                if mutant!(PrepareBeforeWrite) {
                    let message = Message::Prepare { ballot: proposer.ballot() };
                    self.send(Letter { to, message });
                } else if let Some(prepare) = proposer.prepare() {
                    self.hold(to, prepare);
                }
            }
            Phase::Accepting { .. } => {
                if let Some(message) = proposer.accept() {
                    self.send(Letter { to, message });
                }
            }
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
