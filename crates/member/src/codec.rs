//! Bytes: how entries, records and messages are written. Integers are little-endian and of fixed width.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use synod_paxos::ballot::Ballot;
use synod_paxos::multi::entry::Entry;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use thiserror::Error;

use crate::submission::{Body, Submission};

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("it ends before its {0}")]
    Short(&'static str),
    /// A tag that means nothing.
    #[error("{tag} is no {what}")]
    Tag {
        /// What the tag should name.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
    /// More follows than should.
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    /// The checksum differs.
    #[error("its checksum does not match")]
    Checksum,
    /// Parts of it do not go together.
    #[error("its {0} contradicts itself")]
    Contradiction(&'static str),
    /// Another format version.
    #[error("it has format version {0}, which this member does not speak")]
    Version(u8),
}

/// Reads fields off the front of a buffer.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Short(what))
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.0.try_get_u32_le().map_err(|_| DecodeError::Short(what))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.0.try_get_u64_le().map_err(|_| DecodeError::Short(what))
    }

    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::Tag { what, tag }),
        }
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let length = self.u32(what)? as usize;
        if length > self.0.remaining() {
            return Err(DecodeError::Short(what));
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        String::from_utf8(self.bytes(what)?.to_vec()).map_err(|_| DecodeError::Contradiction(what))
    }

    pub(crate) fn incarnation(&mut self) -> Result<Incarnation, DecodeError> {
        Ok(Incarnation { start: self.u64("start")?, nonce: self.u64("nonce")? })
    }

    pub(crate) fn slot(&mut self) -> Result<Slot, DecodeError> {
        self.u64("slot").map(Slot)
    }

    pub(crate) fn ballot(&mut self) -> Result<Ballot, DecodeError> {
        Ok(Ballot::new(self.u64("ballot")?, NodeId(self.u64("ballot")?)))
    }

    pub(crate) fn optional<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.flag(what)? { read(self).map(Some) } else { Ok(None) }
    }

    /// A counted list. A count cannot make more be allocated than the bytes that follow could hold.
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32(what)? as usize;
        if count > self.0.remaining() {
            return Err(DecodeError::Short(what));
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    pub(crate) fn submission(&mut self) -> Result<Submission, DecodeError> {
        let origin = NodeId(self.u64("origin")?);
        let incarnation = self.incarnation()?;
        let (sequence, floor) = (self.u64("sequence")?, self.u64("floor")?);
        let body = match self.u8("body")? {
            0 => Body::Register,
            1 => Body::Store(self.bytes("command")?),
            tag => return Err(DecodeError::Tag { what: "body of a submission", tag }),
        };
        Ok(Submission { origin, incarnation, sequence, floor, body })
    }

    pub(crate) fn entry(&mut self) -> Result<Entry<Submission>, DecodeError> {
        match self.u8("entry")? {
            0 => Ok(Entry::Noop),
            1 => Ok(Entry::Commands(self.list("commands", Reader::submission)?.into())),
            tag => Err(DecodeError::Tag { what: "entry", tag }),
        }
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.0.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// Writes fields.
pub(crate) trait Writer: BufMut {
    fn flag(&mut self, flag: bool) {
        self.put_u8(u8::from(flag));
    }

    fn count(&mut self, count: usize) {
        self.put_u32_le(u32::try_from(count).expect("no message holds four billion items"));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.put_slice(bytes);
    }

    fn incarnation(&mut self, incarnation: Incarnation) {
        self.put_u64_le(incarnation.start);
        self.put_u64_le(incarnation.nonce);
    }

    fn slot(&mut self, slot: Slot) {
        self.put_u64_le(slot.0);
    }

    fn ballot(&mut self, ballot: Ballot) {
        self.put_u64_le(ballot.round);
        self.put_u64_le(ballot.node.0);
    }

    fn optional_ballot(&mut self, ballot: Option<Ballot>) {
        self.flag(ballot.is_some());
        if let Some(ballot) = ballot {
            self.ballot(ballot);
        }
    }

    fn submission(&mut self, submission: &Submission) {
        self.put_u64_le(submission.origin.0);
        self.incarnation(submission.incarnation);
        self.put_u64_le(submission.sequence);
        self.put_u64_le(submission.floor);
        match &submission.body {
            Body::Register => self.put_u8(0),
            Body::Store(command) => {
                self.put_u8(1);
                self.bytes(command);
            }
        }
    }

    fn entry(&mut self, entry: &Entry<Submission>) {
        match entry {
            Entry::Noop => self.put_u8(0),
            Entry::Commands(commands) => {
                self.put_u8(1);
                self.count(commands.len());
                for submission in commands.iter() {
                    self.submission(submission);
                }
            }
        }
    }
}

impl Writer for BytesMut {}
