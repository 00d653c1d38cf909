//! Who leads: by connectivity to a quorum, not by the longest log.
//!
//! In rounds every member asks every other how it is. A member is *connected* to those that answered in
//! the round. It is *happy* if progress is possible as far as it can see: a leader, if a phase 2 quorum's
//! promise is exactly its ballot; a follower, if its leader says so of itself. Only a member that is
//! unhappy, connected to a phase 1 quorum and told of no happy leader offers itself. That is what the three
//! partial-connectivity topologies need (OmniPaxos, EuroSys 2023, §5).

use std::collections::BTreeMap;

use synod_probe::{mark, mutant};

use crate::ballot::Ballot;
use crate::multi::message::Health;
use crate::node::NodeId;
use crate::quorum::{Phase1Quorum, QuorumSystem};
use crate::slot::Slot;

/// What a member knows of the others' health.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    id: NodeId,
    round: u64,
    answers: BTreeMap<NodeId, Health>,
    /// The answers of the last complete round: who is connected.
    connected: BTreeMap<NodeId, Health>,
    happy: bool,
    leader: Option<Ballot>,
    highest: Ballot,
    candidacy: Option<Candidacy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidacy {
    ballot: Ballot,
    granted: Phase1Quorum,
}

/// What the answers to a pre-check say so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreCheck {
    /// Too few have answered.
    Open,
    /// A phase 1 quorum would promise: go on to the real `Prepare`.
    Granted(Ballot),
    /// Somebody would not: wait and look again.
    Refused,
}

/// The leader's view of its own standing, for the end of a round.
#[derive(Clone, Copy, Debug)]
pub struct Leading {
    /// Its ballot.
    pub ballot: Ballot,
    /// Whether its phase 1 is complete for every slot.
    pub complete: bool,
    /// Whether its own acceptor's durable promise is exactly this ballot.
    pub own_promise: bool,
}

impl Election {
    /// A member that has heard of nothing but ballots up to `highest`.
    pub fn new(id: NodeId, highest: Ballot) -> Election {
        Election {
            id,
            round: 0,
            answers: BTreeMap::new(),
            connected: BTreeMap::new(),
            happy: false,
            leader: None,
            highest,
            candidacy: None,
        }
    }

    /// Whether progress is possible, as far as this member could see at the end of the last round.
    pub fn is_happy(&self) -> bool {
        self.happy
    }

    /// The running round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The leader that this member follows, perhaps itself.
    pub fn leader(&self) -> Option<Ballot> {
        self.leader
    }

    /// By whom to reach the leader of `ballot`: itself, or, when it has not answered in the last round, a member
    /// that has and that follows it happily. Links fail one by one and in one direction.
    pub fn way_to(&self, ballot: Ballot) -> NodeId {
        if ballot.node == self.id || self.connected.contains_key(&ballot.node) {
            return ballot.node;
        }
        let mut followers = self.connected.iter();
        let by = followers.find(|(_, health)| health.happy && health.leader == Some(ballot));
        by.map_or(ballot.node, |(node, _)| *node)
    }

    /// The ballot to use next: above everything heard of.
    pub fn next_ballot(&self) -> Ballot {
        self.highest.successor(self.id)
    }

    /// Members that answered in the last round, with what they said.
    pub fn connected(&self) -> &BTreeMap<NodeId, Health> {
        &self.connected
    }

    /// Somebody uses or has promised `ballot`.
    pub fn hear(&mut self, ballot: Ballot) {
        self.highest = self.highest.max(ballot);
    }

    /// `ballot`'s proposer leads: it says so, or it proposes.
    pub fn follow(&mut self, ballot: Ballot) {
        self.hear(ballot);
        if self.leader < Some(ballot) {
            self.leader = Some(ballot);
            self.happy = false;
        }
    }

    /// Takes an answer to this round's heartbeat; answers to earlier rounds come too late.
    pub fn handle_reply(&mut self, from: NodeId, round: u64, health: Health) {
        if let Some(promised) = health.promised {
            self.hear(promised);
        }
        if let Some(leader) = health.leader {
            self.hear(leader);
            if leader.node == from {
                self.follow(leader);
            }
        }
        if round == self.round {
            self.answers.insert(from, health);
        }
    }

    /// Ends the running round and starts the next. Who answered is connected.
    pub fn end_round(&mut self) {
        self.connected = std::mem::take(&mut self.answers);
        self.round += 1;
    }

    /// Judges the round that has ended: a leader by `leads`, any other by what its leader says.
    pub fn judge(&mut self, leads: Option<bool>) {
        self.happy = leads.unwrap_or_else(|| self.follows_happily());
        if !self.happy {
            self.follow_hearsay();
        }
    }

    /// Whether a leader can make progress, by the answers of the round that has ended.
    pub fn has_quorum(&self, leading: Leading, acceptors: &QuorumSystem) -> bool {
        let mut promises = acceptors.phase2();
        if leading.own_promise {
            promises.insert(acceptors, self.id);
        }
        for (node, health) in &self.connected {
            if health.promised == Some(leading.ballot) {
                promises.insert(acceptors, *node);
            }
        }
        leading.complete && promises.is_met()
    }

    /// Whether an acceptor answered that could lead in the place of a stalled one: it may lead, is not stalled, and says
    /// that it is connected to a quorum.
    pub fn knows_healthier(&self, acceptors: &QuorumSystem) -> bool {
        self.connected.iter().any(|(node, health)| {
            let electable = health.electable || mutant!(GivesWayToQuorumless);
            acceptors.contains(*node) && !health.stalled && electable
        })
    }

    /// A leader whose own messages do not get here is known through those who follow it happily.
    fn follow_hearsay(&mut self) {
        let followed = self.connected.values().filter(|health| health.happy);
        if let Some(ballot) = followed.filter_map(|health| health.leader).max() {
            self.follow(ballot);
        }
    }

    fn follows_happily(&self) -> bool {
        let Some(leader) = self.leader else { return false };
        self.connected.get(&leader.node).is_some_and(|health| {
            (health.happy || mutant!(StickyLeaderWithoutQuorum)) && health.leader == Some(leader)
        })
    }

    /// Whether this member may lead and was connected to a phase 1 quorum in the last round.
    pub fn is_electable(&self, acceptors: &QuorumSystem) -> bool {
        let mut reachable = acceptors.phase1();
        reachable.insert(acceptors, self.id);
        for node in self.connected.keys() {
            reachable.insert(acceptors, *node);
        }
        acceptors.contains(self.id) && reachable.is_met()
    }

    /// Whether this member may offer itself, by what the last round showed. Before the end of the first round with answers
    /// of a phase 1 quorum it may not: it cannot know yet whether it lacks what the others have truncated.
    pub fn may_campaign(&self, acceptors: &QuorumSystem) -> bool {
        self.is_electable(acceptors)
            && !self.happy
            && (mutant!(HappyLeaderDisturbed) || !self.connected.values().any(|health| health.happy))
    }

    /// Whether, in the last round, somebody had promised more than `ballot`: a happy leader goes above it.
    pub fn is_outbid(&self, ballot: Ballot) -> bool {
        self.connected.values().any(|health| health.promised > Some(ballot))
    }

    /// The members that answered in the last round and hold `slot` in their logs.
    pub fn holders(&self, slot: Slot) -> impl Iterator<Item = NodeId> {
        let holds = move |health: &Health| health.truncated < slot && slot <= health.holds;
        self.connected.iter().filter(move |(_, health)| holds(health)).map(|(node, _)| *node)
    }

    /// Whether `slot` is held, in a log or a checkpoint, by a member that answered in the last round.
    pub fn is_held(&self, slot: Slot) -> bool {
        self.connected.values().any(|health| slot <= health.holds)
    }

    /// Whether a member whose next slot is `slot` needs a checkpoint: the slot is truncated, and none that answered in the
    /// last round still holds it in its log.
    pub fn is_truncated(&self, slot: Slot) -> bool {
        self.holders(slot).next().is_none() && self.connected.values().any(|health| slot <= health.truncated)
    }

    /// The member to ask for `slot` and what comes after it: one that holds it in its log; else one that holds it; else
    /// one that knows most. What it knows it may hold, though not for good yet.
    pub fn best_source(&self, slot: Slot) -> Option<NodeId> {
        let rank =
            |health: &Health| (health.truncated < slot && slot <= health.holds, health.holds, health.knows);
        self.connected.iter().map(|(node, health)| (rank(health), *node)).max().map(|(_, node)| node)
    }

    /// Starts a pre-check. Returns the ballot to ask about.
    pub fn start_pre_check(&mut self, acceptors: &QuorumSystem) -> Ballot {
        let ballot = self.next_ballot();
        let mut granted = acceptors.phase1();
        granted.insert(acceptors, self.id);
        self.candidacy = Some(Candidacy { ballot, granted });
        ballot
    }

    /// Judges the pre-check after an answer, or without one for a cluster of one member.
    pub fn pre_check(
        &mut self,
        answer: Option<(NodeId, Ballot, bool, Option<Ballot>)>,
        acceptors: &QuorumSystem,
    ) -> PreCheck {
        let Some(candidacy) = &mut self.candidacy else { return PreCheck::Open };
        if let Some((from, ballot, granted, promised)) = answer {
            if ballot != candidacy.ballot {
                return PreCheck::Open;
            }
            if !granted {
                mark!(PreCheckRefused);
                self.candidacy = None;
                self.highest = self.highest.max(promised.unwrap_or(Ballot::ZERO));
                return PreCheck::Refused;
            }
            candidacy.granted.insert(acceptors, from);
        }
        if !candidacy.granted.is_met() {
            return PreCheck::Open;
        }
        let ballot = candidacy.ballot;
        self.candidacy = None;
        PreCheck::Granted(ballot)
    }

    /// Gives up a pre-check that did not complete. Returns whether there was one.
    pub fn abandon_pre_check(&mut self) -> bool {
        self.candidacy.take().is_some()
    }
}
