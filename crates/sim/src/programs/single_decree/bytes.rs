//! Messages and records of single-decree Paxos as bytes. Only the simulator sends and stores them.

use bytes::{BufMut, Bytes, BytesMut};
use synod_paxos::ballot::Ballot;
use synod_paxos::choose::Vote;
use synod_paxos::node::NodeId;
use synod_paxos::synod::message::Message;
use synod_paxos::synod::record::Record;

fn put(tag: u8, ballots: &[Ballot], value: Option<&String>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(tag);
    out.put_u8(u8::try_from(ballots.len()).expect("one or two ballots"));
    for ballot in ballots {
        out.put_u64_le(ballot.round);
        out.put_u64_le(ballot.node.0);
    }
    if let Some(value) = value {
        out.put_slice(value.as_bytes());
    }
    out.freeze()
}

fn take(bytes: &[u8]) -> Option<(u8, Vec<Ballot>, String)> {
    let (head, mut rest) = bytes.split_at_checked(2)?;
    let mut ballots = Vec::new();
    for _ in 0..head[1] {
        let (ballot, left) = rest.split_at_checked(16)?;
        let (round, node) = ballot.split_at(8);
        let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        ballots.push(Ballot::new(number(round)?, NodeId(number(node)?)));
        rest = left;
    }
    Some((head[0], ballots, String::from_utf8(rest.to_vec()).ok()?))
}

pub(super) fn encode(message: &Message<String>) -> Bytes {
    match message {
        Message::Prepare { ballot } => put(1, &[*ballot], None),
        Message::Promise { ballot, vote: None } => put(2, &[*ballot], None),
        Message::Promise { ballot, vote: Some(vote) } => put(3, &[*ballot, vote.ballot], Some(&vote.value)),
        Message::Accept { ballot, value } => put(4, &[*ballot], Some(value)),
        Message::Accepted { ballot, value } => put(5, &[*ballot], Some(value)),
        Message::Nack { ballot, promised } => put(6, &[*ballot, *promised], None),
        Message::Chosen { ballot, value } => put(7, &[*ballot], Some(value)),
        Message::Inquire => put(8, &[], None),
    }
}

pub(super) fn decode(bytes: &[u8]) -> Option<Message<String>> {
    let (tag, ballots, value) = take(bytes)?;
    Some(match (tag, &ballots[..]) {
        (1, [ballot]) => Message::Prepare { ballot: *ballot },
        (2, [ballot]) => Message::Promise { ballot: *ballot, vote: None },
        (3, [ballot, voted]) => {
            Message::Promise { ballot: *ballot, vote: Some(Vote { ballot: *voted, value }) }
        }
        (4, [ballot]) => Message::Accept { ballot: *ballot, value },
        (5, [ballot]) => Message::Accepted { ballot: *ballot, value },
        (6, [ballot, promised]) => Message::Nack { ballot: *ballot, promised: *promised },
        (7, [ballot]) => Message::Chosen { ballot: *ballot, value },
        (8, []) => Message::Inquire,
        _ => return None,
    })
}

pub(super) fn encode_record(record: &Record<String>) -> Bytes {
    match record {
        Record::Used(ballot) => put(1, &[*ballot], None),
        Record::Promised(ballot) => put(2, &[*ballot], None),
        Record::Voted(vote) => put(3, &[vote.ballot], Some(&vote.value)),
    }
}

pub(super) fn decode_record(bytes: &[u8]) -> Option<Record<String>> {
    let (tag, ballots, value) = take(bytes)?;
    Some(match (tag, &ballots[..]) {
        (1, [ballot]) => Record::Used(*ballot),
        (2, [ballot]) => Record::Promised(*ballot),
        (3, [ballot]) => Record::Voted(Vote { ballot: *ballot, value }),
        _ => return None,
    })
}

pub(super) fn describe(message: &Message<String>) -> String {
    let name = message.name();
    match message {
        Message::Promise { ballot, vote: Some(vote) } => {
            format!("{name} {ballot}, voted {} {}", vote.ballot, vote.value)
        }
        Message::Accept { ballot, value }
        | Message::Accepted { ballot, value }
        | Message::Chosen { ballot, value } => format!("{name} {ballot} {value}"),
        Message::Nack { ballot, promised } => format!("{name} {ballot}, promised {promised}"),
        Message::Prepare { ballot } | Message::Promise { ballot, vote: None } => format!("{name} {ballot}"),
        Message::Inquire => name.to_owned(),
    }
}
