//! What the parser of YAML found wrong, in words for those who wrote the text, with what to do.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use super::rest::place_at;
use crate::input::invisible::meant;
use crate::input::problem::{Place, Problem, Source};

const QUOTE_ALL: &str = "put the whole text in quotes";

/// What is wrong, in our words and with its place.
pub(super) fn told(error: &ScanError, source: &Arc<Source>) -> Problem {
    let place = place_at(*error.marker());
    let (detail, hint) = words(error, source, place);
    let problem = Problem {
        place: Some(place),
        source: Some(Arc::clone(source)),
        ..Problem::new(format!("not valid YAML: {detail}"))
    };
    match look_alike(error, source, place).or_else(|| hint.map(str::to_owned)) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// What is wrong, and what to do about it.
type Words = (&'static str, Option<&'static str>);

fn words(error: &ScanError, source: &Source, place: Place) -> (String, Option<&'static str>) {
    if let ErrorKind::UnexpectedCharacter { character } = error.kind() {
        return unexpected(*character);
    }
    let kind = error.kind();
    let found = of_tabs(kind, line(source, place).contains('\t'));
    match found.or_else(|| of_texts(kind)).or_else(|| of_lines(kind)).or_else(|| of_yaml(kind)) {
        Some((detail, hint)) => (detail.to_owned(), hint),
        None => (error.info(), None),
    }
}

fn of_tabs(kind: &ErrorKind, on_the_line: bool) -> Option<Words> {
    use ErrorKind as K;
    let tab = match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabAtBlockScalarStart
        | K::TabInPlainScalar => true,
        K::ExpectedWhitespace | K::InvalidBlockEntryWhitespace | K::InvalidMappingValueWhitespace => {
            on_the_line
        }
        _ => false,
    };
    tab.then_some(("a tab, where YAML takes only spaces", Some("indent with spaces")))
}

/// Quotes, brackets and escapes.
fn of_texts(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => (
            "text follows a closing quote: what begins with a quote ends at the next one",
            Some("put the whole text in quotes of the other kind, as in \"'gold' in tiers\""),
        ),
        K::UnclosedQuotedScalar => {
            ("a quote is never closed", Some("close it; inside '…' a ' is written twice"))
        }
        K::UnclosedFlowCollection { .. }
        | K::UnexpectedEofFlowSequence
        | K::UnexpectedEofFlowMapping
        | K::UnexpectedEofImplicitFlowMapping => {
            ("a `[` or `{` is never closed", Some("close it, or put a text that begins with it in quotes"))
        }
        K::MisplacedFlowCollectionEnd | K::MismatchedFlowCollectionEnd { .. } => {
            ("a closing bracket without its opening one", Some(QUOTE_ALL))
        }
        K::ExpectedFlowMappingSeparator | K::ExpectedFlowSequenceSeparator => (
            "expected `,` or a closing bracket",
            Some("a text with `,`, `[`, `{` or a quote in it belongs in quotes"),
        ),
        K::UnknownQuotedScalarEscape | K::InvalidQuotedScalarHexEscape | K::InvalidUnicodeEscape => (
            "there is no such escape",
            Some("in \"…\" a backslash is written twice; in '…' it stands for itself"),
        ),
        K::InvalidBlockScalarHeader => (
            "`|` and `>` at the beginning begin a text on lines of its own",
            Some("put the whole text in quotes, or write it on the next lines"),
        ),
        _ => return None,
    })
}

/// Names, values and how lines are indented.
fn of_lines(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::MappingValueNotAllowed | K::MappingKeyNotAllowed | K::InvalidColonPlacement => (
            "a `: ` in the middle of a text, or a line that is indented too far",
            Some("put a text that has `: ` in it in quotes: 'vip ? 1.5 : 1.0'"),
        ),
        K::InvalidIndentation
        | K::ExpectedBlockMappingKey
        | K::ExpectedBlockSequenceEntry
        | K::BlockSequenceEntryNotAllowed
        | K::InvalidQuotedScalarIndent
        | K::InvalidFlowScalarIndent
        | K::InvalidBlockScalarIndent => (
            "this line does not fit those above it",
            Some(
                "give names of one map the same indentation, and put a text that begins with `{`, `[` or a quote \
                 in quotes",
            ),
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey => {
            ("expected `name: value`, found no `: `", Some("write a colon and a space after the name"))
        }
        K::UnexpectedEofBlockMapping | K::UnexpectedEofBlockSequence | K::ExpectedNodeContent => {
            ("expected a value", Some(QUOTE_ALL))
        }
        K::CommentInterceptedScalar => (
            "a comment in the middle of a text that goes on in the next line",
            Some("move the comment, or write the text after `|` on lines of its own"),
        ),
        K::CommentNotSeparated => {
            ("a `#` directly behind a value", Some("put a space before a comment, or the text in quotes"))
        }
        _ => return None,
    })
}

/// What YAML keeps for itself.
fn of_yaml(kind: &ErrorKind) -> Option<Words> {
    use ErrorKind as K;
    Some(match kind {
        K::DirectiveDisallowed => (
            "a line that begins with `%` gives orders to YAML",
            Some("leave it out, or put the text in quotes"),
        ),
        K::UndeclaredTagHandle
        | K::InvalidTagTerminator
        | K::MissingTagUri
        | K::UnclosedVerbatimTag
        | K::InvalidTagEscape
        | K::ExpectedTagBang
        | K::InvalidGlobalTagCharacter => (
            "YAML takes a `!` at the beginning for a tag, which is not part of the text",
            Some("put the whole text in quotes, as in '!vip && age >= 18'"),
        ),
        K::MissingAnchorOrAliasName => {
            ("YAML takes a `&` or `*` at the beginning for an anchor or an alias", Some(QUOTE_ALL))
        }
        K::BomInsideDocument => ("a byte-order mark (U+FEFF) in the middle of the text", Some("take it out")),
        K::RecursionLimitExceeded => ("lists and maps are nested too deep", None),
        _ => return None,
    })
}

fn unexpected(c: char) -> (String, Option<&'static str>) {
    match c {
        '`' => ("a text may not begin with a backtick".into(), Some(QUOTE_ALL)),
        '@' | '%' | '\'' | '"' | ',' | ']' | '}' => {
            (format!("a text may not begin with `{c}`"), Some(QUOTE_ALL))
        }
        c if c.is_control() => (format!("the character U+{:04X} has no place in a text", c as u32), None),
        c => (format!("{c:?} has no place here"), Some(QUOTE_ALL)),
    }
}

/// The line of a place.
fn line(source: &Source, place: Place) -> &str {
    source.text.lines().nth(place.line.saturating_sub(1) as usize).unwrap_or_default()
}

/// A hint about a character that only looks like one of YAML's own, on the line or the one before. In a text
/// such characters are right, so they count only where YAML's own is missing.
fn look_alike(error: &ScanError, source: &Source, place: Place) -> Option<String> {
    use ErrorKind as K;
    let wanted: &[char] = match error.kind() {
        K::SimpleKeyExpected
        | K::InvalidSimpleKey
        | K::InvalidIndentation
        | K::ExpectedBlockMappingKey
        | K::MappingValueNotAllowed => &[':'],
        K::ExpectedFlowMappingSeparator
        | K::ExpectedFlowSequenceSeparator
        | K::UnclosedFlowCollection { .. }
        | K::UnexpectedEofFlowSequence
        | K::UnexpectedEofFlowMapping => &[':', ',', ']', '}'],
        _ => return None,
    };
    let seen = |c: char| meant(c).is_some_and(|meant| wanted.contains(&meant)).then_some(c);
    let found = |place| {
        let line = line(source, place);
        // Behind a colon of YAML's own a text may have any.
        let name = if wanted.len() == 1 { line.split(": ").next().unwrap_or_default() } else { line };
        name.chars().find_map(seen)
    };
    let before = Place { line: place.line.saturating_sub(1).max(1), ..place };
    let c = found(place).or_else(|| found(before))?;
    Some(format!("`{c}` (U+{:04X}) is not `{}`: type it on a Latin keyboard", c as u32, meant(c)?))
}
