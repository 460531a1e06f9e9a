//! A file as it is opened: unpacked, in UTF-8, and of a known format.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::cli::ending::Failure;
use crate::input::invisible::without_mark;

/// How the rows of a file are written: as CSV, as one JSON object on each line, or as JSON objects in a
/// list or one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    Csv,
    Ndjson,
    Json,
}

/// The start of a CSV file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CsvStart {
    /// What separates its cells.
    pub(super) delimiter: u8,
    /// The line of its header.
    pub(super) header_line: u64,
}

/// The given format, or else the format by the file's name. `inner` is that name without `.gz` or `.zst`.
pub(super) fn format_of(path: &Path, inner: &str, said: Option<Format>) -> Result<Format, Failure> {
    said.or_else(|| format_by_name(inner)).ok_or_else(|| {
        let failure = Failure::new(format!("cannot tell the format of {} from its name", path.display()));
        failure.hint("add --format csv, --format ndjson or --format json")
    })
}

fn format_by_name(name: &str) -> Option<Format> {
    let ending = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    match ending.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The file's name without `.gz` or `.zst`, and its bytes: decompressed, and in UTF-8 if a mark at its start
/// says that it is UTF-16.
pub(super) fn open(path: &Path) -> Result<(String, Box<dyn BufRead>), Failure> {
    let name = path.to_string_lossy().into_owned();
    let unreadable = |e: std::io::Error| Failure::new(format!("cannot read {name}: {e}"));
    let file: Box<dyn Read> = if name == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let (inner, mut reader): (String, Box<dyn BufRead>) = if let Some(inner) = name.strip_suffix(".gz") {
        (inner.to_owned(), Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))))
    } else if let Some(inner) = name.strip_suffix(".zst") {
        let decoder = zstd::stream::read::Decoder::new(file).map_err(unreadable)?;
        (inner.to_owned(), Box::new(BufReader::new(decoder)))
    } else {
        (name.clone(), Box::new(BufReader::new(file)))
    };
    let start = reader.fill_buf().map_err(unreadable)?;
    let order = match start {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    Ok(match order {
        Some(order) => {
            (inner, Box::new(BufReader::new(Utf16 { inner: reader, order, left: Vec::new(), high: None })))
        }
        None => (inner, reader),
    })
}

/// Reads UTF-16, which Excel's *Unicode Text* is, as UTF-8. What is no character becomes U+FFFD.
struct Utf16 {
    inner: Box<dyn BufRead>,
    order: fn([u8; 2]) -> u16,
    /// UTF-8 that has not been handed out.
    left: Vec<u8>,
    /// The first half of a character whose second has not been read.
    high: Option<u16>,
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left.is_empty() {
            let mut pair = [0; 2];
            let mut units: Vec<u16> = self.high.take().into_iter().collect();
            let before = units.len();
            while units.len() < 1024 && fill(&mut self.inner, &mut pair)? {
                units.push((self.order)(pair));
            }
            let ended = units.len() == before;
            if ended && units.is_empty() {
                return Ok(0);
            }
            if !ended && let Some(last) = units.last().filter(|unit| (0xd800..0xdc00).contains(*unit)) {
                self.high = Some(*last);
                units.pop();
            }
            let chars = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
            self.left = chars.collect::<String>().into_bytes();
        }
        let count = self.left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(count)
    }
}

/// Reads two bytes; `false` at the end. A single byte there is left out.
fn fill(reader: &mut impl BufRead, pair: &mut [u8; 2]) -> std::io::Result<bool> {
    match reader.read_exact(pair) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Finds out what separates the cells of a CSV file. A first line `sep=;`, which Excel writes, says it and is
/// taken off.
pub(super) fn csv_start(reader: &mut dyn BufRead) -> std::io::Result<CsvStart> {
    let start = reader.fill_buf()?;
    let text = without_mark(start);
    let said = text.strip_prefix(b"sep=").and_then(|rest| {
        let (delimiter, rest) = rest.split_first()?;
        (rest.starts_with(b"\n") || rest.starts_with(b"\r\n")).then_some(*delimiter)
    });
    match said {
        Some(delimiter) => {
            let line = start.iter().position(|byte| *byte == b'\n').map_or(start.len(), |end| end + 1);
            reader.consume(line);
            Ok(CsvStart { delimiter, header_line: 2 })
        }
        None => Ok(CsvStart { delimiter: delimiter_of(text), header_line: 1 }),
    }
}

/// The separator that is most frequent in the header line outside of quotes; a comma if there is none.
fn delimiter_of(start: &[u8]) -> u8 {
    let mut counts = [(b'|', 0), (b'\t', 0), (b';', 0), (b',', 0)];
    let mut quoted = false;
    for byte in start.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')) {
        quoted ^= *byte == b'"';
        let count = counts.iter_mut().find(|(separator, _)| separator == byte && !quoted);
        count.into_iter().for_each(|(_, count)| *count += 1);
    }
    // The last of equals wins, so the comma comes last.
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_found_in_the_header() {
        for (header, delimiter, header_line) in [
            ("customer,age\n1;2;3;4", b',', 1),
            ("\"age\";\"job\"\r\n", b';', 1),
            ("\"a,b,c\";job\r\n", b';', 1),
            ("a\tb", b'\t', 1),
            ("customer", b',', 1),
            ("sep=;\r\na,b,c;d\n", b';', 2),
            ("\u{feff}sep=|\na,b|c\n", b'|', 2),
            ("sep=;x\n", b';', 1),
        ] {
            let mut reader = header.as_bytes();
            assert_eq!(csv_start(&mut reader).unwrap(), CsvStart { delimiter, header_line }, "{header:?}");
        }
    }

    #[test]
    fn formats_are_told_by_the_name() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("A.CSV", Some(Format::Csv)),
            ("b/c.ndjson", Some(Format::Ndjson)),
            ("c.json", Some(Format::Json)),
            ("x.txt", None),
            ("-", None),
        ] {
            assert_eq!(format_by_name(name), format, "{name}");
        }
    }

    #[test]
    fn utf_16_is_read_as_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.csv");
        let text = "customer,name\nc-1,客户 😀 José\n".repeat(300);
        for big in [false, true] {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            let bytes = units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
            std::fs::write(&path, bytes.collect::<Vec<u8>>()).unwrap();
            let mut found = String::new();
            open(&path).map_err(|f| f.to_string()).unwrap().1.read_to_string(&mut found).unwrap();
            assert_eq!(found.trim_start_matches('\u{feff}'), text);
        }
    }
}
