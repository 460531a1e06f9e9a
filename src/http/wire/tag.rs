//! Entity tags, and the conditions that requests put on them (RFC 9110, sections 8.8.3 and 13.1).

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::answer;
use super::answer::Answer;
use super::head::Head;
use super::media;
use super::media::Format;
use super::refusal::{ProblemKind, Refusal};
use hyper::body::Bytes;

/// The entity tag of one representation, with its quotes. It is a hash of the bytes and their form. So it is
/// the same on every server, and no other text and no other form has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntityTag(String);

/// What `If-Match` or `If-None-Match` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `*`: whatever there is.
    Any,
    These(Vec<NamedTag>),
}

/// A tag as a client sent it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedTag {
    weak: bool,
    quoted: String,
}

/// The forms of a pushed text: as it is, or in a document.
const FORMS: [Option<Format>; 3] = [None, Some(Format::Json), Some(Format::MessagePack)];

impl EntityTag {
    pub(crate) fn of(form: Option<Format>, bytes: &[u8]) -> EntityTag {
        let seed = xxh3_64(content_type(form).as_bytes());
        EntityTag(format!("\"{:032x}\"", xxh3_128_with_seed(bytes, seed)))
    }

    /// The tag of a pushed text in the form in which it was pushed.
    pub(crate) fn of_text(text: &str) -> EntityTag {
        EntityTag::of(None, text.as_bytes())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds the tag to an answer.
    pub(crate) fn on(&self, mut answer: Answer) -> Answer {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            answer.headers.push((ETAG, value));
        }
        answer
    }
}

impl Named {
    /// What the header names; `None` if the request does not have it. Several lines are one list.
    ///
    /// # Errors
    /// 400 for anything but `*` alone or a list of tags in quotes.
    pub(crate) fn read(head: &Head, name: &HeaderName) -> Result<Option<Named>, Refusal> {
        if !head.has(name) {
            return Ok(None);
        }
        let mut all = Vec::new();
        for value in head.all(name) {
            if value.trim_ascii() == b"*" && head.all(name).count() == 1 {
                return Ok(Some(Named::Any));
            }
            let read = tags(value, &mut all).filter(|()| !all.is_empty());
            if read.is_none() {
                let what =
                    format!("{name}: expected * or entity tags in their quotes, as an ETag header has them");
                return Err(Refusal::new(ProblemKind::Invalid, what));
            }
        }
        Ok(Some(Named::These(all)))
    }

    /// Whether it names this tag, as a condition on a write has to: weak tags never do.
    pub(crate) fn has_strong(&self, tag: &EntityTag) -> bool {
        match self {
            Named::Any => true,
            Named::These(all) => all.iter().any(|named| !named.weak && named.quoted == tag.0),
        }
    }

    /// Whether it names this tag, weak or not.
    fn has(&self, tag: &EntityTag) -> bool {
        match self {
            Named::Any => true,
            Named::These(all) => all.iter().any(|named| named.quoted == tag.0),
        }
    }

    /// Whether it names the tag of any form of this resource.
    pub(crate) fn has_any_form(&self, form: impl Fn(Option<Format>) -> Bytes) -> bool {
        FORMS.iter().any(|of| self.has_strong(&EntityTag::of(*of, &form(*of))))
    }
}

/// Reads a list of tags; `None` if it is not one. A comma may be part of a tag.
fn tags(text: &[u8], all: &mut Vec<NamedTag>) -> Option<()> {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => return Some(()),
            [b',', after @ ..] => rest = after, // a list may have empty items
            _ => {
                let (weak, after) = rest.strip_prefix(b"W/").map_or((false, rest), |after| (true, after));
                let inside = after.strip_prefix(b"\"")?;
                let end = inside.iter().position(|byte| *byte == b'"')?;
                if !inside[..end].iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
                    return None;
                }
                all.push(NamedTag { weak, quoted: String::from_utf8_lossy(&after[..end + 2]).into_owned() });
                rest = inside[end + 1..].trim_ascii_start();
                if !rest.is_empty() && !rest.starts_with(b",") {
                    return None;
                }
            }
        }
    }
}

fn content_type(form: Option<Format>) -> &'static str {
    form.map_or(media::YAML, Format::content_type)
}

/// Answers a `GET` of a pushed text in the form that the client prefers; `form` makes it.
///
/// # Errors
/// 406 for an unknown form; 412 if `If-Match` names no form of what is there.
pub(crate) fn read_conditionally(
    head: &Head,
    form: impl Fn(Option<Format>) -> Bytes,
) -> Result<Answer, Refusal> {
    let chosen = media::text_or_document(head)?;
    let bytes = form(chosen);
    let tag = EntityTag::of(chosen, &bytes);
    if let Some(named) = Named::read(head, &IF_MATCH)?
        && !named.has_any_form(form)
    {
        return Err(Refusal::new(
            ProblemKind::Precondition,
            "If-Match names none of the tags that this has now",
        ));
    }
    // A condition that cannot be read cannot hold: the client gets the whole answer.
    let known = Named::read(head, &IF_NONE_MATCH).unwrap_or_default();
    let answer = if known.is_some_and(|named| named.has(&tag)) {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        answer::with(StatusCode::OK, content_type(chosen), bytes)
    };
    Ok(answer::varying(tag.on(answer)))
}

/// Refuses the conditions `If-Match` and `If-None-Match` where nothing has a tag.
///
/// # Errors
/// 400 that names the header.
pub(crate) fn no_conditions(head: &Head, instead: &str) -> Result<(), Refusal> {
    match [IF_MATCH, IF_NONE_MATCH].iter().find(|name| head.has(name)) {
        Some(name) => {
            Err(Refusal::new(ProblemKind::Invalid, format!("{name} means nothing here: {instead}")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tags that a header of these lines names, `W/` before weak ones; `None` for what is refused.
    fn named(lines: &[&str]) -> Option<Vec<String>> {
        let lines: String = lines.iter().map(|line| format!("if-match: {line}\r\n")).collect();
        let shown = |tag: NamedTag| format!("{}{}", if tag.weak { "W/" } else { "" }, tag.quoted);
        match Named::read(&Head::with(&lines), &IF_MATCH).ok()? {
            None => Some(Vec::new()),
            Some(Named::Any) => Some(vec!["*".into()]),
            Some(Named::These(all)) => Some(all.into_iter().map(shown).collect()),
        }
    }

    #[test]
    fn lists_of_tags_are_read_as_the_standard_has_them() {
        for (lines, tags) in [
            (&[][..], Some(&[][..])),
            (&["*"], Some(&["*"])),
            (&[" * "], Some(&["*"])),
            (&["\"7\""], Some(&["\"7\""])),
            (&["\"a\", W/\"b\" ,\"c\""], Some(&["\"a\"", "W/\"b\"", "\"c\""])),
            (&["\"a,b\""], Some(&["\"a,b\""])),
            (&["\"a\"", ",\"b\",,"], Some(&["\"a\"", "\"b\""])),
            (&["\"\""], Some(&["\"\""])),
            (&["7"], None),
            (&["\"7"], None),
            (&["w/\"7\""], None),
            (&["\"7\" \"8\""], None),
            (&["\"a b\""], None),
            (&["*, \"7\""], None),
            (&["*", "\"7\""], None),
            (&[","], None),
            (&[""], None),
        ] {
            let expected = tags.map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
            assert_eq!(named(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn each_form_of_a_text_has_a_tag_of_its_own() {
        let tags: std::collections::HashSet<_> = FORMS.map(|form| EntityTag::of(form, b"a").0).into();
        assert_eq!(tags.len(), FORMS.len());
        assert_eq!(EntityTag::of_text("a"), EntityTag::of(None, b"a"));
        assert_ne!(EntityTag::of_text("a"), EntityTag::of_text("b"));
        let these = |weak| Named::These(vec![NamedTag { weak, quoted: EntityTag::of_text("a").0 }]);
        let form = |form: Option<Format>| Bytes::from(if form.is_some() { "{}" } else { "a" });
        assert!(these(false).has_any_form(form) && !these(true).has_any_form(form));
        assert!(
            these(true).has(&EntityTag::of_text("a")) && !these(true).has_strong(&EntityTag::of_text("a"))
        );
    }
}
