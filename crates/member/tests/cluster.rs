//! Whole members in a small seeded world: frames lost, duplicated and delayed, members crashed and
//! restarted from exactly what their disks kept, checkpoints written and sent.

#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use synod_member::applier::{Applier, ApplierOutput};
use synod_member::checkpoint::{CheckpointLoader, LoadedCheckpoint};
use synod_member::identity::roster::Roster;
use synod_member::introduction::Me;
use synod_member::introduction::hello::Beginning;
use synod_member::voter::{
    ReadTicket, RecoveredVoter, SLOTS_RETAINED, Sequence, Voter, VoterConfig, VoterOutput, VoterStatus,
};
use synod_paxos::backoff::Backoff;
use synod_paxos::config::ClusterId;
use synod_paxos::durable::Token;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::slot::Slot;
use synod_paxos::time::Time;
use synod_store::request::{Command, KeyRange, Put, Range};

const CLUSTER: ClusterId = ClusterId(0xc1);
const TIMEOUT: Duration = Duration::from_millis(500);

struct Write {
    state: Bytes,
    mark: u64,
    records: Vec<Bytes>,
}

#[derive(Default)]
struct Disk {
    synced: Vec<Write>,
    unsynced: Vec<(Token, Write)>,
    checkpoint: Option<(Slot, Bytes)>,
    receiving: Vec<u8>,
}

struct Member {
    running: Option<(Voter, Applier)>,
    disk: Disk,
    incarnation: u64,
    writes: BTreeMap<Sequence, u64>,
    reads: BTreeMap<ReadTicket, u64>,
    ready: Vec<(Slot, u64)>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Frame { to: NodeId, from: NodeId, frame: Bytes },
    Synced { node: NodeId, incarnation: u64, token: Token },
}

struct World {
    members: BTreeMap<NodeId, Member>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    count: u64,
    now: Time,
    random: Backoff,
    lose: u64,
    duplicate: u64,
    /// Whether checkpoints stay where they are: as if they were too large to be sent in the time of the test.
    checkpoints_stay: bool,
    slots_retained: u64,
    next_value: u64,
    /// Values whose write was acknowledged, with the revision it got: each exactly one.
    acknowledged: BTreeMap<u64, i64>,
    unknown: u64,
    installed: u64,
    reads_served: u64,
    /// The store's revision after each slot, the same wherever and whenever it is applied.
    revisions: BTreeMap<Slot, i64>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            members: BTreeMap::new(),
            events: BinaryHeap::new(),
            count: 0,
            now: Time::ZERO,
            random: Backoff::new(seed),
            lose: 0,
            duplicate: 0,
            checkpoints_stay: false,
            slots_retained: SLOTS_RETAINED,
            next_value: 0,
            acknowledged: BTreeMap::new(),
            unknown: 0,
            installed: 0,
            reads_served: 0,
            revisions: BTreeMap::new(),
        };
        for id in ids() {
            let member = Member {
                running: None,
                disk: Disk::default(),
                incarnation: 0,
                writes: BTreeMap::new(),
                reads: BTreeMap::new(),
                ready: Vec::new(),
            };
            world.members.insert(id, member);
            world.start(id);
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.between(Duration::ZERO, Duration::from_nanos(bound)).as_nanos() as u64
    }

    fn member(&mut self, id: NodeId) -> &mut Member {
        self.members.get_mut(&id).unwrap()
    }

    fn status(&self, id: NodeId) -> VoterStatus {
        self.members[&id].running.as_ref().unwrap().0.status()
    }

    fn start(&mut self, id: NodeId) {
        let seed = self.below(u64::MAX);
        let (now, slots_retained) = (self.now, self.slots_retained);
        let member = self.member(id);
        member.incarnation += 1;
        let config = VoterConfig {
            me: Me {
                cluster: CLUSTER,
                name: id.to_string(),
                node: id,
                starts: (1..=member.incarnation).map(Incarnation::numbered).collect(),
                recovered: 0,
                beginning: Beginning::default(),
                founds: true,
                client_urls: Vec::new(),
            },
            names: ids().iter().map(NodeId::to_string).collect(),
            roster: Some(roster()),
            heartbeat_interval: TIMEOUT / 5,
            election_timeout: TIMEOUT,
            request_timeout: TIMEOUT * 10,
            slots_retained,
            seed,
        };
        let loaded = match &member.disk.checkpoint {
            Some((_, bytes)) => load(bytes),
            None => LoadedCheckpoint::empty(),
        };
        let recovered = RecoveredVoter {
            state: member.disk.synced.last().map(|write| write.state.clone()),
            records: member.disk.synced.iter().flat_map(|write| write.records.clone()).collect(),
            checkpoint: loaded.slot(),
            registered: loaded.registered().collect(),
        };
        let voter = Voter::new(config, recovered, now).unwrap();
        let mut applier = Applier::new(Some(roster()), id, Incarnation::numbered(member.incarnation), loaded);
        applier.set_checkpoint_every(2_000);
        member.running = Some((voter, applier));
        self.settle(id);
    }

    fn crash(&mut self, id: NodeId) {
        let unsynced = self.member(id).disk.unsynced.len() as u64;
        let kept = self.below(unsynced + 1) as usize;
        let member = self.member(id);
        let survived: Vec<_> = member.disk.unsynced.drain(..).take(kept).map(|(_, write)| write).collect();
        member.disk.synced.extend(survived);
        member.running = None;
        let lost = member.writes.len() as u64;
        member.writes.clear();
        member.reads.clear();
        member.ready.clear();
        self.unknown += lost;
    }

    /// Puts a value of its own under a key of its own, so that a second execution shows as a version of 2.
    fn write(&mut self, id: NodeId) {
        let value = self.next_value;
        let now = self.now;
        let Some((voter, _)) = &mut self.member(id).running else { return };
        let command = Command::Put(Put::new(format!("k{value}"), format!("v{value}")));
        if let Ok(sequence) = voter.write(now, command.encode()) {
            self.next_value += 1;
            self.member(id).writes.insert(sequence, value);
        }
        self.settle(id);
    }

    fn read(&mut self, id: NodeId) {
        let now = self.now;
        let acknowledged = self.acknowledged.len() as u64;
        let Some((voter, _)) = &mut self.member(id).running else { return };
        if let Ok(ticket) = voter.read(now) {
            self.member(id).reads.insert(ticket, acknowledged);
        }
        self.settle(id);
    }

    fn at(&mut self, time: Time, event: Event) {
        self.count += 1;
        self.events.push(Reverse((time, self.count, event)));
    }

    fn settle(&mut self, id: NodeId) {
        loop {
            let Some((voter, applier)) = &mut self.member(id).running else { return };
            if let Some(output) = voter.poll_output() {
                self.handle_voter(id, output);
            } else if let Some(output) = applier.poll_output() {
                self.handle_applier(id, output);
            } else {
                break;
            }
        }
        let member = self.members.get_mut(&id).unwrap();
        let Some((_, applier)) = &member.running else { return };
        let applied = applier.applied();
        for (_, acknowledged) in member.ready.extract_if(.., |(slot, _)| *slot <= applied) {
            let count = applier.view().range(&Range::new(KeyRange::From("k".into()))).unwrap().count;
            assert!(count as u64 >= acknowledged, "a read saw {count} of {acknowledged} acknowledged writes");
            self.reads_served += 1;
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, frame: &Bytes) {
        let copies = if self.below(100) < self.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            if self.below(100) >= self.lose {
                let time = self.now + Duration::from_micros(self.below(5_000));
                self.at(time, Event::Frame { to, from, frame: frame.clone() });
            }
        }
    }

    fn handle_voter(&mut self, id: NodeId, output: VoterOutput) {
        let now = self.now;
        match output {
            VoterOutput::Send { to, frame } => {
                for to in to {
                    self.send(id, to, &frame);
                }
            }
            VoterOutput::Introduce { to, frame } => {
                let to = ids().into_iter().find(|id| id.to_string() == to).unwrap();
                self.send(id, to, &frame);
            }
            VoterOutput::Met { .. } => {}
            VoterOutput::HoldRoster(_) | VoterOutput::Founded(_) => panic!("{id} holds the roster already"),
            VoterOutput::Stop { reason, .. } => panic!("{id} is told to stop: {reason}"),
            VoterOutput::Persist { token, state, mark, records } => {
                let member = self.member(id);
                let incarnation = member.incarnation;
                member.disk.unsynced.push((token, Write { state, mark, records }));
                let time = now + Duration::from_micros(self.below(3_000));
                self.at(time, Event::Synced { node: id, incarnation, token });
            }
            VoterOutput::Apply(item) => {
                let applier = &mut self.member(id).running.as_mut().unwrap().1;
                applier.handle(item);
                let (slot, revision) = (applier.applied(), applier.view().revision());
                let known = *self.revisions.entry(slot).or_insert(revision);
                assert_eq!(known, revision, "{id} is at another revision after {slot}");
            }
            VoterOutput::ReadReady { ticket, slot } => {
                let member = self.member(id);
                let acknowledged = member.reads.remove(&ticket).expect("a read is answered once");
                member.ready.push((slot, acknowledged));
            }
            VoterOutput::ReadFailed { ticket, .. } => {
                self.member(id).reads.remove(&ticket);
            }
            VoterOutput::WriteFailed { sequence, .. } => {
                self.member(id).writes.remove(&sequence);
                self.unknown += 1;
            }
            VoterOutput::ReadCheckpoint { .. } if self.checkpoints_stay => {}
            VoterOutput::ReadCheckpoint { to, offset, .. } => {
                let Some((slot, bytes)) = self.member(id).disk.checkpoint.clone() else { return };
                let part = bytes.slice(offset as usize..bytes.len().min(offset as usize + 500));
                let voter = &mut self.member(id).running.as_mut().unwrap().0;
                voter.handle_checkpoint_part(now, to, slot, offset, bytes.len() as u64, part);
            }
            VoterOutput::StoreCheckpoint { offset, bytes, .. } => {
                let receiving = &mut self.member(id).disk.receiving;
                receiving.truncate(offset as usize);
                receiving.extend_from_slice(&bytes);
            }
            VoterOutput::GiveUpCheckpoint => self.member(id).disk.receiving.clear(),
            VoterOutput::FinishCheckpoint { slot, length } => {
                let member = self.member(id);
                let bytes = Bytes::from(std::mem::take(&mut member.disk.receiving));
                assert_eq!(bytes.len() as u64, length);
                member.disk.checkpoint = Some((slot, bytes.clone()));
                let (voter, applier) = member.running.as_mut().unwrap();
                applier.install(load(&bytes));
                voter.handle_checkpoint_received(now, slot);
                self.installed += 1;
            }
            VoterOutput::Truncate { through } => {
                let synced = &mut self.member(id).disk.synced;
                let last = synced.pop();
                synced.retain(|write| write.mark > through.0);
                synced.extend(last);
            }
            VoterOutput::Rejected { from, reason } => panic!("{id} rejects what {from} sent: {reason}"),
        }
    }

    fn handle_applier(&mut self, id: NodeId, output: ApplierOutput) {
        let now = self.now;
        match output {
            ApplierOutput::Reply { sequence, applied, .. } => {
                if let Some(value) = self.member(id).writes.remove(&sequence) {
                    let previous = self.acknowledged.insert(value, applied.revision);
                    assert_eq!(previous, None, "value {value} was acknowledged twice");
                }
            }
            ApplierOutput::Registered { node, incarnation } => {
                self.member(id).running.as_mut().unwrap().0.handle_registered(now, node, incarnation);
            }
            ApplierOutput::ReplyUnknown { sequence } => {
                self.member(id).writes.remove(&sequence);
                self.unknown += 1;
            }
            ApplierOutput::Applied { slot } => {
                self.member(id).running.as_mut().unwrap().0.handle_applied(now, slot);
            }
            ApplierOutput::WriteCheckpoint(checkpoint) => {
                let bytes: Vec<u8> = checkpoint.parts().flat_map(|part| part.to_vec()).collect();
                let slot = checkpoint.slot();
                let member = self.member(id);
                if member.disk.checkpoint.as_ref().is_none_or(|(newest, _)| *newest < slot) {
                    member.disk.checkpoint = Some((slot, bytes.into()));
                }
                let (voter, applier) = member.running.as_mut().unwrap();
                applier.handle_checkpoint_written(slot);
                voter.handle_checkpoint_durable(now, slot);
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let timers = self
                .members
                .iter()
                .filter_map(|(id, member)| Some((member.running.as_ref()?.0.next_timeout()?, *id)));
            let timer = timers.min();
            let event = self.events.peek().map(|Reverse((time, ..))| *time);
            let next = event.into_iter().chain(timer.map(|(time, _)| time)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if event.is_some_and(|time| timer.is_none_or(|(timer, _)| time <= timer)) {
                let Reverse((_, _, event)) = self.events.pop().unwrap();
                self.handle(event);
            } else if let Some((_, id)) = timer {
                let now = self.now;
                self.member(id).running.as_mut().unwrap().0.handle_timeout(now);
                self.settle(id);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Frame { to, from, frame } => {
                if let Some((voter, _)) = &mut self.member(to).running {
                    voter.handle_frame(now, &from.to_string(), frame);
                    self.settle(to);
                }
            }
            Event::Synced { node, incarnation, token } => {
                let member = self.member(node);
                if member.incarnation != incarnation {
                    return;
                }
                let Some((voter, _)) = &mut member.running else { return };
                let done = member.disk.unsynced.extract_if(.., |(other, _)| *other <= token);
                let done: Vec<_> = done.map(|(_, write)| write).collect();
                member.disk.synced.extend(done);
                voter.handle_persisted(now, token);
                self.settle(node);
            }
        }
    }

    fn settle_down(&mut self, seed: u64) {
        (self.lose, self.duplicate, self.checkpoints_stay) = (0, 0, false);
        for id in ids() {
            if self.member(id).running.is_none() {
                self.start(id);
            }
        }
        let mut last = None;
        for _ in 0..100 {
            self.run(TIMEOUT / 2);
            let slots: BTreeSet<Slot> =
                self.members.values().map(|m| m.running.as_ref().unwrap().1.applied()).collect();
            let idle = self.members.values().all(|member| member.writes.is_empty());
            // A last write behind everything that an election may still have to recover.
            let last = *last.get_or_insert_with(|| {
                self.write(NodeId(1));
                self.next_value - 1
            });
            if slots.len() == 1 && idle && self.acknowledged.contains_key(&last) {
                return;
            }
        }
        let stand: Vec<_> = self.members.values().map(|m| m.running.as_ref().unwrap().0.status()).collect();
        panic!("seed {seed}: the members did not come to rest: {stand:#?}");
    }

    fn check(&self, seed: u64) {
        let hashes: BTreeSet<u64> =
            self.members.values().map(|m| m.running.as_ref().unwrap().1.view().hash()).collect();
        assert_eq!(hashes.len(), 1, "seed {seed}: the stores differ");
        let view = self.members[&NodeId(1)].running.as_ref().unwrap().1.view();
        for (value, revision) in &self.acknowledged {
            let key = KeyRange::One(format!("k{value}").into());
            let found = view.range(&Range::new(key)).unwrap().kvs;
            let [kv] = &found[..] else {
                panic!(
                    "seed {seed}: k{value}, acknowledged at revision {revision}, is gone at {}",
                    view.revision()
                )
            };
            assert_eq!(kv.version, 1, "seed {seed}: k{value} was written more than once");
            assert_eq!(kv.mod_revision, *revision, "seed {seed}: k{value} is not what was acknowledged");
        }
        let all = view.range(&Range::new(KeyRange::From("k".into()))).unwrap();
        assert!(all.kvs.iter().all(|kv| kv.version == 1), "seed {seed}: something ran twice");
    }
}

fn ids() -> Vec<NodeId> {
    (1..=3).map(NodeId).collect()
}

fn roster() -> Roster {
    Roster::new(CLUSTER, ids().into_iter().map(|id| (id.to_string(), id))).unwrap()
}

fn load(bytes: &[u8]) -> LoadedCheckpoint {
    let mut loader = CheckpointLoader::new(roster());
    for part in bytes.chunks(777) {
        loader.push(part).unwrap();
    }
    loader.finish().unwrap()
}

#[test]
fn every_acknowledged_write_is_there_once_on_every_member_whatever_crashes() {
    let (mut acknowledged, mut reads) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        (world.lose, world.duplicate) = (world.below(20), world.below(20));
        for _ in 0..200 {
            let id = NodeId(1 + world.below(3));
            let up = world.members[&id].running.is_some();
            match world.below(40) {
                0 if up => world.crash(id),
                1..=3 if !up => world.start(id),
                4..=10 => world.read(id),
                _ => {
                    for _ in 0..8 {
                        world.write(id);
                    }
                }
            }
            let pause = world.below(60);
            world.run(Duration::from_millis(pause));
        }
        world.settle_down(seed);
        world.check(seed);
        acknowledged += world.acknowledged.len();
        reads += world.reads_served;
    }
    assert!(acknowledged > 50_000, "only {acknowledged} writes were acknowledged");
    assert!(reads > 2_000, "only {reads} reads were served");
}

#[test]
fn a_member_without_disk_losses_survives_the_death_of_all_at_once() {
    let mut world = World::new(9);
    world.run(TIMEOUT * 2);
    for _ in 0..50 {
        world.write(NodeId(2));
        world.run(Duration::from_millis(10));
    }
    let acknowledged = world.acknowledged.len();
    assert!(acknowledged >= 40, "{acknowledged}");
    for id in ids() {
        world.crash(id);
    }
    world.settle_down(9);
    world.check(9);
    assert!(world.acknowledged.len() >= acknowledged);
}

#[test]
fn a_member_that_was_away_for_longer_than_the_log_is_kept_catches_up_by_a_checkpoint() {
    let mut installed = 0;
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.run(TIMEOUT * 2);
        world.write(NodeId(3));
        world.run(TIMEOUT);
        world.crash(NodeId(3));
        // One write a slot, for many more slots than are kept below a checkpoint.
        for _ in 0..900 {
            world.write(NodeId(1));
            world.run(Duration::from_millis(8));
        }
        (world.lose, world.duplicate) = (world.below(20), world.below(20));
        world.start(NodeId(3));
        // What is chosen meanwhile meets the checkpoint on its way.
        for _ in 0..100 {
            world.write(NodeId(2));
            world.run(Duration::from_millis(10));
        }
        world.settle_down(seed);
        world.check(seed);
        installed += u64::from(world.installed > 0);
        // What was installed survives a restart.
        world.crash(NodeId(3));
        world.settle_down(seed);
        world.check(seed);
    }
    assert!(installed > 10, "only {installed} of 20 worlds needed a checkpoint");
}

/// Two members have truncated their logs, the leader dies, and the third starts with an empty disk. Two of three are up,
/// so writes go on, whoever of them leads and however long the third waits for a checkpoint.
#[test]
fn writes_go_on_though_one_of_two_members_lacks_what_the_other_has_truncated() {
    let mut idle = Vec::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        for id in ids() {
            world.crash(id);
        }
        world.slots_retained = 4;
        let (a, b, empty) = (NodeId(1), NodeId(2), NodeId(3));
        world.start(a);
        world.start(b);
        world.run(TIMEOUT * 4);
        // One write a slot, for many more slots than are kept below a checkpoint.
        for _ in 0..100 {
            world.write(a);
            world.run(Duration::from_millis(10));
        }
        world.run(TIMEOUT);
        assert_eq!(world.member(empty).disk.synced.len(), 0, "seed {seed}: {empty} has written something");
        for id in [a, b] {
            assert!(world.status(id).truncated > Slot::ZERO, "seed {seed}: {id} has truncated nothing");
        }
        let leader = world.status(a).leader.unwrap().node;
        let left = if leader == a { b } else { a };
        world.checkpoints_stay = true;
        world.crash(leader);
        // Who is left knows that the leader is gone, and a new process has the shorter patience.
        world.run(TIMEOUT / 2);
        world.start(empty);
        let (acknowledged, reads) = (world.acknowledged.len(), world.reads_served);
        for _ in 0..10 {
            world.write(left);
            world.read(left);
            world.run(TIMEOUT);
        }
        if world.acknowledged.len() == acknowledged || world.reads_served == reads {
            idle.push(seed);
        }
        world.settle_down(seed);
        world.check(seed);
    }
    assert!(idle.is_empty(), "nothing was answered for ten election timeouts with these seeds: {idle:?}");
}
