//! Percent-encoding and query parameters, read strictly.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use smallvec::SmallVec;

use super::refusal::Refusal;
use crate::input::problem::{Problem, Problems, quoted};

/// The most parameters in one query.
const MAX_PARAMETERS: usize = 256;

/// The parameters of a query, in order: name and value.
pub(crate) type QueryParameters<'q> = SmallVec<[(Cow<'q, str>, Cow<'q, str>); 6]>;

/// Decodes percent-encoding.
///
/// # Errors
/// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high << 4 | low) as u8),
            _ => {
                return Err(format!(
                    "{} has a % that is not followed by two hexadecimal digits",
                    quoted(text)
                ));
            }
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err(format!("{} is not UTF-8 when decoded", quoted(text))),
    }
}

/// Splits a query into its parameters. `+` is a space, as in forms.
pub(crate) fn parameters<'q>(query: Option<&'q str>, problems: &mut Problems) -> QueryParameters<'q> {
    let mut rest = query.unwrap_or("");
    let is_encoded = memchr2(b'%', b'+', rest.as_bytes()).is_some();
    let mut found = QueryParameters::new();
    let mut count = 0;
    while !rest.is_empty() {
        let (parameter, others) = split(b'&', rest).unwrap_or((rest, ""));
        rest = others;
        if parameter.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_PARAMETERS {
            problems.push(Problem::new(format!("more than {MAX_PARAMETERS} parameters")));
            break;
        }
        let (name, value) = split(b'=', parameter).unwrap_or((parameter, ""));
        if is_encoded {
            found.extend(decoded(name, value).map_err(|why| problems.push(Problem::new(why))));
        } else {
            found.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        }
    }
    found
}

/// What stands before and behind the first `at`, which is ASCII.
fn split(at: u8, text: &str) -> Option<(&str, &str)> {
    let found = memchr(at, text.as_bytes())?;
    Some((&text[..found], &text[found + 1..]))
}

fn decoded<'q>(name: &'q str, value: &'q str) -> Result<(Cow<'q, str>, Cow<'q, str>), String> {
    Ok((form_decode(name)?, form_decode(value)?))
}

fn form_decode(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains('+') {
        return decode(text);
    }
    decode(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
}

/// A problem with the parameter of this name.
pub(crate) fn problem(name: &str, detail: impl Into<String>) -> Problem {
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    Problem { pointer, ..Problem::new(detail) }
}

/// Reads a query in which each of `known` may appear once.
///
/// # Errors
/// 400 with every unknown, repeated or badly encoded parameter.
pub(crate) fn known<'q, const N: usize>(
    query: Option<&'q str>,
    known: [&'static str; N],
) -> Result<[Option<Cow<'q, str>>; N], Refusal> {
    let mut problems = Problems::new();
    let mut values = [const { None }; N];
    for (name, value) in parameters(query, &mut problems) {
        match known.iter().position(|known| *known == name) {
            None => problems.push(unknown(&name, &known)),
            Some(i) if values[i].is_some() => {
                problems.push(problem(&name, format!("`{name}` is given twice")));
            }
            Some(i) => values[i] = Some(value),
        }
    }
    Ok(problems.or(values)?)
}

/// The problem of a parameter that is not in `known`.
pub(crate) fn unknown(name: &str, known: &[&str]) -> Problem {
    let problem =
        problem(name, format!("unknown parameter {}", quoted(name))).nearest(name, known.iter().copied());
    match problem.hint {
        None if known.is_empty() => problem.hint("this path takes no parameters"),
        None => problem.hint(format!("known here: {}", known.join(", "))),
        Some(_) => problem,
    }
}

/// Reads `true` or `false`; `default` without a value.
pub(crate) fn boolean(name: &str, text: Option<&str>, default: bool, problems: &mut Problems) -> bool {
    match text {
        None => default,
        Some("true") => true,
        Some("false") => false,
        Some(other) => {
            problems.push(problem(name, format!("expected true or false, found {}", quoted(other))));
            default
        }
    }
}

/// Reads a whole number from `min` to `max`.
pub(crate) fn integer(name: &str, text: &str, min: u64, max: u64, problems: &mut Problems) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Some(number),
        _ => {
            let expected = format!("expected a whole number from {min} to {max}, found {}", quoted(text));
            problems.push(problem(name, expected));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_read_strictly() {
        for (text, expected) in [
            ("c-1", Some("c-1")),
            ("a%2Fb%20c", Some("a/b c")),
            ("%e5%ae%a2", Some("客")),
            ("a+b", Some("a+b")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_query_is_cut_at_its_ampersands_and_first_equals_signs() {
        for (query, expected) in [
            (None, &[][..]),
            (Some(""), &[]),
            (Some("&&"), &[]),
            (Some("a"), &[("a", "")]),
            (Some("="), &[("", "")]),
            (Some("a=b&c=d=e&=f&"), &[("a", "b"), ("c", "d=e"), ("", "f")]),
            (Some("a=b+c&%61+=%26%3D&d=e"), &[("a", "b c"), ("a ", "&="), ("d", "e")]),
        ] {
            let mut problems = Problems::new();
            let found = parameters(query, &mut problems);
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, expected, "{query:?}");
            assert!(problems.is_empty(), "{query:?}");
        }
        let many = "a=b&".repeat(MAX_PARAMETERS);
        for (query, expected) in [(many.clone(), true), (format!("{many}a"), false)] {
            let mut problems = Problems::new();
            assert_eq!(parameters(Some(&query), &mut problems).len(), MAX_PARAMETERS);
            assert_eq!(problems.is_empty(), expected);
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_query_is_said() {
        let refusal = known(Some("mode=a&mode=b&moed=c&x=%zz"), ["mode"]).unwrap_err();
        assert!(refusal.detail().starts_with("3 problems"), "{}", refusal.detail());
        assert_eq!(known(Some("mode=a+b&"), ["mode"]).unwrap()[0].as_deref(), Some("a b"));
    }
}
