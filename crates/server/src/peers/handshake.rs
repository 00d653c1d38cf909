//! Who is at the other end: exchanged before anything else.
//!
//! ```text
//! dialer  ->  Introduction { magic, Hello { cluster, from, to, incarnation }, client URLs, checksum }
//! acceptor -> 1, its own Introduction     or     0, the reason why not; then it closes
//! ```
//! Afterwards the dialer sends frames of the member, the acceptor nothing but signs of life.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use synod_member::wire::Hello;
use thiserror::Error;

/// First bytes of an introduction: the protocol between drivers and its version.
const MAGIC: &[u8; 8] = b"SYNOD/1\n";
/// An introduction is at most so long.
pub(crate) const INTRODUCTION_MAX: usize = 16 * 1024;
/// A refusal's reason is at most so long.
const REASON_MAX: usize = 512;
const URLS_MAX: usize = 64;

/// What a member says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// Who it is and whom it wants to talk to.
    pub(crate) hello: Hello,
    /// Where clients reach it.
    pub(crate) client_urls: Vec<String>,
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
        put_part(&mut bytes, &self.hello.encode());
        let urls: Vec<&String> =
            self.client_urls.iter().filter(|url| url.len() <= 128).take(URLS_MAX).collect();
        bytes.put_u16_le(urls.len() as u16);
        for url in urls {
            put_part(&mut bytes, url.as_bytes());
        }
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
        let hello = take_part(&mut rest)?;
        let hello = Hello::decode(&hello).map_err(|_| HandshakeError::Malformed("the hello"))?;
        let count =
            rest.try_get_u16_le().map_err(|_| HandshakeError::Malformed("the number of client URLs"))?;
        if usize::from(count) > URLS_MAX {
            return Err(HandshakeError::Malformed("too many client URLs"));
        }
        let mut client_urls = Vec::new();
        for _ in 0..count {
            let url = String::from_utf8(take_part(&mut rest)?.to_vec());
            client_urls.push(url.map_err(|_| HandshakeError::Malformed("a client URL is not text"))?);
        }
        Ok(Introduction { hello, client_urls })
    }
}

/// What the acceptor answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Frames may come.
    Welcome(Introduction),
    /// They may not, and why.
    Refused(String),
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let (verdict, content) = match self {
            Answer::Welcome(introduction) => (1, introduction.encode()),
            Answer::Refused(reason) => (0, Bytes::copy_from_slice(reason.as_bytes())),
        };
        let mut bytes = BytesMut::with_capacity(1 + content.len());
        bytes.put_u8(verdict);
        bytes.put(content);
        bytes.freeze()
    }

    /// # Errors
    /// If it is not an answer, or a refusal.
    pub(crate) fn decode(mut bytes: Bytes) -> Result<Introduction, HandshakeError> {
        match bytes.try_get_u8() {
            Ok(1) => Introduction::decode(&bytes),
            Ok(0) => {
                bytes.truncate(REASON_MAX);
                Err(HandshakeError::Refused(String::from_utf8_lossy(&bytes).escape_default().to_string()))
            }
            _ => Err(HandshakeError::Foreign),
        }
    }
}

fn put_part(bytes: &mut BytesMut, part: &[u8]) {
    let length = u16::try_from(part.len()).expect("a hello and a client URL are short");
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
    use synod_paxos::config::ClusterId;
    use synod_paxos::node::{Incarnation, NodeId};

    fn introduction() -> Introduction {
        let hello =
            Hello { cluster: ClusterId(7), from: NodeId(1), to: NodeId(2), incarnation: Incarnation(3) };
        Introduction { hello, client_urls: vec!["http://localhost:2379".into()] }
    }

    #[test]
    fn an_introduction_comes_out_as_it_went_in() {
        let decoded = Introduction::decode(&introduction().encode()).unwrap();
        assert_eq!(decoded.hello, introduction().hello);
        assert_eq!(decoded.client_urls, introduction().client_urls);
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
        let answer = Answer::Refused("another cluster\x1b[2J".into()).encode();
        let error = Answer::decode(answer).unwrap_err();
        assert_eq!(error.to_string(), "it refused: another cluster\\u{1b}[2J");
        assert_eq!(Answer::decode(Bytes::from_static(b"HTTP/1.1")).unwrap_err(), HandshakeError::Foreign);
    }
}
