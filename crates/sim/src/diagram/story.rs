//! What of a trace is worth a place in the diagram, in order.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use crate::history::{Answer, Operation, Outcome};
use crate::trace::{Event, Happening, Trace};

/// Everything to be drawn.
pub(super) struct Story {
    pub(super) scenes: Vec<Scene>,
    /// Whether any client appears.
    pub(super) clients: bool,
    /// Nodes of which the first thing told is that they start.
    pub(super) down_at_first: Vec<u64>,
    /// What happened before the window: only how the nodes stand after it will be seen.
    pub(super) before: Vec<What>,
    /// How many messages of each quiet kind were not drawn.
    pub(super) left_out: BTreeMap<String, usize>,
}

pub(super) struct Scene {
    pub(super) at: u64,
    pub(super) what: What,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It arrives before anything else is drawn.
    AtOnce,
    Later,
    Lost,
}

pub(super) enum What {
    /// The same to several; it has a name if it is drawn again where it arrives.
    Send {
        from: u64,
        text: String,
        name: Option<String>,
        heads: Vec<(u64, Head)>,
    },
    Arrive {
        from: u64,
        to: u64,
        name: String,
        text: String,
        dropped: bool,
    },
    Ask {
        client: u64,
        node: u64,
        text: String,
    },
    Told {
        client: u64,
        text: String,
        well: bool,
    },
    Fact {
        node: u64,
        text: String,
    },
    Writing {
        node: u64,
        work: u64,
    },
    Written {
        node: u64,
        work: u64,
    },
    Down {
        node: u64,
        text: String,
    },
    Up {
        node: u64,
        text: String,
    },
    Asleep {
        node: u64,
        text: String,
        asleep: bool,
    },
    /// Any other fault of a node.
    Afflicted {
        node: u64,
        text: String,
    },
    /// A fault of no single node.
    Across {
        text: String,
    },
}

/// Messages by number.
type Known<'a> = BTreeMap<u64, Letter<'a>>;

struct Letter<'a> {
    from: u64,
    text: &'a str,
    /// Empty until it has one.
    name: String,
}

pub(super) fn tell(trace: &Trace, view: &View) -> Story {
    let mut story = Story {
        scenes: Vec::new(),
        clients: false,
        down_at_first: down_at_first(trace),
        before: Vec::new(),
        left_out: BTreeMap::new(),
    };
    let known: Known = letters(trace);
    let is_quiet = |text: &str| view.quiet.iter().any(|word| text.split(' ').next() == Some(word));
    let mut events: Vec<&Event> = Vec::new();
    for event in &trace.events {
        let (message, sent) = match &event.what {
            Happening::Sent { message, .. } => (Some(message), true),
            Happening::Delivered { message, .. } | Happening::Dropped { message, .. } => {
                (Some(message), false)
            }
            _ => (None, false),
        };
        if let Some(letter) =
            message.and_then(|message| known.get(message)).filter(|letter| is_quiet(letter.text))
        {
            if sent && view.window.contains(&event.at) {
                let word = letter.text.split(' ').next().unwrap_or_default();
                *story.left_out.entry(word.to_owned()).or_default() += 1;
            }
            continue;
        }
        events.push(event);
    }
    Teller { told: BTreeMap::new(), events, known, story: &mut story, names: 0, view }.tell();
    story
}

fn letters(trace: &Trace) -> Known<'_> {
    let sent = trace.events.iter().filter_map(|event| match &event.what {
        Happening::Sent { message, from, text, .. } => {
            Some((*message, Letter { from: *from, text, name: String::new() }))
        }
        _ => None,
    });
    sent.collect()
}

fn down_at_first(trace: &Trace) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let mut down = Vec::new();
    for event in &trace.events {
        if let Happening::Fault { node: Some(node), text } = &event.what
            && seen.insert(*node)
            && text.starts_with("starts")
        {
            down.push(*node);
        }
    }
    down
}

struct Teller<'a> {
    /// What each node was last told to know, so that nothing is told twice.
    told: BTreeMap<u64, BTreeSet<&'a str>>,
    events: Vec<&'a Event>,
    known: Known<'a>,
    story: &'a mut Story,
    /// Names given so far.
    names: usize,
    view: &'a View,
}

impl<'a> Teller<'a> {
    fn tell(&mut self) {
        let mut next = 0;
        while next < self.events.len() {
            let event = self.events[next];
            if self.is_old_news(event) {
                next += 1;
                continue;
            }
            let (what, taken) = match &event.what {
                Happening::Sent { .. } => self.send(next),
                other => (self.other(other), 1),
            };
            next += taken;
            if self.view.window.contains(&event.at) {
                if self.continues(event.at, &what) {
                    continue;
                }
                self.story.clients |= matches!(what, What::Ask { .. } | What::Told { .. });
                self.story.scenes.push(Scene { at: event.at, what });
            } else if event.at < *self.view.window.start() {
                self.story.before.push(what);
            }
        }
    }

    /// Nodes repeat their promise with every write: it is news once in each of their lives.
    fn is_old_news(&mut self, event: &'a Event) -> bool {
        match &event.what {
            Happening::Fact { node, text } => !self.told.entry(*node).or_default().insert(text),
            Happening::Fault { node: Some(node), text } if text.starts_with("starts") => {
                self.told.remove(node);
                false
            }
            _ => false,
        }
    }

    /// A node that learns the next slot of the same at the same time extends what is told already:
    /// `chosen s4` becomes `chosen s4-s5`.
    fn continues(&mut self, at: u64, what: &What) -> bool {
        let Some(Scene { at: before, what: What::Fact { node: same, text: told } }) =
            self.story.scenes.last_mut()
        else {
            return false;
        };
        let What::Fact { node, text } = what else { return false };
        let (Some((head, slot)), Some((told_head, slots))) = (text.rsplit_once(" s"), told.rsplit_once(" s"))
        else {
            return false;
        };
        let (first, last) = slots.split_once("-s").unwrap_or((slots, slots));
        let follows = match (last.parse::<u64>(), slot.parse::<u64>()) {
            (Ok(last), Ok(slot)) => last.checked_add(1) == Some(slot),
            _ => false,
        };
        if (*before, *same, told_head) != (at, *node, head) || !follows {
            return false;
        }
        *told = format!("{head} s{first}-s{slot}");
        true
    }

    /// One message to several at the same instant is one scene. Returns how many events it took.
    fn send(&mut self, first: usize) -> (What, usize) {
        let Event { at, what: Happening::Sent { from, text, .. } } = self.events[first] else {
            unreachable!("called for what was sent");
        };
        let mut group: Vec<(u64, u64, bool)> = Vec::new();
        for event in &self.events[first..] {
            match &event.what {
                Happening::Sent { message, from: sender, to, text: words, lost }
                    if event.at == *at
                        && sender == from
                        && words == text
                        && group.iter().all(|(_, other, _)| other != to) =>
                {
                    group.push((*message, *to, *lost));
                }
                _ => break,
            }
        }
        let sent = group.len();
        let awaited: BTreeSet<u64> =
            group.iter().filter(|(_, _, lost)| !lost).map(|(message, ..)| *message).collect();
        let followers = self.events[first + sent..].iter().take(awaited.len());
        let arrived: BTreeSet<u64> = followers
            .filter_map(|event| match &event.what {
                Happening::Delivered { message, .. } => Some(*message),
                _ => None,
            })
            .collect();
        let at_once = arrived == awaited && awaited.len() + sent <= self.events.len() - first;
        // What is sent and lost needs no name, nor what is sent outside the window.
        let named = !at_once && !awaited.is_empty() && self.view.window.contains(at);
        let name = named.then(|| self.name());
        for message in &awaited {
            if let (Some(letter), Some(name)) = (self.known.get_mut(message), &name) {
                letter.name.clone_from(name);
            }
        }
        let heads = group.iter().map(|(_, to, lost)| {
            let head = if *lost {
                Head::Lost
            } else if at_once {
                Head::AtOnce
            } else {
                Head::Later
            };
            (*to, head)
        });
        let what = What::Send { from: *from, text: short(text), name, heads: heads.collect() };
        (what, sent + if at_once { awaited.len() } else { 0 })
    }

    /// The next name: a, b, …, z, aa, ab, ….
    fn name(&mut self) -> String {
        let mut index = self.names;
        self.names += 1;
        let mut letters = Vec::new();
        loop {
            letters.push(char::from(b'a' + u8::try_from(index % 26).expect("a letter of 26")));
            if index < 26 {
                break;
            }
            index = index / 26 - 1;
        }
        letters.iter().rev().collect()
    }

    fn arrival(&self, message: u64, to: u64, from: Option<u64>, dropped: bool) -> What {
        let letter = self.known.get(&message);
        let from = letter.map(|letter| letter.from).or(from).unwrap_or(to);
        // A message that was not drawn where it was sent is named after its sender.
        let drawn = letter.map(|letter| letter.name.clone()).filter(|name| !name.is_empty());
        let text = letter.map_or(String::new(), |letter| short(letter.text));
        What::Arrive { from, to, name: drawn.unwrap_or_else(|| name(from)), text, dropped }
    }

    fn other(&self, what: &Happening) -> What {
        match what {
            Happening::Sent { .. } => unreachable!("told by send"),
            Happening::Delivered { message, from, to } => self.arrival(*message, *to, Some(*from), false),
            Happening::Dropped { message, to } => self.arrival(*message, *to, None, true),
            Happening::Writing { node, work } => What::Writing { node: *node, work: *work },
            Happening::Written { node, work } => What::Written { node: *node, work: *work },
            Happening::Asked { client, node, operation } => {
                What::Ask { client: *client, node: *node, text: tell_operation(operation) }
            }
            Happening::Told { client, outcome } => {
                let well = matches!(outcome, Outcome::Answered { .. });
                What::Told { client: *client, text: tell_outcome(outcome), well }
            }
            Happening::Fact { node, text } => What::Fact { node: *node, text: short(text) },
            Happening::Fault { node: None, text } => What::Across { text: text.clone() },
            Happening::Fault { node: Some(node), text } => tell_fault(*node, text.clone()),
        }
    }
}

/// The words with which a world tells that a process ends, begins, or stands still.
fn tell_fault(node: u64, text: String) -> What {
    let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
    if begins(&["dies", "stops", "refuses", "no start"]) {
        What::Down { node, text }
    } else if begins(&["starts"]) {
        What::Up { node, text }
    } else if begins(&["sleeps", "wakes up"]) {
        let asleep = begins(&["sleeps"]);
        What::Asleep { node, text, asleep }
    } else {
        What::Afflicted { node, text }
    }
}

fn tell_operation(operation: &Operation) -> String {
    match operation {
        Operation::Get { key } => format!("get {key}"),
        Operation::Put { key, value } => format!("put {key}={value}"),
        Operation::Delete { key } => format!("delete {key}"),
        Operation::Append { key, text } => format!("append {key}+={text}"),
        Operation::Transact { .. } => {
            let keys: Vec<&str> = operation.keys().into_iter().map(String::as_str).collect();
            format!("txn {}", keys.join(","))
        }
        Operation::Propose { value } => format!("propose {value}"),
    }
}

fn tell_outcome(outcome: &Outcome) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    match outcome {
        Outcome::Answered { answer, .. } => match answer {
            Answer::Value(read) => value(read),
            Answer::Done => "done".to_owned(),
            Answer::Deleted(true) => "deleted".to_owned(),
            Answer::Deleted(false) => "was not there".to_owned(),
            Answer::Transacted { succeeded, read } => {
                let read: Vec<String> = read.iter().map(value).collect();
                format!("{} {}", if *succeeded { "then" } else { "else" }, read.join(","))
            }
            Answer::Chosen(value) => format!("chosen {value}"),
        },
        Outcome::Failed => "refused".to_owned(),
        Outcome::Unknown => "no answer".to_owned(),
    }
}

/// The name of a node, as everywhere.
pub(super) fn name(node: u64) -> String {
    synod_paxos::node::NodeId(node).to_string()
}

/// `text` with its ballots in their short form: `accept 7.3 s1` for `accept (7,n3) s1`.
fn short(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('(') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let ballot = rest[1..].split_once(')').and_then(|(inside, after)| {
            let (round, node) = inside.split_once(",n")?;
            (is_decimal(round) && is_node(node)).then(|| (format!("{round}.{node}"), after))
        });
        match ballot {
            Some((short, after)) => {
                out.push_str(&short);
                rest = after;
            }
            None => {
                out.push('(');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_node(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The node in the first short ballot in `text`: 3 in `accept 7.3 s1`.
pub(super) fn ballot_owner(text: &str) -> Option<u64> {
    text.split([' ', ',']).find_map(|word| {
        let (round, node) = word.split_once('.')?;
        (is_decimal(round) && is_node(node)).then(|| u64::from_str_radix(node, 16).ok())?
    })
}
