//! Numbers, bit for bit. Whatever the way in, a written number is the double nearest to it; whatever the way
//! out, it reads back as the same double. And a number means the same wherever a condition meets a feature.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
#[path = "../src/testing.rs"]
mod scale;
mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};
use usher::expression::{Facts, Scope, Syntax, TagMemo};
use usher::http;
use usher::input::document::{Input, InputValue};
use usher::input::origin::Origin;
use usher::input::problem::Source;
use usher::node::Node;
use usher::node::define::Define;
use usher::node::startup::Startup;
use usher::schema::context::Context;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;
use usher::schema::{ChannelId, Kind, RowPlace, Schema};

use self::scale::rounds;
use self::support::{Running, block_on, settings};

const EDGES: [f64; 20] = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    2.225_073_858_507_201e-308,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    f64::EPSILON,
    0.1,
    0.7,
    0.3,
    19.99,
    9_007_199_254_740_991.0,
    9_007_199_254_740_992.0,
    9_007_199_254_740_994.0,
    9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
    1e22,
    1e23,
];

/// Any finite double; or one that was computed, as most numbers of banks are.
fn double(rng: &mut Rng) -> f64 {
    loop {
        let x = match rng.u8(0..5) {
            0 => EDGES[rng.usize(0..EDGES.len())],
            1 => rng.f64() * 100.0,
            2 => rng.f64() / rng.f64(),
            3 => rng.i64(-1_000_000_000..1_000_000_000) as f64 / 1e4 * 1.1,
            _ => f64::from_bits(rng.u64(..)),
        };
        if x.is_finite() {
            return x;
        }
    }
}

/// One of the ways to write a double so that it reads back. Some have an exponent, some all their digits.
fn spelled(x: f64, rng: &mut Rng) -> String {
    match rng.u8(0..4) {
        0 => format!("{x:?}"),
        1 => format!("{x:E}"),
        2 => format!("{x:.16e}"),
        _ if x == 0.0 => format!("{x:?}"), // "-0" is a whole number in YAML
        _ => x.to_string(),
    }
}

fn items<'a>(input: &'a Input<'a>) -> Vec<&'a InputValue<'a>> {
    match &input.value {
        InputValue::List(items) => items.iter().map(|item| &item.value).collect(),
        _ => Vec::new(),
    }
}

fn bits(value: &Value<'_>) -> u64 {
    value.number().unwrap().to_bits()
}

#[test]
fn every_format_reads_the_double_that_was_written() {
    let schema = Schema::parse("s", "schema: s\nfeatures: {x: {kind: float, precision: double}}").unwrap();
    let kind = &schema.features()[0].kind;
    let mut rng = Rng::with_seed(12);
    for _ in 0..rounds(20, 5_000) {
        let doubles: Vec<f64> = (0..200).map(|_| double(&mut rng)).collect();
        let texts: Vec<String> = doubles.iter().map(|x| spelled(*x, &mut rng)).collect();
        let list = format!("[{}]", texts.join(", "));
        let source = Arc::new(Source { name: "t".into(), text: list.clone() });
        let packed = rmp_serde::to_vec(&doubles).unwrap();
        let (json, yaml, msgpack) = (
            Input::from_json(list.as_bytes()).unwrap(),
            Input::from_yaml(&source).unwrap(),
            Input::from_msgpack(&packed).unwrap(),
        );
        for (format, input) in [("JSON", &json), ("YAML", &yaml), ("MessagePack", &msgpack)] {
            let items = items(input);
            assert_eq!(items.len(), doubles.len());
            for ((x, text), item) in doubles.iter().zip(&texts).zip(items) {
                let value = kind.read(item, &TimeZone::UTC).unwrap();
                assert_eq!(bits(&value), x.to_bits(), "{format}: {text} is {x:?}, read as {value}");
                assert_eq!(bits(&kind.decode(kind.encode(&value))), x.to_bits(), "stored: {text}");
            }
        }
        for (x, text) in doubles.iter().zip(&texts) {
            assert_eq!(bits(&kind.read_text(text, &TimeZone::UTC).unwrap()), x.to_bits(), "CSV: {text}");
            // A condition's numbers have no sign of their own: `-` is an operator.
            let literal = format!("{:e}", x.abs());
            let literal = if literal.contains('.') { literal } else { literal.replace('e', ".0e") };
            let syntax = Syntax::parse(&literal, Origin::default()).unwrap();
            let expression = Scope::of(&schema).any(&syntax).unwrap();
            assert_eq!(
                bits(&evaluated(&schema, &expression, &[])),
                x.abs().to_bits(),
                "condition: {literal}"
            );
        }
    }
}

fn evaluated(schema: &Schema, expression: &usher::expression::Expression, row: &[u64]) -> Value<'static> {
    let (context, memo) = (Context::default(), TagMemo::new(0));
    let facts = Facts {
        schema,
        vector: FeatureVector::new(row),
        customer: None,
        context: &context,
        channel: ChannelId(0),
        now: Time(0),
        tags: &[],
        memo: &memo,
        variables: &[],
    };
    expression.evaluate(&facts).into_owned()
}

const SCHEMA: &str = "schema: numbers
channels: [app]
features:
  exact: {kind: float, precision: double}
  single: {kind: float}
  whole: {kind: int}
  money: {kind: decimal, scale: 2}
  paid: {kind: last, event: payment, property: amount}
events:
  payment: {properties: {amount: {kind: float, precision: double}}}
context:
  amount: {kind: float, precision: double}
";

fn server() -> Running {
    let node = Node::start().unwrap();
    block_on(node.define(Define::Schema { text: SCHEMA.into(), rename: false, if_text: None })).unwrap();
    let text = "rule_set: r\nplacements: {home: {channels: [app], fallback: brand}}\noffers:\n  brand: \
        {treatments: [{placement: home, content: {title: x}}]}\n  exactly: {placements: [home], when: context.amount == exact, \
        treatments: [{placement: home, content: {title: y}}]}\n";
    let publish = Define::Publish { name: "r".into(), text: text.into(), activate: true, if_active: None };
    block_on(node.define(publish)).unwrap_or_else(|e| panic!("{e:?}"));
    let server =
        http::serve("127.0.0.1:0".parse().unwrap(), Startup::done(Arc::clone(&node)), settings()).unwrap();
    Running { node, address: server.address(), server: Some(server) }
}

#[test]
fn a_server_keeps_and_answers_the_double_that_it_was_given() {
    const JSON: &str = "Content-Type: application/json\r\n";
    const MSGPACK: &str = "Content-Type: application/msgpack\r\nAccept: application/msgpack\r\n";
    let running = server();
    let mut rng = Rng::with_seed(13);
    let mut client = running.client();
    let mut ask = |method: &str, path: &str, headers: &str, body: &[u8]| {
        client.request(method, path, headers, body);
        let reply = client.reply_to(method);
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        reply
    };
    for _ in 0..rounds(60, 3_000) {
        let x = double(&mut rng);
        let text = spelled(x, &mut rng);
        let packed = rmp_serde::to_vec_named(&json!({"exact": x})).unwrap();
        let event = format!(r#"{{"type": "payment", "customer": "c", "properties": {{"amount": {text}}}}}"#);
        for (way, method, path, headers, body) in [
            ("JSON", "PUT", "/v1/customers/c", JSON, format!(r#"{{"exact": {text}}}"#).into_bytes()),
            ("MessagePack", "PUT", "/v1/customers/c", MSGPACK, packed),
            (
                "CSV",
                "POST",
                "/v1/customers",
                "Content-Type: text/csv\r\n",
                format!("customer,exact\nc,{text}\n").into_bytes(),
            ),
            (
                "NDJSON",
                "POST",
                "/v1/customers",
                "Content-Type: application/x-ndjson\r\n",
                format!("{{\"customer\": \"c\", \"exact\": {text}}}\n").into_bytes(),
            ),
            ("event", "POST", "/v1/events", JSON, event.into_bytes()),
        ] {
            ask(method, path, headers, &body);
            let name = if way == "event" { "paid" } else { "exact" };
            let answer = ask("GET", "/v1/customers/c", "Accept: application/json\r\n", b"").json();
            let found = answer["features"][name].as_f64().unwrap();
            assert_eq!(found.to_bits(), x.to_bits(), "{way}: {text} is answered as {found:?}");
        }
        let answer = ask("GET", "/v1/customers/c", "Accept: application/msgpack\r\n", b"");
        let answer: Json = rmp_serde::from_slice(&answer.body).unwrap();
        assert_eq!(
            answer["features"]["exact"].as_f64().unwrap().to_bits(),
            x.to_bits(),
            "MessagePack: {text}"
        );
        // The context of a request, in the query and in a body, is the same double as the feature.
        let query = text.replace('+', "%2B");
        let path = format!("/v1/decisions?customer=c&channel=app&placement=home&context.amount={query}");
        let body = format!(
            r#"{{"customer": "c", "channel": "app", "placements": [{{"id": "home"}}], "context": {{"amount": {text}}}}}"#
        );
        for answer in [ask("GET", &path, "", b""), ask("POST", "/v1/decisions", JSON, body.as_bytes())] {
            let offer = &answer.json()["placements"][0]["propositions"][0]["offer"];
            assert_eq!(offer, "exactly", "{text} in the context: {}", answer.text());
        }
    }
}

#[test]
fn whole_numbers_are_exact_to_the_last_digit_or_refused() {
    let schema = Schema::parse("s", SCHEMA).unwrap();
    let kind = |name: &str| &schema.feature(schema.feature_id(name).unwrap()).kind;
    let whole = kind("whole");
    for i in [1_i64 << 60, (1 << 60) + 1, (1 << 53) + 1, i64::MAX, -i64::MAX, 0, -1] {
        let packed = rmp_serde::to_vec(&i).unwrap();
        let source = Arc::new(Source { name: "t".into(), text: i.to_string() });
        for input in [
            Input::from_json(i.to_string().as_bytes()).unwrap(),
            Input::from_yaml(&source).unwrap(),
            Input::from_msgpack(&packed).unwrap(),
        ] {
            assert_eq!(whole.read(&input.value, &TimeZone::UTC), Ok(Value::Int(i)));
        }
        assert_eq!(whole.read_text(&i.to_string(), &TimeZone::UTC), Ok(Value::Int(i)));
        assert_eq!(whole.decode(whole.encode(&Value::Int(i))), Value::Int(i));
    }
    for (text, i) in [("1.0", 1), ("1e3", 1_000), ("-0.0", 0), ("9007199254740991.0", (1 << 53) - 1)] {
        let input = Input::from_json(text.as_bytes()).unwrap();
        assert_eq!(whole.read(&input.value, &TimeZone::UTC), Ok(Value::Int(i)), "{text}");
        assert_eq!(whole.read_text(text, &TimeZone::UTC), Ok(Value::Int(i)), "{text}");
    }
    // From 2^53 on a double may stand for several whole numbers; a text does not.
    let input = Input::from_json(b"9007199254740993.0").unwrap();
    assert!(whole.read(&input.value, &TimeZone::UTC).is_err());
    assert_eq!(whole.read_text("9007199254740993.0", &TimeZone::UTC), Ok(Value::Int((1 << 53) + 1)));
    for text in ["9223372036854775808", "18446744073709551616", "-9223372036854775808", "0.5", "1e19"] {
        let input = Input::from_json(text.as_bytes()).unwrap();
        let refused = whole.read(&input.value, &TimeZone::UTC).unwrap_err();
        assert!(refused.starts_with("expected a whole number from"), "{text}: {refused}");
        assert!(whole.read_text(text, &TimeZone::UTC).is_err(), "{text}");
    }
}

/// Conditions that hold for a feature `f` given as `x`, written with the same `x`, in every operator.
const SAME: [&str; 17] = [
    "f == x",
    "x == f",
    "f >= x && f <= x",
    "!(f < x) && !(f > x) && !(f != x)",
    "f in [x, 1e9]",
    "f in [1, x]",
    "[x, 1e9].exists(v, v == f)",
    "[f].exists(v, v == x)",
    "[f, 1e9].all(v, v == x || v == 1e9)",
    "{'a': x}.a == f",
    "{'a': f}['a'] == x",
    "x in [f, 1e9]",
    "math.least(f, x) == x && math.greatest(f, x) == f",
    "math.least(f, 1e15) == x",
    "(f == null ? 1.0 : f) == x",
    "cel.bind(v, x, v == f && f in [v]) && cel.bind(v, f, v == x && v in [x])",
    "f * 10.0 == x * 10.0 && f + 1.0 == x + 1.0 && -f == -(x) && double(string(f)) == x",
];

#[test]
fn a_number_means_the_same_in_every_operator() {
    let schema = Schema::parse("s", SCHEMA).unwrap();
    let mut rng = Rng::with_seed(14);
    for _ in 0..rounds(60, 6_000) {
        // Six digits are the most that single precision keeps, 15 those of a decimal.
        let (digits, cents) =
            (rng.i32(-999_999..1_000_000), rng.i64(-999_999_999_999_999..1_000_000_000_000_000));
        let long = rng.f64() * 1e6;
        let cents =
            format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        for (name, x) in [
            ("single", format!("{digits}e{}", rng.i32(-30..6))),
            ("exact", format!("{long:?}")),
            ("money", cents),
        ] {
            let id = schema.feature_id(name).unwrap();
            let feature = schema.feature(id);
            let Some(RowPlace::Field(field)) = feature.place() else { panic!() };
            let mut row = vec![0; schema.row_words()];
            let input = Input::from_json(x.as_bytes()).unwrap();
            let value =
                feature.kind.read(&input.value, &TimeZone::UTC).unwrap_or_else(|e| panic!("{name} {x}: {e}"));
            field.write(&mut row, feature.kind.encode(&value));
            let mut written = x.clone();
            if !written.contains(['.', 'e']) {
                written.push_str(".0");
            }
            for condition in SAME {
                let mut text = String::new();
                for word in condition.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
                    let (word, sign) = match word.strip_suffix(|c: char| !c.is_ascii_alphanumeric()) {
                        Some(bare) => (bare, &word[bare.len()..]),
                        None => (word, ""),
                    };
                    write!(
                        text,
                        "{}{sign}",
                        match word {
                            "x" => &written,
                            "f" => name,
                            other => other,
                        }
                    )
                    .unwrap();
                }
                let syntax = Syntax::parse(&text, Origin::default()).unwrap();
                let expression =
                    Scope::of(&schema).condition(&syntax).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_eq!(
                    evaluated(&schema, &expression, &row),
                    Value::Bool(true),
                    "{name} given as {x}: {text}"
                );
            }
        }
    }
}

#[test]
fn a_long_number_is_rounded_with_the_feature_where_it_is_compared() {
    let schema = Schema::parse("s", SCHEMA).unwrap();
    let (id, mut row) = (schema.feature_id("single").unwrap(), vec![0; schema.row_words()]);
    let Some(RowPlace::Field(field)) = schema.feature(id).place() else { panic!() };
    let mut rng = Rng::with_seed(15);
    for _ in 0..rounds(100, 10_000) {
        let x = rng.f64() * 10_f64.powi(rng.i32(-6..7));
        let kind = Kind::Float { double: false };
        field.write(&mut row, kind.encode(&Value::Double(x)));
        for text in [
            format!("single == {x:?} && single >= {x:?} && single <= {x:?} && {x:?} == single"),
            format!("single in [{x:?}, 0.5] && (single in [0.5] || single != 0.5)"),
            format!("single == (now > timestamp('1999-01-01') ? 1.5 : {x:?})"),
        ] {
            let syntax = Syntax::parse(&text, Origin::default()).unwrap();
            let expression = Scope::of(&schema).condition(&syntax).unwrap();
            assert_eq!(evaluated(&schema, &expression, &row), Value::Bool(true), "{text}");
        }
    }
    field.write(&mut row, Kind::Float { double: false }.encode(&Value::Double(16_777_217.0)));
    let syntax = Syntax::parse("single == 16777217 && single in [16777217]", Origin::default()).unwrap();
    let expression = Scope::of(&schema).condition(&syntax).unwrap();
    assert_eq!(evaluated(&schema, &expression, &row), Value::Bool(true));
}

#[test]
fn decimals_that_a_double_cannot_tell_apart_are_refused() {
    let schema = Schema::parse("s", SCHEMA).unwrap();
    let money = &schema.feature(schema.feature_id("money").unwrap()).kind;
    for (text, good) in [
        ("19.99", true),
        ("9999999999999.99", true),
        ("-9999999999999.99", true),
        ("70000000000000.01", true),  // its neighbours have doubles of their own
        ("90071992547409.91", false), // so has not this one: 90071992547409.90 is the same double
    ] {
        assert_eq!(money.read_text(text, &TimeZone::UTC).is_ok(), good, "{text} in a cell");
        let input = Input::from_json(text.as_bytes()).unwrap();
        assert_eq!(money.read(&input.value, &TimeZone::UTC).is_ok(), good, "{text} in JSON");
    }
    let mut rng = Rng::with_seed(18);
    for _ in 0..rounds(2_000, 500_000) {
        let units = rng.i64(-9_007_199_254_740_992..=9_007_199_254_740_992);
        let text =
            format!("{}{}.{:02}", if units < 0 { "-" } else { "" }, units.abs() / 100, units.abs() % 100);
        let Ok(value) = money.read_text(&text, &TimeZone::UTC) else { continue };
        let input = Input::from_json(text.as_bytes()).unwrap();
        assert_eq!(money.read(&input.value, &TimeZone::UTC).as_ref(), Ok(&value), "{text}");
        assert_eq!(money.decode(money.encode(&value)), value, "{text} is kept as another number");
        assert_eq!(bits(&value), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    let bound = "schema: s\nfeatures: {rate: {kind: decimal, scale: 2, min: 0.29, max: 1.15}}";
    assert!(Schema::parse("s", bound).is_ok(), "0.29 × 100 is not 29 in doubles");
}

#[test]
fn eval_reads_what_was_written() {
    let mut rng = Rng::with_seed(16);
    let doubles: Vec<f64> = (0..rounds(200, 20_000)).map(|_| double(&mut rng)).collect();
    let texts: Vec<String> = doubles.iter().map(|x| spelled(*x, &mut rng)).collect();
    let lines: String = texts
        .iter()
        .map(|text| format!("{{\"expression\": \"double(x)\", \"variables\": {{\"x\": {text}}}}}\n"))
        .collect();
    let run = cli_support::run_command(cli_support::program(&["eval"]), lines.as_bytes()).ended(0);
    assert_eq!(run.out.lines().count(), doubles.len());
    for ((x, text), line) in doubles.iter().zip(&texts).zip(run.out.lines()) {
        let found: Json = serde_json::from_str(line).unwrap();
        assert_eq!(found["value"].as_f64().unwrap().to_bits(), x.to_bits(), "{text}: {line}");
    }
}
