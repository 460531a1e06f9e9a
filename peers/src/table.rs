//! Figures of one rule set, side by side.

use std::fmt;

use crate::peer::Question;

/// For each engine, what each question took.
pub(crate) struct Table {
    title: String,
    rows: Vec<(&'static str, [Option<f64>; COLUMNS.len()])>,
}

const COLUMNS: [(Question, &str); 3] =
    [(Question::All, "all matches"), (Question::AllFromPlain, "input built too"), (Question::Top, "top 3")];

impl Table {
    pub(crate) fn new(title: String) -> Table {
        Table { title, rows: Vec::new() }
    }

    pub(crate) fn put(&mut self, engine: &'static str, question: Question, nanoseconds: f64) {
        if self.rows.last().is_none_or(|(last, _)| *last != engine) {
            self.rows.push((engine, [None; COLUMNS.len()]));
        }
        let column = COLUMNS.iter().position(|(of, _)| *of == question);
        if let (Some((_, figures)), Some(column)) = (self.rows.last_mut(), column) {
            figures[column] = Some(nanoseconds);
        }
    }

    /// What a figure is divided by. Usher's row is its input, so both questions for all matches have the same
    /// divisor.
    fn usher(&self, question: Question) -> Option<f64> {
        let (_, figures) = self.rows.iter().find(|(engine, _)| *engine == "usher")?;
        figures[if question == Question::Top { 2 } else { 0 }]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        write!(f, "{:<16}", "ns a customer")?;
        for (_, name) in COLUMNS {
            write!(f, "{name:>18}{:>10}", "× usher")?;
        }
        writeln!(f)?;
        for (engine, figures) in &self.rows {
            write!(f, "{engine:<16}")?;
            for ((question, _), figure) in COLUMNS.iter().zip(figures) {
                let ratio = figure.zip(self.usher(*question)).map(|(figure, usher)| figure / usher);
                let text = |x: Option<f64>, decimals: usize| {
                    x.map_or_else(|| "–".to_owned(), |x| format!("{x:.decimals$}"))
                };
                write!(f, "{:>18}{:>10}", text(*figure, 0), text(ratio, 2))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
