//! A replica without time: every rule of Multi-Paxos, and nothing that depends on a clock.
//!
//! A model checker may call any method at any moment; nothing here is unsafe at the wrong time. The
//! deadlines and back-offs that make it live are in [`replica`](crate::multi::replica).

use std::collections::VecDeque;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::{Gate, Sealed, Token};
use crate::membership::Membership;
use crate::multi::acceptor::{Acceptor, Answer};
use crate::multi::election::{Election, PreCheck};
use crate::multi::entry::{Command, Entry};
use crate::multi::holding::Holding;
use crate::multi::leader::{Leader, Proposal, Recovery, Window};
use crate::multi::learner::Learner;
use crate::multi::message::{Message, Promise};
use crate::multi::reads::{Confirmations, Readers, Ticket};
use crate::multi::record::{HardState, Record, Recovered};
use crate::multi::recovery::remember;
use crate::multi::rejection::{self, Rejection};
use crate::node::{Incarnation, NodeId};
use crate::slot::Slot;

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<C> {
    /// Send `message` to each of `to`.
    Send {
        /// Other nodes.
        to: Vec<NodeId>,
        /// What to send.
        message: Message<C>,
    },
    /// Write `records` and `state` and sync, then call `handle_persisted(token)`.
    Persist {
        /// Names the write.
        token: Token,
        /// The state to repeat in every batch.
        state: HardState,
        /// New facts, in order.
        records: Vec<Record<C>>,
    },
    /// The next slot of the chosen prefix: apply it.
    Chosen {
        /// Which slot; one more than the one before, or than the checkpoint.
        slot: Slot,
        /// What was chosen.
        entry: Entry<C>,
    },
    /// A read may be answered once `slot` is applied.
    ReadReady {
        /// Which read.
        ticket: Ticket,
        /// What must have been applied.
        slot: Slot,
    },
    /// The slots wanted are gone from the log of `from`, which has a checkpoint through `truncated`.
    CheckpointNeeded {
        /// Who has it.
        from: NodeId,
        /// The last slot it covers, at least.
        truncated: Slot,
    },
}

/// Acceptor, learner and, at times, leader of one node, with the messages and writes between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<C> {
    pub(super) id: NodeId,
    pub(super) membership: Membership,
    pub(super) window: Window,
    pub(super) used: Ballot,
    pub(super) acceptor: Acceptor<C>,
    pub(super) learner: Learner<C>,
    pub(super) leader: Option<Leader<C>>,
    pub(super) election: Election,
    pub(super) confirmations: Confirmations,
    pub(super) readers: Readers,
    pub(super) gate: Gate<(NodeId, Message<C>)>,
    pub(super) promise_token: Token,
    pub(super) used_token: Token,
    pub(super) open_write: Option<Token>,
    pub(super) records: Vec<Record<C>>,
    pub(super) holding: Holding,
    pub(super) commit_sent: Slot,
    pub(super) delivered: Slot,
    pub(super) refused: bool,
    pub(super) stalled: bool,
    pub(super) gives_way: bool,
    /// The ballot with which it led when the last round ended, if some acceptor had promised more.
    pub(super) outbid: Option<Ballot>,
    pub(super) catch_up_bytes: usize,
    pub(super) fetching: bool,
    pub(super) out: VecDeque<Output<C>>,
}

impl<C: Command> Core<C> {
    /// A replica that remembers `recovered`.
    pub fn new(
        id: NodeId,
        incarnation: Incarnation,
        membership: Membership,
        window: Window,
        recovered: Recovered<C>,
    ) -> Core<C> {
        let state = recovered.state.unwrap_or(HardState::new(membership.config()));
        assert!(
            state.config == membership.config(),
            "records of {} cannot be used in {}",
            state.config,
            membership.config()
        );
        let (acceptor, learner) = remember(state, recovered.checkpoint, recovered.records);
        let highest = state.promised.max(state.used);
        Core {
            id,
            membership,
            window,
            used: state.used,
            acceptor,
            holding: Holding::new(learner.through()),
            commit_sent: Slot::ZERO,
            delivered: recovered.checkpoint,
            learner,
            leader: None,
            election: Election::new(id, highest),
            confirmations: Confirmations::default(),
            readers: Readers::new(id, incarnation),
            gate: Gate::default(),
            promise_token: Token::default(),
            used_token: Token::default(),
            open_write: None,
            records: Vec::new(),
            refused: false,
            stalled: false,
            gives_way: false,
            outbid: None,
            catch_up_bytes: 1 << 20,
            fetching: false,
            out: VecDeque::new(),
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The configuration it takes part in.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// What this node knows to be chosen.
    pub fn learner(&self) -> &Learner<C> {
        &self.learner
    }

    /// What this node has promised and voted.
    pub fn acceptor(&self) -> &Acceptor<C> {
        &self.acceptor
    }

    /// The lowest slot this node proposed that is not chosen yet.
    pub fn oldest_in_flight(&self) -> Option<Slot> {
        self.leader.as_ref().and_then(Leader::oldest_in_flight)
    }

    /// What this node knows of the others.
    pub fn election(&self) -> &Election {
        &self.election
    }

    /// This node's own leadership, complete or not.
    pub fn leadership(&self) -> Option<&Leader<C>> {
        self.leader.as_ref()
    }

    /// The state that the next write repeats.
    pub fn hard_state(&self) -> HardState {
        HardState {
            config: self.membership.config(),
            promised: self.acceptor.promised(),
            used: self.used,
            highest_voted: self.acceptor.highest_voted(),
        }
    }

    /// Writes given to the driver and not yet reported durable.
    pub fn unsynced(&self) -> bool {
        self.gate.durable() < self.gate.issued()
    }

    /// The last write issued and the last one durable.
    pub fn tokens(&self) -> (Token, Token) {
        (self.gate.issued(), self.gate.durable())
    }

    // ---- durability -------------------------------------------------------------------------------

    /// The write that everything changed since the last one goes into.
    pub(super) fn write(&mut self) -> Token {
        *self.open_write.get_or_insert_with(|| self.gate.issue())
    }

    pub(super) fn seal(&mut self, token: Token, to: NodeId, message: Sealed<Message<C>>) {
        self.gate.hold(token, message.map(|message| (to, message)));
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
        self.holding.handle_persisted(token);
        self.release();
    }

    /// Lets go of what waited for a write. Messages to this node itself take effect here: a leader's own
    /// vote counts only now.
    pub(super) fn release(&mut self) {
        while let Some((to, message)) = self.gate.pop() {
            if to == self.id {
                let handled = self.handle_message(self.id, message);
                assert!(handled.is_ok(), "a node rejects its own message: {handled:?}");
            } else {
                self.send_merged(to, message);
            }
        }
    }

    /// Votes that became durable together leave together.
    fn send_merged(&mut self, to: NodeId, message: Message<C>) {
        if let (
            Message::Accepted { ballot, slots },
            Some(Output::Send {
                to: last_to,
                message: Message::Accepted { ballot: last, slots: last_slots },
            }),
        ) = (&message, self.out.back_mut())
            && *last_to == [to]
            && last == ballot
        {
            last_slots.extend(slots);
            return;
        }
        self.out.push_back(Output::Send { to: vec![to], message });
    }

    pub(super) fn send(&mut self, to: NodeId, message: Message<C>) {
        if to == self.id {
            let handled = self.handle_message(self.id, message);
            assert!(handled.is_ok(), "a node rejects its own message: {handled:?}");
        } else {
            self.out.push_back(Output::Send { to: vec![to], message });
        }
    }

    pub(super) fn broadcast(&mut self, message: Message<C>) {
        let to = self.membership.others(self.id);
        if !to.is_empty() {
            self.out.push_back(Output::Send { to, message });
        }
    }

    /// What to do next, or `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output<C>> {
        if self.out.is_empty() {
            self.flush();
        }
        self.out.pop_front()
    }

    /// Turns what has gathered since the last call into outputs: batches form here by themselves.
    fn flush(&mut self) {
        self.propose_queued();
        self.notify_commit();
        self.ask_for_reads();
        self.deliver();
        if let Some(token) = self.open_write.take() {
            let through = self.learner.through();
            if self.holding.lacks(through) {
                self.holding.record(token, through);
                self.records.push(Record::Commit { through });
            }
            let state = self.hard_state();
            self.out.push_back(Output::Persist { token, state, records: std::mem::take(&mut self.records) });
        }
    }

    fn deliver(&mut self) {
        while self.delivered < self.learner.through() {
            let slot = self.delivered.next();
            let entry = self.learner.chosen(slot).cloned();
            let entry = entry.expect("a slot is truncated only after it was delivered and applied");
            self.delivered = slot;
            self.out.push_back(Output::Chosen { slot, entry });
        }
    }

    // ---- messages ---------------------------------------------------------------------------------

    /// Takes a message of another node, or one of its own that a write held back.
    ///
    /// # Errors
    /// A [`Rejection`] if no correct node could have sent it. It has then changed nothing.
    pub fn handle_message(&mut self, from: NodeId, message: Message<C>) -> Result<(), Rejection> {
        let collecting = self.leader.as_ref().filter(|leader| !leader.is_leading()).map(Leader::ballot);
        rejection::check(&self.membership, self.learner.heard(), collecting, from, &message)?;
        match message {
            Message::Prepare { ballot, from: first } => self.handle_prepare(from, ballot, first),
            Message::Promise(promise) => self.handle_promise(from, promise),
            Message::Nack { ballot, promised } => self.handle_nack(ballot, promised),
            Message::Accept { ballot, slot, entry, commit } => {
                self.handle_accept(from, ballot, slot, entry);
                self.handle_commit(from, ballot, commit);
            }
            Message::Accepted { ballot, slots } => self.handle_accepted(from, ballot, &slots),
            Message::Commit { ballot, through } => self.handle_commit(from, ballot, through),
            Message::Fetch { from: first } => self.handle_fetch(from, first),
            Message::Fetched { from: first, entries, chosen, truncated } => {
                self.handle_fetched(from, first, entries, chosen, truncated);
            }
            Message::Heartbeat { round, commit } => {
                if let Some((ballot, through)) = commit {
                    self.election.follow(ballot);
                    self.yield_to_higher();
                    self.handle_commit(from, ballot, through);
                }
                let health = self.health();
                self.send(from, Message::HeartbeatReply { round, health });
            }
            Message::HeartbeatReply { round, health } => {
                self.election.handle_reply(from, round, health);
                self.learner.hear(health.knows);
                self.yield_to_higher();
                if health.holds > self.learner.through() {
                    self.fetch_if_behind(from);
                }
            }
            Message::PreCheck { ballot } => self.handle_pre_check(from, ballot),
            Message::PreCheckReply { ballot, granted, promised } => {
                self.judge_pre_check(Some((from, ballot, granted, promised)));
            }
            Message::Confirm { ballot, round } => self.handle_confirm(from, ballot, round),
            Message::Confirmed { ballot, round } => self.handle_confirmed(from, ballot, round),
            Message::ReadIndex { read } => self.handle_read_index(from, read),
            Message::ReadIndexReply { read, slot } => self.handle_read_index_reply(read, slot),
        }
        Ok(())
    }

    // ---- acceptor ---------------------------------------------------------------------------------

    fn handle_prepare(&mut self, from: NodeId, ballot: Ballot, first: Slot) {
        self.election.hear(ballot);
        let answer = self.acceptor.handle_prepare(ballot, first, &self.learner);
        self.answer(from, answer);
    }

    fn handle_accept(&mut self, from: NodeId, ballot: Ballot, slot: Slot, entry: Entry<C>) {
        if slot <= self.learner.truncated() {
            // Chosen and covered by a checkpoint: the vote is no longer held and none is needed. The
            // leader that asks is behind and learns from its peers' health.
            return;
        }
        let elsewhere = self.learner.chosen(slot).is_some_and(|chosen| *chosen != entry);
        if elsewhere && ballot >= self.acceptor.promised() {
            // A leader below the ballot that chose: it cannot win here, and learns why from this member's
            // health. Its proposal may be ignored without affecting safety.
            return;
        }
        let answer = self.acceptor.handle_accept(ballot, slot, entry);
        if ballot >= self.acceptor.promised() {
            self.election.follow(ballot);
            self.yield_to_higher();
        }
        self.answer(from, answer);
    }

    fn answer(&mut self, to: NodeId, answer: Answer<C>) {
        let changed = answer.promise_raised || answer.record.is_some();
        let token = if changed { self.write() } else { self.gate.issued() };
        if answer.promise_raised {
            self.promise_token = token;
        }
        self.records.extend(answer.record);
        self.seal(token, to, answer.message);
        if !changed || mutant!(ReplyBeforeWrite) {
            self.release();
        }
    }

    /// The promise, unless a raise of it is still on its way to the disk.
    pub(super) fn durable_promise(&self) -> Option<Ballot> {
        (self.promise_token <= self.gate.durable()).then(|| self.acceptor.promised())
    }

    // ---- leadership -------------------------------------------------------------------------------

    /// Asks whether a higher ballot would be promised. Changes nothing durable anywhere.
    pub fn pre_check(&mut self) {
        let ballot = self.election.start_pre_check(self.membership.acceptors());
        self.broadcast(Message::PreCheck { ballot });
        self.judge_pre_check(None);
    }

    fn handle_pre_check(&mut self, from: NodeId, ballot: Ballot) {
        let happy = self.election.is_happy() && !mutant!(HappyLeaderDisturbed);
        let granted = ballot > self.acceptor.promised() && !happy;
        mark!(LeaderSavedByPreCheck if happy && ballot > self.acceptor.promised());
        let promised = self.durable_promise();
        self.send(from, Message::PreCheckReply { ballot, granted, promised });
    }

    fn judge_pre_check(&mut self, answer: Option<(NodeId, Ballot, bool, Option<Ballot>)>) {
        match self.election.pre_check(answer, self.membership.acceptors()) {
            PreCheck::Open => {}
            PreCheck::Refused => self.refused = true,
            PreCheck::Granted(ballot) => {
                if ballot > self.acceptor.promised() && ballot > self.used {
                    self.campaign(ballot);
                } else {
                    self.refused = true;
                }
            }
        }
    }

    /// Gives up a pre-check or a phase 1 that did not complete in time.
    pub fn abandon_candidacy(&mut self) {
        let checking = self.election.abandon_pre_check();
        let preparing = self.leader.as_ref().is_some_and(|leader| !leader.is_leading());
        if preparing {
            self.leader = None;
        }
        self.refused |= checking || preparing;
    }

    /// Whether a candidacy failed since the last call: time to back off.
    pub fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Runs phase 1 with `ballot` for every slot from the first unchosen one.
    ///
    /// # Panics
    /// If the ballot is not this node's or was used before: a ballot serves one leadership.
    pub fn campaign(&mut self, ballot: Ballot) {
        assert!(
            ballot.node == self.id && ballot > self.used,
            "{ballot} is not a fresh ballot of {}: {} was used",
            self.id,
            self.used
        );
        self.used = ballot;
        let from = self.learner.through().next();
        let queue = self.leader.take().map_or(VecDeque::new(), Leader::into_queue);
        // Rounds of the ballot before will not be answered any more.
        self.abandon_reads();
        self.leader = Some(Leader::prepare(ballot, from, self.membership.acceptors(), queue));
        let token = self.write();
        self.used_token = token;
        for other in self.membership.acceptors().acceptors().collect::<Vec<_>>() {
            if other != self.id && mutant!(PrepareBeforeWrite) {
                self.send(other, Message::Prepare { ballot, from });
            } else if other != self.id {
                self.seal(token, other, Sealed::new(Message::Prepare { ballot, from }));
            }
        }
        // The node's own promise shares the write that makes the ballot durable.
        self.handle_prepare(self.id, ballot, from);
    }

    /// Runs phase 1 again for what no connected member holds, among connected members. A promise of another may speak of
    /// a prefix that this node will never get.
    pub fn campaign_among_connected(&mut self) {
        self.campaign(self.election.next_ballot());
        if let Some(leader) = &mut self.leader {
            leader.count_connected_only();
        }
    }

    /// Sends again what was not answered: lost messages are nothing but late ones.
    pub fn resend(&mut self) {
        if mutant!(NothingSentAgain) {
            return;
        }
        if let Some(leader) = &self.leader {
            let ballot = leader.ballot();
            if leader.is_leading() {
                self.resend_proposals();
            } else if self.used_token <= self.gate.durable() {
                let message = Message::Prepare { ballot, from: leader.from() };
                for node in leader.missing_promises(self.membership.acceptors()) {
                    self.send(node, message.clone());
                }
            }
        }
    }

    fn resend_proposals(&mut self) {
        let Some((ballot, commit)) = self.notice() else { return };
        let Some(leader) = &self.leader else { return };
        let mut messages = Vec::new();
        for node in self.membership.others(self.id) {
            if !self.membership.acceptors().contains(node) {
                continue;
            }
            for Proposal { slot, entry } in leader.unanswered(node).take(self.window.slots) {
                messages.push((node, Message::Accept { ballot, slot, entry, commit }));
            }
        }
        mark!(ProposalSentAgain if !messages.is_empty());
        for (node, message) in messages {
            self.out.push_back(Output::Send { to: vec![node], message });
        }
    }

    fn handle_promise(&mut self, from: NodeId, promise: Promise<C>) {
        let acceptors = self.membership.acceptors();
        let connected = from == self.id || self.election.connected().contains_key(&from);
        let Some(leader) = &mut self.leader else { return };
        if leader.counts_connected_only() && !connected {
            return;
        }
        let Some(recovery) = leader.handle_promise(from, promise, acceptors, &self.learner, &self.window)
        else {
            return;
        };
        let ballot = leader.ballot();
        self.election.follow(ballot);
        self.begin_phase2(recovery);
    }

    fn begin_phase2(&mut self, recovery: Recovery<C>) {
        for (slot, entry) in recovery.learned {
            self.learn_fetched(slot, entry);
        }
        for proposal in recovery.proposals {
            self.propose_slot(proposal);
        }
        // Everybody hears of the new leader at once, not at the end of a round: nobody else need offer itself.
        if let Some(commit) = self.notice() {
            let round = self.election.round();
            // A base may lie below what this node told of as an earlier leader.
            self.commit_sent = self.commit_sent.min(commit.1);
            self.broadcast(Message::Heartbeat { round, commit: Some(commit) });
        }
        if let Some((chosen, source)) = recovery.chosen {
            self.learner.hear(chosen);
            self.fetching = false;
            self.fetch_if_behind(source);
        }
    }

    /// Takes a command, if this node leads or is about to. Returns it otherwise.
    ///
    /// # Errors
    /// The command itself, for the leader that `election().leader()` names.
    pub fn propose(&mut self, command: C) -> Result<(), C> {
        match &mut self.leader {
            Some(leader) => {
                leader.enqueue(command);
                Ok(())
            }
            None => Err(command),
        }
    }

    fn propose_queued(&mut self) {
        while let Some(leader) = &mut self.leader {
            let Some(proposal) = leader.next_proposal(self.membership.acceptors(), &self.window) else {
                break;
            };
            self.propose_slot(proposal);
        }
    }

    /// Phase 2a. The leader's disk works beside its followers': its own vote is a message to itself.
    fn propose_slot(&mut self, proposal: Proposal<C>) {
        let Some((ballot, commit)) = self.notice() else { return };
        let Proposal { slot, entry } = proposal;
        self.commit_sent = commit;
        self.broadcast(Message::Accept { ballot, slot, entry: entry.clone(), commit });
        self.handle_accept(self.id, ballot, slot, entry);
    }

    fn handle_accepted(&mut self, from: NodeId, ballot: Ballot, slots: &[Slot]) {
        for slot in slots {
            let Some(leader) = &mut self.leader else { return };
            if leader.ballot() != ballot && !mutant!(VotesOfOtherBallotsCounted) {
                mark!(VoteOfOtherBallotIgnored);
                return;
            }
            if let Some(entry) = leader.handle_accepted(from, *slot, self.membership.acceptors()) {
                self.learner.learn(*slot, entry);
                self.record_unless_voted(*slot);
            }
        }
    }

    fn handle_nack(&mut self, ballot: Ballot, promised: Ballot) {
        self.election.hear(promised);
        let refused = self
            .leader
            .as_ref()
            .is_some_and(|leader| leader.ballot() == ballot && promised > ballot && !leader.is_leading());
        if refused {
            mark!(DuelLost);
            self.leader = None;
            self.refused = true;
        }
    }

    /// A leader that follows another's higher ballot leads no more.
    pub(super) fn yield_to_higher(&mut self) {
        let lost = self.leader.as_ref().is_some_and(|leader| self.election.leader() > Some(leader.ballot()));
        if lost {
            mark!(LeaderSteppedDown);
            self.stop_leading();
        }
    }

    pub(super) fn stop_leading(&mut self) {
        self.leader = None;
        self.abandon_reads();
    }

    fn abandon_reads(&mut self) {
        for read in self.confirmations.abandon() {
            self.answer_read(read, None);
        }
    }

    /// Tells a leader of what was learned elsewhere. One that proposed something else has lost its ballot.
    pub(super) fn leader_learns(&mut self, slot: Slot, entry: &Entry<C>) {
        let lost = self.leader.as_mut().is_some_and(|leader| leader.handle_chosen(slot, entry));
        mark!(LeaderLostBallot if lost);
        if lost && !mutant!(LeaderKeepsLostBallot) {
            self.stop_leading();
        }
    }

    // ---- learning ---------------------------------------------------------------------------------

    fn handle_commit(&mut self, from: NodeId, ballot: Ballot, through: Slot) {
        let learned = self.learner.handle_commit(ballot, through, &self.acceptor);
        for (slot, entry) in learned {
            self.leader_learns(slot, &entry);
        }
        self.fetch_if_behind(from);
    }

    /// The commit notice of this node, if it leads: its ballot, and the last slot of the prefix that it knows to be chosen
    /// and in which it proposed at that ballot nothing or the chosen value.
    pub(super) fn notice(&mut self) -> Option<(Ballot, Slot)> {
        let leader = self.leader.as_mut().filter(|leader| leader.is_leading())?;
        let through = leader.committed(&self.learner);
        let through = if mutant!(NoticeByHearsay) { through.max(self.learner.heard()) } else { through };
        Some((leader.ballot(), through))
    }

    fn notify_commit(&mut self) {
        let Some((ballot, through)) = self.notice() else { return };
        if self.commit_sent < through {
            mark!(NoticeBeyondHeld if through > self.learner.through());
            self.commit_sent = through;
            self.broadcast(Message::Commit { ballot, through });
        }
    }
}
