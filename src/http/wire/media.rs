//! The form of a body, and the form that an answer should have.

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::head::{Head, visible};
use super::refusal::{ProblemKind, Refusal};
use crate::input::document::Input;
use crate::input::problem::{Problems, quoted};

/// The two forms of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    MessagePack,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::MessagePack => "application/msgpack",
        }
    }
    /// The type of a refusal. MessagePack has no type of its own for it.
    pub(crate) fn problem_type(self) -> &'static str {
        match self {
            Format::Json => "application/problem+json",
            Format::MessagePack => "application/msgpack",
        }
    }
}

/// A form in which a body can arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    MessagePack,
    Yaml,
    Csv,
    Lines,
}

impl Media {
    /// Reads a body that is one document: MessagePack, or else JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn document(self, bytes: &[u8]) -> Result<Input<'_>, Problems> {
        match self {
            Media::MessagePack => Input::from_msgpack(bytes),
            _ => Input::from_json(bytes),
        }
    }
}

/// The content type of YAML in answers.
pub(crate) const YAML: &str = "application/yaml";
/// The content type of lines of JSON.
pub(crate) const LINES: &str = "application/x-ndjson";
/// The names of MessagePack. The first has been the registered one since 2023.
const MSGPACK: [&str; 3] = ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"];

const NAMES: [(&str, Media); 11] = [
    ("application/json", Media::Json),
    (MSGPACK[0], Media::MessagePack),
    (MSGPACK[1], Media::MessagePack),
    (MSGPACK[2], Media::MessagePack),
    (YAML, Media::Yaml),
    ("text/yaml", Media::Yaml),
    ("application/x-yaml", Media::Yaml),
    ("text/x-yaml", Media::Yaml),
    ("text/csv", Media::Csv),
    (LINES, Media::Lines),
    ("application/ndjson", Media::Lines),
];

/// What a page may send to another server without asking it first. Browsers say so with these types.
const OF_PAGES: [&str; 3] = [FORM, "multipart/form-data", "text/plain"];
const FORM: &str = "application/x-www-form-urlencoded";

/// The form of the body, one of `known`. It must be said: a page of another origin can send what says
/// nothing.
///
/// # Errors
/// 415 with the forms that are supported.
pub(crate) fn of_body(head: &Head, known: &[Media]) -> Result<Media, Refusal> {
    let mut given = head.all(&CONTENT_TYPE);
    let (first, only) = (given.next(), given.next().is_none());
    // Most clients write the name as it stands here.
    let exact = NAMES.iter().find(|(name, media)| first == Some(name.as_bytes()) && known.contains(media));
    if let (Some((_, media)), true) = (exact, only) {
        return Ok(*media);
    }
    let text = first.map(|value| visible(value).unwrap_or("?"));
    let essence = essence(text.unwrap_or_default());
    let found =
        NAMES.iter().find(|(name, media)| essence.eq_ignore_ascii_case(name) && known.contains(media));
    if let (Some((_, media)), true) = (found, only) {
        return Ok(*media);
    }
    let names: Vec<_> =
        NAMES.iter().filter(|(_, media)| known.contains(media)).map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let mut detail = match text {
        None => format!("the Content-Type is missing; supported here: {names}"),
        Some(_) if !only => format!("found more than one Content-Type; supported here: {names}"),
        Some(text) => format!("unsupported Content-Type {}; supported here: {names}", quoted(text)),
    };
    if essence.eq_ignore_ascii_case(FORM) {
        detail.push_str("; curl sends a form by default: add -H 'Content-Type: application/json'");
    }
    let refusal = Refusal::new(ProblemKind::MediaType, detail);
    Err(match HeaderValue::try_from(names) {
        Ok(value) => refusal.header(ACCEPT, value),
        Err(_) => refusal,
    })
}

/// The type without its parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or(text).trim()
}

/// Refuses a write without a body that says it is a form or plain text, for only pages would send that.
///
/// # Errors
/// 415.
pub(crate) fn of_no_body(head: &Head) -> Result<(), Refusal> {
    for value in head.all(&CONTENT_TYPE) {
        let text = visible(value).unwrap_or("?");
        if OF_PAGES.iter().any(|name| essence(text).eq_ignore_ascii_case(name)) {
            let detail =
                format!("this request has no body, and no Content-Type {}: leave both out", quoted(text));
            return Err(Refusal::new(ProblemKind::MediaType, detail));
        }
    }
    Ok(())
}

/// The forms of a document, by the names a client may accept.
const FORMATS: [(&str, Format); 6] = [
    ("application/json", Format::Json),
    (MSGPACK[0], Format::MessagePack),
    (MSGPACK[1], Format::MessagePack),
    (MSGPACK[2], Format::MessagePack),
    ("application/problem+json", Format::Json),
    ("text/json", Format::Json),
];

/// The forms of a pushed text: as it is, or inside a document.
const TEXTS: [(&str, Option<Format>); 8] = [
    (YAML, None),
    ("text/yaml", None),
    ("application/x-yaml", None),
    ("text/plain", None),
    ("application/json", Some(Format::Json)),
    (MSGPACK[0], Some(Format::MessagePack)),
    (MSGPACK[1], Some(Format::MessagePack)),
    (MSGPACK[2], Some(Format::MessagePack)),
];

/// The form of a pushed text: `None` for the text itself, which is the default.
///
/// # Errors
/// 406 if the client accepts none of them.
pub(crate) fn text_or_document(head: &Head) -> Result<Option<Format>, Refusal> {
    choose(head, &TEXTS)
}

/// The form that the client prefers; JSON without a preference.
///
/// # Errors
/// 406 if the client accepts none of them.
pub(crate) fn format(head: &Head) -> Result<Format, Refusal> {
    choose(head, &FORMATS)
}

/// The forms of a stream of documents: lines of JSON, or one value of MessagePack after the other.
const STREAMS: [(&str, Format); 6] = [
    (LINES, Format::Json),
    ("application/ndjson", Format::Json),
    ("application/json", Format::Json),
    (MSGPACK[0], Format::MessagePack),
    (MSGPACK[1], Format::MessagePack),
    (MSGPACK[2], Format::MessagePack),
];

/// The form of a stream that the client prefers; lines of JSON without a preference.
///
/// # Errors
/// 406 if the client accepts none of them.
pub(crate) fn lines(head: &Head) -> Result<Format, Refusal> {
    choose(head, &STREAMS)
}

/// The form of a refusal. It is sent even if the client accepts no form.
pub(crate) fn format_or_json(head: &Head) -> Format {
    format(head).unwrap_or(Format::Json)
}

/// Whether the client prefers metrics as OpenMetrics to the text format that came before. Who does not say
/// gets OpenMetrics. Who takes anything, as people and scripts with curl do, gets the older format, because
/// most tools read it.
pub(crate) fn prefers_open_metrics(head: &Head) -> bool {
    let offered = [("text/plain", false), ("application/openmetrics-text", true)];
    let says = head.all(&ACCEPT).any(|value| !value.is_empty());
    !says || choose(head, &offered).unwrap_or(true)
}

/// The offer that the client prefers, and the first among equals. Without a preference it is the first offer.
///
/// # Errors
/// 406 if the client accepts none of them.
fn choose<T: Copy>(head: &Head, offered: &[(&'static str, T)]) -> Result<T, Refusal> {
    // Most clients say nothing, or name one form.
    let mut values = head.all(&ACCEPT);
    match (values.next(), values.next()) {
        (None, _) => return Ok(offered[0].1),
        (Some(value), None) => {
            if let Some((_, what)) = offered.iter().find(|(name, _)| value == name.as_bytes()) {
                return Ok(*what);
            }
        }
        _ => {}
    }
    let given = head.all(&ACCEPT).map(|value| visible(value).unwrap_or("?").trim());
    // An empty header means the same as none.
    let text = given.filter(|value| !value.is_empty()).collect::<Vec<_>>().join(",");
    if text.is_empty() {
        return Ok(offered[0].1);
    }
    let mut best: Option<(u16, T)> = None;
    for (name, what) in offered {
        let quality = quality(&text, name);
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, *what));
        }
    }
    best.map(|(_, what)| what).ok_or_else(|| {
        let names: Vec<_> = offered.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        Refusal::new(ProblemKind::NotAcceptable, format!("Accept: {text} allows none of {names}"))
    })
}

/// How much `accept` prefers `name`, in thousandths. The most specific range that covers the name counts.
fn quality(accept: &str, name: &str) -> u16 {
    let mut best = (0, 0); // specificity, quality
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let pattern = parts.next().unwrap_or("");
        let specificity = if pattern.eq_ignore_ascii_case(name) {
            3
        } else if pattern == "*/*" {
            1
        } else if pattern
            .strip_suffix("/*")
            .is_some_and(|kind| name.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind)))
        {
            2
        } else {
            continue;
        };
        let q = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let q = q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0));
        if specificity > best.0 {
            best = (specificity, (q * 1000.0) as u16);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: Option<&str>) -> Option<Format> {
        let line = accept.map_or_else(String::new, |accept| format!("accept: {accept}\r\n"));
        format(&Head::with(&line)).ok()
    }

    #[test]
    fn the_client_chooses_the_form_of_the_answer() {
        for (accept, expected) in [
            (None, Some(Format::Json)),
            (Some(""), Some(Format::Json)),
            (Some(" "), Some(Format::Json)),
            (Some("*/*"), Some(Format::Json)),
            (Some("application/*"), Some(Format::Json)),
            (Some("Application/*"), Some(Format::Json)),
            (Some("APPLICATION/MSGPACK"), Some(Format::MessagePack)),
            (Some("application/msgpack"), Some(Format::MessagePack)),
            (Some("application/vnd.msgpack, */*;q=0.1"), Some(Format::MessagePack)),
            (Some("application/json;q=0.5, application/x-msgpack"), Some(Format::MessagePack)),
            (Some("application/json;q=0, */*"), Some(Format::MessagePack)),
            (Some("text/html, */*;q=0.8"), Some(Format::Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }

    fn body(content_types: &[&str]) -> Option<Media> {
        let lines: String = content_types.iter().map(|value| format!("content-type: {value}\r\n")).collect();
        of_body(&Head::with(&lines), &[Media::Json, Media::Yaml]).ok()
    }

    #[test]
    fn the_form_of_a_body_must_be_said_once() {
        for (content_types, expected) in [
            (&["application/json"][..], Some(Media::Json)),
            (&["Application/JSON; charset=utf-8"], Some(Media::Json)),
            (&["text/yaml"], Some(Media::Yaml)),
            (&[], None),
            (&[""], None),
            (&["text/plain"], None),
            (&["text/csv"], None),
            (&["application/json", "application/json"], None),
            (&["application/json, text/plain"], None),
        ] {
            assert_eq!(body(content_types), expected, "{content_types:?}");
        }
    }
}
