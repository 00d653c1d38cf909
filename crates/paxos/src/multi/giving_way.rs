//! For how long a stalled member gives way, and how often.
//!
//! The member that it gives way to may be unable to take over, for reasons that neither of the two knows. So it waits for
//! a while only, then leads as well as it can, and does not try again soon.

use std::time::Duration;

use crate::time::Time;

/// Election timeouts for which a member gives way. The other notices within two that it has no happy leader, and has
/// another two for its candidacy.
const PATIENCE: u32 = 4;

/// Election timeouts in which a member gives way once.
const ONCE_IN: u32 = 10;

/// When a member last gave way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GivingWay {
    began: Option<Time>,
    going_on: bool,
}

impl GivingWay {
    /// Whether the member may begin or go on giving way at `now`.
    pub(super) fn is_open(&self, now: Time, election_timeout: Duration) -> bool {
        let Some(began) = self.began else { return true };
        let bound = |timeouts: u32| election_timeout * timeouts;
        now - began >= bound(ONCE_IN) || (self.going_on && now - began < bound(PATIENCE))
    }

    /// Whether it gave way in the last round.
    pub(super) fn goes_on(&self) -> bool {
        self.going_on
    }

    /// Notes whether the member gives way at `now`.
    pub(super) fn note(&mut self, now: Time, gives_way: bool) {
        if gives_way && !self.going_on {
            self.began = Some(now);
        }
        self.going_on = gives_way;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(500);

    /// A member that gives way whenever it may, at each of these tenths of an election timeout.
    fn gives_way(giving_way: &mut GivingWay, tenth: u32, wants: bool) -> bool {
        let now = Time::ZERO + TIMEOUT / 10 * tenth;
        let gives_way = wants && giving_way.is_open(now, TIMEOUT);
        giving_way.note(now, gives_way);
        gives_way
    }

    #[test]
    fn a_member_gives_way_for_four_election_timeouts_and_not_again_within_ten() {
        let mut giving_way = GivingWay::default();
        let tenths: Vec<u32> = (0..200).filter(|tenth| gives_way(&mut giving_way, *tenth, true)).collect();
        assert_eq!(tenths, (0..40).chain(100..140).collect::<Vec<_>>());
    }

    #[test]
    fn a_member_that_has_stopped_giving_way_does_not_begin_again_soon() {
        let mut giving_way = GivingWay::default();
        assert!(gives_way(&mut giving_way, 7, true));
        assert!(!gives_way(&mut giving_way, 8, false), "there is no reason any more");
        let tenths: Vec<u32> = (9..150).filter(|tenth| gives_way(&mut giving_way, *tenth, true)).collect();
        assert_eq!(tenths.first(), Some(&107));
    }
}
