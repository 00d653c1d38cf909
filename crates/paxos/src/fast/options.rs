//! The choices the literature leaves open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is done when the votes of a fast round are divided (*Fast Paxos*, §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Recovery {
    /// The coordinator takes the votes for promises of the classic round behind, and proposes in it: two message
    /// delays more, and a classic quorum decides.
    #[default]
    Coordinated,
    /// The acceptors take each other's votes for promises of another fast round, and vote in it for what they
    /// pick: one message delay more, a fast quorum decides, and they may be divided once more.
    Uncoordinated,
}

/// What a coordinator does with a ballot in which the choice is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It opens a fast round.
    Fast,
    /// It proposes a value that it knows somebody wants, if there is one, and nothing otherwise.
    Classic,
}

/// The choices of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// How the collisions of its ballots are recovered. Nodes may differ in it: a ballot says it.
    pub recovery: Recovery,
    /// How long to wait for answers before asking again. Longer than a round trip and a disk write.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { recovery: Recovery::default(), patience: Duration::from_millis(100) }
    }
}
