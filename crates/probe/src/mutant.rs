//! Wrong versions of rules. One at a time is active, on one thread.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A rule, and how it is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Mutant] = &[$(Mutant::$name,)+];

            /// Its name, as written in the code.
            pub const fn name(self) -> &'static str {
                match self { $(Mutant::$name => stringify!($name),)+ }
            }

            /// What it does wrong.
            pub const fn meaning(self) -> &'static str {
                match self { $(Mutant::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

mutants! {
    /// An acceptor forgets its promise when it restarts.
    PromiseForgotten,
    /// Nothing is ever decided wrongly, but a harness that does not notice this one notices nothing: a learner
    /// claims a value that nobody voted for.
    Canary,
}

#[cfg(synod_mutants)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether `mutant` is the one that is active on this thread.
    #[must_use]
    pub fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// Makes `mutant`, or none, active on this thread.
    pub fn activate(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }
}

#[cfg(synod_mutants)]
pub use switch::{activate, is_active};

/// Never: this build has no mutants.
#[cfg(not(synod_mutants))]
#[inline(always)]
#[must_use]
pub const fn is_active(_: Mutant) -> bool {
    false
}
