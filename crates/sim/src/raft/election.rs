//! Elections: pre-vote, votes, and a leader that nobody answers.

use std::collections::BTreeSet;

use synod_paxos::multi::entry::Command;
use synod_paxos::node::NodeId;
use synod_paxos::time::Time;
use synod_probe::{mark, mutant};

use crate::raft::log::{Entry, Position};
use crate::raft::message::Message;
use crate::raft::node::{Progress, Raft, Role};

impl<C: Command> Raft<C> {
    /// The time to wait for a leader is over: asks whether an election could be won (§9.6).
    pub(super) fn ask_around(&mut self, now: Time) {
        self.put_off(now);
        self.heard = None;
        self.role = Role::PreCandidate { granted: [self.id].into() };
        let message = Message::PreVote { term: self.term + 1, last: self.log.last() };
        self.send(self.others(), message);
        self.judge_pre_votes(now);
    }

    /// Would this node vote? Not as long as it hears of a leader.
    pub(super) fn handle_pre_vote(&mut self, now: Time, from: NodeId, term: u64, last: Position) {
        let led = self.leads() || self.heard.is_some_and(|heard| now - heard < self.patience);
        let granted = term > self.term && !led && self.log.is_matched_by(last);
        mark!(LeaderSavedByPreCheck if led && term > self.term);
        let term = if granted { term } else { self.term };
        self.hold(from, Message::PreVoted { term, granted });
    }

    pub(super) fn handle_pre_voted(&mut self, now: Time, from: NodeId, term: u64, granted: bool) {
        let ours = term == self.term + 1;
        if let Role::PreCandidate { granted: votes } = &mut self.role
            && granted
            && ours
        {
            votes.insert(from);
            self.judge_pre_votes(now);
        }
    }

    fn judge_pre_votes(&mut self, now: Time) {
        if let Role::PreCandidate { granted } = &self.role
            && granted.len() >= self.majority()
        {
            self.stand(now);
        }
    }

    /// Begins a term and asks for votes (§3.4). Its own comes as a message to itself, when it is durable.
    fn stand(&mut self, now: Time) {
        self.put_off(now);
        self.set_term(self.term + 1, Some(self.id));
        self.role = Role::Candidate { granted: BTreeSet::new() };
        let (term, last) = (self.term, self.log.last());
        for other in self.others() {
            self.hold(other, Message::Vote { term, last });
        }
        self.hold(self.id, Message::Voted { term, granted: true });
    }

    pub(super) fn handle_vote(&mut self, now: Time, from: NodeId, term: u64, last: Position) {
        let free = self.voted.is_none_or(|voted| voted == from) || mutant!(RaftVotesTwice);
        let up_to_date = self.log.is_matched_by(last);
        mark!(StaleLogNotElected if term == self.term && free && !up_to_date);
        let granted = term == self.term && free && up_to_date;
        if granted {
            if self.voted != Some(from) {
                self.set_term(term, Some(from));
            }
            self.put_off(now);
        }
        let term = self.term;
        self.hold(from, Message::Voted { term, granted });
    }

    pub(super) fn handle_voted(&mut self, now: Time, from: NodeId, term: u64, granted: bool) {
        let (current, majority) = (self.term, self.majority());
        if let Role::Candidate { granted: votes } = &mut self.role
            && granted
            && term == current
        {
            votes.insert(from);
            if votes.len() >= majority {
                self.lead(now);
            }
        }
    }

    /// Elected. An entry of the new term, empty if need be, commits what was left by earlier ones (§6.4).
    fn lead(&mut self, now: Time) {
        let next = self.log.last().index + 1;
        let progress = Progress { next, matched: 0, seen: 0, probing: true, answered: now };
        let followers = self.others().into_iter().map(|node| (node, progress)).collect();
        self.role = Role::Leader { followers };
        self.heard = None;
        self.deadline = now + self.patience / 5;
        self.append(Entry { term: self.term, commands: Vec::new() });
        for node in self.others() {
            self.send_entries(node, true);
        }
    }

    /// Another term begins, or its leader is known: whatever this node was, it follows.
    pub(super) fn follow(&mut self, now: Time, term: u64, leader: Option<NodeId>) {
        if term > self.term {
            if self.leads() {
                mark!(LeaderSteppedDown);
                self.role = Role::Follower { leader: None };
                self.put_off(now);
            }
            self.set_term(term, None);
        }
        assert!(!self.leads() || leader.is_none(), "{leader:?} leads in t{term}, in which {} leads", self.id);
        self.role = Role::Follower { leader };
        if leader.is_some() {
            self.heard = Some(now);
            self.put_off(now);
        }
    }

    /// A leader whom no majority has answered for an election timeout is of no use (§6.2).
    pub(super) fn check_quorum(&mut self, now: Time) -> bool {
        let Role::Leader { followers } = &self.role else { return false };
        let answering = followers.values().filter(|follower| now - follower.answered < self.patience).count();
        let lost = answering + 1 < self.majority();
        mark!(LeaderWithoutQuorumStopped if lost);
        if lost {
            self.role = Role::Follower { leader: None };
            self.put_off(now);
        }
        lost
    }
}
