//! The JSON objects of a file: one on each line, or one after the other with or without a list around them.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use crate::bundle::import::CUSTOMER_COLUMN;
use crate::cli::ending::Failure;
use crate::input::document::{Input, InputValue, Key};
use crate::input::invisible::without_mark;
use crate::input::problem::quoted;

/// The most bytes of one object. The server allows less, but names the line.
pub(super) const MAX_OBJECT_BYTES: usize = 1 << 20;

/// Reads the objects of a file from start to end.
pub(super) struct Objects {
    reader: Box<dyn BufRead>,
    /// Whether an object may take several lines, or several a line.
    loose: bool,
    /// The line of the next byte.
    line: u64,
    /// The text of the object that was read last, on one line and without its end.
    pub(super) text: Vec<u8>,
}

/// Where a text stands that is not whole yet.
#[derive(Default)]
struct Nesting {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Objects {
    /// The objects of a file. With `loose` they need not be one on each line.
    pub(super) fn new(mut reader: Box<dyn BufRead>, loose: bool) -> Result<Objects, Failure> {
        let start = reader.fill_buf().map_err(|e| Failure::new(format!("cannot read further: {e}")))?;
        let mark = start.len() - without_mark(start).len();
        reader.consume(mark);
        Ok(Objects { reader, loose, line: 1, text: Vec::new() })
    }

    /// Reads the next object and says on which line it begins; `None` at the end. What is no object is read
    /// to the end of its line, for others to refuse.
    pub(super) fn read_next(&mut self) -> Result<Option<u64>, Failure> {
        self.text.clear();
        let read = if self.loose { self.read_value() } else { self.read_line() };
        let line =
            read.map_err(|e| Failure::new(format!("cannot read further after line {}: {e}", self.line - 1)))?;
        if self.text.len() > MAX_OBJECT_BYTES {
            let what =
                format!("line {} is longer than {MAX_OBJECT_BYTES} bytes: is this JSON?", line.unwrap_or(0));
            return Err(Failure::new(what));
        }
        Ok(line)
    }

    fn read_line(&mut self) -> std::io::Result<Option<u64>> {
        loop {
            self.text.clear();
            let most = MAX_OBJECT_BYTES as u64 + 1;
            if (&mut self.reader).take(most).read_until(b'\n', &mut self.text)? == 0 {
                return Ok(None);
            }
            let line = self.line;
            self.line += u64::from(self.text.ends_with(b"\n"));
            if !self.text.trim_ascii().is_empty() {
                let end = self.text.trim_ascii_end().len();
                self.text.truncate(end);
                return Ok(Some(line));
            }
        }
    }

    fn read_value(&mut self) -> std::io::Result<Option<u64>> {
        let mut begun = None;
        let mut nesting = Nesting::default();
        loop {
            let Some(byte) = self.reader.fill_buf()?.first().copied() else { return Ok(begun) };
            let first = begun.is_none();
            if first && (byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b',')) {
                self.pass(byte);
                continue;
            }
            begun = begun.or(Some(self.line));
            if nesting.depth == 0 && !first && byte == b'\n' {
                return Ok(begun); // what is no object ends with its line
            }
            // A line end within an object stands between its parts.
            self.text.push(if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
            self.pass(byte);
            if nesting.take(byte) || self.text.len() > MAX_OBJECT_BYTES {
                return Ok(begun);
            }
        }
    }

    fn pass(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.reader.consume(1);
    }
}

impl Nesting {
    /// Takes the next byte; whether it ends the object.
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// The fields of an object, each with its value.
///
/// # Errors
/// It is not JSON, no object, or has a name twice.
pub(in crate::cli) fn fields(text: &[u8]) -> Result<Vec<(Key<'_>, Input<'_>)>, String> {
    let input = Input::from_json(text).map_err(|problems| problems.summary())?;
    let InputValue::Map(fields) = input.value else {
        return Err(format!("expected a JSON object, found {}", input.value.describe()));
    };
    match given_twice(&fields) {
        Some(name) => Err(format!("{} is given twice", quoted(name))),
        None => Ok(fields),
    }
}

/// The customer of an object.
///
/// # Errors
/// Those of [`fields`]; it has no customer, or one that is no text.
pub(in crate::cli) fn customer_of(text: &[u8]) -> Result<String, String> {
    let found = fields(text)?.into_iter().find(|(key, _)| key.text == CUSTOMER_COLUMN);
    match found.map(|(_, value)| value.value) {
        Some(InputValue::Text(customer)) => Ok(customer.into_owned()),
        Some(_) => Err(format!("`{CUSTOMER_COLUMN}`: expected a text")),
        None => Err(format!("`{CUSTOMER_COLUMN}` is missing")),
    }
}

/// The first name that a map has twice.
fn given_twice<'o>(fields: &'o [(Key<'_>, Input<'_>)]) -> Option<&'o str> {
    let mut names = HashSet::with_capacity(fields.len());
    fields.iter().map(|(key, _)| &*key.text).find(|name| !names.insert(*name))
}

/// The first name that a map within the value has twice.
pub(super) fn twice_within<'o>(value: &'o InputValue<'_>) -> Option<&'o str> {
    match value {
        InputValue::Map(fields) => {
            given_twice(fields).or_else(|| fields.iter().find_map(|(_, input)| twice_within(&input.value)))
        }
        InputValue::List(items) => items.iter().find_map(|item| twice_within(&item.value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, loose: bool) -> Vec<(u64, String)> {
        let mut objects = Objects::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), loose)
            .map_err(|f| f.to_string())
            .unwrap();
        let mut found = Vec::new();
        while let Some(line) = objects.read_next().map_err(|f| f.to_string()).unwrap() {
            found.push((line, String::from_utf8(objects.text.clone()).unwrap()));
        }
        found
    }

    fn said(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
        rows.iter().map(|(line, text)| (*line, (*text).to_owned())).collect()
    }

    #[test]
    fn one_object_on_each_line() {
        let text = "\u{feff}{\"a\": 1}\r\n\n  \n{\"b\": \"}\"}\n[1]";
        assert_eq!(read(text, false), said(&[(1, "{\"a\": 1}"), (4, "{\"b\": \"}\"}"), (5, "[1]")]));
    }

    #[test]
    fn objects_of_a_list_or_one_after_the_other() {
        for text in [
            "[{\"a\": 1},{\"b\": \"]}\\\"\"}]",
            "\u{feff}[{\"a\": 1}, {\"b\": \"]}\\\"\"}]",
            "{\"a\": 1}{\"b\": \"]}\\\"\"}",
            "[ {\"a\": 1} , {\"b\": \"]}\\\"\"} ] ",
        ] {
            assert_eq!(read(text, true), said(&[(1, "{\"a\": 1}"), (1, "{\"b\": \"]}\\\"\"}")]), "{text}");
        }
        let spread = "[\n {\n  \"a\": [1,\n 2]\n },\n {\"b\": 2}\n]\n";
        assert_eq!(read(spread, true), said(&[(2, "{   \"a\": [1,  2]  }"), (6, "{\"b\": 2}")]));
        assert_eq!(read("[\n7,\n{}]", true), said(&[(2, "7,"), (3, "{}")]), "a bad row costs its line");
        assert_eq!(read("[{\"a\": 1", true), said(&[(1, "{\"a\": 1")]), "what was cut off is seen to be");
        assert_eq!(read(" [ ] ", true), said(&[]));
    }
}
