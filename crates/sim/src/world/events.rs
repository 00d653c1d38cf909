//! What each event does.

use synod_paxos::ballot::Ballot;
use synod_paxos::node::NodeId;

use super::filter::Fate;
use super::{EFFECTS_MAX, Event, QUEUED_MAX, World, print};
use crate::check::Violation;
use crate::machine::{Death, Doom};
use crate::network::Letter;
use crate::program::{Effect, Fact, Program, Queue, WorkId};
use crate::trace::Happening;

/// An applier that is slow gets no slower once it is so many nanoseconds behind.
const BACKLOG_MAX: u64 = 3_000_000_000;

impl<P: Program> World<P> {
    pub(super) fn handle(&mut self, event: Event) {
        // A process that stands still sees everything later.
        if let Some(node) = addressee(&event)
            && self.machines[&node].paused > 0
        {
            self.stashed.entry(node).or_default().push(event);
            return;
        }
        match event {
            Event::Deliver(letter) => self.deliver(letter),
            Event::Work { node, boot, queue, work } => self.work(node, boot, queue, work),
            Event::WorkDone { node, boot, work } => self.work_done(node, boot, work),
            Event::Overdue { node, boot } => {
                let machine = &self.machines[&node];
                let doom = machine.doom.filter(|_| machine.boots == boot && machine.program.is_some());
                if let Some(Doom { death, .. }) = doom {
                    self.die(node, death);
                }
            }
            Event::Boot { node } => self.boot(node),
            Event::Relieve { node } => self.relieve(node),
            Event::Begin(index) => self.begin(index),
            Event::End(index) => self.end(index),
            Event::Act { client } => self.act(client),
            Event::Request { node, request, operation } => self.request(node, request, operation),
            Event::Reply { client, request, reply } => self.reply(client, request, reply),
            Event::Impatient { client, request } => self.impatient(client, request),
        }
    }

    /// A node's deadline has come.
    pub(super) fn wake(&mut self, node: NodeId) {
        let now = self.machines[&node].clock.show(self.now);
        self.note(1, node.0, 0);
        if let Some(program) = &mut self.machine(node).program {
            program.handle_timeout(now);
        }
        self.settle(node);
    }

    fn deliver(&mut self, letter: Letter) {
        let Letter { message, from, to, run, frame } = letter;
        let machine = &self.machines[&to];
        // A connection ends with its process. Others are tried with what was meant for an earlier one all the same.
        let missed = machine.set_back && machine.boots != run;
        let cut = missed || self.network.is_cut((from, to));
        let now = self.machines[&to].clock.show(self.now);
        let Some(program) = self.machine(to).program.as_mut().filter(|_| !cut) else {
            self.record(|| Happening::Dropped { message, to: to.0 });
            return;
        };
        program.handle_frame(now, from, frame);
        self.note(2, message, to.0);
        self.record(|| Happening::Delivered { message, from: from.0, to: to.0 });
        self.settle(to);
    }

    fn work(&mut self, node: NodeId, boot: u64, queue: Queue, work: WorkId) {
        let real = self.now;
        let machine = self.machine(node);
        if machine.boots != boot || machine.program.is_none() {
            return;
        }
        let worker = machine.worker(queue);
        if worker.stuck > 0 {
            worker.waiting.push((queue, work));
            return;
        }
        let now = machine.clock.show(real);
        let Some(program) = &mut machine.program else { return };
        let result = program.work(now, work);
        self.note(3, node.0, work.0);
        match result {
            Ok(facts) => {
                if queue != Queue::Apply {
                    let machine = self.machine(node);
                    machine.note_synced();
                    if P::REPLACES_DISKS && !machine.set_back && machine.copies.note_write() {
                        machine.keep_copy();
                    }
                    self.record(|| Happening::Written { node: node.0, work: work.0 });
                }
                for fact in facts {
                    self.fact(node, fact);
                }
                let (base, jitter) = self.pace.notice;
                let delay = base + self.random.skewed(jitter);
                let earliest = self.now + delay;
                let reported = self.machine(node).reported_at.entry(queue).or_insert(0);
                let at = earliest.max(*reported);
                *reported = at;
                self.at(at, Event::WorkDone { node, boot, work });
            }
            Err(reason) => self.disk_failed(node, &reason),
        }
    }

    /// The program's disk does not work: it stops, for good or until somebody has looked after the disk.
    fn disk_failed(&mut self, node: NodeId, reason: &str) {
        let machine = &self.machines[&node];
        if let Some(Doom { death, .. }) = machine.doom.filter(|_| machine.disk.is_stopped()) {
            return self.die(node, death);
        }
        self.record(|| Happening::Fault { node: Some(node.0), text: format!("stops: {reason}") });
        self.machine(node).held_down += 1;
        self.die(node, Death::Process);
        let later = self.now + 200_000_000 + self.random.below(1_000_000_000);
        self.at(later, Event::Relieve { node });
    }

    fn work_done(&mut self, node: NodeId, boot: u64, work: WorkId) {
        let now = self.machines[&node].clock.show(self.now);
        let machine = self.machine(node);
        if machine.boots != boot {
            return;
        }
        let Some(program) = &mut machine.program else { return };
        program.handle_work_done(now, work);
        self.note(4, node.0, work.0);
        self.settle(node);
    }

    /// Does what a program wants done, up to the point at which it is to die.
    pub(super) fn settle(&mut self, node: NodeId) {
        for effects in 0.. {
            if effects > EFFECTS_MAX {
                return self
                    .violate("Bounds", format!("{node} wants more than {EFFECTS_MAX} things done at once"));
            }
            let machine = self.machine(node);
            if let Some(Doom { effects: Some(0), death }) = machine.doom {
                return self.die(node, death);
            }
            let Some(program) = &mut machine.program else { return };
            let Some(effect) = program.poll_effect() else { break };
            if let Some(Doom { effects: Some(left), .. }) = &mut machine.doom {
                *left -= 1;
            }
            self.carry_out(node, effect);
        }
        let machine = self.machine(node);
        machine.timeout = machine.program.as_ref().and_then(Program::next_timeout);
        let machine = &self.machines[&node];
        let late = self.answers.check(node, machine.unhindered(self.now));
        let queued = machine.program.as_ref().map_or(0, |program| program.standing().queued);
        self.check(late);
        self.tally.queued_max = self.tally.queued_max.max(queued);
        if queued > QUEUED_MAX {
            self.violate("Bounds", format!("{node} keeps {queued} things for later"));
        }
    }

    fn carry_out(&mut self, node: NodeId, effect: Effect) {
        match effect {
            Effect::Send { to, frame } => {
                for to in to {
                    self.send(node, to, &frame);
                }
            }
            Effect::Work { queue, work } => self.start_work(node, queue, work),
            Effect::Reply { request, reply } => self.send_reply(node, request, reply),
            Effect::Fact(fact) => self.fact(node, fact),
            Effect::Stop { reason } => self.stop_for_good(node, reason),
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, frame: &bytes::Bytes) {
        self.next_message += 1;
        self.tally.messages += 1;
        let run = self.machines[&to].boots;
        let letter = Letter { message: self.next_message, from, to, run, frame: frame.clone() };
        let fate = self.filter.judge(&letter, || P::describe(frame));
        let arrivals = match fate {
            Some(_) => Vec::new(),
            None => self.network.send(self.now, &letter),
        };
        self.note(5, letter.message, print(frame));
        if self.records() {
            let (message, lost) = (letter.message, arrivals.is_empty() && fate != Some(Fate::Held));
            let text = P::describe(frame);
            self.record(|| Happening::Sent { message, from: from.0, to: to.0, text, lost });
        }
        for at in arrivals {
            self.at(at, Event::Deliver(letter.clone()));
        }
        if let Some(old) = self.network.replay() {
            self.at(self.now + 1, Event::Deliver(old));
        }
    }

    fn start_work(&mut self, node: NodeId, queue: Queue, work: WorkId) {
        let (now, pace) = (self.now, self.pace);
        let machine = self.machine(node);
        let (base, jitter) = pace.of(queue);
        let slow = machine.worker(queue).slow;
        let takes = base + machine.random.skewed(jitter);
        let free = machine.free_at.entry(queue).or_insert(0);
        let slow = match queue {
            // What waits for a slow applier must not outlast the run.
            Queue::Apply if free.saturating_sub(now) > BACKLOG_MAX => 1,
            Queue::Apply | Queue::Journal => slow,
            // A transfer is many small pieces of work: as slow as a vote each, it would outlast the run.
            Queue::Checkpoint | Queue::Transfer => slow.min(4),
        };
        *free = now.max(*free) + takes * slow;
        let (at, boot) = (*free, machine.boots);
        if queue != Queue::Apply {
            self.record(|| Happening::Writing { node: node.0, work: work.0 });
        }
        self.at(at, Event::Work { node, boot, queue, work });
    }

    /// Whether a node may promise and vote.
    fn speak(&self, node: NodeId) -> Result<(), Violation> {
        if P::REPLACES_DISKS { self.disks.speak(node) } else { Ok(()) }
    }

    pub(super) fn fact(&mut self, node: NodeId, fact: Fact) {
        if self.records()
            && let Some(text) = super::tell(&fact)
        {
            self.record(|| Happening::Fact { node: node.0, text });
        }
        let result = match fact {
            Fact::Proposable { command } => {
                self.ledger.propose(command);
                Ok(())
            }
            Fact::Promised { ballot } => {
                let speaks = if ballot > Ballot::ZERO { self.speak(node) } else { Ok(()) };
                speaks.and_then(|()| self.ledger.promise(node, ballot))
            }
            Fact::Voted { slot, ballot, value, commands } => {
                let speaks = self.speak(node);
                speaks.and_then(|()| self.ledger.vote(node, slot, ballot, value, &commands))
            }
            Fact::Chosen { slot, value } => self.ledger.claim(node, slot, value),
            Fact::Applied { slot, state, revision, installed } => {
                self.tally.installed += u64::from(installed);
                self.note(6, slot.0, state.map_or(0, |state| state.0));
                self.states.apply(&self.ledger, node, slot, revision, state, installed)
            }
            Fact::Executed { key, index, write } => {
                self.note(9, key.0, write.0);
                self.executions.execute(node, key, index, write)
            }
            Fact::Logged { index, term, previous, value } => {
                self.terms.log(node, index, term, previous, value)
            }
            Fact::Knows(instance) => self.instances.note(node, instance),
            Fact::Committed { index, term, current } => self.terms.commit(node, index, term, current),
            Fact::Elected { term, base, terms } => self.terms.elect(node, term, base, &terms),
            Fact::Decided { request } => {
                self.note_decided(request);
                Ok(())
            }
            Fact::Checkpointed { slot } => self.ledger.checkpoint(node, slot),
            Fact::Truncated { slot } => self.ledger.truncate(node, slot),
            Fact::Remembers(memory) => {
                self.states.start(node, memory.checkpoint);
                // A disk that was set back has forgotten, and may say nothing.
                match self.machines[&node].set_back {
                    true => self.ledger.checkpoint(node, memory.checkpoint),
                    false => self.ledger.remember(node, &memory),
                }
            }
            Fact::Leads { ballot } => {
                self.tally.leaders += u64::from(ballot.is_some());
                match ballot {
                    Some(ballot) => self.leading.insert(node, ballot),
                    None => self.leading.remove(&node),
                };
                Ok(())
            }
            Fact::Roster { disks } => self.disks.hold(node, disks),
            Fact::Rejected { from, reason } => {
                crate::checkers::violated("Messages", format!("{node} rejects what {from} sent: {reason}"))
            }
        };
        self.check(result);
    }
}

/// The node whose process an event is for.
fn addressee(event: &Event) -> Option<NodeId> {
    match event {
        Event::Deliver(letter) => Some(letter.to),
        Event::Work { node, .. } | Event::WorkDone { node, .. } | Event::Request { node, .. } => Some(*node),
        _ => None,
    }
}
