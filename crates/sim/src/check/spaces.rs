//! The configurations that are explored, by name.

use crate::check::explore::{Limits, Listener, Report, explore};
use crate::check::ledger::Sizes;
use crate::check::single_decree::messages::Messages;

/// A named configuration.
pub struct Space {
    /// What it is called: protocol, acceptors × ballots × values, and what else may happen.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// How many states it has when it is explored to its end; none if that was never done.
    pub expected: Option<u64>,
    /// How many states others published for the same model, and who.
    pub published: Option<(u64, &'static str)>,
    explore: fn(&Limits, &mut Listener<'_>) -> Report,
}

impl Space {
    /// Explores it. `progress` is told now and then.
    pub fn run(&self, limits: &Limits, progress: &mut Listener<'_>) -> Report {
        (self.explore)(limits, progress)
    }
}

/// All of them, the small ones of each protocol first.
pub fn spaces() -> &'static [Space] {
    SPACES
}

const TLA: &str = "MCPaxosTiny of the TLA+ examples, by TLC";

const SPACES: &[Space] = &[
    Space {
        name: "single-decree-3x2x2-full",
        description: "3 acceptors, 2 ballots, 2 values; every state told apart",
        expected: Some(3_921),
        published: Some((3_921, TLA)),
        explore: |limits, progress| explore(&Messages::new(Sizes::majority(3, 2, 2)), limits, progress),
    },
    Space {
        name: "single-decree-3x2x2",
        description: "3 acceptors, 2 ballots, 2 values",
        expected: Some(443),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 2, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x3x2-full",
        description: "3 acceptors, 3 ballots, 2 values; every state told apart",
        expected: Some(185_369),
        published: None,
        explore: |limits, progress| explore(&Messages::new(Sizes::majority(3, 3, 2)), limits, progress),
    },
    Space {
        name: "single-decree-3x3x2",
        description: "3 acceptors, 3 ballots, 2 values",
        expected: Some(17_153),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x3x3",
        description: "3 acceptors, 3 ballots, 3 values",
        expected: Some(17_559),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 3)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x4x2",
        description: "3 acceptors, 4 ballots, 2 values",
        expected: Some(710_709),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 4, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-5x2x2",
        description: "5 acceptors, 2 ballots, 2 values",
        expected: Some(5_811),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(5, 2, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-flexible-4x3x2",
        description: "4 acceptors with phase 1 quorums of 3 and phase 2 quorums of 2, 3 ballots, 2 values",
        expected: Some(57_436),
        published: None,
        explore: |limits, progress| {
            let sizes = Sizes { phase2: 2, ..Sizes::majority(4, 3, 2) };
            explore(&Messages::new(sizes).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-restarts-3x3x2",
        description: "3 acceptors that crash at any time, 3 ballots, 2 values",
        expected: Some(17_153),
        published: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 2)).symmetric().with_restarts(), limits, progress)
        },
    },
];
