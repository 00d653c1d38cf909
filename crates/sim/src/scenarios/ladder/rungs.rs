//! One program for all rungs below Paxos: what each lacks is a switch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};
use synod_paxos::ballot::{Ballot, Slice};
use synod_paxos::node::NodeId;
use synod_paxos::slot::Slot;

use crate::clients::Workload;
use crate::history::{Answer, Operation};
use crate::program::{Digest, Fact, RequestId};
use crate::scenarios::toy::{Acts, Toy};

/// How far the refinement has come (*Paxos Made Simple*, §2.2, in the order of its steps).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// One acceptor, n1, decides.
    #[default]
    SingleAcceptor,
    /// A majority decides, and each acceptor accepts the first proposal it receives and no other (P1).
    FirstProposal,
    /// Proposals have numbers. Acceptors accept higher ones, but nothing else once they know what is chosen (P2a).
    Numbers,
    /// Proposers look first at what a majority has accepted (P2c), and nobody promises anything.
    NoPromises,
}

/// Where proposers get their numbers from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Proposer `i` of `N` owns `i, i + N, …`.
    #[default]
    Slices,
    /// This node gives them out.
    Server(u64),
}

/// What all are told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// The rung.
    pub rung: Rung,
    /// The numbers.
    pub source: Source,
}

/// A number and a value.
type Proposal = (u64, String);

/// What they say to each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Word {
    /// Give me a number.
    Want,
    /// Here is one.
    Take(u64),
    /// What have you accepted below this number?
    Consult(u64),
    /// This.
    Report(u64, Option<Proposal>),
    /// Accept this.
    Accept(u64, String),
    /// I have.
    Accepted(u64, u64, String),
}

impl Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Want => write!(f, "want number"),
            Word::Take(number) => write!(f, "take {number}"),
            Word::Consult(number) => write!(f, "consult {number}"),
            Word::Report(number, None) => write!(f, "report {number}: nothing"),
            Word::Report(number, Some((voted, value))) => write!(f, "report {number}: ({voted},{value})"),
            Word::Accept(number, value) => write!(f, "accept ({number},{value})"),
            Word::Accepted(_, number, value) => write!(f, "accepted ({number},{value})"),
        }
    }
}

/// Proposer, acceptor and learner.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    id: u64,
    nodes: Vec<u64>,
    candidate: Option<String>,
    number: Option<u64>,
    reports: BTreeMap<u64, Option<Proposal>>,
    proposal: Option<Proposal>,
    accepted: Option<Proposal>,
    votes: BTreeMap<Proposal, BTreeSet<u64>>,
    chosen: Option<String>,
    waiting: Vec<RequestId>,
    /// Of the number server: the last it gave out.
    given: u64,
}

impl Toy for Node {
    type Setup = Setup;
    type Message = Word;
    const NAME: &'static str = "ladder";
    const WORKLOAD: Workload = Workload::Decree;

    fn new(setup: &Setup, id: u64, nodes: Vec<u64>) -> Node {
        Node {
            setup: *setup,
            id,
            nodes,
            candidate: None,
            number: None,
            reports: BTreeMap::new(),
            proposal: None,
            accepted: None,
            votes: BTreeMap::new(),
            chosen: None,
            waiting: Vec::new(),
            given: 0,
        }
    }

    fn hear(&mut self, from: u64, message: Word, acts: &mut Acts) {
        match message {
            Word::Want => {
                self.given += 1;
                acts.send(&[from], &Word::Take(self.given));
            }
            Word::Take(number) => {
                self.number.get_or_insert(number);
                self.go_on(acts);
            }
            Word::Consult(number) => {
                let below = self.accepted.clone().filter(|(voted, _)| *voted < number);
                acts.send(&[from], &Word::Report(number, below));
            }
            Word::Report(number, vote) if Some(number) == self.number => {
                self.reports.insert(from, vote);
                self.go_on(acts);
            }
            Word::Report(..) => {}
            Word::Accept(number, value) => self.accept(from, number, value, acts),
            Word::Accepted(_, number, value) => self.count(from, (number, value), acts),
        }
    }

    fn asked(&mut self, request: RequestId, operation: Operation, acts: &mut Acts) {
        let Operation::Propose { value } = operation else { return acts.refuse(request) };
        acts.fact(Fact::Proposable { command: Digest::of(value.as_bytes()) });
        self.waiting.push(request);
        self.candidate.get_or_insert(value);
        self.go_on(acts);
        self.answer(acts);
    }

    /// Messengers get lost: everything is said again until the outcome is known.
    fn tick(&mut self, acts: &mut Acts) {
        self.go_on(acts);
    }

    fn knows(&self) -> bool {
        self.chosen.is_some()
    }
}

impl Node {
    fn acceptors(&self) -> Vec<u64> {
        if self.setup.rung == Rung::SingleAcceptor { vec![self.nodes[0]] } else { self.nodes.clone() }
    }

    fn quorum(&self) -> usize {
        self.acceptors().len() / 2 + 1
    }

    /// The proposer's next step, or the last one again.
    fn go_on(&mut self, acts: &mut Acts) {
        let Some(candidate) = self.candidate.clone().filter(|_| self.chosen.is_none()) else { return };
        let slice = Slice::new(self.id - 1, self.nodes.len() as u64);
        let number = match (self.number, self.setup.source) {
            (Some(number), _) => number,
            (None, Source::Slices) => *self.number.insert(slice.number(0) + 1),
            (None, Source::Server(server)) => return acts.send(&[server], &Word::Want),
        };
        let acceptors = self.acceptors();
        if self.proposal.is_none()
            && self.setup.rung == Rung::NoPromises
            && self.reports.len() < self.quorum()
        {
            return acts.send(&acceptors, &Word::Consult(number));
        }
        let highest = self.reports.values().flatten().max_by_key(|(number, _)| *number);
        let value = highest.map_or(candidate, |(_, value)| value.clone());
        let (number, value) = self.proposal.get_or_insert((number, value)).clone();
        acts.send(&acceptors, &Word::Accept(number, value));
    }

    fn accept(&mut self, proposer: u64, number: u64, value: String, acts: &mut Acts) {
        let proposal = (number, value.clone());
        let again = self.accepted.as_ref() == Some(&proposal);
        let may = match (&self.accepted, self.setup.rung) {
            (None, _) => self.chosen.as_ref().is_none_or(|chosen| *chosen == value),
            (Some(_), Rung::SingleAcceptor | Rung::FirstProposal) => again,
            (Some((voted, _)), Rung::Numbers) => {
                number >= *voted && self.chosen.as_ref().is_none_or(|chosen| *chosen == value)
            }
            (Some((voted, _)), Rung::NoPromises) => number >= *voted,
        };
        if !may {
            return;
        }
        if !again {
            self.accepted = Some(proposal);
            let digest = Digest::of(value.as_bytes());
            let ballot = Ballot::new(number, NodeId(proposer));
            acts.fact(Fact::Voted { slot: Slot(1), ballot, value: digest, commands: vec![digest] });
        }
        acts.send(&self.nodes, &Word::Accepted(proposer, number, value));
    }

    fn count(&mut self, from: u64, proposal: Proposal, acts: &mut Acts) {
        let votes = self.votes.entry(proposal.clone()).or_default();
        votes.insert(from);
        if votes.len() >= self.quorum() && self.chosen.is_none() {
            acts.fact(Fact::Chosen { slot: Slot(1), value: Digest::of(proposal.1.as_bytes()) });
            self.chosen = Some(proposal.1);
            self.answer(acts);
        }
    }

    fn answer(&mut self, acts: &mut Acts) {
        let Some(chosen) = &self.chosen else { return };
        for request in self.waiting.drain(..) {
            acts.answer(request, Answer::Chosen(chosen.clone()));
        }
    }
}
