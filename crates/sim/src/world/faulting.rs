//! The plan's faults, carried out.

use synod_paxos::node::NodeId;

use super::{Event, World};
use crate::faults::{ClientHabits, Fault, Point};
use crate::machine::Doom;
use crate::network::{Letter, Link, Weather};
use crate::program::{Program, Queue};
use crate::trace::Happening;

impl<P: Program> World<P> {
    pub(super) fn begin(&mut self, index: usize) {
        let planned = self.plan.faults[index].clone();
        let node = planned.fault.node().map(|node| node.0);
        self.note(9, index as u64, 0);
        let text = planned.fault.to_string();
        self.record(|| Happening::Fault { node, text });
        self.at(self.now + planned.lasts, Event::End(index));
        let world = self.now;
        match planned.fault {
            Fault::Cut(_, links) => self.network.cut(&links),
            Fault::Clog(links) => self.network.clog(&links),
            Fault::Crash(node, death, Point::Now) => self.crash(node, death),
            Fault::Crash(node, death, Point::Effects(effects)) => {
                self.doom(node, Doom { effects: Some(effects), death }, None);
            }
            Fault::Crash(node, death, Point::DiskOperations(operations)) => {
                self.doom(node, Doom { effects: None, death }, Some(operations));
            }
            Fault::CrashAll(death) => {
                for node in self.nodes.clone() {
                    self.crash(node, death);
                }
            }
            Fault::Pause(node) => self.pause(node),
            Fault::SlowDisk(node, times) => self.machine(node).writer.slow = times,
            Fault::StuckDisk(node) => self.stick(node, Queue::Journal),
            Fault::SlowApplier(node, times) => self.machine(node).applier.slow = times,
            Fault::HungApplier(node) => self.stick(node, Queue::Apply),
            Fault::FullDisk(node, room) => {
                let disk = &self.machine(node).disk;
                disk.set_capacity(disk.used() + room);
            }
            Fault::FailSync(node, nth) => self.machine(node).disk.fail_sync(nth),
            Fault::FailOperation(node, nth) => self.machine(node).disk.fail_operation(nth),
            Fault::FlipBit(node) => self.flip_bit(node),
            Fault::Misdirect(node) => self.misdirect(node),
            Fault::Replace(node) => self.replace(node),
            Fault::Restore(node) if P::REPLACES_DISKS => self.restore(node),
            Fault::Restore(_) => {}
            Fault::Jump(node, ahead) => self.machine(node).clock.jump(world, ahead),
            Fault::Drift(node, rate) => self.machine(node).clock.drift(world, rate),
        }
    }

    pub(super) fn end(&mut self, index: usize) {
        let world = self.now;
        self.note(10, index as u64, 0);
        match self.plan.faults[index].fault.clone() {
            Fault::Cut(_, links) => self.network.join(&links),
            Fault::Clog(links) => self.unclog(&links),
            Fault::Crash(node, _, Point::Now) => self.relieve(node),
            Fault::CrashAll(_) => {
                for node in self.nodes.clone() {
                    self.relieve(node);
                }
            }
            Fault::Replace(node) | Fault::Restore(node) if P::REPLACES_DISKS => self.relieve(node),
            Fault::Pause(node) => self.resume(node),
            Fault::SlowDisk(node, _) => self.machine(node).writer.slow = 1,
            Fault::StuckDisk(node) => self.unstick(node, Queue::Journal),
            Fault::SlowApplier(node, _) => self.machine(node).applier.slow = 1,
            Fault::HungApplier(node) => self.unstick(node, Queue::Apply),
            Fault::FullDisk(node, _) => self.machine(node).disk.set_capacity(u64::MAX),
            Fault::Drift(node, _) => self.machine(node).clock.drift(world, crate::clock::STEADY),
            _ => {}
        }
        self.record(|| Happening::Fault { node: None, text: format!("fault {index} is over") });
    }

    fn unclog(&mut self, links: &[Link]) {
        let released: Vec<Letter> = self.network.unclog(links);
        for letter in released {
            let at = self.now + self.network.delay();
            self.at(at, Event::Deliver(letter));
        }
    }

    /// What does the work of `queue` does nothing.
    fn stick(&mut self, node: NodeId, queue: Queue) {
        let now = self.now;
        let machine = self.machine(node);
        machine.worker(queue).stuck += 1;
        machine.keep_time(now);
    }

    fn unstick(&mut self, node: NodeId, queue: Queue) {
        let now = self.now;
        let machine = self.machine(node);
        let worker = machine.worker(queue);
        worker.stuck -= 1;
        let released = if worker.stuck == 0 { std::mem::take(&mut worker.waiting) } else { Vec::new() };
        machine.keep_time(now);
        let (boot, paused) = (machine.boots, machine.paused > 0);
        let released = released.into_iter().map(|(queue, work)| Event::Work { node, boot, queue, work });
        if paused {
            // A process that stands still gets to it first when it goes on: work of one queue is done in order.
            self.stashed.entry(node).or_default().splice(0..0, released);
        } else {
            released.for_each(|event| self.at(now, event));
        }
    }

    /// An old record rots. The program notices when it reads it: at its next start.
    fn flip_bit(&mut self, node: NodeId) {
        if !self.is_founded() {
            return;
        }
        let machine = self.machine(node);
        let Some((name, offset, _)) = machine.old_place() else { return };
        machine.damaged = true;
        let mask = 1 << machine.random.below(8);
        machine.disk.flip(&name, offset, mask);
    }

    /// What belongs elsewhere in a file is written over an old record: most often exactly where one begins, so that
    /// what is there now is whole, and in the wrong place.
    fn misdirect(&mut self, node: NodeId) {
        if !self.is_founded() {
            return;
        }
        let machine = self.machine(node);
        let Some((name, offset, old)) = machine.old_place() else { return };
        let Some(bytes) = machine.disk.contents(&name) else { return };
        machine.damaged = true;
        let bytes = &bytes[..old];
        let starts = record_starts(bytes);
        let (from, to) = if starts.len() > 1 && machine.random.chance(700) {
            (*machine.random.pick(&starts), *machine.random.pick(&starts))
        } else {
            (usize::try_from(machine.random.below(bytes.len() as u64)).expect("an offset"), offset)
        };
        let end = starts.iter().copied().find(|start| *start > from).unwrap_or(from + 64);
        for (index, byte) in bytes[from..end.min(old)].iter().enumerate() {
            if let Some(was) = bytes.get(to + index) {
                machine.disk.flip(&name, to + index, was ^ byte);
            }
        }
    }

    /// No fault begins any more, and those under way end.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.network.weather = Weather::FAIR;
        self.habits = ClientHabits { reply_loss: 0, slow_reader: 0, large: 0 };
        let events = std::mem::take(&mut self.events).into_vec();
        let mut ending = Vec::new();
        for due in events {
            match due.0.2 {
                Event::Begin(_) => {}
                Event::End(index) => ending.push((due.0.1, index)),
                _ => self.events.push(due),
            }
        }
        // In the order in which they began.
        ending.sort_unstable();
        for (_, index) in ending {
            self.end(index);
        }
        for node in self.nodes.clone() {
            let machine = self.machine(node);
            machine.doom = None;
            machine.disk.repair();
            if machine.set_back && machine.program.is_none() && machine.gone.is_none() {
                self.wait_to_be_told(node);
            }
        }
    }

    /// Cuts links until [`World::join`].
    pub fn cut(&mut self, links: &[Link]) {
        self.record(|| Happening::Fault { node: None, text: crate::faults::describe_links("cut", links) });
        self.network.cut(links);
    }

    /// Takes back a cut.
    pub fn join(&mut self, links: &[Link]) {
        self.record(|| Happening::Fault { node: None, text: crate::faults::describe_links("joined", links) });
        self.network.join(links);
    }

    /// A node dies and stays down until [`World::restart`].
    pub fn kill(&mut self, node: NodeId, death: crate::machine::Death) {
        self.crash(node, death);
    }

    /// A node that was killed starts again.
    pub fn restart(&mut self, node: NodeId) {
        self.relieve(node);
    }

    /// A node's process stands still until [`World::go_on`].
    pub fn stop(&mut self, node: NodeId) {
        self.record(|| Happening::Fault { node: Some(node.0), text: "sleeps".to_owned() });
        self.pause(node);
    }

    /// A node's process goes on.
    pub fn go_on(&mut self, node: NodeId) {
        self.record(|| Happening::Fault { node: Some(node.0), text: "wakes up".to_owned() });
        self.resume(node);
    }

    /// Changes the weather.
    pub fn set_weather(&mut self, weather: Weather) {
        self.network.weather = weather;
    }
}

/// Where batches of a journal begin.
fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let magic = synod_journal::BATCH_MAGIC;
    let places = bytes.windows(magic.len()).enumerate();
    places.filter(|(_, window)| window == magic).map(|(place, _)| place).collect()
}
