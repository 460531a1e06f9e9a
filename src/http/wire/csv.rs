//! Reads CSV row by row. A quote that is never closed costs its own row and not all that follow. All other
//! rows read as the csv crate reads them; its [`ByteRecord`] keeps the cells.
//!
//! `usher load` has a second splitter, in `cli/load/records.rs`, for good reason. This one has the whole body
//! in memory and cuts cells itself. That one reads a stream of any length and knows other separators than
//! commas. It hands whole records on to the csv crate, because a chunk of them becomes the next request as it
//! stands.

use ::csv::ByteRecord;

use crate::http::bounds::{MAX_ROW_BYTES, MAX_ROW_LINES};
use crate::input::invisible::without_mark;

/// Reads the rows of a body.
pub(crate) struct CsvRows<'b> {
    bytes: &'b [u8],
    at: usize,
    /// The line of `at`, from 1.
    line: u32,
    cells: ByteRecord,
    cell: Vec<u8>,
}

/// Why a row cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The quote that opens on this line is never closed, or only beyond the bounds of a row.
    Quote(u32),
    /// The row is too long, and no quote is open.
    Long,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    CellBegins,
    Plain,
    Quoted,
    /// After a quote inside quotes: a second one stands for a quote, anything else ends the quoted part.
    QuoteSeen,
}

/// Where a quote opens: byte and line.
#[derive(Clone, Copy)]
struct Opened {
    at: usize,
    line: u32,
}

impl<'b> CsvRows<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> CsvRows<'b> {
        CsvRows { bytes: without_mark(bytes), at: 0, line: 1, cells: ByteRecord::new(), cell: Vec::new() }
    }

    /// The next row that is not empty, with its first line. After a broken row, reading continues with the
    /// line after the one that broke it.
    pub(crate) fn next(&mut self) -> Option<(u32, Result<&ByteRecord, Broken>)> {
        while let Some(byte @ (b'\r' | b'\n')) = self.bytes.get(self.at) {
            self.line += u32::from(*byte == b'\n');
            self.at += 1;
        }
        if self.at == self.bytes.len() {
            return None;
        }
        let line = self.line;
        Some((line, self.row().map(|()| &self.cells)))
    }

    fn row(&mut self) -> Result<(), Broken> {
        self.cells.clear();
        self.cell.clear();
        let (begin, first_line) = (self.at, self.line);
        let mut state = State::CellBegins;
        let mut opened = Opened { at: begin, line: first_line };
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let long = self.at - begin >= MAX_ROW_BYTES || (self.line - first_line) as usize >= MAX_ROW_LINES;
            if long {
                return Err(self.broken(state == State::Quoted, opened));
            }
            state = match (state, byte) {
                (State::CellBegins, b'"') => {
                    opened = Opened { at: self.at, line: self.line };
                    State::Quoted
                }
                (State::Quoted, b'"') => State::QuoteSeen,
                (State::QuoteSeen, b'"') => self.keep(byte, State::Quoted),
                (State::Quoted, _) => self.keep(byte, State::Quoted),
                (_, b',') => self.end_cell(),
                (_, b'\r' | b'\n') => break, // the next call skips it
                (_, _) => self.keep(byte, State::Plain),
            };
            self.line += u32::from(byte == b'\n');
            self.at += 1;
        }
        if state == State::Quoted {
            return Err(self.broken(true, opened));
        }
        self.end_cell();
        Ok(())
    }

    fn keep(&mut self, byte: u8, next: State) -> State {
        self.cell.push(byte);
        next
    }

    fn end_cell(&mut self) -> State {
        self.cells.push_field(&self.cell);
        self.cell.clear();
        State::CellBegins
    }

    /// Moves to the end of the line where the quote opens; without a quote, to the end of this line.
    fn broken(&mut self, quoted: bool, opened: Opened) -> Broken {
        if quoted {
            (self.at, self.line) = (opened.at, opened.line);
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        if quoted { Broken::Quote(opened.line) } else { Broken::Long }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = Result<Vec<Vec<u8>>, Broken>;

    fn read(text: &[u8]) -> Vec<(u32, Row)> {
        let mut rows = CsvRows::new(text);
        let mut all = Vec::new();
        while let Some((line, row)) = rows.next() {
            all.push((line, row.map(|cells| cells.iter().map(<[u8]>::to_vec).collect())));
        }
        all
    }

    proptest! {
        #[test]
        fn what_is_closed_is_read_as_the_csv_crate_reads_it(text in "[a,\"\r\n]{0,40}") {
            let mut reader =
                ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Vec<Vec<u8>>> =
                reader.byte_records().map(|row| row.unwrap().iter().map(<[u8]>::to_vec).collect()).collect();
            let found: Result<Vec<_>, _> = read(text.as_bytes()).into_iter().map(|(_, row)| row).collect();
            if let Ok(found) = found {
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_lost_quote_costs_its_own_row() {
        let rest: String = (0..300).map(|i| format!("c-{i},1\n")).collect();
        let found = read(format!("customer,age\nc,\"1\n{rest}").as_bytes());
        assert_eq!((found.len(), &found[1]), (302, &(2, Err(Broken::Quote(2)))));
        assert_eq!((found[2].0, found[301].0), (3, 302));
        assert!(found[2..].iter().all(|(_, row)| row.is_ok()));
        // The row began earlier than the quote that breaks it.
        let found = read(b"\"a\nb\",\"c\nd,e\n");
        assert_eq!(found[0], (1, Err(Broken::Quote(2))));
        assert_eq!(found[1], (3, Ok(vec![b"d".to_vec(), b"e".to_vec()])));
    }

    #[test]
    fn a_row_is_bounded() {
        let text = [vec![b'x'; 2 * MAX_ROW_BYTES], b"\nd\n".to_vec()].concat();
        assert_eq!(read(&text), [(1, Err(Broken::Long)), (2, Ok(vec![b"d".to_vec()]))]);
        let quoted = format!("\"{}\"\nd", "x\n".repeat(MAX_ROW_LINES - 1));
        assert_eq!(read(quoted.as_bytes()).len(), 2, "just as many lines as a row may have");
    }
}
