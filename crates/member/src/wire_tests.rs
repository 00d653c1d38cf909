//! Frames read back as they were written, and nothing else is a frame.

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::multi::entry::Entry;

use super::*;
use crate::submission::Body;

fn submission() -> Submission {
    Submission {
        origin: NodeId(3),
        incarnation: Incarnation(4),
        sequence: 5,
        floor: 2,
        body: Body::Store("put".into()),
    }
}

fn every_message() -> Vec<PeerMessage> {
    let ballot = Ballot::new(2, NodeId(1));
    let entry = Entry::Commands(vec![submission()].into());
    let read = ReadId { node: NodeId(1), incarnation: Incarnation(2), number: 3 };
    let health = Health {
        promised: Some(ballot),
        leader: None,
        happy: true,
        holds: Slot(4),
        knows: Slot(6),
        truncated: Slot(2),
        stalled: false,
        electable: true,
    };
    let reports = vec![
        (Slot(5), Report::Vote(Vote { ballot, value: Entry::Noop })),
        (Slot(6), Report::Chosen(entry.clone())),
    ];
    let protocol = [
        Message::Prepare { ballot, from: Slot(1) },
        Message::Promise(Promise { ballot, from: Slot(2), chosen: Slot(4), reports }),
        Message::Nack { ballot, promised: ballot },
        Message::Accept { ballot, slot: Slot(3), entry: entry.clone(), commit: Slot(2) },
        Message::Accepted { ballot, slots: vec![Slot(3), Slot(4)] },
        Message::Commit { ballot, through: Slot(9) },
        Message::Fetch { from: Slot(8) },
        Message::Fetched {
            from: Slot(8),
            entries: vec![entry, Entry::Noop],
            chosen: Slot(9),
            truncated: Slot(1),
        },
        Message::Heartbeat { round: 7, commit: Some((ballot, Slot(9))) },
        Message::Heartbeat { round: 8, commit: None },
        Message::HeartbeatReply { round: 7, health },
        Message::PreCheck { ballot },
        Message::PreCheckReply { ballot, granted: false, promised: None },
        Message::Confirm { ballot, round: 1 },
        Message::Confirmed { ballot, round: 1 },
        Message::ReadIndex { read },
        Message::ReadIndexReply { read, slot: Some(Slot(9)) },
        Message::ReadIndexReply { read, slot: None },
    ];
    let others = [
        PeerMessage::Forward(vec![submission(), Submission { body: Body::Register, ..submission() }]),
        PeerMessage::WantCheckpoint { slot: None, offset: 0 },
        PeerMessage::WantCheckpoint { slot: Some(Slot(7)), offset: 99 },
        PeerMessage::CheckpointPart { slot: Slot(7), offset: 0, length: 4, bytes: "part".into() },
    ];
    protocol.into_iter().map(PeerMessage::Protocol).chain(others).collect()
}

fn header() -> Header {
    Header { cluster: ClusterId(9), config: ConfigId(1), from: NodeId(2), incarnation: Incarnation(3) }
}

#[test]
fn every_message_reads_back_as_it_was_written() {
    for message in every_message() {
        assert_eq!(decode(encode(header(), &message)), Ok((header(), message)));
    }
}

#[test]
fn a_frame_cut_off_or_with_any_bit_flipped_is_refused() {
    for message in every_message() {
        let frame = encode(header(), &message);
        for length in 0..frame.len() {
            assert!(decode(frame.slice(..length)).is_err(), "{length} bytes of {message:?} are a frame");
        }
        for bit in 0..frame.len() * 8 {
            let mut bytes = frame.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(bytes.into()).is_err(), "bit {bit} of {message:?} can be flipped");
        }
    }
}

#[test]
fn garbage_with_a_right_checksum_is_refused_without_a_panic_or_a_large_allocation() {
    // Every byte of the message in turn becomes the worst it can be; the checksum is made to match.
    for message in every_message() {
        let frame = encode(header(), &message);
        for at in 4..frame.len() {
            for worst in [0x00, 0x7f, 0xff] {
                let mut bytes = frame.to_vec();
                bytes[at] = worst;
                let checksum = crc32c::crc32c(&bytes[4..]);
                bytes[..4].copy_from_slice(&checksum.to_le_bytes());
                if let Ok((_, read)) = decode(Bytes::from(bytes.clone())) {
                    let again = encode(header(), &read);
                    assert_eq!(again.len(), bytes.len(), "{read:?} was read from bytes that nobody writes");
                }
            }
        }
    }
}

#[test]
fn a_greeting_reads_back_and_a_stranger_is_told_apart() {
    let hello = Hello { cluster: ClusterId(1), from: NodeId(2), to: NodeId(3), incarnation: Incarnation(4) };
    let bytes = hello.encode();
    assert_eq!((bytes.len(), Hello::decode(&bytes)), (Hello::BYTES, Ok(hello)));
    for at in 0..bytes.len() {
        let mut wrong = bytes.to_vec();
        wrong[at] ^= 0x40;
        assert!(Hello::decode(&wrong).is_err(), "byte {at} can be changed");
    }
    let request = b"GET / HTTP/1.1\r\nHost: localhost:2380\r\nAccept: */*\r\n\r\n";
    let refused = Hello::decode(&request[..Hello::BYTES]);
    assert_eq!(refused, Err(DecodeError::Tag { what: "greeting of a member", tag: b'G' }));
}
