//! The rows of a file, as they stand in it.

use std::collections::VecDeque;
use std::path::Path;

use csv::{ByteRecord, StringRecord};
use xxhash_rust::xxh3::Xxh3;

use super::objects::Objects;
use super::open::{CsvStart, Format, csv_start, format_of, open};
use super::records::{LeftOut, Log, Records, records};
use super::rejects::{REASON, ROW};
use crate::bundle::import::CUSTOMER_COLUMN;
use crate::cli::ending::Failure;

/// The rows of a file, read once from start to end.
pub(in crate::cli) struct FileRows {
    source: Source,
    /// The number of data rows read so far.
    row: u64,
    /// Of the rows read so far, to know the file again; only if somebody wants to.
    hash: Option<Box<Xxh3>>,
}

enum Source {
    Csv(Box<CsvFile>),
    Objects(Objects),
}

/// A row, and where it is.
pub(in crate::cli) struct Row<'r> {
    /// Its first line in the file.
    pub(in crate::cli) line: u64,
    /// The number of the data row, from 1. A file of rejected rows has the numbers of the file before it.
    pub(in crate::cli) number: u64,
    pub(in crate::cli) content: Content<'r>,
}

/// What a row has.
pub(in crate::cli) enum Content<'r> {
    Cells(&'r StringRecord),
    /// The text of a JSON object.
    Object(&'r [u8]),
    /// It cannot be read, for this reason.
    Wrong(String),
}

/// A row as a file has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Shown {
    /// The row without its end.
    pub(in crate::cli) text: Vec<u8>,
    /// Whether a number and a reason stand before its cells already.
    pub(in crate::cli) marked: bool,
}

struct CsvFile {
    reader: csv::Reader<Records>,
    log: Log,
    delimiter: u8,
    header: StringRecord,
    /// Whether the file has rejected rows, with a number and a reason before the cells of each.
    marked: bool,
    /// Records without an end that came before the one that was read last.
    left_out: VecDeque<LeftOut>,
    /// The line of the record that was read last, if it was not handed out, and what is wrong with it.
    waiting: Option<(u64, Option<String>)>,
    record: ByteRecord,
    cells: StringRecord,
    /// The bytes of the row that was handed out last, if it is no record.
    raw: Option<Vec<u8>>,
}

impl FileRows {
    /// Opens a file and reads its header. With `hashed` the rows are hashed.
    pub(in crate::cli) fn open(
        path: &Path,
        format: Option<Format>,
        delimiter: Option<char>,
        hashed: bool,
    ) -> Result<FileRows, Failure> {
        let (inner, mut reader) = open(path)?;
        let unreadable =
            |e: &dyn std::fmt::Display| Failure::new(format!("cannot read {}: {e}", path.display()));
        let source = match format_of(path, &inner, format)? {
            Format::Csv => {
                let CsvStart { delimiter: found, header_line } =
                    csv_start(&mut *reader).map_err(|e| unreadable(&e))?;
                let delimiter = match delimiter {
                    Some(c) => u8::try_from(c)
                        .map_err(|_| Failure::new(format!("{c:?} cannot separate cells: not ASCII")))?,
                    None => found,
                };
                let (records, log) = records(reader, delimiter, header_line);
                Source::Csv(Box::new(
                    CsvFile::open(records, log, delimiter)
                        .map_err(|why| unreadable(&why).hint("a CSV file begins with a header line"))?,
                ))
            }
            format => Source::Objects(Objects::new(reader, format == Format::Json)?),
        };
        Ok(FileRows { source, row: 0, hash: hashed.then(|| Box::new(Xxh3::new())) })
    }

    /// The names of the columns of a CSV file.
    pub(in crate::cli) fn header(&self) -> Option<&StringRecord> {
        if let Source::Csv(file) = &self.source { Some(&file.header) } else { None }
    }

    /// The place of the customer's id among the cells of a CSV file of Usher's own.
    pub(in crate::cli) fn customer_column(&self) -> Option<usize> {
        self.header()?.iter().position(|name| name.trim() == CUSTOMER_COLUMN)
    }

    /// What separates the cells of a CSV file.
    pub(in crate::cli) fn delimiter(&self) -> Option<u8> {
        if let Source::Csv(file) = &self.source { Some(file.delimiter) } else { None }
    }

    /// The next row; `None` at the end of the file.
    pub(in crate::cli) fn read_next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        self.row += 1;
        let row = match &mut self.source {
            Source::Csv(file) => {
                let Some(place) = file.read_next()? else { return Ok(None) };
                if let Some(hash) = &mut self.hash {
                    file.hash(hash);
                }
                file.row(place, self.row)
            }
            Source::Objects(objects) => {
                let Some(line) = objects.read_next()? else { return Ok(None) };
                if let Some(hash) = &mut self.hash {
                    hash.update(&objects.text);
                    hash.update(b"\n");
                }
                Row { line, number: self.row, content: Content::Object(&objects.text) }
            }
        };
        Ok(Some(row))
    }

    /// The row that was read last as the file has it.
    pub(in crate::cli) fn shown(&self) -> Shown {
        match &self.source {
            // A row that can be written anew gets its number and reason anew.
            Source::Csv(file) => Shown { text: file.shown(), marked: file.marked && file.raw.is_some() },
            Source::Objects(objects) => Shown { text: objects.text.clone(), marked: false },
        }
    }

    /// The hash of the rows read so far; 0 if they are not hashed.
    pub(in crate::cli) fn hash(&self) -> u64 {
        self.hash.as_ref().map_or(0, |hash| hash.digest())
    }
}

/// The line of a row, and what is wrong with it.
type Place = (u64, Option<String>);

impl CsvFile {
    fn open(records: Records, log: Log, delimiter: u8) -> Result<CsvFile, String> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(records);
        let header = reader.headers().map_err(|e| e.to_string())?.clone();
        // A rejected record here was the header, and no other line can replace it.
        if let Some(wrong) = log.take_left_out().first() {
            return Err(wrong.detail.clone());
        }
        if header.is_empty() {
            return Err("it is empty".into());
        }
        let marked = header.get(0) == Some(ROW) && header.get(1) == Some(REASON);
        let header = if marked { header.iter().skip(2).collect() } else { header };
        Ok(CsvFile {
            reader,
            log,
            delimiter,
            header,
            marked,
            left_out: VecDeque::new(),
            waiting: None,
            record: ByteRecord::new(),
            cells: StringRecord::new(),
            raw: None,
        })
    }

    /// Reads on to the next row, good or not.
    fn read_next(&mut self) -> Result<Option<Place>, Failure> {
        if self.left_out.is_empty() && self.waiting.is_none() {
            let read = self.reader.read_byte_record(&mut self.record);
            self.left_out.extend(self.log.take_left_out());
            let more = read.map_err(|e| Failure::new(format!("cannot read further: {e}")))?;
            if more {
                let at = self.record.position().map_or(0, csv::Position::byte);
                let width = self.header.len() + if self.marked { 2 } else { 0 };
                let found = self.record.len();
                let wrong = (found != width).then(|| format!("expected {width} cells, found {found}"));
                self.waiting = Some((self.log.line_of(at), wrong));
            }
        }
        if let Some(LeftOut { line, detail, bytes }) = self.left_out.pop_front() {
            self.raw = Some(bytes);
            return Ok(Some((line, Some(detail))));
        }
        self.raw = None;
        let Some((line, wrong)) = self.waiting.take() else { return Ok(None) };
        let wrong = wrong.or_else(|| self.take_cells().err());
        Ok(Some((line, wrong)))
    }

    /// Whether a number and a reason stand before the other cells of the record. Somebody may have taken them
    /// off.
    fn is_marked(&self) -> bool {
        self.marked && self.record.len() > 2 && self.record.get(0).and_then(number_of).is_some()
    }

    /// The row that was handed out last, as the file has it, but without its number and the reason for which
    /// it was rejected before.
    fn shown(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let cells = self.record.iter().skip(if self.is_marked() { 2 } else { 0 });
        let mut text = line_of(cells, self.delimiter).unwrap_or_default();
        text.pop(); // its end
        text
    }

    fn hash(&self, hash: &mut Xxh3) {
        match &self.raw {
            Some(raw) => hash.update(raw),
            None => self.record.iter().for_each(|cell| {
                hash.update(cell);
                hash.update(b"\x1f"); // so that a cell's end counts
            }),
        }
        hash.update(b"\n");
    }

    /// Takes the cells of the record as texts.
    fn take_cells(&mut self) -> Result<(), String> {
        let skipped = if self.marked { 2 } else { 0 };
        self.cells.clear();
        for (i, cell) in self.record.iter().enumerate().skip(skipped) {
            let text = std::str::from_utf8(cell).map_err(|_| {
                format!(
                    "cell {} is not UTF-8: save the file as UTF-8, or translate it with `iconv`",
                    i + 1 - skipped
                )
            })?;
            self.cells.push_field(text);
        }
        Ok(())
    }

    fn row(&self, (line, wrong): Place, number: u64) -> Row<'_> {
        let first = match &self.raw {
            Some(raw) => raw.split(|byte| *byte == self.delimiter).next(),
            None => self.record.get(0),
        };
        let said = first.filter(|_| self.marked).and_then(number_of);
        let content = match wrong {
            Some(why) => Content::Wrong(why),
            None => Content::Cells(&self.cells),
        };
        Row { line, number: said.unwrap_or(number), content }
    }
}

/// The line of a CSV file with these cells.
pub(super) fn line_of(
    cells: impl IntoIterator<Item: AsRef<[u8]>>,
    delimiter: u8,
) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(&mut text);
    let written = writer.write_record(cells).and_then(|()| Ok(writer.flush()?));
    written.map_err(|e| Failure::new(format!("cannot write a row: {e}")))?;
    drop(writer);
    Ok(text)
}

/// The number of a data row, as a file of rejected rows has it.
fn number_of(cell: &[u8]) -> Option<u64> {
    std::str::from_utf8(cell).ok()?.parse().ok()
}
