//! Which members a connection joins: exchanged before anything else, so that frames have a sender.
//!
//! ```text
//! dialer   -> magic, its name, the name of the member it looks for, its cluster, checksum
//! acceptor -> 1     or     0, the reason why not; then it closes
//! ```
//! Afterwards the dialer sends frames of the member, the acceptor nothing but signs of life. Which process of which disk
//! speaks under that name is not settled here: the frames themselves say so, and the voter judges it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use synod_paxos::config::ClusterId;
use thiserror::Error;

/// First bytes of an introduction: the protocol between drivers and its version.
const MAGIC: &[u8; 8] = b"SYNOD/2\n";
/// An introduction is at most so long.
pub(crate) const INTRODUCTION_MAX: usize = 16 * 1024;
/// A refusal's reason is at most so long.
const REASON_MAX: usize = 512;

/// The members that a connection joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// The name of the dialer.
    pub(crate) from: String,
    /// The name of the member that it looks for.
    pub(crate) to: String,
    /// The dialer's cluster.
    pub(crate) cluster: ClusterId,
}

/// Why bytes are not an introduction, or not an answer to one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum HandshakeError {
    /// The other end speaks something else.
    #[error("it does not speak this protocol between members")]
    Foreign,
    /// Bytes changed on the way.
    #[error("its introduction is damaged: the checksum does not match")]
    Damaged,
    /// The checksum is right, the content is not.
    #[error("its introduction is malformed: {0}")]
    Malformed(&'static str),
    /// The acceptor says no.
    #[error("it refused: {0}")]
    Refused(String),
}

impl Introduction {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_slice(MAGIC);
        put_part(&mut bytes, self.from.as_bytes());
        put_part(&mut bytes, self.to.as_bytes());
        bytes.put_u64_le(self.cluster.0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.put_u32_le(checksum);
        bytes.freeze()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Introduction, HandshakeError> {
        if !bytes.starts_with(MAGIC) {
            return Err(HandshakeError::Foreign);
        }
        let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(HandshakeError::Foreign)?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(HandshakeError::Damaged);
        }
        let mut rest = bytes.slice(MAGIC.len()..content.len());
        let (from, to) = (take_name(&mut rest)?, take_name(&mut rest)?);
        let cluster = rest.try_get_u64_le().map_err(|_| HandshakeError::Malformed("it ends too early"))?;
        let introduction = Introduction { from, to, cluster: ClusterId(cluster) };
        if rest.is_empty() { Ok(introduction) } else { Err(HandshakeError::Malformed("it ends too late")) }
    }
}

/// What the acceptor answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Frames may come.
    Welcome,
    /// They may not, and why.
    Refused(String),
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let (verdict, reason) = match self {
            Answer::Welcome => (1, ""),
            Answer::Refused(reason) => (0, reason.as_str()),
        };
        let mut bytes = BytesMut::with_capacity(1 + reason.len());
        bytes.put_u8(verdict);
        bytes.put_slice(reason.as_bytes());
        bytes.freeze()
    }

    /// # Errors
    /// If it is not an answer, or a refusal.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<(), HandshakeError> {
        match bytes.try_get_u8() {
            Ok(1) if bytes.is_empty() => Ok(()),
            Ok(0) => {
                bytes.truncate(REASON_MAX);
                Err(HandshakeError::Refused(String::from_utf8_lossy(&bytes).escape_default().to_string()))
            }
            _ => Err(HandshakeError::Foreign),
        }
    }
}

fn take_name(bytes: &mut Bytes) -> Result<String, HandshakeError> {
    let name = take_part(bytes)?;
    String::from_utf8(name.to_vec()).map_err(|_| HandshakeError::Malformed("a name is not text"))
}

fn put_part(bytes: &mut BytesMut, part: &[u8]) {
    let length = u16::try_from(part.len()).expect("names are short");
    bytes.put_u16_le(length);
    bytes.put_slice(part);
}

fn take_part(bytes: &mut Bytes) -> Result<Bytes, HandshakeError> {
    let length = bytes.try_get_u16_le().map_err(|_| HandshakeError::Malformed("it ends too early"))?;
    if bytes.len() < usize::from(length) {
        return Err(HandshakeError::Malformed("it ends too early"));
    }
    Ok(bytes.split_to(usize::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduction() -> Introduction {
        Introduction { from: "a".into(), to: "b".into(), cluster: ClusterId(7) }
    }

    #[test]
    fn an_introduction_comes_out_as_it_went_in() {
        assert_eq!(Introduction::decode(&introduction().encode()), Ok(introduction()));
    }

    #[test]
    fn no_damage_and_no_truncation_gets_through() {
        let whole = introduction().encode();
        for length in 0..whole.len() {
            assert!(Introduction::decode(&whole.slice(..length)).is_err(), "cut at {length}");
            let mut bent = whole.to_vec();
            bent[length] ^= 0x10;
            assert!(Introduction::decode(&bent.into()).is_err(), "bent at {length}");
        }
    }

    #[test]
    fn a_refusal_carries_its_reason_and_no_control_characters() {
        let answer = Answer::Refused("another member\x1b[2J".into()).encode();
        let error = Answer::decode(answer).unwrap_err();
        assert_eq!(error.to_string(), "it refused: another member\\u{1b}[2J");
        assert_eq!(Answer::decode(Answer::Welcome.encode()), Ok(()));
        assert_eq!(Answer::decode(Bytes::from_static(b"HTTP/1.1")).unwrap_err(), HandshakeError::Foreign);
    }
}
