//! A trace as a space-time diagram (Lamport, *Time, Clocks, and the Ordering of Events*, 1978), for a terminal.
//!
//! Time runs down, and every node has a column. What a node does stands right of its line; a message is named where
//! it is sent and drawn as an arrow where it arrives.

mod line;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::trace::{Event, Happening, Trace};
use line::{Line, PLAIN};

/// Which part of a trace to draw, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Nothing before this, in simulated nanoseconds.
    pub from: u64,
    /// Nothing after this, in simulated nanoseconds.
    pub to: u64,
    /// No more than so many lines, the last ones; all if not said.
    pub last: Option<usize>,
    /// Characters in a line. A diagram of many nodes takes more if it must.
    pub width: usize,
    /// Whether each node's messages have a colour of their own.
    pub colour: bool,
}

impl Default for View {
    fn default() -> View {
        View { from: 0, to: u64::MAX, last: None, width: 120, colour: false }
    }
}

/// Characters for the time.
const TIME: usize = 12;

/// A column cannot be narrower.
const NARROWEST: usize = 14;

/// Draws the part of `trace` that `view` asks for. Heartbeats are left out and counted.
pub fn draw(trace: &Trace, view: &View) -> String {
    let mut drawing = Drawing::new(trace, view);
    let mut rest = &trace.events[..];
    while let Some(first) = rest.first() {
        let together = rest.iter().take_while(|event| belongs(first, event)).count();
        let (group, later) = rest.split_at(together);
        drawing.add(group);
        rest = later;
    }
    drawing.finish(trace)
}

/// Whether two events one after the other are drawn as one: copies of one message, facts that became true together.
fn belongs(first: &Event, event: &Event) -> bool {
    if first.at != event.at {
        return false;
    }
    match (&first.what, &event.what) {
        (Happening::Sent { from, text, .. }, Happening::Sent { from: other, text: words, .. }) => {
            from == other && text == words
        }
        (Happening::Fact { node, .. }, Happening::Fact { node: other, .. }) => node == other,
        _ => std::ptr::eq(first, event),
    }
}

/// How a node's line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Down,
    Up,
    /// Paused: until something is heard of it.
    Still,
}

struct Drawing<'a> {
    view: &'a View,
    nodes: &'a [u64],
    column: usize,
    lanes: Vec<Lane>,
    promised: Vec<&'a str>,
    /// Senders and texts.
    messages: BTreeMap<u64, (u64, &'a str)>,
    arrived: BTreeSet<u64>,
    lines: Vec<String>,
    time: Option<u64>,
    left_out: usize,
}

fn is_noise(text: &str) -> bool {
    text.starts_with("heartbeat")
}

impl<'a> Drawing<'a> {
    fn new(trace: &'a Trace, view: &'a View) -> Drawing<'a> {
        let messages = trace.events.iter().filter_map(|event| match &event.what {
            Happening::Sent { message, from, text, .. } => Some((*message, (*from, text.as_str()))),
            _ => None,
        });
        let columns = trace.nodes.len() + 1;
        Drawing {
            view,
            nodes: &trace.nodes,
            column: (view.width.saturating_sub(TIME) / columns).max(NARROWEST),
            lanes: vec![Lane::Down; trace.nodes.len()],
            promised: vec![""; trace.nodes.len()],
            messages: messages.collect(),
            arrived: BTreeSet::new(),
            lines: Vec::new(),
            time: None,
            left_out: 0,
        }
    }

    fn place(&self, node: u64) -> usize {
        self.nodes.iter().position(|other| *other == node).unwrap_or(0)
    }

    /// Where the line of the node at `place` is.
    fn x(&self, place: usize) -> usize {
        TIME + (place + 1) * self.column
    }

    /// A line with the time, unless it stands above, and everybody's line.
    fn line(&mut self, at: u64) -> Line {
        let mut line = Line::new(TIME + (self.nodes.len() + 1) * self.column);
        if self.time != Some(at) {
            line.put(0, &format!("{:>10.6}", at as f64 / 1e9), PLAIN);
            self.time = Some(at);
        }
        line.put(TIME, "│", PLAIN);
        for (place, lane) in self.lanes.iter().enumerate() {
            let sign = match lane {
                Lane::Down => " ",
                Lane::Up => "│",
                Lane::Still => "┊",
            };
            line.put(self.x(place), sign, PLAIN);
        }
        line
    }

    fn push(&mut self, line: &Line) {
        self.lines.push(line.text(self.view.colour));
    }

    /// Words right of a line, on as many lines as they need.
    fn say(&mut self, at: u64, x: usize, words: &str, colour: u8) {
        for (number, part) in words::wrap(words, self.column - 4).iter().enumerate() {
            let mut line = self.line(at);
            line.put(if number == 0 { x + 2 } else { x + 3 }, part, colour);
            self.push(&line);
        }
    }

    fn at_node(&mut self, at: u64, node: u64, words: &str) {
        let place = self.place(node);
        let x = self.x(place);
        self.say(at, x, words, colour_of(place));
    }

    /// Words across everything.
    fn across(&mut self, at: u64, words: &str) {
        let width = self.nodes.len() * self.column + self.column - 4;
        for part in words::wrap(words, width) {
            let mut line = self.line(at);
            line.rule(TIME + 1, '═');
            line.put(TIME + 3, &format!(" {part} "), PLAIN);
            self.push(&line);
        }
    }

    /// Draws events that belong together, and remembers what they change.
    fn add(&mut self, group: &'a [Event]) {
        let Some(first) = group.first() else { return };
        let seen = (self.view.from..=self.view.to).contains(&first.at);
        if let Happening::Sent { from, .. } | Happening::Delivered { to: from, .. } = first.what {
            self.stir(from);
        }
        if let Happening::Writing { node, .. } | Happening::Written { node, .. } = first.what {
            self.stir(node);
        }
        if let Happening::Fault { node: Some(node), text } = &first.what {
            let place = self.place(*node);
            if text == "starts" {
                self.lanes[place] = Lane::Up;
            }
        }
        if seen {
            self.show(first, group);
        }
        match &first.what {
            Happening::Delivered { message, .. } => {
                self.arrived.insert(*message);
            }
            Happening::Fault { node: Some(node), text } => {
                let place = self.place(*node);
                if text.starts_with("dies") {
                    self.lanes[place] = Lane::Down;
                } else if (text == "paused" || text == "sleeps") && self.lanes[place] == Lane::Up {
                    self.lanes[place] = Lane::Still;
                }
            }
            Happening::Fact { node, .. } => {
                let place = self.place(*node);
                let mut promises = group.iter().filter_map(promise);
                self.promised[place] = promises.next_back().unwrap_or(self.promised[place]);
            }
            _ => {}
        }
    }

    /// Something is heard of a node that stood still.
    fn stir(&mut self, node: u64) {
        let place = self.place(node);
        if self.lanes[place] == Lane::Still {
            self.lanes[place] = Lane::Up;
        }
    }

    fn show(&mut self, first: &'a Event, group: &'a [Event]) {
        let at = first.at;
        match &first.what {
            Happening::Sent { text, .. } if is_noise(text) => self.left_out += group.len(),
            Happening::Sent { from, text, .. } => self.at_node(at, *from, &words::sent(text, group)),
            Happening::Delivered { message, to, .. } => self.deliver(at, *message, *to),
            Happening::Dropped { message, to } => {
                let (_, text) = self.messages.get(message).copied().unwrap_or_default();
                if !is_noise(text) {
                    self.at_node(at, *to, &format!("✗ #{message} {text}"));
                }
            }
            Happening::Writing { node, work } => self.at_node(at, *node, &format!("□ writes w{work}")),
            Happening::Written { node, work } => self.at_node(at, *node, &format!("■ w{work} is durable")),
            Happening::Asked { client, node, operation } => {
                self.say(at, TIME, &format!("c{client}→n{node} {}", words::operation(operation)), PLAIN);
            }
            Happening::Told { client, outcome } => {
                self.say(at, TIME, &format!("c{client} ◀ {}", words::outcome(outcome)), PLAIN);
            }
            Happening::Fact { node, .. } => {
                let old = self.promised[self.place(*node)];
                for fact in words::facts(group, old) {
                    self.at_node(at, *node, &fact);
                }
            }
            Happening::Fault { node: Some(node), text } => {
                let sign = if text.starts_with("dies") { "†" } else { "!" };
                self.at_node(at, *node, &format!("{sign} {text}"));
            }
            Happening::Fault { node: None, text } => self.across(at, text),
        }
    }

    /// An arrow from the sender's line to the receiver's.
    fn deliver(&mut self, at: u64, message: u64, to: u64) {
        let Some((from, text)) = self.messages.get(&message).copied() else { return };
        if is_noise(text) {
            return;
        }
        let again = if self.arrived.contains(&message) { " again" } else { "" };
        let label = format!("#{message}{again} {text}");
        let (sender, receiver) = (self.place(from), self.place(to));
        if sender == receiver {
            return self.at_node(at, to, &format!("◀ {label}"));
        }
        let (start, end) = (self.x(sender), self.x(receiver));
        let mut line = self.line(at);
        line.arrow(start, end, &words::clip(&label, self.column - 5), colour_of(sender));
        self.push(&line);
    }

    fn finish(mut self, trace: &Trace) -> String {
        if let Some(violated) = &trace.violation {
            let end = trace.events.last().map_or(0, |event| event.at);
            if (self.view.from..=self.view.to).contains(&end) {
                self.across(end, &format!("✗ {}: {}", violated.invariant, violated.what));
            }
        }
        let mut head = Line::new(TIME + (self.nodes.len() + 1) * self.column);
        head.put(0, "   seconds", PLAIN);
        head.put(TIME, "clients", PLAIN);
        for (place, node) in self.nodes.iter().enumerate() {
            head.put(self.x(place), &format!("n{node}"), colour_of(place));
        }
        let mut text = vec![head.text(self.view.colour)];
        let hidden =
            self.lines.len() - self.view.last.map_or(self.lines.len(), |last| last.min(self.lines.len()));
        if hidden > 0 {
            text.push(format!("{:>10}  {hidden} lines before this are not shown", "…"));
        }
        text.extend(self.lines.drain(hidden..));
        if self.left_out > 0 {
            text.push(format!("{:>10}  {} heartbeats and their answers are not shown", "", self.left_out));
        }
        text.join("\n")
    }
}

/// What a fact says was promised.
fn promise(event: &Event) -> Option<&str> {
    match &event.what {
        Happening::Fact { text, .. } => text.strip_prefix("promised "),
        _ => None,
    }
}

/// Everybody has a colour, as long as there are colours.
fn colour_of(place: usize) -> u8 {
    31 + u8::try_from(place % 6).expect("below 6")
}
