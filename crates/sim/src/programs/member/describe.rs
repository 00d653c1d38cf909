//! What members say to each other, in a few words.

use synod_member::wire::PeerMessage;

pub(super) fn describe(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Hello(hello) if hello.question > 0 => "hello?".to_owned(),
        PeerMessage::Hello(_) => "hello".to_owned(),
        PeerMessage::Protocol(message) => message.to_string(),
        PeerMessage::Forward(submissions) => format!("forward [{}]", submissions.len()),
        PeerMessage::Relay(submissions) => format!("relay [{}]", submissions.len()),
        PeerMessage::WantCheckpoint { offset, .. } => format!("want-checkpoint @{offset}"),
        PeerMessage::CheckpointPart { slot, offset, .. } => format!("checkpoint-part {slot} @{offset}"),
    }
}
