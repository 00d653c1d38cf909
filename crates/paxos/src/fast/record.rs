//! What must survive a crash.

use serde::{Deserialize, Serialize};

use crate::ballot::Ballot;
use crate::fast::round::Vote;

/// One fact on a node's stable storage. Records are read back in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record<V> {
    /// The coordinator uses this ballot, and never again for anything else.
    Used(Ballot),
    /// The acceptor votes for nothing below this ballot.
    Promised(Ballot),
    /// The acceptor voted, and thereby promised the vote's round: one record, so that neither can be lost
    /// without the other, and no second vote follows in the same round.
    Voted(Vote<V>),
}
