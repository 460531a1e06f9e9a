//! A part of a file as it is sent to the server. It remembers which line came from where.

use super::Rejection;
use crate::schema::told::clears;

/// The most rows in one chunk.
pub(super) const MAX_ROWS: usize = 5_000;
/// A chunk with this many bytes takes no more rows. It is half the server's limit, so that the last row still
/// fits.
pub(super) const FULL_BYTES: usize = 4 << 20;

/// Rows on their way to the server.
pub(super) struct LoadChunk {
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) rows: usize,
    /// Rows that were rejected before sending.
    pub(super) rejected: Vec<Rejection>,
    /// Cells of features that have nothing in them, and cells that say `null`; 0 for NDJSON.
    pub(super) cells: CellCounts,
    /// For each row, its line in the body and in the file.
    lines: Vec<(u64, u64)>,
    next_line: u64,
}

/// How many cells of features give no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CellCounts {
    pub(super) empty: u64,
    pub(super) null: u64,
}

impl CellCounts {
    /// Counts one cell of a feature.
    pub(super) fn count(&mut self, cell: &str) {
        self.empty += u64::from(cell.is_empty());
        self.null += u64::from(clears(cell));
    }
}

impl LoadChunk {
    /// A chunk that begins with `head`: a CSV header, or nothing.
    pub(super) fn new(media_type: &'static str, head: &[u8]) -> LoadChunk {
        let next_line = 1 + lines_of(head);
        LoadChunk {
            media_type,
            body: head.to_vec(),
            rows: 0,
            rejected: Vec::new(),
            cells: CellCounts::default(),
            lines: Vec::new(),
            next_line,
        }
    }

    /// Adds a row. It must end with a line feed.
    pub(super) fn push(&mut self, row: &[u8], file_line: u64) {
        self.body.extend_from_slice(row);
        self.rows += 1;
        self.lines.push((self.next_line, file_line));
        self.next_line += lines_of(row);
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows + self.rejected.len() >= MAX_ROWS || self.body.len() >= FULL_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0 && self.rejected.is_empty()
    }

    /// The line in the file of the row that this line of the body belongs to.
    pub(super) fn file_line(&self, body_line: u64) -> u64 {
        let after = self.lines.partition_point(|(line, _)| *line <= body_line);
        self.lines.get(after.saturating_sub(1)).map_or(body_line, |(_, file_line)| *file_line)
    }
}

fn lines_of(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_back_to_the_file() {
        let mut chunk = LoadChunk::new("text/csv", b"customer,note\n");
        chunk.push(b"a,1\n", 12);
        chunk.push(b"b,\"x\ny\"\n", 13);
        chunk.push(b"c,1\n", 17);
        for (body, file) in [(2, 12), (3, 13), (4, 13), (5, 17), (6, 17)] {
            assert_eq!(chunk.file_line(body), file);
        }
    }
}
