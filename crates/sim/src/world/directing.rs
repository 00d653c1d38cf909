//! What a director of a scenario does to a world, and sees of it, beside what a plan does.

use synod_paxos::ballot::Ballot;
use synod_paxos::node::NodeId;

use super::World;
use crate::faults::{Fault, Planned};
use crate::program::Program;

/// Longer than any scenario.
const UNTIL_TOLD: u64 = u64::MAX / 4;

impl<P: Program> World<P> {
    /// A fault begins now. Returns its number, for [`World::relent`].
    pub fn strike(&mut self, fault: Fault) -> usize {
        let index = self.plan.faults.len();
        self.plan.faults.push(Planned { at: self.now, lasts: UNTIL_TOLD, fault });
        self.begin(index);
        index
    }

    /// A fault that struck ends.
    pub fn relent(&mut self, index: usize) {
        self.end(index);
    }

    /// Files of `node` whose names begin so rot in the middle.
    pub fn rot(&mut self, node: NodeId, beginning: &str) {
        let machine = self.machine(node);
        machine.damaged = true;
        for name in machine.disk.names().iter().filter(|name| name.starts_with(beginning)) {
            let size = machine.disk.contents(name).map_or(0, |contents| contents.len());
            machine.disk.flip(name, size / 2, 1);
        }
    }

    /// A copy of the disk of `node` is kept.
    pub fn keep_copy(&mut self, node: NodeId) {
        self.machine(node).keep_copy();
    }

    /// The disk of `node`, which is down, is set back to a copy that was kept. It starts again whether or not the others
    /// would tell: they are to be put to the test.
    pub fn set_back_untold(&mut self, node: NodeId) {
        self.untold = true;
        let copy = self.machine(node).copies.oldest();
        self.put_in(node, copy);
    }

    /// From now on messages between these two take `delay` nanoseconds either way, and arrive in order.
    pub fn set_distance(&mut self, one: NodeId, other: NodeId, delay: u64) {
        self.network.set_distance((one, other), delay);
        self.network.set_distance((other, one), delay);
    }

    /// The ballot with which a live node believes that it leads.
    pub fn leads(&self, node: NodeId) -> Option<Ballot> {
        self.leading.get(&node).copied()
    }

    /// The leader with the highest ballot, if any node believes that it leads.
    pub fn leader(&self) -> Option<NodeId> {
        self.leading.iter().max_by_key(|(_, ballot)| **ballot).map(|(node, _)| *node)
    }
}
