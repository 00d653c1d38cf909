//! The journal's records: the protocol's, as bytes.

use bytes::{BufMut, Bytes, BytesMut};
use synod_paxos::config::ConfigId;
use synod_paxos::multi::record::{HardState, Record};
use synod_paxos::slot::Slot;

use crate::codec::{DecodeError, Reader, Writer};
use crate::submission::Submission;

const VOTE: u8 = 1;
const CHOSEN: u8 = 2;
const COMMIT: u8 = 3;
const STATE_VERSION: u8 = 2;

/// Writes the state that every batch repeats: the protocol's, and how many protocol records this disk has ever made
/// durable, this batch's included. A batch counts as one, for the state in it, and each of its records as one.
pub fn encode_state(state: &HardState, written: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(57);
    out.put_u8(STATE_VERSION);
    out.put_u64_le(state.config.0);
    out.ballot(state.promised);
    out.ballot(state.used);
    out.slot(state.highest_voted);
    out.put_u64_le(written);
    out.freeze()
}

/// Reads it.
///
/// # Errors
/// If it is no state of this version.
pub fn decode_state(bytes: Bytes) -> Result<(HardState, u64), DecodeError> {
    let mut reader = Reader(bytes);
    let version = reader.u8("version")?;
    if version != STATE_VERSION {
        return Err(DecodeError::Version(version));
    }
    let config = ConfigId(reader.u64("configuration")?);
    let (promised, used) = (reader.ballot()?, reader.ballot()?);
    let highest_voted = reader.slot()?;
    let written = reader.u64("count of records")?;
    reader.end()?;
    Ok((HardState { config, promised, used, highest_voted }, written))
}

/// Writes a record.
pub fn encode(record: &Record<Submission>) -> Bytes {
    let size = match record {
        Record::Vote { entry, .. } | Record::Chosen { entry, .. } => {
            entry.size() + 37 * entry.commands().len()
        }
        Record::Commit { .. } => 0,
    };
    let mut out = BytesMut::with_capacity(size + 32);
    match record {
        Record::Vote { slot, ballot, entry } => {
            out.put_u8(VOTE);
            out.slot(*slot);
            out.ballot(*ballot);
            out.entry(entry);
        }
        Record::Chosen { slot, entry } => {
            out.put_u8(CHOSEN);
            out.slot(*slot);
            out.entry(entry);
        }
        Record::Commit { through } => {
            out.put_u8(COMMIT);
            out.slot(*through);
        }
    }
    out.freeze()
}

/// Reads a record.
///
/// # Errors
/// If it is none.
pub fn decode(bytes: Bytes) -> Result<Record<Submission>, DecodeError> {
    let mut reader = Reader(bytes);
    let record = match reader.u8("kind")? {
        VOTE => Record::Vote { slot: reader.slot()?, ballot: reader.ballot()?, entry: reader.entry()? },
        CHOSEN => Record::Chosen { slot: reader.slot()?, entry: reader.entry()? },
        COMMIT => Record::Commit { through: reader.slot()? },
        tag => return Err(DecodeError::Tag { what: "kind of record", tag }),
    };
    reader.end()?;
    Ok(record)
}

/// The highest slot that records speak of: when a checkpoint covers it, they may be deleted.
pub fn mark(records: &[Record<Submission>]) -> Slot {
    let slots = records.iter().map(|record| match record {
        Record::Vote { slot, .. } | Record::Chosen { slot, .. } => *slot,
        Record::Commit { through } => *through,
    });
    slots.max().unwrap_or(Slot::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submission::Body;
    use synod_paxos::ballot::Ballot;
    use synod_paxos::multi::entry::Entry;
    use synod_paxos::node::{Incarnation, NodeId};

    fn records() -> Vec<Record<Submission>> {
        let submission = |body| Submission {
            origin: NodeId(3),
            incarnation: Incarnation::numbered(4),
            sequence: 5,
            floor: 2,
            body,
        };
        let commands = vec![submission(Body::Register), submission(Body::Store("put".into()))];
        let entry = Entry::Commands(commands.into());
        vec![
            Record::Vote { slot: Slot(7), ballot: Ballot::new(2, NodeId(1)), entry: entry.clone() },
            Record::Chosen { slot: Slot(9), entry },
            Record::Vote { slot: Slot(8), ballot: Ballot::new(2, NodeId(1)), entry: Entry::Noop },
            Record::Commit { through: Slot(6) },
        ]
    }

    #[test]
    fn records_read_back_as_they_were_written_and_no_prefix_of_one_is_another() {
        for record in records() {
            let bytes = encode(&record);
            assert_eq!(decode(bytes.clone()), Ok(record));
            for length in 0..bytes.len() {
                assert!(decode(bytes.slice(..length)).is_err(), "the first {length} bytes are a record too");
            }
        }
        assert_eq!(mark(&records()), Slot(9));
    }

    #[test]
    fn the_state_reads_back_and_an_unknown_version_is_named() {
        let state = HardState {
            config: ConfigId(1),
            promised: Ballot::new(8, NodeId(2)),
            used: Ballot::new(7, NodeId(1)),
            highest_voted: Slot(5),
        };
        let bytes = encode_state(&state, 77);
        assert_eq!(decode_state(bytes.clone()), Ok((state, 77)));
        let mut other = bytes.to_vec();
        other[0] = 9;
        assert_eq!(decode_state(other.into()), Err(DecodeError::Version(9)));
    }
}
