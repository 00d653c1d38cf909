//! Coverage marks: how often rare paths were reached on this thread.

use std::cell::RefCell;

macro_rules! marks {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A rare path worth knowing that a test got there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Mark] = &[$(Mark::$name,)+];

            /// Its name, as written in the code.
            pub const fn name(self) -> &'static str {
                match self { $(Mark::$name => stringify!($name),)+ }
            }

            /// What was reached.
            pub const fn meaning(self) -> &'static str {
                match self { $(Mark::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

marks! {
    /// A new leader found votes of different ballots for one slot and took the highest.
    CompetingVotesRecovered,
    /// A new leader put a no-op into a slot that nobody had voted in.
    GapFilledWithNoop,
}

thread_local! {
    static HITS: RefCell<[u64; Mark::ALL.len()]> = const { RefCell::new([0; Mark::ALL.len()]) };
}

/// Counts `mark`.
pub fn hit(mark: Mark) {
    HITS.with_borrow_mut(|hits| hits[mark as usize] += 1);
}

/// How often each mark was reached on this thread since the last call.
pub fn take() -> Vec<(Mark, u64)> {
    let hits = HITS.with_borrow_mut(|hits| std::mem::replace(hits, [0; Mark::ALL.len()]));
    Mark::ALL.iter().copied().zip(hits).collect()
}
