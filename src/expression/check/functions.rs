//! Checks functions: how each is written, what it takes and what it gives.

use jiff::tz::TimeZone;

use super::{Check, Mode};
use crate::expression::evaluate::zone;
use crate::expression::pattern::Pattern;
use crate::expression::syntax::Term;
use crate::expression::types::common;
use crate::expression::{Function, MAX_ITEMS, MAX_PATTERNS, Node, TimePart, Type};
use crate::input::problem::Problem;
use crate::schema::value::Value;

/// One way to write a function, with its types.
struct Signature {
    name: &'static str,
    function: Function,
    /// Whether it is written after its first argument: `text.contains(part)`.
    method: bool,
    /// What each argument may be, the target included. The last entry holds for all further arguments.
    takes: &'static [fn(&Type) -> bool],
    least: usize,
    most: usize,
    gives: fn(&[Type]) -> Type,
}

const fn global(
    name: &'static str,
    function: Function,
    takes: &'static [fn(&Type) -> bool],
    gives: fn(&[Type]) -> Type,
) -> Signature {
    Signature { name, function, method: false, takes, least: takes.len(), most: takes.len(), gives }
}

const fn method(
    name: &'static str,
    function: Function,
    takes: &'static [fn(&Type) -> bool],
    gives: fn(&[Type]) -> Type,
) -> Signature {
    Signature { name, function, method: true, takes, least: takes.len(), most: takes.len(), gives }
}

const fn getter(name: &'static str, part: TimePart) -> Signature {
    const TAKES: &[fn(&Type) -> bool] = &[is_moment, Type::is_text];
    method(name, Function::TimePart(part), TAKES, |_| Type::Int).or_less(1)
}

const fn extremum(name: &'static str, function: Function) -> Signature {
    let signature = global(name, function, &[is_number_or_list], most_of);
    Signature { most: MAX_ITEMS, ..signature }
}

impl Signature {
    /// Lets the last arguments be left out.
    const fn or_less(self, least: usize) -> Signature {
        Signature { least, ..self }
    }
}

static SIGNATURES: &[Signature] = &[
    global("size", Function::Size, &[has_size], |_| Type::Int),
    method("size", Function::Size, &[has_size], |_| Type::Int),
    global("type", Function::TypeOf, &[anything], |_| Type::Type),
    // Conversions.
    global("bool", Function::ToBool, &[|t| t.is_text() || *t == Type::Bool], |_| Type::Bool),
    global("int", Function::ToInt, &[|t| t.is_number() || t.is_text() || *t == Type::Time], |_| Type::Int),
    global("uint", Function::ToUInt, &[|t| t.is_number() || t.is_text()], |_| Type::UInt),
    global("double", Function::ToDouble, &[|t| t.is_number() || t.is_text()], |_| Type::Double),
    global("string", Function::ToText, &[has_text_form], |_| Type::Text),
    global("bytes", Function::ToBytes, &[|t| t.is_text() || *t == Type::Bytes], |_| Type::Bytes),
    global("timestamp", Function::ToTime, &[|t| t.is_text() || matches!(t, Type::Int | Type::Time)], |_| {
        Type::Time
    }),
    global("duration", Function::ToDuration, &[|t| t.is_text() || *t == Type::Duration], |_| Type::Duration),
    // Texts.
    method("contains", Function::Contains, &[Type::is_text, Type::is_text], |_| Type::Bool),
    method("startsWith", Function::StartsWith, &[Type::is_text, Type::is_text], |_| Type::Bool),
    method("endsWith", Function::EndsWith, &[Type::is_text, Type::is_text], |_| Type::Bool),
    method("matches", Function::Matches, &[Type::is_text, Type::is_text], |_| Type::Bool),
    global("matches", Function::Matches, &[Type::is_text, Type::is_text], |_| Type::Bool),
    method("lowerAscii", Function::LowerAscii, &[Type::is_text], |_| Type::Text),
    method("upperAscii", Function::UpperAscii, &[Type::is_text], |_| Type::Text),
    method("trim", Function::Trim, &[Type::is_text], |_| Type::Text),
    method("reverse", Function::Reverse, &[Type::is_text], |_| Type::Text),
    global("strings.quote", Function::Quote, &[Type::is_text], |_| Type::Text),
    method("charAt", Function::CharAt, &[Type::is_text, is_int], |_| Type::Text),
    method("indexOf", Function::IndexOf, &[Type::is_text, Type::is_text, is_int], |_| Type::Int).or_less(2),
    method("lastIndexOf", Function::LastIndexOf, &[Type::is_text, Type::is_text, is_int], |_| Type::Int)
        .or_less(2),
    method("substring", Function::Substring, &[Type::is_text, is_int, is_int], |_| Type::Text).or_less(2),
    method("replace", Function::Replace, &[Type::is_text, Type::is_text, Type::is_text, is_int], |_| {
        Type::Text
    })
    .or_less(3),
    method("split", Function::Split, &[Type::is_text, Type::is_text, is_int], |_| Type::list(Type::Text))
        .or_less(2),
    method("join", Function::Join, &[is_list_of_texts, Type::is_text], |_| Type::Text).or_less(1),
    // Times and durations.
    getter("getFullYear", TimePart::FullYear),
    getter("getMonth", TimePart::Month),
    getter("getDate", TimePart::Date),
    getter("getDayOfMonth", TimePart::DayOfMonth),
    getter("getDayOfWeek", TimePart::DayOfWeek),
    getter("getDayOfYear", TimePart::DayOfYear),
    getter("getHours", TimePart::Hours),
    getter("getMinutes", TimePart::Minutes),
    getter("getSeconds", TimePart::Seconds),
    getter("getMilliseconds", TimePart::Milliseconds),
    // Numbers.
    extremum("math.greatest", Function::Greatest),
    extremum("math.least", Function::Least),
    global("math.abs", Function::Abs, &[Type::is_number], same),
    global("math.sign", Function::Sign, &[Type::is_number], same),
    global("math.ceil", Function::Ceil, &[is_double], |_| Type::Double),
    global("math.floor", Function::Floor, &[is_double], |_| Type::Double),
    global("math.round", Function::Round, &[is_double], |_| Type::Double),
    global("math.trunc", Function::Trunc, &[is_double], |_| Type::Double),
    global("math.isFinite", Function::IsFinite, &[is_double], |_| Type::Bool),
    global("math.isInf", Function::IsInf, &[is_double], |_| Type::Bool),
    global("math.isNaN", Function::IsNan, &[is_double], |_| Type::Bool),
    global("math.bitAnd", Function::BitAnd, &[is_whole, is_whole], same),
    global("math.bitOr", Function::BitOr, &[is_whole, is_whole], same),
    global("math.bitXor", Function::BitXor, &[is_whole, is_whole], same),
    global("math.bitNot", Function::BitNot, &[is_whole], same),
    global("math.bitShiftLeft", Function::BitShiftLeft, &[is_whole, is_int], same),
    global("math.bitShiftRight", Function::BitShiftRight, &[is_whole, is_int], same),
];

/// The name of a function, and whether it is written after its first argument.
pub(in crate::expression) fn function_name(function: Function) -> (&'static str, bool) {
    let found = SIGNATURES.iter().find(|signature| signature.function == function);
    found.map_or(("…", false), |signature| (signature.name, signature.method))
}

fn anything(_: &Type) -> bool {
    true
}

fn has_size(kind: &Type) -> bool {
    kind.is_text() || matches!(kind, Type::Bytes | Type::List(_) | Type::Set(_) | Type::Map(_))
}

fn has_text_form(kind: &Type) -> bool {
    !matches!(kind, Type::List(_) | Type::Set(_) | Type::Map(_) | Type::Null | Type::Type)
}

fn is_int(kind: &Type) -> bool {
    *kind == Type::Int
}

fn is_whole(kind: &Type) -> bool {
    matches!(kind, Type::Int | Type::UInt)
}

fn is_double(kind: &Type) -> bool {
    *kind == Type::Double
}

fn is_moment(kind: &Type) -> bool {
    matches!(kind, Type::Time | Type::Duration)
}

fn is_number_or_list(kind: &Type) -> bool {
    let item = if let Type::List(item) = kind { item } else { kind };
    item.is_number() || *item == Type::Any
}

fn is_list_of_texts(kind: &Type) -> bool {
    matches!(kind, Type::List(item) if item.is_text() || **item == Type::Any)
}

fn same(types: &[Type]) -> Type {
    types.first().cloned().unwrap_or(Type::Any)
}

/// The greatest or least of some numbers is one of them.
fn most_of(types: &[Type]) -> Type {
    match types {
        [Type::List(item)] => (**item).clone(),
        types => common(types.iter().cloned()),
    }
}

impl Check<'_> {
    pub(super) fn call(&mut self, name: &str, args: &[Term], method: bool, term: &Term) -> (Node, Type) {
        let (nodes, types): (Vec<Node>, Vec<Type>) = args.iter().map(|arg| self.node(arg)).unzip();
        if let ("dyn", false, [_]) = (name, method, &nodes[..]) {
            return (nodes.into_iter().next().unwrap_or(Node::Constant(Value::Missing)), Type::Any);
        }
        let Some(signature) = SIGNATURES.iter().find(|known| known.name == name && known.method == method)
        else {
            let problem = self.problem(term, format!("there is no function `{name}`"));
            return self.wrong(match self.function_meant(name, args) {
                Some(meant) => problem.hint(meant),
                None => no_function(problem, name),
            });
        };
        if nodes.len() < signature.least || nodes.len() > signature.most {
            return self.refuse(term, arity(signature));
        }
        let last = signature.takes.len() - 1;
        for (i, (kind, arg)) in types.iter().zip(args).enumerate() {
            if *kind != Type::Any && !signature.takes[i.min(last)](kind) {
                let problem = self.problem(arg, format!("`{name}` does not take {}", kind.describe()));
                return self.wrong(match (signature.function, kind, args.get(1)) {
                    (Function::Contains, Type::Set(_) | Type::List(_), Some(part)) => {
                        problem.hint(format!("ask with `{} in {}`", self.text(part), self.text(arg)))
                    }
                    _ => problem,
                });
            }
        }
        if let Some(refused) = self.unlike(signature.function, &types, args) {
            return refused;
        }
        let of_nothing = |node: &Node| matches!(node, Node::Constant(Value::Null | Value::Error(_)));
        let without_attribute = self.attribute_lacks && nodes.iter().any(of_nothing);
        let node = match self.prepared(signature.function, &nodes, args) {
            Ok(prepared) => prepared.unwrap_or_else(|| Node::Call(signature.function, nodes.into())),
            Err(refused) => return refused,
        };
        let node = self.fold(node);
        match &node {
            // `offer.label == null || size(offer.label) > 3` is right for an offer without a label.
            Node::Constant(Value::Error(why)) if self.mode == Mode::Strict && !without_attribute => {
                self.refuse(term, format!("this has no value: {why}"))
            }
            _ => (node, (signature.gives)(&types)),
        }
    }

    /// Refuses arguments that do not fit each other.
    fn unlike(&mut self, function: Function, types: &[Type], args: &[Term]) -> Option<(Node, Type)> {
        match (function, types) {
            (Function::BitAnd | Function::BitOr | Function::BitXor, [a, b])
                if !a.may_equal(b) || (a != b && is_whole(a) && is_whole(b)) =>
            {
                Some(self.refuse(
                    &args[1],
                    format!("this is {}, but the first argument is {}", b.describe(), a.describe()),
                ))
            }
            (Function::Greatest | Function::Least, [_, _, ..]) => {
                let list = types.iter().position(|kind| matches!(kind, Type::List(_)))?;
                Some(self.refuse(&args[list], "give several numbers, or one list of them"))
            }
            (Function::TimePart(_), [Type::Duration, _]) => {
                Some(self.refuse(&args[1], "a duration has no time zone"))
            }
            (
                Function::TimePart(
                    TimePart::FullYear
                    | TimePart::Month
                    | TimePart::Date
                    | TimePart::DayOfMonth
                    | TimePart::DayOfWeek
                    | TimePart::DayOfYear,
                ),
                [Type::Duration],
            ) => Some(self.refuse(&args[0], "a duration has only hours, minutes, seconds and milliseconds")),
            _ => None,
        }
    }

    /// The node of a function that can be prepared: its pattern is compiled, or its time zone looked up.
    fn prepared(
        &mut self,
        function: Function,
        nodes: &[Node],
        args: &[Term],
    ) -> Result<Option<Node>, (Node, Type)> {
        match (function, nodes) {
            (Function::Matches, [text, Node::Constant(Value::Text(pattern))]) => {
                self.patterns += 1;
                if self.patterns > MAX_PATTERNS {
                    let detail = format!("an expression has at most {MAX_PATTERNS} patterns");
                    return Err(self.refuse(&args[1], detail));
                }
                match Pattern::new(pattern) {
                    Ok(pattern) => Ok(Some(Node::Matches(Box::new((text.clone(), pattern))))),
                    Err(why) => Err(self.refuse(&args[1], why)),
                }
            }
            (Function::Matches, _) if self.mode == Mode::Strict => Err(self.refuse(
                &args[1],
                "write the pattern out, so that it can be checked: text.matches('^[0-9]+$')",
            )),
            (Function::TimePart(part), [time]) => {
                Ok(Some(Node::TimePart(part, Box::new((time.clone(), TimeZone::UTC)))))
            }
            (Function::TimePart(part), [time, Node::Constant(Value::Text(name))]) => match zone(name) {
                Some(zone) => Ok(Some(Node::TimePart(part, Box::new((time.clone(), zone))))),
                None => {
                    let problem = self.problem(&args[1], format!("there is no time zone '{name}'"));
                    Err(self.wrong(
                        problem.hint("write a name such as 'Asia/Ho_Chi_Minh' or an offset such as '+07:00'"),
                    ))
                }
            },
            _ => Ok(None),
        }
    }
}

fn arity(signature: &Signature) -> String {
    let given = usize::from(signature.method);
    let (least, most) = (signature.least - given, signature.most - given);
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let name = signature.name;
    match most {
        _ if least == most => format!("`{name}` takes {most} argument{}", plural(most)),
        MAX_ITEMS => format!("`{name}` takes {least} to {MAX_ITEMS} arguments, or a list"),
        _ => format!("`{name}` takes {least} to {most} arguments"),
    }
}

/// Adds the other way to write the function, or the nearest name, as a hint.
fn no_function(problem: Problem, name: &str) -> Problem {
    if let Some(other) = SIGNATURES.iter().find(|known| known.name == name) {
        let target = match other.function {
            Function::TimePart(_) => "time",
            Function::Join => "list",
            _ => "text",
        };
        return problem.hint(match other.method {
            true => format!("write {target}.{name}(…)"),
            false => format!("write {name}(…)"),
        });
    }
    let in_math = format!("math.{name}");
    if SIGNATURES.iter().any(|known| known.name == in_math) {
        return problem.hint(format!("write {in_math}(…)"));
    }
    const MACROS: [&str; 9] =
        ["has", "all", "exists", "exists_one", "filter", "map", "transformList", "transformMap", "dyn"];
    if MACROS.contains(&name) {
        return problem.hint(format!("`{name}` is written after a list, as in `likes.{name}(x, x == 'a')`"));
    }
    problem.nearest(name, SIGNATURES.iter().map(|known| known.name).chain(MACROS))
}
