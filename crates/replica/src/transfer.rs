//! A snapshot on its way from another replica, in parts.

use synod_paxos::node::NodeId;
use synod_paxos::time::Time;

/// The longest snapshot that is taken from a peer, in bytes.
const LENGTH_MAX: u64 = 4 << 30;

/// What has come so far.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) from: NodeId,
    /// Which snapshot. If its source does not have it any more, another one begins.
    pub(crate) snapshot: Option<u32>,
    pub(crate) bytes: Vec<u8>,
    /// When the part asked for, or the question, is taken for lost.
    pub(crate) ends: Time,
    /// Whether it was asked for again.
    pub(crate) asked_again: bool,
}

/// What a part led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Ask for the next one.
    More,
    /// All is there.
    Complete(Vec<u8>),
    /// It was asked for before, or never.
    Unasked,
}

impl Incoming {
    pub(crate) fn new(from: NodeId, ends: Time) -> Incoming {
        Incoming { from, snapshot: None, bytes: Vec::new(), ends, asked_again: false }
    }

    /// Takes a part.
    pub(crate) fn take(&mut self, snapshot: u32, offset: u64, length: u64, bytes: &[u8]) -> Progress {
        if self.snapshot != Some(snapshot) {
            if offset != 0 {
                return Progress::Unasked;
            }
            self.snapshot = Some(snapshot);
            self.bytes.clear();
        }
        let here = self.bytes.len() as u64;
        if offset != here || length > LENGTH_MAX || bytes.is_empty() || here + bytes.len() as u64 > length {
            return Progress::Unasked;
        }
        self.bytes.extend_from_slice(bytes);
        if (self.bytes.len() as u64) < length {
            return Progress::More;
        }
        Progress::Complete(std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_order_make_the_whole_and_repeated_ones_change_nothing() {
        let mut incoming = Incoming::new(NodeId(1), Time::ZERO);
        assert_eq!(incoming.take(7, 0, 4, b"ab"), Progress::More);
        assert_eq!(incoming.take(7, 0, 4, b"ab"), Progress::Unasked);
        assert_eq!(incoming.take(7, 2, 4, b"cd"), Progress::Complete(b"abcd".to_vec()));
    }

    #[test]
    fn another_snapshot_begins_anew() {
        let mut incoming = Incoming::new(NodeId(1), Time::ZERO);
        assert_eq!(incoming.take(7, 0, 4, b"ab"), Progress::More);
        assert_eq!(incoming.take(8, 2, 4, b"cd"), Progress::Unasked);
        assert_eq!(incoming.take(8, 0, 2, b"xy"), Progress::Complete(b"xy".to_vec()));
    }

    #[test]
    fn a_part_that_cannot_be_is_not_taken() {
        let mut incoming = Incoming::new(NodeId(1), Time::ZERO);
        assert_eq!(incoming.take(7, 0, 1, b"ab"), Progress::Unasked);
        assert_eq!(incoming.take(7, 0, u64::MAX, b"ab"), Progress::Unasked);
        assert_eq!(incoming.take(7, 0, 4, b""), Progress::Unasked);
    }
}
