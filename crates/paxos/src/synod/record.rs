//! What must survive a crash.

use crate::ballot::Ballot;
use crate::choose::Vote;

/// One fact on a node's stable storage. Records are read back in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record<V> {
    /// The proposer uses this ballot, and never again for anything else.
    Used(Ballot),
    /// The acceptor votes for nothing below this ballot.
    Promised(Ballot),
    /// The acceptor voted, and thereby promised the vote's ballot: one record, so that neither can be lost
    /// without the other.
    Voted(Vote<V>),
}
