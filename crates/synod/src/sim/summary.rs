//! What many seeds were like, in figures.

use std::time::Duration;

use serde_json::{Map, Value, json};
use synod_probe::mark::Mark;
use synod_sim::run::Report;

use crate::check::grouped;
use crate::client::output::table;

/// Figures of many runs.
#[derive(Debug)]
pub(super) struct Runs {
    /// How long they took together.
    pub(super) took: Duration,
    threads: usize,
    /// Simulated nanoseconds.
    simulated: u128,
    answered: Vec<u64>,
    leaders: Vec<u64>,
    undecided: Vec<u64>,
    broken: Vec<u64>,
    /// For each mark, in how many runs it was reached.
    marks: Vec<(Mark, u64)>,
}

fn median(numbers: &[u64]) -> u64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

impl Runs {
    pub(super) fn new(threads: usize) -> Runs {
        Runs {
            took: Duration::ZERO,
            threads,
            simulated: 0,
            answered: Vec::new(),
            leaders: Vec::new(),
            undecided: Vec::new(),
            broken: Vec::new(),
            marks: Mark::ALL.iter().map(|mark| (*mark, 0)).collect(),
        }
    }

    pub(super) fn add(&mut self, report: &Report) {
        self.simulated += u128::from(report.simulated);
        self.answered.push(report.tally.answered);
        self.leaders.push(report.tally.leaders);
        if report.undecided {
            self.undecided.push(report.seed);
        }
        if report.violation.is_some() {
            self.broken.push(report.seed);
        }
        for ((mark, seeds), (reached, hits)) in self.marks.iter_mut().zip(&report.marks) {
            assert_eq!(mark, reached, "every run reports all marks in order");
            *seeds += u64::from(*hits > 0);
        }
    }

    /// How many runs.
    pub(super) fn count(&self) -> usize {
        self.answered.len()
    }

    /// The lowest seed that broke an invariant.
    pub(super) fn broken(&self) -> Option<u64> {
        self.broken.iter().copied().min()
    }

    fn hours(&self) -> f64 {
        self.simulated as f64 / 3.6e12
    }

    fn seconds(&self) -> f64 {
        self.took.as_secs_f64().max(1e-3)
    }

    fn per_second(&self) -> f64 {
        self.count() as f64 / self.seconds()
    }

    /// A leader's changes: those after the first.
    fn leader_changes(&self) -> u64 {
        median(&self.leaders).saturating_sub(1)
    }

    /// A line while it goes on.
    pub(super) fn progress(&self) -> String {
        format!(
            "{} seeds, {:.1}/s, {:.2} simulated hours",
            grouped(self.count() as u64),
            self.per_second(),
            self.hours()
        )
    }

    /// For people.
    pub(super) fn summary(&self, width: Option<u16>) -> String {
        let mut undecided: Vec<String> = self.undecided.iter().map(u64::to_string).collect();
        undecided.sort_unstable();
        let rows = [
            ("seeds", grouped(self.count() as u64)),
            ("simulated hours", format!("{:.2}", self.hours())),
            (
                "faster than real time",
                format!("{} ×", grouped((self.hours() * 3_600.0 / self.seconds()) as u64)),
            ),
            ("seeds per second", format!("{:.1}", self.per_second())),
            ("seeds per second and thread", format!("{:.1}", self.per_second() / self.threads as f64)),
            ("operations answered per seed, median", median(&self.answered).to_string()),
            ("operations answered per seed, fewest", self.fewest().to_string()),
            ("leader changes per seed, median", self.leader_changes().to_string()),
            (
                "histories too tangled to decide",
                match undecided.len() {
                    0 => "0".to_owned(),
                    count => format!("{count} (seeds {})", undecided.join(", ")),
                },
            ),
            ("violations", self.broken.len().to_string()),
        ];
        let rows = rows.map(|(name, figure)| vec![name.to_owned(), figure]);
        let figures = table(vec!["figure".to_owned(), String::new()], rows.to_vec(), width);
        let reached = self
            .marks
            .iter()
            .map(|(mark, seeds)| vec![mark.name().to_owned(), grouped(*seeds), mark.meaning().to_owned()]);
        let header = ["mark", "seeds", "what was reached"].map(str::to_owned).to_vec();
        format!("{figures}\n{}", table(header, reached.collect(), width))
    }

    fn fewest(&self) -> u64 {
        self.answered.iter().copied().min().unwrap_or(0)
    }

    /// For programs.
    pub(super) fn json(&self, protocol: &str) -> Value {
        let marks: Map<String, Value> =
            self.marks.iter().map(|(mark, seeds)| (mark.name().to_owned(), json!(seeds))).collect();
        json!({
            "protocol": protocol,
            "seeds": self.count(),
            "seconds": self.took.as_secs_f64(),
            "threads": self.threads,
            "simulated_hours": self.hours(),
            "seeds_per_second": self.per_second(),
            "answered_median": median(&self.answered),
            "answered_min": self.fewest(),
            "leader_changes_median": self.leader_changes(),
            "undecided": self.undecided,
            "marks": marks,
            "violation": null,
        })
    }
}

#[cfg(test)]
mod tests {
    use synod_sim::faults::Profile;
    use synod_sim::programs::single_decree::SingleDecree;
    use synod_sim::run::{RunConfig, run};

    use super::*;

    #[test]
    fn the_summary_has_medians_minima_and_how_many_seeds_reached_each_mark() {
        let report = run::<SingleDecree>(&RunConfig::new(1, Profile::Calm));
        let mut runs = Runs::new(2);
        for (answered, leaders) in [(10, 1), (30, 4), (20, 3)] {
            let mut report = report.clone();
            (report.tally.answered, report.tally.leaders) = (answered, leaders);
            report.simulated = 1_200_000_000_000;
            report.undecided = answered == 30;
            report.marks = Mark::ALL.iter().map(|mark| (*mark, u64::from(answered == 10) * 7)).collect();
            runs.add(&report);
        }
        runs.took = Duration::from_secs(6);
        let text = runs.summary(Some(200));
        let row = |name: &str| {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            line.split(['│', '┆']).nth(2).unwrap().trim().to_owned()
        };
        assert_eq!(row("simulated hours"), "1.00");
        assert_eq!(row("faster than real time"), "600 ×");
        assert_eq!(row("seeds per second and thread"), "0.2");
        assert_eq!(row("answered per seed, median"), "20");
        assert_eq!(row("answered per seed, fewest"), "10");
        assert_eq!(row("leader changes per seed, median"), "2");
        assert_eq!(row("too tangled"), "1 (seeds 1)");
        assert_eq!(row("DuelLost"), "1");
        let json = runs.json("single-decree");
        assert_eq!((&json["seeds"], &json["marks"]["DuelLost"]), (&json!(3), &json!(1)));
    }
}
