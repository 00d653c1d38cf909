//! Clients and the nodes they ask.

use synod_paxos::node::NodeId;

use super::{Event, World};
use crate::clients::{Client, Next, Pending, Workload};
use crate::history::{Call, Operation, Outcome};
use crate::program::{Program, Reply, RequestId};
use crate::trace::Happening;

/// How long a client waits for one reply. Longer than any node keeps a request.
const PATIENCE: u64 = 8_000_000_000;

/// How much later than it says a node may answer: it has work to make up for after each hindrance, and its clock may be
/// slow.
const ANSWER_SLACK: u64 = 5_000_000_000;

impl<P: Program> World<P> {
    /// A client begins its next operation, if it has any left.
    pub(super) fn act(&mut self, id: u64) {
        let (hot, large) = (self.hot, self.habits.large);
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.pending.is_some() || client.left == 0 {
            return;
        }
        client.left -= 1;
        let operation = client.operation(World::<P>::workload(), hot, large);
        let node = *client.random.pick(&self.nodes);
        self.ask(id, node, operation);
    }

    /// Client `id` asks `node`; returns the place in the history. A client that did not exist is made.
    pub fn ask(&mut self, id: u64, node: NodeId, operation: Operation) -> usize {
        let call = self.history.len();
        self.record(|| Happening::Asked { client: id, node: node.0, operation: operation.clone() });
        let direct = World::<P>::workload() == Workload::Textbook;
        let first = Client::first(&operation, direct);
        self.history.push(Call { client: id, called: self.now, operation, outcome: Outcome::Unknown });
        let random = self.random.clone();
        let client = self.clients.entry(id).or_insert_with(|| Client::new(id, 0, random));
        client.pending = Some(Pending { call, node, request: RequestId(0), direct, read: None });
        self.send_request(id, first);
        call
    }

    fn send_request(&mut self, id: u64, operation: Operation) {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let Some(pending) = self.clients.get_mut(&id).and_then(|client| client.pending.as_mut()) else {
            return;
        };
        pending.request = request;
        let node = pending.node;
        let (base, jitter) = self.pace.request;
        let arrives = self.now + base + self.random.skewed(jitter);
        self.at(arrives, Event::Request { node, request, operation });
        self.at(self.now + PATIENCE, Event::Impatient { client: id, request });
        self.requests.insert(request, (id, node));
    }

    /// A request reaches its node.
    pub(super) fn request(&mut self, node: NodeId, request: RequestId, operation: Operation) {
        // The connection broke on the way.
        let Some((client, _)) = self.requests.get(&request).copied() else { return };
        let world = self.now;
        let machine = self.machine(node);
        let now = machine.clock.show(world);
        let Some(program) = &mut machine.program else {
            self.requests.remove(&request);
            let at = self.now + 50_000;
            return self.at(at, Event::Reply { client, request, reply: Reply::Refused });
        };
        program.handle_request(now, request, operation);
        let by = P::request_timeout(&self.setup).map(|timeout| {
            let timeout = u64::try_from(timeout.as_nanos()).expect("seconds");
            self.machines[&node].unhindered(self.now) + timeout + ANSWER_SLACK
        });
        self.answers.accept(node, request, by);
        self.note(11, node.0, request.0);
        self.settle(node);
    }

    /// A node answers; the reply may get lost on the way.
    pub(super) fn send_reply(&mut self, node: NodeId, request: RequestId, reply: Reply) {
        let answered = self.answers.answer(node, request);
        self.check(answered);
        let Some((client, _)) = self.requests.remove(&request) else { return };
        if self.random.chance(self.habits.reply_loss) {
            return;
        }
        let (base, jitter) = self.pace.reply;
        let slow = if self.random.chance(self.habits.slow_reader) { 2_000_000_000 } else { jitter };
        let at = self.now + base + self.random.skewed(slow);
        self.at(at, Event::Reply { client, request, reply });
    }

    pub(super) fn reply(&mut self, id: u64, request: RequestId, reply: Reply) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(pending) = client.pending.as_mut().filter(|pending| pending.request == request) else {
            return;
        };
        let call = &self.history[pending.call];
        match Client::handle_reply(pending, call, reply, now) {
            Next::Send(operation) => self.send_request(id, operation),
            Next::Over(outcome) => self.conclude(id, outcome),
        }
    }

    pub(super) fn impatient(&mut self, id: u64, request: RequestId) {
        let pending = self.clients.get(&id).and_then(|client| client.pending.as_ref());
        let Some(pending) = pending.filter(|pending| pending.request == request) else { return };
        let outcome = Client::give_up(pending, &self.history[pending.call]);
        self.requests.remove(&request);
        self.conclude(id, outcome);
    }

    /// An operation is over for its client, which thinks for a while and begins the next.
    fn conclude(&mut self, id: u64, outcome: Outcome) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(pending) = client.pending.take() else { return };
        let think = client.random.skewed(150_000_000);
        let answered = matches!(outcome, Outcome::Answered { .. });
        if let Outcome::Answered { revision: Some(revision), .. } = outcome {
            client.see(revision);
        }
        if !answered {
            client.make_up();
        }
        self.tally.answered += u64::from(answered);
        self.record(|| Happening::Told { client: id, outcome: outcome.clone() });
        self.history[pending.call].outcome = outcome;
        self.note(12, id, u64::from(answered));
        self.at(self.now + think, Event::Act { client: id });
    }

    /// A client's node knows that what it asked for is committed.
    pub(super) fn note_decided(&mut self, request: RequestId) {
        let client = self.requests.get(&request).and_then(|(client, _)| self.clients.get(client));
        if let Some(pending) = client.and_then(|client| client.pending.as_ref()) {
            self.decided.insert(pending.call, self.now);
        }
    }

    /// When the node that was asked knew that the command of `call` is committed, if that is told apart from its
    /// execution.
    pub fn decided(&self, call: usize) -> Option<u64> {
        self.decided.get(&call).copied()
    }

    /// How many requests `node` has accepted and not answered.
    pub fn owed(&self, node: NodeId) -> usize {
        self.answers.owed(node)
    }

    /// How many clients wait for an answer.
    pub fn waiting(&self) -> usize {
        self.clients.values().filter(|client| client.pending.is_some()).count()
    }

    /// Clients begin nothing any more by themselves.
    pub fn retire_clients(&mut self) {
        self.clients.values_mut().for_each(Client::retire);
    }

    /// How an operation ended, or `None` while it is under way.
    pub fn outcome(&self, call: usize) -> Option<&Outcome> {
        let waits = self.clients.values().any(|c| c.pending.as_ref().is_some_and(|p| p.call == call));
        (!waits).then(|| &self.history[call].outcome)
    }
}
