//! What is only for people at a terminal: colour, used sparingly, and progress.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two updates of a progress line.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Whether standard output may be coloured: a terminal, and the user did not object (`NO_COLOR`).
pub(super) fn colours() -> bool {
    let objected = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !objected
}

/// `text` in bold, if colours are on.
pub(super) fn bold(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// `text` dimmed, if colours are on.
pub(super) fn dim(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

/// A line on standard error that is written over and over; silent where standard error is no terminal.
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

    /// How long it has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Things done per second so far.
    pub(super) fn rate(&self, done: u64) -> f64 {
        done as f64 / self.elapsed().as_secs_f64().max(1e-9)
    }

    /// Shows how much is done, if it is time to.
    pub(super) fn update(&mut self, done: u64, what: &str) {
        if self.shown && self.last.elapsed() >= PROGRESS_EVERY {
            self.last = Instant::now();
            let mut out = std::io::stderr().lock();
            let rate = thousands(self.rate(done) as u64);
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(out, "\r\x1b[K{} {what}, {rate}/s", thousands(done));
            let _ = out.flush();
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `1,234,567`
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
