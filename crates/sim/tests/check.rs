//! Every space that is small enough to be explored in every test run, with its number of states.

#![allow(clippy::unwrap_used)]

use synod_sim::check::explore::{Limits, Report};
use synod_sim::check::spaces::{Space, spaces};

fn space(name: &str) -> &'static Space {
    spaces().iter().find(|space| space.name == name).unwrap()
}

fn explored(name: &str) -> Report {
    let report = space(name).run(&Limits { threads: 2, ..Limits::default() }, &mut |_| {});
    assert_eq!(report.counterexample, None, "{name}");
    assert_eq!(report.closed, space(name).depth.is_none(), "{name}");
    assert_eq!(report.states, space(name).expected, "{name}");
    report
}

#[test]
fn the_message_set_model_has_the_published_number_of_states() {
    let report = explored("single-decree-3x2x2-full");
    assert_eq!(space("single-decree-3x2x2-full").published.unwrap().0, report.states);
}

#[test]
fn every_state_of_three_acceptors_is_safe() {
    for name in
        ["single-decree-3x2x2", "single-decree-3x3x2", "single-decree-3x3x2-full", "single-decree-3x3x3"]
    {
        explored(name);
    }
}

#[test]
fn every_state_of_flexible_quorums_and_of_five_acceptors_is_safe() {
    explored("single-decree-flexible-4x3x2");
    explored("single-decree-5x2x2");
}

#[test]
fn acceptors_that_restart_add_no_state_for_nothing_they_said_is_lost() {
    let with = explored("single-decree-restarts-3x3x2");
    assert_eq!(with, explored("single-decree-3x3x2"));
}

#[test]
fn the_counts_do_not_depend_on_the_number_of_threads() {
    let one = space("single-decree-3x3x2").run(&Limits::default(), &mut |_| {});
    assert_eq!(one, explored("single-decree-3x3x2"));
}

#[test]
fn whole_nodes_are_safe_though_their_writes_take_time_and_one_crashes() {
    explored("single-decree-nodes-3x2x2");
    explored("single-decree-nodes-crashes-one-proposer");
}

#[test]
fn asking_one_majority_first_is_safe_and_so_are_refusals_and_silence() {
    explored("single-decree-nodes-one-majority-first");
    let refused = explored("single-decree-nodes-refusals");
    let ignored = explored("single-decree-nodes-ignored-requests");
    assert!(ignored.states < refused.states, "a refusal that arrives is remembered");
}

#[test]
fn a_log_is_safe_to_the_stated_depth() {
    explored("multi-paxos-commit-notice-5x2x2");
    explored("multi-paxos-checkpoint-3x2x1");
    explored("multi-paxos-reads-3x2x1");
}

#[test]
fn notices_and_reads_beyond_what_a_leader_holds_are_safe() {
    explored("multi-paxos-truncated-3x2x3");
    explored("multi-paxos-truncated-reads-3x1x2");
}

#[test]
fn founding_never_makes_two_clusters_and_always_completes() {
    for name in ["crash-3", "lost-disk-3", "late-answer-3", "3"] {
        explored(&format!("founding-{name}"));
    }
}

#[test]
fn commands_without_a_leader_are_safe_though_they_are_recovered() {
    explored("egalitarian-3x2");
    explored("egalitarian-recovery-3x2");
    explored("egalitarian-third-recovers-3x2");
    explored("egalitarian-ballots-3x2");
}

#[test]
fn commands_without_a_leader_are_safe_though_replicas_crash_forget_and_install() {
    for name in [
        "crash-3x2",
        "restart-3x2",
        "forgetting-3x2",
        "install-3x2",
        "known-by-state-5x2",
        "installed-recoverer-5x2",
    ] {
        explored(&format!("egalitarian-{name}"));
    }
}

#[test]
fn recoveries_are_safe_where_they_must_validate_and_wait_and_where_no_ops_interfere() {
    for name in ["validation-5x2", "validated-5x2", "no-op-5x3"] {
        explored(&format!("egalitarian-{name}"));
    }
}

#[test]
fn a_log_with_open_slots_is_safe_though_writers_collide_leaders_change_and_replicas_crash() {
    for name in ["take-over-3x2", "4x2", "crash-3x1", "gap-3x2"] {
        explored(&format!("fast-log-{name}"));
    }
}

#[test]
fn fast_rounds_are_safe_whatever_recovers_their_collisions() {
    let by_ballots = ["fast-3x2x2", "fast-4x2x2", "fast-or-classic-4x2x2", "fast-5x2x2"];
    let recovering = [
        "fast-restarts-4x2x2",
        "fast-coordinated-4x2x2",
        "fast-uncoordinated-4x1x2",
        "fast-uncoordinated-4x2x2",
    ];
    for name in by_ballots.into_iter().chain(recovering) {
        explored(name);
    }
}
