//! The message-set model of Fast Paxos, run by the shipped roles.
//!
//! As in the [model of the classic protocol](crate::check::single_decree::messages), the network is the set of all
//! messages ever sent: that covers loss, duplication and reordering. Clients' values need no messages of their own:
//! any may reach any acceptor at any time. A coordinator has no memory: it may go on from any quorum of promises, and
//! from any votes of its fast round, whatever it did before with other quorums it did as somebody else.

use std::sync::Arc;

use synod_paxos::ballot::Ballot;
use synod_paxos::durable::{Gate, Sealed, Token};
use synod_paxos::fast::acceptor::{Acceptor, Answer};
use synod_paxos::fast::coordinator::{Coordinator, pick};
use synod_paxos::fast::learner::{Learner, Votes};
use synod_paxos::fast::message::Message;
use synod_paxos::fast::options::{Kind, Recovery};
use synod_paxos::fast::record::Record;
use synod_paxos::fast::round::{Round, Vote};
use synod_paxos::node::NodeId;
use synod_paxos::quorum::FastQuorumSystem;

use crate::check::fast::votes::{History, STEPS, Told, ballot, number, round};
use crate::check::fingerprint::Fingerprint;
use crate::check::ledger::{Pairs, Sizes, name};
use crate::check::{Model, Violation, permutations};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Acceptors.
    pub acceptors: usize,
    /// Of which so many may fail.
    pub failures: usize,
    /// And so many without making fast rounds impossible.
    pub fast_failures: usize,
    /// Ballots, each with all of its rounds.
    pub ballots: usize,
    /// Values that clients want.
    pub values: usize,
    /// What is done about collisions; nothing but a higher ballot if `None`.
    pub recovery: Option<Recovery>,
    /// Whether coordinators may also propose a value of their own where they could open a fast round.
    pub classic: bool,
    /// Whether acceptors crash at any time and start again.
    pub restarts: bool,
}

/// A configuration of the message-set model.
#[derive(Clone, Debug)]
pub struct Messages {
    setting: Setting,
    sizes: Sizes,
    quorums: Arc<FastQuorumSystem>,
    renamings: Vec<Vec<usize>>,
}

/// Every acceptor's memory, and every message ever sent.
#[derive(Clone, Debug)]
pub struct State {
    acceptors: Vec<Member>,
    /// Bit b: ballot b asked for promises.
    asked: u64,
    /// Bit b: acceptors may vote for any value in the fast round of ballot b.
    opened: u64,
    proposals: Pairs,
}

/// An acceptor, what is on its disk, and what it has said.
#[derive(Clone, Debug)]
struct Member {
    acceptor: Acceptor<char>,
    disk: Vec<Record<char>>,
    /// By ballot promised: the reports sent with it. Bit 0 is "no vote", bit 1 + p the vote of pair p.
    promises: [u64; BALLOTS_MAX],
    /// Its durable votes; it has told of all of them.
    votes: Pairs,
}

/// What may happen next. Sets of acceptors are bits: bit a is acceptor a.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Phase 1a.
    Ask {
        /// With which ballot.
        ballot: usize,
    },
    /// Phase 1b: an acceptor receives the question.
    Prepare {
        /// Who.
        acceptor: usize,
        /// Whose question.
        ballot: usize,
    },
    /// Phase 2a with the promises of `quorum`.
    Lead {
        /// With which ballot.
        ballot: usize,
        /// What the coordinator would propose if it is free to: `None` opens a fast round.
        wish: Option<usize>,
        /// Whose promises it received.
        quorum: u32,
    },
    /// Phase 2b of a fast round: permission and a client's value are at an acceptor.
    VoteFast {
        /// Who.
        acceptor: usize,
        /// In whose round.
        ballot: usize,
        /// For what.
        value: usize,
    },
    /// Coordinated recovery: phase 2a with votes of the fast round.
    Close {
        /// With which ballot.
        ballot: usize,
        /// Whose votes it received.
        voters: u32,
        /// Which of them goes by the lowest name.
        lowest: usize,
    },
    /// Uncoordinated recovery: an acceptor has received votes of the fast round.
    VoteAgain {
        /// Who.
        acceptor: usize,
        /// In whose round.
        ballot: usize,
        /// Whose votes it received.
        voters: u32,
        /// Which of them goes by the lowest name.
        lowest: usize,
    },
    /// Phase 2b of a classic round.
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

/// More ballots are not explored.
const BALLOTS_MAX: usize = 3;

fn value_number(value: char) -> usize {
    usize::from(value as u8 - b'A')
}

/// A sealed answer, opened as a driver opens it: its write is done.
fn open<T>(sealed: Sealed<T>) -> T {
    let mut gate = Gate::default();
    gate.hold(Token::default(), sealed);
    gate.pop().expect("it waits for no write")
}

fn node(acceptor: usize) -> NodeId {
    NodeId(acceptor as u64 + 1)
}

impl Messages {
    /// The model of this size. States that differ in the names of acceptors or values only are one.
    pub fn new(setting: Setting) -> Messages {
        let acceptors = (0..setting.acceptors).map(node);
        let quorums = FastQuorumSystem::with_failures(acceptors, setting.failures, setting.fast_failures)
            .expect("the settings of the spaces have quorums");
        let classic = quorums.classic_size();
        let sizes = Sizes {
            acceptors: setting.acceptors,
            phase1: classic,
            phase2: classic,
            ballots: setting.ballots * STEPS,
            values: setting.values,
        };
        Messages { setting, sizes, quorums: Arc::new(quorums), renamings: permutations(setting.values) }
    }

    fn check<T>(
        &self,
        state: &State,
        check: impl Fn(&History<'_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let told = |member: &Member| {
            let promised = (0..self.setting.ballots).rev().find(|ballot| member.promises[*ballot] != 0);
            Told { votes: member.votes, bound: promised.map_or(0, |ballot| ballot * STEPS) }
        };
        let told: Vec<Told> = state.acceptors.iter().map(told).collect();
        let fast = self.quorums.fast_size();
        check(&History { sizes: &self.sizes, fast, told: &told, proposals: state.proposals })
    }

    /// Phase 1b and 2b: the acceptor's answer becomes durable and joins the network.
    fn take(&self, state: &mut State, at: usize, answer: Answer<char>) -> Result<bool, Violation> {
        let member = &mut state.acceptors[at];
        let mut changed = false;
        if let Some(record) = answer.record {
            if let Record::Voted(vote) = &record {
                self.vote(member, at, vote)?;
            }
            changed = true;
            member.disk.push(record);
        }
        let broken = |what: String| Err(Violation { invariant: "durable before it is told", what });
        match open(answer.message) {
            Message::Promise { ballot: promised, vote } => {
                if durable(&member.disk).0 < Round::open(promised) {
                    return broken(format!(
                        "acceptor {} promised {promised}, but its disk does not say so",
                        at + 1
                    ));
                }
                changed |= self.report(member, at, promised, vote)?;
            }
            Message::Accepted(vote) => {
                let round = number(vote.round).expect("a vote has a round");
                if !member.votes.contains(&self.sizes, round, value_number(vote.value)) {
                    return broken(format!(
                        "acceptor {} tells of a vote that its disk does not hold",
                        at + 1
                    ));
                }
            }
            _ => {}
        }
        Ok(changed)
    }

    fn vote(&self, member: &mut Member, at: usize, vote: &Vote<char>) -> Result<(), Violation> {
        let round = number(vote.round).expect("a vote has a round");
        let higher = |ballot: usize| ballot * STEPS > round && member.promises[ballot] != 0;
        let above = |above| member.votes.has_ballot(&self.sizes, above);
        if (0..self.setting.ballots).any(higher) || (round + 1..self.sizes.ballots).any(above) {
            let what =
                format!("acceptor {} voted in {} after it answered a higher round", at + 1, vote.round);
            return Err(Violation { invariant: "P1a", what });
        }
        member.votes.insert(&self.sizes, round, value_number(vote.value));
        Ok(())
    }

    /// What an acceptor reports with a promise is a vote that it cast, of the highest round it voted in.
    fn report(
        &self,
        member: &mut Member,
        at: usize,
        promised: Ballot,
        vote: Option<Vote<char>>,
    ) -> Result<bool, Violation> {
        let ballot = promised.round as usize - 1;
        let highest = member.votes.highest_below(&self.sizes, ballot * STEPS);
        let (bit, is_true) = match &vote {
            None => (1, highest.is_none()),
            Some(vote) => {
                let (round, value) = (number(vote.round).unwrap_or(0), value_number(vote.value));
                let cast = member.votes.contains(&self.sizes, round, value);
                (2 << self.sizes.pair(round, value), cast && highest.is_some_and(|(high, _)| high == round))
            }
        };
        if !is_true {
            let what =
                format!("acceptor {} promised {promised} and reported {vote:?}, which is not so", at + 1);
            return Err(Violation { invariant: "phase 1b", what });
        }
        let new = member.promises[ballot] & bit == 0;
        member.promises[ballot] |= bit;
        Ok(new)
    }

    /// A learner that has received every vote there is, the old ones first or the new ones first.
    fn learn(&self, state: &State) -> Result<(), Violation> {
        let mut rounds: Vec<usize> = (0..self.sizes.ballots).collect();
        for _ in 0..2 {
            let mut learner = Learner::new(self.quorums.clone());
            for voted in &rounds {
                for (at, member) in state.acceptors.iter().enumerate() {
                    for value in 0..self.sizes.values {
                        if !member.votes.contains(&self.sizes, *voted, value) {
                            continue;
                        }
                        let vote = Vote { round: round(*voted), value: name(value) };
                        if let Some(vote) = learner.handle_accepted(node(at), &vote) {
                            self.check(state, |history| history.check_learned(value_number(vote.value)))?;
                        }
                    }
                }
            }
            rounds.reverse();
        }
        Ok(())
    }

    /// A coordinator that has just sent the question of `ballot`.
    fn coordinator(&self, number: usize, kind: Kind) -> Coordinator<char> {
        let Ballot { round, node } = ballot(number);
        let mut coordinator = Coordinator::recover(node, self.quorums.clone(), []);
        coordinator.start(Ballot::new(round - 1, NodeId(0)), kind);
        coordinator
    }

    fn recovery(&self) -> Recovery {
        self.setting.recovery.unwrap_or_default()
    }

    /// What a coordinator sends in phase 2 joins the network.
    fn send(&self, state: &mut State, coordinator: &Coordinator<char>) -> bool {
        match coordinator.phase2a() {
            Some(Message::Any { ballot, .. }) => {
                let bit = 1 << (ballot.round - 1);
                let new = state.opened & bit == 0;
                state.opened |= bit;
                new
            }
            Some(Message::Accept { ballot, value }) => {
                let round = number(Round::closed(ballot)).expect("it has a ballot");
                state.proposals.insert(&self.sizes, round, value_number(value))
            }
            _ => false,
        }
    }

    fn lead(&self, state: &mut State, ballot: usize, wish: Option<usize>, quorum: u32) -> bool {
        let kind = if wish.is_some() { Kind::Classic } else { Kind::Fast };
        let mut coordinator = self.coordinator(ballot, kind);
        let wish = wish.map(name);
        for (at, member) in state.acceptors.iter().enumerate().filter(|(at, _)| quorum >> at & 1 == 1) {
            for (ballot, vote) in self.reports(member, ballot) {
                coordinator.handle_promise(node(at), ballot, vote, wish.as_ref(), self.recovery());
            }
        }
        self.send(state, &coordinator)
    }

    /// The promises of a ballot that an acceptor sent: one, unless it contradicts itself.
    fn reports(
        &self,
        member: &Member,
        number: usize,
    ) -> impl Iterator<Item = (Ballot, Option<Vote<char>>)> + use<> {
        let reports = member.promises[number];
        let values = self.sizes.values;
        (0..=number * STEPS * values).filter(move |bit| reports >> bit & 1 == 1).map(move |bit| {
            let vote = bit
                .checked_sub(1)
                .map(|pair| Vote { round: round(pair / values), value: name(pair % values) });
            (ballot(number), vote)
        })
    }

    /// The votes of `voters` in a round, as somebody receives them to whom `lowest` has the lowest name: who is
    /// lowest decides between values none of which can be chosen.
    fn votes(&self, state: &State, voted: Round, voters: u32, lowest: usize) -> Votes<char> {
        let number = number(voted).expect("somebody voted in it");
        let count = self.sizes.acceptors;
        let all = (0..count).map(|place| (place, (lowest + place) % count));
        all.filter(|(_, at)| voters >> at & 1 == 1)
            .filter_map(|(place, at)| {
                let votes = state.acceptors[at].votes;
                let value = (0..self.sizes.values).find(|value| votes.contains(&self.sizes, number, *value));
                value.map(|value| (node(place), name(value)))
            })
            .collect()
    }

    fn close(&self, state: &mut State, number: usize, voters: u32, lowest: usize) -> bool {
        let mut coordinator = self.coordinator(number, Kind::Fast);
        for at in 0..self.sizes.acceptors {
            coordinator.handle_promise(node(at), ballot(number), None, None, self.recovery());
        }
        let Some(awaited) = coordinator.awaited() else { return false };
        let votes = self.votes(state, awaited, voters, lowest);
        coordinator.close(&votes) && self.send(state, &coordinator)
    }

    fn vote_again(
        &self,
        state: &mut State,
        at: usize,
        number: usize,
        votes: &Votes<char>,
    ) -> Result<bool, Violation> {
        let (open, again) = (Round::open(ballot(number)), Round::again(ballot(number)));
        let mut learner = Learner::new(self.quorums.clone());
        for (node, value) in votes {
            learner.handle_accepted(*node, &Vote { round: open, value: *value });
        }
        let acceptor = &mut state.acceptors[at].acceptor;
        if !learner.is_collision(open) || !acceptor.may_vote(again) {
            return Ok(false);
        }
        let answer = acceptor.vote_in(again, pick(&self.quorums, again, open, votes));
        self.take(state, at, answer)
    }

    /// The round whose votes are taken for promises in a recovery, and those who voted in it.
    fn voters(&self, state: &State, round: usize) -> u32 {
        let voted = |at: &usize| state.acceptors[*at].votes.has_ballot(&self.sizes, round);
        (0..self.sizes.acceptors).filter(voted).fold(0, |all, at| all | 1 << at)
    }

    fn recoveries(&self, state: &State, ballot: usize, actions: &mut Vec<Action>) {
        let Some(recovery) = self.setting.recovery else { return };
        let (open, again) = (ballot * STEPS, ballot * STEPS + 1);
        let all = 1_u32..1 << self.sizes.acceptors;
        let of = |round| {
            let voters = self.voters(state, round);
            all.clone().filter(move |some| some & !voters == 0 && some.count_ones() >= 2)
        };
        // One for each value voted for: which of several with the same value is lowest makes no difference.
        let lowest = |round: usize, voters: u32| {
            let first = move |value: usize| {
                let voted = |at: &usize| state.acceptors[*at].votes.contains(&self.sizes, round, value);
                (0..self.sizes.acceptors).filter(|at| voters >> at & 1 == 1).find(voted)
            };
            (0..self.sizes.values).filter_map(first)
        };
        if !state.proposals.has_ballot(&self.sizes, ballot * STEPS + 2) {
            let round = if recovery == Recovery::Coordinated { open } else { again };
            for voters in of(round) {
                actions.extend(lowest(round, voters).map(|lowest| Action::Close { ballot, voters, lowest }));
            }
        }
        if recovery == Recovery::Uncoordinated {
            for voters in of(open) {
                for lowest in lowest(open, voters) {
                    let again = |acceptor| Action::VoteAgain { acceptor, ballot, voters, lowest };
                    actions.extend((0..self.sizes.acceptors).map(again));
                }
            }
        }
    }

    /// An acceptor in numbers, its values renamed.
    fn encode(&self, member: &Member, names: &[usize]) -> Encoded {
        let rename = |pairs: u64| self.rename(Pairs(pairs), names);
        let vote = |vote: Option<&Vote<char>>| {
            let vote = vote.and_then(|vote| Some((number(vote.round)?, names[value_number(vote.value)])));
            vote.map_or(0, |(round, value)| 1 + self.sizes.pair(round, value) as u8)
        };
        let promised = |round: Round| number(round).map_or(0, |round| 1 + round as u8);
        let (promised_on_disk, vote_on_disk) = durable(&member.disk);
        Encoded {
            promised: [promised(member.acceptor.promised()), promised(promised_on_disk)],
            vote: [vote(member.acceptor.vote()), vote(vote_on_disk)],
            votes: rename(member.votes.0),
            promises: member.promises.map(|reports| reports & 1 | rename(reports >> 1) << 1),
        }
    }

    fn rename(&self, pairs: Pairs, names: &[usize]) -> u64 {
        pairs.iter(&self.sizes).fold(0, |all, (r, v)| all | 1 << self.sizes.pair(r, names[v]))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Encoded {
    promised: [u8; 2],
    vote: [u8; 2],
    votes: u64,
    promises: [u64; BALLOTS_MAX],
}

/// The promise and the vote that a disk proves.
fn durable(disk: &[Record<char>]) -> (Round, Option<&Vote<char>>) {
    let mut promised = Round::ZERO;
    let mut last = None;
    for record in disk {
        match record {
            Record::Used(_) => {}
            Record::Promised(ballot) => promised = promised.max(Round::open(*ballot)),
            Record::Voted(vote) => {
                promised = promised.max(vote.round);
                last = Some(vote);
            }
        }
    }
    (promised, last)
}

impl Model for Messages {
    type State = State;
    type Action = Action;

    fn initial(&self) -> Vec<State> {
        assert!(self.setting.ballots <= BALLOTS_MAX, "{:?} has too many ballots", self.setting);
        let member = Member {
            acceptor: Acceptor::default(),
            disk: Vec::new(),
            promises: [0; BALLOTS_MAX],
            votes: Pairs::default(),
        };
        let acceptors = vec![member; self.sizes.acceptors];
        vec![State { acceptors, asked: 0, opened: 0, proposals: Pairs::default() }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let everybody = || 0..self.sizes.acceptors;
        let values = || 0..self.sizes.values;
        for ballot in 0..self.setting.ballots {
            if state.asked >> ballot & 1 == 0 {
                actions.push(Action::Ask { ballot });
                continue;
            }
            actions.extend(everybody().map(|acceptor| Action::Prepare { acceptor, ballot }));
            let is_open = state.opened >> ballot & 1 == 1;
            if is_open {
                for value in values() {
                    actions.extend(everybody().map(|acceptor| Action::VoteFast { acceptor, ballot, value }));
                }
                self.recoveries(state, ballot, actions);
            } else if !state.proposals.has_ballot(&self.sizes, ballot * STEPS + 2) {
                // A coordinator takes one way with a ballot: its phase 2 ends phase 1.
                let promised = |at: usize| state.acceptors[at].promises[ballot] != 0;
                for quorum in 1_u32..1 << self.sizes.acceptors {
                    let mut members = everybody().filter(|at| quorum >> at & 1 == 1);
                    if quorum.count_ones() as usize == self.sizes.phase1 && members.all(promised) {
                        let wishes = values().filter(|_| self.setting.classic).map(Some).chain([None]);
                        actions.extend(wishes.map(|wish| Action::Lead { ballot, wish, quorum }));
                    }
                }
            }
        }
        for (round, value) in state.proposals.iter(&self.sizes) {
            let ballot = round / STEPS;
            actions.extend(everybody().map(|acceptor| Action::Accept { acceptor, ballot, value }));
        }
        if self.setting.restarts {
            actions.extend(everybody().map(|acceptor| Action::Restart { acceptor }));
        }
    }

    fn step(&self, state: &State, action: &Action) -> Result<Option<State>, Violation> {
        let mut next = state.clone();
        let changed = match *action {
            Action::Ask { ballot } => {
                next.asked |= 1 << ballot;
                true
            }
            Action::Prepare { acceptor, ballot: number } => {
                let answer = next.acceptors[acceptor].acceptor.handle_prepare(ballot(number));
                self.take(&mut next, acceptor, answer)?
            }
            Action::Lead { ballot, wish, quorum } => self.lead(&mut next, ballot, wish, quorum),
            Action::VoteFast { acceptor, ballot: number, value } => {
                let round = Round::open(ballot(number));
                let answer = next.acceptors[acceptor].acceptor.vote_in(round, name(value));
                self.take(&mut next, acceptor, answer)?
            }
            Action::Close { ballot, voters, lowest } => self.close(&mut next, ballot, voters, lowest),
            Action::VoteAgain { acceptor, ballot: number, voters, lowest } => {
                let votes = self.votes(state, Round::open(ballot(number)), voters, lowest);
                self.vote_again(&mut next, acceptor, number, &votes)?
            }
            Action::Accept { acceptor, ballot: number, value } => {
                let round = Round::closed(ballot(number));
                let answer = next.acceptors[acceptor].acceptor.vote_in(round, name(value));
                self.take(&mut next, acceptor, answer)?
            }
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
        self.check(&next, |history| history.check())?;
        if next.acceptors.iter().zip(&state.acceptors).any(|(new, old)| new.votes != old.votes) {
            self.learn(&next)?;
        }
        Ok(Some(next))
    }

    fn fingerprint(&self, state: &State) -> Fingerprint {
        let encodings = self.renamings.iter().map(|names| {
            let mut acceptors: Vec<Encoded> =
                state.acceptors.iter().map(|member| self.encode(member, names)).collect();
            acceptors.sort_unstable();
            (self.rename(state.proposals, names), acceptors)
        });
        let representative = encodings.min().expect("there is at least the renaming that changes nothing");
        Fingerprint::of(&(state.asked, state.opened, representative))
    }

    fn describe(&self, state: &State, action: &Action) -> String {
        let members = |set: u32| {
            let members = (0..self.sizes.acceptors).filter(|at| set >> at & 1 == 1);
            members.map(|at| (at + 1).to_string()).collect::<Vec<_>>().join(" and ")
        };
        let proposed = |next: &State| {
            let new = Pairs(next.proposals.0 & !state.proposals.0).iter(&self.sizes).next();
            new.map_or("any".to_owned(), |(_, value)| name(value).to_string())
        };
        match *action {
            Action::Ask { ballot } => {
                format!("the coordinator of ballot {0} asks all: prepare({0})", ballot + 1)
            }
            Action::Prepare { acceptor, ballot } => {
                let vote = state.acceptors[acceptor].acceptor.vote();
                let vote = vote.map_or("it has not voted".to_owned(), |vote| {
                    format!("it voted for {} in {}", vote.value, vote.round)
                });
                format!("acceptor {} receives prepare({}); {vote}", acceptor + 1, ballot + 1)
            }
            Action::Lead { ballot, wish, quorum } => {
                let mut next = state.clone();
                self.lead(&mut next, ballot, wish, quorum);
                let (ballot, members) = (ballot + 1, members(quorum));
                format!(
                    "the coordinator of ballot {ballot}, promised by {members}, proposes {}",
                    proposed(&next)
                )
            }
            Action::VoteFast { acceptor, ballot, value } => {
                format!(
                    "acceptor {} receives any({}) and a client's {}",
                    acceptor + 1,
                    ballot + 1,
                    name(value)
                )
            }
            Action::Close { ballot, voters, lowest } => {
                let mut next = state.clone();
                self.close(&mut next, ballot, voters, lowest);
                let (ballot, members, value) = (ballot + 1, members(voters), proposed(&next));
                format!("the coordinator of ballot {ballot} has the votes of {members} and proposes {value}")
            }
            Action::VoteAgain { acceptor, ballot, voters, .. } => {
                let members = members(voters);
                format!(
                    "acceptor {} recovers ballot {} with the votes of {members}",
                    acceptor + 1,
                    ballot + 1
                )
            }
            Action::Accept { acceptor, ballot, value } => {
                format!("acceptor {} receives accept({},{})", acceptor + 1, ballot + 1, name(value))
            }
            Action::Restart { acceptor } => format!("acceptor {} crashes and starts again", acceptor + 1),
        }
    }
}
