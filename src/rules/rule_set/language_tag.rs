//! A language tag, as a treatment or a request names it.

use std::fmt;

use super::cldr::{CLDR, Subtags, packed};

/// A language with what may narrow it, in the one spelling by which tags are compared: usual codes, lower
/// case, POSIX parts left off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LanguageTag {
    pub(super) subtags: Subtags,
    /// Variants and extensions, or all of a tag that does not begin with a language.
    pub(super) rest: Box<str>,
}

impl LanguageTag {
    /// The most bytes of a tag that are read.
    const MAX_BYTES: usize = 64;
    /// The most parts of a tag besides language, script and region that are read: each may be left off, so
    /// each makes a look-up longer.
    const MAX_REST: usize = 4;

    /// Reads `zh-Hant-TW`, `zh_tw`, `en_US.UTF-8`, `sr_RS@latin`, or Java's `zh_TW_#Hant`. What follows
    /// something odd is not read. `None` if there is no language.
    pub(super) fn read(text: &str) -> Option<LanguageTag> {
        let text = text.trim();
        let text = text.get(..Self::MAX_BYTES).unwrap_or(text);
        let (text, modifier) = text.split_once('@').unwrap_or((text, ""));
        let text = text.split('.').next()?;
        let mut parts = text.split(['-', '_']).map(|part| part.strip_prefix('#').unwrap_or(part));
        let first = parts.next()?;
        let is_language = (1..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
        if !is_language || NO_LANGUAGE.iter().any(|name| first.eq_ignore_ascii_case(name)) {
            return None;
        }
        let mut tag = LanguageTag { subtags: Subtags::default(), rest: "".into() };
        let mut rest = String::new();
        match first.len() {
            2 | 3 => tag.subtags.language = packed(first),
            _ => rest.push_str(&first.to_ascii_lowercase()),
        }
        for part in parts.filter(|part| !part.is_empty()) {
            if part.len() > 8 || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
                break;
            }
            if !rest.is_empty() || !tag.subtags.take(part) {
                if rest.split('-').count() == Self::MAX_REST {
                    break;
                }
                rest.extend((!rest.is_empty()).then_some('-'));
                rest.push_str(&part.to_ascii_lowercase());
            }
        }
        tag.rest = rest.into();
        tag.subtags.usual(modifier);
        Some(tag)
    }

    /// A tag that no language is read from, compared as it is written.
    pub(super) fn verbatim(text: &str) -> LanguageTag {
        LanguageTag { subtags: Subtags::default(), rest: text.into() }
    }

    /// The tag in the case in which people write it: `zh-Hant-TW`.
    pub(super) fn usually_written(&self) -> String {
        let text = self.to_string();
        let part = |(i, part): (usize, &str)| match part.len() {
            2 if i > 0 => part.to_ascii_uppercase(),
            4 if i > 0 => part[..1].to_ascii_uppercase() + &part[1..],
            _ => part.to_owned(),
        };
        text.split('-').enumerate().map(part).collect::<Vec<_>>().join("-")
    }

    /// Gives `each` the tags that serve a request for this one, the best first.
    pub(super) fn wider(&self, mut each: impl FnMut(LanguageTag)) {
        each(self.clone());
        let Subtags { language, .. } = self.subtags;
        let mut rest = &*self.rest;
        let left_off = |tag: &str| tag.rfind('-').unwrap_or(0);
        while !rest.is_empty() {
            rest = &rest[..left_off(rest)];
            if rest.len() == 1 || rest.len() - left_off(rest) == 2 {
                rest = &rest[..left_off(rest)]; // it introduces nothing any more (RFC 4647, section 3.4)
            }
            if !rest.is_empty() {
                each(LanguageTag { subtags: self.subtags, rest: rest.into() });
            }
        }
        if language == 0 {
            return;
        }
        let plain = |subtags| LanguageTag { subtags, rest: "".into() };
        each(plain(self.subtags));
        let full = CLDR.filled(self.subtags);
        each(plain(full));
        let without_script = Subtags { script: 0, ..full };
        if CLDR.filled(without_script) == full {
            each(plain(without_script));
        }
        each(plain(Subtags { region: 0, ..full }));
        each(plain(Subtags { language, ..Subtags::default() }));
        if language == packed("nn") {
            each(plain(Subtags { language: packed("nb"), ..Subtags::default() }));
        }
    }
}

impl Subtags {
    /// Takes a part that is a script or a region, if there is none yet. Java writes the region first.
    fn take(&mut self, part: &str) -> bool {
        let letters = part.bytes().all(|b| b.is_ascii_alphabetic());
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        let place = match part.len() {
            4 if letters => &mut self.script,
            2 if letters => &mut self.region,
            3 if digits => &mut self.region,
            // Chinese is named as `zh-cmn` and `zh-yue` as well.
            3 if self.language == packed("zh") && matches!(packed(part), YUE | CMN) => {
                self.language = packed(part);
                return true;
            }
            _ => return false,
        };
        let is_free = *place == 0;
        if is_free {
            *place = packed(part);
        }
        is_free
    }

    /// Brings codes to those that requests use, and takes the script that a POSIX modifier means.
    fn usual(&mut self, modifier: &str) {
        if self.language == packed("sh") {
            *self = Subtags { language: packed("sr"), script: packed("latn"), ..*self };
        }
        self.language = CLDR.usual(self.language);
        if self.region == packed("uk") {
            self.region = packed("gb");
        }
        if self.script == 0 {
            self.script = match modifier {
                "latin" => packed("latn"),
                "cyrillic" => packed("cyrl"),
                "devanagari" => packed("deva"),
                _ => 0,
            };
        }
    }
}

/// What POSIX calls a locale without a language.
pub(super) const NO_LANGUAGE: [&str; 2] = ["c", "posix"];
const CMN: u32 = 0x63_6d_6e;
const YUE: u32 = 0x79_75_65;

impl fmt::Display for LanguageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subtags { language, script, region } = self.subtags;
        let mut first = true;
        for part in [language, script, region].into_iter().filter(|part| *part != 0) {
            let bytes = part.to_be_bytes();
            let text = std::str::from_utf8(&bytes).unwrap_or_default().trim_start_matches('\0');
            write!(f, "{}{text}", if first { "" } else { "-" })?;
            first = false;
        }
        match &*self.rest {
            "" => Ok(()),
            rest => write!(f, "{}{rest}", if first { "" } else { "-" }),
        }
    }
}
