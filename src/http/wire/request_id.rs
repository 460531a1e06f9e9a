//! The id of a request: the client's own, or one that is made here. It is in the answer, and in what is
//! logged of the request.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use compact_str::CompactString;
use hyper::header::HeaderName;

use super::decision_id::hex;
use super::head::Head;
use crate::http::bounds::MAX_REQUEST_ID_BYTES;

/// The header with the id, in requests.
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Hexadecimal digits of an id that is made here: 48 random bits of the thread, then its count.
const DIGITS: usize = 20;

thread_local! {
    static RANDOM: u64 = RandomState::new().hash_one("request");
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// The id of one request. Those that are made here need no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(CompactString);

impl RequestId {
    /// The client's id if it is one: 1 to [`MAX_REQUEST_ID_BYTES`] visible characters of ASCII. Else a new
    /// one.
    pub(crate) fn of(head: &Head) -> RequestId {
        let mut given = head.all(&X_REQUEST_ID);
        match (given.next(), given.next()) {
            (Some(id), None) if is_id(id) => {
                CompactString::from_utf8(id).map_or_else(|_| RequestId::made(), RequestId)
            }
            _ => RequestId::made(),
        }
    }

    /// A new one, for a request that nobody could read too.
    pub(crate) fn made() -> RequestId {
        let mut digits = [0; DIGITS];
        hex(RANDOM.with(|random| *random), &mut digits[..12]);
        let count = COUNT.get();
        COUNT.set(count.wrapping_add(1));
        hex(count.into(), &mut digits[12..]);
        RequestId(CompactString::from_utf8(digits).unwrap_or_default()) // hexadecimal digits are text
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_id(bytes: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(given: &[&str]) -> String {
        let lines: String = given.iter().map(|value| format!("x-request-id: {value}\r\n")).collect();
        RequestId::of(&Head::with(&lines)).as_str().to_owned()
    }

    #[test]
    fn an_id_is_taken_if_it_is_one_and_made_if_not() {
        let long = "x".repeat(MAX_REQUEST_ID_BYTES);
        for given in ["a", "7f3c-09", "trace/1:2;3", &long] {
            assert_eq!(id(&[given]), given);
        }
        for given in [&[][..], &[""], &["a b"], &["a", "a"], &[&format!("{long}x")], &["\u{e9}"]] {
            let made = id(given);
            assert!(made.len() == DIGITS && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given:?}");
        }
        assert_ne!(id(&[]), id(&[]));
    }
}
