//! Schedules that are exact to the message.

use super::{chosen, patient};
use crate::programs::single_decree::SingleDecree;
use crate::scenarios::Outcome;
use crate::scenarios::stage::{FROM_ANYONE, Stage, TO_ANYONE, from, to};

/// n2 gets promises from itself and n1, n3 from itself and n1; n1 promised both, and the higher ballot wins.
pub fn two_proposers(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.hold("prepare", FROM_ANYONE, TO_ANYONE);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    let x = stage.client(2).proposes("X").at(2);
    let y = stage.client(3).proposes("Y").at(3);
    stage.pass(50);
    stage.deliver("prepare", from(2), to(1));
    stage.deliver("prepare", from(3), to(1));
    stage.deliver("accept", from(2), to(1));
    stage.expect_nothing_chosen();
    stage.deliver("accept", from(3), to(1));
    stage.expect_chosen("Y");
    stage.expect_told(y, &chosen("Y"));
    stage.expect_told(x, &chosen("Y"));
    stage.finish()
}

/// §8.3: n3 promises a higher ballot, loses power, and is asked to accept a lower one: it has not forgotten.
pub fn restart_after_promise(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    stage.client(1).proposes("A").at(1);
    stage.pass(20);
    stage.deliver("prepare", from(1), to(3));
    stage.consults(2, &[3]);
    stage.client(2).proposes("K").at(2);
    stage.pass(50);
    stage.is_restarted(3);
    stage.hold("nack", from(3), TO_ANYONE);
    stage.deliver("accept", from(1), to(3));
    let refused = stage.held("nack", from(3), to(1)) == 1;
    stage.expect(refused, "n3 refuses the lower ballot");
    stage.deliver("accept", from(2), to(3));
    stage.expect_chosen("K");
    stage.finish()
}

/// §8.4: n1 accepts, loses power before anybody hears of it, and the proposer is gone: the next one finds the vote.
pub fn restart_after_vote(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.lose("accepted", FROM_ANYONE, TO_ANYONE);
    stage.proposes_to(2, "A", &[1, 3], &[1]);
    stage.expect_chosen("A");
    stage.loses_power(2);
    stage.is_restarted(1);
    stage.let_through("accepted", FROM_ANYONE, TO_ANYONE);
    let asked = stage.client(3).proposes("K").at(3);
    stage.expect_told(asked, &chosen("A"));
    stage.finish()
}

/// A proposer dies half-way: its request reached one of five. Whoever consults that one goes on with it.
pub fn half_way(seed: u64) -> Outcome {
    let mut stage = patient(seed, 5);
    stage.proposes_to(2, "A", &[1, 3], &[1]);
    stage.expect_nothing_chosen();
    stage.dies(2);
    stage.consults(3, &[1, 4]);
    let asked = stage.client(3).proposes("K").at(3);
    stage.expect_told(asked, &chosen("A"));
    stage.expect_everybody_learns();
    stage.finish()
}

/// The same, and nobody alive has heard of it: the next proposer is free, and the dead one gives in when it is back.
pub fn half_way_unseen(seed: u64) -> Outcome {
    let mut stage = patient(seed, 5);
    stage.proposes_to(2, "A", &[1, 3], &[]);
    stage.loses_power(2);
    let asked = stage.client(3).proposes("K").at(3);
    stage.expect_told(asked, &chosen("K"));
    stage.let_through("inquire", FROM_ANYONE, TO_ANYONE);
    stage.starts(2);
    let late = stage.client(2).proposes("A").at(2);
    stage.expect_told(late, &chosen("K"));
    stage.finish()
}

/// One who consults, whom, and what must come out.
type Consultation = (u64, &'static [u64], &'static str);

/// On fresh stages prepared by `scene`, each of `consultations` must lead to its value.
fn consult(seed: u64, scene: fn(u64) -> Stage<SingleDecree>, consultations: &[Consultation]) -> Outcome {
    let (mut told, mut verdict, mut last) = (Vec::new(), Ok(()), None);
    for (leader, quorum, value) in consultations {
        let mut stage = scene(seed);
        stage.say(format_args!("n{leader} consults {quorum:?}"));
        if [2, 3].contains(leader) {
            stage.is_restarted(*leader);
            for other in 1..=5 {
                stage.let_through("prepare", from(*leader), to(other));
                stage.let_through("accept", from(*leader), to(other));
            }
        }
        stage.consults(*leader, quorum);
        let asked = stage.client(9).proposes("L").at(*leader);
        stage.expect_told(asked, &chosen(value));
        let mut outcome = stage.finish();
        told.append(&mut outcome.story);
        verdict = verdict.and(outcome.verdict.clone());
        last = Some(outcome.trace);
    }
    Outcome { trace: last.expect("at least one consultation"), story: told, verdict }
}

/// n2 has accepted (1,A), n3 (2,K), n1 nothing.
fn a_k_nil(seed: u64) -> Stage<SingleDecree> {
    let mut stage = patient(seed, 3);
    stage.proposes_to(2, "A", &[1], &[]);
    stage.proposes_to(3, "K", &[1], &[]);
    stage.expect_nothing_chosen();
    stage
}

/// §8.5: (1,A), (2,K), nil: every majority that is consulted gives a safe value.
pub fn pairs(seed: u64) -> Outcome {
    consult(seed, a_k_nil, &[(2, &[3], "K"), (2, &[1], "A"), (3, &[1], "K")])
}

/// n1 and n2 have accepted (1,A), n3 (2,K), n4 and n5 nothing.
fn a_a_k_nil_nil(seed: u64) -> Stage<SingleDecree> {
    let mut stage = patient(seed, 5);
    stage.proposes_to(2, "A", &[1, 4], &[1]);
    stage.proposes_to(3, "K", &[4, 5], &[]);
    stage.expect_nothing_chosen();
    stage
}

/// §8.6: (1,A), (1,A), (2,K), nil, nil: the same with five.
pub fn triples(seed: u64) -> Outcome {
    let consultations: &[Consultation] =
        &[(4, &[1, 2], "A"), (2, &[1, 3], "K"), (4, &[3, 5], "K"), (4, &[1, 5], "A")];
    consult(seed, a_a_k_nil_nil, consultations)
}

/// §8.8: a majority has accepted v, but under different numbers: v is not chosen, nobody says so, and w still may be.
pub fn same_value(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.client(1).proposes("v").at(1);
    for other in [2, 3] {
        stage.lose("accept", from(1), to(other));
    }
    stage.pass(20);
    stage.deliver("prepare", from(1), to(2));
    stage.pass(20);
    stage.proposes_to(2, "w", &[3], &[]);
    stage.proposes_to(3, "other", &[1], &[]);
    stage.expect_nothing_chosen();
    // The first ballot after the restart is too low for n1, the second is not.
    for _ in 0..2 {
        stage.is_restarted(2);
        for other in [1, 3] {
            stage.let_through("prepare", from(2), to(other));
            stage.let_through("accept", from(2), to(other));
        }
        stage.consults(2, &[1]);
        stage.client(9).proposes("w again").at(2);
        stage.pass(50);
    }
    stage.expect_chosen("w");
    stage.finish()
}

/// §8.10: a promise for a ballot of before a restart arrives in the next ballot, and does not count.
pub fn stale_promise(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.hold("promise", FROM_ANYONE, to(2));
    stage.client(2).proposes("A").at(2);
    stage.pass(50);
    stage.is_restarted(2);
    stage.lose("prepare", from(2), TO_ANYONE);
    stage.hold("accept", from(2), TO_ANYONE);
    stage.client(9).proposes("B").at(2);
    stage.pass(50);
    let promises = stage.deliver("promise", FROM_ANYONE, to(2));
    stage.expect(promises == 2, "two promises of the old ballot arrive");
    let accepts = stage.held("accept", from(2), TO_ANYONE);
    stage.expect(accepts == 0, "nothing follows from them");
    let asked = stage.client(3).proposes("K").at(3);
    stage.expect_told(asked, &chosen("K"));
    stage.finish()
}

/// §8.11: a proposer that restarts never uses a ballot again: its old request and its new one carry two numbers.
pub fn ballot_reuse(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.hold("accept", from(2), TO_ANYONE);
    // Its own acceptor does not get to vote either: what it wrote of the ballot is only that it used it.
    stage.client(2).proposes("A").at(2);
    stage.until("n2 asks for votes", 1_000, |world| {
        world.held(&crate::world::filter::Pattern { name: Some("accept".to_owned()), ..Default::default() })
            == 2
    });
    stage.is_restarted(2);
    let asked = stage.client(9).proposes("B").at(2);
    stage.pass(50);
    stage.deliver("accept A", from(2), to(3));
    stage.deliver("accept", from(2), to(1));
    stage.deliver("accept", from(2), to(3));
    stage.told(asked);
    let one = stage.is_chosen("A") || stage.is_chosen("B");
    stage.expect(one, "one of the two values is chosen");
    stage.finish()
}

/// §8.12: an acceptor that never promised a ballot may vote for it, and refuses lower ones from then on.
pub fn vote_raises_promise(seed: u64) -> Outcome {
    let mut stage = patient(seed, 3);
    stage.hold("accept", FROM_ANYONE, TO_ANYONE);
    stage.consults(2, &[1]);
    stage.client(2).proposes("A").at(2);
    stage.pass(50);
    stage.consults(3, &[2]);
    stage.client(3).proposes("K").at(3);
    stage.pass(50);
    stage.deliver("accept", from(3), to(1));
    stage.hold("nack", from(1), TO_ANYONE);
    stage.deliver("accept", from(2), to(1));
    let refused = stage.held("nack", from(1), to(2)) == 1;
    stage.expect(refused, "n1, which voted for the higher ballot, refuses the lower");
    stage.finish()
}
