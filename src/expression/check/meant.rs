//! What somebody meant who wrote a function of another language, or a value where a condition stands.

use super::Check;
use crate::expression::syntax::{Term, TermKind};
use crate::expression::{Comparison, Type};
use crate::input::problem::Problem;

impl Check<'_> {
    /// What to write for a function that SQL, Excel or Python has and the language has not.
    pub(super) fn function_meant(&self, name: &str, args: &[Term]) -> Option<String> {
        let written: Vec<Box<str>> = args.iter().take(3).map(|arg| self.text(arg)).collect();
        let [first, second, third] = [0, 1, 2].map(|i| written.get(i).map(|text| &**text));
        let first = first.unwrap_or("x");
        Some(match (&*name.to_ascii_lowercase(), second, third) {
            ("not", None, _) => format!("write `!({first})`"),
            ("isnull" | "is_null" | "isempty" | "is_empty" | "isblank" | "missing", None, _) => {
                format!("write `{first} == null`")
            }
            ("isnotnull" | "is_not_null" | "notnull" | "exists" | "defined" | "known", None, _) => {
                format!("write `{first} != null`")
            }
            ("has", _, _) if args.len() != 1 => "write `has(customer.age)`, or `age != null`".into(),
            ("between", Some(least), Some(most)) => {
                format!("write `{first} >= {least} && {first} <= {most}`")
            }
            ("range", Some(_), _) => "write `x >= 18 && x <= 65` for a range".into(),
            ("if" | "iif" | "ifelse" | "decode", Some(yes), Some(no)) => {
                format!("write `{first} ? {yes} : {no}`")
            }
            ("coalesce" | "ifnull" | "isnull" | "nvl", Some(other), _) => {
                format!("write `{first} == null ? {other} : {first}`")
            }
            ("and", Some(second), _) => format!("write `{first} && {second}`"),
            ("or", Some(second), _) => format!("write `{first} || {second}`"),
            ("in", Some(list), _) => format!("write `{first} in {list}`"),
            ("len" | "length" | "count" | "cardinality", None, _) => format!("write `size({first})`"),
            ("any", None, _) => format!("write `size({first}) > 0`"),
            ("lower" | "lcase" | "tolower" | "tolowercase", None, _) => {
                format!("write `{first}.lowerAscii()`")
            }
            ("upper" | "ucase" | "toupper" | "touppercase", None, _) => {
                format!("write `{first}.upperAscii()`")
            }
            ("now" | "today" | "current_date" | "current_timestamp" | "sysdate" | "getdate", None, _) => {
                "write `now`".into()
            }
            ("date" | "datetime" | "to_date", None, _) => format!("write `timestamp({first})`"),
            ("year", None, _) => format!("write `{first}.getFullYear()`"),
            ("abs" | "round" | "ceil" | "floor" | "sign" | "trunc", None, _) => {
                format!("write `math.{name}({first})`")
            }
            ("max" | "greatest", Some(second), _) => format!("write `math.greatest({first}, {second})`"),
            ("min" | "least", Some(second), _) => format!("write `math.least({first}, {second})`"),
            ("datediff", Some(_), _) => "write `now - seen > duration('720h')` for 30 days".into(),
            _ => return None,
        })
    }

    /// Adds what to write instead of a value that is neither true nor false.
    pub(super) fn with_comparison(&self, problem: Problem, term: &Term, kind: &Type) -> Problem {
        let text = self.text(term);
        match (kind, &term.kind) {
            (Type::Text, TermKind::Text(_)) => {
                problem.hint("compare it with something, or write a condition without quotes around it")
            }
            (Type::Int | Type::Double, _) => problem.hint(format!("compare it: `{text} > 0`")),
            (Type::Word(words), _) => {
                let word = words.words().first().map_or("a", |word| word);
                problem.hint(format!("compare it: `{text} == '{word}'`"))
            }
            (Type::Set(words), _) => {
                let word = words.words().first().map_or("a", |word| word);
                problem.hint(format!("ask for a word of it: `'{word}' in {text}`"))
            }
            (Type::Text, _) => problem.hint(format!("compare it: `{text} == 'a'`")),
            (Type::Time, _) => problem.hint(format!("compare it: `now - {text} < duration('720h')`")),
            _ => problem,
        }
    }

    /// Adds what to write for `tier == 'gold' || 'silver'`: the comparison before it, with this value.
    pub(super) fn with_comparison_before(&self, problem: Problem, term: &Term, before: &Term) -> Problem {
        let TermKind::Compare(comparison, sides) = &before.kind else { return problem };
        let literal = matches!(term.kind, TermKind::Text(_) | TermKind::Int(_) | TermKind::Double(_));
        if !literal {
            return problem;
        }
        let (left, sign, right) = (self.text(&sides[0]), comparison.sign(), self.text(term));
        let list = format!("`{left} in [{}, {right}]`", self.text(&sides[1]));
        let or = if *comparison == Comparison::Equal { format!(", or {list}") } else { String::new() };
        problem.hint(format!("write the comparison out: `{left} {sign} {right}`{or}"))
    }

    /// Adds what to write for `'fx' in …` where no list stands.
    pub(super) fn with_list(&self, problem: Problem, item: &Term, list: &Term, kind: &Type) -> Problem {
        let (left, right) = (self.text(item), self.text(list));
        match (&list.kind, kind) {
            (TermKind::Text(name), _) if self.scope.schema.feature_id(name).is_some() => {
                problem.hint(format!("a feature is written without quotes: `{left} in {name}`"))
            }
            (TermKind::Text(_), _) => problem.hint(format!("write values in a list: `{left} in [{right}]`")),
            (_, Type::Word(_) | Type::Int | Type::Double) => {
                problem.hint(format!("compare one value with `==`: `{right} == {left}`"))
            }
            (_, Type::Text) => problem.hint(format!("ask a text with `{right}.contains({left})`")),
            _ => problem,
        }
    }

    /// Adds what to write for a field of a value that has none.
    pub(super) fn with_value_of(&self, problem: Problem, operand: &Term, field: &str) -> Problem {
        let text = self.text(operand);
        match &*field.to_ascii_lowercase() {
            "size" | "length" | "count" | "len" => problem.hint(format!("write `size({text})`")),
            _ => problem
                .hint(format!("write `{text}` alone; a function has brackets, as in `{text}.{field}()`")),
        }
    }
}
