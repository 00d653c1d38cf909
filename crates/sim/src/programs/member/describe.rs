//! What members say to each other, in a few words.

use synod_member::submission::Submission;
use synod_member::wire::PeerMessage;
use synod_paxos::multi::entry::Entry;
use synod_paxos::multi::message::Message;

fn entry(entry: &Entry<Submission>) -> String {
    match entry {
        Entry::Noop => "no-op".to_owned(),
        Entry::Commands(commands) => format!("[{}]", commands.len()),
    }
}

pub(super) fn describe(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Protocol(message) => describe_protocol(message),
        PeerMessage::Forward(submissions) => format!("forward [{}]", submissions.len()),
        PeerMessage::Relay(submissions) => format!("relay [{}]", submissions.len()),
        PeerMessage::WantCheckpoint { offset, .. } => format!("want-checkpoint @{offset}"),
        PeerMessage::CheckpointPart { slot, offset, .. } => format!("checkpoint-part {slot} @{offset}"),
    }
}

fn describe_protocol(message: &Message<Submission>) -> String {
    let name = message.name();
    match message {
        Message::Prepare { ballot, from } => format!("{name} {ballot} from {from}"),
        Message::Promise(promise) => format!("{name} {}", promise.ballot),
        Message::Nack { ballot, promised } => format!("{name} {ballot}, promised {promised}"),
        Message::Accept { ballot, slot, entry: value, .. } => {
            format!("{name} {ballot} {slot} {}", entry(value))
        }
        Message::Accepted { ballot, slots } => match (slots.first(), slots.last()) {
            (Some(first), Some(last)) if first == last => format!("{name} {ballot} {first}"),
            (Some(first), Some(last)) => format!("{name} {ballot} {first}-{last}"),
            _ => format!("{name} {ballot}"),
        },
        Message::Commit { ballot, through } => format!("{name} {ballot} through {through}"),
        Message::Fetch { from } => format!("{name} from {from}"),
        Message::Fetched { from, entries, .. } => format!("{name} {} from {from}", entries.len()),
        Message::Heartbeat { round, .. } | Message::HeartbeatReply { round, .. } => format!("{name} {round}"),
        Message::PreCheck { ballot } => format!("{name} {ballot}"),
        Message::PreCheckReply { ballot, granted, .. } => {
            format!("{name} {ballot} {}", if *granted { "yes" } else { "no" })
        }
        Message::Confirm { ballot, round } | Message::Confirmed { ballot, round } => {
            format!("{name} {ballot} round {round}")
        }
        Message::ReadIndex { .. } => name.to_owned(),
        Message::ReadIndexReply { slot, .. } => match slot {
            Some(slot) => format!("{name} {slot}"),
            None => format!("{name} none"),
        },
    }
}
