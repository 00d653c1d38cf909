//! Log lines that repeat: the first goes out at once, the others ever more seldom, with their number.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_paxos::time::Time;

/// For how long a line that was logged is held back at first; each time twice as long, up to the last.
const HELD_FIRST: Duration = Duration::from_secs(10);
const HELD_MAX: Duration = Duration::from_secs(600);
/// Lines remembered, at most. The one that was logged longest ago makes room.
const LINES_MAX: usize = 32;

/// The lines of one place in the code.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    lines: BTreeMap<String, Line>,
}

#[derive(Debug)]
struct Line {
    logged: Time,
    held: Duration,
    /// How often it was held back.
    repeats: u64,
}

impl Repeats {
    /// What `line` tells of has happened once more. The line to log, if it is to be logged now.
    pub(crate) fn line(&mut self, now: Time, line: &str) -> Option<String> {
        Some(match self.count(now, line)? {
            0 => line.to_owned(),
            repeats => format!("{line} (and {repeats} more since the last such line)"),
        })
    }

    /// How often it was held back, if it is to be logged now.
    fn count(&mut self, now: Time, line: &str) -> Option<u64> {
        let Some(known) = self.lines.get_mut(line) else {
            self.make_room();
            self.lines.insert(line.to_owned(), Line { logged: now, held: HELD_FIRST, repeats: 0 });
            return Some(0);
        };
        let age = now.since(known.logged);
        if age < known.held {
            known.repeats += 1;
            return None;
        }
        // One that was not logged for so long is news again.
        known.held = if age < HELD_MAX + known.held { (known.held * 2).min(HELD_MAX) } else { HELD_FIRST };
        known.logged = now;
        Some(std::mem::take(&mut known.repeats))
    }

    fn make_room(&mut self) {
        if self.lines.len() < LINES_MAX {
            return;
        }
        let oldest = self.lines.iter().min_by_key(|(_, line)| line.logged).map(|(text, _)| text.clone());
        if let Some(oldest) = oldest {
            self.lines.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_for_an_hour_is_logged_a_few_times_and_every_repetition_is_counted() {
        let mut repeats = Repeats::default();
        let (mut logged, mut told) = (0, 0);
        for tick in 0..3600 * 20 {
            if let Some(held) = repeats.count(Time::from_millis(50 * tick), "refused") {
                (logged, told) = (logged + 1, told + held + 1);
            }
        }
        assert!(logged <= 15, "{logged} lines");
        assert_eq!(told + repeats.lines["refused"].repeats, 3600 * 20);
    }

    #[test]
    fn another_line_is_logged_at_once_and_one_that_was_quiet_for_long_is_news() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.line(Time::ZERO, "refused").as_deref(), Some("refused"));
        assert_eq!(repeats.line(Time::ZERO, "refused"), None);
        assert_eq!(repeats.line(Time::ZERO, "no such name").as_deref(), Some("no such name"));
        let later = Time::ZERO + 2 * HELD_MAX;
        let told = repeats.line(later, "refused").unwrap();
        assert_eq!(told, "refused (and 1 more since the last such line)");
        assert_eq!(repeats.line(later + HELD_FIRST, "refused").as_deref(), Some("refused"));
    }

    #[test]
    fn lines_that_never_repeat_cost_bounded_memory() {
        let mut repeats = Repeats::default();
        for number in 0..1000 {
            repeats.line(Time::ZERO, &format!("line {number}"));
        }
        assert_eq!(repeats.lines.len(), LINES_MAX);
    }
}
