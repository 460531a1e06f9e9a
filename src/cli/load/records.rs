//! Cuts a CSV file into records of bounded length before anything reads cells. Without that, a quote that is
//! never closed would make the rest of the file a single cell.
//!
//! The server has a splitter of its own, in `http/wire/csv.rs`: it has the whole body in memory and cuts
//! cells itself. This one reads a stream of any length and with any separator. It passes whole records on
//! unchanged, so that the csv crate can read them and a chunk of them can be sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufRead, Cursor, Read, Result};
use std::rc::Rc;

use crate::input::invisible::BYTE_ORDER_MARK;

/// The most bytes in one record.
const MAX_RECORD_BYTES: usize = 64 << 10;
/// The most lines in one record.
const MAX_RECORD_LINES: usize = 100;
/// Reads whole records, and leaves out those that do not end within the bounds.
pub(super) struct Records {
    inner: Box<dyn BufRead>,
    /// Bytes that were read too far. They come again before the rest of `inner`, and are never more than one
    /// record.
    again: Cursor<Vec<u8>>,
    delimiter: u8,
    /// The line of the next byte.
    line: u64,
    record: Vec<u8>,
    /// How much of the record has been passed on.
    given: usize,
    /// Bytes passed on with earlier records.
    offset: u64,
    log: Log,
}

/// What is noted about records while they are read.
#[derive(Clone, Default)]
pub(super) struct Log(Rc<RefCell<Noted>>);

#[derive(Default)]
struct Noted {
    /// For each record that is not blank: its first line, and the offset of its last byte before the line
    /// end.
    lines: VecDeque<(u64, u64)>,
    left_out: Vec<LeftOut>,
}

/// A record that does not end within the bounds.
pub(super) struct LeftOut {
    /// Its first line.
    pub(super) line: u64,
    pub(super) detail: String,
    /// What was left out, without its end; nothing if it is too long to be kept.
    pub(super) bytes: Vec<u8>,
}

impl Log {
    /// The line of the first record at or after `offset`; offsets must not decrease. The csv crate's own
    /// numbers are too small, because they count from the end of the record before, without blank lines and
    /// two-character line ends.
    pub(super) fn line_of(&self, offset: u64) -> u64 {
        let lines = &mut self.0.borrow_mut().lines;
        while lines.front().is_some_and(|(_, end)| *end < offset) {
            lines.pop_front();
        }
        lines.front().map_or(0, |(line, _)| *line)
    }

    /// The records left out since the last call.
    pub(super) fn take_left_out(&self) -> Vec<LeftOut> {
        std::mem::take(&mut self.0.borrow_mut().left_out)
    }

    fn leave_out(&self, line: u64, detail: String, bytes: &[u8]) {
        let bytes = bytes.trim_ascii_end().to_vec();
        self.0.borrow_mut().left_out.push(LeftOut { line, detail, bytes });
    }
}

/// Cuts the bytes of `inner` into records. `line` is the number of its first line. The log notes where
/// records begin.
pub(super) fn records(inner: Box<dyn BufRead>, delimiter: u8, line: u64) -> (Records, Log) {
    let log = Log::default();
    let (again, record) = (Cursor::default(), Vec::new());
    let records = Records { inner, again, delimiter, line, record, given: 0, offset: 0, log: log.clone() };
    (records, log)
}

impl Read for Records {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.given == self.record.len() {
            self.next_record()?;
        }
        let read = (&self.record[self.given..]).read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

impl Records {
    /// Reads the next record that ends within the bounds. It is empty at the end of the file.
    fn next_record(&mut self) -> Result<()> {
        self.offset += self.record.len() as u64;
        self.given = 0;
        loop {
            let first = self.line;
            let quote = self.read_record()?;
            if let Some(quote) = quote {
                self.leave_out(first, quote)?;
            } else if self.record.len() > MAX_RECORD_BYTES {
                self.skip_line()?;
                let detail = format!("the line is longer than {MAX_RECORD_BYTES} bytes");
                self.log.leave_out(first, detail, b"");
            } else {
                self.note(first);
                return Ok(());
            }
        }
    }

    /// Reads lines until no quote is open. Returns the position of a quote that is still open at the end or
    /// at a bound.
    fn read_record(&mut self) -> Result<Option<usize>> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let mut quotes = Quotes::new(self.delimiter);
        for _ in 0..MAX_RECORD_LINES {
            let start = record.len();
            let left = MAX_RECORD_BYTES + 1 - start;
            self.rest().take(left as u64).read_until(b'\n', &mut record)?;
            if start == 0 && self.line == 1 && record.starts_with(BYTE_ORDER_MARK) {
                record.drain(..BYTE_ORDER_MARK.len());
            }
            quotes.scan(&record, start);
            self.line += u64::from(record.len() > start && record.ends_with(b"\n"));
            let ended = record.len() == start || record.len() > MAX_RECORD_BYTES;
            if ended || quotes.open().is_none() {
                break;
            }
        }
        self.record = record;
        Ok(quotes.open())
    }

    /// Leaves out a record that began on line `first`, up to the end of the line with the open quote.
    fn leave_out(&mut self, first: u64, quote: usize) -> Result<()> {
        let line = first + count_lines(&self.record[..quote]);
        let detail = format!("the quote opened on line {line} is never closed");
        let Some(end) = self.record[quote..].iter().position(|byte| *byte == b'\n') else {
            let whole = self.record.len() <= MAX_RECORD_BYTES;
            self.log.leave_out(first, detail, if whole { &self.record } else { b"" });
            return self.skip_line();
        };
        self.log.leave_out(first, detail, &self.record[..quote + end]);
        let mut again = self.record.split_off(quote + end + 1);
        self.line = line + 1;
        let ahead = self.again.get_ref().get(self.again.position() as usize..);
        again.extend_from_slice(ahead.unwrap_or_default());
        self.again = Cursor::new(again);
        Ok(())
    }

    fn skip_line(&mut self) -> Result<()> {
        self.line += 1;
        self.rest().skip_until(b'\n').map(|_| ())
    }

    fn rest(&mut self) -> impl BufRead {
        (&mut self.again).chain(&mut self.inner)
    }

    fn note(&mut self, first: u64) {
        if let Some(end) = self.record.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')) {
            self.log.0.borrow_mut().lines.push_back((first, self.offset + end as u64));
        }
    }
}

/// Follows the quotes of a record by the rules of the csv crate, which reads the record afterwards.
struct Quotes {
    delimiter: u8,
    at: At,
    opened: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// The start of a cell. A quote opens only here.
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted cell: either the cell's end, or the first of two quotes that stand for one.
    Quote,
}

impl Quotes {
    fn new(delimiter: u8) -> Quotes {
        Quotes { delimiter, at: At::Start, opened: 0 }
    }

    /// Continues with the bytes of a record from `start` on.
    fn scan(&mut self, record: &[u8], start: usize) {
        for (i, byte) in record.iter().enumerate().skip(start) {
            self.at = match (self.at, *byte) {
                (At::Start, b'"') => {
                    self.opened = i;
                    At::Quoted
                }
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
                (_, b'\r' | b'\n') => At::Start,
                (_, byte) if byte == self.delimiter => At::Start,
                _ => At::Plain,
            };
        }
    }

    /// The position of the quote that is still open.
    fn open(&self) -> Option<usize> {
        (self.at == At::Quoted).then_some(self.opened)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (String, Vec<(u64, String)>, Log) {
        let (mut records, log) = records(Box::new(Cursor::new(text.to_vec())), b',', 1);
        let mut out = String::new();
        records.read_to_string(&mut out).unwrap();
        let rejected = log.take_left_out().into_iter().map(|r| (r.line, r.detail)).collect();
        (out, rejected, log)
    }

    fn unclosed(first: u64, line: u64) -> (u64, String) {
        (first, format!("the quote opened on line {line} is never closed"))
    }

    #[test]
    fn lines_are_found_by_offset_over_blank_ones() {
        let (_, _, log) = read(b"ab\r\n\r\n\ncd\nef");
        // The end of the first line, the rest of its line end, the next rows.
        for (offset, line) in [(0, 1), (1, 1), (3, 4), (6, 4), (8, 4), (9, 5), (10, 5)] {
            assert_eq!(log.line_of(offset), line, "{offset}");
        }
    }

    #[test]
    fn right_records_pass_as_they_are() {
        for text in
            ["", "a", "a,b\r\n\"x\ny\",\"say \"\"hi\"\"\"\n", "5\" disk,b\n", "a\rb,\"c\"\r", "\"a\"b\",c\n"]
        {
            let (out, rejected, _) = read(text.as_bytes());
            assert_eq!((out.as_str(), rejected), (text, vec![]));
        }
        assert_eq!(read(b"\xef\xbb\xbf\"a\",b\n").0, "\"a\",b\n", "a byte order mark is no cell");
    }

    #[test]
    fn a_lost_quote_costs_its_own_line() {
        let rows = "r,1\n".repeat(200);
        let (out, rejected, _) = read(format!("a,b\nx,\"1\n{rows}").as_bytes());
        assert_eq!((out, rejected), (format!("a,b\n{rows}"), vec![unclosed(2, 2)]));
        // In a record that began earlier, and at the end.
        let (out, rejected, log) = read(format!("\"p\nq\",\"1\n{rows}z,\"").as_bytes());
        assert_eq!((out.as_str(), rejected), (rows.as_str(), vec![unclosed(1, 2), unclosed(203, 203)]));
        assert_eq!(log.line_of(out.len() as u64 - 2), 202);
    }

    #[test]
    fn memory_is_bounded() {
        let long = "y".repeat(3 * MAX_RECORD_BYTES);
        let (out, rejected, _) = read(format!("a\n{long}\nb\n\"{long}\nc\n\"d\n{long}\ne\n").as_bytes());
        assert_eq!(out, "a\nb\nc\ne\n");
        let long = |line| (line, format!("the line is longer than {MAX_RECORD_BYTES} bytes"));
        assert_eq!(rejected, [long(2), unclosed(4, 4), unclosed(6, 6), long(7)]);
    }
}
