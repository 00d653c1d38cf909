use super::*;

fn slot(slot: u64, operation: &str, ballot: Option<(u64, u64)>, how_far: &str) -> Slot {
    Slot {
        slot,
        operations: if operation.is_empty() { vec![] } else { vec![operation.to_owned()] },
        ballot: ballot.map(|(round, node)| Ballot { round, node }),
        chosen: ["chosen", "applied", "truncated"].contains(&how_far),
        applied: ["applied", "truncated"].contains(&how_far),
        truncated: how_far == "truncated",
    }
}

fn member(id: u64, slots: Vec<Slot>) -> MemberLog {
    MemberLog { name: format!("n{id}"), id, slots: Ok(slots) }
}

#[test]
fn three_logs_side_by_side() {
    let (first, second) = (Some((1, 1)), Some((2, 2)));
    let logs = Logs {
        members: vec![
            member(
                1,
                vec![
                    slot(1, "", None, "truncated"),
                    slot(2, "Put k1 v1", first, "applied"),
                    slot(3, "Put k2 v2", second, "chosen"),
                ],
            ),
            member(
                2,
                vec![
                    slot(1, "no-op", first, "applied"),
                    slot(2, "Put k1 v1", second, "applied"),
                    slot(3, "Put k2 v2", second, "accepted"),
                    slot(4, "Delete k1", second, "accepted"),
                ],
            ),
            MemberLog { name: "n3".to_owned(), id: 0, slots: Err("Connection refused".to_owned()) },
        ],
    };
    let expected = "\
┌──────┬───────────┬────────┬────────────────┬──────────┬────┐
│ slot ┆ operation ┆ ballot ┆ n1             ┆ n2       ┆ n3 │
╞══════╪═══════════╪════════╪════════════════╪══════════╪════╡
│ 1    ┆ no-op     ┆ (1,n1) ┆ truncated      ┆ applied  ┆    │
│ 2    ┆ Put k1 v1 ┆ (2,n2) ┆ applied (1,n1) ┆ applied  ┆    │
│ 3    ┆ Put k2 v2 ┆ (2,n2) ┆ chosen         ┆ accepted ┆    │
│ 4    ┆ Delete k1 ┆ (2,n2) ┆                ┆ accepted ┆    │
└──────┴───────────┴────────┴────────────────┴──────────┴────┘
n3 does not answer: Connection refused";
    assert_eq!(logs.table(Some(100)), expected);
}

#[test]
fn a_member_that_truncated_further_says_so_for_all_slots_before() {
    let logs = Logs {
        members: vec![
            member(1, vec![slot(7, "", None, "truncated"), slot(8, "Put k v", None, "applied")]),
            member(
                2,
                vec![
                    slot(5, "", None, "truncated"),
                    slot(6, "Put a b", Some((1, 1)), "applied"),
                    slot(7, "Put c d", Some((1, 1)), "applied"),
                    slot(8, "Put k v", Some((1, 1)), "applied"),
                ],
            ),
        ],
    };
    let cells: Vec<Vec<String>> = logs.lines().iter().map(|line| logs.cells(line)).collect();
    assert_eq!(
        cells,
        [
            ["5", "a checkpoint of all up to here", "", "truncated", "truncated"],
            ["6", "Put a b", "(1,n1)", "truncated", "applied"],
            ["7", "Put c d", "(1,n1)", "truncated", "applied"],
            ["8", "Put k v", "(1,n1)", "applied", "applied"],
        ]
    );
}

#[test]
fn values_that_compete_for_a_slot_have_a_line_each() {
    let logs = Logs {
        members: vec![
            member(1, vec![slot(1, "Put k1 v1", Some((1, 1)), "accepted")]),
            member(2, vec![slot(1, "Put k2 v2", Some((2, 2)), "chosen")]),
            member(3, vec![slot(1, "Put k2 v2", Some((2, 2)), "accepted")]),
        ],
    };
    let cells: Vec<Vec<String>> = logs.lines().iter().map(|line| logs.cells(line)).collect();
    assert_eq!(
        cells,
        [
            ["1", "Put k1 v1", "(1,n1)", "accepted", "", ""],
            ["1", "Put k2 v2", "(2,n2)", "", "chosen", "accepted"],
        ]
    );
}

#[test]
fn a_long_batch_is_cut_and_counted_and_stays_on_its_lines() {
    let operations = (0..20).map(|index| format!("Put k{index} a\nb")).collect();
    let batch = Slot { operations, ..slot(1, "", Some((1, 1)), "applied") };
    let logs = Logs { members: vec![member(1, vec![batch])] };
    let cells = logs.cells(&logs.lines()[0]);
    let shown: Vec<&str> = cells[1].lines().collect();
    assert_eq!((shown.len(), shown[0], shown[8]), (9, "Put k0 a\\nb", "… and 12 more"));
}

#[test]
fn a_narrow_terminal_gets_a_narrow_table() {
    let long = format!("Put {} v", "k".repeat(200));
    let logs = Logs { members: vec![member(1, vec![slot(1, &long, Some((1, 1)), "applied")])] };
    let widest = logs.table(Some(50)).lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(50), "{}", logs.table(Some(50)));
}
