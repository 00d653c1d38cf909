//! What the spaces of Egalitarian Paxos allow.

use crate::check::egalitarian::cluster::Opening::{
    AllTell, Deliver, Install, LoseAll, Propose, Recover, Status,
};
use crate::check::egalitarian::cluster::{Opening, Setting};

const TWO_PROPOSED: &[Opening] = &[Propose, Propose];

/// Two commands that interfere, of replicas 1 and 2.
pub const TWO: Setting = Setting {
    replicas: 3,
    owners: &[1, 2],
    apart: &[],
    recoveries: &[],
    crashes: 0,
    statuses: 0,
    installs: 0,
    deaf: &[],
    opening: &[],
};

/// The owner of the second command recovers the first.
pub const RECOVERY: Setting = Setting { recoveries: &[(2, 0, 1)], opening: TWO_PROPOSED, ..TWO };

/// A replica that owns neither recovers the first.
pub const THIRD_RECOVERS: Setting = Setting { recoveries: &[(3, 0, 1)], opening: TWO_PROPOSED, ..TWO };

/// The third replica recovers both.
pub const TWO_RECOVERIES: Setting =
    Setting { recoveries: &[(3, 0, 1), (3, 1, 1)], opening: TWO_PROPOSED, ..TWO };

/// The third replica recovers the first command, and then the second does.
pub const DUEL: Setting = Setting { recoveries: &[(3, 0, 1), (2, 0, 2)], opening: TWO_PROPOSED, ..TWO };

/// A replica that knows an interfering command, of which nobody else has heard, recovers one; anybody crashes.
pub const CRASH: Setting = Setting {
    owners: &[2, 1],
    recoveries: &[(2, 1, 1)],
    crashes: 1,
    opening: &[Propose, LoseAll, Propose, Deliver(1, 2, "pre-accept")],
    ..TWO
};

/// One replica proposes two commands; anybody crashes.
pub const RESTART: Setting = Setting { owners: &[1, 1], crashes: 1, ..TWO };

/// Ballots 1 and 2 have got as far as in the published schedule of the single-ballot bug; what follows is open.
pub const BALLOTS: Setting = Setting {
    owners: &[1, 3],
    recoveries: &[(2, 1, 2), (3, 1, 3), (3, 1, 4)],
    opening: &[
        Propose,
        Propose,
        Deliver(3, 1, "pre-accept"),
        Recover(1, 1),
        Deliver(1, 2, "recover"),
        Deliver(2, 1, "recover-ok"),
        Deliver(1, 3, "pre-accept-ok"),
        Recover(2, 1),
        Deliver(2, 3, "recover"),
        Deliver(3, 2, "recover-ok"),
    ],
    ..TWO
};

/// Replica 2 alone knows the first command, whose owner is gone, and has asked 3 and 4 about it, who know the second
/// command only.
pub const VALIDATION: Setting = Setting {
    replicas: 5,
    owners: &[1, 3],
    recoveries: &[(2, 0, 1)],
    deaf: &[1],
    opening: &[
        Propose,
        Deliver(1, 2, "pre-accept"),
        LoseAll,
        Propose,
        Deliver(3, 4, "pre-accept"),
        Deliver(4, 3, "pre-accept-ok"),
        Recover(2, 0),
        Deliver(2, 3, "recover"),
        Deliver(2, 4, "recover"),
        Deliver(3, 2, "recover-ok"),
        Deliver(4, 2, "recover-ok"),
    ],
    ..TWO
};

/// Replica 2 alone knows the first command, whose owner is gone, and has had it validated by 3 and 4; the second command
/// is yet to be proposed.
pub const VALIDATED: Setting = Setting {
    opening: &[
        Propose,
        Deliver(1, 2, "pre-accept"),
        LoseAll,
        Recover(2, 0),
        Deliver(2, 3, "recover"),
        Deliver(2, 4, "recover"),
        Deliver(3, 2, "recover-ok"),
        Deliver(4, 2, "recover-ok"),
        Deliver(2, 3, "validate"),
        Deliver(2, 4, "validate"),
    ],
    ..VALIDATION
};

/// The second command has its owner's vote; 3 and 4 have voted for a no-op in its place, and then the third command got
/// as far as it can without the others. The second is recovered again.
pub const NO_OP: Setting = Setting {
    replicas: 5,
    owners: &[2, 1, 4],
    recoveries: &[(2, 1, 2)],
    opening: &[
        Propose,
        Deliver(2, 3, "pre-accept"),
        LoseAll,
        Propose,
        Deliver(1, 2, "pre-accept"),
        Deliver(1, 3, "pre-accept"),
        Deliver(2, 1, "pre-accept-ok"),
        Deliver(3, 1, "pre-accept-ok"),
        LoseAll,
        Recover(3, 1),
        Deliver(3, 4, "recover"),
        Deliver(3, 5, "recover"),
        Deliver(3, 2, "recover"),
        Deliver(4, 3, "recover-ok"),
        Deliver(5, 3, "recover-ok"),
        Deliver(3, 4, "accept"),
        LoseAll,
        Propose,
        Deliver(4, 3, "pre-accept"),
        Deliver(4, 5, "pre-accept"),
        Deliver(3, 4, "pre-accept-ok"),
        Deliver(5, 4, "pre-accept-ok"),
        Deliver(4, 3, "accept"),
        Deliver(3, 4, "accept-ok"),
        Deliver(4, 5, "accept"),
        Deliver(5, 4, "accept-ok"),
        LoseAll,
    ],
    ..TWO
};

/// The first command interferes with nothing, was committed on the fast path, and only its owner, who is gone, knows.
/// The second was executed by 2 and 3, who have told each other so until it may be forgotten.
pub const FORGETTING: Setting = Setting {
    owners: &[1, 3],
    apart: &[0],
    recoveries: &[(2, 0, 1)],
    deaf: &[1],
    statuses: 10,
    opening: &[
        Propose,
        Deliver(1, 2, "pre-accept"),
        Deliver(2, 1, "pre-accept-ok"),
        LoseAll,
        Propose,
        Deliver(3, 2, "pre-accept"),
        Deliver(2, 3, "pre-accept-ok"),
        Deliver(3, 2, "commit"),
        LoseAll,
        Status(2),
        Deliver(2, 3, "status"),
        Status(3),
        Deliver(3, 2, "status"),
        Status(2),
        Deliver(2, 3, "status"),
        Status(3),
        Deliver(3, 2, "status"),
        Status(2),
        Deliver(2, 3, "status"),
        Status(3),
        Deliver(3, 2, "status"),
        Status(2),
        Deliver(2, 3, "status"),
        LoseAll,
    ],
    ..TWO
};

/// One replica is given another's state at any time.
pub const INSTALL: Setting = Setting { installs: 1, ..TWO };

/// The first command interferes with nothing, and was committed on the fast path; 4 knows it by the state of its owner
/// only, who is gone. The second was executed by all others, and 4 has forgotten it. 2 recovers the first.
pub const KNOWN_BY_STATE: Setting = Setting {
    replicas: 5,
    owners: &[1, 5],
    apart: &[0],
    recoveries: &[(2, 0, 1)],
    deaf: &[1],
    statuses: 13,
    installs: 1,
    opening: &[
        Propose,
        Deliver(1, 2, "pre-accept"),
        Deliver(1, 3, "pre-accept"),
        Deliver(2, 1, "pre-accept-ok"),
        Deliver(3, 1, "pre-accept-ok"),
        LoseAll,
        Propose,
        Deliver(5, 2, "pre-accept"),
        Deliver(5, 3, "pre-accept"),
        Deliver(2, 5, "pre-accept-ok"),
        Deliver(3, 5, "pre-accept-ok"),
        Install(4, 1),
        Deliver(5, 2, "commit"),
        Deliver(5, 3, "commit"),
        Deliver(5, 4, "commit"),
        LoseAll,
        AllTell,
        AllTell,
        AllTell,
    ],
    ..TWO
};

/// Replica 2 alone knows the first command, whose owner is gone, and is about to ask 3 and 4 what speaks against it: 3's
/// command does, which 4 and 5 have answered for and which is not committed yet. One replica is given another's state.
pub const INSTALLED_RECOVERER: Setting = Setting {
    replicas: 5,
    owners: &[1, 3],
    recoveries: &[(2, 0, 1)],
    deaf: &[1],
    installs: 1,
    opening: &[
        Propose,
        Deliver(1, 2, "pre-accept"),
        LoseAll,
        Propose,
        Deliver(3, 4, "pre-accept"),
        Deliver(3, 5, "pre-accept"),
        Recover(2, 0),
        Deliver(2, 3, "recover"),
        Deliver(2, 4, "recover"),
        Deliver(3, 2, "recover-ok"),
        Deliver(4, 2, "recover-ok"),
    ],
    ..TWO
};
