//! Regular expressions within bounds: time linear in the text and memory under a limit, whatever the pattern.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

use super::{MAX_PATTERN_BYTES, MAX_PATTERN_MEMORY};

/// A compiled regular expression, with its price.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// How many letters and classes of letters it has, with its repetitions written out.
    places: u64,
}

/// The most brackets inside each other in a pattern.
const MAX_PATTERN_BRACKETS: u32 = 32;

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Pattern {
    /// Compiles a pattern, or says why it cannot.
    pub(super) fn new(text: &str) -> Result<Pattern, String> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!(
                "a pattern has at most {MAX_PATTERN_BYTES} bytes, this one has {}",
                text.len()
            ));
        }
        let not_one = |error: &str| {
            let last = error.lines().last().unwrap_or(error);
            format!("not a pattern: {}", last.trim_start_matches("error: "))
        };
        let regex = RegexBuilder::new(text)
            .size_limit(MAX_PATTERN_MEMORY)
            .dfa_size_limit(MAX_PATTERN_MEMORY)
            .nest_limit(MAX_PATTERN_BRACKETS)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => format!(
                    "a compiled pattern takes at most {} KiB, this one takes more: use fewer or smaller repetitions",
                    MAX_PATTERN_MEMORY / 1024
                ),
                error => not_one(&error.to_string()),
            })?;
        let hir = regex_syntax::parse(text).map_err(|error| not_one(&error.to_string()))?;
        Ok(Pattern { regex, places: places(&hir) })
    }

    /// The pattern as it was written.
    pub(super) fn text(&self) -> &str {
        self.regex.as_str()
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The most steps that 16 bytes of text can take. For each byte the matcher may have to gather a set of
    /// places; as measured, that weighs with their square.
    pub(super) fn steps_of_16_bytes(&self) -> u64 {
        1 + self.places.saturating_mul(self.places) / 64
    }
}

fn places(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            places(&repetition.sub).saturating_mul(u64::from(times))
        }
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(0, |all, part| places(part).saturating_add(all))
        }
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
        for (pattern, places) in
            [("", 0), ("^a+(b|cd)?$", 4), ("(x{1,50}){1,40}y", 2_001), (r"\w+@[a-z]{2,}", 4)]
        {
            assert_eq!(Pattern::new(pattern).unwrap().places, places, "{pattern}");
        }
        let catastrophic = Pattern::new("(a+)+$").unwrap();
        assert!(!catastrophic.is_match(&("a".repeat(100_000) + "b")));
    }
}
