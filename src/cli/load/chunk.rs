//! A part of a file as it is sent to the server. It remembers which line came from where.

use super::Rejection;
use super::rows::Shown;
use crate::cli::ending::Failure;
use crate::schema::told::clears;

/// Rows on their way to the server.
pub(in crate::cli) struct LoadChunk {
    pub(in crate::cli) media_type: &'static str,
    pub(in crate::cli) body: Vec<u8>,
    /// The rows in the body, in their order.
    pub(in crate::cli) rows: Vec<SentRow>,
    /// Rows that were rejected before sending.
    pub(in crate::cli) rejected: Vec<RejectedRow>,
    /// Cells of features that have nothing in them, and cells that say `null`; 0 for JSON.
    pub(in crate::cli) cells: CellCounts,
    /// Whether the same chunk may be sent again without harm.
    pub(in crate::cli) repeatable: bool,
    /// What kept the file from being read further.
    pub(in crate::cli) broken: Option<Failure>,
    next_line: u64,
}

/// A row in the body of a chunk.
pub(in crate::cli) struct SentRow {
    /// The line of the body on which it begins.
    body_line: u64,
    /// Its line in the file, and the number of the data row.
    pub(in crate::cli) line: u64,
    pub(in crate::cli) number: u64,
    /// How the file has it; empty unless rejected rows are kept.
    pub(in crate::cli) shown: Shown,
    /// Its customer, if that is of interest.
    pub(in crate::cli) customer: Option<String>,
}

/// A row that was not sent.
pub(in crate::cli) struct RejectedRow {
    pub(in crate::cli) rejection: Rejection,
    pub(in crate::cli) number: u64,
    pub(in crate::cli) shown: Shown,
    /// Its customer, if that is of interest and can be told.
    pub(in crate::cli) customer: Option<String>,
}

/// How many cells of features give no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) struct CellCounts {
    pub(in crate::cli) empty: u64,
    pub(in crate::cli) null: u64,
}

impl CellCounts {
    /// Counts one cell of a feature.
    pub(in crate::cli) fn count(&mut self, cell: &str) {
        self.empty += u64::from(cell.is_empty());
        self.null += u64::from(clears(cell));
    }
}

impl LoadChunk {
    /// A chunk that begins with `head`: a CSV header, or nothing.
    pub(in crate::cli) fn new(media_type: &'static str, head: &[u8]) -> LoadChunk {
        LoadChunk {
            media_type,
            body: head.to_vec(),
            rows: Vec::new(),
            rejected: Vec::new(),
            cells: CellCounts::default(),
            repeatable: true,
            broken: None,
            next_line: 1 + lines_of(head),
        }
    }

    /// Adds rows until there are this many, or this many bytes. `add_row` adds the next one; `false` at the
    /// end of the file.
    pub(in crate::cli) fn fill(
        mut self,
        (rows, bytes): (usize, usize),
        mut add_row: impl FnMut(&mut LoadChunk) -> Result<bool, Failure>,
    ) -> LoadChunk {
        while self.rows.len() + self.rejected.len() < rows && self.body.len() < bytes {
            match add_row(&mut self) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => {
                    self.broken = Some(failure);
                    break;
                }
            }
        }
        self
    }

    /// Adds a row. Its text must end with a line feed.
    pub(in crate::cli) fn push(
        &mut self,
        text: &[u8],
        (line, number): (u64, u64),
        shown: Shown,
        customer: Option<String>,
    ) {
        self.body.extend_from_slice(text);
        self.rows.push(SentRow { body_line: self.next_line, line, number, shown, customer });
        self.next_line += lines_of(text);
    }

    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.rejected.is_empty() && self.broken.is_none()
    }

    /// The place in `rows` of the row that this line of the body belongs to.
    pub(in crate::cli) fn row_of(&self, body_line: u64) -> Option<usize> {
        self.rows.partition_point(|row| row.body_line <= body_line).checked_sub(1)
    }
}

fn lines_of(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_back_to_the_rows() {
        let mut chunk = LoadChunk::new("text/csv", b"customer,note\n");
        for text in ["a,1\n", "b,\"x\ny\"\n", "c,1\n"] {
            chunk.push(text.as_bytes(), (0, 0), Shown::default(), None);
        }
        for (line, row) in [(1, None), (2, Some(0)), (3, Some(1)), (4, Some(1)), (5, Some(2)), (6, Some(2))] {
            assert_eq!(chunk.row_of(line), row, "{line}");
        }
    }
}
