//! The head of a request: method, target and headers, read strictly.

use std::mem::MaybeUninit;

use hyper::Method;
use hyper::header::{CONNECTION, EXPECT, HeaderName};
use memchr::{memchr, memchr_iter, memchr3, memmem};
use smallvec::SmallVec;

use super::framing::{Ambiguity, Framers, Framing};
use crate::http::bounds::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_URI_BYTES};

/// Room for the headers of most requests.
const USUAL_HEADERS: usize = 12;
/// How a connection of HTTP/2 begins (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// A head that was read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// Whether the connection may go on after the answer.
    pub(crate) keeps_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects: bool,
    /// How the end of the body is found, or why nobody knows.
    pub(crate) framing: Result<Framing, Ambiguity>,
    /// As sent, from the request line on.
    bytes: Box<[u8]>,
    headers: SmallVec<[Header; USUAL_HEADERS]>,
}

/// The places of a name and its value. A head is short enough for 16 bits.
#[derive(Debug, Clone, Copy)]
struct Header {
    mark: Mark,
    name: Span,
    value: Span,
}

/// The length and the first letter of a name. They tell nearly all names apart, for a request is asked for
/// many headers that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark(u16);

impl Mark {
    fn of(name: &[u8]) -> Mark {
        let letter = name.first().map_or(0, |first| first | 0x20);
        Mark((name.len() as u16) << 8 | u16::from(letter))
    }
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: u16,
    to: u16,
}

/// Why a head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not HTTP, or not such as this server speaks.
    Wrong,
    /// It has too many bytes or headers.
    TooLarge,
    /// Its target has too many bytes.
    TargetTooLong,
    /// The client speaks HTTP/2.
    Http2,
}

impl Head {
    /// Reads the head that `bytes` begin with, and says how many of them it takes up. `None` if more of it
    /// must arrive first.
    ///
    /// # Errors
    /// Why nobody can read it. A head with an ambiguous end is read, for its answer says so.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Unreadable> {
        let mut room = [MaybeUninit::uninit(); MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut room) {
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD_BYTES => {
                Head::of(&parsed, &bytes[..length]).map(|head| Some((head, length)))
            }
            Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD_BYTES => Ok(None),
            Ok(_) => Err(too_large(bytes)),
            Err(httparse::Error::TooManyHeaders) => Err(Unreadable::TooLarge),
            Err(_) if bytes.starts_with(HTTP_2) => Err(Unreadable::Http2),
            Err(_) => Err(Unreadable::Wrong),
        }
    }

    fn of(parsed: &httparse::Request<'_, '_>, bytes: &[u8]) -> Result<Head, Unreadable> {
        let wrong = Unreadable::Wrong;
        let method = Method::from_bytes(parsed.method.ok_or(wrong)?.as_bytes()).map_err(|_| wrong)?;
        let target = Target::read(parsed.path.ok_or(wrong)?, &method).ok_or(wrong)?;
        let is_old = parsed.version == Some(0);
        let (mut framers, mut expects) = (Framers::default(), false);
        let (mut closes, mut stays) = (false, false);
        let mut headers = SmallVec::new();
        for header in parsed.headers.iter() {
            let (name, value) = (header.name.as_bytes(), header.value);
            framers.take(name, value).ok_or(wrong)?;
            if is(name, &CONNECTION) {
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                options.clone().for_each(|option| closes |= option.eq_ignore_ascii_case(b"close"));
                stays |= options.any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
            } else if is(name, &EXPECT) {
                expects = !is_old && value.eq_ignore_ascii_case(b"100-continue");
            }
            headers.push(Header {
                mark: Mark::of(name),
                name: Span::of(name, bytes),
                value: Span::of(value, bytes),
            });
        }
        if is_old && framers.has_coding() {
            return Err(wrong); // HTTP/1.0 has no chunks
        }
        let framing =
            if ends_with_line_feed_alone(bytes) { Err(Ambiguity::BareLineFeed) } else { framers.framing() };
        let keeps_alive = !closes && (stays || !is_old) && framing.is_ok();
        Ok(Head { method, target, is_old, keeps_alive, expects, framing, bytes: bytes.into(), headers })
    }

    /// The values of all headers of this name, in their order.
    pub(crate) fn all<'h>(&'h self, name: &'h HeaderName) -> impl Iterator<Item = &'h [u8]> + Clone {
        let mark = Mark::of(name.as_str().as_bytes());
        let alike = self.headers.iter().filter(move |header| header.mark == mark);
        let found = alike.filter(|header| is(header.name.in_bytes(&self.bytes), name));
        found.map(|header| header.value.in_bytes(&self.bytes))
    }

    /// The value of the first header of this name.
    pub(crate) fn first<'h>(&'h self, name: &'h HeaderName) -> Option<&'h [u8]> {
        self.all(name).next()
    }

    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }

    /// A head with these lines of headers, for tests.
    #[cfg(test)]
    pub(crate) fn with(lines: &str) -> Head {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        Head::read(text.as_bytes()).ok().flatten().map_or_else(|| panic!("{text}"), |(head, _)| head)
    }
}

fn is(name: &[u8], known: &HeaderName) -> bool {
    let known = known.as_str().as_bytes();
    name.len() == known.len() && name.eq_ignore_ascii_case(known)
}

/// Whether a line ends in LF without CR. Some readers take that for the end of a line, and others do not.
fn ends_with_line_feed_alone(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// What is too large in a head that has not come to its end within its bound.
fn too_large(bytes: &[u8]) -> Unreadable {
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    if line.len() > MAX_URI_BYTES { Unreadable::TargetTooLong } else { Unreadable::TooLarge }
}

/// The text of a value of visible ASCII characters, spaces and tabs.
pub(crate) fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| *byte == b'\t' || (b' '..0x7f).contains(byte));
    std::str::from_utf8(value).ok().filter(|_| is_visible)
}

impl Span {
    /// The place of `part`, which lies in `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Span {
        const { assert!(MAX_HEAD_BYTES <= u16::MAX as usize) };
        let from = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Span { from: from as u16, to: (from + part.len()) as u16 }
    }

    fn in_bytes(self, whole: &[u8]) -> &[u8] {
        &whole[self.from.into()..self.to.into()]
    }
}

/// What a request asks for (RFC 9112, section 3.2).
#[derive(Debug, Clone)]
pub(crate) struct Target {
    text: Box<str>,
    /// Where the path begins: behind the authority, if there is one.
    path: usize,
    /// Where the question mark before the query is; else the end.
    question: usize,
    /// Where the authority begins, if there is one.
    authority: Option<usize>,
}

impl Target {
    /// A path, all of `*`, or a whole URI. `CONNECT` has a name and a port instead.
    fn read(text: &str, method: &Method) -> Option<Target> {
        // The last one would begin a fragment, which no client sends.
        let bytes = text.as_bytes();
        if memchr3(b'<', b'>', b'`', bytes).or_else(|| memchr(b'#', bytes)).is_some() {
            return None;
        }
        let (path, authority) = if text.starts_with('/') || text == "*" {
            (0, None)
        } else if *method == Method::CONNECT {
            (text.len(), None)
        } else {
            let scheme = memmem::find(text.as_bytes(), b"://")?;
            let known = ["http", "https"].iter().any(|known| text[..scheme].eq_ignore_ascii_case(known));
            let from = scheme + "://".len();
            let length = text[from..].find(['/', '?']).unwrap_or(text.len() - from);
            (from + length, (known && length > 0).then_some(from))
        };
        if path > 0 && authority.is_none() && *method != Method::CONNECT {
            return None;
        }
        let question = memchr(b'?', &text.as_bytes()[path..]).map_or(text.len(), |at| path + at);
        Some(Target { text: text.into(), path, question, authority })
    }

    pub(crate) fn path(&self) -> &str {
        let path = &self.text[self.path..self.question];
        if path.is_empty() { "/" } else { path }
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.text.get(self.question + 1..)
    }

    pub(crate) fn authority(&self) -> Option<&str> {
        self.authority.map(|from| &self.text[from..self.path])
    }

    /// How many bytes path and query have.
    pub(crate) fn length(&self) -> usize {
        self.text.len() - self.path
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: [&str; 4] =
        ["GET / HTTP/1.1\r\n", "POST /a?b=c HTTP/1.0\r\n", "GET http://a/b HTTP/1.1\r\n", "CONNECT a:1 "];
    const HEADERS: [&str; 12] = [
        "host: x\r\n",
        "content-length: 3\r\n",
        "content-length: ",
        "content_length: 1\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: ,\r\n",
        "connection: close, keep-alive\r\n",
        "expect: 100-continue\r\n",
        "HTTP/1.1\r\n",
        "x: y\n",
        "x:",
        " y \r\n",
    ];
    const POST: &str = "POST / HTTP/1.1\r\nhost: x\r\n";

    fn head(text: &str) -> Result<Head, Unreadable> {
        let (head, length) = Head::read(text.as_bytes())?.unwrap();
        assert_eq!(length, text.len());
        Ok(head)
    }

    #[test]
    fn a_head_is_read_once_it_has_arrived_whole() {
        let text = format!("\r\n{POST}X-A: 1\r\nx-b:\r\nx-a:  2 \r\n\r\n");
        for cut in 0..text.len() {
            assert!(matches!(Head::read(&text.as_bytes()[..cut]), Ok(None)), "cut at {cut}");
        }
        let (head, length) = Head::read(format!("{text}GET").as_bytes()).unwrap().unwrap();
        assert_eq!((length, &head.method, head.target.path()), (text.len(), &Method::POST, "/"));
        let all = |name: &'static str| -> Vec<String> {
            let name = HeaderName::from_static(name);
            head.all(&name).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
        };
        assert_eq!(
            (all("x-a"), all("x-b"), all("x-c")),
            (vec!["1".into(), "2".into()], vec!["".into()], vec![])
        );
        assert!(head.has(&hyper::header::HOST) && !head.has(&EXPECT));
    }

    #[test]
    fn the_parts_of_a_target_are_told_apart() {
        for (text, path, query, authority) in [
            ("/", "/", None, None),
            ("/a/b?c=d?e&f", "/a/b", Some("c=d?e&f"), None),
            ("/a?", "/a", Some(""), None),
            ("//a/b", "//a/b", None, None),
            ("*", "*", None, None),
            ("/客?x=户", "/客", Some("x=户"), None),
            ("http://a:1/b?c", "/b", Some("c"), Some("a:1")),
            ("HTTPS://a", "/", None, Some("a")),
            ("http://a?b=://", "/", Some("b=://"), Some("a")),
        ] {
            let target = Target::read(text, &Method::GET).unwrap();
            assert_eq!(
                (target.path(), target.query(), target.authority()),
                (path, query, authority),
                "{text}"
            );
        }
        for text in ["", "a", "a/b", "ftp://a/b", "http:///b", "/a#b", "/a<b", "/a>b", "/a`b", "?a", "a:443"]
        {
            assert!(Target::read(text, &Method::GET).is_none(), "{text}");
        }
        assert_eq!(Target::read("a:443", &Method::CONNECT).unwrap().path(), "/");
    }

    #[test]
    fn a_head_says_whether_its_connection_goes_on() {
        for (version, connection, keeps_alive) in [
            ("1.1", "", true),
            ("1.1", "connection: keep-alive\r\n", true),
            ("1.1", "connection: Close\r\n", false),
            ("1.1", "connection: x, close\r\n", false),
            ("1.1", "connection: x\r\nconnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "connection: Keep-Alive\r\n", true),
            ("1.0", "connection: keep-alive, close\r\n", false),
        ] {
            let head = head(&format!("GET / HTTP/{version}\r\n{connection}\r\n")).unwrap();
            assert_eq!((head.keeps_alive, head.is_old), (keeps_alive, version == "1.0"), "{connection}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_known_or_there_is_a_fault() {
        use Ambiguity::*;
        for (headers, framing) in [
            ("", Ok(Framing::Length(0))),
            ("content-length: 3\r\n", Ok(Framing::Length(3))),
            ("Content-Length:3 \r\n", Ok(Framing::Length(3))),
            ("transfer-encoding: Chunked\r\n", Ok(Framing::Chunks)),
            ("x_y: 2\r\ncontent_type: a\r\ntransfer: b\r\n", Ok(Framing::Length(0))),
            ("content-length: 2\r\ncontent-length: 2\r\n", Err(Lengths)),
            ("content-length: 2\r\nCONTENT-length: 3\r\n", Err(Lengths)),
            ("content-length: 2\r\ntransfer-encoding: chunked\r\n", Err(LengthAndCoding)),
            ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", Err(LengthAndCoding)),
            ("transfer-encoding: gzip, chunked\r\n", Err(Coding)),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", Err(Coding)),
            ("transfer-encoding: gzip\r\n", Err(NoEnd)),
            ("transfer-encoding: chunked, gzip\r\n", Err(NoEnd)),
            ("transfer-encoding: identity\r\n", Err(NoEnd)),
            ("transfer-encoding:\r\n", Err(NoEnd)),
            ("transfer-encoding: chunked;q=1, chunked\r\n", Err(Coding)),
            ("transfer-encoding: ,chunked\r\n", Err(Coding)),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Err(ChunkedTwice)),
            ("Transfer_Encoding: chunked\r\n", Err(Underscore)),
            ("content_length: 2\r\n", Err(Underscore)),
            ("x: y\n", Err(BareLineFeed)),
        ] {
            let head = head(&format!("{POST}{headers}\r\n")).unwrap();
            assert_eq!((head.framing, head.keeps_alive), (framing, framing.is_ok()), "{headers:?}");
        }
        for text in ["GET / HTTP/1.1\n\n", "\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nx: y\r\n\n"] {
            assert_eq!(head(text).unwrap().framing, Err(BareLineFeed), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_head_or_too_large_is_refused() {
        let long = |length: usize| format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(length));
        let target = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD_BYTES));
        let headers = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(count));
        assert!(head(&long(MAX_HEAD_BYTES - 23)).is_ok() && head(&headers(MAX_HEADERS)).is_ok());
        for (text, why) in [
            (long(MAX_HEAD_BYTES - 22), Unreadable::TooLarge),
            (long(MAX_HEAD_BYTES * 2), Unreadable::TooLarge),
            (target, Unreadable::TargetTooLong),
            (headers(MAX_HEADERS + 1), Unreadable::TooLarge),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), Unreadable::Http2),
            ("GARBAGE\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/9.9\r\n\r\n".into(), Unreadable::Wrong),
            ("GET /a#b HTTP/1.1\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\nhost : x\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\na: \0\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\na: b\rc\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\ncontent-length: +1\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\ncontent-length:\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.1\r\ncontent-length: 18446744073709551616\r\n\r\n".into(), Unreadable::Wrong),
            ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".into(), Unreadable::Wrong),
        ] {
            assert_eq!(head(&text).map(|_| ()), Err(why), "{text:?}");
        }
    }

    proptest! {
        /// Pieces that make sense now and then, in any order: whatever they come to, nothing panics, and more
        /// bytes behind a head do not change it.
        #[test]
        fn any_bytes_come_to_a_head_or_to_a_reason(
            line in prop::sample::select(LINES.to_vec()),
            headers in prop::collection::vec(prop::sample::select(HEADERS.to_vec()), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..3),
            at in any::<prop::sample::Index>(),
        ) {
            let mut bytes = format!("{line}{}\r\nGET", headers.concat()).into_bytes();
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise);
            if let Ok(Some((head, length))) = Head::read(&bytes) {
                let (same, same_length) = Head::read(&bytes[..length]).unwrap().unwrap();
                prop_assert_eq!(format!("{head:?}"), format!("{same:?}"));
                prop_assert_eq!(length, same_length);
                prop_assert!(Head::read(&bytes[..length - 1]).is_ok_and(|head| head.is_none()));
                prop_assert!(head.target.path().len() + head.target.query().map_or(0, str::len) <= length);
                prop_assert!(head.keeps_alive <= head.framing.is_ok());
            }
        }
    }
}
