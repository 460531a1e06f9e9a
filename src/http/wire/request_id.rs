//! The id of a request: the client's own, or one that is made here. It is in the answer, and in what is
//! logged of the request.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::decision_id::hex;
use crate::http::bounds::MAX_REQUEST_ID_BYTES;

/// The header with the id, in requests and answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Hexadecimal digits of an id that is made here: 48 random bits of the thread, then its count.
const DIGITS: usize = 20;

thread_local! {
    static RANDOM: u64 = RandomState::new().hash_one("request");
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// The client's id if it is one: 1 to [`MAX_REQUEST_ID_BYTES`] visible characters of ASCII. Else a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) if is_id(id.as_bytes()) => id.clone(),
        _ => made(),
    }
}

/// The same for a head that nobody has read yet: `given` are the values of all such headers.
pub(crate) fn among(given: &[&[u8]]) -> HeaderValue {
    match given {
        [id] if is_id(id) => HeaderValue::from_bytes(id).unwrap_or_else(|_| made()),
        _ => made(),
    }
}

fn is_id(bytes: &[u8]) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn made() -> HeaderValue {
    let mut digits = [0; DIGITS];
    hex(RANDOM.with(|random| *random), &mut digits[..12]);
    let count = COUNT.get();
    COUNT.set(count.wrapping_add(1));
    hex(count.into(), &mut digits[12..]);
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(given: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        }
        of(&headers).to_str().unwrap().to_owned()
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
