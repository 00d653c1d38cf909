//! Messages that are lost or held back by name, so that a schedule can be told message by message.

use synod_paxos::node::NodeId;

use super::{Event, World};
use crate::network::Letter;
use crate::program::Program;

/// Which messages. What is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Words of what [`Program::describe`] calls it: the first is its first, the others are anywhere in it.
    pub name: Option<String>,
    /// Who sent it.
    pub from: Option<NodeId>,
    /// To whom.
    pub to: Option<NodeId>,
}

impl Pattern {
    fn fits(&self, text: &str, letter: &Letter) -> bool {
        let words: Vec<&str> = text.split(' ').collect();
        let named = |name: &String| {
            let mut wanted = name.split(' ');
            wanted.next() == words.first().copied() && wanted.all(|word| words.contains(&word))
        };
        self.name.as_ref().is_none_or(named)
            && self.from.is_none_or(|from| from == letter.from)
            && self.to.is_none_or(|to| to == letter.to)
    }
}

/// What becomes of messages that fit a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They never arrive.
    Lost,
    /// They wait until [`World::deliver_held`].
    Held,
}

/// The rules, of which the first that fits counts, and what is held back.
#[derive(Debug, Default)]
pub(super) struct Filter {
    rules: Vec<(Pattern, Fate)>,
    held: Vec<(String, Letter)>,
}

impl Filter {
    /// Whether a letter is kept from the network, and how.
    pub(super) fn judge(&mut self, letter: &Letter, describe: impl FnOnce() -> String) -> Option<Fate> {
        if self.rules.is_empty() {
            return None;
        }
        let text = describe();
        let (_, fate) = self.rules.iter().find(|(pattern, _)| pattern.fits(&text, letter))?;
        let fate = *fate;
        if fate == Fate::Held {
            self.held.push((text, letter.clone()));
        }
        Some(fate)
    }
}

impl<P: Program> World<P> {
    /// From now on, messages that fit `pattern` have this fate. Earlier rules go first.
    pub fn intercept(&mut self, pattern: Pattern, fate: Fate) {
        self.filter.rules.push((pattern, fate));
    }

    /// Takes back every rule with exactly this pattern. What is held back stays so.
    pub fn let_through(&mut self, pattern: &Pattern) {
        self.filter.rules.retain(|(known, _)| known != pattern);
    }

    /// Delivers what is held back and fits, at once and in the order in which it was sent. Returns how many that were.
    pub fn deliver_held(&mut self, pattern: &Pattern) -> usize {
        let held = &mut self.filter.held;
        let fitting: Vec<_> = held.extract_if(.., |(text, letter)| pattern.fits(text, letter)).collect();
        let count = fitting.len();
        for (_, letter) in fitting {
            self.at(self.now, Event::Deliver(letter));
        }
        count
    }

    /// How many messages that fit are held back.
    pub fn held(&self, pattern: &Pattern) -> usize {
        self.filter.held.iter().filter(|(text, letter)| pattern.fits(text, letter)).count()
    }
}
