//! What must never be seen. Checkers know nothing of the code they watch: they compare what nodes did and said.

pub mod answers;
pub mod disks;
pub mod executions;
pub mod instances;
pub mod ledger;
pub mod states;
pub mod terms;

use crate::check::Violation;

/// A violated invariant.
pub(crate) fn violated<T>(invariant: &'static str, what: String) -> Result<T, Violation> {
    Err(Violation { invariant, what })
}
