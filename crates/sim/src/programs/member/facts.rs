//! What a member's records say, for the checkers.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_member::codec::DecodeError;
use synod_member::record;
use synod_member::submission::{Body, Submission};
use synod_paxos::ballot::Ballot;
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::record::Record;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

use crate::program::{Digest, Fact, Memory, RememberedVote};

/// The fingerprint of a submission: its identity and its command.
pub(super) fn command(
    origin: NodeId,
    incarnation: Incarnation,
    sequence: u64,
    body: Option<&[u8]>,
) -> Digest {
    let identity = Digest::EMPTY.and(origin.0).and(incarnation.start).and(incarnation.nonce).and(sequence);
    body.map_or(identity, |body| identity.and(Digest::of(body).0))
}

/// The fingerprints of everything in a slot.
fn commands(entry: &Entry<Submission>) -> Vec<Digest> {
    let digest = |submission: &Submission| {
        let Submission { origin, incarnation, sequence, body, .. } = submission;
        let body = match body {
            Body::Register => None,
            Body::Store(command) => Some(&command[..]),
        };
        command(*origin, *incarnation, *sequence, body)
    };
    entry.commands().iter().map(digest).collect()
}

/// The fingerprint of a slot's value.
pub(super) fn entry(entry: &Entry<Submission>) -> Digest {
    combined(&commands(entry))
}

fn combined(commands: &[Digest]) -> Digest {
    commands.iter().fold(Digest::EMPTY, |digest, command| digest.and(command.0))
}

/// What is so once a batch of the journal is durable. Votes come first: the promise is the one at its end.
pub(super) fn of_batch(state: &Bytes, records: &[Bytes]) -> Result<Vec<Fact>, DecodeError> {
    let mut facts = Vec::new();
    for bytes in records {
        if let Record::Vote { slot, ballot, entry } = record::decode(bytes.clone())? {
            let commands = commands(&entry);
            facts.push(Fact::Voted { slot, ballot, value: combined(&commands), commands });
        }
    }
    facts.push(Fact::Promised { ballot: record::decode_state(state.clone())?.0.promised });
    Ok(facts)
}

/// What a journal and a checkpoint remember together.
pub(super) fn of_memory(
    state: Option<&Bytes>,
    records: &[Bytes],
    checkpoint: Slot,
) -> Result<Memory, DecodeError> {
    let promised = match state {
        Some(state) => record::decode_state(state.clone())?.0.promised,
        None => Ballot::ZERO,
    };
    let (mut votes, mut chosen) = (BTreeMap::new(), BTreeMap::new());
    for bytes in records {
        match record::decode(bytes.clone())? {
            Record::Vote { slot, ballot, entry } if slot > checkpoint => {
                let commands = commands(&entry);
                let value = combined(&commands);
                votes.insert(slot, RememberedVote { slot, ballot, value, commands });
            }
            Record::Chosen { slot, entry } if slot > checkpoint => {
                chosen.insert(slot, combined(&commands(&entry)));
            }
            _ => {}
        }
    }
    Ok(Memory {
        promised,
        checkpoint,
        votes: votes.into_values().collect(),
        chosen: chosen.into_iter().collect(),
    })
}
