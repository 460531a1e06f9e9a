//! `usher eval`: evaluates single conditions and numbers, for experiments and for tests of the language.

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json, json};

use super::ending::{Ending, Failure};
use crate::bundle::read_file;
use crate::customer::row::Row;
use crate::customer::update::{Change, read_fields};
use crate::expression::{Facts, Scope, Syntax, TagMemo};
use crate::input::origin::Origin;
use crate::input::problem::Problems;
use crate::intake::computed::read_schema;
use crate::schema::context::Context;
use crate::schema::value::{Time, Value, duration_text};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, Schema};

/// Evaluate expressions: {"expression", "variables"} on each line of standard input, {"value"} or {"error"}
/// on each line of standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Values: ints, uints and doubles are numbers; NaN, Infinity and -Infinity are texts. Bytes are base64, timestamps are RFC 3339, \
and durations are seconds with an s (90s). Sets are lists, maps are objects with texts as keys, and types are their names. JSON \
does not tell all of them apart, but the language does: [type(x), x].

Example:
  echo '{\"expression\": \"aum >= 500000.0\", \"variables\": {\"aum\": 6e5}}' | usher eval")]
pub(super) struct Args {
    /// A bundle whose schema declares the features. Without it the JSON values decide on types: whole numbers
    /// are ints (uints beyond their range), other numbers doubles, and objects maps
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,

    /// Accept unknown names and wrong types as values without an answer, as CEL does without its checker
    #[arg(long)]
    unchecked: bool,
}

/// The most bytes in a line. A longer one is answered with an error.
const MAX_LINE_BYTES: usize = 1 << 20;

/// One line of input: an expression and the values for it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    expression: String,
    #[serde(default)]
    variables: Map<String, Json>,
}

/// The values for an expression, as features with a schema, or as free variables without one.
struct Given {
    row: Row,
    variables: Vec<(String, Value<'static>)>,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    let schema = match &args.models {
        Some(folder) => {
            let source = read_file(&folder.join("schema.yaml"))?;
            Some(read_schema(&source.name, &source.text)?)
        }
        None => None,
    };
    let mut out = std::io::stdout().lock();
    let mut outcome = Ending::Done;
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    let unreadable = |e: std::io::Error| Failure::new(format!("cannot read standard input: {e}"));
    while read_line(&mut input, &mut line).map_err(unreadable)? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = text_of(&line)
            .and_then(|line| evaluate(line, schema.as_deref(), args.unchecked))
            .unwrap_or_else(|error| {
                outcome = Ending::FoundWrong;
                json!({"error": error})
            });
        writeln!(out, "{answer}").map_err(|e| Failure::new(format!("cannot write: {e}")))?;
    }
    Ok(outcome)
}

/// Reads a line; `false` at the end. Of a line that is too long, it keeps only enough to show that.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    input.take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', line)?;
    if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

fn text_of(line: &[u8]) -> Result<&str, String> {
    if line.trim_ascii_end().len() > MAX_LINE_BYTES {
        return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"));
    }
    std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".into())
}

/// Evaluates a line to `{"value"}`. An expression without an answer is an error, as in CEL.
fn evaluate(line: &str, schema: Option<&Schema>, unchecked: bool) -> Result<Json, String> {
    let line: Line =
        serde_json::from_str(line).map_err(|e| format!("expected {{\"expression\", \"variables\"}}: {e}"))?;
    let given = match schema {
        Some(schema) => Given { row: row_of(&line.variables, schema)?, variables: Vec::new() },
        None => Given { row: Row::new(), variables: variables_of(&line.variables)? },
    };
    let empty = Schema::empty();
    let schema = schema.unwrap_or(&empty);
    let problems = |problems: Problems| problems.to_string().trim_end().to_owned();
    let syntax = Syntax::parse(&line.expression, Origin::default()).map_err(problems)?;
    let scope = Scope { variables: &given.variables, ..Scope::of(schema) };
    let checked = if unchecked { scope.unchecked(&syntax) } else { scope.any(&syntax) };
    let expression = checked.map_err(problems)?;
    let values: Vec<Value<'_>> = given.variables.iter().map(|(_, value)| value.clone()).collect();
    let facts = Facts {
        schema,
        vector: FeatureVector::new(&given.row),
        customer: None,
        context: &Context::default(),
        channel: ChannelId(0),
        now: Time(jiff::Timestamp::now().as_microsecond()),
        tags: &[],
        memo: &TagMemo::new(0),
        variables: &values,
    };
    match expression.evaluate(&facts) {
        Value::Missing => Err("no answer: a value is missing".into()),
        Value::Error(why) => Err(format!("no answer: {why}")),
        value => Ok(json!({"value": json_of(&value)})),
    }
}

/// A row of features, by the schema's kinds. `null` is an unknown feature.
fn row_of(given: &Map<String, Json>, schema: &Schema) -> Result<Row, String> {
    let text = Json::Object(given.clone()).to_string();
    let input =
        crate::input::document::Input::from_json(text.as_bytes()).map_err(|problems| problems.to_string())?;
    let mut problems = Problems::new();
    let root = crate::input::cursor::Cursor::root(&input, None);
    let features = read_fields(&root, schema, None, &mut problems);
    problems.or(()).map_err(|problems| problems.to_string().trim_end().to_owned())?;
    let mut row = Row::new();
    Change::Replace(features).apply(schema, &mut row);
    Ok(row)
}

fn variables_of(given: &Map<String, Json>) -> Result<Vec<(String, Value<'static>)>, String> {
    given
        .iter()
        .map(|(name, json)| Ok((name.clone(), value_of(json).map_err(|why| format!("`{name}` {why}"))?)))
        .collect()
}

/// A JSON value as a value of the language. Whole numbers are ints, or uints beyond their range; others are
/// doubles.
fn value_of(json: &Json) -> Result<Value<'static>, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(i), ..) => Value::Int(i),
            (None, Some(u), _) => Value::UInt(u),
            (None, None, Some(x)) => Value::Double(x),
            (None, None, None) => return Err("is a number out of range".into()),
        },
        Json::String(text) => text_value(text),
        Json::Array(items) => Value::List(items.iter().map(value_of).collect::<Result<Arc<[_]>, _>>()?),
        Json::Object(fields) => {
            let entry = |(key, value): (&String, &Json)| Ok::<_, String>((text_value(key), value_of(value)?));
            Value::Map(fields.iter().map(entry).collect::<Result<Arc<[_]>, _>>()?)
        }
    })
}

fn text_value(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

/// A value as JSON. Times and durations are the texts from which the language reads them.
fn json_of(value: &Value<'_>) -> Json {
    match value {
        Value::Missing | Value::Error(_) | Value::Null => Json::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::UInt(u) => (*u).into(),
        Value::Double(x) => Number::from_f64(*x).map_or_else(|| not_finite(*x).into(), Json::Number),
        Value::Text(text) => text.as_ref().into(),
        Value::Bytes(bytes) => base64(bytes).into(),
        Value::Time(time) => time.to_string().into(),
        Value::Duration(micros) => duration_text(*micros).into(),
        Value::Set(bits, words) => words.of_bits(*bits).collect(),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| (key_of(key), json_of(value))).collect::<Map<_, _>>().into()
        }
        Value::Type(name) => (*name).into(),
    }
}

fn not_finite(x: f64) -> &'static str {
    match x {
        _ if x.is_nan() => "NaN",
        _ if x > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// The key of a map, as a text.
fn key_of(key: &Value<'_>) -> String {
    match json_of(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let place = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= three.len() { char::from(DIGITS[place]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_json_values() {
        for (line, expected) in [
            (r#"{"expression": "a + 1", "variables": {"a": 2}}"#, Ok(json!(3))),
            (r#"{"expression": "a * 2.0", "variables": {"a": 1.5}}"#, Ok(json!(3.0))),
            (
                r#"{"expression": "'x' in a && size(a) == 2", "variables": {"a": ["x", "y"]}}"#,
                Ok(json!(true)),
            ),
            (r#"{"expression": "a == null", "variables": {"a": null}}"#, Ok(json!(true))),
            (r#"{"expression": "m.a + m['b']", "variables": {"m": {"a": 1, "b": 2}}}"#, Ok(json!(3))),
            (
                r#"{"expression": "big - 1u", "variables": {"big": 18446744073709551615}}"#,
                Ok(json!(u64::MAX - 1)),
            ),
            (
                r#"{"expression": "[b'', b'f', b'fo', b'foo', b'fooba']"}"#,
                Ok(json!(["", "Zg==", "Zm8=", "Zm9v", "Zm9vYmE="])),
            ),
            (
                r#"{"expression": "[0.0 / 0.0, 1.0 / 0.0, -1.0 / 0.0]"}"#,
                Ok(json!(["NaN", "Infinity", "-Infinity"])),
            ),
            (
                r#"{"expression": "{1: duration('90m'), true: type(1u)}"}"#,
                Ok(json!({"1": "5400s", "true": "uint"})),
            ),
            (r#"{"expression": "1 / 0"}"#, Err("zero")),
            (r#"{"expression": "agee", "variables": {"age": 2}}"#, Err("agee")),
            (r#"{"expression": "1 +"}"#, Err("")),
            (r#"{"expresion": "1"}"#, Err("unknown field")),
            ("nonsense", Err("expected {\"expression\"")),
        ] {
            match (evaluate(line, None, false), expected) {
                (Ok(answer), Ok(value)) => assert_eq!(answer["value"], value, "{line}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{line}: {error}"),
                (answer, _) => panic!("{line}: {answer:?}"),
            }
        }
    }

    #[test]
    fn a_schema_gives_the_types() {
        let schema =
            Schema::parse("s", "schema: s\nfeatures:\n  aum: {kind: decimal, scale: 2}\n  age: {kind: int}")
                .unwrap();
        let value = |line| evaluate(line, Some(&schema), false).map(|answer| answer["value"].clone());
        assert_eq!(
            value(r#"{"expression": "aum >= 500000", "variables": {"aum": 600000}}"#),
            Ok(json!(true))
        );
        assert!(value(r#"{"expression": "age > 1", "variables": {}}"#).unwrap_err().contains("missing"));
        assert!(
            value(r#"{"expression": "1", "variables": {"agee": 1}}"#)
                .unwrap_err()
                .contains("did you mean `age`?")
        );
    }
}
