//! How much tests do: few rounds by default, so that they answer soon, and all of them if `USHER_TESTS` is
//! `long`.
//!
//! Tests in `tests/` include this file by its path, so that there is one switch.

/// `all` if `USHER_TESTS=long` is in the environment, `few` if the variable is not there or empty.
///
/// # Panics
/// If the variable holds anything else: a misspelt switch must not pass for a long run.
#[allow(clippy::panic, reason = "only tests call it")]
pub(crate) fn rounds<T>(few: T, all: T) -> T {
    match std::env::var("USHER_TESTS").as_deref() {
        Ok("long") => all,
        Ok("") | Err(std::env::VarError::NotPresent) => few,
        other => panic!("USHER_TESTS: expected `long` or nothing, found {other:?}"),
    }
}
