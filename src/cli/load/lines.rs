//! Which line of a file a byte is on, while the file streams by.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, Read, Result};
use std::rc::Rc;

/// A reader that notes where the lines are.
pub(super) struct Counted {
    inner: Box<dyn BufRead>,
    offset: u64,
    line: u64,
    noted: Noted,
}

/// Lines that are not blank: number and the offset of the last byte before the line end.
type Noted = Rc<RefCell<VecDeque<(u64, u64)>>>;

/// The lines noted. The csv crate's own numbers count from the end of the row before: blank lines and line ends of two
/// characters make them too small.
pub(super) struct Lines(Noted);

pub(super) fn counted(inner: Box<dyn BufRead>) -> (Counted, Lines) {
    let noted = Noted::default();
    (Counted { inner, offset: 0, line: 1, noted: Rc::clone(&noted) }, Lines(noted))
}

impl Lines {
    /// The line of the first row at or after `offset`; offsets must not go back.
    pub(super) fn of(&self, offset: u64) -> u64 {
        let mut noted = self.0.borrow_mut();
        while noted.front().is_some_and(|(_, end)| *end < offset) {
            noted.pop_front();
        }
        noted.front().map_or(0, |(line, _)| *line)
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        let mut noted = self.noted.borrow_mut();
        for byte in &buffer[..read] {
            match (byte, noted.back_mut()) {
                (b'\n', _) => self.line += 1,
                (b'\r', _) => {}
                (_, Some((line, end))) if *line == self.line => *end = self.offset,
                _ => noted.push_back((self.line, self.offset)),
            }
            self.offset += 1;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_offset_over_blank_ones() {
        let (mut counted, lines) = counted(Box::new(&b"ab\r\n\r\n\ncd\nef"[..]));
        counted.read_to_end(&mut Vec::new()).unwrap();
        // The end of the first line, the rest of its line end, the next rows.
        for (offset, line) in [(0, 1), (1, 1), (3, 4), (6, 4), (8, 4), (9, 5), (10, 5)] {
            assert_eq!(lines.of(offset), line, "{offset}");
        }
    }
}
