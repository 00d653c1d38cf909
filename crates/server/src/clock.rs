//! The driver's clock.

use rustix::time::{ClockId, clock_gettime};
use synod_paxos::time::Time;

/// Counts suspension where the system offers a clock that does: a member that slept knows that it did.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Nanoseconds since the machine started, monotonic.
pub(crate) fn now() -> Time {
    let now = clock_gettime(CLOCK);
    // Both parts are positive on a clock that counts from the start of the machine.
    Time::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_never_goes_backwards() {
        let readings: Vec<_> = std::iter::repeat_with(super::now).take(1000).collect();
        assert!(readings.is_sorted());
    }
}
