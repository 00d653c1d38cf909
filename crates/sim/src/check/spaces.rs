//! The configurations that are explored, by name.

use std::time::Duration;

use synod_paxos::fast::options::Recovery;
use synod_paxos::multi::leader::GapFill;
use synod_paxos::synod::options::{Audience, Options, Refusal};

use crate::check::egalitarian::{Replicas, settings};
use crate::check::explore::{Limits, Listener, Report, explore};
use crate::check::fast::messages::{Messages as FastMessages, Setting as FastSetting};
use crate::check::fast_log::{self, FastLog};
use crate::check::founding::{Founding, Setting as FoundingSetting};
use crate::check::ledger::Sizes;
use crate::check::multi_paxos::{self, Log, Opening};
use crate::check::single_decree::messages::Messages;
use crate::check::single_decree::nodes::{Nodes, Setting};

/// A named configuration.
pub struct Space {
    /// What it is called: protocol, acceptors × ballots × values, and what else may happen.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// How many states it has.
    pub expected: u64,
    /// How many states others published for the same model, and who.
    pub published: Option<(u64, &'static str)>,
    /// Where it is cut off because it does not end soon enough: the expected states are those up to there.
    pub depth: Option<u32>,
    explore: fn(&Limits, &mut Listener<'_>) -> Report,
}

impl Space {
    /// Explores it: to its own depth, if it has one and `limits` has none. `progress` is told now and then.
    pub fn run(&self, limits: &Limits, progress: &mut Listener<'_>) -> Report {
        (self.explore)(&Limits { depth: limits.depth.or(self.depth), ..*limits }, progress)
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
        expected: 3_921,
        published: Some((3_921, TLA)),
        depth: None,
        explore: |limits, progress| explore(&Messages::new(Sizes::majority(3, 2, 2)), limits, progress),
    },
    Space {
        name: "single-decree-3x2x2",
        description: "3 acceptors, 2 ballots, 2 values",
        expected: 443,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 2, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x3x2-full",
        description: "3 acceptors, 3 ballots, 2 values; every state told apart",
        expected: 185_369,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Messages::new(Sizes::majority(3, 3, 2)), limits, progress),
    },
    Space {
        name: "single-decree-3x3x2",
        description: "3 acceptors, 3 ballots, 2 values",
        expected: 17_153,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x3x3",
        description: "3 acceptors, 3 ballots, 3 values",
        expected: 17_559,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 3)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-3x4x2",
        description: "3 acceptors, 4 ballots, 2 values",
        expected: 710_709,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 4, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-5x2x2",
        description: "5 acceptors, 2 ballots, 2 values",
        expected: 5_811,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(5, 2, 2)).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-flexible-4x3x2",
        description: "4 acceptors with phase 1 quorums of 3 and phase 2 quorums of 2, 3 ballots, 2 values",
        expected: 57_436,
        published: None,
        depth: None,
        explore: |limits, progress| {
            let sizes = Sizes { phase2: 2, ..Sizes::majority(4, 3, 2) };
            explore(&Messages::new(sizes).symmetric(), limits, progress)
        },
    },
    Space {
        name: "single-decree-restarts-3x3x2",
        description: "3 acceptors that crash at any time, 3 ballots, 2 values",
        expected: 17_153,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Messages::new(Sizes::majority(3, 3, 2)).symmetric().with_restarts(), limits, progress)
        },
    },
    Space {
        name: "single-decree-nodes-3x2x2",
        description: "whole nodes with disks: 3 acceptors, 2 proposers with a ballot each, 2 values",
        expected: 23_887,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Nodes::new(TWO_PROPOSERS), limits, progress),
    },
    Space {
        name: "single-decree-nodes-crash-3x2x2",
        description: "the same with one crash between any two steps",
        expected: 63_848,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Nodes::new(Setting { crashes: 1, ..TWO_PROPOSERS }), limits, progress)
        },
    },
    Space {
        name: "single-decree-nodes-crashes-one-proposer",
        description: "whole nodes: 3 acceptors, one proposer with 2 ballots, 2 values, two crashes",
        expected: 27_297,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Nodes::new(Setting { crashes: 2, ..ONE_PROPOSER }), limits, progress)
        },
    },
    Space {
        name: "single-decree-nodes-one-majority-first",
        description: "whole nodes that ask one majority and then the others: 3 acceptors, 1 proposer, 2 ballots, 2 values",
        expected: 21_360,
        published: None,
        depth: None,
        explore: |limits, progress| {
            let options = Options { audience: Audience::OneQuorumFirst, ..OPTIONS };
            explore(&Nodes::new(Setting { options, ..ONE_PROPOSER }), limits, progress)
        },
    },
    Space {
        name: "single-decree-nodes-refusals",
        description: "whole nodes whose refusals arrive: 3 acceptors, 1 proposer, 2 ballots, 2 values",
        expected: 47_777,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&Nodes::new(Setting { refusals: true, ..ONE_PROPOSER }), limits, progress)
        },
    },
    Space {
        name: "single-decree-nodes-ignored-requests",
        description: "whole nodes that say nothing instead of refusing: 3 acceptors, 1 proposer, 2 ballots, 2 values",
        expected: 4_702,
        published: None,
        depth: None,
        explore: |limits, progress| {
            let options = Options { refusal: Refusal::Ignore, ..OPTIONS };
            explore(&Nodes::new(Setting { options, refusals: true, ..ONE_PROPOSER }), limits, progress)
        },
    },
    Space {
        name: "founding-crash-3",
        description: "three founders, one of which crashes once",
        expected: 39_911,
        published: None,
        depth: None,
        explore: |limits, progress| {
            let setting = FoundingSetting { founders: 3, late: 0, crashes: 1, lost_disks: 0 };
            explore(&Founding(setting), limits, progress)
        },
    },
    Space {
        name: "founding-lost-disk-3",
        description: "three founders, one of which loses its disk",
        expected: 33_796,
        published: None,
        depth: None,
        explore: |limits, progress| {
            let setting = FoundingSetting { founders: 3, late: 0, crashes: 0, lost_disks: 1 };
            explore(&Founding(setting), limits, progress)
        },
    },
    Space {
        name: "founding-late-answer-3",
        description: "three founders, a late answer, a lost disk",
        expected: 84_120,
        published: None,
        depth: Some(9),
        explore: |limits, progress| {
            let setting = FoundingSetting { founders: 3, late: 1, crashes: 0, lost_disks: 1 };
            explore(&Founding(setting), limits, progress)
        },
    },
    Space {
        name: "founding-3",
        description: "three founders, two crashes, a lost disk",
        expected: 152_648,
        published: None,
        depth: Some(10),
        explore: |limits, progress| {
            let setting = FoundingSetting { founders: 3, late: 0, crashes: 2, lost_disks: 1 };
            explore(&Founding(setting), limits, progress)
        },
    },
    Space {
        name: "multi-paxos-3x2x2",
        description: "3 members, 2 leaders with a ballot each, 2 commands, 2 slots",
        expected: 211_706,
        published: None,
        depth: Some(13),
        explore: |limits, progress| explore(&Log::new(LOG), limits, progress),
    },
    Space {
        name: "multi-paxos-crash-3x2x2",
        description: "the same with one crash",
        expected: 216_588,
        published: None,
        depth: Some(12),
        explore: |limits, progress| {
            explore(&Log::new(multi_paxos::Setting { crashes: 1, ..LOG }), limits, progress)
        },
    },
    Space {
        name: "multi-paxos-3x3x1",
        description: "3 members, 3 leaders with a ballot each, 1 command, 1 slot",
        expected: 193_772,
        published: None,
        depth: Some(14),
        explore: |limits, progress| {
            explore(
                &Log::new(multi_paxos::Setting { rounds: &[1, 1, 1], commands: 1, ..LOG }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "multi-paxos-gaps-3x2x3",
        description: "3 members, 2 leaders with a ballot each, 3 commands, 3 slots, gaps filled with commands",
        expected: 256_068,
        published: None,
        depth: Some(12),
        explore: |limits, progress| {
            explore(
                &Log::new(multi_paxos::Setting { commands: 3, gaps: GapFill::Commands, ..LOG }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "multi-paxos-checkpoint-3x2x1",
        description: "3 members, 2 leaders with a ballot each, 1 command, a checkpoint that is also handed on",
        expected: 91_944,
        published: None,
        depth: Some(14),
        explore: |limits, progress| {
            explore(&Log::new(multi_paxos::Setting { commands: 1, checkpoints: 1, ..LOG }), limits, progress)
        },
    },
    Space {
        name: "multi-paxos-reads-3x2x1",
        description: "3 members, 2 leaders with a ballot each, 1 command, 1 read",
        expected: 59_928,
        published: None,
        depth: Some(12),
        explore: |limits, progress| {
            explore(&Log::new(multi_paxos::Setting { commands: 1, reads: 1, ..LOG }), limits, progress)
        },
    },
    Space {
        name: "multi-paxos-truncated-3x2x3",
        description: "3 members, 2 commands; 1 and 2 have truncated the first slot, 3 lacks it and leads, and 2 may take over",
        expected: 559_898,
        published: None,
        depth: Some(10),
        explore: |limits, progress| explore(&Log::new(TRUNCATED), limits, progress),
    },
    Space {
        name: "multi-paxos-truncated-reads-3x1x2",
        description: "the same with 1 command and 1 read, and only 3 leads",
        expected: 205_077,
        published: None,
        depth: Some(12),
        explore: |limits, progress| {
            let setting = multi_paxos::Setting { rounds: &[1, 0, 1], commands: 2, reads: 1, ..TRUNCATED };
            explore(&Log::new(setting), limits, progress)
        },
    },
    Space {
        name: "multi-paxos-commit-notice-5x2x2",
        description: "5 members: 1 and then 2 lead with 3 and 4 and have proposed a command each, which nobody has received",
        expected: 62_329,
        published: None,
        depth: Some(10),
        explore: |limits, progress| {
            explore(
                &Log::new(multi_paxos::Setting { members: 5, opening: Opening::TwoLead, ..LOG }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "egalitarian-3x2",
        description: "3 replicas, 2 commands that interfere",
        expected: 2_569,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::TWO), limits, progress),
    },
    Space {
        name: "egalitarian-recovery-3x2",
        description: "the same, and the owner of one command recovers the other",
        expected: 29_517,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::RECOVERY), limits, progress),
    },
    Space {
        name: "egalitarian-third-recovers-3x2",
        description: "the same, and a replica that owns neither recovers one",
        expected: 28_773,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::THIRD_RECOVERS), limits, progress),
    },
    Space {
        name: "egalitarian-crash-3x2",
        description: "3 replicas, 2 commands, one heard of by one other replica, which recovers it; one crash",
        expected: 6_738,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::CRASH), limits, progress),
    },
    Space {
        name: "egalitarian-restart-3x2",
        description: "3 replicas, 2 commands of one replica, one crash",
        expected: 17_232,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::RESTART), limits, progress),
    },
    Space {
        name: "egalitarian-ballots-3x2",
        description: "3 replicas, 2 commands, four recoveries, from where the published schedule has two of them under way",
        expected: 25_320,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::BALLOTS), limits, progress),
    },
    Space {
        name: "egalitarian-validation-5x2",
        description: "5 replicas, 2 commands, from where one is about to be validated that others know nothing of",
        expected: 13_101,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::VALIDATION), limits, progress),
    },
    Space {
        name: "egalitarian-validated-5x2",
        description: "5 replicas, 2 commands, from where one was validated and the other is not yet proposed",
        expected: 3_922,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::VALIDATED), limits, progress),
    },
    Space {
        name: "egalitarian-no-op-5x3",
        description: "5 replicas, 3 commands, from where one that has a vote may or may not become a no-op",
        expected: 1_145,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::NO_OP), limits, progress),
    },
    Space {
        name: "egalitarian-forgetting-3x2",
        description: "3 replicas, 2 commands, from where one was executed and may be forgotten, and the other is open",
        expected: 1_620,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::FORGETTING), limits, progress),
    },
    Space {
        name: "egalitarian-known-by-state-5x2",
        description: "5 replicas, 2 commands, from where one is recovered that another has executed with a state",
        expected: 13_632,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::KNOWN_BY_STATE), limits, progress),
    },
    Space {
        name: "egalitarian-installed-recoverer-5x2",
        description: "5 replicas, 2 commands, from where one is recovered, and one replica is given another's state at any time",
        expected: 21_304,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::INSTALLED_RECOVERER), limits, progress),
    },
    Space {
        name: "egalitarian-install-3x2",
        description: "3 replicas, 2 commands, and one replica is given another's state at any time",
        expected: 4_752,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::INSTALL), limits, progress),
    },
    Space {
        name: "egalitarian-duel-3x2",
        description: "3 replicas, 2 commands, two replicas recover one of them one after the other",
        expected: 148_653,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::DUEL), limits, progress),
    },
    Space {
        name: "egalitarian-two-recoveries-3x2",
        description: "3 replicas, 2 commands, and a replica that owns neither recovers both",
        expected: 363_120,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&Replicas::new(settings::TWO_RECOVERIES), limits, progress),
    },
    Space {
        name: "fast-3x2x2",
        description: "Fast Paxos, 3 acceptors, 2 ballots, 2 values, coordinated recovery",
        expected: 22_020,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(
                &FastMessages::new(FastSetting { acceptors: 3, fast_failures: 0, ..FAST }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "fast-4x2x2",
        description: "Fast Paxos, 4 acceptors, 2 ballots, 2 values, collisions recovered by higher ballots only",
        expected: 2_701,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&FastMessages::new(FastSetting { recovery: None, ..FAST }), limits, progress)
        },
    },
    Space {
        name: "fast-or-classic-4x2x2",
        description: "the same, and coordinators may as well propose a value of their own",
        expected: 4_293,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(
                &FastMessages::new(FastSetting { recovery: None, classic: true, ..FAST }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "fast-coordinated-4x2x2",
        description: "the same with coordinated recovery",
        expected: 44_695,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&FastMessages::new(FAST), limits, progress),
    },
    Space {
        name: "fast-uncoordinated-4x1x2",
        description: "4 acceptors and one ballot, uncoordinated recovery",
        expected: 755,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(
                &FastMessages::new(FastSetting {
                    ballots: 1,
                    recovery: Some(Recovery::Uncoordinated),
                    ..FAST
                }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "fast-uncoordinated-4x2x2",
        description: "the same with 2 ballots",
        expected: 2_288,
        published: None,
        depth: Some(14),
        explore: |limits, progress| {
            explore(
                &FastMessages::new(FastSetting { recovery: Some(Recovery::Uncoordinated), ..FAST }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "fast-restarts-4x2x2",
        description: "coordinated recovery, acceptors that crash at any time",
        expected: 44_695,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&FastMessages::new(FastSetting { restarts: true, ..FAST }), limits, progress)
        },
    },
    Space {
        name: "fast-5x2x2",
        description: "Fast Paxos, 5 acceptors, 2 ballots, 2 values, collisions recovered by higher ballots only",
        expected: 44_320,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(
                &FastMessages::new(FastSetting { acceptors: 5, failures: 2, recovery: None, ..FAST }),
                limits,
                progress,
            )
        },
    },
    Space {
        name: "fast-4x3x2",
        description: "Fast Paxos, 4 acceptors, 3 ballots, 2 values, collisions recovered by higher ballots only",
        expected: 376_622,
        published: None,
        depth: None,
        explore: |limits, progress| {
            explore(&FastMessages::new(FastSetting { ballots: 3, recovery: None, ..FAST }), limits, progress)
        },
    },
    Space {
        name: "fast-log-collision-3x2",
        description: "the log of Fast Paxos, 3 replicas, 2 writers that may collide in a slot, which the leader closes at any time",
        expected: 207_645,
        published: None,
        depth: None,
        explore: |limits, progress| explore(&FastLog::new(fast_log::settings::COLLISION), limits, progress),
    },
    Space {
        name: "fast-log-take-over-3x2",
        description: "the same without that, and another replica leads in between",
        expected: 176_433,
        published: None,
        depth: Some(11),
        explore: |limits, progress| explore(&FastLog::new(fast_log::settings::TAKE_OVER), limits, progress),
    },
    Space {
        name: "fast-log-4x2",
        description: "4 replicas, of which a fast quorum needs three",
        expected: 47_700,
        published: None,
        depth: Some(11),
        explore: |limits, progress| explore(&FastLog::new(fast_log::settings::FOUR), limits, progress),
    },
    Space {
        name: "fast-log-crash-3x1",
        description: "3 replicas, one writer, anybody crashes, and another replica leads",
        expected: 109_154,
        published: None,
        depth: Some(11),
        explore: |limits, progress| explore(&FastLog::new(fast_log::settings::CRASH), limits, progress),
    },
    Space {
        name: "fast-log-gap-3x2",
        description: "3 replicas, 2 slots of one writer, and another replica leads and may have to fill a gap",
        expected: 154_025,
        published: None,
        depth: Some(11),
        explore: |limits, progress| explore(&FastLog::new(fast_log::settings::GAP), limits, progress),
    },
];

const OPTIONS: Options =
    Options { audience: Audience::All, refusal: Refusal::Reject, patience: Duration::from_millis(100) };

const TWO_PROPOSERS: Setting =
    Setting { acceptors: 3, rounds: &[1, 1], values: 2, crashes: 0, options: OPTIONS, refusals: false };

const ONE_PROPOSER: Setting = Setting { rounds: &[2], ..TWO_PROPOSERS };

const LOG: multi_paxos::Setting = multi_paxos::Setting {
    members: 3,
    rounds: &[1, 1],
    commands: 2,
    crashes: 0,
    checkpoints: 0,
    reads: 0,
    gaps: GapFill::Noops,
    opening: Opening::Nothing,
};

const TRUNCATED: multi_paxos::Setting =
    multi_paxos::Setting { rounds: &[1, 2, 1], commands: 3, opening: Opening::Truncated, ..LOG };

const FAST: FastSetting = FastSetting {
    acceptors: 4,
    failures: 1,
    fast_failures: 1,
    ballots: 2,
    values: 2,
    recovery: Some(Recovery::Coordinated),
    classic: false,
    restarts: false,
};
