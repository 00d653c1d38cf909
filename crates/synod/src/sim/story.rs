//! What happened in a run that broke an invariant, in sentences.

use synod_sim::faults::{Class, Profile};
use synod_sim::run::{OPERATIONS, Report, RunConfig};
use synod_sim::trace::{Event, Happening, Trace};

/// How many of the last events are told.
const LAST: usize = 16;

/// The command that runs `config` again.
pub(super) fn replay(protocol: &str, config: &RunConfig, nodes: u64) -> String {
    let mut line = format!("synod sim --seed {} --protocol {protocol} --nodes {nodes}", config.seed);
    if let Some((name, _)) = Profile::ALL.iter().find(|(_, profile)| *profile == config.profile) {
        line.push_str(&format!(" --profile {name}"));
    }
    if let Some(keep) = &config.keep {
        line.push_str(&format!(
            " --keep {}",
            if keep.is_empty() { "none".to_owned() } else { list(keep, ",") }
        ));
    }
    if !config.without.is_empty() {
        line.push_str(&format!(" --without {}", list(&config.without, ",")));
    }
    if config.operations != OPERATIONS {
        line.push_str(&format!(" --operations {}", config.operations));
    }
    line
}

fn list<T: ToString>(items: &[T], between: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// The story of a shrunk run, which has a trace and a violation.
pub(super) fn tell(config: &RunConfig, report: &Report) -> Vec<String> {
    let (Some(violation), Some(trace)) = (&report.violation, &report.trace) else { return Vec::new() };
    let mut lines = vec![format!(
        "{} broke in seed {} of {}, {} nodes, after {} of simulated time.",
        violation.invariant,
        report.seed,
        trace.protocol,
        report.nodes,
        seconds(report.simulated)
    )];
    lines.push(what_remained(config, report));
    let faults: Vec<String> = trace.events.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        lines.push("What was broken on purpose, and what came of it:".to_owned());
        let skipped = faults.len().saturating_sub(LAST);
        if skipped > 0 {
            lines.push(format!("  … {skipped} earlier ones are in the trace"));
        }
        lines.extend(faults.into_iter().skip(skipped));
    }
    lines.push("What happened last:".to_owned());
    lines.extend(last(trace));
    lines.push(format!(
        "Then {} did not hold: {}.",
        violation.invariant,
        violation.what.trim_end_matches('.')
    ));
    lines
}

/// What shrinking left.
fn what_remained(config: &RunConfig, report: &Report) -> String {
    let classes: Vec<&Class> = Class::ALL.iter().filter(|class| !config.without.contains(class)).collect();
    let classes = if classes.is_empty() { "no class of faults".to_owned() } else { list(&classes, ", ") };
    let kept = config.keep.as_ref().map_or(report.faults, Vec::len);
    format!(
        "It takes {classes}, {kept} of the plan's {} faults, and {} operations of each client.",
        report.faults, config.operations
    )
}

fn seconds(nanos: u64) -> String {
    format!("{:.6} s", nanos as f64 / 1e9)
}

fn whom(node: Option<u64>) -> String {
    node.map_or_else(String::new, |node| format!("n{node}: "))
}

fn fault(event: &Event) -> Option<String> {
    let Happening::Fault { node, text } = &event.what else { return None };
    let first_start = event.at == 0 && text == "starts";
    (!first_start).then(|| format!("  {:>12}  {}{text}", seconds(event.at), whom(*node)))
}

/// The last things that nodes did and clients were told.
fn last(trace: &Trace) -> Vec<String> {
    let told = trace.events.iter().rev().filter_map(|event| {
        let text = match &event.what {
            Happening::Fact { node, text } => format!("n{node} {text}"),
            Happening::Asked { client, node, operation } => {
                format!("client {client} asks n{node}: {}", clipped(&format!("{operation:?}")))
            }
            Happening::Told { client, outcome } => {
                format!("client {client} is told: {}", clipped(&format!("{outcome:?}")))
            }
            Happening::Fault { node, text } => format!("{}{text}", whom(*node)),
            _ => return None,
        };
        Some(format!("  {:>12}  {text}", seconds(event.at)))
    });
    let mut told: Vec<String> = told.take(LAST).collect();
    told.reverse();
    told
}

fn clipped(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use synod_sim::check::Violation;
    use synod_sim::programs::single_decree::SingleDecree;
    use synod_sim::run::run;

    use super::*;

    #[test]
    fn the_story_names_the_invariant_the_faults_that_remain_and_the_end() {
        let mut config = RunConfig::new(3, Profile::Calm);
        (config.record, config.operations) = (true, 1);
        config.without = Class::ALL.iter().copied().filter(|class| *class != Class::Crash).collect();
        config.keep = Some(vec![4]);
        let mut report = run::<SingleDecree>(&config);
        let what = "n1 promised (3,n1) and remembers (0,n0) after a restart".to_owned();
        report.violation = Some(Violation { invariant: "P1a", what });
        report.faults = 12;
        let trace = report.trace.as_mut().unwrap();
        let dies = Happening::Fault { node: Some(1), text: "dies (Power)".to_owned() };
        trace.events.push(Event { at: 2_500_000_000, what: dies });
        let told = tell(&config, &report);
        assert!(told[0].starts_with("P1a broke in seed 3 of "), "{}", told[0]);
        assert_eq!(told[1], "It takes crash, 1 of the plan's 12 faults, and 1 operations of each client.");
        assert_eq!(told[3], "    2.500000 s  n1: dies (Power)", "what is listed of faults");
        let end = "Then P1a did not hold: n1 promised (3,n1) and remembers (0,n0) after a restart.";
        assert_eq!(told.last().map(String::as_str), Some(end));
    }
}
