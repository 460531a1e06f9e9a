//! Follows the bytes of a connection from message to message, and finds those that another reader could take
//! for other messages (RFC 9112, section 11.2). A proxy in front of this server would then forward one
//! request where this server sees two, and the second would be the work of whoever wrote the first.
//!
//! hyper refuses most of that by itself. What it reads kindly is found here: two lengths, a length beside
//! chunks, further codings, names with `_` for `-`, lines that end without CR, and what hides in the lines of
//! chunks. From the first fault on nothing more is followed, because the connection ends with it.

use memchr::memchr;

use crate::http::bounds::MAX_HEAD_BYTES;

/// Most hexadecimal digits in the size of a chunk; more do not fit a `u64`.
const MAX_SIZE_DIGITS: usize = 16;

/// What could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ambiguity {
    /// A line of the head ends in LF without CR.
    BareLineFeed,
    /// More than one `Content-Length`.
    Lengths,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` names a coding besides `chunked`.
    Coding,
    /// The last coding is not `chunked`, so the end of the body cannot be known (RFC 9112, section 6.3).
    NoEnd,
    /// `Transfer-Encoding` names `chunked` twice.
    ChunkedTwice,
    /// The name of a header is that of a length or coding but for its `_`.
    Underscore,
    /// The line before a chunk, or a line of trailers.
    ChunkLine,
    /// A trailer that belongs into the head.
    Trailer,
}

impl Ambiguity {
    /// What was found and what was expected, as a sentence.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Ambiguity::BareLineFeed => {
                "a line of the head ends in a line feed alone; lines end in a carriage return and a line feed"
            }
            Ambiguity::Lengths => "expected one Content-Length, found more",
            Ambiguity::LengthAndCoding => {
                "found Content-Length and Transfer-Encoding; a request has one or the other"
            }
            Ambiguity::Coding => {
                "the only Transfer-Encoding here is chunked; gzip and zstd are for Content-Encoding"
            }
            Ambiguity::NoEnd => {
                "the end of the body cannot be known: expected chunked as the last Transfer-Encoding"
            }
            Ambiguity::ChunkedTwice => "Transfer-Encoding names chunked twice",
            Ambiguity::Underscore => {
                "the name of a header has `_` in place of `-`: expected Content-Length or Transfer-Encoding"
            }
            Ambiguity::ChunkLine => {
                "expected the size of a chunk in hexadecimal, or a trailer, in a line of visible characters"
            }
            Ambiguity::Trailer => {
                "Content-Length, Transfer-Encoding and Host belong into the head, and are not for trailers"
            }
        }
    }
}

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The number of the request's head on this connection, from 1.
    pub(crate) head: u32,
    /// Whether it is in the body; else it is in the head.
    pub(crate) in_body: bool,
    pub(crate) found: Ambiguity,
}

/// Where a connection is within its messages.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// How many heads have been read to their end.
    heads: u32,
    head: HeadFacts,
    /// The beginning of a line whose end has not arrived yet.
    line: Vec<u8>,
    /// The first fault.
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// Bytes of the line end behind a chunk that are still to come.
    ChunkEnd(u64),
    Trailers,
    /// Nothing more is followed: after a fault, or after what hyper refuses.
    Over,
}

/// What the lines of a head said so far.
#[derive(Debug, Clone, Copy, Default)]
struct HeadFacts {
    lines: u32,
    length: Option<u64>,
    chunked: u32,
    other_codings: bool,
    /// Whether the last coding so far is `chunked`.
    chunked_last: bool,
}

impl Framing {
    /// How many heads have been read to their end.
    pub(crate) fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether a part of a head has arrived, and not its end.
    pub(crate) fn is_in_head(&self) -> bool {
        self.state == State::Head && (self.head.lines > 0 || !self.line.is_empty())
    }

    /// Whether nothing of a further message has arrived.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Head && self.head.lines == 0 && self.line.is_empty()
    }

    /// Whether a message has begun and not come to its end. Nobody knows where one ends whose head has a
    /// fault.
    pub(crate) fn is_within(&self) -> bool {
        !self.is_between() && !matches!(self.fault, Some(Fault { in_body: false, .. }))
    }

    /// The first fault.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Follows the next bytes. Returns how many of them may be handed on: fewer than all if there is a
    /// fault in a body, and no more may be read then. Of a head all may be handed on, for its answer says
    /// the fault.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Body(left) | State::ChunkData(left) | State::ChunkEnd(left) => {
                    let step = (*left).min(rest.len() as u64);
                    *left -= step;
                    at += step as usize;
                    if *left == 0 {
                        self.after_bytes();
                    }
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let in_body = self.state != State::Head;
                    let Some(end) = memchr(b'\n', rest) else {
                        if self.line.len() + rest.len() > MAX_HEAD_BYTES {
                            self.state = State::Over; // hyper refuses it for its length
                        } else {
                            self.line.extend_from_slice(rest);
                        }
                        return bytes.len();
                    };
                    let read = self.line_end(&rest[..=end]);
                    if let Err(found) = read {
                        self.state = State::Over;
                        let head = self.heads + u32::from(!in_body);
                        self.fault = Some(Fault { head, in_body, found });
                        return if in_body { at } else { bytes.len() };
                    }
                    at += end + 1;
                }
                State::Over => {}
            }
        }
        bytes.len()
    }

    fn after_bytes(&mut self) {
        self.state = match self.state {
            State::ChunkData(_) => State::ChunkEnd(2),
            State::ChunkEnd(_) => State::ChunkSize,
            _ => State::Head,
        };
    }

    /// Takes the end of a line. Its beginning may have come before.
    fn line_end(&mut self, end: &[u8]) -> Result<(), Ambiguity> {
        if self.line.is_empty() {
            return self.whole_line(end);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        self.whole_line(&line)
    }

    fn whole_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        let text = line.strip_suffix(b"\r\n");
        match self.state {
            State::Head => self.head_line(text.ok_or(Ambiguity::BareLineFeed)?),
            State::ChunkSize => self.chunk_line(text.ok_or(Ambiguity::ChunkLine)?),
            _ => self.trailer_line(text.ok_or(Ambiguity::ChunkLine)?),
        }
    }

    fn head_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        if line.is_empty() {
            // An empty line before a request counts as none (RFC 9112, section 2.2).
            return if self.head.lines > 0 { self.head_end() } else { Ok(()) };
        }
        self.head.lines += 1;
        if self.head.lines == 1 {
            return Ok(()); // the request line
        }
        match Framer::of(line) {
            Some(Framer { exact: false, .. }) => Err(Ambiguity::Underscore),
            Some(Framer { is_length: true, value, .. }) => {
                if self.head.length.is_some() {
                    return Err(Ambiguity::Lengths);
                }
                // hyper refuses what is no number.
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.head.length = Some(number.unwrap_or(0));
                Ok(())
            }
            Some(Framer { value, .. }) => {
                for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.head.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
                    self.head.chunked += u32::from(self.head.chunked_last);
                    self.head.other_codings |= !self.head.chunked_last;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn head_end(&mut self) -> Result<(), Ambiguity> {
        let head = std::mem::take(&mut self.head);
        let has_coding = head.chunked > 0 || head.other_codings;
        self.state = match head.length {
            Some(_) if has_coding => return Err(Ambiguity::LengthAndCoding),
            Some(length) if length > 0 => State::Body(length),
            _ if !has_coding => State::Head,
            _ if head.chunked > 1 => return Err(Ambiguity::ChunkedTwice),
            _ if !head.chunked_last => return Err(Ambiguity::NoEnd),
            _ if head.other_codings => return Err(Ambiguity::Coding),
            _ => State::ChunkSize,
        };
        self.heads += 1;
        Ok(())
    }

    /// The line before a chunk: its size, and extensions that nobody reads.
    fn chunk_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, rest) = line.split_at(digits);
        let extended = rest.is_empty() || rest.trim_ascii_start().starts_with(b";");
        let size = std::str::from_utf8(size).ok().filter(|size| size.len() <= MAX_SIZE_DIGITS);
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        match size {
            Some(size) if extended && is_visible(rest) => {
                self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                Ok(())
            }
            _ => Err(Ambiguity::ChunkLine),
        }
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Ambiguity> {
        if line.is_empty() {
            self.state = State::Head;
            return Ok(());
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if Framer::of(line).is_some() || name.eq_ignore_ascii_case(b"host") {
            return Err(Ambiguity::Trailer);
        }
        if is_visible(line) { Ok(()) } else { Err(Ambiguity::ChunkLine) }
    }
}

/// Whether a text has no control character but tabs.
fn is_visible(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// A header that says where a message ends.
struct Framer<'l> {
    /// `Content-Length`, and not `Transfer-Encoding`.
    is_length: bool,
    /// Whether the name is spelt right, without `_`.
    exact: bool,
    value: &'l [u8],
}

impl<'l> Framer<'l> {
    const LENGTH: &'static [u8] = b"content-length";
    const CODING: &'static [u8] = b"transfer-encoding";

    fn of(line: &'l [u8]) -> Option<Framer<'l>> {
        // Most headers are ruled out by their first letter.
        let name = match line.first()? | 0x20 {
            b'c' => Self::LENGTH,
            b't' => Self::CODING,
            _ => return None,
        };
        let (found, rest) = line.split_at_checked(name.len())?;
        // A name with a space behind it is refused by hyper.
        let value = rest.strip_prefix(b":")?.trim_ascii();
        let exact = found.eq_ignore_ascii_case(name);
        let alike =
            |(found, name): (&u8, &u8)| found.eq_ignore_ascii_case(name) || (*name == b'-' && *found == b'_');
        let like = exact || found.iter().zip(name).all(alike);
        like.then_some(Framer { is_length: name == Self::LENGTH, exact, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\n";

    /// The number of heads and the fault of these bytes, whole and cut at every place.
    #[track_caller]
    fn followed(bytes: &str) -> (u32, Option<(u32, Ambiguity)>) {
        let whole = |cuts: &[&[u8]]| {
            let mut framing = Framing::default();
            for part in cuts {
                framing.follow(part);
            }
            (framing.heads(), framing.fault().map(|fault| (fault.head, fault.found)))
        };
        let bytes = bytes.as_bytes();
        let found = whole(&[bytes]);
        for cut in 0..bytes.len() {
            let (begin, end) = bytes.split_at(cut);
            assert_eq!(whole(&[begin, end]), found, "cut at {cut}");
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(whole(&each), found, "byte by byte");
        found
    }

    #[test]
    fn messages_are_told_apart_by_length_and_by_chunks() {
        for (rest, heads) in [
            ("\r\nGET / HTTP/1.1\r\n\r\n", 2),
            ("content-length: 3\r\n\r\na\nbGET / HTTP/1.1\r\n\r\n", 2),
            ("Content-Length:3 \r\n\r\na\nb\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            ("transfer-encoding: Chunked\r\n\r\n3\r\na\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            (
                "transfer-encoding: chunked\r\n\r\n3 ;a=\"b\"\r\na\nb\r\n00\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                2,
            ),
            ("content-length: 9\r\n\r\na\nb", 1),
            ("x: 1\r\nx_y: 2\r\ncontent_type: a\r\ntransfer: b\r\n\r\n", 1),
        ] {
            assert_eq!(followed(&format!("{POST}{rest}")), (heads, None), "{rest:?}");
        }
        assert_eq!(followed("\r\nGET / HTTP/1.1\r\n\r\n"), (1, None));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_a_fault_of_its_request() {
        use Ambiguity::*;
        for (rest, fault) in [
            ("x: y\n\r\n", BareLineFeed),
            ("x: y\r\n\n", BareLineFeed),
            ("content-length: 2\r\ncontent-length: 2\r\n\r\n{}", Lengths),
            ("content-length: 2\r\nCONTENT-length: 3\r\n\r\n{}", Lengths),
            ("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", LengthAndCoding),
            ("transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n", LengthAndCoding),
            ("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Coding),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Coding),
            ("transfer-encoding: gzip\r\n\r\n", NoEnd),
            ("transfer-encoding: chunked, gzip\r\n\r\n", NoEnd),
            ("transfer-encoding: identity\r\n\r\n", NoEnd),
            ("transfer-encoding: chunked;q=1, chunked\r\n\r\n0\r\n\r\n", Coding),
            ("transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n", Coding),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ChunkedTwice),
            ("Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", Underscore),
            ("content_length: 2\r\n\r\n{}", Underscore),
        ] {
            assert_eq!(followed(&format!("{POST}{rest}")).1, Some((1, fault)), "{rest:?}");
            let second = format!("GET / HTTP/1.1\r\n\r\n{POST}{rest}");
            assert_eq!(followed(&second).1, Some((2, fault)), "{rest:?}");
        }
        assert_eq!(followed("GET / HTTP/1.1\n\n").1, Some((1, BareLineFeed)));
    }

    #[test]
    fn bytes_behind_a_fault_in_a_body_are_not_handed_on() {
        let head = format!("{POST}transfer-encoding: chunked\r\n\r\n");
        for (before, rest, fault) in [
            ("", "3;\0\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "3;a=\rb\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "3\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "3 \r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "0x3\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "+3\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("", "00000000000000003\r\nabc\r\n0\r\n\r\n", Ambiguity::ChunkLine),
            ("3\r\nabc\r\n", "0;\x7f\r\n\r\n", Ambiguity::ChunkLine),
            ("0\r\n", "x: y\n\r\n", Ambiguity::ChunkLine),
            ("0\r\n", "x: \0\r\n\r\n", Ambiguity::ChunkLine),
            ("0\r\n", "content-length: 3\r\n\r\n", Ambiguity::Trailer),
            ("0\r\nx: y\r\n", "transfer_encoding: chunked\r\n\r\n", Ambiguity::Trailer),
            ("0\r\n", "Host: y\r\n\r\n", Ambiguity::Trailer),
        ] {
            assert_eq!(followed(&format!("{head}{before}{rest}")).1, Some((1, fault)), "{rest:?}");
            let mut framing = Framing::default();
            let handed_on = framing.follow(format!("{head}{before}{rest}").as_bytes());
            assert_eq!(handed_on, head.len() + before.len(), "{rest:?}");
        }
    }
}
