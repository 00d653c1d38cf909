//! Stalled members: when they give way, to whom, and for how long.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use synod_paxos::ballot::Ballot;
use synod_paxos::durable::Token;
use synod_paxos::membership::Membership;
use synod_paxos::multi::core::Output;
use synod_paxos::multi::entry::{Command, Entry};
use synod_paxos::multi::message::{Health, Message};
use synod_paxos::multi::record::Recovered;
use synod_paxos::multi::replica::{Options, Replica};
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Word(char);

impl Command for Word {
    fn size(&self) -> usize {
        1
    }
}

const ROUND: Duration = Duration::from_millis(100);

/// Rounds in an election timeout, and in the limit beyond which something is too slow.
const TIMEOUT: u64 = 5;
const LIMIT: u64 = 20;

/// A member of three among others that answer as a test says, and grant whatever it asks.
struct Alone {
    replica: Replica<Word>,
    now: Time,
    disk_works: bool,
    votes_arrive: bool,
    applies: bool,
    waiting: Option<Token>,
    /// Whether it asked in the last round whether it would be promised.
    offered_itself: bool,
}

impl Alone {
    fn new(seed: u64) -> Alone {
        let members = Membership::founding((1..=3).map(NodeId)).unwrap();
        let options = Options { seed, ..Options::default() };
        let nothing = Recovered::nothing();
        let replica =
            Replica::new(NodeId(1), Incarnation::numbered(1), members, options, nothing, Time::ZERO);
        Alone {
            replica,
            now: Time::ZERO,
            disk_works: true,
            votes_arrive: true,
            applies: true,
            waiting: None,
            offered_itself: false,
        }
    }

    /// One that leads, followed by all.
    fn leading(seed: u64) -> Alone {
        let mut alone = Alone::new(seed);
        for _ in 0..4 * TIMEOUT {
            alone.round(&[healthy(), healthy()]);
        }
        assert!(alone.leads_happily(), "seed {seed}");
        alone
    }

    fn leads_happily(&self) -> bool {
        self.replica.leads().is_some() && self.replica.is_happy()
    }

    fn settle(&mut self) {
        while let Some(output) = self.replica.poll_output(self.now) {
            match output {
                Output::Persist { token, .. } => self.waiting = Some(token),
                Output::Send { to, message } => to.into_iter().for_each(|to| self.answer(to, &message)),
                Output::Chosen { slot, .. } if self.applies => self.replica.handle_applied(slot),
                _ => {}
            }
            if let Some(token) = self.waiting.take_if(|_| self.disk_works) {
                self.replica.handle_persisted(self.now, token);
            }
        }
    }

    fn answer(&mut self, from: NodeId, message: &Message<Word>) {
        let answer = match message {
            Message::PreCheck { ballot } => {
                self.offered_itself = true;
                Message::PreCheckReply { ballot: *ballot, granted: true, promised: None }
            }
            Message::Prepare { ballot, from } => Message::Promise(synod_paxos::multi::message::Promise {
                ballot: *ballot,
                from: *from,
                chosen: Slot::ZERO,
                reports: Vec::new(),
            }),
            Message::Accept { ballot, slot, .. } if self.votes_arrive => {
                Message::Accepted { ballot: *ballot, slots: vec![*slot] }
            }
            _ => return,
        };
        self.replica.handle_message(self.now, from, answer).unwrap();
    }

    /// A round in which the others answer like this: whoever leads here has their promise.
    fn round(&mut self, healths: &[Health]) {
        self.offered_itself = false;
        let promised = self.replica.core().acceptor().promised();
        let round = self.replica.core().election().round();
        for (health, from) in healths.iter().zip([NodeId(2), NodeId(3)]) {
            let health = Health { promised: Some(promised), ..*health };
            self.replica.handle_message(self.now, from, Message::HeartbeatReply { round, health }).unwrap();
        }
        self.settle();
        self.now = self.now + ROUND;
        self.replica.handle_timeout(self.now);
        self.settle();
    }

    /// In which of so many rounds it leads happily.
    fn happy_rounds(&mut self, rounds: u64, healths: &[Health]) -> Vec<u64> {
        let mut happy = Vec::new();
        for number in 1..=rounds {
            self.round(healths);
            happy.extend(self.leads_happily().then_some(number));
        }
        happy
    }

    /// After how many rounds it offers itself.
    fn offers_after(&mut self, healths: &[Health]) -> u64 {
        let mut rounds = 0;
        while !self.offered_itself {
            self.round(healths);
            rounds += 1;
            assert!(rounds < 100, "it never offers itself");
        }
        rounds
    }
}

/// Nothing is wrong with it, and it knows of no leader.
fn healthy() -> Health {
    Health {
        promised: None,
        leader: None,
        happy: false,
        holds: Slot::ZERO,
        knows: Slot::ZERO,
        truncated: Slot::ZERO,
        stalled: false,
        electable: true,
    }
}

fn truncated() -> Health {
    Health { holds: Slot(9), knows: Slot(9), truncated: Slot(5), ..healthy() }
}

fn stalled() -> Health {
    Health { stalled: true, ..healthy() }
}

#[test]
fn a_leader_whose_disk_hangs_gives_way_for_four_timeouts_and_then_leads_again_until_ten_are_over() {
    let mut leader = Alone::leading(1);
    leader.disk_works = false;
    leader.replica.propose(Word('N')).unwrap();
    leader.settle();
    let happy = leader.happy_rounds(LIMIT + 1 + 14 * TIMEOUT, &[healthy(), healthy()]);
    let until = LIMIT..LIMIT + 4 * TIMEOUT;
    let again = LIMIT + 10 * TIMEOUT..LIMIT + 14 * TIMEOUT;
    let expected = (1..=LIMIT + 14 * TIMEOUT + 1).filter(|round| {
        let before = round - 1;
        !until.contains(&before) && !again.contains(&before)
    });
    assert_eq!(happy, expected.collect::<Vec<_>>());
}

#[test]
fn a_stalled_leader_gives_way_to_a_healthy_member_that_is_connected_to_a_quorum_and_to_no_other() {
    let quorumless = Health { electable: false, ..healthy() };
    for (others, gives_way) in [
        ([healthy(), stalled()], true),
        ([stalled(), stalled()], false),
        ([quorumless, quorumless], false),
        ([quorumless, stalled()], false),
    ] {
        let mut leader = Alone::leading(2);
        leader.disk_works = false;
        leader.replica.propose(Word('N')).unwrap();
        leader.settle();
        leader.happy_rounds(LIMIT + 1, &others);
        assert_eq!(leader.leads_happily(), !gives_way, "{others:?}");
        assert!(leader.replica.leads().is_some(), "it goes on proposing meanwhile");
    }
}

#[test]
fn a_leader_whose_oldest_proposal_or_applier_is_too_slow_gives_way_too() {
    for slow_applier in [true, false] {
        let mut leader = Alone::leading(3);
        (leader.applies, leader.votes_arrive) = (!slow_applier, slow_applier);
        leader.replica.propose(Word('N')).unwrap();
        leader.settle();
        assert_eq!(leader.happy_rounds(LIMIT, &[healthy(), healthy()]).len(), LIMIT as usize);
        leader.round(&[healthy(), healthy()]);
        assert!(!leader.leads_happily(), "slow applier: {slow_applier}");
        // What was proposed last goes on waiting while the oldest is done.
        if slow_applier {
            leader.replica.handle_applied(Slot(1));
        } else {
            let ballot = leader.replica.leads().unwrap();
            let accepted = Message::Accepted { ballot, slots: vec![Slot(1)] };
            leader.replica.handle_message(leader.now, NodeId(2), accepted).unwrap();
        }
        leader.round(&[healthy(), healthy()]);
        assert!(leader.leads_happily(), "it is not slow any more");
    }
}

#[test]
fn a_member_that_lacks_what_the_others_have_truncated_waits_for_a_healthy_one_to_lead() {
    for seed in 0..20 {
        let ordinary = Alone::new(seed).offers_after(&[healthy()]);
        assert!((2..=TIMEOUT + 1).contains(&ordinary), "seed {seed}: {ordinary}");
        let waits = Alone::new(seed).offers_after(&[truncated()]);
        assert_eq!(waits, ordinary + 4 * TIMEOUT, "seed {seed}: for four election timeouts");
        for other in [Health { stalled: true, ..truncated() }, Health { electable: false, ..truncated() }] {
            assert_eq!(
                Alone::new(seed).offers_after(&[other]),
                ordinary,
                "seed {seed}: {other:?} cannot lead"
            );
        }
    }
}

#[test]
fn nobody_offers_itself_before_a_round_with_answers_of_a_quorum_has_ended() {
    for seed in 0..20 {
        let mut alone = Alone::new(seed);
        for _ in 0..10 * TIMEOUT {
            alone.round(&[]);
            assert!(!alone.offered_itself, "seed {seed}: it does not know yet what it lacks");
        }
        alone.round(&[truncated()]);
        assert!(!alone.offered_itself, "seed {seed}: it lacks what the other has truncated");
    }
}

#[test]
fn a_stalled_leader_that_gives_way_still_gets_commands_chosen() {
    let mut leader = Alone::leading(4);
    leader.applies = false;
    leader.replica.propose(Word('N')).unwrap();
    leader.settle();
    leader.happy_rounds(LIMIT + 1, &[healthy(), healthy()]);
    assert!(!leader.leads_happily());
    leader.replica.propose(Word('O')).unwrap();
    leader.settle();
    let entry: Entry<Word> = Entry::Commands(vec![Word('O')].into());
    assert_eq!(leader.replica.core().learner().chosen(Slot(2)), Some(&entry));
    let higher = Ballot::new(9, NodeId(2));
    let prepare = Message::Prepare { ballot: higher, from: Slot(1) };
    leader.replica.handle_message(leader.now, NodeId(2), prepare).unwrap();
    leader.settle();
    assert_eq!(leader.replica.core().acceptor().promised(), higher, "the other prepares");
}
