//! Nodes that start, die, stand still and come back.

use synod_paxos::node::NodeId;

use super::{Event, World};
use crate::machine::{Death, Doom};
use crate::program::{Boot, BootError, Program, Reply};
use crate::random::Random;
use crate::trace::Happening;

impl<P: Program> World<P> {
    pub(super) fn boot(&mut self, node: NodeId) {
        let (nodes, setup, world) = (self.nodes.clone(), self.setup.clone(), self.now);
        let machine = self.machine(node);
        if machine.held_down > 0 || machine.program.is_some() || machine.gone.is_some() {
            return;
        }
        if machine.set_back && !self.untold && !self.would_be_told(node) {
            return self.wait_to_be_told(node);
        }
        let machine = self.machine(node);
        machine.boots += 1;
        let seed = machine.random.number();
        let boot = Boot {
            id: node,
            nodes,
            disk: machine.disk.clone(),
            disk_id: machine.disk_id(),
            // Not a draw of its own, which would change every history of the seeds before there were nonces.
            nonce: Random::new(seed, "nonce").number(),
            now: machine.clock.show(world),
            seed,
        };
        match P::boot(&setup, boot) {
            Ok(program) => {
                machine.program = Some(program);
                // What a start has found is durable and no longer new.
                machine.note_synced();
                if P::REPLACES_DISKS && !machine.set_back {
                    machine.keep_copy();
                }
                self.note(7, node.0, 0);
                self.record(|| Happening::Fault { node: Some(node.0), text: "starts".to_owned() });
                self.settle(node);
            }
            Err(BootError::Disk(reason)) => {
                self.record(|| Happening::Fault { node: Some(node.0), text: format!("no start: {reason}") });
                let death = self.machines[&node].doom.map_or(Death::Process, |doom| doom.death);
                self.machine(node).die(death);
                let later = self.now + 10_000_000 + self.random.below(100_000_000);
                self.at(later, Event::Boot { node });
            }
            Err(BootError::Refused(reason)) => {
                self.record(|| Happening::Fault { node: Some(node.0), text: format!("refuses: {reason}") });
                let machine = &self.machines[&node];
                // One that was refused as set back remembers that.
                if !machine.damaged && !machine.set_back {
                    self.violate(
                        "Durability",
                        format!("{node} refuses to start, and nothing was damaged: {reason}"),
                    );
                }
                self.machine(node).gone = Some(reason);
            }
        }
    }

    /// A node dies: everything on the way to and from its clients is broken off.
    pub(super) fn die(&mut self, node: NodeId, death: Death) {
        self.note(8, node.0, u64::from(death == Death::Power));
        self.record(|| Happening::Fault { node: Some(node.0), text: format!("dies ({death:?})") });
        self.tally.deaths += 1;
        let machine = self.machine(node);
        machine.die(death);
        let restarts = machine.held_down == 0;
        self.stashed.remove(&node);
        self.leading.remove(&node);
        self.answers.forget(node);
        let open = self.requests.iter().filter(|(_, (_, asked))| *asked == node);
        let open: Vec<_> = open.map(|(request, (client, _))| (*request, *client)).collect();
        for (request, client) in open {
            self.requests.remove(&request);
            let at = self.now + self.random.below(5_000_000);
            self.at(at, Event::Reply { client, request, reply: Reply::Unknown });
        }
        if restarts {
            let later = self.now + 5_000_000 + self.random.below(300_000_000);
            self.at(later, Event::Boot { node });
        }
        self.take_down_set_back();
    }

    /// A node's program stops for good by its own decision, which only a disk that is not what it was can justify.
    pub(super) fn stop_for_good(&mut self, node: NodeId, reason: String) {
        self.record(|| Happening::Fault { node: Some(node.0), text: format!("stops for good: {reason}") });
        if !self.machines[&node].is_suspect() {
            self.violate("Durability", format!("{node} stops for good, and its disk is as it was: {reason}"));
        }
        self.machine(node).gone = Some(reason);
        self.die(node, Death::Process);
    }

    /// One reason less for a node to be down.
    pub(super) fn relieve(&mut self, node: NodeId) {
        let machine = self.machine(node);
        machine.held_down -= 1;
        if machine.held_down == 0 {
            self.boot(node);
        }
    }

    /// A node dies at once and stays down until it is relieved.
    pub(super) fn crash(&mut self, node: NodeId, death: Death) {
        self.machine(node).held_down += 1;
        if self.machines[&node].program.is_some() {
            self.die(node, death);
        }
    }

    /// A node will die in the middle of something.
    pub(super) fn doom(&mut self, node: NodeId, doom: Doom, disk_operations: Option<u64>) {
        let machine = self.machine(node);
        machine.doom = Some(doom);
        if let Some(operations) = disk_operations {
            machine.disk.stop_after(operations);
        }
        let boot = machine.boots;
        self.at(self.now + 100_000_000, Event::Overdue { node, boot });
    }

    pub(super) fn pause(&mut self, node: NodeId) {
        let now = self.now;
        let machine = self.machine(node);
        machine.paused += 1;
        machine.keep_time(now);
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        let now = self.now;
        let machine = self.machine(node);
        machine.paused -= 1;
        machine.keep_time(now);
        if machine.paused == 0 {
            for event in self.stashed.remove(&node).unwrap_or_default() {
                self.at(self.now, event);
            }
        }
    }
}
