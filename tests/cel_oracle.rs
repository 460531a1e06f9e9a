//! A second opinion: random expressions, evaluated here and by the interpreter of the `cel` crate. Both must
//! give the same value, or both must give none.
//!
//! In a few places that interpreter is not what the specification says. The generator leaves those constructs
//! out; `DEVIATIONS` says which and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../src/testing.rs"]
mod testing;

use testing::rounds;
use usher::expression::{Facts, Scope, Syntax, TagMemo};
use usher::input::origin::Origin;
use usher::schema::context::Context;
use usher::schema::value::{Time, Value};
use usher::schema::vector::FeatureVector;
use usher::schema::{ChannelId, Schema};

const SEED: u64 = 20_261_122;

/// Constructs that the generator leaves out because `cel` 0.15 differs from the specification and its
/// conformance suite.
const DEVIATIONS: [(&str, &str); 1] = [(
    "`<` and `>` of computed doubles",
    "it takes comparing with NaN for an error; by the specification it is false",
)];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    UInt,
    Double,
    Text,
    Ints,
    Texts,
}

/// Writes random expressions. Most have the right types; a few do not.
struct Generator {
    random: fastrand::Rng,
    /// Loop variables in scope.
    names: Vec<(String, Kind)>,
    made: usize,
}

impl Generator {
    fn any(&mut self, depth: usize) -> String {
        const KINDS: [Kind; 7] =
            [Kind::Bool, Kind::Int, Kind::UInt, Kind::Double, Kind::Text, Kind::Ints, Kind::Texts];
        let kind = KINDS[self.random.usize(..KINDS.len())];
        self.of(kind, depth)
    }

    fn pick(&mut self, from: &[&str]) -> String {
        from[self.random.usize(..from.len())].to_owned()
    }

    fn of(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.random.u8(..) < 30 {
            return self.leaf(kind);
        }
        match self.random.u8(..) {
            0..=3 => return self.any(depth - 1),
            4..=24 => {
                let condition = self.of(Kind::Bool, depth - 1);
                let (yes, no) = (self.of(kind, depth - 1), self.of(kind, depth - 1));
                return format!("({condition} ? {yes} : {no})");
            }
            _ => {}
        }
        match kind {
            Kind::Bool => self.truth(depth - 1),
            Kind::Int | Kind::UInt | Kind::Double => self.number(kind, depth - 1),
            Kind::Text => self.text(depth - 1),
            Kind::Ints | Kind::Texts => self.list(kind, depth - 1),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let known: Vec<String> =
            self.names.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.clone()).collect();
        if !known.is_empty() && self.random.bool() {
            return known[self.random.usize(..known.len())].clone();
        }
        match kind {
            Kind::Bool => self.pick(&["true", "false", "yes", "no"]),
            Kind::Int => {
                let small = self.random.i32(-9..10).to_string();
                let number =
                    self.pick(&["0", "1", "2", &small, "9223372036854775807", "-9223372036854775808", "i"]);
                if number.starts_with('-') { format!("({number})") } else { number }
            }
            Kind::UInt => self.pick(&["0u", "1u", "7u", "18446744073709551615u", "9223372036854775808u"]),
            Kind::Double => self.pick(&["0.0", "1.5", "(-2.25)", "1e300", "d", "3.0"]),
            Kind::Text => self.pick(&["''", "'a'", "'abc'", "'é€😀'", "s", "'12'", "'-3'"]),
            Kind::Ints => self.pick(&["[]", "[1]", "[3, 1, 2]", "is", "[0, -1, 0]"]),
            Kind::Texts => self.pick(&["['a']", "['', 'abc', 'b']", "ss"]),
        }
    }

    fn number(&mut self, kind: Kind, depth: usize) -> String {
        match (self.random.u8(..12), kind) {
            (0, Kind::Int) => format!("int({})", self.of(Kind::Double, depth)),
            (1, Kind::Int) => format!("int({})", self.of(Kind::UInt, depth)),
            (2, Kind::Int) => format!("int({})", self.of(Kind::Text, depth)),
            (3, Kind::Int) => format!("size({})", self.of(Kind::Ints, depth)),
            (4, Kind::Int) => format!("size({})", self.of(Kind::Text, depth)),
            (5, Kind::Int) => format!("{}[{}]", self.of(Kind::Ints, depth), self.of(Kind::Int, depth)),
            (0, Kind::UInt) => format!("uint({})", self.of(Kind::Int, depth)),
            (0, Kind::Double) => format!("double({})", self.of(Kind::Int, depth)),
            (1, Kind::Double) => format!("double({})", self.of(Kind::UInt, depth)),
            (6, Kind::Int | Kind::Double) => format!("-({})", self.of(kind, depth)),
            _ => {
                let operator = if kind == Kind::Double {
                    self.pick(&["+", "-", "*", "/"])
                } else {
                    self.pick(&["+", "-", "*", "/", "%"])
                };
                format!("({} {operator} {})", self.of(kind, depth), self.of(kind, depth))
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        match self.random.u8(..6) {
            0 => format!("string({})", self.of(Kind::Int, depth)),
            1 => format!("string({})", self.of(Kind::UInt, depth)),
            2 => format!("{}[{}]", self.of(Kind::Texts, depth), self.of(Kind::Int, depth)),
            _ => format!("({} + {})", self.of(Kind::Text, depth), self.of(Kind::Text, depth)),
        }
    }

    fn list(&mut self, kind: Kind, depth: usize) -> String {
        let item = if kind == Kind::Ints { Kind::Int } else { Kind::Text };
        match self.random.u8(..6) {
            0 | 1 => {
                let count = self.random.usize(..4);
                let items: Vec<String> = (0..count).map(|_| self.of(item, depth)).collect();
                format!("[{}]", items.join(", "))
            }
            2 => format!("({} + {})", self.of(kind, depth), self.of(kind, depth)),
            3 => {
                let from = if self.random.bool() { Kind::Ints } else { Kind::Texts };
                self.looped("map", from, item, depth)
            }
            _ => self.looped("filter", kind, Kind::Bool, depth),
        }
    }

    fn looped(&mut self, name: &str, range: Kind, body: Kind, depth: usize) -> String {
        let items = self.of(range, depth);
        let variable = format!("v{}", self.names.len());
        self.names.push((variable.clone(), if range == Kind::Ints { Kind::Int } else { Kind::Text }));
        let body = self.of(body, depth);
        self.names.pop();
        format!("{items}.{name}({variable}, {body})")
    }

    fn truth(&mut self, depth: usize) -> String {
        const KINDS: [Kind; 4] = [Kind::Int, Kind::UInt, Kind::Double, Kind::Text];
        let kind = KINDS[self.random.usize(..KINDS.len())];
        let range = if self.random.bool() { Kind::Ints } else { Kind::Texts };
        match self.random.u8(..12) {
            0 => format!("!({})", self.of(Kind::Bool, depth)),
            1 | 2 => format!("({} && {})", self.of(Kind::Bool, depth), self.of(Kind::Bool, depth)),
            3 | 4 => format!("({} || {})", self.of(Kind::Bool, depth), self.of(Kind::Bool, depth)),
            5 => format!("({} in {})", self.of(Kind::Int, depth), self.of(Kind::Ints, depth)),
            6 => {
                let name = self.pick(&["contains", "startsWith", "endsWith"]);
                format!("{}.{name}({})", self.of(Kind::Text, depth), self.of(Kind::Text, depth))
            }
            7 => {
                let pattern = self.pick(&["^a", "b+", "[0-9]{2}", "(a|b)*c$", ""]);
                format!("{}.matches('{pattern}')", self.of(Kind::Text, depth))
            }
            8 => {
                let name = self.pick(&["all", "exists", "exists_one"]);
                self.looped(&name, range, Kind::Bool, depth)
            }
            9 => format!("({} == {})", self.of(range, depth), self.of(range, depth)),
            10 => format!("({} == {})", self.of(kind, depth), self.of(kind, depth)),
            _ => {
                let depth = if kind == Kind::Double { 0 } else { depth };
                let operator = self.pick(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.of(kind, depth), self.of(kind, depth))
            }
        }
    }

    fn next(&mut self) -> String {
        self.made += 1;
        let depth = 1 + self.made % 4;
        self.any(depth)
    }
}

/// The value as a text that also says its type, or `none` if there is no answer.
fn ours(expression: &str, variables: &[(String, Value<'static>)], schema: &Schema) -> String {
    let scope = Scope { variables, ..Scope::of(schema) };
    let Ok(syntax) = Syntax::parse(expression, Origin::default()) else { return "refused".into() };
    let Ok(checked) = scope.unchecked(&syntax) else { return "refused".into() };
    let values: Vec<Value<'_>> = variables.iter().map(|(_, value)| value.clone()).collect();
    let facts = Facts {
        schema,
        vector: FeatureVector::unknown(),
        customer: None,
        context: &Context::default(),
        channel: ChannelId(0),
        now: Time(0),
        tags: &[],
        memo: &TagMemo::new(0),
        variables: &values,
    };
    show(&checked.evaluate(&facts))
}

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Missing | Value::Error(_) => "none".into(),
        Value::Double(x) => format!("double {}", x + 0.0),
        Value::Int(i) => format!("int {i}"),
        Value::UInt(u) => format!("uint {u}"),
        Value::Text(text) => format!("text {text:?}"),
        Value::List(items) => format!("{:?}", items.iter().map(show).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

fn theirs(expression: &str, context: &cel::Context<'_, '_>) -> String {
    match cel::Program::compile(expression).map(|program| program.execute(context)) {
        Ok(Ok(value)) => show_theirs(&value),
        Ok(Err(_)) => "none".into(),
        Err(_) => "refused".into(),
    }
}

fn show_theirs(value: &cel::Value) -> String {
    match value {
        cel::Value::Float(x) => format!("double {}", x + 0.0),
        cel::Value::Int(i) => format!("int {i}"),
        cel::Value::UInt(u) => format!("uint {u}"),
        cel::Value::String(text) => format!("text {text:?}"),
        cel::Value::List(items) => format!("{:?}", items.iter().map(show_theirs).collect::<Vec<_>>()),
        cel::Value::Bool(b) => b.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn random_expressions_mean_the_same_to_both() {
    let schema = Schema::empty();
    let text = |text: &str| Value::Text(text.to_owned().into());
    let variables = [
        ("i".to_owned(), Value::Int(42)),
        ("d".to_owned(), Value::Double(0.1)),
        ("s".to_owned(), text("bca")),
        ("yes".to_owned(), Value::Bool(true)),
        ("no".to_owned(), Value::Bool(false)),
        ("is".to_owned(), Value::List([5, -7, 42].map(Value::Int).to_vec().into())),
        ("ss".to_owned(), Value::List(vec![text("bca"), text("x")].into())),
    ];
    let mut context = cel::Context::default();
    context.add_variable("i", 42_i64).unwrap();
    context.add_variable("d", 0.1).unwrap();
    context.add_variable("s", "bca").unwrap();
    context.add_variable("yes", true).unwrap();
    context.add_variable("no", false).unwrap();
    context.add_variable("is", vec![5_i64, -7, 42]).unwrap();
    context.add_variable("ss", vec!["bca".to_owned(), "x".to_owned()]).unwrap();
    let mut generator = Generator { random: fastrand::Rng::with_seed(SEED), names: Vec::new(), made: 0 };
    let (mut answered, mut wrong) = (0, Vec::new());
    let cases = rounds(2_000, 20_000);
    for _ in 0..cases {
        let expression = generator.next();
        let (ours, theirs) = (ours(&expression, &variables, &schema), theirs(&expression, &context));
        answered += usize::from(theirs != "none");
        if ours != theirs && !(ours == "refused" && expression.len() > 1_000) {
            wrong.push(format!("{expression}\n    here {ours}, there {theirs}"));
        }
    }
    println!("{cases} expressions, {answered} of them with a value; left out: {DEVIATIONS:?}");
    assert!(answered > cases / 2, "most expressions should have a value, {answered} do");
    wrong.sort_by_key(String::len);
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}
