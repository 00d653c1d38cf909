//! Every graph of dependencies among four commands, however they are learned; and messages that no correct replica
//! sends.

#![allow(clippy::unwrap_used)]

mod support_egalitarian;

use std::collections::BTreeMap;

use support_egalitarian::{Cmd, Msg, cmd, id, n};
use synod_paxos::ballot::Ballot;
use synod_paxos::egalitarian::core::{Core, Output};
use synod_paxos::egalitarian::execution::Executor;
use synod_paxos::egalitarian::id::{CommandId, Floor, IdSet};
use synod_paxos::egalitarian::instance::{Decree, Phase};
use synod_paxos::egalitarian::message::{Message, Report, Status};
use synod_paxos::egalitarian::record::Recovered;
use synod_paxos::egalitarian::rejection::{AHEAD_MAX, Rejection};
use synod_paxos::egalitarian::table::Table;
use synod_paxos::node::NodeId;
use synod_paxos::quorum::ReplicaQuorums;

const COUNT: usize = 4;

fn ids() -> [CommandId; COUNT] {
    [id(1, 1), id(2, 1), id(3, 1), id(1, 2)]
}

/// Bit 4·a + b: a depends on b.
fn table(graph: u16) -> Table<Cmd> {
    let mut table = Table::recover(&IdSet::default(), &[]);
    for a in 0..COUNT {
        let deps = (0..COUNT).filter(|b| graph >> (4 * a + b) & 1 == 1).map(|b| ids()[b]).collect();
        table.commit(ids()[a], Decree::Command(cmd(a as u32)), deps);
    }
    table
}

fn orders() -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..COUNT {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| [&order[..at], &[next], &order[at..]].concat())
            })
            .collect();
    }
    all
}

fn execute(table: &Table<Cmd>, learned: &[usize], steps: usize) -> Vec<CommandId> {
    let mut executor = Executor::default();
    let mut order = Vec::new();
    for at in learned {
        executor.learn(ids()[*at]);
        while executor.is_busy() {
            order.extend(executor.run(table, steps));
        }
    }
    order
}

/// reach[a][b]: there is a way from a to b.
fn reach(graph: u16) -> [[bool; COUNT]; COUNT] {
    let mut reach = [[false; COUNT]; COUNT];
    for (a, row) in reach.iter_mut().enumerate() {
        for (b, cell) in row.iter_mut().enumerate() {
            *cell = graph >> (4 * a + b) & 1 == 1;
        }
    }
    for through in 0..COUNT {
        for a in 0..COUNT {
            for b in 0..COUNT {
                reach[a][b] |= reach[a][through] && reach[through][b];
            }
        }
    }
    reach
}

#[test]
fn every_graph_of_four_commands_is_executed_in_the_order_that_it_says_however_it_is_learned() {
    for graph in (0..=u16::MAX).filter(|graph| graph & 0b1000_0100_0010_0001 == 0) {
        let (table, reach) = (table(graph), reach(graph));
        for (number, learned) in orders().iter().enumerate() {
            // As many steps as it takes, or one at a time.
            let order = execute(&table, learned, if number % 2 == 0 { 1000 } else { 1 });
            let places: BTreeMap<CommandId, usize> = order.iter().copied().zip(0..).collect();
            assert_eq!((places.len(), order.len()), (COUNT, COUNT), "{graph:b}: each once");
            for a in 0..COUNT {
                for b in 0..COUNT {
                    let before = places[&ids()[b]] < places[&ids()[a]];
                    let right = match (reach[a][b], reach[b][a]) {
                        (true, false) => before,
                        (true, true) if a != b => before == (ids()[b] < ids()[a]),
                        _ => true,
                    };
                    assert!(right, "{graph:b} learned as {learned:?} is executed as {order:?}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_executed_before_all_that_it_leads_to_is_committed() {
    // 0 → 1 → 2 → 3.
    let graph = 1 << 1 | 1 << (4 + 2) | 1 << (8 + 3);
    let table = table(graph);
    assert_eq!(execute(&table, &[0, 1, 2], 1000), []);
    assert_eq!(execute(&table, &[0, 2, 3], 1000), [ids()[3], ids()[2]]);
    assert_eq!(execute(&table, &[0, 2, 3, 1], 1000), [ids()[3], ids()[2], ids()[1], ids()[0]]);
}

#[test]
fn a_chain_of_a_hundred_thousand_is_executed_without_a_deep_stack() {
    let mut table = Table::recover(&IdSet::default(), &[]);
    let last = 100_000;
    let mut executor = Executor::default();
    for counter in 1..=last {
        // Each depends on the next one, so that the walk goes down to the last.
        let deps = (counter < last).then(|| id(1, counter + 1)).into_iter().collect();
        table.commit(id(1, counter), Decree::Command(cmd(counter as u32)), deps);
    }
    for counter in 1..=last {
        executor.learn(id(1, counter));
    }
    let mut order = Vec::new();
    while executor.is_busy() {
        order.extend(executor.run(&table, 1 << 20));
    }
    assert_eq!(order.len() as u64, last);
    assert_eq!((order.first(), order.last()), (Some(&id(1, last)), Some(&id(1, 1))));
}

fn core() -> Core<Cmd> {
    let quorums = ReplicaQuorums::optimised((1..=3).map(NodeId)).unwrap();
    Core::new(n(1), quorums, Recovered::default())
}

#[test]
fn messages_that_no_correct_replica_sends_are_refused_by_name_and_change_nothing() {
    let none = IdSet::default;
    let ballot = |round, node| Ballot::new(round, n(node));
    let report =
        |phase, decree| Report { phase, accepted: Ballot::ZERO, decree, deps: none(), initial: None };
    let far =
        Status { seen: [(n(2), CommandId::COUNTER_MAX + 1)].into_iter().collect(), ..Status::default() };
    let wrong: Vec<(u64, Msg, &str)> = vec![
        (9, Message::Fetch { have: none() }, "no replica"),
        (2, Message::PreAccept { id: id(3, 1), command: cmd(1), deps: none() }, "not its own"),
        (2, Message::PreAccept { id: id(2, 0), command: cmd(1), deps: none() }, "no command of this group"),
        (
            2,
            Message::PreAccept { id: id(2, 1), command: cmd(1), deps: [id(9, 1)].into_iter().collect() },
            "no command",
        ),
        (
            2,
            Message::PreAccept { id: id(2, 1), command: cmd(1), deps: [id(2, 1)].into_iter().collect() },
            "itself",
        ),
        (2, Message::Status(far), "out of reach"),
        (
            2,
            Message::PreAccept {
                id: id(2, 1),
                command: cmd(1),
                deps: [id(3, AHEAD_MAX + 1)].into_iter().collect(),
            },
            "out of reach",
        ),
        (2, Message::PreAcceptOk { id: id(2, 1), deps: none() }, "never asked"),
        (2, Message::PreAcceptOk { id: id(1, 1), deps: none() }, "never asked"),
        (
            2,
            Message::Accept { id: id(3, 1), ballot: Ballot::ZERO, decree: Decree::Nop, deps: none() },
            "cannot have used",
        ),
        (2, Message::Recover { id: id(3, 1), ballot: ballot(1, 3) }, "cannot have used"),
        (2, Message::Recover { id: id(2, 1), ballot: Ballot::ZERO }, "cannot have used"),
        (2, Message::Recover { id: id(3, 1), ballot: ballot(u64::MAX, 2) }, "cannot have used"),
        (2, Message::AcceptOk { id: id(3, 1), ballot: ballot(1, 1) }, "never asked"),
        (
            2,
            Message::RecoverOk { id: id(3, 1), ballot: ballot(1, 1), report: report(Phase::Initial, None) },
            "never asked",
        ),
        (
            2,
            Message::RecoverOk { id: id(3, 1), ballot: ballot(1, 1), report: report(Phase::Accepted, None) },
            "what cannot be",
        ),
        (
            2,
            Message::RecoverOk {
                id: id(3, 1),
                ballot: ballot(1, 1),
                report: report(Phase::Committed, Some(Decree::Nop)),
            },
            "what cannot be",
        ),
        (2, Message::ValidateOk { id: id(3, 1), ballot: ballot(1, 1), conflicts: Vec::new() }, "never asked"),
        (2, Message::Nack { id: id(1, 1), ballot: Ballot::ZERO, promised: Ballot::ZERO }, "cannot have used"),
    ];
    let fresh = core();
    for (from, message, words) in wrong {
        let mut core = fresh.clone();
        let refused: Result<(), Rejection> = core.handle_message(n(from), message.clone());
        let said = refused.expect_err(&format!("{message:?}")).to_string();
        assert!(said.contains(words), "{message:?}: {said}");
        assert_eq!(core, fresh, "{message:?}");
    }
}

#[test]
fn who_was_away_for_ever_so_many_commands_hears_of_them_all_the_same() {
    let mut core = core();
    let last = 10 * AHEAD_MAX;
    let floor = || -> Floor { [(n(2), last)].into_iter().collect() };
    let status = Status { seen: floor(), collected: floor(), ..Status::default() };
    core.handle_message(n(2), Message::Status(status)).unwrap();
    assert_eq!(core.poll_output(), Some(Output::StateNeeded { from: n(2) }));
    let next = Message::PreAccept { id: id(2, last + 1), command: cmd(1), deps: IdSet::from(floor()) };
    core.handle_message(n(2), next).unwrap();
}

#[test]
#[should_panic(expected = "stands for two commands")]
fn an_identity_that_stands_for_two_commands_stops_the_replica() {
    let mut core = core();
    for name in 1..=2 {
        let message = Message::PreAccept { id: id(2, 1), command: cmd(name), deps: IdSet::default() };
        core.handle_message(n(2), message).unwrap();
    }
}

#[test]
#[should_panic(expected = "is committed as")]
fn a_replica_that_hears_of_two_commits_of_one_identity_stops() {
    let mut core = core();
    for decree in [Decree::Nop, Decree::Command(cmd(1))] {
        core.handle_message(n(2), Message::Commit { id: id(2, 1), decree, deps: IdSet::default() }).unwrap();
    }
}

#[test]
fn a_replica_that_starts_again_has_still_heard_of_what_its_commands_depend_on() {
    let mut table = Table::recover(&IdSet::default(), &[]);
    table.commit(id(1, 1), Decree::Command(cmd(1)), [id(3, 7)].into_iter().collect());
    let again = Table::recover(&IdSet::default(), &table.records());
    assert_eq!(again.seen().of(id(3, 7).owner), 7, "it would never be recovered, and n1.1 never executed");
}
