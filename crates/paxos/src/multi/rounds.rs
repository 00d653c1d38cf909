//! Rounds of heartbeats: what a member tells of itself, and what it makes of the others' answers.

use synod_probe::mark;

use crate::ballot::Ballot;
use crate::multi::core::Core;
use crate::multi::election::Leading;
use crate::multi::entry::Command;
use crate::multi::leader::Leader;
use crate::multi::message::{Health, Message};

impl<C: Command> Core<C> {
    /// How this member answers a heartbeat.
    pub(super) fn health(&self) -> Health {
        let leads = self.leader.as_ref().filter(|leader| leader.is_leading()).map(Leader::ballot);
        Health {
            promised: self.durable_promise(),
            leader: leads.or(self.election.leader()),
            happy: self.election.is_happy(),
            holds: self.holding.durable(),
            knows: self.learner.heard(),
            truncated: self.learner.truncated(),
            stalled: self.is_stalled(),
            electable: self.election.is_electable(self.membership.acceptors()),
        }
    }

    /// Ends a round of heartbeats and starts the next. A stalled leader gives way to a healthier member if it `may`.
    pub fn end_round(&mut self, may_give_way: bool) {
        self.election.end_round();
        let leading = self.leader.as_ref().map(|leader| Leading {
            ballot: leader.ballot(),
            complete: leader.is_leading(),
            own_promise: self.durable_promise() == Some(leader.ballot()),
        });
        let acceptors = self.membership.acceptors();
        let leads = leading.map(|leading| self.election.has_quorum(leading, acceptors));
        self.gives_way = leads == Some(true) && may_give_way && self.is_outdone();
        mark!(StalledLeaderMadeWay if self.gives_way);
        self.election.judge(leads.map(|leads| leads && !self.gives_way));
        self.yield_to_higher();
        self.write_down_commit();
        let commit = self.notice();
        let round = self.election.round();
        self.broadcast(Message::Heartbeat { round, commit });
        if let Some(source) = self.election.best_source(self.learner.through().next()) {
            self.fetching = false;
            self.fetch_if_behind(source);
        }
        self.go_higher_if_outbid(leading.map(|leading| leading.ballot));
    }

    /// A leader of `ballot` that some acceptor outbid, but that still has its quorum, goes above it: one acceptor with a
    /// higher promise does not depose it. It waits for a second round to show the same: in the first, the quorum may have
    /// answered before it promised more to a candidate that is about to lead.
    fn go_higher_if_outbid(&mut self, ballot: Option<Ballot>) {
        let outbid = ballot.filter(|ballot| {
            let promised_more = self.election.is_outbid(*ballot) || self.acceptor.promised() > *ballot;
            self.election.is_happy() && promised_more
        });
        let before = std::mem::replace(&mut self.outbid, outbid);
        if outbid.is_some() && before == outbid {
            mark!(LeaderWentHigher);
            self.campaign(self.election.next_ballot());
        }
    }

    /// A commit record usually shares the write of the next vote. Where none follows, it gets a write of its own:
    /// otherwise members at rest would never say that they hold what was chosen last.
    fn write_down_commit(&mut self) {
        if self.holding.lacks(self.learner.through()) {
            self.write();
        }
    }

    /// Whether this node leads, could go on, and gives way to a healthier member.
    pub fn gives_way(&self) -> bool {
        self.gives_way && self.leader.is_some()
    }

    /// Whether this node should offer itself, by what the last round showed, unless it gives way.
    pub fn may_campaign(&self) -> bool {
        let preparing = self.leader.as_ref().is_some_and(|leader| !leader.is_leading());
        !preparing && self.election.may_campaign(self.membership.acceptors())
    }

    /// The driver's judgement of its applier, its disk and its proposals.
    pub fn set_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Whether this node should not lead if another can.
    fn is_stalled(&self) -> bool {
        self.stalled || self.needs_checkpoint()
    }

    /// Whether the next slot is gone from the logs of all that answered in the last round.
    pub fn needs_checkpoint(&self) -> bool {
        self.election.is_truncated(self.learner.through().next())
    }

    /// Whether this node is stalled and a member answered in the last round that could lead in its place.
    pub fn is_outdone(&self) -> bool {
        self.is_stalled() && self.election.knows_healthier(self.membership.acceptors())
    }
}
