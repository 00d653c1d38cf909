//! `synod check`: every state of small configurations of the shipped protocols.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use synod_sim::check::explore::{Counterexample, Limits, Report};
use synod_sim::check::spaces::{Space, spaces};

use crate::client::output::table;

pub(crate) const EXAMPLES: &str = "\
Examples:
  synod check                              every space, one after the other
  synod check --list                       what there is
  synod check single-decree-3x4x2          one space
  synod check multi-paxos                  all whose names begin so
  synod check multi-paxos --depth 12       no further than 12 steps

Ends with 1 if an invariant broke, or if a space has another number of states than it is known to have.";

/// What `synod check` can be told.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Spaces to explore, by name or by how several names begin; all of them if none is given
    #[arg(value_name = "SPACE")]
    names: Vec<String>,
    /// List the spaces and explore none
    #[arg(long)]
    list: bool,
    /// Go no further than this many steps from the beginning
    #[arg(long, value_name = "STEPS")]
    depth: Option<u32>,
    /// Stop a space once it has this many states
    #[arg(long, value_name = "COUNT")]
    states: Option<u64>,
    /// How many threads to work on: all processors if not given. The counts do not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Hunt the wrong versions of all rules, or of those named, with simulator and model checker, and print how each
    /// was found out
    #[arg(long)]
    mutants: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A space, what was found, and how long that took.
struct Outcome {
    space: &'static Space,
    report: Report,
    took: Duration,
    limited: bool,
}

/// Explores what was asked for.
pub(crate) fn run(options: &CheckOptions) -> ExitCode {
    if options.mutants {
        return hunt_mutants(options);
    }
    let chosen = match choose(&options.names) {
        Ok(chosen) => chosen,
        Err(name) => {
            eprintln!(
                "synod check: no space is called {name}, and no name begins so\nSee synod check --list."
            );
            return ExitCode::from(2);
        }
    };
    if options.list {
        let list = if options.json { list_json(&chosen).to_string() } else { list(&chosen) };
        println!("{list}");
        return ExitCode::SUCCESS;
    }
    let outcomes: Vec<Outcome> = chosen.into_iter().map(|space| explore(space, options)).collect();
    if options.json {
        println!("{}", Value::Array(outcomes.iter().map(Outcome::json).collect()));
    } else {
        for outcome in &outcomes {
            if let Some(counterexample) = &outcome.report.counterexample {
                println!("{}\n", story(outcome.space.name, counterexample));
            }
        }
        println!("{}", summary(&outcomes, None));
    }
    if outcomes.iter().all(Outcome::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Wrong versions of rules are not in a program that anybody runs: it says how to build one that has them.
#[cfg(not(synod_mutants))]
fn hunt_mutants(_: &CheckOptions) -> ExitCode {
    eprintln!(
        "synod check: this program has no wrong versions of its rules in it, so that none can ever run by mistake.\n\
         In a checkout, build one that has them and hunt them with:\n\n  \
         RUSTFLAGS=\"--cfg synod_mutants\" cargo run --target-dir target/mutants -- check --mutants"
    );
    ExitCode::from(2)
}

/// Hunts the mutants of these names, all if there are none, on all processors.
#[cfg(synod_mutants)]
fn hunt_mutants(options: &CheckOptions) -> ExitCode {
    use synod_probe::mutant::Mutant;
    use synod_sim::mutants::{Effort, hunt_all};

    let named = |name: &String| Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name);
    if let Some(unknown) = options.names.iter().find(|name| named(name).is_none()) {
        eprintln!("synod check: no mutant is called {unknown}\nSee docs/testing.md for their names.");
        return ExitCode::from(2);
    }
    let mut mutants: Vec<Mutant> = options.names.iter().filter_map(named).collect();
    if mutants.is_empty() {
        mutants = Mutant::ALL.to_vec();
    }
    let effort = Effort { seeds: 1_000, states: options.states.unwrap_or(70_000), both: false };
    println!("| mutant | killed by | after | violated |\n|---|---|---|---|");
    let hunts = hunt_all(&mutants, effort, &|hunt| println!("{}", hunt.row()));
    if hunts.iter().all(synod_sim::mutants::Hunt::is_killed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The spaces that these names mean, in the order of the list.
fn choose(names: &[String]) -> Result<Vec<&'static Space>, &String> {
    let means = |name: &String, space: &Space| match spaces().iter().any(|other| other.name == name) {
        true => space.name == name,
        false => space.name.starts_with(name.as_str()),
    };
    if let Some(unknown) = names.iter().find(|name| !spaces().iter().any(|space| means(name, space))) {
        return Err(unknown);
    }
    let wanted = |space: &&Space| names.is_empty() || names.iter().any(|name| means(name, space));
    Ok(spaces().iter().filter(wanted).collect())
}

fn explore(space: &'static Space, options: &CheckOptions) -> Outcome {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.map_or_else(processors, usize::from);
    let limits = Limits { depth: options.depth, states: options.states, threads };
    let bar = ProgressBar::new(space.expected);
    let style = ProgressStyle::with_template("{wide_msg}\n{bar:40} {percent}% {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let began = Instant::now();
    let report = space.run(&limits, &mut |progress| {
        let speed = progress.states as f64 / progress.elapsed.as_secs_f64().max(1e-3);
        bar.set_position(progress.states.min(space.expected));
        bar.set_message(format!(
            "{}: {} states, {speed:.0}/s, depth {}",
            space.name,
            grouped(progress.states),
            progress.depth
        ));
    });
    bar.finish_and_clear();
    let limited = options.depth.is_some() || options.states.is_some();
    Outcome { space, report, took: began.elapsed(), limited }
}

impl Outcome {
    /// Whether there is another number of states than there should be.
    fn is_surprising(&self) -> bool {
        let complete = self.report.closed || !self.limited;
        complete && self.report.counterexample.is_none() && self.report.states != self.space.expected
    }

    fn is_good(&self) -> bool {
        self.report.counterexample.is_none() && !self.is_surprising()
    }

    fn verdict(&self) -> String {
        match &self.report.counterexample {
            Some(counterexample) => format!("{} broke", counterexample.violation.invariant),
            None if self.is_surprising() => format!("{} states expected", grouped(self.space.expected)),
            None if self.report.closed => "holds".to_owned(),
            None => format!("holds to depth {}", self.report.depth),
        }
    }

    fn row(&self) -> Vec<String> {
        let published = self.space.published.map(|(states, _)| grouped(states));
        let seconds = self.took.as_secs_f64();
        vec![
            self.space.name.to_owned(),
            grouped(self.report.states),
            published.unwrap_or_default(),
            grouped(self.report.transitions),
            self.report.depth.to_string(),
            if self.report.closed { "yes" } else { "no" }.to_owned(),
            format!("{seconds:.1} s"),
            grouped((self.report.states as f64 / seconds.max(1e-3)) as u64),
            self.verdict(),
        ]
    }

    fn json(&self) -> Value {
        let Report { states, transitions, depth, closed, counterexample } = &self.report;
        let violation = counterexample.as_ref().map(|counterexample| {
            json!({
                "invariant": counterexample.violation.invariant,
                "what": counterexample.violation.what,
                "steps": counterexample.steps,
            })
        });
        json!({
            "space": self.space.name,
            "states": states,
            "expected": self.space.expected,
            "published": self.space.published.map(|(states, _)| states),
            "transitions": transitions,
            "depth": depth,
            "closed": closed,
            "seconds": self.took.as_secs_f64(),
            "violation": violation,
        })
    }
}

fn story(space: &str, counterexample: &Counterexample) -> String {
    let violation = &counterexample.violation;
    let mut text = format!("{space}: {} broke\n", violation.invariant);
    for (number, step) in counterexample.steps.iter().enumerate() {
        text.push_str(&format!("{:>4}. {step}\n", number + 1));
    }
    text.push_str(&format!("Then: {}", violation.what));
    text
}

fn summary(outcomes: &[Outcome], width: Option<u16>) -> String {
    let header =
        ["space", "states", "published", "transitions", "depth", "closed", "time", "states/s", "verdict"];
    table(header.map(str::to_owned).to_vec(), outcomes.iter().map(Outcome::row).collect(), width)
}

fn list(chosen: &[&Space]) -> String {
    let rows = chosen.iter().map(|space| {
        let ends = space.depth.map_or("at its end".to_owned(), |depth| format!("at depth {depth}"));
        vec![space.name.to_owned(), grouped(space.expected), ends, space.description.to_owned()]
    });
    let header = ["space", "states", "stops", "what it is"];
    table(header.map(str::to_owned).to_vec(), rows.collect(), None)
}

fn list_json(chosen: &[&Space]) -> Value {
    let entries = chosen.iter().map(|space| {
        json!({
            "space": space.name,
            "description": space.description,
            "expected": space.expected,
            "published": space.published.map(|(states, by)| json!({ "states": states, "by": by })),
            "depth": space.depth,
        })
    });
    Value::Array(entries.collect())
}

/// `710,709`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use synod_sim::check::Violation;

    use super::*;

    fn outcome(counterexample: Option<Counterexample>, states: u64) -> Outcome {
        let [space] = choose(&["single-decree-3x2x2".to_owned()]).unwrap()[..] else { panic!() };
        let closed = counterexample.is_none();
        let report = Report { states, transitions: 1_234, depth: 14, closed, counterexample };
        Outcome { space, report, took: Duration::from_millis(500), limited: false }
    }

    #[test]
    fn a_name_means_itself_and_a_beginning_means_all_that_begin_so() {
        let names = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
            choose(&given).map(|spaces| spaces.len()).map_err(Clone::clone)
        };
        assert_eq!(names(&["single-decree-3x2x2"]), Ok(1), "though another name begins so");
        assert!(names(&["single-decree-"]).unwrap() > 5);
        assert_eq!(names(&[]), Ok(spaces().len()));
        assert_eq!(names(&["single-decree-3x2x2", "nonsense"]), Err("nonsense".to_owned()));
    }

    #[test]
    fn a_broken_invariant_is_told_as_a_numbered_story() {
        let violation = Violation { invariant: "P2b", what: "B was proposed".to_owned() };
        let steps = vec!["acceptor 1 votes".to_owned(), "acceptor 2 votes".to_owned()];
        let told = story("a-space", &Counterexample { violation, steps });
        assert_eq!(
            told,
            "a-space: P2b broke\n   1. acceptor 1 votes\n   2. acceptor 2 votes\nThen: B was proposed"
        );
    }

    #[test]
    fn a_violation_and_an_unexpected_count_are_no_success() {
        assert!(outcome(None, 443).is_good());
        assert!(!outcome(None, 444).is_good());
        let violation = Violation { invariant: "P1a", what: String::new() };
        assert!(!outcome(Some(Counterexample { violation, steps: Vec::new() }), 443).is_good());
        let limited = Outcome { limited: true, ..outcome(None, 100) };
        assert!(!limited.is_good(), "it says that it is closed");
    }

    #[test]
    fn the_summary_has_a_line_for_each_space() {
        let expected = "\
┌─────────────────────┬────────┬───────────┬─────────────┬───────┬────────┬───────┬──────────┬─────────┐
│ space               ┆ states ┆ published ┆ transitions ┆ depth ┆ closed ┆ time  ┆ states/s ┆ verdict │
╞═════════════════════╪════════╪═══════════╪═════════════╪═══════╪════════╪═══════╪══════════╪═════════╡
│ single-decree-3x2x2 ┆ 443    ┆           ┆ 1,234       ┆ 14    ┆ yes    ┆ 0.5 s ┆ 886      ┆ holds   │
└─────────────────────┴────────┴───────────┴─────────────┴───────┴────────┴───────┴──────────┴─────────┘";
        assert_eq!(summary(&[outcome(None, 443)], Some(130)), expected);
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(12_345_678)),
            ("7".into(), "1,000".into(), "12,345,678".into())
        );
    }
}
