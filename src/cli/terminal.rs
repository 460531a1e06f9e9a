//! Printing, and what only a terminal gets: sparing colour, and progress.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::durability::BytesRead;

/// The time between two updates of a progress line.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Prints a text as lines. A closed pipe (`usher check … | head`) is not an error, so that a server keeps
/// serving.
pub(super) fn print(out: &mut dyn Write, text: &str) {
    let _ = writeln!(out, "{}", text.strip_suffix('\n').unwrap_or(text));
    let _ = out.flush();
}

/// Whether to colour standard output: it is a terminal, and `NO_COLOR` is not set.
pub(super) fn colours() -> bool {
    let objected = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !objected
}

/// `text` in bold if `colours` is set.
pub(super) fn bold(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// `text` dimmed if `colours` is set.
pub(super) fn dim(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

/// A line on standard error that shows progress and replaces itself. Nothing is shown if that is not a
/// terminal.
pub(super) struct Progress {
    shown: bool,
    last: Instant,
    started: Instant,
}

impl Progress {
    pub(super) fn start() -> Progress {
        let now = Instant::now();
        Progress { shown: std::io::stderr().is_terminal(), last: now, started: now }
    }

    /// How long the work has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Items done per second, from the start until now.
    pub(super) fn rate(&self, done: u64) -> f64 {
        done as f64 / self.elapsed().as_secs_f64().max(1e-9)
    }

    /// Shows how much is done, at most every [`PROGRESS_EVERY`].
    pub(super) fn update(&mut self, done: u64, what: &str) {
        if self.shown && self.last.elapsed() >= PROGRESS_EVERY {
            self.last = Instant::now();
            let mut out = std::io::stderr().lock();
            let rate = thousands(self.rate(done) as u64);
            // A failed write of progress does not stop the work.
            let _ = write!(out, "\r\x1b[K{} {what}, {rate}/s", thousands(done));
            let _ = out.flush();
        }
    }

    /// Removes the line from the terminal.
    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Shows how many bytes some work has done of how many, as it tells from any thread. `done` is what became of
/// them, such as `read`.
pub(super) fn with_bytes<T>(done: &str, work: impl FnOnce(&(dyn Fn(BytesRead) + Sync)) -> T) -> T {
    let progress = Mutex::new(Progress::start());
    let progress = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    let found =
        work(&|now| progress().update(now.done, &format!("of {} bytes {done}", thousands(now.total))));
    progress().clear();
    found
}

/// Writes a number with commas: `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
