//! Small traces written by hand, and the drawings that a person should see of them.
#![allow(clippy::unwrap_used)]

use synod_sim::diagram::{LEGEND, View, draw};
use synod_sim::history::{Answer, Operation, Outcome};
use synod_sim::trace::{Event, Happening, Trace, Violated};

const MS: u64 = 1_000_000;

/// A trace in the making: everything happens at the time that was last said.
struct Story {
    trace: Trace,
    at: u64,
}

fn story(nodes: u64) -> Story {
    let trace = Trace {
        version: 1,
        protocol: "synod".to_owned(),
        scenario: None,
        seed: 7,
        nodes: (1..=nodes).collect(),
        events: Vec::new(),
        violation: None,
    };
    Story { trace, at: 0 }
}

impl Story {
    fn at(mut self, ms: f64) -> Story {
        self.at = (ms * 1000.0).round() as u64 * MS / 1000;
        self
    }

    fn event(mut self, what: Happening) -> Story {
        self.trace.events.push(Event { at: self.at, what });
        self
    }

    fn sends(self, message: u64, from: u64, to: u64, text: &str) -> Story {
        self.event(Happening::Sent { message, from, to, text: text.to_owned(), lost: false })
    }

    fn loses(self, message: u64, from: u64, to: u64, text: &str) -> Story {
        self.event(Happening::Sent { message, from, to, text: text.to_owned(), lost: true })
    }

    fn arrives(self, message: u64, from: u64, to: u64) -> Story {
        self.event(Happening::Delivered { message, from, to })
    }

    fn drops(self, message: u64, to: u64) -> Story {
        self.event(Happening::Dropped { message, to })
    }

    fn writes(self, node: u64) -> Story {
        self.event(Happening::Writing { node, work: 1 })
    }

    fn has_written(self, node: u64) -> Story {
        self.event(Happening::Written { node, work: 1 })
    }

    fn knows(self, node: u64, text: &str) -> Story {
        self.event(Happening::Fact { node, text: text.to_owned() })
    }

    fn suffers(self, node: u64, text: &str) -> Story {
        self.event(Happening::Fault { node: Some(node), text: text.to_owned() })
    }

    fn all_suffer(self, text: &str) -> Story {
        self.event(Happening::Fault { node: None, text: text.to_owned() })
    }

    fn asks(self, client: u64, node: u64, key: &str, value: &str) -> Story {
        let operation = Operation::Put { key: key.to_owned(), value: value.to_owned() };
        self.event(Happening::Asked { client, node, operation })
    }

    fn told_done(self, client: u64) -> Story {
        let outcome = Outcome::Answered { at: self.at, answer: Answer::Done, revision: Some(2) };
        self.event(Happening::Told { client, outcome })
    }

    /// The drawing without its heading, at a width.
    fn drawn(&self, width: usize) -> String {
        body(&draw(&self.trace, &View { width, ..View::default() }))
    }
}

/// Without protocol, seed and legend; with a line break in front, to stand in a test.
fn body(drawing: &str) -> String {
    let heading = 1 + LEGEND.lines().count();
    drawing.lines().skip(heading).fold(String::from("\n"), |body, line| body + line + "\n")
}

#[track_caller]
fn assert_drawn(drawn: &str, expected: &str) {
    assert!(drawn == expected, "drawn:{drawn}\nexpected:{expected}");
}

#[test]
fn a_round_of_paxos_reads_from_top_to_bottom() {
    let round = story(3)
        .at(1.0)
        .asks(1, 1, "x", "1")
        .sends(1, 1, 2, "prepare (1,n1)")
        .loses(2, 1, 3, "prepare (1,n1)")
        .at(1.2)
        .writes(1)
        .at(2.0)
        .arrives(1, 1, 2)
        .writes(2)
        .at(2.5)
        .has_written(2)
        .knows(2, "promised (1,n1)")
        .sends(3, 2, 1, "promise (1,n1)")
        .at(3.0)
        .has_written(1)
        .knows(1, "promised (1,n1)")
        .at(3.5)
        .arrives(3, 2, 1)
        .sends(4, 1, 2, "accept (1,n1) s1 x=1")
        .at(4.0)
        .arrives(4, 1, 2)
        .at(4.5)
        .knows(1, "chosen s1")
        .told_done(1);
    assert_drawn(
        &round.drawn(84),
        "
      ms clients           n1                 n2                 n3
    1.00 c1 put x=1 ──────▶├╌a prepare 1.1╌╌╌▷│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌✗│
    2.00                   ▒               a─▶▒                  │
    2.50                   ▒                  █ • promised 1.1   │
                           ▒◁╌╌╌b promise 1.1╌┤                  │
    3.00                   █ • promised 1.1   │                  │
    3.50                   │◀─b               │                  │
                           ├─accept 1.1 s1 x…▶│                  │
    4.50 c1 ◀ done         │ • chosen s1      │                  │
",
    );
}

#[test]
fn messages_that_overtake_each_other_are_told_apart_by_their_names() {
    let overtaking = story(3)
        .at(1.0)
        .sends(1, 1, 3, "accept (1,n1) s1")
        .sends(2, 1, 3, "accept (1,n1) s2")
        .at(1.5)
        .sends(3, 3, 1, "nack (1,n1), promised (2,n3)")
        .at(2.0)
        .arrives(2, 1, 3)
        .at(2.1)
        .arrives(3, 3, 1)
        .knows(1, "leads no more")
        .at(130.0)
        .sends(4, 2, 1, "commit (2,n3) through s1")
        .arrives(4, 2, 1)
        .at(131.0)
        .knows(2, "chosen s1")
        .at(132.0)
        .arrives(1, 1, 3);
    assert_drawn(
        &overtaking.drawn(80),
        "
      ms n1                     n2                     n3
    1.00 ├╌a accept 1.1 s1╌╌╌╌╌╌│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▷│
         ├╌b accept 1.1 s2╌╌╌╌╌╌│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▷│
    1.50 │◁╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌c nack 1.1, promised 2.3╌┤
    2.00 │                      │                   b─▶│
    2.10 │◀─c • leads no more   │                      │
     ⋮   │                      │                      │
  130.00 │◀commit 2.3 through …─┤                      │
  131.00 │                      │ • chosen s1          │
  132.00 │                      │                   a─▶│ accept 1.1 s1
",
    );
}

#[test]
fn a_node_that_is_down_has_a_gap_and_hears_nothing() {
    let crash = story(2)
        .suffers(1, "starts")
        .suffers(2, "starts")
        .at(1.0)
        .writes(2)
        .sends(1, 1, 2, "prepare (1,n1)")
        .at(2.0)
        .suffers(2, "crash (Power)")
        .suffers(2, "dies (Power)")
        .at(3.0)
        .drops(1, 2)
        .at(3.5)
        .all_suffer("cut: n1→n2 n2→n1")
        .suffers(1, "sleeps")
        .at(4.0)
        .suffers(2, "starts")
        .knows(2, "chosen s1")
        .knows(2, "chosen s2")
        .knows(2, "chosen s3")
        .at(5.0)
        .suffers(1, "wakes up");
    assert_drawn(
        &crash.drawn(60),
        "
      ms n1                       n2
    0.00 ┬ starts                 ┬ starts
    1.00 ├╌a prepare 1.1╌╌╌╌╌╌╌╌╌▷▒
    2.00 │                        ▒ crash (Power)
         │                        ╳ dies (Power)
    3.00 │                     a─✗
    3.50 ══ cut: n1→n2 n2→n1 ═══════════════════════════════
         ┊ sleeps
    4.00 ┊                        ┬ starts • chosen s1-s3
    5.00 │ wakes up               │
",
    );
}

#[test]
fn a_promise_is_told_once_in_each_life_of_a_node() {
    let twice = story(1)
        .at(1.0)
        .knows(1, "promised (1,n1)")
        .at(2.0)
        .knows(1, "promised (1,n1)")
        .at(3.0)
        .suffers(1, "dies (Process)")
        .at(4.0)
        .suffers(1, "starts")
        .at(5.0)
        .knows(1, "promised (1,n1)");
    assert_eq!(twice.drawn(40).matches("promised 1.1").count(), 2);
}

fn heartbeats() -> Story {
    story(2)
        .at(1.0)
        .sends(1, 1, 2, "heartbeat 1")
        .arrives(1, 1, 2)
        .sends(2, 1, 2, "commit (1,n1) through s1")
        .at(2.0)
        .sends(3, 2, 1, "heartbeat-reply 1")
        .suffers(2, "dies (Process)")
        .at(3.0)
        .drops(2, 2)
        .at(4.0)
        .sends(4, 1, 2, "commit (1,n1) through s2")
}

#[test]
fn quiet_messages_are_counted_instead_of_drawn() {
    assert_drawn(
        &heartbeats().drawn(60),
        "
      ms n1                       n2
    1.00 ├╌a commit 1.1 through …▷│
    2.00 │                        ╳ dies (Process)
    3.00 │                     a─✗
    4.00 ├╌b commit 1.1 through …▷
left out: 1 heartbeat, 1 heartbeat-reply
",
    );
}

#[test]
fn a_window_shows_what_began_before_it() {
    let view = View { width: 60, window: 3 * MS..=4 * MS, ..View::default() };
    let writing = story(3)
        .at(1.0)
        .sends(1, 1, 2, "prepare (1,n1)")
        .writes(3)
        .at(2.0)
        .suffers(1, "dies (Power)")
        .at(3.0)
        .arrives(1, 1, 2)
        .at(4.0)
        .has_written(3)
        .at(5.0)
        .knows(3, "chosen s1");
    assert_drawn(
        &body(&draw(&writing.trace, &view)),
        "
      ms n1               n2               n3
    3.00              n1─▶│ prepare 1…     ▒
    4.00                  │                █
",
    );
}

#[test]
fn no_line_is_wider_than_the_terminal_however_narrow() {
    let mut crowded =
        heartbeats().asks(12, 2, "a long key", "a long value").all_suffer(&"very bad ".repeat(20));
    crowded.trace.violation = Some(Violated { invariant: "P2b".to_owned(), what: "word ".repeat(40) });
    crowded.trace.nodes = (1..=9).collect();
    for width in 1..120 {
        let drawing = draw(&crowded.trace, &View { width, ..View::default() });
        let widest = drawing.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} columns of {width}:\n{drawing}");
    }
}

#[test]
fn a_broken_invariant_ends_the_drawing() {
    let mut broken = story(1).at(1.0).knows(1, "chosen s1");
    let what = "n1 learned a and n2 learned b in slot 1".to_owned();
    broken.trace.violation = Some(Violated { invariant: "Safety 2".to_owned(), what });
    assert_drawn(
        &broken.drawn(32),
        "
      ms n1
    1.00 │ • chosen s1
✗ Safety 2: n1 learned a and n2
  learned b in slot 1
",
    );
}

#[test]
fn a_text_has_the_colour_of_the_node_that_owns_its_ballot() {
    let votes = story(2).at(1.0).knows(1, "voted (3,n2) s1").at(2.0).knows(1, "chosen s1");
    let drawing = draw(&votes.trace, &View { width: 60, colour: true, ..View::default() });
    let colour = |text: &str| {
        let before = &drawing[..drawing.find(text).unwrap()];
        before[before.rfind('\x1b').unwrap()..].to_owned()
    };
    let (of_n1, of_n2) = (colour("n1"), colour("n2"));
    assert_ne!(of_n1, of_n2);
    assert!(colour("• voted").starts_with(&of_n2), "{drawing:?}");
    assert!(colour("• chosen").starts_with(&of_n1), "{drawing:?}");
    assert!(
        !draw(&votes.trace, &View::default()).contains('\x1b'),
        "nothing is coloured that was not asked for"
    );
}

#[test]
fn what_a_client_wrote_cannot_steer_the_terminal() {
    let evil = story(1).asks(1, 1, "k", "\x1b[2J\n");
    let drawing = draw(&evil.trace, &View::default());
    assert!(drawing.contains("put k=·[2J·") && !drawing.contains('\x1b'), "{drawing:?}");
}

#[test]
fn the_example_in_the_description_of_the_format_is_a_trace() {
    let text = include_str!("../../../docs/trace.md");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let trace: Trace = serde_json::from_str(example).unwrap();
    let written: serde_json::Value = serde_json::to_value(&trace).unwrap();
    let read: serde_json::Value = serde_json::from_str(example).unwrap();
    assert_eq!(written, read, "the example leaves out or adds a field");
    let kinds = ["sent", "delivered", "dropped", "writing", "written", "asked", "told", "fact", "fault"];
    for kind in kinds {
        let shown = trace.events.iter().any(|event| serde_json::to_value(event).unwrap()["event"] == kind);
        assert!(shown, "the example has no event of the kind {kind}");
        assert!(text.contains(&format!("`{kind}`")), "{kind} is not described");
    }
}
