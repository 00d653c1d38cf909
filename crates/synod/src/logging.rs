//! The log goes to standard error, by way of a queue: no thread of a member waits for whatever reads it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::line_queue::LineQueue;

/// How long the end of the process may wait until the last lines are out.
const LAST_LINES: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Starts logging. `level` was checked before.
pub(crate) fn start(level: &str, format: LogFormat) {
    let queue =
        QUEUE.get_or_init(|| LineQueue::start(stderr(), move |lost| lost_lines(format, lost))).clone();
    let filter = EnvFilter::new(level);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || queue.clone());
    match format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        let backtrace = Backtrace::capture();
        match backtrace.status() {
            BacktraceStatus::Captured => error!("thread {name} {panic}\n{backtrace}"),
            _ => error!("thread {name} {panic}"),
        }
        // The process may end at once.
        finish();
    }));
}

/// What the operator is told beside the log: the reason of the end, for one.
pub(crate) fn say(text: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{text}\n").into_bytes()),
        None => eprintln!("{text}"),
    }
}

/// Waits until what was logged is written, for a moment: a pipe that is full stays full.
pub(crate) fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES);
    }
}

fn lost_lines(format: LogFormat, lost: u64) -> String {
    let message =
        format!("{lost} lines of the log are missing here: they were not read as fast as they came");
    match format {
        LogFormat::Text => format!(" WARN {message}\n"),
        LogFormat::Json => {
            format!("{}\n", serde_json::json!({"level": "WARN", "fields": {"message": message}}))
        }
    }
}
