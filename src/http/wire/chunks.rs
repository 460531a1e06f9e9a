//! Takes a body of chunks apart (RFC 9112, section 7.1), strictly: what hides in the lines between chunks
//! could be read in two ways.

use memchr::memchr;

use super::framing::{Ambiguity, Framer};
use crate::http::bounds::MAX_HEAD_BYTES;

/// Most hexadecimal digits in the size of a chunk; more do not fit a `u64`.
const MAX_SIZE_DIGITS: usize = 16;
/// The most bytes of extensions and trailers of one body, which nobody reads.
const MAX_UNREAD_BYTES: usize = MAX_HEAD_BYTES;

/// Where a body of chunks is.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    /// The beginning of a line whose end has not arrived yet.
    line: Vec<u8>,
    /// Bytes of extensions and trailers so far.
    unread: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    /// Bytes of the line end behind a chunk that are still to come.
    DataEnd(u64),
    Trailers,
    Over,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// This many bytes are no content.
    pub(crate) passed: usize,
    /// This many behind them are.
    pub(crate) content: usize,
}

impl Chunks {
    /// What is wrong with the beginning of a body, if anything is.
    pub(crate) fn fault(bytes: &[u8]) -> Option<Ambiguity> {
        let (mut chunks, mut rest) = (Chunks::default(), bytes);
        while !rest.is_empty() && !chunks.is_over() {
            match chunks.step(rest) {
                Ok(step) => rest = &rest[step.passed + step.content..],
                Err(fault) => return Some(fault),
            }
        }
        None
    }

    /// Whether the body has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Takes the next bytes, up to the end of the first content in them.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, Ambiguity> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            let rest = &bytes[at..];
            match self.state {
                State::Data(left) => {
                    let content = left.min(rest.len() as u64);
                    let left = left - content;
                    self.state = if left == 0 { State::DataEnd(2) } else { State::Data(left) };
                    return Ok(Step { passed: at, content: content as usize });
                }
                State::DataEnd(left) => {
                    let expected = if left == 2 { b'\r' } else { b'\n' };
                    if rest[0] != expected {
                        return Err(Ambiguity::ChunkLine);
                    }
                    self.state = if left == 1 { State::Size } else { State::DataEnd(left - 1) };
                    at += 1;
                }
                State::Size | State::Trailers => {
                    let Some(end) = memchr(b'\n', rest) else {
                        self.pass(rest.len())?;
                        self.line.extend_from_slice(rest);
                        return Ok(Step { passed: bytes.len(), content: 0 });
                    };
                    self.line_end(&rest[..=end])?;
                    at += end + 1;
                }
                State::Over => {}
            }
        }
        Ok(Step { passed: at, content: 0 })
    }

    fn pass(&mut self, bytes: usize) -> Result<(), Ambiguity> {
        self.unread += bytes;
        if self.unread > MAX_UNREAD_BYTES { Err(Ambiguity::ChunkLine) } else { Ok(()) }
    }

    /// Takes the end of a line. Its beginning may have come before.
    fn line_end(&mut self, end: &[u8]) -> Result<(), Ambiguity> {
        if self.line.is_empty() {
            return self.whole_line(end);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        self.unread -= line.len() - end.len(); // it is counted as a whole
        self.whole_line(&line)
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        let text = line.strip_suffix(b"\r\n").ok_or(Ambiguity::ChunkLine)?;
        if self.state == State::Size { self.size_line(text) } else { self.trailer_line(text) }
    }

    /// The line before a chunk: its size, and extensions that nobody reads.
    fn size_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, rest) = line.split_at(digits);
        let extended = rest.is_empty() || rest.trim_ascii_start().starts_with(b";");
        let size = std::str::from_utf8(size).ok().filter(|size| size.len() <= MAX_SIZE_DIGITS);
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        let size = size.filter(|_| extended && is_visible(rest)).ok_or(Ambiguity::ChunkLine)?;
        self.pass(rest.len())?;
        self.state = if size == 0 { State::Trailers } else { State::Data(size) };
        Ok(())
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        if line.is_empty() {
            self.state = State::Over;
            return Ok(());
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if Framer::of(name).is_some() || name.eq_ignore_ascii_case(b"host") {
            return Err(Ambiguity::Trailer);
        }
        self.pass(line.len())?;
        if is_visible(line) { Ok(()) } else { Err(Ambiguity::ChunkLine) }
    }
}

/// Whether a text has no control character but tabs.
fn is_visible(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of a body, and how many bytes it took up.
    type Read = Result<(Vec<u8>, usize), Ambiguity>;

    /// What a body in these pieces comes to. Bytes behind its end are another request.
    fn taken(pieces: &[&[u8]]) -> Read {
        let (mut chunks, mut content, mut used) = (Chunks::default(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() && !chunks.is_over() {
                let Step { passed, content: length } = chunks.step(rest)?;
                content.extend_from_slice(&rest[passed..passed + length]);
                used += passed + length;
                rest = &rest[passed + length..];
            }
        }
        assert!(chunks.is_over());
        Ok((content, used))
    }

    /// The same, whole and cut at every place.
    #[track_caller]
    fn read(body: &str) -> Read {
        let found = taken(&[body.as_bytes()]);
        for cut in 0..body.len() {
            let (begin, end) = body.as_bytes().split_at(cut);
            assert_eq!(taken(&[begin, end]), found, "cut at {cut}");
        }
        assert_eq!(taken(&body.as_bytes().chunks(1).collect::<Vec<_>>()), found, "byte by byte");
        found
    }

    #[test]
    fn content_and_its_end_are_found() {
        for (body, expected) in [
            ("0\r\n\r\n", ""),
            ("3\r\na\nb\r\n0\r\n\r\n", "a\nb"),
            ("1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", "abc"),
            ("3 ;a=\"b\"\r\na\nb\r\n00\r\nx: y\r\n\r\n", "a\nb"),
            ("A\r\n0123456789\r\n0\r\nx_y: content-length\r\n\r\n", "0123456789"),
        ] {
            assert_eq!(read(body), Ok((expected.into(), body.len())), "{body:?}");
            let (content, used) = read(&format!("{body}GET / HTTP/1.1\r\n\r\n")).unwrap();
            assert_eq!((content, used), (expected.into(), body.len()), "{body:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_a_fault() {
        use Ambiguity::{ChunkLine, Trailer};
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_UNREAD_BYTES));
        let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(MAX_UNREAD_BYTES / 4 + 1));
        for (body, fault) in [
            ("3;\0\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("3;a=\rb\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("3\nabc\r\n0\r\n\r\n", ChunkLine),
            ("3 \r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("0x3\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("+3\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("00000000000000003\r\nabc\r\n0\r\n\r\n", ChunkLine),
            ("3\r\nabc\r\n0;\x7f\r\n\r\n", ChunkLine),
            ("3\r\nabcd\r\n0\r\n\r\n", ChunkLine),
            ("3\r\nabc\n0\r\n\r\n", ChunkLine),
            ("3\r\nabc\rx0\r\n\r\n", ChunkLine),
            ("0\r\nx: y\n\r\n", ChunkLine),
            ("0\r\nx: \0\r\n\r\n", ChunkLine),
            ("0\r\ncontent-length: 3\r\n\r\n", Trailer),
            ("0\r\nx: y\r\ntransfer_encoding: chunked\r\n\r\n", Trailer),
            ("0\r\nHost: y\r\n\r\n", Trailer),
        ] {
            assert_eq!(read(body), Err(fault), "{body:?}");
        }
        for body in [long, many] {
            assert_eq!(taken(&[body.as_bytes()]), Err(ChunkLine));
        }
    }
}
