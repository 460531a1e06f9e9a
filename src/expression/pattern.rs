//! Regular expressions, bounded: time linear in the text, memory under a limit, whatever the pattern.

use regex::{Regex, RegexBuilder};

use super::{MAX_PATTERN_BYTES, MAX_PATTERN_MEMORY};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

/// Brackets of a pattern inside each other at most.
const MAX_PATTERN_BRACKETS: u32 = 32;

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// Compiles a pattern, or says why not.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("a pattern has at most {MAX_PATTERN_BYTES} bytes, this one {}", text.len()));
        }
        RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_MEMORY)
            .dfa_size_limit(MAX_PATTERN_MEMORY)
            .nest_limit(MAX_PATTERN_BRACKETS)
            .build()
            .map(Pattern)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => format!(
                    "a compiled pattern takes at most {} KiB, this one more: fewer or smaller repetitions",
                    MAX_PATTERN_MEMORY / 1024
                ),
                error => {
                    let text = error.to_string();
                    format!(
                        "not a pattern: {}",
                        text.lines().last().unwrap_or(&text).trim_start_matches("error: ")
                    )
                }
            })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The bytes it was written with.
    pub(super) fn written(&self) -> usize {
        self.0.as_str().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded() {
        for (pattern, part) in [
            ("(a{1,1000}){1,1000}".to_owned(), "at most 256 KiB"),
            ("a".repeat(257), "at most 256 bytes"),
            ("(".repeat(40) + &")".repeat(40), "nested"),
            ("(a".to_owned(), "unclosed group"),
            (r"(a)\1".to_owned(), "backreferences are not supported"),
        ] {
            let error = Pattern::new(&pattern).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
        let catastrophic = Pattern::new("(a+)+$").unwrap();
        assert!(!catastrophic.is_match(&("a".repeat(100_000) + "b")));
    }
}
