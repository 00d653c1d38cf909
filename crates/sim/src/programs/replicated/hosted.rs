//! What each protocol tells the checkers beside what its state machine does.

use std::collections::BTreeMap;

use synod_paxos::ballot::Ballot;
use synod_paxos::egalitarian;
use synod_paxos::egalitarian::id::CommandId;
use synod_paxos::egalitarian::instance::{Decree, Phase};
use synod_paxos::fast::log::record::Record as FastRecord;
use synod_paxos::fast::log::replica::Replica as FastLog;
use synod_paxos::fast::round::Round;
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::forwarding::{Forwarding, Record};
use synod_paxos::multi::record::Record as LogRecord;
use synod_paxos::protocol::Protocol;
use synod_paxos::slot::Slot;
use synod_replica::submission::Submission;
use synod_replica::textbook::Command;
use synod_replica::wire::encode;

use crate::program::{Digest, Fact, Instance, Memory, RememberedVote, Stand};
use crate::programs::fast::{self, numbered};
use crate::programs::replicated::Setup;
use crate::raft;

/// A protocol that runs in the world.
pub trait Hosted: Protocol<Command = Submission<Command>> + 'static {
    /// What its program is called.
    const PROGRAM: &'static str;

    /// Whether commands go through a leader.
    const LEADS: bool = true;

    /// See [`Program::setup`](crate::program::Program::setup).
    fn setup(_seed: u64) -> Setup {
        Setup::default()
    }

    /// What is so once these records are durable, where votes are cast in slots. They are read only where they are asked for.
    fn durable(_records: impl Iterator<Item = Self::Record>) -> Vec<Fact> {
        Vec::new()
    }

    /// What a start finds, where votes are cast in slots.
    fn memory(_position: &Self::Position, _records: &[Self::Record]) -> Option<Memory> {
        None
    }

    /// That it was elected just now, where there are terms.
    fn elected(&self) -> Option<Fact> {
        None
    }

    /// What it takes for committed, where there are terms.
    fn committed(&self) -> Option<Fact> {
        None
    }

    /// Whether it knows that this command of its own is committed, where that is not the same as executed.
    ///
    /// In a log it is, but for a moment: commands are committed in their order, and executed at once.
    fn is_decided(&self, _submission: &Self::Command) -> Option<bool> {
        None
    }

    /// See [`Program::BEARS_PARTIAL_LINKS`](crate::program::Program::BEARS_PARTIAL_LINKS).
    const BEARS_PARTIAL_LINKS: bool = true;

    /// See [`Program::is_fast`](crate::program::Program::is_fast).
    fn is_fast(_ballot: Ballot) -> bool {
        false
    }

    /// The last slot of a position, where there are slots.
    fn slot(_position: &Self::Position) -> Option<Slot> {
        None
    }
}

/// The fingerprint of a submission.
pub(super) fn digest(submission: &Submission<Command>) -> Digest {
    Digest::of(&encode(submission))
}

fn digests(entry: &Entry<Submission<Command>>) -> (Digest, Vec<Digest>) {
    let commands: Vec<Digest> = entry.commands().iter().map(digest).collect();
    (commands.iter().fold(Digest::EMPTY, |value, command| value.and(command.0)), commands)
}

impl Hosted for Forwarding<Submission<Command>> {
    const PROGRAM: &'static str = "multi-textbook";

    fn durable(records: impl Iterator<Item = Self::Record>) -> Vec<Fact> {
        let facts = records.filter_map(|record| match record {
            Record::Log(LogRecord::Vote { slot, ballot, entry }) => {
                let (value, commands) = digests(&entry);
                Some(Fact::Voted { slot, ballot, value, commands })
            }
            Record::Log(LogRecord::Chosen { slot, entry }) => {
                Some(Fact::Chosen { slot, value: digests(&entry).0 })
            }
            Record::Log(LogRecord::Commit { .. }) => None,
            Record::State(state) => Some(Fact::Promised { ballot: state.promised }),
        });
        facts.collect()
    }

    fn memory(position: &Slot, records: &[Self::Record]) -> Option<Memory> {
        let (mut promised, mut votes, mut chosen) = (Ballot::ZERO, BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record {
                Record::Log(LogRecord::Vote { slot, ballot, entry }) if slot > position => {
                    let (value, commands) = digests(entry);
                    votes.insert(*slot, RememberedVote { slot: *slot, ballot: *ballot, value, commands });
                }
                Record::Log(LogRecord::Chosen { slot, entry }) if slot > position => {
                    chosen.insert(*slot, digests(entry).0);
                }
                Record::Log(_) => {}
                Record::State(state) => promised = state.promised,
            }
        }
        let votes = votes.into_values().collect();
        Some(Memory { promised, checkpoint: *position, votes, chosen: chosen.into_iter().collect() })
    }

    fn slot(position: &Slot) -> Option<Slot> {
        Some(*position)
    }
}

impl Hosted for FastLog<Submission<Command>> {
    const PROGRAM: &'static str = "fast-textbook";

    fn durable(records: impl Iterator<Item = Self::Record>) -> Vec<Fact> {
        let promised = |ballot| Fact::Promised { ballot: numbered(Round::open(ballot)) };
        let mut facts = Vec::new();
        for record in records {
            match record {
                FastRecord::Promised(ballot) => facts.push(promised(ballot)),
                FastRecord::Voted { slot, vote } => {
                    let (value, commands) = digests(&vote.value);
                    facts.push(Fact::Voted { slot, ballot: numbered(vote.round), value, commands });
                    // Voting promises the ballot, in every slot.
                    facts.push(promised(vote.round.ballot));
                }
                FastRecord::Chosen { slot, entry } => {
                    facts.push(Fact::Chosen { slot, value: digests(&entry).0 });
                }
                FastRecord::Used(_) | FastRecord::Commit { .. } => {}
            }
        }
        facts
    }

    fn memory(position: &Slot, records: &[Self::Record]) -> Option<Memory> {
        let (mut promised, mut votes, mut chosen) = (Ballot::ZERO, BTreeMap::new(), BTreeMap::new());
        for record in records {
            match record {
                FastRecord::Promised(ballot) => promised = promised.max(numbered(Round::open(*ballot))),
                FastRecord::Voted { slot, vote } => {
                    promised = promised.max(numbered(Round::open(vote.round.ballot)));
                    if slot > position {
                        let ((value, commands), ballot) = (digests(&vote.value), numbered(vote.round));
                        votes.insert(*slot, RememberedVote { slot: *slot, ballot, value, commands });
                    }
                }
                FastRecord::Chosen { slot, entry } if slot > position => {
                    chosen.insert(*slot, digests(entry).0);
                }
                FastRecord::Chosen { .. } | FastRecord::Used(_) | FastRecord::Commit { .. } => {}
            }
        }
        let votes = votes.into_values().collect();
        Some(Memory { promised, checkpoint: *position, votes, chosen: chosen.into_iter().collect() })
    }

    fn is_fast(ballot: Ballot) -> bool {
        fast::is_fast(ballot)
    }

    fn slot(position: &Slot) -> Option<Slot> {
        Some(*position)
    }
}

impl Hosted for raft::Raft<Submission<Command>> {
    const PROGRAM: &'static str = "raft";

    // Only a leader sends entries, so whom it does not reach learns nothing; and whoever hears of it lets nobody
    // else be elected.
    const BEARS_PARTIAL_LINKS: bool = false;

    fn durable(records: impl Iterator<Item = Self::Record>) -> Vec<Fact> {
        let facts = records.filter_map(|record| match record {
            raft::Record::Entry { index, previous, entry } => {
                let digests = entry.commands.iter().map(digest);
                let value = digests.fold(Digest::EMPTY, |value, command| value.and(command.0));
                Some(Fact::Logged { index, term: entry.term, previous, value })
            }
            raft::Record::Term { .. } | raft::Record::Base(_) => None,
        });
        facts.collect()
    }

    fn elected(&self) -> Option<Fact> {
        let base = self.log().base().index;
        let terms = self.log().from(base + 1).iter().map(|entry| entry.term).collect();
        Some(Fact::Elected { term: self.term(), base, terms })
    }

    fn committed(&self) -> Option<Fact> {
        let raft::Position { index, term } = self.position();
        Some(Fact::Committed { index, term, current: self.term() })
    }
}

impl Hosted for egalitarian::replica::Replica<Submission<Command>> {
    const PROGRAM: &'static str = "egalitarian";
    const LEADS: bool = false;

    /// Some are so impatient that they take each other for gone, and forget without them, while the faults last: who
    /// comes back needs their state.
    fn setup(seed: u64) -> Setup {
        let usual = Setup::default();
        let hasty = seed.is_multiple_of(3);
        Setup { patience: if hasty { usual.patience / 10 } else { usual.patience }, ..usual }
    }

    fn durable(records: impl Iterator<Item = Self::Record>) -> Vec<Fact> {
        let facts = records.filter_map(|record| match record {
            egalitarian::record::Record::Instance { id, instance } => Some(Fact::Knows(known(id, instance))),
            egalitarian::record::Record::Answers(_) | egalitarian::record::Record::Collected(_) => None,
        });
        facts.collect()
    }

    fn is_decided(&self, submission: &Submission<Command>) -> Option<bool> {
        let core = self.core();
        let mut own = core.table().instances_of(core.id(), core.executed().floor().of(core.id()));
        Some(own.any(|(id, instance)| instance.command.as_ref() == Some(submission) && core.has_learned(id)))
    }
}

fn known(id: CommandId, instance: egalitarian::instance::Instance<Submission<Command>>) -> Instance {
    let stand = match instance.phase {
        Phase::Initial | Phase::PreAccepted => Stand::Nothing,
        Phase::Accepted => Stand::Voted(instance.accepted),
        Phase::Committed => Stand::Agreed,
    };
    let command = instance.decree().and_then(|decree| match decree {
        Decree::Nop => None,
        Decree::Command(submission) => Some(submission),
    });
    let value = command.as_ref().map_or(Digest::EMPTY, digest).and(Digest::of(&encode(&instance.deps)).0);
    let touches = command
        .map(|submission| (Digest::of(submission.command.key().as_bytes()), submission.command.is_read()));
    Instance { id, promised: instance.promised, stand, value, touches, deps: instance.deps }
}
