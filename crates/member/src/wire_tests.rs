//! Frames read back as they were written, and nothing else is a frame.

use bytes::Bytes;
use synod_paxos::ballot::Ballot;
use synod_paxos::multi::entry::Entry;

use super::*;
use crate::identity::roster::Roster;
use crate::introduction::hello::{Answered, Beginning, Holding, Refused};
use crate::submission::Body;

fn submission() -> Submission {
    Submission {
        origin: NodeId(3),
        incarnation: Incarnation::numbered(4),
        sequence: 5,
        floor: 2,
        body: Body::Store("put".into()),
    }
}

fn hello() -> Hello {
    let members = [("a".to_owned(), NodeId(2)), ("b".to_owned(), NodeId(5))];
    Hello {
        name: "a".into(),
        to: "b".into(),
        question: 3,
        answer: Some(Answered { speaker: header().speaker(), question: 2 }),
        starts: vec![Incarnation { start: 3, nonce: 77 }],
        recovered: 12,
        beginning: Beginning { slot: Slot(4), hash: 6 },
        holding: Holding::Held(Roster::new(ClusterId(9), members).unwrap()),
        admits: true,
        refused: Some(Refused { set_back: true, reason: "it is old".into() }),
        client_urls: vec!["http://localhost:2379".into()],
    }
}

fn every_message() -> Vec<PeerMessage> {
    let ballot = Ballot::new(2, NodeId(1));
    let entry = Entry::Commands(vec![submission()].into());
    let read = ReadId { node: NodeId(1), incarnation: Incarnation::numbered(2), number: 3 };
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
        PeerMessage::Hello(Box::new(hello())),
        PeerMessage::Hello(Box::new(Hello {
            answer: None,
            refused: None,
            holding: Holding::Pending,
            ..hello()
        })),
        PeerMessage::Forward(vec![submission(), Submission { body: Body::Register, ..submission() }]),
        PeerMessage::WantCheckpoint { slot: None, offset: 0 },
        PeerMessage::WantCheckpoint { slot: Some(Slot(7)), offset: 99 },
        PeerMessage::CheckpointPart { slot: Slot(7), offset: 0, length: 4, bytes: "part".into() },
    ];
    protocol.into_iter().map(PeerMessage::Protocol).chain(others).collect()
}

fn header() -> Header {
    let incarnation = Incarnation { start: 3, nonce: 77 };
    Header { cluster: ClusterId(9), config: ConfigId(1), from: NodeId(2), incarnation, written: 12 }
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
