//! A trace as a space-time diagram for a terminal, in the manner of Lamport's: one column for each node, time runs
//! down.
//!
//! ```text
//!       ms n1                     n2                     n3
//!     1.00 ├╌a prepare 1.1╌╌╌╌╌╌╌▷│╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌✗│
//!     2.00 │                   a─▶▒                      │
//!     2.50 │                      █ • promised 1.1       │
//! ```

mod canvas;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use canvas::{Row, Style, cut};
use story::{Head, Scene, What};

use crate::trace::Trace;

/// What to draw of a trace, and how.
#[derive(Clone, Debug)]
pub struct View {
    /// Columns of the terminal. Labels are cut to it.
    pub width: usize,
    /// Whether to colour ballots, and what is sent without one, by the node that owns them.
    pub colour: bool,
    /// Only what happened then, in nanoseconds of simulated time.
    pub window: RangeInclusive<u64>,
    /// Messages that begin with one of these words are counted, not drawn.
    pub quiet: Vec<String>,
}

impl Default for View {
    /// Everything but heartbeats, without colour, 100 columns wide.
    fn default() -> View {
        let quiet = ["heartbeat", "heartbeat-reply"].map(str::to_owned).into();
        View { width: 100, colour: false, window: 0..=u64::MAX, quiet }
    }
}

/// What the signs mean.
pub const LEGEND: &str = "──▶ arrives before anything else happens   ╌a╌▷ sent, arrives further down as a─▶   ✗ lost\n\
                          ▒ writing   █ written   • now so   ╳ down   ┊ asleep   2.1 ballot of round 2 of n1";

/// Nanoseconds of the last digit of the time shown. What is not further apart may share a row.
const TICK: u64 = 10_000;
/// The clients' column is at most so wide.
const CLIENTS: usize = 28;
/// The names of the columns are repeated after so many rows.
const ROWS_A_PAGE: usize = 50;
/// Nothing shown for so many nanoseconds is worth a row of its own.
const SILENCE: u64 = 100_000_000;
/// The text of a message is repeated where it arrives if it was sent more rows above.
const NEAR: usize = 4;

/// Draws what `view` selects of `trace`, one line of text for each row.
pub fn draw(trace: &Trace, view: &View) -> String {
    let story = story::tell(trace, view);
    let mut drawing = Drawing::new(trace, view, &story);
    for scene in &story.scenes {
        drawing.scene(scene);
    }
    drawing.finish_row();
    drawing.close(trace, &story.left_out);
    drawing.out
}

/// How a node stands.
#[derive(Default)]
struct Life {
    down: bool,
    asleep: bool,
    /// Disk work under way.
    writing: BTreeSet<u64>,
}

struct Drawing<'a> {
    view: &'a View,
    nodes: &'a [u64],
    /// Where the clients' column and the lifelines begin.
    clients: Option<usize>,
    lifelines: BTreeMap<u64, usize>,
    lives: BTreeMap<u64, Life>,
    /// Columns of the time, before the first column of a node.
    margin: usize,
    row: Row,
    at: Option<u64>,
    /// Where the text of a node ends in the current row, so that more can follow.
    ends: BTreeMap<u64, usize>,
    rows: usize,
    /// In which row each message was sent.
    sent: BTreeMap<String, usize>,
    out: String,
}

impl<'a> Drawing<'a> {
    fn new(trace: &'a Trace, view: &'a View, story: &story::Story) -> Drawing<'a> {
        let last = story.scenes.last().map_or(0, |scene| scene.at);
        let margin = time(last).len().max(8) + 1;
        let room = view.width.saturating_sub(margin);
        let count = trace.nodes.len().max(1);
        let clients = story.clients.then(|| CLIENTS.min(room / (count + 1)));
        let first = margin + clients.unwrap_or(0);
        let column = view.width.saturating_sub(first) / count;
        let lifelines = trace.nodes.iter().enumerate().map(|(i, node)| (*node, first + i * column)).collect();
        let mut drawing = Drawing {
            view,
            nodes: &trace.nodes,
            clients: clients.map(|_| margin),
            lifelines,
            lives: trace.nodes.iter().map(|node| (*node, Life::default())).collect(),
            margin,
            row: Row::new(view.width),
            at: None,
            ends: BTreeMap::new(),
            rows: 0,
            sent: BTreeMap::new(),
            out: String::new(),
        };
        for node in &story.down_at_first {
            drawing.life(*node).down = true;
        }
        for what in &story.before {
            drawing.live(what);
        }
        let scenario = trace.scenario.as_ref().map_or(String::new(), |name| format!(", scenario {name}"));
        drawing.line(&format!("{}{scenario}, seed {}", trace.protocol, trace.seed), Style::Strong);
        for line in LEGEND.lines() {
            drawing.line(line, Style::Faint);
        }
        drawing.names();
        drawing
    }

    fn life(&mut self, node: u64) -> &mut Life {
        self.lives.entry(node).or_default()
    }

    fn x(&self, node: u64) -> usize {
        // A node that the trace does not list is drawn at the edge rather than not at all.
        self.lifelines.get(&node).copied().unwrap_or(self.view.width.saturating_sub(1))
    }

    /// Where lifelines are that arrows pass behind.
    fn drawn_lifelines(&self) -> Vec<usize> {
        let up = self.lifelines.iter().filter(|(node, _)| !self.lives[node].down);
        up.map(|(_, x)| *x).collect()
    }

    fn owner(&self, node: u64) -> Style {
        let index = self.nodes.iter().position(|other| *other == node).unwrap_or(0);
        Style::Owner(index)
    }

    /// The colour of a text: of the node that owns the ballot in it, or of `node` if there is none.
    fn style(&self, text: &str, node: u64) -> Style {
        self.owner(story::ballot_owner(text).unwrap_or(node))
    }

    /// A line across all columns, cut to the width.
    fn line(&mut self, text: &str, style: Style) {
        let mut row = Row::new(self.view.width);
        row.put(0, &cut(text, self.view.width), style);
        row.render(self.view.colour, &mut self.out);
    }

    fn names(&mut self) {
        let mut row = Row::new(self.view.width);
        row.put(self.margin - 3, "ms", Style::Faint);
        if let Some(x) = self.clients {
            row.put(x, "clients", Style::Strong);
        }
        for node in self.nodes {
            row.put(self.x(*node), &story::name(*node), self.owner(*node));
        }
        row.render(self.view.colour, &mut self.out);
    }

    /// Puts the current row out and begins another.
    fn finish_row(&mut self) {
        if self.row.is_empty() {
            return;
        }
        let mut row = std::mem::replace(&mut self.row, Row::new(self.view.width));
        self.lifelines_into(&mut row);
        row.render(self.view.colour, &mut self.out);
        self.ends.clear();
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_A_PAGE) {
            self.names();
        }
    }

    fn lifelines_into(&self, row: &mut Row) {
        for (node, x) in &self.lifelines {
            let life = &self.lives[node];
            let sign = match life {
                Life { down: true, .. } => continue,
                Life { asleep: true, .. } => "┊",
                life if !life.writing.is_empty() => "▒",
                _ => "│",
            };
            row.put_if_free(*x, sign, self.owner(*node));
        }
    }

    /// Whether `at` is shown as the same time as the current row's.
    fn is_now(&self, at: u64) -> bool {
        self.at.is_some_and(|last| last / TICK == at / TICK)
    }

    /// Begins a row for something that needs the cells `from..to`, unless the current one can take it.
    fn make_room(&mut self, at: u64, from: usize, to: usize) {
        let lifelines = self.drawn_lifelines();
        if self.is_now(at) && self.row.is_free(from, to, &lifelines) {
            return;
        }
        self.finish_row();
        let silence = self.at.map_or(0, |last| at.saturating_sub(last));
        if silence >= SILENCE {
            self.row.put(self.margin - 4, "⋮", Style::Faint);
            self.finish_row();
        }
        if !self.is_now(at) {
            let time = time(at);
            self.row.put(self.margin - 1 - time.len(), &time, Style::Faint);
        }
        self.at = Some(at);
    }

    fn scene(&mut self, scene: &Scene) {
        let at = scene.at;
        match &scene.what {
            What::Send { from, text, name, heads } => self.send(at, *from, text, name.as_deref(), heads),
            What::Arrive { from, to, name, text, dropped } => {
                self.arrive(at, *from, *to, name, text, *dropped)
            }
            What::Ask { client, node, text } => self.ask(at, *client, *node, text),
            What::Told { client, text, well } => {
                let style = if *well { Style::Plain } else { Style::Bad };
                let text = format!("c{client} ◀ {text}");
                let (from, to) = self.clients_column();
                self.make_room(at, from, to);
                self.row.put(from, &cut(&text, to - from), style);
            }
            What::Fact { node, text } => {
                let style = self.style(text, *node);
                self.note(at, *node, None, &format!("• {text}"), style);
            }
            // Not worth a row of its own: the lifeline shows it from here on.
            What::Writing { .. } if !self.is_now(at) => self.finish_row(),
            What::Writing { .. } => {}
            What::Written { node, .. } => self.note(at, *node, Some("█"), "", Style::Faint),
            // What stops a process is told before it dies.
            What::Down { node, .. } if self.life(*node).down => {}
            What::Down { node, text } => self.note(at, *node, Some("╳"), text, Style::Bad),
            What::Up { node, text } => self.note(at, *node, Some("┬"), text, Style::Bad),
            What::Asleep { node, text, .. } => self.note(at, *node, None, text, Style::Bad),
            What::Afflicted { node, text } => self.note(at, *node, None, text, Style::Bad),
            What::Across { text } => {
                self.make_room(at, self.margin, self.view.width);
                let text = cut(&format!("══ {text} "), self.view.width.saturating_sub(self.margin));
                let end = self.margin + text.chars().count();
                self.row.put(self.margin, &text, Style::Bad);
                self.row.fill(end, self.view.width, '═', &[], Style::Bad);
            }
        }
        // After the drawing: the row shows how things stood when it was begun.
        self.live(&scene.what);
    }

    /// What `what` changes in the lives of the nodes.
    fn live(&mut self, what: &What) {
        match what {
            What::Writing { node, work } => {
                self.life(*node).writing.insert(*work);
            }
            What::Written { node, work } => {
                self.life(*node).writing.remove(work);
            }
            What::Down { node, .. } => *self.life(*node) = Life { down: true, ..Life::default() },
            What::Up { node, .. } => self.life(*node).down = false,
            What::Asleep { node, asleep, .. } => self.life(*node).asleep = *asleep,
            _ => {}
        }
    }

    fn clients_column(&self) -> (usize, usize) {
        let from = self.clients.unwrap_or(self.margin);
        let to = self.lifelines.values().min().copied().unwrap_or(self.view.width);
        (from, to.max(from + 1) - 1)
    }

    /// Where the text beside the lifeline at `x` must end.
    fn column_end(&self, x: usize) -> usize {
        self.lifelines
            .values()
            .copied()
            .filter(|other| *other > x)
            .min()
            .map_or(self.view.width, |next| next - 1)
    }

    /// Writes beside a lifeline, behind what was written there at the same time if it fits.
    fn note(&mut self, at: u64, node: u64, sign: Option<&str>, text: &str, style: Style) {
        let x = self.x(node);
        let length = text.chars().count();
        let end = self.column_end(x);
        let start = match self.ends.get(&node).filter(|_| self.is_now(at)) {
            Some(last) if last + 1 + length <= end && self.row.is_free(*last, last + 1 + length, &[]) => {
                last + 1
            }
            _ => {
                // What is already beside this lifeline came before: never to its left.
                let blocked = self.ends.contains_key(&node);
                if blocked {
                    self.finish_row();
                }
                self.make_room(at, x + 1, (x + 2 + length).min(end));
                x + 2
            }
        };
        if let Some(sign) = sign {
            let style = if style == Style::Bad { style } else { self.owner(node) };
            self.row.put(x, sign, style);
        }
        let text = cut(text, end.saturating_sub(start));
        self.row.put(start, &text, style);
        // Behind a sign alone, text begins as it would beside it.
        self.ends.insert(node, (start + text.chars().count()).max(x + 2) - usize::from(text.is_empty()));
    }

    /// An arrow from a client to the node that it asks.
    fn ask(&mut self, at: u64, client: u64, node: u64, text: &str) {
        let (from, to) = self.clients_column();
        let x = self.x(node);
        self.make_room(at, from, x);
        let text = cut(&format!("c{client} {text}"), to.saturating_sub(from + 1));
        let end = from + text.chars().count();
        self.row.put(from, &text, Style::Plain);
        let lifelines = self.drawn_lifelines();
        self.row.fill(end + 1, x.saturating_sub(1), '─', &lifelines, Style::Plain);
        self.row.put(x.saturating_sub(1), "▶", Style::Plain);
    }

    /// Arrows from a node to all to whom it sends the same.
    fn send(&mut self, at: u64, from: u64, text: &str, name: Option<&str>, heads: &[(u64, Head)]) {
        let x = self.x(from);
        let targets: Vec<(usize, Head)> = heads.iter().map(|(to, head)| (self.x(*to), *head)).collect();
        let leftmost = targets.iter().map(|(to, _)| *to).min().unwrap_or(x).min(x);
        let rightmost = targets.iter().map(|(to, _)| *to).max().unwrap_or(x).max(x);
        // What it wrote or learned before stands in a row above.
        if self.ends.contains_key(&from) {
            self.finish_row();
        }
        self.make_room(at, leftmost + 1, rightmost);
        let style = self.style(text, from);
        let dash = if heads.iter().all(|(_, head)| *head == Head::AtOnce) { '─' } else { '╌' };
        let lifelines = self.drawn_lifelines();
        self.row.fill(leftmost + 1, rightmost, dash, &lifelines, style);
        let sign = match (leftmost < x, rightmost > x) {
            (true, true) => "┼",
            (true, false) => "┤",
            (false, true) => "├",
            (false, false) => "↺",
        };
        self.row.put(x, sign, style);
        for (to, head) in &targets {
            let (sign, style) = match (head, *to > x) {
                (Head::Lost, _) => ("✗", Style::Bad),
                (Head::AtOnce, true) => ("▶", style),
                (Head::AtOnce, false) => ("◀", style),
                (Head::Later, true) => ("▷", style),
                (Head::Later, false) => ("◁", style),
            };
            self.row.put(if *to > x { to - 1 } else { to + 1 }, sign, style);
        }
        self.label_arrow(x, text, name, &targets, style);
        if let Some(name) = name {
            self.sent.insert(name.to_owned(), self.rows);
        }
    }

    /// Writes on the arrow to the right if there is one, on the one to the left otherwise.
    fn label_arrow(
        &mut self,
        x: usize,
        text: &str,
        name: Option<&str>,
        targets: &[(usize, Head)],
        style: Style,
    ) {
        let text = name.map_or(text.to_owned(), |name| format!("{name} {text}"));
        let right = targets.iter().map(|(to, _)| *to).filter(|to| *to > x).min();
        let left = targets.iter().map(|(to, _)| *to).filter(|to| *to < x).max();
        match (right, left) {
            (Some(to), _) => self.row.put(x + 2, &cut(&text, to.saturating_sub(x + 3)), style),
            (None, Some(to)) => {
                let text = cut(&text, x.saturating_sub(to + 3));
                self.row.put(x - 1 - text.chars().count(), &text, style);
            }
            (None, None) => {
                let end = self.column_end(x);
                self.row.put(x + 2, &cut(&text, end.saturating_sub(x + 2)), style);
            }
        }
    }

    fn arrive(&mut self, at: u64, from: u64, to: u64, name: &str, text: &str, dropped: bool) {
        let (x, origin) = (self.x(to), self.x(from));
        let style = if dropped { Style::Bad } else { self.style(text, from) };
        let far = self.sent.get(name).is_none_or(|row| self.rows - row > NEAR);
        let arrow = match (origin < x, dropped) {
            (true, false) => format!("{name}─▶"),
            (true, true) => format!("{name}─✗"),
            (false, false) => format!("◀─{name}"),
            (false, true) => format!("✗─{name}"),
        };
        let length = arrow.chars().count();
        if self.ends.contains_key(&to) {
            self.finish_row();
        }
        let text = if far && !dropped {
            cut(text, self.column_end(x).saturating_sub(x + 2 + length))
        } else {
            String::new()
        };
        let beside = if text.is_empty() { 0 } else { text.chars().count() + 2 };
        if origin < x {
            self.make_room(at, x.saturating_sub(length), (x + beside).max(x + 1));
            self.row.put(x.saturating_sub(length), &arrow, style);
            if beside > 0 {
                self.row.put(x + 2, &text, style);
                self.ends.insert(to, x + beside);
            }
        } else {
            self.make_room(at, x + 1, x + length + beside);
            self.row.put(x + 1, &arrow, style);
            self.row.put(x + 2 + length, &text, style);
            self.ends.insert(to, x + 1 + length + beside.saturating_sub(1));
        }
    }

    /// How it ended, and what was left out.
    fn close(&mut self, trace: &Trace, left_out: &BTreeMap<String, usize>) {
        if let Some(violated) = &trace.violation {
            for line in canvas::wrap(&format!("✗ {}: {}", violated.invariant, violated.what), self.view.width)
            {
                self.line(&line, Style::Bad);
            }
        }
        if !left_out.is_empty() {
            let counts: Vec<String> =
                left_out.iter().map(|(word, count)| format!("{count} {word}")).collect();
            self.line(&format!("left out: {}", counts.join(", ")), Style::Faint);
        }
    }
}

/// Milliseconds with as many decimals as are shown.
fn time(at: u64) -> String {
    format!("{}.{:02}", at / 1_000_000, at % 1_000_000 / TICK)
}
