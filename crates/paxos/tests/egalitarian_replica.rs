//! Replicas with their deadlines, in a world of virtual time: what is lost is asked again, what is orphaned is recovered,
//! and what everybody has executed is forgotten.

#![allow(clippy::unwrap_used)]

mod support_egalitarian;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support_egalitarian::{Cmd, Msg, State, n};
use synod_paxos::durable::Token;
use synod_paxos::egalitarian::id::IdSet;
use synod_paxos::egalitarian::record::Record;
use synod_paxos::egalitarian::replica::Replica;
use synod_paxos::node::{Incarnation, NodeId};
use synod_paxos::protocol::{Output, Protocol, Start};
use synod_paxos::time::Time;

const PATIENCE: Duration = Duration::from_millis(200);
const ONE_WAY: Duration = Duration::from_millis(10);
const DISK: Duration = Duration::from_millis(1);

enum Event {
    Arrive { from: NodeId, to: NodeId, message: Msg },
    Synced { node: NodeId, start: u64, token: Token, records: Vec<Record<Cmd>> },
    Wake { node: NodeId, start: u64 },
}

struct Host {
    replica: Option<Replica<Cmd>>,
    starts: u64,
    state: State,
    disk: Vec<Record<Cmd>>,
    checkpoint: (IdSet, State),
    executed_at: BTreeMap<u32, Time>,
    wakes: BTreeSet<Time>,
    installed: usize,
}

struct World {
    now: Time,
    hosts: BTreeMap<NodeId, Host>,
    events: BTreeMap<(Time, u64), Event>,
    counter: u64,
    random: u64,
    /// Of a hundred messages.
    lost: u64,
    /// How many executed commands there are between two durable states, if there are any.
    checkpoint_every: Option<usize>,
}

impl World {
    fn new(count: u64) -> World {
        let mut world = World {
            now: Time::ZERO,
            hosts: BTreeMap::new(),
            events: BTreeMap::new(),
            counter: 0,
            random: 7,
            lost: 0,
            checkpoint_every: None,
        };
        for id in 1..=count {
            let host = Host {
                replica: None,
                starts: 0,
                state: State::new(),
                disk: Vec::new(),
                checkpoint: (IdSet::default(), State::new()),
                executed_at: BTreeMap::new(),
                wakes: BTreeSet::new(),
                installed: 0,
            };
            world.hosts.insert(n(id), host);
        }
        for id in 1..=count {
            world.start(n(id));
        }
        world
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn start(&mut self, node: NodeId) {
        let nodes = self.hosts.keys().copied().collect();
        let now = self.now;
        let host = self.hosts.get_mut(&node).unwrap();
        host.starts += 1;
        host.state = host.checkpoint.1.clone();
        let start = Start {
            id: node,
            incarnation: Incarnation::numbered(host.starts),
            nodes,
            patience: PATIENCE,
            seed: node.0 * 1000 + host.starts,
            now,
        };
        host.replica = Some(Replica::start(start, host.checkpoint.0.clone(), host.disk.clone()).unwrap());
        self.drain(node);
    }

    fn stop(&mut self, node: NodeId) {
        self.hosts.get_mut(&node).unwrap().replica = None;
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    fn with(&mut self, node: NodeId, action: impl FnOnce(&mut Replica<Cmd>, Time)) {
        let now = self.now;
        if let Some(replica) = &mut self.hosts.get_mut(&node).unwrap().replica {
            action(replica, now);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: NodeId) {
        let now = self.now;
        loop {
            let host = self.hosts.get_mut(&node).unwrap();
            let start = host.starts;
            let Some(output) = host.replica.as_mut().unwrap().poll_output(now) else { break };
            match output {
                Output::Send { to, message } => {
                    for to in to {
                        let delay = ONE_WAY + Duration::from_micros(self.draw(2_000));
                        if self.draw(100) >= self.lost {
                            let message = message.clone();
                            self.schedule(now + delay, Event::Arrive { from: node, to, message });
                        }
                    }
                }
                Output::Persist { token, records } => {
                    self.schedule(now + DISK, Event::Synced { node, start, token, records });
                }
                Output::Execute { commands } => {
                    for command in commands {
                        host.state.entry(command.key).or_default().push(command.name);
                        host.executed_at.entry(command.name).or_insert(now);
                    }
                }
                Output::StateNeeded { from } => self.install(node, from),
            }
        }
        self.checkpoint(node);
        let host = self.hosts.get_mut(&node).unwrap();
        let next = host.replica.as_ref().unwrap().next_timeout();
        let start = host.starts;
        if let Some(at) = next.map(|at| at.max(now))
            && host.wakes.insert(at)
        {
            self.schedule(at, Event::Wake { node, start });
        }
    }

    fn install(&mut self, node: NodeId, from: NodeId) {
        let now = self.now;
        let source = &self.hosts[&from];
        let Some(replica) = &source.replica else { return };
        let (position, state) = (replica.position(), source.state.clone());
        let host = self.hosts.get_mut(&node).unwrap();
        if host.replica.as_mut().unwrap().install(now, &position) {
            host.checkpoint = (position, state.clone());
            host.state = state;
            host.installed += 1;
        }
    }

    fn checkpoint(&mut self, node: NodeId) {
        let Some(every) = self.checkpoint_every else { return };
        let host = self.hosts.get_mut(&node).unwrap();
        let count = |state: &State| state.values().map(Vec::len).sum::<usize>();
        if count(&host.state) >= count(&host.checkpoint.1) + every {
            let replica = host.replica.as_mut().unwrap();
            host.checkpoint = (replica.position(), host.state.clone());
            replica.truncate(&host.checkpoint.0);
        }
    }

    fn propose(&mut self, node: u64, name: u32) {
        self.with(n(node), |replica, now| replica.propose(now, Cmd { name, key: 0 }));
    }

    /// Goes on until `done` or for so long.
    fn run(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            let Some(((at, _), event)) = self.events.pop_first() else { return false };
            if at > end {
                return false;
            }
            self.now = at;
            match event {
                Event::Arrive { from, to, message } => self.with(to, |replica, now| {
                    replica.handle_message(now, from, message).unwrap();
                }),
                Event::Synced { node, start, token, records } => {
                    let host = self.hosts.get_mut(&node).unwrap();
                    if host.starts == start && host.replica.is_some() {
                        host.disk.extend(records);
                        self.with(node, |replica, now| replica.handle_persisted(now, token));
                    }
                }
                Event::Wake { node, start } => {
                    let host = self.hosts.get_mut(&node).unwrap();
                    host.wakes.remove(&at);
                    if host.starts == start {
                        self.with(node, Replica::handle_timeout);
                    }
                }
            }
        }
        true
    }

    fn order(&self, node: u64) -> Vec<u32> {
        self.hosts[&n(node)].state.get(&0).cloned().unwrap_or_default()
    }

    /// Everybody who is up has executed so many commands, and all in one order.
    fn all_have(&self, count: usize) -> bool {
        let up = self.hosts.values().filter(|host| host.replica.is_some());
        let orders: BTreeSet<Vec<u32>> =
            up.map(|host| host.state.get(&0).cloned().unwrap_or_default()).collect();
        orders.len() == 1 && orders.iter().all(|order| order.len() == count)
    }

    fn held(&self, node: u64) -> usize {
        self.hosts[&n(node)].replica.as_ref().unwrap().core().table().instances().count()
    }
}

#[test]
fn a_command_alone_is_executed_after_one_round_trip_and_three_writes() {
    let mut world = World::new(5);
    world.run(PATIENCE, |_| false);
    let began = world.now;
    world.propose(1, 1);
    assert!(world.run(PATIENCE, |world| world.all_have(1)));
    let took = world.hosts[&n(1)].executed_at[&1].since(began);
    assert!(took <= ONE_WAY * 2 + Duration::from_millis(4) + DISK * 3, "{took:?}");
}

#[test]
fn what_is_lost_is_asked_again_and_all_execute_all_in_one_order() {
    for replicas in [3, 5] {
        let mut world = World::new(replicas);
        world.lost = 20;
        for name in 0..40 {
            world.propose(u64::from(name) % replicas + 1, name);
            world.run(Duration::from_millis(15), |_| false);
        }
        assert!(world.run(Duration::from_secs(60), |world| world.all_have(40)), "{replicas}");
    }
}

#[test]
fn a_command_whose_owner_died_does_not_hold_up_those_that_depend_on_it() {
    let mut world = World::new(3);
    world.run(PATIENCE, |_| false);
    world.propose(1, 1);
    // Its question is under way, and its answer will find nobody.
    world.run(DISK + Duration::from_micros(1), |_| false);
    world.stop(n(1));
    world.propose(2, 2);
    world.run(Duration::from_secs(20), |world| world.order(2).contains(&2) && world.order(3).contains(&2));
    assert!(world.order(2).contains(&2) && world.order(3).contains(&2));
    world.start(n(1));
    assert!(world.run(Duration::from_secs(20), |world| world.all_have(2)));
}

#[test]
fn replicas_that_crash_one_after_the_other_lose_nothing() {
    let mut world = World::new(3);
    world.lost = 5;
    for round in 0..6_u32 {
        let victim = u64::from(round % 3) + 1;
        for name in 0..6 {
            world.propose(u64::from(name % 3) + 1, round * 10 + name);
        }
        world.run(Duration::from_millis(5 + 7 * u64::from(round)), |_| false);
        world.stop(n(victim));
        world.run(PATIENCE, |_| false);
        world.start(n(victim));
        // What was not durable when its owner crashed is proposed again by the client, under its own name.
        for name in 0..6 {
            let owner = u64::from(name % 3) + 1;
            let command = Cmd { name: round * 10 + name, key: 0 };
            let known = |host: &Host| {
                host.disk.iter().any(|record| match record {
                    Record::Instance { instance, .. } => instance.command == Some(command),
                    _ => false,
                })
            };
            if !known(&world.hosts[&n(owner)]) {
                world.propose(owner, command.name);
            }
        }
        let count = 6 * (round as usize + 1);
        assert!(world.run(Duration::from_secs(60), |world| world.all_have(count)), "round {round}");
    }
}

#[test]
fn what_everybody_has_executed_is_forgotten() {
    let mut world = World::new(3);
    world.checkpoint_every = Some(10);
    for name in 0..300 {
        world.propose(u64::from(name) % 3 + 1, name);
        world.run(Duration::from_millis(20), |_| false);
    }
    assert!(world.run(Duration::from_secs(10), |world| world.all_have(300)));
    world.run(PATIENCE * 10, |_| false);
    for node in 1..=3 {
        assert!(world.held(node) < 60, "{node} holds {}", world.held(node));
    }
    assert!(world.hosts.values().all(|host| host.installed == 0), "nobody was left behind");
}

#[test]
fn who_is_away_for_long_does_not_keep_the_others_from_forgetting_and_installs_a_state_when_it_is_back() {
    let mut world = World::new(3);
    world.checkpoint_every = Some(10);
    world.propose(3, 1000);
    assert!(world.run(Duration::from_secs(10), |world| world.all_have(1)));
    world.stop(n(3));
    for name in 0..600 {
        world.propose(u64::from(name) % 2 + 1, name);
        world.run(Duration::from_millis(20), |_| false);
    }
    assert!(world.run(Duration::from_secs(10), |world| world.all_have(601)));
    world.run(PATIENCE * 10, |_| false);
    assert!(world.held(1) < 300, "n1 holds {}", world.held(1));
    world.start(n(3));
    assert!(world.run(Duration::from_secs(30), |world| world.all_have(601)));
    assert_eq!(world.hosts[&n(3)].installed, 1);
    world.propose(3, 2000);
    assert!(world.run(Duration::from_secs(10), |world| world.all_have(602)));
}

#[test]
fn the_same_command_proposed_again_while_it_is_in_flight_is_executed_once() {
    let mut world = World::new(3);
    world.propose(1, 1);
    world.with(n(1), |replica, now| replica.propose_again(now, Cmd { name: 1, key: 0 }));
    assert!(world.run(Duration::from_secs(5), |world| world.all_have(1)));
    assert_eq!(world.held(1), 1);
}
