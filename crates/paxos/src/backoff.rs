//! Random waiting times, from a seed: who was refused waits longer, and never as long as its rival.

use std::time::Duration;

use synod_probe::mutant;

/// A deterministic source of random waiting times (splitmix64).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    state: u64,
    failures: u32,
}

impl Backoff {
    /// After so many failures in a row the waiting time grows no more: 2⁴ times the first.
    const DOUBLINGS_MAX: u32 = 4;

    /// Waiting times that depend on `seed` alone: give every node another one.
    pub fn new(seed: u64) -> Backoff {
        Backoff { state: seed, failures: 0 }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A moment between `low` and `high`.
    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX);
        low + Duration::from_nanos(self.next() % span.max(1))
    }

    /// How long to wait after a refusal: at random up to `base`, doubled for every refusal in a row.
    pub fn after_failure(&mut self, base: Duration) -> Duration {
        let doubled = base * 2_u32.pow(self.failures);
        self.failures = (self.failures + 1).min(Self::DOUBLINGS_MAX);
        if mutant!(NoBackoff) {
            return Duration::ZERO;
        }
        self.between(doubled / 4, doubled)
    }

    /// It worked: the next refusal starts from the beginning.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waiting_time_grows_up_to_a_cap_and_starts_over_after_a_success() {
        let base = Duration::from_millis(100);
        let mut backoff = Backoff::new(7);
        for failure in 0..20_u32 {
            let bound = base * 2_u32.pow(failure.min(Backoff::DOUBLINGS_MAX));
            let wait = backoff.after_failure(base);
            assert!(wait >= bound / 4 && wait < bound, "{failure}: {wait:?}");
        }
        backoff.succeeded();
        assert!(backoff.after_failure(base) < base);
    }

    #[test]
    fn two_seeds_wait_differently_and_one_seed_always_alike() {
        let times = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.after_failure(Duration::from_millis(50))).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }
}
