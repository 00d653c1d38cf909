//! A checkpoint on its way from another member, as the driver sees it.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use synod_member::identity::roster::Roster;
use synod_member::introduction::Me;
use synod_member::introduction::hello::{Answered, Beginning, Hello, Holding};
use synod_member::voter::{RecoveredVoter, Voter, VoterConfig, VoterOutput};
use synod_member::wire::{self, Header, PeerMessage};
use synod_paxos::config::{ClusterId, ConfigId};
use synod_paxos::multi::message::Message;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;

const CLUSTER: ClusterId = ClusterId(1);
const SOURCE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(3);
const SLOT: Slot = Slot(10);

const START: Incarnation = Incarnation::numbered(1);

fn name(node: NodeId) -> String {
    format!("m{}", node.0)
}

fn roster() -> Roster {
    Roster::new(CLUSTER, [SOURCE, NodeId(2), OTHER].map(|node| (name(node), node))).unwrap()
}

struct Member {
    voter: Voter,
    now: Time,
}

impl Member {
    fn new() -> Member {
        let me = Me {
            cluster: CLUSTER,
            name: name(NodeId(2)),
            node: NodeId(2),
            starts: vec![START],
            recovered: 0,
            beginning: Beginning::default(),
            founds: true,
            client_urls: Vec::new(),
        };
        let config = VoterConfig {
            me,
            names: roster().members().keys().cloned().collect(),
            roster: Some(roster()),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            request_timeout: Duration::from_secs(5),
            slots_retained: 8,
            seed: 1,
        };
        let voter = Voter::new(config, RecoveredVoter::default(), Time::ZERO).unwrap();
        let mut member = Member { voter, now: Time::ZERO };
        member.meet_the_others();
        member
    }

    /// Answers what this member asks until both others are admitted.
    fn meet_the_others(&mut self) {
        while !self.voter.introductions().is_complete() {
            for output in self.sleep() {
                if let VoterOutput::Introduce { to, frame } = output {
                    self.answer(roster().node(&to).unwrap(), frame);
                }
            }
        }
    }

    fn answer(&mut self, from: NodeId, frame: Bytes) {
        let (header, PeerMessage::Hello(question)) = wire::decode(frame).unwrap() else { return };
        let answer = Hello {
            name: name(from),
            to: question.name,
            question: 0,
            answer: Some(Answered { speaker: header.speaker(), question: question.question }),
            starts: vec![START],
            recovered: 0,
            beginning: Beginning::default(),
            holding: Holding::Held(roster()),
            admits: true,
            refused: None,
            client_urls: Vec::new(),
        };
        self.hear(from, &PeerMessage::Hello(Box::new(answer)));
    }

    fn hear(&mut self, from: NodeId, message: &PeerMessage) -> Vec<VoterOutput> {
        let config = ConfigId::FIRST;
        let header = Header { cluster: CLUSTER, config, from, incarnation: START, written: 0 };
        self.voter.handle_frame(self.now, &name(from), wire::encode(header, message));
        std::iter::from_fn(|| self.voter.poll_output()).collect()
    }

    /// `from` has nothing older than a checkpoint.
    fn offered(&mut self, from: NodeId) -> Vec<VoterOutput> {
        let fetched = Message::Fetched { from: Slot(1), entries: vec![], chosen: SLOT, truncated: SLOT };
        self.hear(from, &PeerMessage::Protocol(fetched))
    }

    /// The first tenth of it arrives.
    fn first_part(&mut self) -> Vec<VoterOutput> {
        let bytes = Bytes::from_static(&[7; 100]);
        let part = PeerMessage::CheckpointPart { slot: SLOT, offset: 0, length: 1000, bytes };
        self.hear(SOURCE, &part)
    }

    fn sleep(&mut self) -> Vec<VoterOutput> {
        self.now = self.voter.next_timeout().unwrap();
        self.voter.handle_timeout(self.now);
        std::iter::from_fn(|| self.voter.poll_output()).collect()
    }
}

fn given_up(outputs: &[VoterOutput]) -> usize {
    outputs.iter().filter(|output| matches!(output, VoterOutput::GiveUpCheckpoint)).count()
}

#[test]
fn what_was_stored_of_a_checkpoint_goes_when_its_source_falls_silent() {
    let mut member = Member::new();
    member.offered(SOURCE);
    let stored = member.first_part();
    assert!(stored.iter().any(|output| matches!(output, VoterOutput::StoreCheckpoint { offset: 0, .. })));
    let mut told = 0;
    for _ in 0..1_000 {
        told += given_up(&member.sleep());
    }
    assert_eq!(told, 1, "once, and for good");
}

#[test]
fn what_was_stored_of_a_checkpoint_goes_when_another_source_is_asked() {
    let mut member = Member::new();
    member.offered(SOURCE);
    member.first_part();
    let until = member.now + Duration::from_millis(1500);
    while member.now < until {
        assert_eq!(given_up(&member.sleep()), 0, "the source has a second chance");
    }
    assert_eq!(given_up(&member.offered(OTHER)), 1);
}

#[test]
fn a_transfer_of_which_nothing_came_leaves_nothing_to_remove() {
    let mut member = Member::new();
    member.offered(SOURCE);
    let told: usize = (0..1_000).map(|_| given_up(&member.sleep())).sum();
    assert_eq!(told, 0);
}
