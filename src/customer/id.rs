//! The id by which a customer is known.

use std::borrow::Borrow;
use std::fmt;

use compact_str::CompactString;

use crate::input::invisible::{invisible, named};

/// The greatest length of an id in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// The id of a customer: 1 to 64 bytes of UTF-8 that people can see. Two ids that look alike must not be two
/// customers, so there is no space at an end and no invisible character. Up to 24 bytes need no allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId(CompactString);

impl CustomerId {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// A sentence that says what is wrong: empty, longer than [`MAX_ID_BYTES`], a space at an end, or the
    /// character that nobody sees.
    ///
    /// ```
    /// use usher::customer::id::CustomerId;
    /// assert_eq!(CustomerId::new("c-1001").unwrap().as_str(), "c-1001");
    /// assert!(CustomerId::new("").unwrap_err().contains("empty"));
    /// ```
    pub fn new(text: &str) -> Result<CustomerId, String> {
        check(text)?;
        Ok(CustomerId(CompactString::new(text)))
    }

    /// Takes `text` as the id of a customer who may be there already. Earlier releases took spaces at an end
    /// and invisible characters; such customers can still be read and erased.
    ///
    /// # Errors
    /// A sentence: empty, longer than [`MAX_ID_BYTES`], or a control character.
    pub fn known(text: &str) -> Result<CustomerId, String> {
        check_length(text)?;
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(format!("a customer id has no control characters, this one has {}", named(c))),
            None => Ok(CustomerId(CompactString::new(text))),
        }
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many bytes it takes on the heap: none up to 24 bytes.
    pub fn heap_bytes(&self) -> usize {
        if self.0.is_heap_allocated() { self.0.capacity() } else { 0 }
    }
}

/// Checks that `text` may be an id, without making one.
///
/// # Errors
/// As [`CustomerId::new`].
pub fn check(text: &str) -> Result<(), String> {
    check_length(text)?;
    let bytes = text.as_bytes();
    if bytes[0] == b' ' || bytes[bytes.len() - 1] == b' ' {
        return Err("a customer id has no space at an end, this one has".into());
    }
    // Nearly every id has only these characters. To look at all bytes is faster than to stop at the first
    // other one.
    if text.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    invisible(text).map_or(Ok(()), |c| Err(refusal(c)))
}

fn refusal(c: char) -> String {
    format!("a customer id has no characters that nobody sees, this one has {}", named(c))
}

fn check_length(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("a customer id has 1 to {MAX_ID_BYTES} bytes, this one is empty"));
    }
    if text.len() > MAX_ID_BYTES {
        return Err(format!("a customer id has 1 to {MAX_ID_BYTES} bytes, this one has {}", text.len()));
    }
    Ok(())
}

impl Borrow<str> for CustomerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_1_to_64_bytes_that_people_can_see() {
        for (text, expected) in [
            ("c", None),
            (&"x".repeat(64), None),
            ("a b~", None),
            ("客户-1", None),
            ("José", None),
            (&"x".repeat(65), Some("this one has 65")),
            ("", Some("this one is empty")),
            (&"客".repeat(22), Some("this one has 66")),
            ("a\nb", Some("U+000A line feed")),
            ("\u{7f}", Some("U+007F control character")),
            (" c", Some("no space at an end")),
            ("c ", Some("no space at an end")),
            (" ", Some("no space at an end")),
            ("c\u{a0}", Some("U+00A0 no-break space")),
            ("c\u{3000}1", Some("U+3000 ideographic space")),
            ("c\u{200b}1", Some("U+200B zero width space")),
            ("\u{feff}c", Some("U+FEFF byte-order mark")),
            ("c\u{202e}1", Some("U+202E direction of writing")),
            ("客\u{ad}", Some("U+00AD soft hyphen")),
        ] {
            match (CustomerId::new(text), expected) {
                (Ok(_), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{text:?}: {why}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn ids_of_earlier_releases_are_still_known() {
        for (text, good) in
            [("c ", true), ("c\u{200b}", true), ("\u{feff}c", true), ("a\nb", false), ("", false)]
        {
            assert_eq!(CustomerId::known(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn equal_texts_hash_alike_as_id_and_as_str() {
        use std::hash::BuildHasher;
        let hasher = foldhash::fast::FixedState::default();
        let id = CustomerId::new("c-1001").unwrap();
        assert_eq!(hasher.hash_one(&id), hasher.hash_one("c-1001"));
    }
}
