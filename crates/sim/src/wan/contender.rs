//! The protocols that are compared.

use synod_paxos::egalitarian::replica::Replica;
use synod_paxos::fast::log::replica::Replica as FastLog;
use synod_paxos::multi::forwarding::Forwarding;
use synod_replica::submission::Submission;
use synod_replica::textbook::Command;

use super::costs::{self, Costs};
use super::experiment::{self, Experiment, Measured};
use super::outage::{self, Outage, Scene};
use super::takeover::{self, Takeover};
use crate::programs::replicated::{Hosted, Replicated};
use crate::raft::Raft;

/// A protocol, and how it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// What its program is called.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Whether commands go through a leader.
    pub leads: bool,
    /// Runs an experiment.
    ///
    /// # Errors
    /// What the checkers found, or what was not as it was set up.
    pub measure: fn(&Experiment) -> Result<Measured, String>,
    /// Counts messages and delays among so many nodes.
    ///
    /// # Errors
    /// As above.
    pub count: fn(u64) -> Result<Costs, String>,
    /// Breaks something and waits.
    ///
    /// # Errors
    /// As above.
    pub interrupt: fn(Scene, u64) -> Result<Outage, String>,
    /// Has a replica die, and looks what the others do about it before a client is answered: nothing, perhaps.
    ///
    /// # Errors
    /// As above.
    pub take_over: fn(u64) -> Result<Option<Takeover>, String>,
}

impl Contender {
    const fn of<P: Hosted>(title: &'static str) -> Contender {
        Contender {
            name: P::PROGRAM,
            title,
            leads: P::LEADS,
            measure: |experiment| experiment::run::<Replicated<P>>(experiment, P::LEADS),
            count: |nodes| costs::count::<Replicated<P>>(nodes, P::LEADS),
            interrupt: |scene, seed| outage::interrupt::<Replicated<P>>(scene, seed, P::LEADS),
            take_over: |seed| takeover::takeover::<Replicated<P>>(seed, P::LEADS),
        }
    }
}

/// All of them.
pub const CONTENDERS: &[Contender] = &[
    Contender::of::<Forwarding<Submission<Command>>>("Multi-Paxos"),
    Contender::of::<Replica<Submission<Command>>>("Egalitarian Paxos"),
    Contender::of::<FastLog<Submission<Command>>>("Fast Paxos"),
    Contender::of::<Raft<Submission<Command>>>("Raft"),
];
