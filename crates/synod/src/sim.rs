//! `synod sim`: seeds of the deterministic world.

mod runner;
mod scenario;
mod story;
mod summary;
mod wan;

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::Table;
use serde_json::json;
use synod_sim::diagram::{View, draw};
use synod_sim::faults::{Class, Profile};
use synod_sim::program::Program;
use synod_sim::programs::fast::Fast;
use synod_sim::programs::member::Member;
use synod_sim::programs::replicated;
use synod_sim::programs::single_decree::SingleDecree;
use synod_sim::run::{self, OPERATIONS, Report, RunConfig};
use synod_sim::scenarios;
use synod_sim::shrink::{self, Shrunk};
use synod_sim::trace::Trace;

use runner::Budget;

pub(crate) const EXAMPLES: &str = "\
Examples:
  synod sim                                  100 seeds of whole members, all faults
  synod sim --time 10m --profile network     for ten minutes, with the faults of networks
  synod sim --seed 5000 --seeds 1000         seeds 5000 to 5999
  synod sim --seed 17 --trace 17.json        one seed, with its trace (see docs/trace.md)
  synod sim --seed 17 --diagram --from 0.2 --to 0.25
                                             what happened then, drawn
  synod sim --list                           the scenarios
  synod sim --scenario slow-leader --diagram one of them, drawn
  synod sim --seed 17 --keep 3,7 --without loss,delay --operations 20
                                             a part of a seed, as a violation names it
  synod sim --wan --plot latencies.svg       the protocols side by side: latencies, messages, downtime
  synod sim --wan --protocol egalitarian --conflicts 0,50 --nodes 3
  synod sim --wan --leader JP --json         with leaders in Japan

A violation ends the run. The lowest seed that breaks is shrunk, told, and written to a file.
Ends with 1 if an invariant broke, or a scenario did not show what it should.";

/// Seeds that are run if nothing is said.
const SEEDS: u64 = 100;

/// Lines of a diagram that nobody said a part of: enough for the end of a story.
const DRAWN: usize = 80;

/// How a protocol's seeds are run.
type Run = fn(&RunConfig) -> Report;

/// The protocols by name.
const PROTOCOLS: &[(&str, Run)] = &[
    (Member::NAME, run::run::<Member>),
    (SingleDecree::NAME, run::run::<SingleDecree>),
    (Fast::NAME, run::run::<Fast>),
    (replicated::Multi::NAME, run::run::<replicated::Multi>),
    (replicated::FastLog::NAME, run::run::<replicated::FastLog>),
    (replicated::Egalitarian::NAME, run::run::<replicated::Egalitarian>),
    (replicated::Raft::NAME, run::run::<replicated::Raft>),
];

/// What `synod sim` can be told.
#[derive(Debug, Args)]
pub struct SimOptions {
    /// List the scenarios and run nothing
    #[arg(long, conflicts_with_all = ["scenario", "seeds", "time"])]
    list: bool,
    /// Play a scenario; `--seed` decides what it leaves open
    #[arg(long, value_name = "NAME", conflicts_with_all = ["seeds", "time", "keep", "without", "protocol", "nodes", "profile", "operations"])]
    scenario: Option<String>,
    /// How many seeds to run [default: 100, or 1 if --seed is given, or 3 with --wan]
    #[arg(long, value_name = "COUNT", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// How long to run seeds, such as 90s, 10m or 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    time: Option<Duration>,
    /// The first seed [default: 1]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    #[arg(long, help = format!("What runs [default: {}, or all of a replicated store with --wan]", PROTOCOLS[0].0), value_parser = parse_protocol())]
    protocol: Option<Protocol>,
    /// How many nodes; each seed has three or five if not given, and --wan has five
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: Option<u64>,
    /// Which faults there may be. Under `beyond`, more is damaged than can be survived: service may end, but no answer
    /// may be wrong
    #[arg(long, default_value = "all", value_parser = parse_profile())]
    profile: Profile,
    /// Leave out these classes of faults: loss, duplicate, delay, replay, clog, cut, crash, pause, disk, damage, clock, client, applier, rollback
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_parser = parse_class)]
    without: Vec<Class>,
    /// Keep only these faults of the one seed's plan, by number, or `none`
    #[arg(long, value_name = "NUMBERS", value_parser = parse_keep, conflicts_with_all = ["seeds", "time"], requires = "seed")]
    keep: Option<Keep>,
    /// How many operations each of the eight clients begins
    #[arg(long, value_name = "COUNT", default_value_t = OPERATIONS)]
    operations: u64,
    /// How many threads to work on: all processors if not given. What is found does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Where to write the trace of the only seed, or of the violation
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the only seed, or the violation: of a violation the end, if no part is asked for
    #[arg(long, conflicts_with = "json")]
    diagram: bool,
    /// Draw from this simulated second on
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, requires = "diagram")]
    from: Option<u64>,
    /// Draw to this simulated second
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, requires = "diagram")]
    to: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wan: wan::WanOptions,
}

/// A protocol that was chosen.
#[derive(Clone, Copy, Debug)]
struct Protocol(&'static str, Run);

/// Numbers of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keep(Vec<usize>);

fn parse_protocol() -> impl TypedValueParser<Value = Protocol> {
    let find =
        |name: String| PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(n, r)| Protocol(n, *r));
    let names = PossibleValuesParser::new(PROTOCOLS.iter().map(|(name, _)| *name));
    names.try_map(move |name| find(name).ok_or("no such protocol"))
}

fn parse_profile() -> impl TypedValueParser<Value = Profile> {
    let find =
        |name: String| Profile::ALL.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile);
    let names = PossibleValuesParser::new(Profile::ALL.iter().map(|(name, _)| *name));
    names.try_map(move |name| find(name).ok_or("no such profile"))
}

fn parse_class(text: &str) -> Result<Class, String> {
    let names = || Class::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let class = Class::ALL.iter().copied().find(|class| class.to_string() == text);
    class.ok_or_else(|| format!("there are {}", names()))
}

fn parse_keep(text: &str) -> Result<Keep, String> {
    if text == "none" {
        return Ok(Keep(Vec::new()));
    }
    let number = |part: &str| part.parse().map_err(|_| format!("{part:?} is no number"));
    text.split(',').map(number).collect::<Result<_, _>>().map(Keep)
}

/// `90s`, `10m`, `1h`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 90s, 10m or 1h");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Seconds, as nanoseconds.
fn parse_seconds(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if (0.0..1e9).contains(&seconds) {
        Ok((seconds * 1e9) as u64)
    } else {
        Err(format!("{text} s never come"))
    }
}

impl SimOptions {
    /// The run of `seed` as asked for.
    fn config(&self, seed: u64) -> RunConfig {
        RunConfig {
            nodes: self.nodes,
            keep: self.keep.clone().map(|keep| keep.0),
            without: self.without.clone(),
            operations: self.operations,
            ..RunConfig::new(seed, self.profile)
        }
    }

    fn protocol(&self) -> Protocol {
        let (name, run) = PROTOCOLS[0];
        self.protocol.unwrap_or(Protocol(name, run))
    }

    fn budget(&self) -> Budget {
        match (self.time, self.seeds, self.seed) {
            (Some(time), _, _) => Budget::Time(time),
            (None, Some(seeds), _) => Budget::Seeds(seeds),
            (None, None, Some(_)) => Budget::Seeds(1),
            (None, None, None) => Budget::Seeds(SEEDS),
        }
    }

    /// What to draw of `trace`, for the terminal if there is one.
    fn view(&self, trace: &Trace) -> View {
        let asked = self.from.is_some() || self.to.is_some();
        let last = (trace.violation.is_some() && !asked).then_some(DRAWN);
        View {
            from: self.from.unwrap_or(0),
            to: self.to.unwrap_or(u64::MAX),
            last,
            width: Table::new().width().map_or(View::default().width, usize::from),
            colour: std::io::stdout().is_terminal(),
        }
    }

    fn threads(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }
}

/// Runs what was asked for.
pub(crate) fn run(options: &SimOptions) -> ExitCode {
    if options.list {
        print(&scenario::list(options.json));
        return ExitCode::SUCCESS;
    }
    if options.wan.wan {
        return wan::run(options);
    }
    if let Some(name) = &options.scenario {
        return play(options, name);
    }
    let first = options.seed.unwrap_or(1);
    let Protocol(_, run) = options.protocol();
    let runs = runner::run(options.budget(), first, options.threads(), &|seed| run(&options.config(seed)));
    if let Some(seed) = runs.broken() {
        return report_violation(options, seed);
    }
    if options.json {
        print(&runs.json(options.protocol().0).to_string());
    } else {
        print(&runs.summary(None));
    }
    let wanted = options.trace.is_some() || options.diagram;
    if wanted && options.budget() == Budget::Seeds(1) {
        let report = run(&RunConfig { record: true, ..options.config(first) });
        let trace = report.trace.expect("it was to be recorded");
        if options.diagram {
            print(&draw(&trace, &options.view(&trace)));
        }
        if let Some(file) = &options.trace
            && let Err(code) = write_trace(file, &trace)
        {
            return code;
        }
    }
    ExitCode::SUCCESS
}

/// Plays a scenario.
fn play(options: &SimOptions, name: &str) -> ExitCode {
    let Some(scenario) = scenarios::named(name) else {
        eprintln!("synod sim: no scenario is called {name}\nSee synod sim --list.");
        return ExitCode::from(2);
    };
    let outcome = scenario.play(options.seed.unwrap_or(1));
    if options.diagram {
        print(&format!("{}\n", draw(&outcome.trace, &options.view(&outcome.trace))));
    }
    print(&scenario::tell(scenario, &outcome, options.json));
    if let Some(file) = &options.trace
        && let Err(code) = write_trace(file, &outcome.trace)
    {
        return code;
    }
    if outcome.verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shrinks and tells what breaks in `seed`.
fn report_violation(options: &SimOptions, seed: u64) -> ExitCode {
    let Protocol(protocol, run) = options.protocol();
    let Shrunk { config, report, runs } = shrunk(&options.config(seed), run);
    let trace = report.trace.as_ref().expect("a shrunk run is recorded");
    let file = options.trace.clone().unwrap_or_else(|| PathBuf::from(format!("synod-sim-{seed}.json")));
    if let Err(code) = write_trace(&file, trace) {
        return code;
    }
    let replay = story::replay(protocol, &config, report.nodes);
    let told = story::tell(&config, &report);
    if options.json {
        let violation = trace.violation.as_ref();
        print(
            &json!({
                "protocol": protocol,
                "violation": {
                    "seed": seed,
                    "invariant": violation.map(|violation| &violation.invariant),
                    "what": violation.map(|violation| &violation.what),
                    "story": told,
                    "replay": replay,
                    "trace": file,
                    "runs": runs,
                }
            })
            .to_string(),
        );
    } else {
        if options.diagram {
            print(&format!("{}\n", draw(trace, &options.view(trace))));
        }
        print(&told.join("\n"));
        print(&format!("\nTo see it again:\n  {replay}\nThe trace is in {}.", file.display()));
    }
    ExitCode::FAILURE
}

/// The smallest run found that breaks as `config` does.
fn shrunk(config: &RunConfig, run: Run) -> Shrunk {
    let bar = runner::bar(u64::from(shrink::RUNS));
    let small = shrink::shrink(config, shrink::RUNS, run, &mut |runs| {
        bar.set_position(u64::from(runs));
        bar.set_message(format!("seed {} breaks an invariant: looking for a smaller run", config.seed));
    });
    bar.finish_and_clear();
    small.expect("a seed that breaks an invariant breaks it again")
}

fn write_trace(file: &Path, trace: &Trace) -> Result<(), ExitCode> {
    let bytes = serde_json::to_vec(trace).expect("a trace has no map with keys that are no strings");
    fs::write(file, bytes).map_err(|error| {
        eprintln!("synod sim: {} cannot be written: {error}", file.display());
        ExitCode::from(2)
    })
}

/// Prints a line. Who reads it may have seen enough, as `head` does.
fn print(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SimOptions,
    }

    fn parse(line: &str) -> Result<SimOptions, String> {
        let words = std::iter::once("sim").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_seed_alone_is_one_run_and_nothing_at_all_is_a_hundred() {
        assert_eq!(parse("--seed 17").unwrap().budget(), Budget::Seeds(1));
        assert_eq!(parse("").unwrap().budget(), Budget::Seeds(SEEDS));
        assert_eq!(parse("--seed 17 --seeds 5").unwrap().budget(), Budget::Seeds(5));
        assert_eq!(parse("--time 10m").unwrap().budget(), Budget::Time(Duration::from_secs(600)));
    }

    #[test]
    fn a_replay_is_parsed_to_the_run_that_it_names() {
        let mut config = RunConfig::new(9, Profile::Network);
        config.keep = Some(vec![3, 7]);
        config.without = vec![Class::Loss, Class::Delay];
        config.operations = 20;
        for keep in [Some(vec![3, 7]), Some(Vec::new()), None] {
            config.keep = keep;
            let line = story::replay("single-decree", &config, 5);
            let options = parse(line.strip_prefix("synod sim").unwrap()).unwrap();
            let again = options.config(options.seed.unwrap());
            assert_eq!(format!("{again:?}"), format!("{:?}", RunConfig { nodes: Some(5), ..config.clone() }));
            assert_eq!(options.protocol().0, "single-decree");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--seeds 0",
            "--seeds 3 --time 1m",
            "--keep 3",
            "--seed 1 --keep x",
            "--seed 1 --seeds 2 --keep 3",
            "--time 10",
            "--time 0s",
            "--time ten m",
            "--profile wet",
            "--without rain",
            "--protocol viewstamped",
            "--threads 0",
            "--seed 1 --from 2",
            "--seed 1 --diagram --from -2",
            "--seed 1 --diagram --json",
            "--leader JP",
            "--wan --leader DE",
            "--wan --conflicts 101",
            "--wan --profile network",
            "--wan --scenario duel",
        ] {
            assert!(parse(line).is_err(), "{line} was taken");
        }
    }
}
