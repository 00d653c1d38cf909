//! Many seeds on many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use synod_sim::run::Report;

use super::summary::Runs;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// After so many seeds.
    Seeds(u64),
    /// After so long.
    Time(Duration),
}

/// A progress bar with room for words above it.
pub(super) fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{wide_msg}\n{bar:40} {percent}% {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Runs seeds from `first` on until the budget is used up or one of them breaks an invariant. Every seed below the
/// lowest broken one has been run then, whatever the number of threads.
pub(super) fn run(budget: Budget, first: u64, threads: usize, run: &(impl Fn(u64) -> Report + Sync)) -> Runs {
    let began = Instant::now();
    let bar = bar(match budget {
        Budget::Seeds(seeds) => seeds,
        Budget::Time(time) => time.as_secs().max(1),
    });
    let next = AtomicU64::new(first);
    let lowest = AtomicU64::new(u64::MAX);
    let runs = Mutex::new(Runs::new(threads));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = match budget {
                Budget::Seeds(seeds) => seed - first >= seeds,
                Budget::Time(time) => began.elapsed() >= time,
            };
            if over || seed > lowest.load(Ordering::Relaxed) {
                return;
            }
            let report = run(seed);
            if report.violation.is_some() {
                lowest.fetch_min(seed, Ordering::Relaxed);
            }
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.add(&report);
            runs.took = began.elapsed();
            match budget {
                Budget::Seeds(_) => bar.inc(1),
                Budget::Time(time) => bar.set_position(runs.took.min(time).as_secs()),
            }
            bar.set_message(runs.progress());
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    runs.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use synod_sim::check::Violation;
    use synod_sim::faults::Profile;
    use synod_sim::programs::single_decree::SingleDecree;
    use synod_sim::run::{self, RunConfig};

    use super::*;

    #[test]
    fn the_lowest_broken_seed_is_found_on_any_number_of_threads() {
        let good = run::run::<SingleDecree>(&RunConfig::new(1, Profile::Calm));
        for threads in [1, 2, 7] {
            let runs = super::run(Budget::Seeds(1_000), 100, threads, &|seed| {
                let broken = seed == 131 || seed == 133 || seed == 400;
                if seed == 131 {
                    thread::yield_now();
                }
                let violation = broken.then(|| Violation { invariant: "P1", what: String::new() });
                Report { seed, violation, ..good.clone() }
            });
            assert_eq!(runs.broken(), Some(131));
            assert!(runs.count() < 200, "it goes on for long: {}", runs.count());
        }
    }

    #[test]
    fn every_seed_is_run_once() {
        let good = run::run::<SingleDecree>(&RunConfig::new(1, Profile::Calm));
        let seen = Mutex::new(Vec::new());
        let runs = super::run(Budget::Seeds(50), 7, 3, &|seed| {
            seen.lock().unwrap().push(seed);
            Report { seed, ..good.clone() }
        });
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (7..57).collect::<Vec<u64>>());
        assert_eq!((runs.count(), runs.broken()), (50, None));
    }
}
