//! A node's clock: never quite the time.

use synod_paxos::time::Time;

/// How one node's monotonic clock relates to simulated time. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// At this moment of simulated time, in nanoseconds,
    since: u64,
    /// the clock showed this,
    shown: u64,
    /// and went by so many nanoseconds in a million since.
    rate: u64,
}

/// A clock that is right.
pub const STEADY: u64 = 1_000_000;

impl Clock {
    /// A clock that shows `shown` at the beginning and gains or loses `rate` − [`STEADY`] millionths.
    pub fn new(shown: u64, rate: u64) -> Clock {
        Clock { since: 0, shown, rate }
    }

    /// What it shows at `world`.
    pub fn show(&self, world: u64) -> Time {
        let elapsed = u128::from(world - self.since) * u128::from(self.rate) / u128::from(STEADY);
        Time::from_nanos(self.shown + u64::try_from(elapsed).expect("centuries"))
    }

    /// The first moment at which it shows `time` or more.
    pub fn when(&self, time: Time) -> u64 {
        let ahead = u128::from(time.as_nanos().saturating_sub(self.shown));
        let wait = (ahead * u128::from(STEADY)).div_ceil(u128::from(self.rate));
        self.since.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    /// At `world` it jumps ahead: the machine was suspended, or its clock was set.
    pub fn jump(&mut self, world: u64, ahead: u64) {
        *self = Clock { since: world, shown: self.show(world).as_nanos() + ahead, rate: self.rate };
    }

    /// From `world` on it goes at another rate.
    pub fn drift(&mut self, world: u64, rate: u64) {
        *self = Clock { since: world, shown: self.show(world).as_nanos(), rate };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_exactly_when_it_says_it_will() {
        for rate in [900_000, 999_999, STEADY, 1_000_001, 1_100_000] {
            let mut clock = Clock::new(77, rate);
            clock.jump(1_000, 5_000_000);
            for wanted in [Time::from_nanos(5_010_000), Time::from_millis(40), Time::from_millis(77_777)] {
                let when = clock.when(wanted);
                assert!(clock.show(when) >= wanted, "{rate}");
                assert!(clock.show(when - 1) < wanted, "{rate}");
            }
        }
    }

    #[test]
    fn a_clock_never_goes_back() {
        let mut clock = Clock::new(0, STEADY);
        let mut last = clock.show(0);
        for step in 1..100_u64 {
            if step % 7 == 0 {
                clock.drift(step * 1_000, 900_000 + step * 1_000);
            }
            let shown = clock.show(step * 1_000);
            assert!(shown >= last);
            last = shown;
        }
    }
}
