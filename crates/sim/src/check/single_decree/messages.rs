//! The message-set model of Lamport's `Paxos.tla`, run by the shipped roles.
//!
//! The network is the set of all messages ever sent. None is ever removed, and any may be received at any time or
//! never: that covers loss, duplication and reordering. A ballot belongs to a proposer without memory of its own: it
//! may ask for promises at any time, and propose whenever a quorum's promises are in the network. So the actions are
//! the specification's `Phase1a(b)`, `Phase1b(a)`, `Phase2a(b, v)` and `Phase2b(a)`; what happens in them is done
//! by [`Acceptor`], [`Proposer`] (and `choose` in it) and [`Learner`]. Refusals are projected out: they are never
//! needed for safety.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::durable::{Gate, Sealed, Token};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::QuorumSystem;
use synod_paxos::synod::acceptor::{Acceptor, Answer};
use synod_paxos::synod::learner::Learner;
use synod_paxos::synod::message::Message;
use synod_paxos::synod::options::{Group, Learning};
use synod_paxos::synod::proposer::Proposer;
use synod_paxos::synod::record::Record;

use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::{Ledger, Pairs, Sizes, name};
use crate::check::{Model, Violation, permutations};

/// A configuration of the message-set model.
#[derive(Clone, Debug)]
pub struct Messages {
    sizes: Sizes,
    symmetric: bool,
    restarts: bool,
    group: Arc<Group>,
    /// How many promises the shipped count wants for a quorum.
    promises_needed: usize,
    /// All ways to rename the values, if they are interchangeable.
    renamings: Vec<Vec<usize>>,
}

/// Every acceptor's memory, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    acceptors: Vec<Member>,
    /// Bit b: ballot b asked for promises.
    asked: u64,
    proposals: Pairs,
}

/// An acceptor, what is on its disk, and what it has said.
#[derive(Clone, Debug)]
struct Member {
    acceptor: Acceptor<char>,
    disk: Vec<Record<char>>,
    /// By ballot promised: the reports sent with it. Bit 0 is "no vote", bit 1 + p the vote of pair p.
    promises: Vec<u64>,
    /// Its durable votes; it has told of all of them.
    votes: Pairs,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Phase 1a: ballot `ballot` asks for promises.
    Ask {
        /// Which.
        ballot: usize,
    },
    /// Phase 1b: an acceptor receives the question.
    Prepare {
        /// Who.
        acceptor: usize,
        /// Whose question.
        ballot: usize,
    },
    /// Phase 2a: with the promises of `quorum` the ballot's proposer proposes.
    Propose {
        /// With which ballot.
        ballot: usize,
        /// What it would like to propose.
        wish: usize,
        /// Whose promises it received: bit a is acceptor a.
        quorum: u32,
    },
    /// Phase 2b: an acceptor receives the proposal.
    Accept {
        /// Who.
        acceptor: usize,
        /// Which ballot's.
        ballot: usize,
        /// For what.
        value: usize,
    },
    /// An acceptor crashes and starts again with what is on its disk.
    Restart {
        /// Who.
        acceptor: usize,
    },
}

impl Messages {
    /// The model of this size, every state told apart.
    pub fn new(sizes: Sizes) -> Messages {
        let acceptors = (1..=sizes.acceptors as u64).map(NodeId);
        let acceptors = QuorumSystem::flexible(acceptors, sizes.phase1, sizes.phase2)
            .expect("the sizes of the spaces are those of quorum systems");
        let mut count = acceptors.phase1();
        let promises_needed = acceptors.acceptors().take_while(|node| {
            count.insert(&acceptors, *node);
            !count.is_met()
        });
        let promises_needed = promises_needed.count() + 1;
        let proposers: Vec<NodeId> = (0..sizes.ballots).map(|ballot| owner(ballot).node).collect();
        let group = Group::new(acceptors, proposers, [LEARNER], Learning::Everyone)
            .expect("a group with proposers that has nobody distinguished");
        Messages {
            sizes,
            symmetric: false,
            restarts: false,
            group: Arc::new(group),
            promises_needed,
            renamings: vec![(0..sizes.values).collect()],
        }
    }

    /// Takes states for one that differ in the names of acceptors or values only.
    #[must_use]
    pub fn symmetric(mut self) -> Messages {
        self.symmetric = true;
        self.renamings = permutations(self.sizes.values);
        self
    }

    /// Lets acceptors crash at any time and start again.
    #[must_use]
    pub fn with_restarts(mut self) -> Messages {
        self.restarts = true;
        self
    }
}

const LEARNER: NodeId = NodeId(99);

/// Every ballot is another proposer's, and none of them is an acceptor's.
fn owner(ballot: usize) -> Ballot {
    let ballot = ballot as u64;
    Ballot::new(ballot + 1, NodeId(11 + ballot))
}

/// The number of a ballot, `None` for [`Ballot::ZERO`].
fn number(ballot: Ballot) -> Option<usize> {
    usize::try_from(ballot.round).ok()?.checked_sub(1)
}

fn value_number(value: char) -> usize {
    usize::from(value as u8 - b'A')
}

/// A sealed answer, opened as a driver opens it: its write is done.
fn open<T>(sealed: Sealed<T>) -> T {
    let mut gate = Gate::default();
    gate.hold(Token::default(), sealed);
    gate.pop().expect("it waits for no write")
}

impl Messages {
    fn ledger<'a>(&'a self, votes: &'a [Pairs], proposals: Pairs) -> Ledger<'a> {
        Ledger { sizes: &self.sizes, votes, proposals }
    }

    fn check(&self, state: &State) -> Result<(), Violation> {
        let votes: Vec<Pairs> = state.acceptors.iter().map(|member| member.votes).collect();
        self.ledger(&votes, state.proposals).check(|_| true)?;
        state.acceptors.iter().enumerate().try_for_each(|(at, member)| self.check_promises(at, member))
    }

    /// What an acceptor reported with a promise stays its highest vote below the promised ballot.
    fn check_promises(&self, at: usize, member: &Member) -> Result<(), Violation> {
        for (ballot, reports) in member.promises.iter().enumerate() {
            let truth = match member.votes.highest_below(&self.sizes, ballot) {
                None => 1,
                Some((voted, value)) => 2 << self.sizes.pair(voted, value),
            };
            if reports & !truth != 0 {
                let what = format!(
                    "acceptor {} promised {} and reported something else than its highest vote below, {}",
                    at + 1,
                    ballot + 1,
                    member.votes.highest_below(&self.sizes, ballot).map_or(
                        "none".to_owned(),
                        |(voted, value)| format!("({},{})", voted + 1, name(value))
                    ),
                );
                return Err(Violation { invariant: "phase 1b", what });
            }
        }
        Ok(())
    }

    /// Phase 1b and 2b: the acceptor's answer becomes durable and joins the network.
    fn take(&self, state: &mut State, at: usize, answer: Answer<char>) -> Result<bool, Violation> {
        let member = &mut state.acceptors[at];
        let mut changed = false;
        if let Some(record) = answer.record {
            if let Record::Voted(vote) = &record {
                let ballot = number(vote.ballot).expect("a vote has a ballot");
                member.votes.insert(&self.sizes, ballot, value_number(vote.value));
            }
            changed = true;
            member.disk.push(record);
        }
        let before = "durable before it is told";
        match open(answer.message) {
            Message::Promise { ballot, vote } => {
                if durable(&member.disk).0 < ballot {
                    let what = format!("acceptor {} promised {ballot} and its disk does not say so", at + 1);
                    return Err(Violation { invariant: before, what });
                }
                changed |= self.report(member, at, ballot, vote)?;
            }
            Message::Accepted { ballot, value } => {
                let ballot = number(ballot).expect("a vote has a ballot");
                if !member.votes.contains(&self.sizes, ballot, value_number(value)) {
                    let what = format!("acceptor {} tells of a vote that its disk does not hold", at + 1);
                    return Err(Violation { invariant: before, what });
                }
            }
            _ => {}
        }
        Ok(changed)
    }

    fn report(
        &self,
        member: &mut Member,
        at: usize,
        ballot: Ballot,
        vote: Option<Vote<char>>,
    ) -> Result<bool, Violation> {
        let ballot = number(ballot).expect("somebody asked with it");
        let bit = match &vote {
            None => 1,
            Some(vote) => {
                let pair = number(vote.ballot).map(|voted| self.sizes.pair(voted, value_number(vote.value)));
                let cast = pair.filter(|pair| member.votes.0 >> pair & 1 == 1);
                let Some(pair) = cast else {
                    let what = format!(
                        "acceptor {} reports a vote of {} for {} that it never cast",
                        at + 1,
                        vote.ballot.round,
                        vote.value
                    );
                    return Err(Violation { invariant: "phase 1b", what });
                };
                2 << pair
            }
        };
        let new = member.promises[ballot] & bit == 0;
        member.promises[ballot] |= bit;
        Ok(new)
    }

    fn accept(&self, state: &mut State, at: usize, ballot: usize, value: usize) -> Result<bool, Violation> {
        let member = &mut state.acceptors[at];
        let higher = |bound: usize| {
            (bound..self.sizes.ballots)
                .any(|higher| member.promises[higher] != 0 || member.votes.has_ballot(&self.sizes, higher))
        };
        let (bound, known) = (higher(ballot + 1), member.votes.has_ballot(&self.sizes, ballot));
        let answer = member.acceptor.handle_accept(owner(ballot), name(value));
        let changed = self.take(state, at, answer)?;
        let votes = state.acceptors[at].votes;
        let voted = votes.contains(&self.sizes, ballot, value);
        let (acceptor, ballot) = (at + 1, ballot + 1);
        if bound && voted && !known {
            let what = format!("acceptor {acceptor} voted with {ballot} after it answered a higher ballot");
            return Err(Violation { invariant: "P1a", what });
        }
        if !bound && !voted {
            let what =
                format!("acceptor {acceptor} answered no higher ballot and did not vote with {ballot}");
            return Err(Violation { invariant: "P1", what });
        }
        if changed {
            self.learn(state)?;
        }
        Ok(changed)
    }

    /// A learner that has received every vote there is, the old ones first or the new ones first.
    fn learn(&self, state: &State) -> Result<(), Violation> {
        let votes: Vec<Pairs> = state.acceptors.iter().map(|member| member.votes).collect();
        let ledger = self.ledger(&votes, state.proposals);
        let mut ballots: Vec<usize> = (0..self.sizes.ballots).collect();
        for _ in 0..2 {
            let mut learner = Learner::new(self.group.clone());
            for ballot in &ballots {
                for (at, value) in cast(&votes, &self.sizes, *ballot) {
                    let node = NodeId(at as u64 + 1);
                    if let Some(vote) = learner.handle_accepted(node, owner(*ballot), &name(value)) {
                        ledger.check_learned("a learner", value_number(vote.value))?;
                    }
                }
            }
            ballots.reverse();
        }
        Ok(())
    }

    /// Phase 2a: a proposer of this ballot gets the promises of `quorum`, one after the other.
    fn propose(&self, state: &mut State, ballot: usize, wish: usize, quorum: u32) -> bool {
        let Ballot { round, node } = owner(ballot);
        let mut proposer = Proposer::recover(node, self.group.clone(), []);
        let offered = proposer.propose(name(wish));
        assert!(offered.is_ok(), "it had no candidate");
        proposer.start(Ballot::new(round - 1, NodeId(0)));
        for (at, member) in state.acceptors.iter().enumerate() {
            if quorum >> at & 1 == 0 {
                continue;
            }
            for (ballot, vote) in self.reports(member, ballot) {
                proposer.handle_promise(NodeId(at as u64 + 1), ballot, vote);
            }
        }
        match proposer.accept() {
            Some(Message::Accept { ballot, value }) => {
                let ballot = number(ballot).expect("its own");
                state.proposals.insert(&self.sizes, ballot, value_number(value))
            }
            _ => false,
        }
    }

    /// The promises of `ballot` that an acceptor sent: one, unless it contradicts itself.
    fn reports(&self, member: &Member, ballot: usize) -> impl Iterator<Item = (Ballot, Option<Vote<char>>)> {
        let reports = member.promises[ballot];
        let values = self.sizes.values;
        (0..=ballot * values).filter(move |bit| reports >> bit & 1 == 1).map(move |bit| {
            let vote = bit
                .checked_sub(1)
                .map(|pair| Vote { ballot: owner(pair / values), value: name(pair % values) });
            (owner(ballot), vote)
        })
    }

    /// An acceptor in numbers, its values renamed.
    fn encode(&self, member: &Member, names: &[usize]) -> Encoded {
        let rename = |pairs: u64| {
            let renamed = Pairs(pairs).iter(&self.sizes).map(|(b, v)| 1 << self.sizes.pair(b, names[v]));
            renamed.fold(0_u64, |all, bit| all | bit)
        };
        let vote = |vote: Option<&Vote<char>>| {
            let vote = vote.and_then(|vote| Some((number(vote.ballot)?, names[value_number(vote.value)])));
            vote.map_or(0, |(ballot, value)| 1 + self.sizes.pair(ballot, value) as u8)
        };
        let (promised_on_disk, vote_on_disk) = durable(&member.disk);
        let mut promises = [0; BALLOTS_MAX];
        for (renamed, reports) in promises.iter_mut().zip(&member.promises) {
            *renamed = reports & 1 | rename(reports >> 1) << 1;
        }
        Encoded {
            promised: [member.acceptor.promised().round as u8, promised_on_disk.round as u8],
            vote: [vote(member.acceptor.vote()), vote(vote_on_disk)],
            votes: rename(member.votes.0),
            promises,
        }
    }

    fn encode_all(&self, state: &State, names: &[usize]) -> (u64, Vec<Encoded>) {
        let mut acceptors: Vec<Encoded> =
            state.acceptors.iter().map(|member| self.encode(member, names)).collect();
        if self.symmetric {
            acceptors.sort_unstable();
        }
        let proposals = state
            .proposals
            .iter(&self.sizes)
            .map(|(ballot, value)| 1 << self.sizes.pair(ballot, names[value]));
        (proposals.fold(0, |all, bit: u64| all | bit), acceptors)
    }
}

/// More ballots are not explored.
const BALLOTS_MAX: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Encoded {
    promised: [u8; 2],
    vote: [u8; 2],
    votes: u64,
    promises: [u64; BALLOTS_MAX],
}

/// The promise and the vote that a disk proves.
fn durable(disk: &[Record<char>]) -> (Ballot, Option<&Vote<char>>) {
    let mut promised = Ballot::ZERO;
    let mut last = None;
    for record in disk {
        match record {
            Record::Used(_) => {}
            Record::Promised(ballot) => promised = promised.max(*ballot),
            Record::Voted(vote) => {
                promised = promised.max(vote.ballot);
                last = Some(vote);
            }
        }
    }
    (promised, last)
}

/// Who voted for what with `ballot`.
fn cast(votes: &[Pairs], sizes: &Sizes, ballot: usize) -> impl Iterator<Item = (usize, usize)> {
    votes.iter().enumerate().flat_map(move |(at, votes)| {
        (0..sizes.values)
            .filter(move |value| votes.contains(sizes, ballot, *value))
            .map(move |value| (at, value))
    })
}

impl Model for Messages {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        assert!(self.sizes.ballots <= BALLOTS_MAX, "{:?} has too many ballots", self.sizes);
        let member = Member {
            acceptor: Acceptor::default(),
            disk: Vec::new(),
            promises: vec![0; self.sizes.ballots],
            votes: Pairs::default(),
        };
        vec![State { acceptors: vec![member; self.sizes.acceptors], asked: 0, proposals: Pairs::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for ballot in 0..self.sizes.ballots {
            if state.asked >> ballot & 1 == 0 {
                actions.push(Action::Ask { ballot });
            } else {
                actions
                    .extend((0..self.sizes.acceptors).map(|acceptor| Action::Prepare { acceptor, ballot }));
            }
            // A proposer proposes once with a ballot: its phase 2 ends phase 1.
            if state.proposals.has_ballot(&self.sizes, ballot) {
                continue;
            }
            let promised = |at: usize| state.acceptors[at].promises[ballot] != 0;
            for quorum in 1_u32..1 << self.sizes.acceptors {
                let mut members = (0..self.sizes.acceptors).filter(|at| quorum >> at & 1 == 1);
                if quorum.count_ones() as usize == self.promises_needed && members.all(promised) {
                    actions.extend((0..self.sizes.values).map(|wish| Action::Propose {
                        ballot,
                        wish,
                        quorum,
                    }));
                }
            }
        }
        for (ballot, value) in state.proposals.iter(&self.sizes) {
            actions.extend((0..self.sizes.acceptors).map(|acceptor| Action::Accept {
                acceptor,
                ballot,
                value,
            }));
        }
        if self.restarts {
            actions.extend((0..self.sizes.acceptors).map(|acceptor| Action::Restart { acceptor }));
        }
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let changed = match *action {
            Action::Ask { ballot } => {
                next.asked |= 1 << ballot;
                true
            }
            Action::Prepare { acceptor, ballot } => {
                let answer = next.acceptors[acceptor].acceptor.handle_prepare(owner(ballot));
                self.take(&mut next, acceptor, answer)?
            }
            Action::Propose { ballot, wish, quorum } => self.propose(&mut next, ballot, wish, quorum),
            Action::Accept { acceptor, ballot, value } => self.accept(&mut next, acceptor, ballot, value)?,
            Action::Restart { acceptor } => {
                let member = &mut next.acceptors[acceptor];
                let restarted = Acceptor::recover(&member.disk);
                let changed = restarted != member.acceptor;
                member.acceptor = restarted;
                changed
            }
        };
        if !changed {
            return Ok(None);
        }
        self.check(&next)?;
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let encodings = self.renamings.iter().map(|names| self.encode_all(state, names));
        let representative = encodings.min().expect("there is at least the renaming that changes nothing");
        Fingerprint::of(&(state.asked, representative))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        match *action {
            Action::Ask { ballot } => {
                format!("the proposer of ballot {0} asks all: prepare({0})", ballot + 1)
            }
            Action::Prepare { acceptor, ballot } => {
                let vote = state.acceptors[acceptor].acceptor.vote();
                let vote = vote.map_or("it has not voted".to_owned(), |vote| {
                    format!("it voted ({},{})", vote.ballot.round, vote.value)
                });
                format!("acceptor {} receives prepare({}); {vote}", acceptor + 1, ballot + 1)
            }
            Action::Propose { ballot, wish, quorum } => {
                let members: Vec<String> = (0..self.sizes.acceptors)
                    .filter(|at| quorum >> at & 1 == 1)
                    .map(|at| (at + 1).to_string())
                    .collect();
                let mut next = state.clone();
                self.propose(&mut next, ballot, wish, quorum);
                let new = Pairs(next.proposals.0 & !state.proposals.0);
                let value = new.iter(&self.sizes).next().map_or('?', |(_, value)| name(value));
                let (ballot, members) = (ballot + 1, members.join(" and "));
                format!(
                    "the proposer of ballot {ballot}, promised by {members} and wishing for {}, proposes {value}",
                    name(wish)
                )
            }
            Action::Accept { acceptor, ballot, value } => {
                format!("acceptor {} receives accept({},{})", acceptor + 1, ballot + 1, name(value))
            }
            Action::Restart { acceptor } => format!("acceptor {} crashes and starts again", acceptor + 1),
        }
    }
}
