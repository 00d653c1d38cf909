//! Two things that production code carries for those who test it.
//!
//! A [`mark!`](crate::mark!) counts that a rare path was reached, so that a run of the simulator can say whether it got
//! there. A [`mutant!`](crate::mutant!) is a switch that turns a rule into a wrong version of itself, so that the
//! checkers can be shown to notice. Without `--cfg synod_mutants` every such switch is the constant `false`, and
//! with it an optimised build without assertions does not compile: no wrong version gets into a release.

pub mod mark;
pub mod mutant;

#[cfg(all(synod_mutants, not(debug_assertions)))]
compile_error!("mutants are wrong on purpose: build them with debug assertions, never as a release");

/// Counts that a rare path was reached: `mark!(GapFilledWithNoop)`, or `mark!(GapFilledWithNoop if condition)`. See
/// [`mark::Mark`].
#[macro_export]
macro_rules! mark {
    ($name:ident) => {
        $crate::mark::hit($crate::mark::Mark::$name)
    };
    ($name:ident if $condition:expr) => {
        if $condition {
            $crate::mark::hit($crate::mark::Mark::$name);
        }
    };
}

/// Whether a rule's wrong version is switched on: `if mutant!(PromiseIgnored) { … }`. See
/// [`mutant::Mutant`].
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::is_active($crate::mutant::Mutant::$name)
    };
}
