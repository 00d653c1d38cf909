//! A failing run made small: fewer faults, then fewer operations, for as long as the same invariant breaks.
//!
//! Lists are made small by leaving out halves, quarters, and so on down to single items (delta debugging: Zeller and
//! Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002).

use crate::faults::Class;
use crate::run::{Report, RunConfig};

/// Runs that [`shrink`] may take if nobody says otherwise.
pub const RUNS: u32 = 200;

/// A small failing run.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What to run to see it again.
    pub config: RunConfig,
    /// What that gives, with its trace.
    pub report: Report,
    /// How many runs it took to find it.
    pub runs: u32,
}

/// Makes the failing run of `config` small within about `bound` runs. `run` runs a configuration, and `progress` is
/// told how many runs were done.
///
/// Returns `None` if `config` breaks nothing.
pub fn shrink(
    config: &RunConfig,
    bound: u32,
    run: impl Fn(&RunConfig) -> Report,
    progress: &mut dyn FnMut(u32),
) -> Option<Shrunk> {
    let first = run(config);
    let invariant = first.violation.as_ref()?.invariant;
    let mut search = Search { run, invariant, bound, runs: 1, progress };
    let mut small = RunConfig { record: false, ..config.clone() };
    search.leave_out_classes(&mut small);
    search.leave_out_faults(&mut small, first.faults);
    search.leave_out_operations(&mut small);
    // With less to do, other faults may have become superfluous.
    search.leave_out_faults(&mut small, first.faults);
    search.leave_out_classes(&mut small);
    small.record = true;
    let report = (search.run)(&small);
    let broken = report.violation.as_ref().map(|violation| violation.invariant);
    assert_eq!(broken, Some(invariant), "seed {} is not the same run again", small.seed);
    Some(Shrunk { config: small, report, runs: search.runs + 1 })
}

struct Search<'a, R> {
    run: R,
    invariant: &'static str,
    bound: u32,
    runs: u32,
    progress: &'a mut dyn FnMut(u32),
}

impl<R: Fn(&RunConfig) -> Report> Search<'_, R> {
    /// Whether `config` still breaks the same invariant. Once the bound is reached nothing is tried any more.
    fn breaks(&mut self, config: &RunConfig) -> bool {
        if self.runs >= self.bound {
            return false;
        }
        self.runs += 1;
        (self.progress)(self.runs);
        (self.run)(config).violation.is_some_and(|violation| violation.invariant == self.invariant)
    }

    fn leave_out_classes(&mut self, small: &mut RunConfig) {
        let present: Vec<Class> =
            Class::ALL.iter().copied().filter(|class| !small.without.contains(class)).collect();
        let base = small.clone();
        let config = |kept: &[Class]| {
            let without = Class::ALL.iter().copied().filter(|class| !kept.contains(class)).collect();
            RunConfig { without, ..base.clone() }
        };
        let kept = self.reduce(present, |kept| config(kept));
        *small = config(&kept);
    }

    fn leave_out_faults(&mut self, small: &mut RunConfig, count: usize) {
        let present = small.keep.clone().unwrap_or_else(|| (0..count).collect());
        let base = small.clone();
        let config = |kept: &[usize]| RunConfig { keep: Some(kept.to_vec()), ..base.clone() };
        let kept = self.reduce(present, |kept| config(kept));
        *small = config(&kept);
    }

    /// From none upwards: short runs are quick.
    fn leave_out_operations(&mut self, small: &mut RunConfig) {
        let mut operations = 0;
        while operations < small.operations {
            let fewer = RunConfig { operations, ..small.clone() };
            if self.breaks(&fewer) {
                *small = fewer;
                return;
            }
            operations = (operations * 2).max(1);
        }
    }

    /// Leaves out as many of `items` as possible, larger parts first.
    fn reduce<T: Clone>(&mut self, mut items: Vec<T>, config: impl Fn(&[T]) -> RunConfig) -> Vec<T> {
        let mut part = items.len();
        while part > 0 && !items.is_empty() {
            let mut at = 0;
            while at < items.len() {
                let mut fewer = items.clone();
                fewer.drain(at..items.len().min(at + part));
                if self.breaks(&config(&fewer)) {
                    items = fewer;
                } else {
                    at += part;
                }
            }
            part /= 2;
        }
        items
    }
}
