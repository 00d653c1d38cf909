//! What must be on disk before a message may leave.
//!
//! Facts §1.6: before `Promise(b)` the promise is durable, before `Accepted(b)` the promise and the vote.
//! An acceptor therefore does not make messages: it makes [`Sealed`] ones, and only a [`Gate`] that was
//! told of the finished write opens them.

use std::collections::VecDeque;

use synod_probe::mutant;

/// Names a write. Cumulative: when the write of a token is durable, so are all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A value that may be revealed once the record written with it is durable.
///
/// It has no accessor on purpose: hand it to a [`Gate`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "a sealed message is an answer that somebody waits for"]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Seals what must not be revealed before its record is durable.
    pub(crate) fn new(value: T) -> Sealed<T> {
        Sealed(value)
    }

    /// Changes what is sealed without revealing it.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Sealed<U> {
        Sealed(change(self.0))
    }
}

/// Holds sealed values back until the write they depend on is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate<T> {
    issued: Token,
    durable: Token,
    waiting: VecDeque<(Token, T)>,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Gate { issued: Token(0), durable: Token(0), waiting: VecDeque::new() }
    }
}

impl<T> Gate<T> {
    /// A token for a new write.
    pub fn issue(&mut self) -> Token {
        self.issued.0 += 1;
        self.issued
    }

    /// The last token issued.
    pub fn issued(&self) -> Token {
        self.issued
    }

    /// The last token known to be durable.
    pub fn durable(&self) -> Token {
        self.durable
    }

    /// Keeps `sealed` until `token` is durable.
    ///
    /// # Panics
    /// If the token was not issued here, or an earlier one than that of a value already held: values leave
    /// in the order in which they came.
    pub fn hold(&mut self, token: Token, sealed: Sealed<T>) {
        assert!(token <= self.issued, "{token:?} was never issued (last: {:?})", self.issued);
        if let Some((last, _)) = self.waiting.back() {
            assert!(*last <= token, "{token:?} would leave before {last:?}");
        }
        self.waiting.push_back((token, sealed.0));
    }

    /// Says that the writes up to `token` are durable. Values they guarded can be taken now.
    ///
    /// # Panics
    /// If the token was not issued: the driver reports a write it was never given.
    pub fn persisted(&mut self, token: Token) {
        assert!(token <= self.issued, "{token:?} was never issued (last: {:?})", self.issued);
        self.durable = self.durable.max(token);
    }

    /// The next value whose write is durable.
    pub fn pop(&mut self) -> Option<T> {
        match self.waiting.front() {
            Some((token, _)) if *token <= self.durable || mutant!(ReplyBeforeWrite) => {
                self.waiting.pop_front().map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// How many values wait for their write.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_leaves_only_after_its_write_is_durable_and_in_order() {
        let mut gate = Gate::default();
        let (first, second) = (gate.issue(), gate.issue());
        gate.hold(first, Sealed::new("promise"));
        gate.hold(second, Sealed::new("vote"));
        assert_eq!(gate.pop(), None);
        gate.persisted(first);
        assert_eq!(gate.pop(), Some("promise"));
        assert_eq!(gate.pop(), None);
        gate.persisted(second);
        assert_eq!((gate.pop(), gate.pop()), (Some("vote"), None));
    }

    #[test]
    fn tokens_are_cumulative_and_an_old_one_takes_nothing_back() {
        let mut gate = Gate::default();
        let (first, second) = (gate.issue(), gate.issue());
        gate.hold(first, Sealed::new(1));
        gate.persisted(second);
        gate.persisted(first);
        assert_eq!((gate.durable(), gate.pop()), (second, Some(1)));
    }
}
