//! Where the body of a request ends, as its head says it. What another reader could take for another message
//! is a fault (RFC 9112, section 11.2). A proxy in front of this server would then forward one request where
//! this server sees two, and the second would be the work of whoever wrote the first.

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

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It has this many bytes. Without a body these are none.
    Length(u64),
    Chunks,
}

/// What the headers of a head said of its body so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Framers {
    length: Option<u64>,
    chunked: u32,
    other_codings: bool,
    /// Whether the last coding so far is `chunked`.
    chunked_last: bool,
    fault: Option<Ambiguity>,
}

impl Framers {
    /// Takes a header. `None` for a length that is no number.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match Framer::of(name) {
            None => {}
            Some(Framer { exact: false, .. }) => self.found(Ambiguity::Underscore),
            Some(Framer { is_length: true, .. }) => {
                if self.length.is_some() {
                    self.found(Ambiguity::Lengths);
                }
                self.length = Some(number(value)?);
            }
            Some(_) => {
                for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
                    self.chunked += u32::from(self.chunked_last);
                    self.other_codings |= !self.chunked_last;
                }
            }
        }
        Some(())
    }

    fn found(&mut self, fault: Ambiguity) {
        self.fault.get_or_insert(fault);
    }

    pub(super) fn has_coding(&self) -> bool {
        self.chunked > 0 || self.other_codings
    }

    /// The framing, once all headers were taken.
    pub(super) fn framing(self) -> Result<Framing, Ambiguity> {
        match self {
            Framers { fault: Some(fault), .. } => Err(fault),
            Framers { length: Some(_), .. } if self.has_coding() => Err(Ambiguity::LengthAndCoding),
            _ if !self.has_coding() => Ok(Framing::Length(self.length.unwrap_or(0))),
            _ if self.chunked > 1 => Err(Ambiguity::ChunkedTwice),
            _ if !self.chunked_last => Err(Ambiguity::NoEnd),
            _ if self.other_codings => Err(Ambiguity::Coding),
            _ => Ok(Framing::Chunks),
        }
    }
}

/// A length: digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// A header that says where a message ends.
pub(super) struct Framer {
    /// `Content-Length`, and not `Transfer-Encoding`.
    is_length: bool,
    /// Whether the name is spelt right, without `_`.
    exact: bool,
}

impl Framer {
    const LENGTH: &'static [u8] = b"content-length";
    const CODING: &'static [u8] = b"transfer-encoding";

    pub(super) fn of(name: &[u8]) -> Option<Framer> {
        // Most headers are ruled out by their length.
        let known = match name.len() {
            length if length == Self::LENGTH.len() => Self::LENGTH,
            length if length == Self::CODING.len() => Self::CODING,
            _ => return None,
        };
        let exact = name.eq_ignore_ascii_case(known);
        let alike = |(found, known): (&u8, &u8)| {
            found.eq_ignore_ascii_case(known) || (*known == b'-' && *found == b'_')
        };
        let like = exact || name.iter().zip(known).all(alike);
        like.then_some(Framer { is_length: known == Self::LENGTH, exact })
    }
}
