//! The id by which a customer is known.

use std::borrow::Borrow;
use std::fmt;

use compact_str::CompactString;

/// The greatest length of an id in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// The id of a customer: 1 to 64 bytes of UTF-8 without control characters. Up to 24 bytes need no
/// allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomerId(CompactString);

impl CustomerId {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// A sentence that says what is wrong: empty, longer than [`MAX_ID_BYTES`], or a control character.
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
    if text.is_empty() {
        return Err(format!("a customer id has 1 to {MAX_ID_BYTES} bytes, this one is empty"));
    }
    if text.len() > MAX_ID_BYTES {
        return Err(format!("a customer id has 1 to {MAX_ID_BYTES} bytes, this one has {}", text.len()));
    }
    // Nearly every id has only these characters. To look at all bytes is faster than to stop at the first
    // other one.
    if text.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte)) {
        return Ok(());
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("a customer id has no control characters, this one has {c:?}")),
        None => Ok(()),
    }
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
    fn ids_have_1_to_64_bytes_and_no_control_characters() {
        for (text, good) in [
            ("c", true),
            (&"x".repeat(64), true),
            (&"x".repeat(65), false),
            ("", false),
            ("a\nb", false),
            ("\u{7f}", false),
            ("a b~", true),
            ("客户-1", true),
            (&"客".repeat(22), false), // 66 bytes
        ] {
            assert_eq!(CustomerId::new(text).is_ok(), good, "{text:?}");
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
