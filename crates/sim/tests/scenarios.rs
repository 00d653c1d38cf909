//! Every scenario shows what its title says, whatever the seed leaves open.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use synod_sim::scenarios::{self, Outcome};

/// Each name is a test of its own.
macro_rules! scenarios {
    ($($sentence:ident: $name:literal,)*) => {
        $(#[test]
        fn $sentence() {
            plays_well($name);
        })*

        #[test]
        fn every_scenario_has_a_test_here() {
            let tested = BTreeSet::from([$($name),*]);
            let listed: BTreeSet<_> = scenarios::all().iter().map(|scenario| scenario.name).collect();
            assert_eq!(tested, listed);
            assert_eq!(listed.len(), scenarios::all().len(), "names are unique");
        }
    };
}

fn plays_well(name: &str) {
    let scenario = scenarios::named(name).unwrap();
    for seed in 1..=5 {
        let Outcome { trace, story, verdict } = scenario.play(seed);
        assert_eq!(verdict, Ok(()), "{name}, seed {seed}:\n{}", story.join("\n"));
        assert_eq!(trace.scenario.as_deref(), Some(name));
        assert!(!trace.events.is_empty());
    }
}

#[test]
fn the_same_seed_is_the_same_play() {
    for scenario in scenarios::all() {
        let (one, other) = (scenario.play(3), scenario.play(3));
        assert_eq!((one.trace, one.story), (other.trace, other.story), "{}", scenario.name);
    }
}

scenarios! {
    the_refinement_from_one_acceptor_to_paxos_every_rung_but_the_last_loses_something: "ladder",
    one_acceptor_fails_and_what_it_chose_with_it: "ladder-single-acceptor",
    a_majority_p1_and_four_proposers_no_value_is_chosen: "ladder-first-proposal",
    numbers_and_p2a_1_m_is_chosen_and_an_acceptor_does_not_know: "ladder-numbers",
    p2c_without_promises_would_need_to_predict_the_future: "ladder-no-promises",
    paxos_survives_all_that_the_other_rungs_do_not: "ladder-paxos",
    a_server_of_proposal_numbers_fails_slices_need_none: "number-server",
    a_primary_and_a_backup_without_consensus_cut_apart_both_serve: "split-brain",
    a_primary_that_is_only_slow_serves_beside_the_backup_that_took_over: "slow-primary",
    a_view_server_fails_and_nobody_may_take_over: "view-server",
    a_view_server_with_a_replica_has_a_split_brain_of_its_own: "view-server-replica",
    a_leader_that_is_only_slow_is_replaced_and_answers_nothing_stale_when_it_wakes_up: "slow-leader",
    three_believe_that_they_lead_and_one_history_comes_of_it: "three-leaders",
    a_leader_cut_off_from_the_others_answers_no_read: "isolated-leader",
    a_late_confirmation_does_not_count_for_a_later_read: "late-confirmations",
    an_answer_to_an_earlier_round_confirms_nothing: "earlier-confirmation",
    an_answer_to_the_process_before_is_not_taken: "answer-of-before",
    nothing_behind_a_gap_is_applied: "gap",
    a_member_that_takes_over_a_checkpoint_votes_above_it: "checkpoint-and-accepts",
    a_rotten_checkpoint_is_taken_from_another_member: "rotten-checkpoint",
    a_lost_disk_takes_nothing_that_was_acknowledged_with_it: "wiped-member",
    a_member_set_back_to_a_copy_of_its_present_start_is_refused: "restored-copy",
    a_member_set_back_to_a_copy_of_an_earlier_start_is_refused_by_the_log: "restored-earlier-start",
    a_member_may_die_at_every_step_of_taking_over_a_checkpoint: "crash-while-installing",
    two_hundred_clients_do_not_fill_a_leader_without_followers: "backpressure",
    votes_of_an_earlier_ballot_do_not_count: "votes-of-before",
    a_leader_that_hears_nobody_is_replaced: "deaf-leader",
    one_node_is_connected_to_all_and_it_leads: "quorum-loss",
    the_only_node_that_can_lead_is_behind_and_leads: "constrained-election",
    three_nodes_in_a_row_find_a_leader_and_keep_it: "chained",
    a_node_that_was_alone_for_long_does_not_disturb_the_leader: "rejoining-node",
    a_leader_whose_disk_does_nothing_is_replaced: "stalled-disk",
    clocks_jump_by_an_hour_and_nobody_reads_anything_old: "clock-jumps",
    no_ops_in_11_and_12_13_to_16_as_proposed_new_commands_from_17: "new-leader-with-gaps",
    a_commit_notice_does_not_make_an_old_vote_a_choice: "stale-vote",
    who_leads_from_behind_the_others_journals_takes_over_a_checkpoint: "truncated-acceptor",
    a_leader_without_what_the_others_have_cut_off_serves_them: "truncated-leader",
    a_member_does_not_give_way_to_those_without_a_quorum: "stalled-hub",
    the_leader_dies_after_the_quorum_and_before_the_reply: "crash-before-reply",
    a_write_handed_to_two_leaders_is_done_once: "retry-once",
    the_power_fails_everywhere_and_everything_answered_is_there: "power-loss",
    a_member_whose_sync_fails_stops: "failed-sync",
    a_member_whose_disk_is_full_says_nothing_it_could_not_write: "full-disk",
    the_power_fails_in_the_middle_of_writes: "torn-tail",
    a_member_whose_old_records_are_damaged_refuses_to_start: "bit-flip",
    the_applied_position_is_durable_with_its_data: "etcd-13766",
    a_cluster_of_one_loses_no_write_that_it_answered: "etcd-14370",
    a_process_that_stops_with_a_read_in_its_hands_answers_nothing_old: "etcd-20418",
    legislators_who_come_and_go_pass_one_decree_told_in_the_parliament_s_words: "parliament",
    two_propose_at_once_and_the_higher_ballot_wins: "two-proposers",
    an_acceptor_that_restarts_keeps_its_promise: "restart-after-promise",
    an_acceptor_that_restarts_keeps_a_vote_nobody_heard_of: "restart-after-vote",
    a_proposer_dies_half_way_and_the_next_goes_on_with_its_value: "half-way",
    a_proposer_dies_half_way_nobody_knows_and_the_next_is_free: "half-way-unseen",
    with_a_k_nil_every_majority_gives_a_safe_value: "consult-pairs",
    with_a_a_k_nil_nil_every_majority_gives_a_safe_value: "consult-triples",
    one_value_at_a_majority_under_different_numbers_is_not_chosen: "same-value",
    promises_of_an_old_ballot_do_not_count_in_a_new_one: "stale-promise",
    a_proposer_that_restarts_uses_a_new_ballot: "ballot-reuse",
    a_vote_for_a_ballot_that_was_never_promised_raises_the_promise: "vote-raises-promise",
    promises_get_lost_and_are_asked_for_again: "lost-promise",
    sleepers_and_lost_pigeons_and_one_date_for_all: "monks",
    every_message_arrives_twice_and_old_ones_again: "duplicates",
    three_in_each_other_s_way_until_chance_lets_one_through: "duel",
    an_adversary_delays_the_decision_for_ever_harms_nothing_and_stops: "flp",
    a_member_whose_old_records_were_written_over_refuses_to_start: "misdirected-write",
    a_write_chosen_by_the_followers_alone_outlives_the_leader: "own-sync-last",
    clocks_go_apart_by_a_tenth_and_nobody_reads_anything_old: "clock-drift",
    in_a_fast_round_a_value_is_chosen_without_being_proposed_by_a_coordinator: "fast-path",
    two_values_collide_in_a_fast_round_and_the_coordinator_recovers: "fast-collision",
    two_values_collide_in_a_fast_round_and_the_acceptors_recover_by_themselves: "fast-collision-uncoordinated",
    who_hears_of_divided_votes_picks_the_value_that_may_have_been_chosen: "fast-divided",
    permission_to_vote_that_comes_again_gives_no_second_vote: "fast-any-again",
    one_writer_far_from_the_leader_and_the_leader_is_never_asked: "fast-busy-writer",
    two_writers_name_one_slot_and_turn_to_the_leader: "fast-writers-collide",
    a_leader_does_not_wait_for_a_source_that_is_gone: "multi-holder-gone",
    nor_does_a_leader_of_fast_paxos: "fast-holder-gone",
    entries_of_an_earlier_term_on_a_majority_are_not_committed: "raft-figure-8",
    every_replica_commits_in_one_round_trip_and_nobody_misses_the_dead: "egalitarian-fast-path",
    a_command_committed_and_answered_by_a_replica_that_died_is_not_lost: "egalitarian-owner-dies",
    a_promise_does_not_pass_for_a_vote_in_the_published_schedule: "egalitarian-published",
    two_recover_the_same_command_at_once_and_agree: "egalitarian-two-recoveries",
    a_recovery_waits_for_another_that_may_speak_against_it: "egalitarian-waiting",
    a_recovery_that_waited_ends_with_a_no_op_when_what_it_waited_for_is_committed_against_it: "egalitarian-waits-against",
    of_two_recoveries_that_wait_for_each_other_the_one_with_fewer_supporters_gives_way: "egalitarian-gives-way",
    three_commands_that_depend_on_each_other_are_executed_in_one_order: "egalitarian-cycle",
    conflicts_that_never_end_do_not_keep_commands_from_being_executed: "egalitarian-endless",
    what_was_known_by_name_only_is_recovered_after_a_restart: "egalitarian-orphan",
    a_command_of_which_only_states_are_left_is_taken_over_with_one_and_forgotten: "egalitarian-known-by-state",
    a_command_that_became_a_no_op_is_proposed_again_and_executed_once: "egalitarian-once",
}
