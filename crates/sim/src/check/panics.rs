//! Assertions of the explored code, caught: a bug that an assertion stops is a violation with a story like any other.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Runs `work`. If it panics: what the panic said, and where.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(install);
    CATCHING.set(true);
    // What a panic leaves half done is thrown away with the state that was being made.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    outcome.map_err(|_| MESSAGE.take())
}

/// Keeps panics that are caught here from being printed; all others are handled as before.
fn install() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if CATCHING.get() {
            let file = info.location().map_or("", |location| location.file());
            let file = file.rsplit_once("crates/").map_or(file, |(_, file)| file);
            let what = info.payload_as_str().unwrap_or("a panic without words");
            MESSAGE.set(format!("{what} ({file})"));
        } else {
            before(info);
        }
    }));
}
