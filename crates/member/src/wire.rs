//! Frames between members: checksummed, and marked with cluster, configuration, sender and incarnation.

use bytes::{BufMut, Bytes, BytesMut};
use synod_paxos::choose::Vote;
use synod_paxos::config::{ClusterId, ConfigId};
use synod_paxos::multi::entry::{Command as _, Entry};
use synod_paxos::multi::message::{Health, Message, Promise, ReadId, Report};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;

use crate::codec::{DecodeError, Reader, Writer};
use crate::introduction::hello::{Hello, Speaker};
use crate::submission::Submission;

/// The version of everything in this file. Members of other versions refuse each other's frames.
pub const VERSION: u8 = 2;

/// Frames larger than this are garbage: nothing a member sends comes near.
pub const FRAME_BYTES_MAX: usize = 256 << 20;

/// Whose frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Which configuration.
    pub config: ConfigId,
    /// The sender.
    pub from: NodeId,
    /// Which process of it.
    pub incarnation: Incarnation,
    /// How many protocol records its disk has ever made durable.
    pub written: u64,
}

impl Header {
    /// The process that sends.
    pub fn speaker(&self) -> Speaker {
        Speaker { cluster: self.cluster, node: self.from, incarnation: self.incarnation }
    }
}

/// What members say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Who it is. The only kind that counts from a process that was not admitted.
    Hello(Box<Hello>),
    /// The protocol's.
    Protocol(Message<Submission>),
    /// Commands for the leader, from the member that took them.
    Forward(Vec<Submission>),
    /// Commands for the leader, from a member that was asked to pass them on.
    Relay(Vec<Submission>),
    /// Asks for a part of a checkpoint: the named one, or the newest.
    WantCheckpoint {
        /// Of this one; none for the newest.
        slot: Option<Slot>,
        /// From which byte on.
        offset: u64,
    },
    /// A part of the checkpoint through `slot`, which is `length` bytes long.
    CheckpointPart {
        /// Of which checkpoint.
        slot: Slot,
        /// Where it belongs.
        offset: u64,
        /// How long the whole is.
        length: u64,
        /// The part.
        bytes: Bytes,
    },
}

impl PeerMessage {
    fn size(&self) -> usize {
        let entry = |entry: &Entry<Submission>| entry.size() + 37 * entry.commands().len() + 8;
        match self {
            PeerMessage::Protocol(Message::Accept { entry: value, .. }) => entry(value),
            PeerMessage::Protocol(Message::Fetched { entries, .. }) => entries.iter().map(entry).sum(),
            PeerMessage::Forward(submissions) | PeerMessage::Relay(submissions) => {
                submissions.iter().map(|s| s.size() + 37).sum()
            }
            PeerMessage::CheckpointPart { bytes, .. } => bytes.len(),
            PeerMessage::Hello(_) => 512,
            _ => 64,
        }
    }
}

/// A frame: checksum, version, header, message.
pub fn encode(header: Header, message: &PeerMessage) -> Bytes {
    let mut out = BytesMut::with_capacity(message.size() + 96);
    out.put_u32_le(0);
    out.put_u8(VERSION);
    for number in [header.cluster.0, header.config.0, header.from.0] {
        out.put_u64_le(number);
    }
    out.incarnation(header.incarnation);
    out.put_u64_le(header.written);
    put_message(&mut out, message);
    let checksum = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
    out.freeze()
}

/// Reads a frame.
///
/// # Errors
/// If it is none of this version, or damaged.
pub fn decode(frame: Bytes) -> Result<(Header, PeerMessage), DecodeError> {
    let mut reader = Reader(frame);
    let checksum = reader.u32("checksum")?;
    if crc32c::crc32c(&reader.0) != checksum {
        return Err(DecodeError::Checksum);
    }
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let header = Header {
        cluster: ClusterId(reader.u64("cluster")?),
        config: ConfigId(reader.u64("configuration")?),
        from: NodeId(reader.u64("sender")?),
        incarnation: reader.incarnation()?,
        written: reader.u64("count of records")?,
    };
    let message = take_message(&mut reader)?;
    reader.end()?;
    Ok((header, message))
}

fn put_message(out: &mut BytesMut, message: &PeerMessage) {
    match message {
        PeerMessage::Hello(hello) => {
            out.put_u8(68);
            hello.encode(out);
        }
        PeerMessage::Protocol(message) => put_protocol(out, message),
        PeerMessage::Forward(submissions) | PeerMessage::Relay(submissions) => {
            out.put_u8(if matches!(message, PeerMessage::Forward(_)) { 64 } else { 67 });
            out.count(submissions.len());
            for submission in submissions {
                out.submission(submission);
            }
        }
        PeerMessage::WantCheckpoint { slot, offset } => {
            out.put_u8(65);
            out.flag(slot.is_some());
            if let Some(slot) = slot {
                out.slot(*slot);
            }
            out.put_u64_le(*offset);
        }
        PeerMessage::CheckpointPart { slot, offset, length, bytes } => {
            out.put_u8(66);
            out.slot(*slot);
            out.put_u64_le(*offset);
            out.put_u64_le(*length);
            out.bytes(bytes);
        }
    }
}

fn put_protocol(out: &mut BytesMut, message: &Message<Submission>) {
    match message {
        Message::Prepare { ballot, from } => {
            out.put_u8(1);
            out.ballot(*ballot);
            out.slot(*from);
        }
        Message::Promise(promise) => {
            out.put_u8(2);
            put_promise(out, promise);
        }
        Message::Nack { ballot, promised } => {
            out.put_u8(3);
            out.ballot(*ballot);
            out.ballot(*promised);
        }
        Message::Accept { ballot, slot, entry, commit } => {
            out.put_u8(4);
            out.ballot(*ballot);
            out.slot(*slot);
            out.slot(*commit);
            out.entry(entry);
        }
        Message::Accepted { ballot, slots } => {
            out.put_u8(5);
            out.ballot(*ballot);
            out.count(slots.len());
            for slot in slots {
                out.slot(*slot);
            }
        }
        Message::Commit { ballot, through } => {
            out.put_u8(6);
            out.ballot(*ballot);
            out.slot(*through);
        }
        Message::Fetch { from } => {
            out.put_u8(7);
            out.slot(*from);
        }
        Message::Fetched { from, entries, chosen, truncated } => {
            out.put_u8(8);
            out.slot(*from);
            out.slot(*chosen);
            out.slot(*truncated);
            out.count(entries.len());
            for entry in entries {
                out.entry(entry);
            }
        }
        other => put_query(out, other),
    }
}

/// Elections and reads.
fn put_query(out: &mut BytesMut, message: &Message<Submission>) {
    match message {
        Message::Heartbeat { round, commit } => {
            out.put_u8(9);
            out.put_u64_le(*round);
            out.flag(commit.is_some());
            if let Some((ballot, slot)) = commit {
                out.ballot(*ballot);
                out.slot(*slot);
            }
        }
        Message::HeartbeatReply { round, health } => {
            out.put_u8(10);
            out.put_u64_le(*round);
            out.optional_ballot(health.promised);
            out.optional_ballot(health.leader);
            out.flag(health.happy);
            out.slot(health.holds);
            out.slot(health.knows);
            out.slot(health.truncated);
            out.flag(health.stalled);
            out.flag(health.electable);
        }
        Message::PreCheck { ballot } => {
            out.put_u8(11);
            out.ballot(*ballot);
        }
        Message::PreCheckReply { ballot, granted, promised } => {
            out.put_u8(12);
            out.ballot(*ballot);
            out.flag(*granted);
            out.optional_ballot(*promised);
        }
        Message::Confirm { ballot, round } | Message::Confirmed { ballot, round } => {
            out.put_u8(if matches!(message, Message::Confirm { .. }) { 13 } else { 14 });
            out.ballot(*ballot);
            out.put_u64_le(*round);
        }
        Message::ReadIndex { read } => {
            out.put_u8(15);
            put_read(out, *read);
        }
        Message::ReadIndexReply { read, slot } => {
            out.put_u8(16);
            put_read(out, *read);
            out.flag(slot.is_some());
            if let Some(slot) = slot {
                out.slot(*slot);
            }
        }
        other => unreachable!("{} is written by put_protocol", other.name()),
    }
}

fn put_read(out: &mut BytesMut, read: ReadId) {
    out.put_u64_le(read.node.0);
    out.incarnation(read.incarnation);
    out.put_u64_le(read.number);
}

fn put_promise(out: &mut BytesMut, promise: &Promise<Submission>) {
    out.ballot(promise.ballot);
    out.slot(promise.from);
    out.slot(promise.chosen);
    out.count(promise.reports.len());
    for (slot, report) in &promise.reports {
        out.slot(*slot);
        match report {
            Report::Chosen(entry) => {
                out.put_u8(0);
                out.entry(entry);
            }
            Report::Vote(vote) => {
                out.put_u8(1);
                out.ballot(vote.ballot);
                out.entry(&vote.value);
            }
        }
    }
}

fn take_message(reader: &mut Reader) -> Result<PeerMessage, DecodeError> {
    Ok(match reader.u8("kind")? {
        68 => PeerMessage::Hello(Box::new(Hello::decode(reader)?)),
        64 => PeerMessage::Forward(reader.list("submissions", Reader::submission)?),
        67 => PeerMessage::Relay(reader.list("submissions", Reader::submission)?),
        65 => PeerMessage::WantCheckpoint {
            slot: reader.optional("slot", Reader::slot)?,
            offset: reader.u64("offset")?,
        },
        66 => PeerMessage::CheckpointPart {
            slot: reader.slot()?,
            offset: reader.u64("offset")?,
            length: reader.u64("length")?,
            bytes: reader.bytes("part")?,
        },
        tag @ 1..=8 => PeerMessage::Protocol(take_protocol(tag, reader)?),
        tag => PeerMessage::Protocol(take_query(tag, reader)?),
    })
}

fn take_protocol(tag: u8, reader: &mut Reader) -> Result<Message<Submission>, DecodeError> {
    Ok(match tag {
        1 => Message::Prepare { ballot: reader.ballot()?, from: reader.slot()? },
        2 => Message::Promise(take_promise(reader)?),
        3 => Message::Nack { ballot: reader.ballot()?, promised: reader.ballot()? },
        4 => {
            let (ballot, slot, commit) = (reader.ballot()?, reader.slot()?, reader.slot()?);
            Message::Accept { ballot, slot, entry: reader.entry()?, commit }
        }
        5 => Message::Accepted { ballot: reader.ballot()?, slots: reader.list("slots", Reader::slot)? },
        6 => Message::Commit { ballot: reader.ballot()?, through: reader.slot()? },
        7 => Message::Fetch { from: reader.slot()? },
        8 => {
            let (from, chosen, truncated) = (reader.slot()?, reader.slot()?, reader.slot()?);
            Message::Fetched { from, entries: reader.list("entries", Reader::entry)?, chosen, truncated }
        }
        tag => return Err(DecodeError::Tag { what: "message", tag }),
    })
}

fn take_query(tag: u8, reader: &mut Reader) -> Result<Message<Submission>, DecodeError> {
    Ok(match tag {
        9 => Message::Heartbeat {
            round: reader.u64("round")?,
            commit: reader.optional("commit", |reader| Ok((reader.ballot()?, reader.slot()?)))?,
        },
        10 => Message::HeartbeatReply {
            round: reader.u64("round")?,
            health: Health {
                promised: reader.optional("promise", Reader::ballot)?,
                leader: reader.optional("leader", Reader::ballot)?,
                happy: reader.flag("happiness")?,
                holds: reader.slot()?,
                knows: reader.slot()?,
                truncated: reader.slot()?,
                stalled: reader.flag("stall")?,
                electable: reader.flag("electability")?,
            },
        },
        11 => Message::PreCheck { ballot: reader.ballot()? },
        12 => Message::PreCheckReply {
            ballot: reader.ballot()?,
            granted: reader.flag("grant")?,
            promised: reader.optional("promise", Reader::ballot)?,
        },
        13 => Message::Confirm { ballot: reader.ballot()?, round: reader.u64("round")? },
        14 => Message::Confirmed { ballot: reader.ballot()?, round: reader.u64("round")? },
        15 => Message::ReadIndex { read: take_read(reader)? },
        16 => {
            Message::ReadIndexReply { read: take_read(reader)?, slot: reader.optional("slot", Reader::slot)? }
        }
        tag => return Err(DecodeError::Tag { what: "message", tag }),
    })
}

fn take_read(reader: &mut Reader) -> Result<ReadId, DecodeError> {
    Ok(ReadId {
        node: NodeId(reader.u64("reader")?),
        incarnation: reader.incarnation()?,
        number: reader.u64("number")?,
    })
}

fn take_promise(reader: &mut Reader) -> Result<Promise<Submission>, DecodeError> {
    let (ballot, from, chosen) = (reader.ballot()?, reader.slot()?, reader.slot()?);
    let reports = reader.list("reports", |reader| {
        let slot = reader.slot()?;
        let report = match reader.u8("report")? {
            0 => Report::Chosen(reader.entry()?),
            1 => Report::Vote(Vote { ballot: reader.ballot()?, value: reader.entry()? }),
            tag => return Err(DecodeError::Tag { what: "report", tag }),
        };
        Ok((slot, report))
    })?;
    Ok(Promise { ballot, from, chosen, reports })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
