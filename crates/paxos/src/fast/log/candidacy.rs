//! Candidacy: how a node comes to lead, stays there, and gives way. Who may is decided as in Multi-Paxos.

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::durable::Sealed;
use crate::fast::log::core::Core;
use crate::fast::log::grant::Grant;
use crate::fast::log::leader::{Leader, Recovery};
use crate::fast::log::message::{Lead, Message, Promise};
use crate::fast::log::record::Record;
use crate::fast::round::Round;
use crate::multi::election::{Leading, PreCheck};
use crate::multi::entry::Command;
use crate::node::NodeId;

impl<C: Command> Core<C> {
    /// Ends a round of heartbeats and starts the next. A leader that some acceptor outbid, but that still has its quorum,
    /// goes above it: one acceptor with a higher promise does not depose it.
    pub fn end_round(&mut self) {
        let leading = self.leader.as_ref().map(|leader| Leading {
            ballot: leader.ballot(),
            complete: leader.is_leading(),
            own_promise: self.durable_promise() == Some(leader.ballot()),
        });
        self.election.end_round();
        let leads = leading.map(|leading| self.election.has_quorum(leading, self.quorums.classic()));
        let gives_way = leads == Some(true) && self.is_outdone();
        mark!(StalledLeaderMadeWay if gives_way);
        self.election.judge(leads.map(|leads| leads && !gives_way));
        self.yield_to_higher();
        let round = self.election.round();
        let lead =
            self.leading().map(|leader| Lead { grant: *leader.grant(), chosen: self.learner.through() });
        self.send(self.others(), Message::Heartbeat { round, lead });
        if let Some(source) = self.election.best_source(self.learner.through().next()) {
            self.fetching = false;
            self.fetch_if_behind(source);
        }
        if let Some(leading) = leading.filter(|_| self.election.is_happy())
            && (self.election.is_outbid(leading.ballot) || self.acceptor.promised() > leading.ballot)
        {
            mark!(LeaderWentHigher);
            let ballot = self.election.next_ballot();
            self.campaign(ballot);
        }
    }

    /// Whether a fast quorum could answer, by what the last round showed.
    pub fn may_be_fast(&self) -> bool {
        self.election.connected().len() + 1 >= self.quorums.fast_size()
    }

    /// Whether this node should offer itself, by what the last round showed.
    pub fn may_campaign(&self) -> bool {
        let preparing = self.leader.as_ref().is_some_and(|leader| !leader.is_leading());
        !self.is_outdone() && !preparing && self.election.may_campaign(self.quorums.classic())
    }

    /// Whether this node is stalled and a node answered in the last round that could lead in its place.
    fn is_outdone(&self) -> bool {
        self.stalled && self.election.knows_healthier(self.quorums.classic())
    }

    /// The driver's judgement of its disk: a stalled node does not lead if another can.
    pub fn set_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Asks whether a higher ballot would be promised. Changes nothing durable anywhere.
    pub fn pre_check(&mut self) {
        let ballot = self.election.start_pre_check(self.quorums.classic());
        self.send(self.others(), Message::PreCheck { ballot });
        self.judge_pre_check(None);
    }

    pub(super) fn handle_pre_check(&mut self, from: NodeId, ballot: Ballot) {
        let happy = self.election.is_happy() && !mutant!(HappyLeaderDisturbed);
        let granted = ballot > self.acceptor.promised() && !happy;
        mark!(LeaderSavedByPreCheck if happy && ballot > self.acceptor.promised());
        let promised = self.durable_promise();
        self.send(vec![from], Message::PreCheckReply { ballot, granted, promised });
    }

    pub(super) fn judge_pre_check(&mut self, answer: Option<(NodeId, Ballot, bool, Option<Ballot>)>) {
        match self.election.pre_check(answer, self.quorums.classic()) {
            PreCheck::Open => {}
            PreCheck::Refused => self.refused = true,
            PreCheck::Granted(ballot) if ballot > self.acceptor.promised() && ballot > self.used => {
                self.campaign(ballot);
            }
            PreCheck::Granted(_) => self.refused = true,
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
        self.election.hear(ballot);
        let from = self.learner.through().next();
        self.leader = Some(Leader::prepare(ballot, from, &self.quorums));
        self.used_token = self.write();
        self.records.push(Record::Used(ballot));
        let prepare = Message::Prepare { ballot, from };
        if mutant!(PrepareBeforeWrite) {
            self.send(self.others(), prepare.clone());
        }
        self.hold(self.everybody(), Sealed::new(prepare));
    }

    /// Sends again what was not answered: lost messages are nothing but late ones.
    pub fn ask_again(&mut self) {
        if mutant!(NothingSentAgain) {
            return;
        }
        let mut letters = Vec::new();
        if let Some(leader) = &self.leader {
            let ballot = leader.ballot();
            if !leader.is_leading() && self.used_token <= self.gate.durable() {
                let prepare = Message::Prepare { ballot, from: leader.from() };
                letters.push((leader.missing_promises(&self.quorums), prepare));
            }
            for (slot, entry) in leader.in_flight() {
                let silent = self.tallies.silent(*slot, Round::closed(ballot), self.everybody().into_iter());
                letters.push((silent, Message::Accept { ballot, entries: vec![(*slot, entry.clone())] }));
            }
        }
        if let Some(Grant { ballot, .. }) = self.writer.grant().copied() {
            for (slot, entry) in self.writer.writing() {
                let silent = self.tallies.silent(*slot, Round::open(ballot), self.everybody().into_iter());
                letters.push((silent, Message::Propose { ballot, entries: vec![(*slot, entry.clone())] }));
            }
        }
        mark!(ProposalSentAgain if !letters.is_empty());
        for (to, message) in letters {
            self.send(to, message);
        }
    }

    pub(super) fn handle_promise(&mut self, from: NodeId, promise: Promise<C>) {
        let Some(leader) = &mut self.leader else { return };
        let Some(recovery) = leader.handle_promise(from, promise, &self.quorums, &self.learner) else {
            return;
        };
        let grant = *leader.grant();
        self.election.follow(grant.ballot);
        self.begin_phase2(recovery, grant);
    }

    fn begin_phase2(&mut self, recovery: Recovery<C>, grant: Grant) {
        // Everybody hears of the new leader at once, not at the end of a round: nobody else need offer itself.
        self.send(self.everybody(), Message::Any(grant));
        for (slot, entry) in recovery.learned {
            self.learn(slot, entry);
        }
        if !recovery.proposals.is_empty() {
            let accept = Message::Accept { ballot: grant.ballot, entries: recovery.proposals };
            self.send(self.everybody(), accept);
        }
        if let Some((chosen, source)) = recovery.chosen {
            self.learner.hear(chosen);
            self.fetching = false;
            self.fetch_if_behind(source);
        }
    }

    pub(super) fn handle_nack(&mut self, ballot: Ballot, promised: Ballot) {
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
        if self.leader.as_ref().is_some_and(|leader| self.election.leader() > Some(leader.ballot())) {
            mark!(LeaderSteppedDown);
            self.leader = None;
        }
    }
}
