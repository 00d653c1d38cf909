//! What was measured, for people and for programs.

use serde_json::{Value, json};
use synod_sim::wan::costs::Cost;
use synod_sim::wan::latency::Latencies;
use synod_sim::wan::outage::WATCHED;

use super::study::{AtSite, Downtime, Findings, OUTAGES, Row, Study, Succession};
use crate::client::output::table;

/// Nanoseconds as milliseconds.
fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Thousandths.
fn units(thousandths: u64) -> f64 {
    thousandths as f64 / 1e3
}

fn header(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Everything, as tables.
pub(super) fn text(study: &Study, findings: &Findings, width: Option<u16>) -> String {
    let title = |what: &str| {
        format!(
            "{what} latency in milliseconds, median and 99th percentile, of clients at each site. Leaders are in {}.",
            study.leader
        )
    };
    let parts = [
        title("Commit"),
        latencies(findings, width, |at| &at.commit),
        String::new(),
        title("Execution"),
        latencies(findings, width, |at| &at.execution),
        String::new(),
        "One command in the normal case: message delays until it is committed, and executed, at the client's replica; \
         messages between replicas."
            .to_owned(),
        costs(findings, width),
        String::new(),
        format!(
            "Downtime in election timeouts, of {OUTAGES} runs; never: not within {WATCHED}. Leaders that took over \
             within {WATCHED}."
        ),
        downtimes(findings, width),
        String::new(),
        "A replica, the leader if there is one, dies with a write under way: how long it is waited for, in election \
         timeouts; message delays and messages of the election that succeeds, or of the recovery until a client is \
         answered. Medians, and the worst; in unnoticed runs a client was answered before anybody did anything about it."
            .to_owned(),
        successions(findings, width),
    ];
    parts.join("\n")
}

fn latencies(findings: &Findings, width: Option<u16>, of: fn(&AtSite) -> &Latencies) -> String {
    let Some(first) = findings.rows.first() else { return String::new() };
    let mut head = header(&["protocol", "conflicts"]);
    head.extend(first.sites.iter().map(|at| at.site.to_string()));
    head.extend(header(&["second round", "mishaps"]));
    let row = |row: &Row| {
        let mut cells = vec![row.contender.title.to_owned(), row.keys.to_string()];
        cells.extend(row.sites.iter().map(|at| {
            let latencies = of(at);
            format!("{:.0} / {:.0}", ms(latencies.median()), ms(latencies.percentile(99)))
        }));
        cells.push(row.slow.map_or(String::new(), |slow| format!("{slow:.1} %")));
        cells.push(row.mishaps.to_string());
        cells
    };
    table(head, findings.rows.iter().map(row).collect(), width)
}

fn costs(findings: &Findings, width: Option<u16>) -> String {
    let head = header(&["protocol", "replicas", "client of", "commit", "execution", "messages"]);
    let mut rows = Vec::new();
    for (contender, costs) in &findings.costs {
        let places = match contender.leads {
            true => vec![("the leader", costs.at_leader), ("another", costs.elsewhere)],
            false => vec![("any", costs.elsewhere)],
        };
        for (place, Cost { commit, execution, messages }) in places {
            let numbers = [commit.to_string(), execution.to_string(), format!("{:.1}", units(messages))];
            let mut row = vec![contender.title.to_owned(), costs.nodes.to_string(), place.to_owned()];
            row.extend(numbers);
            rows.push(row);
        }
    }
    table(head, rows, width)
}

fn downtimes(findings: &Findings, width: Option<u16>) -> String {
    let head = header(&["protocol", "what breaks", "median", "worst", "never", "leaders, median", "most"]);
    let row = |row: &Downtime| {
        let time = |time: u64| match row.downtime.count() {
            0 => String::new(),
            _ => format!("{:.2}", units(time)),
        };
        vec![
            row.contender.title.to_owned(),
            row.scene.to_string(),
            time(row.downtime.median()),
            time(row.downtime.worst()),
            row.never.to_string(),
            row.leaders.median().to_string(),
            row.leaders.worst().to_string(),
        ]
    };
    table(head, findings.downtimes.iter().map(row).collect(), width)
}

fn successions(findings: &Findings, width: Option<u16>) -> String {
    let head = header(&["protocol", "unnoticed", "waited", "worst", "delays", "worst", "messages", "most"]);
    let row = |row: &Succession| {
        let mut cells = vec![row.contender.title.to_owned(), format!("{} of {OUTAGES}", row.unnoticed)];
        if row.silence.count() > 0 {
            cells.extend(
                [row.silence.median(), row.silence.worst()].map(|time| format!("{:.2}", units(time))),
            );
            let counted = [&row.delays, &row.messages].map(|all| [all.median(), all.worst()]);
            cells.extend(counted.into_iter().flatten().map(|count| count.to_string()));
        }
        cells
    };
    table(head, findings.successions.iter().map(row).collect(), width)
}

/// Everything, for programs.
pub(super) fn json(study: &Study, findings: &Findings) -> Value {
    let (first, count) = study.seeds;
    json!({
        "sites": study.sites.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "leader": study.leader.to_string(),
        "seeds": (first..first + count).collect::<Vec<_>>(),
        "latencies": findings.rows.iter().map(row_json).collect::<Vec<_>>(),
        "costs": findings.costs.iter().map(|(contender, costs)| json!({
            "protocol": contender.name,
            "replicas": costs.nodes,
            "at_leader": cost_json(costs.at_leader),
            "elsewhere": cost_json(costs.elsewhere),
        })).collect::<Vec<_>>(),
        "downtimes": findings.downtimes.iter().map(|row| json!({
            "protocol": row.contender.name,
            "scene": row.scene.to_string(),
            "runs": OUTAGES,
            "never": row.never,
            "election_timeouts": spread(&row.downtime, units),
            "leaders": { "median": row.leaders.median(), "worst": row.leaders.worst() },
        })).collect::<Vec<_>>(),
        "takeovers": findings.successions.iter().map(|row| json!({
            "protocol": row.contender.name,
            "unnoticed": row.unnoticed,
            "waited_election_timeouts": spread(&row.silence, units),
            "delays": { "median": row.delays.median(), "worst": row.delays.worst() },
            "messages": { "median": row.messages.median(), "worst": row.messages.worst() },
        })).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    json!({
        "protocol": row.contender.name,
        "conflicts": row.keys.to_string(),
        "second_round_percent": row.slow,
        "mishaps": row.mishaps,
        "undecided": row.undecided,
        "sites": row.sites.iter().map(|at| json!({
            "site": at.site.to_string(),
            "writes": at.execution.count(),
            "commit_ms": spread(&at.commit, ms),
            "execution_ms": spread(&at.execution, ms),
        })).collect::<Vec<_>>(),
    })
}

fn cost_json(cost: Cost) -> Value {
    json!({
        "commit_delays": cost.commit,
        "execution_delays": cost.execution,
        "messages": units(cost.messages),
    })
}

fn spread(latencies: &Latencies, unit: fn(u64) -> f64) -> Value {
    match latencies.count() {
        0 => Value::Null,
        _ => json!({
            "median": unit(latencies.median()),
            "p99": unit(latencies.percentile(99)),
            "worst": unit(latencies.worst()),
        }),
    }
}
