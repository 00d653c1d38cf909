//! What the spaces of the log of Fast Paxos allow.

use crate::check::fast_log::cluster::Setting;

/// Two writers that may collide in one slot, which the leader recovers.
pub const COLLISION: Setting =
    Setting { replicas: 3, writers: &[2, 3], slots: 1, candidates: &[], settles: true, crashes: 0 };

/// Another leader comes in between.
pub const TAKE_OVER: Setting = Setting { candidates: &[3], settles: false, ..COLLISION };

/// Four replicas, of which one need not vote in a fast round.
pub const FOUR: Setting = Setting { replicas: 4, settles: false, ..COLLISION };

/// Anybody crashes, and another leads.
pub const CRASH: Setting = Setting { writers: &[2], crashes: 1, ..TAKE_OVER };

/// One writer uses two slots, and another leader finds the second before the first.
pub const GAP: Setting = Setting { writers: &[2, 2], slots: 2, ..TAKE_OVER };
