//! Disks that are replaced: by an empty one, or by an earlier copy.

use synod_paxos::node::NodeId;

use super::{Event, World};
use crate::copies::Copy;
use crate::machine::Death;
use crate::program::Program;
use crate::trace::Happening;

/// How long a machine with an earlier copy waits for members that could tell.
const TRIES_AGAIN: u64 = 200_000_000;

impl<P: Program> World<P> {
    /// The disk is lost, and an empty one put in. A program that is not made for that never comes back.
    pub(super) fn replace(&mut self, node: NodeId) {
        self.crash(node, Death::Process);
        if P::REPLACES_DISKS {
            // With the last disk that holds the roster all is lost, and what is left may found another cluster.
            if !(self.ledger.has_promises() && self.disks.holds_alone(node)) {
                self.put_in(node, None);
            }
            return;
        }
        let machine = self.machine(node);
        machine.put_in(None);
        machine.damaged = true;
        machine.gone = Some("its disk was replaced by an empty one".to_owned());
    }

    /// The disk is set back to an earlier copy, if there is one that it would be refused for.
    pub(super) fn restore(&mut self, node: NodeId) {
        self.crash(node, Death::Process);
        // Before all hold the roster, its cluster may have to wait for just this disk.
        if self.is_founded()
            && let Some(copy) = self.machine(node).copies.draw()
        {
            self.put_in(node, Some(copy));
        }
    }

    pub(super) fn put_in(&mut self, node: NodeId, copy: Option<Copy>) {
        let set_back = copy.is_some();
        let machine = self.machine(node);
        machine.put_in(copy);
        let disk = machine.node_id();
        self.disks.insert(node, disk, set_back);
        // What a disk promised that is gone binds no other. One that was set back may not promise anything at all.
        self.ledger.forget(node);
        let text = if set_back { "has an earlier copy of its disk" } else { "has an empty disk" };
        self.record(|| Happening::Fault { node: Some(node.0), text: format!("{text} ({disk})") });
    }

    /// Whether every disk has held the roster at some moment. Until then a disk that refuses to start can keep all others
    /// waiting, which is no fault of theirs.
    pub(super) fn is_founded(&mut self) -> bool {
        self.founded |= !P::REPLACES_DISKS || self.disks.all_hold();
        self.founded
    }

    /// Whether a machine with an earlier copy may start: all others run and would tell, but for those that take no part.
    /// Otherwise the copy may be believed, which no rule prevents.
    pub(super) fn would_be_told(&self, node: NodeId) -> bool {
        let disk = &self.machines[&node].disk;
        let others = self.machines.values().filter(|machine| machine.id != node && machine.gone.is_none());
        let mut tellers = 0;
        for other in others {
            match &other.program {
                Some(program) if !program.takes_part() => {}
                Some(program) if program.tells_rollback(node, &Copy::of(disk, 0, false).disk) => tellers += 1,
                _ => return false,
            }
        }
        tellers > 0
    }

    /// A machine with an earlier copy cannot start now. When the faults are over, it never can.
    pub(super) fn wait_to_be_told(&mut self, node: NodeId) {
        if self.calm {
            let reason = "its disk was set back, and not every member could tell".to_owned();
            self.machine(node).gone = Some(reason);
        } else {
            self.at(self.now + TRIES_AGAIN, Event::Boot { node });
        }
    }

    /// A process died, and what it knew of others with it: those whose disks were set back are taken down.
    pub(super) fn take_down_set_back(&mut self) {
        for node in self.nodes.clone() {
            let machine = &self.machines[&node];
            if machine.set_back && machine.program.is_some() {
                self.die(node, Death::Process);
            }
        }
    }

    /// Machines that run on an earlier copy of their disk, and take part.
    pub fn set_back(&self) -> impl Iterator<Item = NodeId> {
        let machines = self.machines.values().filter(|machine| machine.set_back);
        let running = machines.filter(|machine| machine.program.as_ref().is_some_and(Program::takes_part));
        running.map(|machine| machine.id)
    }

    /// Machines that are to take part in the cluster and do not: those with their first disk, as it should be.
    pub fn missing(&self) -> impl Iterator<Item = NodeId> {
        let machines = self.machines.values().filter(|machine| !machine.is_suspect());
        let missing = machines.filter(|machine| !machine.program.as_ref().is_some_and(Program::takes_part));
        missing.map(|machine| machine.id)
    }
}
