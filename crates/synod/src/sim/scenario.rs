//! Scenarios on the terminal.

use serde_json::{Value, json};
use synod_sim::scenarios::{self, Outcome, Scenario};

use crate::client::output::table;

/// All scenarios.
pub(super) fn list(as_json: bool) -> String {
    if as_json {
        let entry = |scenario: &Scenario| json!({ "scenario": scenario.name, "title": scenario.title });
        return Value::Array(scenarios::all().iter().map(entry).collect()).to_string();
    }
    let row = |scenario: &Scenario| vec![scenario.name.to_owned(), scenario.title.to_owned()];
    let header = ["scenario", "what it shows"].map(str::to_owned).to_vec();
    table(header, scenarios::all().iter().map(row).collect(), None)
}

/// How a scenario went.
pub(super) fn tell(scenario: &Scenario, outcome: &Outcome, as_json: bool) -> String {
    let Outcome { story, verdict, trace } = outcome;
    if as_json {
        return json!({
            "scenario": scenario.name,
            "seed": trace.seed,
            "story": story,
            "shown": verdict.is_ok(),
            "why_not": verdict.as_ref().err(),
        })
        .to_string();
    }
    let mut lines = vec![format!("{}: {}", scenario.name, scenario.title)];
    lines.extend(story.iter().map(|line| format!("  {line}")));
    lines.push(match verdict {
        Ok(()) => "It showed what it should.".to_owned(),
        Err(why) => format!("It did not show what it should: {why}"),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use synod_sim::trace::Trace;

    use super::*;

    #[test]
    fn a_scenario_that_fails_says_why() {
        let scenario = &scenarios::all()[0];
        let trace = Trace {
            version: 1,
            protocol: "toy".to_owned(),
            scenario: None,
            seed: 4,
            nodes: Vec::new(),
            events: Vec::new(),
            violation: None,
        };
        let story = vec!["n1 dies".to_owned()];
        let outcome = Outcome { trace, story, verdict: Err("nobody leads".to_owned()) };
        let told = tell(scenario, &outcome, false);
        assert!(told.ends_with("  n1 dies\nIt did not show what it should: nobody leads"), "{told}");
        assert!(told.starts_with(scenario.name), "{told}");
        let json: Value = serde_json::from_str(&tell(scenario, &outcome, true)).unwrap();
        assert_eq!((&json["shown"], &json["why_not"]), (&json!(false), &json!("nobody leads")));
        assert!(list(false).contains(scenario.name), "it is listed");
    }
}
