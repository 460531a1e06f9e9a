//! The rows of a file: opened, decompressed, and translated if the file is foreign.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::Rejection;
use super::chunk::LoadChunk;
use super::records::{Log, Records, records};
use crate::bundle::import::{CUSTOMER_COLUMN, Mapping, Translation, check_native};
use crate::cli::ending::Failure;
use crate::node::clock;
use crate::schema::value::Time;

/// The most bytes in an NDJSON line. The server allows less, but names the line.
pub(in crate::cli) const MAX_LINE_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    Csv,
    Ndjson,
}

/// The rows of a file, read once from start to end.
pub(super) enum FileRows<'m> {
    Csv(Box<CsvFileRows<'m>>),
    Ndjson { reader: Box<dyn BufRead>, line: u64 },
}

pub(super) struct CsvFileRows<'m> {
    reader: csv::Reader<Records>,
    log: Log,
    header: csv::StringRecord,
    /// The header that the server receives.
    head: Vec<u8>,
    translation: Option<Translation<'m>>,
    /// The number of data rows read so far.
    row: u64,
    /// When the load began.
    now: Time,
}

impl<'m> FileRows<'m> {
    /// Opens a file and reads its header.
    pub(super) fn open(
        path: &Path,
        format: Option<Format>,
        delimiter: Option<char>,
        mapping: Option<&'m Mapping>,
    ) -> Result<FileRows<'m>, Failure> {
        let (inner, reader) = open(path)?;
        let format = format_of(path, &inner, format)?;
        match format {
            Format::Csv => {
                CsvFileRows::open(path, reader, delimiter, mapping).map(|rows| FileRows::Csv(Box::new(rows)))
            }
            Format::Ndjson if mapping.is_some() => {
                Err(Failure::new("column mappings are for CSV files; an NDJSON file names features itself"))
            }
            Format::Ndjson => Ok(FileRows::Ndjson { reader, line: 0 }),
        }
    }

    /// The next rows; `None` at the end of the file.
    pub(super) fn next_chunk(&mut self) -> Result<Option<LoadChunk>, Failure> {
        let chunk = match self {
            FileRows::Csv(rows) => rows.next_chunk()?,
            FileRows::Ndjson { reader, line } => next_lines(reader, line)?,
        };
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// The file's name for a column of what was sent, counted from 1.
    pub(super) fn column(&self, number: u64) -> Option<&str> {
        let FileRows::Csv(rows) = self else { return None };
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        match &rows.translation {
            Some(translation) => translation.foreign_name(index),
            None => rows.header.get(index),
        }
    }
}

impl<'m> CsvFileRows<'m> {
    fn open(
        path: &Path,
        mut reader: Box<dyn BufRead>,
        delimiter: Option<char>,
        mapping: Option<&'m Mapping>,
    ) -> Result<CsvFileRows<'m>, Failure> {
        let unreadable =
            |e: &dyn std::fmt::Display| Failure::new(format!("cannot read {}: {e}", path.display()));
        let delimiter = match delimiter {
            Some(c) => u8::try_from(c)
                .map_err(|_| Failure::new(format!("{c:?} cannot separate cells: not ASCII")))?,
            None => delimiter_of(reader.fill_buf().map_err(|e| unreadable(&e))?),
        };
        let (records, log) = records(reader, delimiter);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(records);
        let header = reader.headers().map_err(|e| unreadable(&e))?.clone();
        // A rejected record here was the header, and no other line can replace it.
        if let Some(wrong) = log.take_rejected().first() {
            return Err(unreadable(&wrong.detail).hint("a CSV file begins with a header line"));
        }
        if header.is_empty() {
            return Err(unreadable(&"it is empty").hint("a CSV file begins with a header line"));
        }
        let translation = match mapping {
            Some(mapping) => Some(mapping.bind(&header)?),
            None => check_native(&header).map(|()| None).map_err(Failure::new)?,
        };
        let mut head = Vec::new();
        match &translation {
            Some(translation) => write_row(&mut head, translation.header())?,
            None => write_row(&mut head, &header)?,
        }
        Ok(CsvFileRows { reader, log, header, head, translation, row: 0, now: clock::now() })
    }

    fn next_chunk(&mut self) -> Result<LoadChunk, Failure> {
        let mut chunk = LoadChunk::new("text/csv", &self.head);
        let mut record = csv::StringRecord::new();
        let mut row = Vec::new();
        while !chunk.is_full() {
            let read = self.reader.read_record(&mut record);
            let left_out = self.log.take_rejected();
            self.row += 1 + left_out.len() as u64;
            chunk.rejected.extend(left_out);
            let (start, wrong) = match read {
                Ok(false) => break,
                Ok(true) if record.len() == self.header.len() => (record.position().cloned(), None),
                Ok(true) => {
                    let detail = format!("expected {} cells, found {}", self.header.len(), record.len());
                    (record.position().cloned(), Some(detail))
                }
                Err(e) => wrong_record(&e)?,
            };
            let line = self.log.line_of(start.map_or(0, |start| start.byte()));
            if let Some(detail) = wrong {
                chunk.rejected.push(Rejection { line, column: None, detail });
                continue;
            }
            row.clear();
            match &self.translation {
                Some(translation) => {
                    let cells: Vec<&str> = record.iter().collect();
                    match translation.row(&cells, self.row, self.now) {
                        Ok(cells) => {
                            cells.iter().skip(1).for_each(|cell| chunk.cells.count(cell)); // the first is the id
                            write_row(&mut row, cells.iter().map(|cell| cell.as_bytes()))?;
                        }
                        Err(wrong) => {
                            chunk.rejected.extend(rejection(line, wrong));
                            continue;
                        }
                    }
                }
                None => {
                    let features =
                        self.header.iter().zip(&record).filter(|(name, _)| *name != CUSTOMER_COLUMN);
                    features.for_each(|(_, cell)| chunk.cells.count(cell));
                    write_row(&mut row, &record)?;
                }
            }
            chunk.push(&row, line);
        }
        Ok(chunk)
    }
}

/// A row that a mapping cannot read, with the first of its columns that are wrong.
fn rejection(line: u64, wrong: Vec<(&str, String)>) -> Option<Rejection> {
    let more = match wrong.len() {
        0 | 1 => String::new(),
        2 => "; 1 more column is wrong".to_owned(),
        count => format!("; {} more columns are wrong", count - 1),
    };
    let (column, why) = wrong.into_iter().next()?;
    Some(Rejection { line, column: Some(column.to_owned()), detail: why + &more })
}

/// The error of one record. Any other error fails the whole file.
pub(in crate::cli) fn wrong_record(
    error: &csv::Error,
) -> Result<(Option<csv::Position>, Option<String>), Failure> {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, err } => {
            Ok((pos.clone(), Some(format!("cell {} is not UTF-8", err.field() + 1))))
        }
        _ => Err(Failure::new(format!("cannot read further: {error}"))),
    }
}

fn write_row(out: &mut Vec<u8>, cells: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(out);
    let written = writer.write_record(cells).and_then(|()| writer.flush().map_err(csv::Error::from));
    written.map_err(|e| Failure::new(format!("cannot write a row: {e}")))
}

/// The separator that is most frequent in the header line; a comma if there is none.
pub(in crate::cli) fn delimiter_of(start: &[u8]) -> u8 {
    let header = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // The last of equals wins, so the comma comes last.
    [b'|', b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn next_lines(reader: &mut Box<dyn BufRead>, line: &mut u64) -> Result<LoadChunk, Failure> {
    let mut chunk = LoadChunk::new("application/x-ndjson", b"");
    let mut text = Vec::new();
    while !chunk.is_full() {
        text.clear();
        let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut text);
        if read.map_err(|e| Failure::new(format!("cannot read further after line {line}: {e}")))? == 0 {
            break;
        }
        *line += 1;
        if text.len() as u64 == MAX_LINE_BYTES && !text.ends_with(b"\n") {
            return Err(Failure::new(format!(
                "line {line} is longer than {MAX_LINE_BYTES} bytes: is this NDJSON?"
            )));
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        chunk.push(&text, *line);
    }
    Ok(chunk)
}

/// The given format, or else the format by the file's name. `inner` is that name without `.gz` or `.zst`.
pub(in crate::cli) fn format_of(path: &Path, inner: &str, said: Option<Format>) -> Result<Format, Failure> {
    said.or_else(|| format_by_name(inner)).ok_or_else(|| {
        let failure = Failure::new(format!("cannot tell the format of {} from its name", path.display()));
        failure.hint("add --format csv or --format ndjson")
    })
}

fn format_by_name(name: &str) -> Option<Format> {
    match Path::new(name).extension()?.to_str()? {
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}

/// The file's name without `.gz` or `.zst`, and its decompressed bytes.
pub(in crate::cli) fn open(path: &Path) -> Result<(String, Box<dyn BufRead>), Failure> {
    let name = path.to_string_lossy().into_owned();
    let unreadable = |e: std::io::Error| Failure::new(format!("cannot read {name}: {e}"));
    let file: Box<dyn Read> = if name == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(unreadable)?)
    };
    Ok(if let Some(inner) = name.strip_suffix(".gz") {
        (inner.to_owned(), Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))))
    } else if let Some(inner) = name.strip_suffix(".zst") {
        let decoder = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
        (inner.to_owned(), Box::new(BufReader::new(decoder)))
    } else {
        (name, Box::new(BufReader::new(file)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_found_in_the_header() {
        for (header, separator) in [
            ("customer,age\n1;2;3;4", b','),
            ("\"age\";\"job\"\r\n", b';'),
            ("a\tb", b'\t'),
            ("customer", b','),
        ] {
            assert_eq!(delimiter_of(header.as_bytes()), separator, "{header:?}");
        }
    }

    #[test]
    fn formats_are_told_by_the_name() {
        for (name, format) in
            [("a.csv", Some(Format::Csv)), ("b/c.ndjson", Some(Format::Ndjson)), ("x.txt", None), ("-", None)]
        {
            assert_eq!(format_by_name(name), format, "{name}");
        }
    }

    #[test]
    fn a_lost_quote_does_not_take_other_rows_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.csv");
        let good = "a,1\n".repeat(150);
        std::fs::write(&path, format!("customer,age\nx,\"1\n{good}b\n")).unwrap();
        let mut rows = FileRows::open(&path, None, None, None).map_err(|f| f.to_string()).unwrap();
        let chunk = rows.next_chunk().map_err(|f| f.to_string()).unwrap().unwrap();
        assert_eq!(chunk.rows, 150);
        let rejected: Vec<_> = chunk.rejected.iter().map(|r| (r.line, r.detail.as_str())).collect();
        let expected = ["the quote opened on line 2 is never closed", "expected 2 cells, found 1"];
        assert_eq!(rejected, [(2, expected[0]), (153, expected[1])]);
        assert_eq!((chunk.file_line(2), chunk.file_line(151)), (3, 152));
        std::fs::write(&path, "customer,\"age\na,1\n").unwrap();
        let failure = FileRows::open(&path, None, None, None).err().unwrap().to_string();
        assert!(failure.contains("the quote opened on line 1 is never closed"), "{failure}");
    }

    #[test]
    fn bad_rows_are_rejected_with_their_line_and_good_ones_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.csv");
        std::fs::write(&path, b"customer,note\r\na,\"x\ny\"\r\nb\r\nc,\xff\n\n\r\nd,1\n").unwrap();
        let mut rows = FileRows::open(&path, None, None, None).map_err(|f| f.to_string()).unwrap();
        let chunk = rows.next_chunk().map_err(|f| f.to_string()).unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&chunk.body), "customer,note\na,\"x\ny\"\nd,1\n");
        let rejected: Vec<_> = chunk.rejected.iter().map(|r| (r.line, r.detail.as_str())).collect();
        assert_eq!(rejected, [(4, "expected 2 cells, found 1"), (5, "cell 2 is not UTF-8")]);
        assert_eq!((chunk.file_line(2), chunk.file_line(4)), (2, 8), "blank lines count");
        assert!(rows.next_chunk().map_err(|f| f.to_string()).unwrap().is_none());
    }
}
