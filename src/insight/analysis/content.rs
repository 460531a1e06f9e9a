//! What treatments and reasons send to customers: links whose scheme runs code or that nobody declared, and
//! characters that turn a text round or that nobody sees. Both lists say what is allowed; all else is told.

use super::{Analysis, Draft, WarningKind};
use crate::input::cursor::Cursor;
use crate::input::document::InputValue;
use crate::input::invisible::named;
use crate::input::problem::{Problem, Problems};

/// Schemes that every channel opens without running anything. A schema adds its own under `link_schemes`.
const SCHEMES: [&str; 5] = ["https", "http", "mailto", "tel", "sms"];

/// Schemes that run code or open what is inside the link itself, wherever they stand.
const DANGEROUS: [&str; 10] = [
    "javascript",
    "vbscript",
    "livescript",
    "data",
    "file",
    "blob",
    "filesystem",
    "about",
    "jar",
    "view-source",
];

/// Names of fields that hold a link, by their last word: `cta_url`, `deeplink`, `imageSrc`.
const LINKS: [&str; 13] = [
    "link", "url", "uri", "href", "src", "source", "target", "action", "image", "img", "icon", "video",
    "goto",
];

/// The most bytes of one text that are looked at.
const MAX_LOOKED_AT: usize = 64 * 1024;
/// How often character references may be inside each other: `&amp;#58;`.
const MAX_ROUNDS: usize = 3;

impl Analysis<'_> {
    pub(super) fn content(&mut self) {
        let declared = self.engine.schema.link_schemes().to_vec();
        for set in 0..self.sets.len() {
            if !self.is_about(set) {
                continue; // before its text is read
            }
            let found = self.texts[set].root(&|root| of_offers(root, &declared)).unwrap_or_default();
            for problem in found {
                let draft = Draft::new(WarningKind::Content, set, &*problem.detail);
                let draft = Draft { hint: problem.hint.clone(), ..draft };
                self.warn(draft, &[], |_| Some(problem));
            }
        }
    }
}

fn of_offers(root: &Cursor<'_, '_>, declared: &[Box<str>]) -> Vec<Problem> {
    let (mut found, mut ignored) = (Vec::new(), Problems::new());
    let Some(offers) = root.entry("offers") else { return found };
    for (_, offer) in offers.entries(&mut ignored).into_iter().flatten() {
        if let Some(reason) = offer.entry("reason") {
            look(&reason, "", declared, &mut found);
        }
        let Some(treatments) = offer.entry("treatments") else { continue };
        for treatment in treatments.items(&mut ignored).into_iter().flatten() {
            if let Some(content) = treatment.entry("content") {
                look(&content, "", declared, &mut found);
            }
        }
    }
    found
}

/// Looks at all texts of a value; `name` is the field that it stands in.
fn look(cursor: &Cursor<'_, '_>, name: &str, declared: &[Box<str>], found: &mut Vec<Problem>) {
    match &cursor.input.value {
        InputValue::Text(text) => {
            if let Some((detail, hint)) = odd_character(text) {
                found.push(cursor.problem(detail).hint(hint));
            }
            if let Some((detail, hint)) = odd_link(text, is_link(name), declared) {
                found.push(cursor.problem(detail).hint(hint));
            }
        }
        InputValue::List(_) => {
            for item in cursor.items(&mut Problems::new()).into_iter().flatten() {
                look(&item, name, declared, found);
            }
        }
        InputValue::Map(_) => {
            for (key, entry) in cursor.entries(&mut Problems::new()).into_iter().flatten() {
                if let Some((detail, hint)) = odd_character(key) {
                    found.push(entry.key_problem(detail).hint(hint));
                }
                look(&entry, key, declared, found);
            }
        }
        InputValue::Null | InputValue::Bool(_) | InputValue::Int(_) | InputValue::Float(_) => {}
    }
}

/// Whether a field of this name holds a link.
fn is_link(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    LINKS.iter().any(|link| name.ends_with(link))
}

/// The first character that has no place in what a customer reads.
fn odd_character(text: &str) -> Option<(String, String)> {
    let is_rtl = text.chars().any(|c| matches!(c as u32, 0x590..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfefc));
    let c = text.chars().find(|c| !is_allowed(*c, is_rtl))?;
    let what = match c as u32 {
        0x202a..=0x202e | 0x2066..=0x2069 => "it can make a text read otherwise than it is written",
        0xe0000..=0xe0fff | 0x200b | 0x2060..=0x2064 | 0xfeff => "nobody sees it",
        _ => "channels may cut the text there or show something else",
    };
    Some((format!("the text has {}: {what}", named(c)), "take the character out".into()))
}

/// Whether a character may stand in content. Marks of direction and joiners are part of some scripts.
fn is_allowed(c: char, is_rtl: bool) -> bool {
    match c as u32 {
        0x09 | 0x0a | 0x0d => true,
        0x200e | 0x200f | 0x61c => is_rtl,
        0x200c | 0x200d | 0xad | 0xa0 | 0x202f | 0x2000..=0x200a | 0x3000 | 0xfe00..=0xfe0f => true,
        0x202a..=0x202e | 0x2066..=0x206f | 0x200b | 0x2028 | 0x2029 | 0x2060..=0x2065 | 0xfeff => false,
        0xfff0..=0xfffb | 0xfffe | 0xffff | 0xe000..=0xf8ff | 0xe0000..=0xe0fff | 0xf0000.. => false,
        _ => !c.is_control(),
    }
}

/// A link in a text whose scheme is not allowed.
fn odd_link(text: &str, is_link: bool, declared: &[Box<str>]) -> Option<(String, String)> {
    let text = as_browsers_read(text);
    let dangerous = DANGEROUS.iter().find(|scheme| {
        let mut stands =
            text.match_indices(*scheme).filter(|(at, _)| text[at + scheme.len()..].starts_with(':'));
        stands.any(|(at, _)| {
            let begins = at == 0 || text[..at].ends_with(['"', '\'', '=', '(', '`', '>']);
            let whole = is_link && !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
            // In prose, a blank follows the colon: "Data: what we know".
            (begins || whole) && (is_link || !text[at + scheme.len() + 1..].starts_with([' ', '\u{1}']))
        })
    });
    if let Some(scheme) = dangerous {
        let detail = format!("a link `{scheme}:` runs or opens what stands in the link itself");
        return Some((detail, "link to a page: https://…".into()));
    }
    let scheme = text.split(':').next().filter(|scheme| is_scheme(scheme) && scheme.len() < text.len())?;
    let rest = &text[scheme.len() + 1..];
    let is_link = (is_link && !rest.starts_with(' ')) || rest.starts_with("//");
    let known = SCHEMES.contains(&scheme) || declared.iter().any(|other| **other == *scheme);
    if !is_link || known || rest.starts_with(|c: char| c.is_ascii_digit()) && scheme.contains('.') {
        return None; // the last is a host with a port
    }
    let detail = format!("the schema does not know links `{scheme}:`");
    Some((detail, format!("if channels open them, add `{scheme}` to `link_schemes` in the schema")))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// A text as browsers read a link in it: character references resolved, control characters at the beginning
/// and tabs and line ends anywhere dropped, in lower case.
fn as_browsers_read(text: &str) -> String {
    let end = (0..=MAX_LOOKED_AT.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let mut text = text[..end].to_owned();
    for _ in 0..MAX_ROUNDS {
        let read = resolved(&text);
        if read == text {
            break;
        }
        text = read;
    }
    let kept: String =
        text.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r' | '\0' | '\u{ad}' | '\u{200b}')).collect();
    kept.trim_start_matches(|c: char| c <= ' ').to_lowercase()
}

/// A text with its character references resolved: `&#106;`, `&#x6a`, `&colon;`.
fn resolved(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(&rest[1..]) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[1 + length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of the reference with which a text behind `&` begins, and how many bytes it has.
fn reference(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 9] = [
        ("colon;", ':'),
        ("tab;", '\t'),
        ("newline;", '\n'),
        ("amp;", '&'),
        ("quot;", '"'),
        ("apos;", '\''),
        ("lpar;", '('),
        ("equals;", '='),
        ("sol;", '/'),
    ];
    if let Some(digits) = text.strip_prefix('#') {
        let (radix, digits, before) = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => (16, hex, 2),
            None => (10, digits, 1),
        };
        let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let c = char::from_u32(u32::from_str_radix(digits.get(..length)?, radix).ok()?)?;
        let semicolon = usize::from(digits[length..].starts_with(';'));
        return Some((c, before + length + semicolon));
    }
    let named = NAMED
        .iter()
        .find(|(name, _)| text.get(..name.len()).is_some_and(|given| given.eq_ignore_ascii_case(name)));
    named.map(|(name, c)| (*c, name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_run_code_are_seen_however_they_are_written() {
        for (text, in_link, told) in [
            ("javascript:alert(1)", false, true),
            ("JaVaScRiPt:alert(1)", true, true),
            (" \u{1}javascript:alert(1)", true, true),
            ("java\tscript:alert(1)", true, true),
            ("java\nscript:alert(1)", true, true),
            ("&#106;avascript:alert(1)", true, true),
            ("&#x6A;avascript&colon;alert(1)", true, true),
            ("java&Tab;script:alert(1)", true, true),
            ("&amp;#106;avascript:alert(1)", true, true),
            ("&#0000106avascript:x", true, true),
            ("vbscript:msgbox", true, true),
            ("data:text/html,<script>", true, true),
            ("data:text/html;base64,xx", false, true),
            ("<a href=\"javascript:x\">go</a>", false, true),
            ("<a href=javascript:x>go</a>", false, true),
            ("url(javascript:x)", false, true),
            ("javascript://x%0aalert(1)", true, true),
            ("file:///etc/passwd", true, true),
            ("intent://x#Intent;scheme=a;end", true, true),
            ("bank://home", true, false),
            ("otherbank://home", true, true),
            ("otherbank://home", false, true),
            ("otherbank:home", true, true),
            ("https://bank.example/a?b=javascript:x", false, true),
            ("https://bank.example/a", true, false),
            ("HTTPS://bank.example/a", true, false),
            ("mailto:a@bank.example", true, false),
            ("tel:+84123", true, false),
            ("/offers/1", true, false),
            ("home.webp", true, false),
            ("bank.example:8080/x", true, false),
            ("Data: what we know about you", false, false),
            ("JavaScript: a course", false, false),
            ("Note:read this", false, false),
            ("Only today: 5 %", false, false),
            ("A & B &c;", false, false),
        ] {
            let found = odd_link(text, in_link, &["bank".into()]);
            assert_eq!(found.is_some(), told, "{text:?}: {found:?}");
        }
    }

    #[test]
    fn characters_that_turn_or_hide_a_text_are_named() {
        for (text, told) in [
            ("a\0b", Some("U+0000 control character")),
            ("a\u{7}b", Some("U+0007")),
            ("rate \u{202e}% 5", Some("U+202E direction of writing")),
            ("\u{2067}a\u{2069}", Some("U+2067")),
            ("a\u{200b}b", Some("U+200B zero width space")),
            ("\u{feff}a", Some("U+FEFF")),
            ("a\u{200f}b", Some("U+200F")),
            ("שלום\u{200f}", None),
            ("می\u{200c}خواهم", None),
            ("👩\u{200d}👩\u{200d}👧", None),
            ("5\u{a0}%", None),
            ("two\nlines\tand a tab", None),
            ("您好，欢迎", None),
        ] {
            let found = odd_character(text).map(|(detail, _)| detail);
            match told {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{text:?}: {found:?}");
                }
                None => assert_eq!(found, None, "{text:?}"),
            }
        }
    }
}
