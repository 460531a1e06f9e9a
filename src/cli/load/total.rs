//! What has happened to the rows of a load so far, and the summary of it.

use std::path::Path;

use serde_json::{Value, json};

use super::Rejection;
use super::chunk::CellCounts;
use super::resume::Reached;
use crate::cli::terminal::{Progress, thousands};

/// The most errors that are shown. Further ones are only counted.
const MAX_SHOWN: usize = 100;

/// What has happened to the rows so far.
#[derive(Default)]
pub(super) struct Total {
    pub(super) accepted: u64,
    /// Events that had been taken before.
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    /// Rows that an earlier load had done.
    pub(super) passed: u64,
    /// Cells of features in rows that were sent, by what they did to the value that was known before.
    kept: u64,
    cleared: u64,
    errors: Vec<Rejection>,
    pub(super) sequence: Option<u64>,
    /// Whether loading stopped early because of too many errors.
    pub(super) stopped: bool,
    /// What became of the customers who are not in the file.
    pub(super) absent: Option<Absent>,
}

/// The customers whom a file that is the whole truth does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) known: u64,
    pub(super) absent: u64,
    /// Whether they were erased.
    pub(super) erased: bool,
}

impl Total {
    /// Goes on from an earlier load.
    pub(super) fn after(reached: &Reached) -> Total {
        Total { passed: reached.rows, ..Total::default() }
    }

    /// How many rows are done, the rejected ones included.
    pub(super) fn rows(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected
    }

    /// Keeps an error, and shows it to people.
    pub(super) fn keep(&mut self, rejection: Rejection, file: &Path, shown: bool) {
        if self.errors.len() < MAX_SHOWN {
            if shown {
                let column =
                    rejection.column.as_ref().map_or_else(String::new, |column| format!(" column {column}:"));
                complain!("{}:{}:{column} {}", file.display(), rejection.line, rejection.detail);
            }
            self.errors.push(rejection);
        }
    }

    /// Counts cells without a value; `clears` says that empty ones clear.
    pub(super) fn count(&mut self, CellCounts { empty, null }: CellCounts, clears: bool) {
        let (kept, cleared) = if clears { (0, empty + null) } else { (empty, null) };
        (self.kept, self.cleared) = (self.kept + kept, self.cleared + cleared);
    }

    pub(super) fn is_over(&self, max_errors: Option<u64>) -> bool {
        max_errors.is_some_and(|max| self.rejected > max)
    }

    pub(super) fn left(&self, max_errors: Option<u64>) -> Option<u64> {
        max_errors.map(|max| max.saturating_sub(self.rejected))
    }

    /// The summary for people. `noun` is what a row is, such as `row`.
    pub(super) fn text(&self, noun: &str, dry_run: bool, progress: &Progress) -> String {
        let rows = self.rows();
        let done = if dry_run { "right" } else { "accepted" };
        let more = self.rejected.saturating_sub(self.errors.len() as u64);
        let more = if more > 0 { format!(" ({} more not shown)", thousands(more)) } else { String::new() };
        let ending = if rows == 1 { "" } else { "s" };
        let duplicates = match self.duplicates {
            0 => String::new(),
            count => format!(", {} taken before", thousands(count)),
        };
        let passed = match self.passed {
            0 => String::new(),
            count => format!("; {} {noun}s were done before", thousands(count)),
        };
        format!(
            "{} {noun}{ending} in {:.1} s ({} {noun}s/s): {} {done}{duplicates}, {} rejected{more}{}{passed}{}{}{}",
            thousands(rows),
            progress.elapsed().as_secs_f64(),
            thousands(progress.rate(rows) as u64),
            thousands(self.accepted),
            thousands(self.rejected),
            if self.stopped { "; stopped: too many errors" } else { "" },
            self.cells(),
            self.absent.map(Absent::text).unwrap_or_default(),
            if dry_run { "; nothing was changed" } else { "" },
        )
    }

    /// What cells without a value did; nothing if there were none.
    fn cells(&self) -> String {
        let part = |count: u64, one: &str, many: &str| match count {
            0 => String::new(),
            1 => format!("; 1 {one}"),
            _ => format!("; {} {many}", thousands(count)),
        };
        part(self.kept, "empty cell keeps what is known", "empty cells keep what is known")
            + &part(self.cleared, "cell clears its feature", "cells clear their features")
    }

    pub(super) fn json(&self, progress: &Progress) -> Value {
        let errors = self.errors.iter();
        let errors: Vec<Value> =
            errors.map(|e| json!({"line": e.line, "column": e.column, "detail": e.detail})).collect();
        let mut all = json!({"accepted": self.accepted, "rejected": self.rejected,
            "cells_kept": self.kept, "cells_cleared": self.cleared, "errors": errors, "sequence": self.sequence,
            "stopped": self.stopped, "seconds": progress.elapsed().as_secs_f64()});
        for (name, count) in [("duplicates", self.duplicates), ("passed", self.passed)] {
            if count > 0 {
                all[name] = count.into();
            }
        }
        if let Some(Absent { known, absent, erased }) = self.absent {
            all["sync"] = json!({"customers": known, "absent": absent, "erased": erased});
        }
        all
    }
}

impl Absent {
    fn text(self) -> String {
        let Absent { known, absent, erased } = self;
        let what = match (absent, erased) {
            (0, _) => "all are in the file".to_owned(),
            (_, true) => format!("{} are not in the file and were erased", thousands(absent)),
            (_, false) => format!("{} are not in the file and stay", thousands(absent)),
        };
        format!("; of {} customers {what}", thousands(known))
    }
}
