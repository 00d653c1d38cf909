//! What keys hold, as small numbers: equal exactly where no answer of the history could tell the difference.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(u32);

impl Value {
    /// The key is not there.
    pub const ABSENT: Value = Value(0);
    /// The key holds something that no answer and no condition of the history names, and that no append turns into
    /// something that one names. All such values are one: whatever is asked of them, the answer is the same.
    pub const UNSEEN: Value = Value(1);
    const FIRST: u32 = 2;
}

/// A text that is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(u32);

impl Text {
    /// It is part of nothing that was seen, so what it is appended to becomes [`Value::UNSEEN`].
    const UNSEEN: Text = Text(0);
    const FIRST: u32 = 1;
}

/// The values of one partition.
#[derive(Debug, Default)]
pub struct Values {
    /// Per key: what answers and conditions name.
    seen: Vec<BTreeSet<String>>,
    values: Interned,
    texts: Interned,
    /// Concatenations that were computed before.
    appended: HashMap<(usize, Value, Text), Value>,
}

#[derive(Debug, Default)]
struct Interned {
    strings: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Interned {
    fn number(&mut self, string: &str) -> u32 {
        if let Some(&number) = self.numbers.get(string) {
            return number;
        }
        let number = u32::try_from(self.strings.len()).expect("a history has fewer than 2^32 strings");
        self.strings.push(string.to_owned());
        self.numbers.insert(string.to_owned(), number);
        number
    }
}

impl Values {
    /// For keys of which answers and conditions name `seen`, one set per key.
    pub fn new(seen: Vec<BTreeSet<String>>) -> Values {
        Values { seen, ..Values::default() }
    }

    /// `string`, held by `key`.
    pub fn value(&mut self, key: usize, string: &str) -> Value {
        // Whatever has `string` as a prefix comes at once after it.
        let next = self.seen[key].range::<str, _>((Bound::Included(string), Bound::Unbounded)).next();
        match next {
            Some(next) if next.starts_with(string) => Value(Value::FIRST + self.values.number(string)),
            _ => Value::UNSEEN,
        }
    }

    /// `string`, or that there is nothing.
    pub fn maybe(&mut self, key: usize, string: Option<&String>) -> Value {
        string.map_or(Value::ABSENT, |string| self.value(key, string))
    }

    /// `string`, to be appended to `key`.
    pub fn text(&mut self, key: usize, string: &str) -> Text {
        if self.seen[key].iter().any(|seen| seen.contains(string)) {
            Text(Text::FIRST + self.texts.number(string))
        } else {
            Text::UNSEEN
        }
    }

    /// What `key` holds after `text` was appended to `value`.
    pub fn append(&mut self, key: usize, value: Value, text: Text) -> Value {
        if value == Value::UNSEEN || text == Text::UNSEEN {
            return Value::UNSEEN;
        }
        if let Some(&value) = self.appended.get(&(key, value, text)) {
            return value;
        }
        let start =
            value.0.checked_sub(Value::FIRST).map_or("", |number| &self.values.strings[number as usize]);
        let whole = [start, &self.texts.strings[(text.0 - Text::FIRST) as usize]].concat();
        let result = self.value(key, &whole);
        self.appended.insert((key, value, text), result);
        result
    }
}
