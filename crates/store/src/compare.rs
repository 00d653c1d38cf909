//! The conditions of a transaction.

use std::cmp::Ordering;

use crate::history::{Live, Version};
use crate::request::{Compare, CompareResult, CompareTarget};
use crate::state::State;

impl Compare {
    /// Whether it holds for every key of its range at revision `at`. A range without keys compares as one key whose
    /// figures are all 0 and that has no value.
    pub(crate) fn holds(&self, state: &State, at: i64) -> bool {
        let mut found = state.span(&self.keys).filter_map(|(_, history)| history.live_at(at)).peekable();
        if found.peek().is_none() {
            return self.missing().is_some_and(|ordering| self.result.admits(ordering));
        }
        found.all(|(version, live)| self.result.admits(self.order(version, live)))
    }

    /// How the key stands to the operand.
    fn order(&self, version: &Version, live: &Live) -> Ordering {
        match &self.target {
            CompareTarget::Version(operand) => live.version.cmp(operand),
            CompareTarget::Create(operand) => live.create_revision.cmp(operand),
            CompareTarget::Mod(operand) => version.at.main.cmp(operand),
            CompareTarget::Value(operand) => live.value.cmp(operand),
            CompareTarget::Lease(operand) => live.lease.cmp(operand),
        }
    }

    /// How a key that does not exist stands to the operand; its value stands to none.
    fn missing(&self) -> Option<Ordering> {
        match &self.target {
            CompareTarget::Version(operand)
            | CompareTarget::Create(operand)
            | CompareTarget::Mod(operand)
            | CompareTarget::Lease(operand) => Some(0.cmp(operand)),
            CompareTarget::Value(_) => None,
        }
    }
}

impl CompareResult {
    fn admits(self, ordering: Ordering) -> bool {
        match self {
            CompareResult::Equal => ordering.is_eq(),
            CompareResult::Greater => ordering.is_gt(),
            CompareResult::Less => ordering.is_lt(),
            CompareResult::NotEqual => ordering.is_ne(),
        }
    }
}
