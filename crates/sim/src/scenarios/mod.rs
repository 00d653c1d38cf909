//! Scenarios by name: small schedules, told as sentences, each with a verdict of the world's own checkers.
//!
//! ```
//! let scenario = synod_sim::scenarios::named("slow-leader").expect("it is listed");
//! let outcome = scenario.play(7);
//! assert_eq!(outcome.verdict, Ok(()));
//! ```
//!
//! How to add one is told in `docs/scenarios.md`, whose example is compiled and run with the tests.

mod decree;
mod egalitarian;
mod fast;
mod ladder;
mod logs;
mod members;
mod primary_backup;
mod raft;
pub mod stage;
pub mod toy;

use crate::trace::Trace;

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/scenarios.md")]
struct Newcomers;

/// A schedule with a name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Plays it. The seed decides what the schedule leaves open: delays, and who leads first.
    pub run: fn(seed: u64) -> Outcome,
}

/// How a scenario went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that happened.
    pub trace: Trace,
    /// The director's orders and what came of them, one line each.
    pub story: Vec<String>,
    /// Whether it showed what its title says; if not, why.
    pub verdict: Result<(), String>,
}

impl Scenario {
    /// Plays it and puts its name on the trace.
    pub fn play(&self, seed: u64) -> Outcome {
        let mut outcome = (self.run)(seed);
        outcome.trace.scenario = Some(self.name.to_owned());
        outcome
    }
}

/// All scenarios, in the order in which they are best read.
pub fn all() -> &'static [Scenario] {
    ALL
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

const ALL: &[Scenario] = &[
    Scenario {
        name: "ladder",
        title: "the refinement from one acceptor to Paxos: every rung but the last loses something",
        run: ladder::ladder,
    },
    Scenario {
        name: "ladder-single-acceptor",
        title: "one acceptor fails, and what it chose with it",
        run: ladder::single_acceptor,
    },
    Scenario {
        name: "ladder-first-proposal",
        title: "a majority, P1 and four proposers: no value is chosen",
        run: ladder::first_proposal,
    },
    Scenario {
        name: "ladder-numbers",
        title: "numbers and P2a: (1,M) is chosen, and an acceptor does not know",
        run: ladder::numbers,
    },
    Scenario {
        name: "ladder-no-promises",
        title: "P2c without promises would need to predict the future",
        run: ladder::no_promises,
    },
    Scenario {
        name: "ladder-paxos",
        title: "Paxos survives all that the other rungs do not",
        run: ladder::paxos,
    },
    Scenario {
        name: "number-server",
        title: "a server of proposal numbers fails; slices need none",
        run: ladder::number_server,
    },
    Scenario {
        name: "split-brain",
        title: "a primary and a backup without consensus, cut apart, both serve",
        run: primary_backup::split_brain,
    },
    Scenario {
        name: "slow-primary",
        title: "a primary that is only slow serves beside the backup that took over",
        run: primary_backup::slow_primary,
    },
    Scenario {
        name: "view-server",
        title: "a view server fails, and nobody may take over",
        run: primary_backup::view_server,
    },
    Scenario {
        name: "view-server-replica",
        title: "a view server with a replica has a split brain of its own",
        run: primary_backup::view_server_replica,
    },
    Scenario {
        name: "slow-leader",
        title: "a leader that is only slow is replaced, and answers nothing stale when it wakes up",
        run: members::leaders::slow_leader,
    },
    Scenario {
        name: "three-leaders",
        title: "three believe that they lead, and one history comes of it",
        run: members::leaders::three_leaders,
    },
    Scenario {
        name: "isolated-leader",
        title: "a leader cut off from the others answers no read",
        run: members::leaders::isolated_leader,
    },
    Scenario {
        name: "late-confirmations",
        title: "answers that confirm an old leader do not count for reads that came later",
        run: members::leaders::late_confirmations,
    },
    Scenario {
        name: "earlier-confirmation",
        title: "an answer to an earlier round does not confirm later reads",
        run: members::leaders::earlier_confirmation,
    },
    Scenario {
        name: "answer-of-before",
        title: "the answer to a read of the process before is not taken for the answer to one's own",
        run: members::leaders::answer_of_before,
    },
    Scenario {
        name: "votes-of-before",
        title: "votes for a leader's earlier ballot do not count in its present one",
        run: members::leaders::votes_of_before,
    },
    Scenario {
        name: "deaf-leader",
        title: "a leader that hears nobody is replaced",
        run: members::leaders::deaf_leader,
    },
    Scenario {
        name: "quorum-loss",
        title: "one node is connected to all, and it leads",
        run: members::leaders::quorum_lost,
    },
    Scenario {
        name: "constrained-election",
        title: "the only node that can lead is behind, and leads",
        run: members::leaders::constrained,
    },
    Scenario {
        name: "chained",
        title: "three nodes in a row find a leader and keep it",
        run: members::leaders::in_a_row,
    },
    Scenario {
        name: "rejoining-node",
        title: "a node that was alone for long does not disturb the leader",
        run: members::leaders::rejoining,
    },
    Scenario {
        name: "stalled-disk",
        title: "a leader whose disk does nothing is replaced",
        run: members::leaders::stalled_disk,
    },
    Scenario {
        name: "clock-jumps",
        title: "clocks jump by an hour, and nobody reads anything old",
        run: members::leaders::clock_jumps,
    },
    Scenario {
        name: "new-leader-with-gaps",
        title: "no-ops in 11 and 12, 13 to 16 as proposed, new commands from 17",
        run: members::leaders::gaps,
    },
    Scenario {
        name: "stale-vote",
        title: "a commit notice does not make an old vote a choice",
        run: members::leaders::stale_vote,
    },
    Scenario {
        name: "truncated-acceptor",
        title: "who leads from behind the others' journals takes over a checkpoint",
        run: members::leaders::truncated,
    },
    Scenario {
        name: "truncated-leader",
        title: "who leads without what the others have cut off gets commands chosen and reads answered",
        run: members::catching_up::truncated_leader,
    },
    Scenario {
        name: "stalled-hub",
        title: "who alone can lead does so, though it lacks what the others have cut off",
        run: members::catching_up::stalled_hub,
    },
    Scenario {
        name: "gap",
        title: "one slot is lost, and nothing behind it is applied until it is filled",
        run: members::catching_up::gap,
    },
    Scenario {
        name: "checkpoint-and-accepts",
        title: "a member votes above a checkpoint that is still on its way to it",
        run: members::catching_up::checkpoint_and_accepts,
    },
    Scenario {
        name: "rotten-checkpoint",
        title: "a checkpoint that has rotted on its source's disk is taken from another",
        run: members::catching_up::rotten_checkpoint,
    },
    Scenario {
        name: "crash-while-installing",
        title: "a member dies at every step of taking over a checkpoint",
        run: members::catching_up::crash_while_installing,
    },
    Scenario {
        name: "backpressure",
        title: "one follower is dead, the other slow, and two hundred clients wait: queues stay bounded",
        run: members::catching_up::backpressure,
    },
    Scenario {
        name: "wiped-member",
        title: "a lost disk is another acceptor, though a member of its name starts on an empty one",
        run: members::disks::wiped_member,
    },
    Scenario {
        name: "restored-copy",
        title: "a member that was set back to a copy of its present start is refused by what it had told",
        run: members::disks::restored_copy,
    },
    Scenario {
        name: "restored-earlier-start",
        title: "a member that was set back to a copy of an earlier start is refused by the log",
        run: members::disks::restored_earlier_start,
    },
    Scenario {
        name: "crash-before-reply",
        title: "the leader dies after the quorum and before the reply",
        run: members::crashes::before_reply,
    },
    Scenario {
        name: "retry-once",
        title: "a write handed to two leaders is done once",
        run: members::crashes::retry_once,
    },
    Scenario {
        name: "power-loss",
        title: "the power fails everywhere, and everything answered is there",
        run: members::crashes::power_loss,
    },
    Scenario {
        name: "failed-sync",
        title: "a member whose sync fails stops",
        run: members::crashes::failed_sync,
    },
    Scenario {
        name: "full-disk",
        title: "a member whose disk is full says nothing it could not write",
        run: members::crashes::full_disk,
    },
    Scenario {
        name: "torn-tail",
        title: "the power fails in the middle of writes",
        run: members::crashes::torn_tail,
    },
    Scenario {
        name: "bit-flip",
        title: "a member whose old records are damaged refuses to start",
        run: members::crashes::bit_flip,
    },
    Scenario {
        name: "misdirected-write",
        title: "a member whose old records were written over refuses to start",
        run: members::crashes::misdirected,
    },
    Scenario {
        name: "own-sync-last",
        title: "a write chosen by the followers alone outlives the leader",
        run: members::crashes::own_sync_last,
    },
    Scenario {
        name: "clock-drift",
        title: "clocks go apart by a tenth, and nobody reads anything old",
        run: members::leaders::clock_drift,
    },
    Scenario {
        name: "etcd-13766",
        title: "the applied position is durable with its data",
        run: members::crashes::applied_with_data,
    },
    Scenario {
        name: "etcd-14370",
        title: "a cluster of one loses no write that it answered",
        run: members::crashes::single_member,
    },
    Scenario {
        name: "etcd-20418",
        title: "a process that stops with a read in its hands answers nothing old",
        run: members::crashes::paused_reader,
    },
    Scenario {
        name: "parliament",
        title: "legislators who come and go pass one decree, told in the parliament's words",
        run: decree::loose::parliament,
    },
    Scenario {
        name: "two-proposers",
        title: "two propose at once, and the higher ballot wins",
        run: decree::exact::two_proposers,
    },
    Scenario {
        name: "restart-after-promise",
        title: "an acceptor that restarts keeps its promise",
        run: decree::exact::restart_after_promise,
    },
    Scenario {
        name: "restart-after-vote",
        title: "an acceptor that restarts keeps a vote nobody heard of",
        run: decree::exact::restart_after_vote,
    },
    Scenario {
        name: "half-way",
        title: "a proposer dies half-way, and the next goes on with its value",
        run: decree::exact::half_way,
    },
    Scenario {
        name: "half-way-unseen",
        title: "a proposer dies half-way, nobody knows, and the next is free",
        run: decree::exact::half_way_unseen,
    },
    Scenario {
        name: "consult-pairs",
        title: "(1,A), (2,K), nil: every majority gives a safe value",
        run: decree::exact::pairs,
    },
    Scenario {
        name: "consult-triples",
        title: "(1,A), (1,A), (2,K), nil, nil: every majority gives a safe value",
        run: decree::exact::triples,
    },
    Scenario {
        name: "same-value",
        title: "one value at a majority under different numbers is not chosen",
        run: decree::exact::same_value,
    },
    Scenario {
        name: "stale-promise",
        title: "promises of an old ballot do not count in a new one",
        run: decree::exact::stale_promise,
    },
    Scenario {
        name: "ballot-reuse",
        title: "a proposer that restarts uses a new ballot",
        run: decree::exact::ballot_reuse,
    },
    Scenario {
        name: "vote-raises-promise",
        title: "a vote for a ballot that was never promised raises the promise",
        run: decree::exact::vote_raises_promise,
    },
    Scenario {
        name: "lost-promise",
        title: "promises get lost and are asked for again",
        run: decree::loose::lost_promise,
    },
    Scenario {
        name: "monks",
        title: "sleepers and lost pigeons, and one date for all",
        run: decree::loose::monks,
    },
    Scenario {
        name: "duplicates",
        title: "every message arrives twice, and old ones again",
        run: decree::loose::duplicates,
    },
    Scenario {
        name: "duel",
        title: "three in each other's way until chance lets one through",
        run: decree::loose::duel,
    },
    Scenario {
        name: "flp",
        title: "an adversary delays the decision for ever, harms nothing, and stops",
        run: decree::loose::flp,
    },
    Scenario {
        name: "fast-path",
        title: "in a fast round a value is chosen without being proposed by a coordinator",
        run: fast::fast_path,
    },
    Scenario {
        name: "fast-collision",
        title: "two values collide in a fast round, and the coordinator recovers",
        run: fast::collision,
    },
    Scenario {
        name: "fast-collision-uncoordinated",
        title: "two values collide in a fast round, and the acceptors recover by themselves",
        run: fast::collision_uncoordinated,
    },
    Scenario {
        name: "fast-divided",
        title: "who hears of divided votes picks the value that may have been chosen",
        run: fast::divided,
    },
    Scenario {
        name: "fast-any-again",
        title: "permission to vote that comes again gives no second vote",
        run: fast::any_again,
    },
    Scenario {
        name: "fast-busy-writer",
        title: "one writer far from the leader, and the leader is never asked",
        run: fast::busy_writer,
    },
    Scenario {
        name: "fast-writers-collide",
        title: "two writers name one slot, and turn to the leader",
        run: fast::writers_collide,
    },
    Scenario {
        name: "multi-holder-gone",
        title: "who alone knew of a chosen slot told the new leader, and is gone before it told the value",
        run: logs::multi_holder_gone,
    },
    Scenario {
        name: "fast-holder-gone",
        title: "the same in the log of Fast Paxos",
        run: logs::fast_holder_gone,
    },
    Scenario {
        name: "raft-figure-8",
        title: "in Raft, what an earlier term left on a majority may still be replaced",
        run: raft::figure_8,
    },
    Scenario {
        name: "egalitarian-fast-path",
        title: "every replica commits in one round trip, and nobody misses the dead",
        run: egalitarian::fast_path,
    },
    Scenario {
        name: "egalitarian-owner-dies",
        title: "a command committed and answered by a replica that died is not lost",
        run: egalitarian::owner_dies,
    },
    Scenario {
        name: "egalitarian-published",
        title: "the schedule for which one ballot is too few: a promise must not pass for a vote",
        run: egalitarian::published,
    },
    Scenario {
        name: "egalitarian-two-recoveries",
        title: "two recover the same command at once, and agree",
        run: egalitarian::two_recoveries,
    },
    Scenario {
        name: "egalitarian-waiting",
        title: "a recovery waits for another that may speak against it",
        run: egalitarian::waiting,
    },
    Scenario {
        name: "egalitarian-waits-against",
        title: "a recovery waits, what it waits for is committed against it, and it ends with a no-op",
        run: egalitarian::waits_against,
    },
    Scenario {
        name: "egalitarian-gives-way",
        title: "two recoveries wait for each other, and the one with fewer supporters gives way",
        run: egalitarian::gives_way,
    },
    Scenario {
        name: "egalitarian-cycle",
        title: "three commands that depend on each other are executed in one order",
        run: egalitarian::cycle,
    },
    Scenario {
        name: "egalitarian-endless",
        title: "conflicts that never end do not keep commands from being executed",
        run: egalitarian::endless,
    },
    Scenario {
        name: "egalitarian-orphan",
        title: "after a restart, replicas still recover what they knew by name only",
        run: egalitarian::orphan,
    },
    Scenario {
        name: "egalitarian-known-by-state",
        title: "of a command nobody is left but states that have executed it",
        run: egalitarian::known_by_state,
    },
    Scenario {
        name: "egalitarian-once",
        title: "a command that became a no-op is proposed again and executed once",
        run: egalitarian::once,
    },
];
