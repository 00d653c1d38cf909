//! The words in which scenarios are told: a director's orders to a world, each of which is also a line of the story.

use std::fmt::Display;

use synod_paxos::node::NodeId;

use crate::check::Violation;
use crate::diagram::words::clip;
use crate::faults::{Fault, Plan};
use crate::history::{Answer, Operation};
use crate::linearizability;
use crate::machine::Death;
use crate::network::{Link, Weather, between};
use crate::program::{Digest, Program};
use crate::scenarios::Outcome;
use crate::trace::{Trace, Violated};
use crate::world::filter::{Fate, Pattern};
use crate::world::{World, WorldConfig};

/// Nanoseconds in a millisecond.
const MS: u64 = 1_000_000;

/// Characters of a line of the story.
const LINE: usize = 160;

/// A world with a director: nothing goes wrong in it but what is ordered.
pub struct Stage<P: Program> {
    /// The world itself, for what there is no word for.
    pub world: World<P>,
    seed: u64,
    story: Vec<String>,
    complaints: Vec<String>,
    /// The first thing that had to happen and did not.
    missing: Option<Violation>,
}

/// A sender, or anybody.
#[derive(Clone, Copy, Debug)]
pub struct From(Option<NodeId>);

/// A receiver, or anybody.
#[derive(Clone, Copy, Debug)]
pub struct To(Option<NodeId>);

/// From this node.
pub fn from(node: u64) -> From {
    From(Some(NodeId(node)))
}

/// To this node.
pub fn to(node: u64) -> To {
    To(Some(NodeId(node)))
}

/// From whomever.
pub const FROM_ANYONE: From = From(None);

/// To whomever.
pub const TO_ANYONE: To = To(None);

/// The first word of the message's text; the empty name is any.
fn pattern(name: &str, from: From, to: To) -> Pattern {
    let name = (!name.is_empty()).then(|| name.to_owned());
    Pattern { name, from: from.0, to: to.0 }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "every {}", self.name.as_deref().unwrap_or("message"))?;
        let ends = [("from", self.from), ("to", self.to)];
        ends.iter().try_for_each(|(word, node)| match node {
            Some(node) => write!(f, " {word} {node}"),
            None => Ok(()),
        })
    }
}

/// What a client asked, to look for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(usize);

/// A client about to ask.
pub struct Asking<'a, P: Program> {
    stage: &'a mut Stage<P>,
    client: u64,
}

/// A question without a node to ask.
pub struct Question<'a, P: Program> {
    stage: &'a mut Stage<P>,
    client: u64,
    operation: Operation,
}

impl<'a, P: Program> Asking<'a, P> {
    fn operation(self, operation: Operation) -> Question<'a, P> {
        Question { stage: self.stage, client: self.client, operation }
    }

    /// Wants `value` chosen.
    pub fn proposes(self, value: &str) -> Question<'a, P> {
        self.operation(Operation::Propose { value: value.to_owned() })
    }

    /// Writes.
    pub fn puts(self, key: &str, value: &str) -> Question<'a, P> {
        self.operation(Operation::Put { key: key.to_owned(), value: value.to_owned() })
    }

    /// Reads, then writes what it read with `text` behind it, if nobody wrote between.
    pub fn appends(self, key: &str, text: &str) -> Question<'a, P> {
        self.operation(Operation::Append { key: key.to_owned(), text: text.to_owned() })
    }

    /// Reads.
    pub fn gets(self, key: &str) -> Question<'a, P> {
        self.operation(Operation::Get { key: key.to_owned() })
    }
}

impl<P: Program> Question<'_, P> {
    /// Sends it to `node`.
    pub fn at(self, node: u64) -> Asked {
        let Question { stage, client, operation } = self;
        let what = match &operation {
            Operation::Propose { value } => format!("proposes {value}"),
            Operation::Put { key, value } => format!("puts {key} = {value}"),
            Operation::Append { key, text } => format!("appends {text} to {key}"),
            Operation::Get { key } => format!("gets {key}"),
            other => format!("asks {other:?}"),
        };
        stage.say(format!("client {client} {what} at n{node}"));
        Asked(stage.world.ask(client, NodeId(node), operation))
    }
}

impl<P: Program> Stage<P> {
    /// `count` nodes, n1 and on, that are starting, in fair weather. `choosing` votes of one ballot choose.
    pub fn of(seed: u64, count: u64, choosing: usize, setup: P::Setup) -> Stage<P> {
        let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let plan = Plan::calm(&nodes);
        let (clients, operations, record) = (0, 0, true);
        let config = WorldConfig { seed, setup, nodes, plan, phase2: choosing, clients, operations, record };
        Stage { world: World::new(config), seed, story: Vec::new(), complaints: Vec::new(), missing: None }
    }

    /// The same with majorities and the usual setup.
    pub fn new(seed: u64, count: u64) -> Stage<P> {
        let majority = usize::try_from(count / 2 + 1).expect("a few nodes");
        Stage::of(seed, count, majority, P::Setup::default())
    }

    /// Adds a line to the story, or its beginning: of a long value that is enough.
    pub fn say(&mut self, line: impl Display) {
        let line = clip(&line.to_string(), LINE);
        self.story.push(format!("{:>6} ms  {line}", self.world.now() / MS));
    }

    // ---- messengers ------------------------------------------------------------------------------------

    /// Messages of this name (any, if it is empty) get lost from now on.
    pub fn lose(&mut self, name: &str, from: From, to: To) {
        let pattern = pattern(name, from, to);
        self.say(format_args!("{pattern} gets lost from now on"));
        self.world.intercept(pattern, Fate::Lost);
    }

    /// Messages of this name (any, if it is empty) wait from now on.
    pub fn hold(&mut self, name: &str, from: From, to: To) {
        let pattern = pattern(name, from, to);
        self.say(format_args!("{pattern} is held back from now on"));
        self.world.intercept(pattern, Fate::Held);
    }

    /// Takes back a `lose` or a `hold` in the same words. What was held still waits.
    pub fn let_through(&mut self, name: &str, from: From, to: To) {
        let pattern = pattern(name, from, to);
        self.say(format_args!("{pattern} gets through again"));
        self.world.let_through(&pattern);
    }

    /// Delivers what was held and has this name (any, if it is empty), and waits until it has had its effect.
    pub fn deliver(&mut self, name: &str, from: From, to: To) -> usize {
        let pattern = pattern(name, from, to);
        let count = self.world.deliver_held(&pattern);
        self.say(format_args!("{pattern} that was held back arrives ({count})"));
        self.pass(20);
        count
    }

    /// Waits until a message of this name is held back; complains if none is within so many milliseconds.
    pub fn until_held(&mut self, name: &str, from: From, to: To, milliseconds: u64) -> bool {
        let pattern = pattern(name, from, to);
        let what = format!("held back: {pattern}");
        self.until(&what, milliseconds, |world| world.held(&pattern) > 0)
    }

    /// How many messages of this name (any, if it is empty) are held back.
    pub fn held(&self, name: &str, from: From, to: To) -> usize {
        self.world.held(&pattern(name, from, to))
    }

    /// Changes the weather.
    pub fn weather(&mut self, weather: Weather) {
        self.say(format_args!("{weather:?}"));
        self.world.set_weather(weather);
    }

    /// Cuts these links.
    pub fn cut(&mut self, what: &str, links: &[Link]) {
        self.say(format_args!("{what}"));
        self.world.cut(links);
    }

    /// Joins links that were cut.
    pub fn join(&mut self, what: &str, links: &[Link]) {
        self.say(format_args!("{what}"));
        self.world.join(links);
    }

    /// Nobody hears of `node` and it of nobody.
    pub fn isolate(&mut self, node: u64) {
        let links = self.around(node);
        self.cut(&format!("n{node} is cut off"), &links);
    }

    /// Ends [`Stage::isolate`].
    pub fn reconnect(&mut self, node: u64) {
        let links = self.around(node);
        self.join(&format!("n{node} is connected again"), &links);
    }

    /// All links of `node`.
    pub fn around(&self, node: u64) -> Vec<Link> {
        between(&[NodeId(node)], self.world.nodes())
    }

    // ---- nodes -----------------------------------------------------------------------------------------

    /// The process stands still, as under SIGSTOP.
    pub fn sleeps(&mut self, node: u64) {
        self.say(format_args!("n{node} falls asleep"));
        self.world.stop(NodeId(node));
    }

    /// The process goes on where it was.
    pub fn wakes(&mut self, node: u64) {
        self.say(format_args!("n{node} wakes up"));
        self.world.go_on(NodeId(node));
    }

    /// The process dies and stays down.
    pub fn dies(&mut self, node: u64) {
        self.say(format_args!("n{node} dies"));
        self.world.kill(NodeId(node), Death::Process);
    }

    /// The machine loses power: what it did not sync may be lost or torn.
    pub fn loses_power(&mut self, node: u64) {
        self.say(format_args!("n{node} loses power"));
        self.world.kill(NodeId(node), Death::Power);
    }

    /// A node that died starts again.
    pub fn starts(&mut self, node: u64) {
        self.say(format_args!("n{node} starts again"));
        self.world.restart(NodeId(node));
    }

    /// A fault strikes, until [`Stage::relent`].
    pub fn strike(&mut self, fault: Fault) -> usize {
        let whom = fault.node().map_or(String::new(), |node| format!("{node}: "));
        self.say(format_args!("{whom}{fault}"));
        self.world.strike(fault)
    }

    /// A fault is over.
    pub fn relent(&mut self, fault: usize) {
        self.say("the fault is over");
        self.world.relent(fault);
    }

    // ---- clients ---------------------------------------------------------------------------------------

    /// A client, about to ask something. It asks one thing at a time.
    pub fn client(&mut self, client: u64) -> Asking<'_, P> {
        Asking { stage: self, client }
    }

    /// The answer, if there is one yet.
    pub fn answer(&self, asked: Asked) -> Option<&Answer> {
        use crate::history::Outcome::Answered;
        match self.world.outcome(asked.0) {
            Some(Answered { answer, .. }) => Some(answer),
            _ => None,
        }
    }

    /// How the question ended for its client, if it has.
    pub fn told_at(&self, asked: Asked) -> Option<&crate::history::Outcome> {
        self.world.outcome(asked.0)
    }

    /// Whether the client still waits.
    pub fn waits(&self, asked: Asked) -> bool {
        self.world.outcome(asked.0).is_none()
    }

    /// Waits for the client to be told something, and returns the answer if it is one.
    pub fn told(&mut self, asked: Asked) -> Option<Answer> {
        self.world.run_until_that(self.world.now() + 20_000 * MS, |world| world.outcome(asked.0).is_some());
        // What comes next comes after it: moments that are equal order nothing.
        self.world.run_until(self.world.now() + 1_000);
        let answer = self.answer(asked).cloned();
        let client = self.world.history()[asked.0].client;
        match &answer {
            Some(answer) => self.say(format_args!("client {client} is told: {answer:?}")),
            None => self.say(format_args!("client {client} gets no answer")),
        }
        answer
    }

    /// The client is told exactly this.
    pub fn expect_told(&mut self, asked: Asked, expected: &Answer) {
        let told = self.told(asked);
        if told.is_none() {
            self.miss("Liveness 2", format!("no answer where {expected:?} was to come"));
        } else if told.as_ref() != Some(expected) {
            self.complain(format!("the answer is {told:?} and not {expected:?}"));
        }
    }

    // ---- time and expectations -------------------------------------------------------------------------

    /// Lets so many milliseconds pass.
    pub fn pass(&mut self, milliseconds: u64) {
        self.world.run_until(self.world.now() + milliseconds * MS);
    }

    /// Waits until something is so; complains if it is not within so many milliseconds.
    pub fn until(&mut self, what: &str, milliseconds: u64, so: impl FnMut(&World<P>) -> bool) -> bool {
        let reached = self.world.run_until_that(self.world.now() + milliseconds * MS, so);
        if reached {
            self.say(what);
        } else {
            self.miss("Liveness 1", format!("not so within {milliseconds} ms: {what}"));
        }
        reached
    }

    /// Complains unless it is so.
    pub fn expect(&mut self, so: bool, what: impl Display) {
        if so {
            self.say(what);
        } else {
            self.complain(format!("not so: {what}"));
        }
    }

    /// Something that had to happen in the end did not.
    fn miss(&mut self, invariant: &'static str, what: String) {
        self.missing.get_or_insert_with(|| Violation { invariant, what: what.clone() });
        self.complain(what);
    }

    /// Something is not as the scenario says.
    pub fn complain(&mut self, what: String) {
        self.say(format_args!("✗ {what}"));
        self.complaints.push(what);
    }

    /// What is chosen in the first slot, by the durable votes, is `value`. For programs whose values are texts.
    pub fn expect_chosen(&mut self, value: &str) {
        let chosen = self.is_chosen(value);
        self.expect(chosen, format!("{value} is chosen"));
    }

    /// Whether `value` is what is chosen in the first slot.
    pub fn is_chosen(&self, value: &str) -> bool {
        self.world.ledger().chosen(synod_paxos::slot::Slot(1)) == Some(Digest::of(value.as_bytes()))
    }

    /// Every node that runs has learned and applied everything chosen, within ten seconds.
    pub fn expect_everybody_learns(&mut self) {
        self.until("everybody has learned everything that is chosen", 10_000, |world| {
            let chosen = world.ledger().chosen_prefix();
            let running = world.nodes().iter().filter_map(|node| world.program(*node));
            chosen.0 > 0 && running.map(|program| program.standing().applied).all(|applied| applied >= chosen)
        });
    }

    // ---- the end ---------------------------------------------------------------------------------------

    /// The first invariant that broke: of the world's, or of the clients' history.
    pub fn broken(&self) -> Option<Violation> {
        if let Some(violation) = self.world.violation() {
            return Some(violation.clone());
        }
        let calls = self.world.history();
        let checks = [
            ("Revisions", linearizability::check_revisions(calls).map_err(|error| error.to_string())),
            ("Linearizability", linearizability::check(calls).map_err(|error| error.to_string())),
        ];
        checks.into_iter().find_map(|(invariant, result)| Some(Violation { invariant, what: result.err()? }))
    }

    /// The end of a scenario in which all must go well.
    pub fn finish(self) -> Outcome {
        let broken = self.broken().map(|violation| format!("{}: {}", violation.invariant, violation.what));
        let complaints: Vec<String> = broken.into_iter().chain(self.complaints.iter().cloned()).collect();
        let verdict = if complaints.is_empty() { Ok(()) } else { Err(complaints.join("; ")) };
        self.end(verdict)
    }

    /// The end of a scenario that shows how `invariant` breaks.
    pub fn finish_broken(mut self, invariant: &str) -> Outcome {
        let broken = self.broken();
        if let Some(violation) = &broken {
            self.say(format_args!("✗ {}: {}", violation.invariant, violation.what));
        }
        let verdict = match &broken {
            _ if !self.complaints.is_empty() => Err(self.complaints.join("; ")),
            Some(violation) if violation.invariant == invariant => Ok(()),
            other => Err(format!("{invariant} was to break, but what broke is {other:?}")),
        };
        self.end(verdict)
    }

    /// The end, with a verdict of one's own.
    pub fn end(mut self, verdict: Result<(), String>) -> Outcome {
        let violation = self
            .broken()
            .or(self.missing.take())
            .map(|violation| Violated { invariant: violation.invariant.to_owned(), what: violation.what });
        let trace = Trace {
            version: 1,
            protocol: P::NAME.to_owned(),
            scenario: None,
            seed: self.seed,
            nodes: self.world.nodes().iter().map(|node| node.0).collect(),
            events: self.world.take_trace(),
            violation,
        };
        Outcome { trace, story: self.story, verdict }
    }

    /// What was said, and what was not as expected, so far.
    pub fn take_story(&mut self) -> (Vec<String>, Vec<String>) {
        (std::mem::take(&mut self.story), std::mem::take(&mut self.complaints))
    }
}
