//! `synod sim --wan`: what each protocol costs, side by side.

mod plot;
mod study;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use synod_sim::wan::contender::CONTENDERS;
use synod_sim::wan::sites::Site;
use synod_sim::wan::workload::Keys;

use self::study::Study;
use super::{SimOptions, print, runner};

/// What `synod sim --wan` can be told beside `--protocol`, `--nodes`, `--seed`, `--seeds`, `--threads` and `--json`.
#[derive(Debug, Args)]
pub(super) struct WanOptions {
    /// Compare the protocols: latencies between continents, messages, and downtime. Says nothing of faults
    #[arg(long, conflicts_with_all = ["list", "scenario", "time", "profile", "without", "keep", "operations", "trace", "diagram"])]
    pub(super) wan: bool,
    /// How often a write goes to the one key that all clients share, in percent, for each run
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_value = "0,2,10,100", requires = "wan", value_parser = clap::value_parser!(u64).range(0..=100))]
    conflicts: Vec<u64>,
    /// Where leaders are
    #[arg(long, value_name = "SITE", default_value = Site::ALL[0].name(), requires = "wan", value_parser = parse_site())]
    leader: Site,
    /// Where to draw the latencies, as SVG
    #[arg(long, value_name = "FILE", requires = "wan")]
    plot: Option<PathBuf>,
}

/// Seeds of each measurement of latencies if nothing is said.
const SEEDS: u64 = 3;

fn parse_site() -> impl TypedValueParser<Value = Site> {
    let find = |name: String| Site::ALL.into_iter().find(|site| site.name() == name);
    let names = PossibleValuesParser::new(Site::ALL.map(Site::name));
    names.try_map(move |name| find(name).ok_or("no such site"))
}

fn study(options: &SimOptions) -> Result<Study, String> {
    let nodes = options.nodes.map_or(Site::ALL.len(), |nodes| usize::try_from(nodes).unwrap_or(usize::MAX));
    let sites = Site::ALL.get(..nodes).filter(|sites| sites.len() >= 3);
    let sites = sites.ok_or(format!("--nodes {nodes}: there are 3 to {} sites", Site::ALL.len()))?;
    let leader = options.wan.leader;
    if !sites.contains(&leader) {
        return Err(format!("--leader {leader}: with --nodes {nodes} nobody is there"));
    }
    let wanted = options.protocol.map(|protocol| protocol.0);
    let contenders: Vec<_> =
        CONTENDERS.iter().filter(|contender| wanted.is_none_or(|name| name == contender.name)).collect();
    if contenders.is_empty() {
        let names: Vec<&str> = CONTENDERS.iter().map(|contender| contender.name).collect();
        return Err(format!("--protocol: with --wan it is one of {}", names.join(", ")));
    }
    let conflicts = options.wan.conflicts.iter().map(|percent| Keys::Conflicts(*percent));
    Ok(Study {
        contenders,
        sites: sites.to_vec(),
        keys: conflicts.chain([Keys::Zipf]).collect(),
        leader,
        seeds: (options.seed.unwrap_or(1), options.seeds.unwrap_or(SEEDS)),
    })
}

/// Measures and tells.
pub(super) fn run(options: &SimOptions) -> ExitCode {
    let study = match study(options) {
        Ok(study) => study,
        Err(error) => {
            eprintln!("synod sim: {error}");
            return ExitCode::from(2);
        }
    };
    let bar = runner::bar(1);
    let progress = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{done} of {all} runs"));
    };
    let findings = study.run(options.threads(), &progress);
    bar.finish_and_clear();
    let findings = match findings {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("synod sim: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(file) = &options.wan.plot
        && let Err(error) = plot::draw(file, &study, &findings)
    {
        eprintln!("synod sim: {} cannot be written: {error}", file.display());
        return ExitCode::from(2);
    }
    print(&match options.json {
        true => tables::json(&study, &findings).to_string(),
        false => tables::text(&study, &findings, None),
    });
    ExitCode::SUCCESS
}
