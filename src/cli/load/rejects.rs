//! A file of rejected rows, each with its number and the reason. Mended, it can be loaded as the file that
//! the rows come from.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::rows::{FileRows, Shown, line_of};
use crate::cli::ending::Failure;

/// The column before all others with the number of the data row.
pub(super) const ROW: &str = "_row";
/// The column or field with the reason.
pub(super) const REASON: &str = "_rejected";

/// Where rejected rows are written. The file is made with the first of them.
pub(super) struct Rejects {
    path: PathBuf,
    file: Option<File>,
    /// The file's length so far, in bytes.
    pub(super) bytes: u64,
    head: Head,
}

/// How the rows are written.
enum Head {
    /// With this separator, below this header.
    Csv {
        delimiter: u8,
        header: Vec<u8>,
    },
    Objects,
}

impl Rejects {
    /// Rejected rows of `rows`, to be written to `path`. `resumed` is how much of that file there is already.
    pub(super) fn new(path: &Path, rows: &FileRows, resumed: Option<u64>) -> Result<Rejects, Failure> {
        let there = path.metadata().is_ok_and(|file| file.len() > 0);
        if there && resumed.is_none() {
            let failure = Failure::new(format!("{} is there already", path.display()));
            return Err(
                failure.hint("mend its rows and load it, or remove it: rejected rows would be lost with it")
            );
        }
        let head = match (rows.header(), rows.delimiter()) {
            (Some(header), Some(delimiter)) => {
                let cells = [ROW, REASON].into_iter().chain(header);
                Head::Csv { delimiter, header: line_of(cells, delimiter)? }
            }
            _ => Head::Objects,
        };
        let mut rejects = Rejects { path: path.to_owned(), file: None, bytes: 0, head };
        if let Some(bytes) = resumed.filter(|bytes| *bytes > 0) {
            // What was written after it was noted how far the load came belongs to rows that come again.
            let mut file = OpenOptions::new().write(true).open(path).map_err(|e| rejects.failed(&e))?;
            file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(|e| rejects.failed(&e))?;
            (rejects.file, rejects.bytes) = (Some(file), bytes);
        }
        Ok(rejects)
    }

    /// Writes a row.
    pub(super) fn write(&mut self, number: u64, reason: &str, row: &Shown) -> Result<(), Failure> {
        let text = match &self.head {
            Head::Csv { .. } if row.marked => [&row.text[..], b"\n"].concat(),
            Head::Csv { delimiter, .. } => {
                // The cells stay as they are: a row that is no row could not be written anew.
                let mut text = line_of([&*number.to_string(), reason], *delimiter)?;
                text.pop();
                text.push(*delimiter);
                text.extend_from_slice(&row.text);
                text.push(b'\n');
                text
            }
            Head::Objects => object(reason, &row.text),
        };
        if self.file.is_none() {
            let mut file = File::create(&self.path).map_err(|e| self.failed(&e))?;
            if let Head::Csv { header, .. } = &self.head {
                file.write_all(header).map_err(|e| self.failed(&e))?;
                self.bytes = header.len() as u64;
            }
            self.file = Some(file);
        }
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&text));
        written.map_err(|e| self.failed(&e))?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// What to say at the end; nothing if no row was rejected.
    pub(super) fn summary(&self) -> String {
        match self.file {
            Some(_) => format!("; the rejected rows are in {}", self.path.display()),
            None => String::new(),
        }
    }

    fn failed(&self, e: &std::io::Error) -> Failure {
        Failure::new(format!("cannot write {}: {e}", self.path.display()))
    }
}

/// An object with the reason before its fields; what is no object stays as it is.
fn object(reason: &str, text: &[u8]) -> Vec<u8> {
    let text = without_reason(text);
    let mut out = Vec::new();
    match text.strip_prefix(b"{") {
        Some(fields) => {
            let reason = serde_json::Value::from(reason);
            let comma = if fields.trim_ascii_start().starts_with(b"}") { "" } else { ", " };
            out.extend_from_slice(format!("{{\"{REASON}\": {reason}{comma}").as_bytes());
            out.extend_from_slice(fields);
        }
        None => out.extend_from_slice(&text),
    }
    out.push(b'\n');
    out
}

/// The text of an object without the reason for which it was rejected before.
pub(super) fn without_reason(text: &[u8]) -> Cow<'_, [u8]> {
    let rest = text.trim_ascii().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    let rest = rest.and_then(|rest| rest.strip_prefix(format!("\"{REASON}\"").as_bytes()));
    let rest = rest.and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"));
    let Some(rest) = rest.and_then(|rest| rest.trim_ascii_start().strip_prefix(b"\"")) else {
        return text.into();
    };
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let rest = end.map_or(&rest[rest.len()..], |end| &rest[end + 1..]).trim_ascii_start();
    [b"{", rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_put_before_the_fields_and_taken_off_again() {
        for (text, with) in [
            (r#"{"a": 1}"#, r#"{"_rejected": "a \"why\" \\", "a": 1}"#),
            ("{}", r#"{"_rejected": "a \"why\" \\"}"#),
            ("[1]", "[1]"),
            ("{bad", r#"{"_rejected": "a \"why\" \\", bad"#),
        ] {
            let written = object(r#"a "why" \"#, text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&written), format!("{with}\n"));
            assert_eq!(String::from_utf8_lossy(&without_reason(with.as_bytes())), text);
            assert_eq!(object(r#"a "why" \"#, with.as_bytes()), written, "once is enough");
        }
    }
}
