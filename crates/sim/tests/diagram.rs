//! Small traces and how they are drawn.
#![allow(clippy::unwrap_used)]

use synod_sim::diagram::{View, draw};
use synod_sim::history::{Answer, Operation, Outcome};
use synod_sim::trace::{Event, Happening, Trace, Violated};

fn trace(events: Vec<(u64, Happening)>) -> Trace {
    let starts = |node| (0, Happening::Fault { node: Some(node), text: "starts".to_owned() });
    let all = [1, 2, 3].map(starts).into_iter().chain(events);
    Trace {
        version: 1,
        protocol: "single-decree".to_owned(),
        scenario: None,
        seed: 1,
        nodes: vec![1, 2, 3],
        events: all.map(|(micros, what)| Event { at: micros * 1_000, what }).collect(),
        violation: None,
    }
}

fn sent(message: u64, from: u64, to: u64, text: &str) -> Happening {
    Happening::Sent { message, from, to, text: text.to_owned(), lost: false }
}

fn lost(message: u64, from: u64, to: u64, text: &str) -> Happening {
    Happening::Sent { message, from, to, text: text.to_owned(), lost: true }
}

fn fact(node: u64, text: &str) -> Happening {
    Happening::Fact { node, text: text.to_owned() }
}

fn fault(node: Option<u64>, text: &str) -> Happening {
    Happening::Fault { node, text: text.to_owned() }
}

/// Drawn from 1 µs on, so that the starts are not in it.
fn drawn(trace: &Trace) -> String {
    draw(trace, &View { from: 1_000, width: 100, ..View::default() })
}

#[track_caller]
fn assert_drawn(trace: &Trace, expected: &str) {
    let drawn = drawn(trace);
    assert_eq!(drawn, expected.trim_matches('\n'), "\n{drawn}\n");
}

#[test]
fn a_decision_is_arrows_writes_and_facts() {
    let value = "A".to_owned();
    let answer = Answer::Chosen(value.clone());
    let outcome = Outcome::Answered { at: 2_900_000, answer, revision: None };
    let trace = trace(vec![
        (1_000, Happening::Asked { client: 4, node: 1, operation: Operation::Propose { value } }),
        (1_200, sent(1, 1, 2, "prepare (1,n1)")),
        (1_200, sent(2, 1, 3, "prepare (1,n1)")),
        (1_500, Happening::Delivered { message: 2, from: 1, to: 3 }),
        (1_500, Happening::Writing { node: 3, work: 1 }),
        (1_600, Happening::Delivered { message: 1, from: 1, to: 2 }),
        (1_900, Happening::Written { node: 3, work: 1 }),
        (1_900, fact(3, "promised (1,n1)")),
        (1_900, sent(3, 3, 1, "promise (1,n1)")),
        (2_400, Happening::Delivered { message: 3, from: 3, to: 1 }),
        (2_900, fact(1, "chosen s1")),
        (2_900, Happening::Told { client: 4, outcome }),
    ]);
    assert_drawn(
        &trace,
        "
   seconds  clients               n1                    n2                    n3
  0.001000  │ c4→n1 propose A     │                     │                     │
  0.001200  │                     │ ○ prepare (1,n1)    │                     │
            │                     │  #1→n2 #2→n3        │                     │
  0.001500  │                     ├─────────────────────┼─ #2 prepare (1,n1) ▶│
            │                     │                     │                     │ □ writes w1
  0.001600  │                     ├─ #1 prepare (1,n1) ▶│                     │
  0.001900  │                     │                     │                     │ ■ w1 is durable
            │                     │                     │                     │ ● promised (1,n1)
            │                     │                     │                     │ ○ promise (1,n1)
            │                     │                     │                     │  #3→n1
  0.002400  │                     │◀ #3 promise (1,n1) ─┼─────────────────────┤
  0.002900  │                     │ ● chosen s1         │                     │
            │ c4 ◀ chosen A       │                     │                     │
",
    );
}

#[test]
fn what_is_lost_dropped_and_duplicated_can_be_told_apart() {
    let trace = trace(vec![
        (100, lost(1, 2, 1, "accepted (1,n1) A")),
        (100, sent(2, 2, 3, "accepted (1,n1) A")),
        (200, Happening::Delivered { message: 2, from: 2, to: 3 }),
        (250, Happening::Delivered { message: 2, from: 2, to: 3 }),
        (300, sent(3, 3, 1, "accept (2,n3) A")),
        (400, Happening::Dropped { message: 3, to: 1 }),
    ]);
    assert_drawn(
        &trace,
        "
   seconds  clients               n1                    n2                    n3
  0.000100  │                     │                     │ ○ accepted (1,n1)   │
            │                     │                     │  A #1→n1✗ #2→n3     │
  0.000200  │                     │                     ├─ #2 accepted (1,n… ▶│
  0.000250  │                     │                     ├─ #2 again accepte… ▶│
  0.000300  │                     │                     │                     │ ○ accept (2,n3) A
            │                     │                     │                     │  #3→n1
  0.000400  │                     │ ✗ #3 accept (2,n3)  │                     │
            │                     │  A                  │                     │
",
    );
}

#[test]
fn a_dead_node_has_no_line_and_a_paused_one_a_thin_one() {
    let trace = trace(vec![
        (100, fault(None, "cut (chained): n1→n3 n3→n1")),
        (200, fault(Some(2), "crash (Power)")),
        (200, fault(Some(2), "dies (Power)")),
        (300, fault(Some(3), "paused")),
        (400, fact(1, "leads (2,n1)")),
        (500, fault(Some(2), "starts")),
        (600, fault(None, "fault 1 is over")),
        (600, Happening::Writing { node: 3, work: 2 }),
        (700, fact(1, "leads no more")),
    ]);
    assert_drawn(
        &trace,
        "
   seconds  clients               n1                    n2                    n3
  0.000100  │══ cut (chained): n1→n3 n3→n1 ═════════════════════════════════════════════════════════
  0.000200  │                     │                     │ ! crash (Power)     │
            │                     │                     │ † dies (Power)      │
  0.000300  │                     │                                           │ ! paused
  0.000400  │                     │ ● leads (2,n1)                            ┊
  0.000500  │                     │                     │ ! starts            ┊
  0.000600  │══ fault 1 is over ════════════════════════════════════════════════════════════════════
            │                     │                     │                     │ □ writes w2
  0.000700  │                     │ ● leads no more     │                     │
",
    );
}

#[test]
fn heartbeats_are_counted_and_facts_of_many_slots_are_one() {
    let trace = trace(vec![
        (100, sent(1, 1, 2, "heartbeat 1")),
        (100, sent(2, 1, 3, "heartbeat 1")),
        (200, Happening::Delivered { message: 1, from: 1, to: 2 }),
        (200, sent(3, 2, 1, "heartbeat-reply 1")),
        (300, fact(2, "promised (1,n1)")),
        (400, fact(2, "voted (1,n1) s1")),
        (400, fact(2, "promised (1,n1)")),
        (400, fact(2, "voted (1,n1) s2")),
    ]);
    assert_drawn(
        &trace,
        "
   seconds  clients               n1                    n2                    n3
  0.000300  │                     │                     │ ● promised (1,n1)   │
  0.000400  │                     │                     │ ● voted (1,n1) s1   │
            │                     │                     │  s2                 │
            3 heartbeats and their answers are not shown
",
    );
}

#[test]
fn the_invariant_that_broke_stands_at_the_end() {
    let mut trace = trace(vec![(100, fact(1, "chosen s1")), (200, fact(2, "chosen s1"))]);
    let what = "n1 says A and n2 says B".to_owned();
    trace.violation = Some(Violated { invariant: "Safety 2".to_owned(), what });
    assert_drawn(
        &trace,
        "
   seconds  clients               n1                    n2                    n3
  0.000100  │                     │ ● chosen s1         │                     │
  0.000200  │                     │                     │ ● chosen s1         │
            │══ ✗ Safety 2: n1 says A and n2 says B ════════════════════════════════════════════════
",
    );
}

#[test]
fn a_window_shows_its_part_and_knows_what_was_before() {
    let trace = trace(vec![
        (100, sent(1, 1, 2, "prepare (1,n1)")),
        (100, fault(Some(3), "dies (Process)")),
        (200, Happening::Delivered { message: 1, from: 1, to: 2 }),
        (300, fact(1, "chosen s1")),
    ]);
    let view = View { from: 150_000, to: 250_000, width: 100, ..View::default() };
    let drawing = draw(&trace, &view);
    let [_, only] = drawing.lines().collect::<Vec<_>>()[..] else { panic!("{drawing}") };
    assert!(only.contains("#1 prepare (1,n1) ▶│"), "{drawing}");
    assert_eq!(only.matches('│').count(), 2, "the third node is dead: {drawing}");
    let last = draw(&trace, &View { last: Some(1), width: 100, ..View::default() });
    assert!(last.contains("7 lines before this are not shown") && last.contains("chosen s1"), "{last}");
    assert!(!last.contains("prepare"), "{last}");
}

#[test]
fn a_diagram_keeps_its_width_whatever_is_told() {
    let long = "a word and averyveryveryveryveryveryveryveryveryverylongwordthatfitsnowhere ".repeat(4);
    let trace = trace(vec![
        (100, sent(1, 1, 2, &long)),
        (200, Happening::Delivered { message: 1, from: 1, to: 2 }),
        (300, fault(None, &long)),
        (400, fact(3, &long)),
    ]);
    for width in [70, 100, 200] {
        let drawing = draw(&trace, &View { width, ..View::default() });
        let widest = drawing.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{widest} of {width}:\n{drawing}");
        assert!(drawing.contains("#1→n2"), "a message keeps its number: {drawing}");
    }
}

#[test]
fn colours_belong_to_senders_and_change_no_sign() {
    let trace = trace(vec![
        (100, sent(1, 2, 1, "promise (1,n1)")),
        (200, Happening::Delivered { message: 1, from: 2, to: 1 }),
    ]);
    let coloured = draw(&trace, &View { colour: true, width: 100, ..View::default() });
    let arrow = coloured.lines().find(|line| line.contains('◀')).unwrap();
    assert!(arrow.contains("\u{1b}[32m◀ #1 promise"), "the colour of the second node: {arrow:?}");
    let mut plain = String::new();
    for part in coloured.split('\u{1b}') {
        plain.push_str(if plain.is_empty() { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, draw(&trace, &View { width: 100, ..View::default() }));
}

#[test]
fn the_documented_example_is_a_trace_and_can_be_drawn() {
    let page = include_str!("../../../docs/trace.md");
    let example = page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let trace: Trace = serde_json::from_str(example).unwrap();
    let again = serde_json::to_value(&trace).unwrap();
    let documented: serde_json::Value = serde_json::from_str(example).unwrap();
    assert_eq!(again, documented, "a field is documented that is not there, or the other way round");
    let kinds: std::collections::BTreeSet<&str> =
        documented["events"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(kinds.len(), 9, "the example has every kind of event: {kinds:?}");
    assert!(draw(&trace, &View::default()).contains("✗ Liveness 2"));
}
