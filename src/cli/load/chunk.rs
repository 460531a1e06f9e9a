//! A part of a file, as the server takes it, that remembers which line was which.

use super::Rejection;

/// Rows of one chunk at most.
pub(super) const MAX_ROWS: usize = 5_000;
/// Bytes after which a chunk takes no more rows; half the server's limit, so that the last row still fits.
pub(super) const FULL_BYTES: usize = 4 << 20;

/// Rows on their way to the server.
pub(super) struct Chunk {
    pub(super) media_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) rows: usize,
    /// Rows that were found wrong before sending.
    pub(super) rejected: Vec<Rejection>,
    /// Line of each row in the body and in the file.
    lines: Vec<(u64, u64)>,
    next_line: u64,
}

impl Chunk {
    /// Begins with a head: a CSV header, or nothing.
    pub(super) fn new(media_type: &'static str, head: &[u8]) -> Chunk {
        let next_line = 1 + lines_of(head);
        Chunk { media_type, body: head.to_vec(), rows: 0, rejected: Vec::new(), lines: Vec::new(), next_line }
    }

    /// Adds a row that ends with a line feed.
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

    /// The file's line of a body's line: of the row that it belongs to.
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
        let mut chunk = Chunk::new("text/csv", b"customer,note\n");
        chunk.push(b"a,1\n", 12);
        chunk.push(b"b,\"x\ny\"\n", 13);
        chunk.push(b"c,1\n", 17);
        for (body, file) in [(2, 12), (3, 13), (4, 13), (5, 17), (6, 17)] {
            assert_eq!(chunk.file_line(body), file);
        }
    }
}
