//! Small programs of scenarios only, for protocols that are *not* Paxos: nothing is on disk, so they never come back.

use std::collections::VecDeque;
use std::fmt::{Debug, Display};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use synod_paxos::node::NodeId;
use synod_paxos::time::Time;

use crate::clients::Workload;
use crate::history::{Answer, Operation};
use crate::program::{Boot, BootError, Digest, Effect, Fact, Program, Reply, RequestId, Standing, WorkId};

/// How often a toy is ticked.
pub const TICK: Duration = Duration::from_millis(100);

/// What a toy wants done.
#[derive(Debug, Default)]
pub struct Acts(VecDeque<Effect>);

impl Acts {
    /// Sends, also to oneself.
    pub fn send<M: Serialize>(&mut self, to: &[u64], message: &M) {
        let frame = Bytes::from(serde_json::to_vec(message).expect("toys speak plainly"));
        self.0.push_back(Effect::Send { to: to.iter().copied().map(NodeId).collect(), frame });
    }

    /// Answers a client.
    pub fn answer(&mut self, request: RequestId, answer: Answer) {
        let reply = Reply::Answer { answer, revision: None };
        self.0.push_back(Effect::Reply { request, reply });
    }

    /// Turns a client away.
    pub fn refuse(&mut self, request: RequestId) {
        self.0.push_back(Effect::Reply { request, reply: Reply::Refused });
    }

    /// Tells the checkers.
    pub fn fact(&mut self, fact: Fact) {
        self.0.push_back(Effect::Fact(fact));
    }
}

/// A protocol on one page.
pub trait Toy: Debug + Sized {
    /// What all nodes are told.
    type Setup: Clone + Debug + Default;
    /// What they say to each other, with the words for people.
    type Message: Serialize + DeserializeOwned + Display;
    /// Its name.
    const NAME: &'static str;
    /// What clients ask it for.
    const WORKLOAD: Workload;

    /// Node `id` of `nodes`.
    fn new(setup: &Self::Setup, id: u64, nodes: Vec<u64>) -> Self;
    /// A message came.
    fn hear(&mut self, from: u64, message: Self::Message, acts: &mut Acts);
    /// A client asks.
    fn asked(&mut self, request: RequestId, operation: Operation, acts: &mut Acts);
    /// Every [`TICK`].
    fn tick(&mut self, acts: &mut Acts);
    /// Whether it has learned what was chosen.
    fn knows(&self) -> bool;
}

/// A toy as a program of the world.
#[derive(Debug)]
pub struct Host<T> {
    toy: T,
    acts: Acts,
    next_tick: Time,
}

impl<T: Toy> Program for Host<T> {
    type Setup = T::Setup;

    const WORKLOAD: Workload = T::WORKLOAD;

    const NAME: &'static str = T::NAME;

    fn boot(setup: &T::Setup, boot: Boot) -> Result<Host<T>, BootError> {
        let nodes = boot.nodes.iter().map(|node| node.0).collect();
        let toy = T::new(setup, boot.id.0, nodes);
        Ok(Host { toy, acts: Acts::default(), next_tick: boot.now + TICK })
    }

    fn handle_frame(&mut self, _: Time, from: NodeId, frame: Bytes) {
        let message = serde_json::from_slice(&frame).expect("toys understand each other");
        self.toy.hear(from.0, message, &mut self.acts);
    }

    fn handle_request(&mut self, _: Time, request: RequestId, operation: Operation) {
        self.toy.asked(request, operation, &mut self.acts);
    }

    fn work(&mut self, _: Time, _: WorkId) -> Result<Vec<Fact>, String> {
        Ok(Vec::new())
    }

    fn handle_work_done(&mut self, _: Time, _: WorkId) {}

    fn next_timeout(&self) -> Option<Time> {
        Some(self.next_tick)
    }

    fn handle_timeout(&mut self, now: Time) {
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.toy.tick(&mut self.acts);
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.acts.0.pop_front()
    }

    fn standing(&self) -> Standing {
        let chosen = synod_paxos::slot::Slot(u64::from(self.toy.knows()));
        Standing { happy: true, applied: chosen, chosen, queued: 0 }
    }

    fn state(&self) -> Digest {
        Digest::EMPTY
    }

    fn election_timeout(_: &T::Setup) -> Duration {
        TICK * 5
    }

    fn describe(frame: &Bytes) -> String {
        serde_json::from_slice::<T::Message>(frame).map_or_else(|_| "garbage".to_owned(), |m| m.to_string())
    }
}
