//! Parsing an expression. This is the only module that knows the `cel` crate: it uses the crate's parser,
//! turns its tree into ours and its messages into plain words.

mod hints;
mod tokens;
mod written;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SourceInfo, operators};

use self::hints::{Foreign, foreign};
pub use self::tokens::reads_the_same;
use super::scan::{Flaw, closings, comment, too_deep};
use super::syntax::{LoopTerm, Syntax, Term, TermKind};
use super::{
    Comparison, LoopKind, MAX_BRACKETS, MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_ITEMS, MAX_NODES, Operator,
};
use crate::input::origin::Origin;
use crate::input::problem::{Problem, Problems};

impl Syntax {
    /// Parses an expression.
    ///
    /// # Errors
    /// Everything that the grammar does not allow, and what is beyond a limit, each problem with its place.
    pub fn parse(text: &str, origin: Origin) -> Result<Syntax, Problems> {
        if text.len() > MAX_EXPRESSION_BYTES {
            let detail = format!(
                "an expression has at most {MAX_EXPRESSION_BYTES} bytes, this one has {}",
                text.len()
            );
            return Err(of_one(origin.problem(text, 0, 1, detail)));
        }
        // Too deep a text must not reach the parser: its tree would be as deep, and dropping that recurses.
        let brackets = closings(text)
            .map_err(|Flaw { start, end, why }| of_one(origin.problem(text, start, end, why)))?;
        if let Some(at) = comment(text).filter(|_| origin.joins_lines(text)) {
            let detail = "a `//` comment goes on to the end, because YAML joins the lines of this text";
            let problem = origin.problem(text, at, at + 2, detail);
            return Err(of_one(problem.hint("leave the comment out, or write the condition after `|`")));
        }
        if let Some(at) = too_deep(text) {
            return Err(of_one(origin.problem(text, at, at + 1, depth_message())));
        }
        // The parser's own macros are off: ours keep the places of what was written.
        let parser = cel::Env::default().with_optional_support(false).parser();
        let parser = parser.max_recursion_depth(MAX_BRACKETS as u16 * 4).enable_ident_escape_syntax(true);
        let (tree, info) = parser.parse_with_source_info(text).map_err(|errors| {
            let first = errors.errors.first().map(|error| (&*error.msg, byte_of(text, error.pos)));
            refused(first, text, &origin)
        })?;
        let mut convert =
            Convert { info: &info, text, origin: &origin, brackets, nodes: 0, problems: Problems::new() };
        let root = convert.term(&tree, 0);
        if convert.nodes > MAX_NODES {
            let detail = format!(
                "an expression has at most {MAX_NODES} values and operators, this one has {}",
                convert.nodes
            );
            return Err(of_one(origin.problem(text, 0, text.len(), detail)));
        }
        let problems = convert.problems;
        problems.or(Syntax { text: text.into(), origin, root })
    }
}

fn of_one(problem: Problem) -> Problems {
    let mut problems = Problems::new();
    problems.push(problem);
    problems
}

fn depth_message() -> String {
    format!(
        "an expression has at most {MAX_BRACKETS} brackets and {MAX_DEPTH} operators inside each other, this one has more"
    )
}

/// The byte at a line and column from 1, which is how the parser gives positions.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    (before + usize::try_from(column - 1).unwrap_or(0)).min(text.len())
}

/// Why the parser refused a text: what in it is of another language, or else the parser's first message.
/// Later messages mostly follow from the first.
fn refused(first: Option<(&str, usize)>, text: &str, origin: &Origin) -> Problems {
    let is_too_deep = first
        .is_some_and(|(told, _)| told.contains("Recursion limit") || told.contains("recovery attempt limit"));
    let mut problems = Problems::new();
    if !is_too_deep {
        for Foreign { start, end, detail, hint, .. } in foreign(text) {
            problems.push(Problem { hint, ..origin.problem(text, start, end, detail) });
        }
    }
    if let (true, Some((told, at))) = (problems.is_empty(), first) {
        problems.push(plain(told, at, text, origin));
    }
    if problems.is_empty() {
        problems.push(origin.problem(text, 0, text.len(), "this is not a condition"));
    }
    problems
}

/// A problem that says in plain words what the parser's message says.
fn plain(message: &str, at: usize, text: &str, origin: &Origin) -> Problem {
    let quoted = |after: &str| {
        let rest = message.split_once(after)?.1.trim_start_matches(": ");
        let inner = rest.strip_prefix('\'')?;
        let end = inner.find("' expecting").or_else(|| inner.rfind('\''))?;
        Some(inner[..end].trim().to_owned())
    };
    if message.contains("Recursion limit") || message.contains("recovery attempt limit") {
        return origin.problem(text, at, at + 1, depth_message());
    }
    if message.starts_with("Incomplete") {
        let what = "a part of this expression is missing";
        return origin.problem(text, 0, text.len(), what).hint("`condition ? value : other` needs all three");
    }
    if message.contains("'<EOF>'") {
        let end = text.trim_end().len();
        let what = "the expression ends where a value was expected";
        return origin.problem(text, end.saturating_sub(1), end, what);
    }
    if message.contains("reserved identifier") {
        let word = text.get(at..).unwrap_or_default();
        let word = &word[..word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len())];
        let problem = origin.problem(text, at, at + word.len().max(1), format!("`{word}` cannot be a name"));
        return problem
            .hint("the language keeps this word for itself; for if write `condition ? value : other`");
    }
    let found = [
        "token recognition error at",
        "extraneous input ",
        "mismatched input ",
        "no viable alternative at input ",
    ];
    match found.iter().find_map(|after| quoted(after)) {
        Some(found) => {
            origin.problem(text, at, at + found.len().max(1), format!("`{found}` was not expected here"))
        }
        None => origin.problem(text, at, at + 1, message.trim_start_matches("Syntax error: ").to_owned()),
    }
}

struct Convert<'a> {
    info: &'a SourceInfo,
    text: &'a str,
    origin: &'a Origin,
    /// Each opening bracket with the bracket that closes it, in order.
    brackets: Vec<(usize, usize)>,
    nodes: usize,
    problems: Problems,
}

impl Convert<'_> {
    fn term(&mut self, tree: &IdedExpr, depth: usize) -> Term {
        self.nodes += 1;
        let (mut start, mut end) = match self.info.offset_for(tree.id) {
            Some((start, stop)) => (start as usize, stop as usize + 1),
            None => (0, self.text.len()),
        };
        end = end.min(self.text.len());
        start = start.min(end);
        let refused = |kind| Term { kind, start, end };
        if depth > MAX_DEPTH + MAX_BRACKETS {
            self.problems.push(self.origin.problem(self.text, start, end, depth_message()));
            return refused(TermKind::Null);
        }
        let kind = match &tree.expr {
            Expr::Literal(literal) => literal_of(literal),
            Expr::Ident(name) => TermKind::Name(name.trim_start_matches('.').to_owned()),
            Expr::Select(select) => {
                let operand = Box::new(self.term(&select.operand, depth + 1));
                end = end.max(self.end_of_name(end, &select.field));
                let field = select.field.clone();
                if select.test { TermKind::Has(operand, field) } else { TermKind::Select(operand, field) }
            }
            Expr::List(list) => {
                end = self.closing(start).map_or(end, |close| close + 1);
                self.list(&list.elements, depth, start, end)
            }
            Expr::Map(map) => {
                end = self.closing(start).map_or(end, |close| close + 1);
                self.map(map, depth, start, end)
            }
            Expr::Call(call) => {
                // The parser's place for a function is its opening bracket.
                if let Some(close) = self.closing(start) {
                    end = close + 1;
                    let before = self.text[..start].trim_end();
                    start = if before.ends_with(&call.func_name) {
                        before.len() - call.func_name.len()
                    } else {
                        start
                    };
                }
                self.call(call, depth, start, end)
            }
            Expr::Struct(_) | Expr::Comprehension(_) => {
                self.refuse(start, end, "protobuf messages are not part of the language here")
            }
            Expr::Unspecified => self.refuse(start, end, "a value was expected"),
        };
        let (first, last) = kind.extent();
        Term { start: start.min(first), end: end.max(last), kind }
    }

    /// The bracket that closes the one at `open`, if one does.
    fn closing(&self, open: usize) -> Option<usize> {
        let found = self.brackets.binary_search_by_key(&open, |(open, _)| *open).ok()?;
        Some(self.brackets[found].1)
    }

    fn list(&mut self, items: &[IdedExpr], depth: usize, start: usize, end: usize) -> TermKind {
        if items.len() > MAX_ITEMS {
            let why = format!("a list has at most {MAX_ITEMS} items, this one has {}", items.len());
            return self.refuse(start, end, &why);
        }
        TermKind::List(items.iter().map(|item| self.term(item, depth + 1)).collect())
    }

    fn map(&mut self, map: &MapExpr, depth: usize, start: usize, end: usize) -> TermKind {
        if map.entries.len() > MAX_ITEMS {
            let why = format!("a map has at most {MAX_ITEMS} entries, this one has {}", map.entries.len());
            return self.refuse(start, end, &why);
        }
        let mut terms = Vec::with_capacity(map.entries.len() * 2);
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                terms.push(self.term(&entry.key, depth + 1));
                terms.push(self.term(&entry.value, depth + 1));
            }
        }
        TermKind::Map(terms)
    }

    /// Where the `.field` with its dot at `from` ends.
    fn end_of_name(&self, from: usize, field: &str) -> usize {
        let rest = self.text.get(from..).unwrap_or("");
        rest.find(field)
            .filter(|gap| rest[..*gap].trim().is_empty())
            .map_or(from, |gap| from + gap + field.len())
    }

    fn refuse(&mut self, start: usize, end: usize, why: &str) -> TermKind {
        self.problems.push(self.origin.problem(self.text, start, end, why));
        TermKind::Null
    }

    fn call(&mut self, call: &CallExpr, depth: usize, start: usize, end: usize) -> TermKind {
        if let Some(kind) = self.expand(call, depth, start, end) {
            return kind;
        }
        let mut args: Vec<Term> = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.term(target, depth + 1));
        }
        for arg in &call.args {
            args.push(self.term(arg, depth + 1));
        }
        let name = call.func_name.as_str();
        if let Some(space) = namespace(call) {
            args.remove(0);
            return self.function(&format!("{space}.{name}"), args, false, start, end);
        }
        if let Some(kind) = chain(name, &mut args) {
            return kind;
        }
        match (name, <[Term; 2]>::try_from(args)) {
            (_, Ok(pair)) if comparison(name).is_some() || operator(name).is_some() => {
                let pair = Box::new(pair);
                match (comparison(name), operator(name)) {
                    (Some(comparison), _) => TermKind::Compare(comparison, pair),
                    (None, Some(operator)) => TermKind::Arithmetic(operator, pair),
                    (None, None) => TermKind::Null,
                }
            }
            (operators::IN, Ok(pair)) => TermKind::In(Box::new(pair)),
            (operators::INDEX, Ok(pair)) => TermKind::Index(Box::new(pair)),
            (_, Ok(pair)) => self.function(name, pair.into(), call.target.is_some(), start, end),
            (_, Err(args)) => match (name, <[Term; 3]>::try_from(args)) {
                (operators::CONDITIONAL, Ok(three)) => TermKind::If(Box::new(three)),
                (_, Ok(three)) => self.function(name, three.into(), call.target.is_some(), start, end),
                (_, Err(mut args)) => match (name, args.len()) {
                    (operators::LOGICAL_NOT, 1) => TermKind::Not(Box::new(args.remove(0))),
                    (operators::NEGATE, 1) => TermKind::Negate(Box::new(args.remove(0))),
                    _ => self.function(name, args, call.target.is_some(), start, end),
                },
            },
        }
    }

    fn function(&mut self, name: &str, args: Vec<Term>, method: bool, start: usize, end: usize) -> TermKind {
        if name.starts_with('_') {
            return self.refuse(start, end, "this operator is not part of conditions");
        }
        TermKind::Call(name.trim_start_matches('@').to_owned(), args, method)
    }
}

impl Convert<'_> {
    /// Turns the macros into terms: `has`, `cel.bind`, and the loops over a range.
    fn expand(&mut self, call: &CallExpr, depth: usize, start: usize, end: usize) -> Option<TermKind> {
        let Some(target) = &call.target else {
            return match (call.func_name.as_str(), &call.args[..]) {
                (operators::HAS, [arg]) => Some(self.has(arg, depth)),
                _ => None,
            };
        };
        if let ("bind", Expr::Ident(cel), [name, value, body]) =
            (call.func_name.as_str(), &target.expr, &call.args[..])
            && cel == "cel"
        {
            return Some(self.bind(name, value, body, depth));
        }
        let (kind, names, rest) = loop_of(&call.func_name, &call.args)?;
        let mut simple = Vec::with_capacity(names.len());
        for name in names {
            match &name.expr {
                Expr::Ident(name) if !name.starts_with('.') => simple.push(name.clone()),
                _ => {
                    let term = self.term(name, depth + 1);
                    let why = "write a name for each item here, as in `list.all(item, item > 0)`";
                    return Some(self.refuse(term.start, term.end, why));
                }
            }
        }
        if let [first, second] = &simple[..]
            && first == second
        {
            return Some(self.refuse(start, end, "the two names of a loop must differ"));
        }
        let range = self.term(target, depth + 1);
        let mut rest: Vec<Term> = rest.iter().map(|term| self.term(term, depth + 1)).collect();
        let body = rest.pop()?;
        Some(TermKind::Loop(Box::new(LoopTerm { kind, range, names: simple, filter: rest.pop(), body })))
    }

    /// `cel.bind(name, value, body)` is `[value].map(name, body)[0]`.
    fn bind(&mut self, name: &IdedExpr, value: &IdedExpr, body: &IdedExpr, depth: usize) -> TermKind {
        let Expr::Ident(name) = &name.expr else {
            let term = self.term(name, depth + 1);
            return self.refuse(term.start, term.end, "write a name here: cel.bind(name, value, expression)");
        };
        let (value, body) = (self.term(value, depth + 3), self.term(body, depth + 2));
        let (start, end) = (value.start, body.end);
        let at = |kind| Term { kind, start, end };
        let range = at(TermKind::List(vec![value]));
        let names = vec![name.clone()];
        let l = LoopTerm { kind: LoopKind::Map, range, names, filter: None, body };
        TermKind::Index(Box::new([at(TermKind::Loop(Box::new(l))), at(TermKind::Int(0))]))
    }

    fn has(&mut self, arg: &IdedExpr, depth: usize) -> TermKind {
        let term = self.term(arg, depth + 1);
        match term.kind {
            TermKind::Select(operand, field) => TermKind::Has(operand, field),
            _ => {
                let why = "has() asks for a field: has(customer.age), has(context.page)";
                let problem = self.origin.problem(self.text, term.start, term.end, why);
                self.problems.push(problem.hint("or compare with null: `age != null`"));
                TermKind::Null
            }
        }
    }
}

fn literal_of(literal: &LiteralValue) -> TermKind {
    match literal {
        LiteralValue::Null => TermKind::Null,
        LiteralValue::Boolean(b) => TermKind::Bool(*b.inner()),
        LiteralValue::Int(i) => TermKind::Int(*i.inner()),
        LiteralValue::UInt(u) => TermKind::UInt(*u.inner()),
        LiteralValue::Double(x) => TermKind::Double(*x.inner()),
        LiteralValue::String(s) => TermKind::Text(s.inner().to_owned()),
        LiteralValue::Bytes(bytes) => TermKind::Bytes(bytes.inner().to_vec()),
    }
}

/// The loop that a macro stands for, the names it binds, and the rest of its arguments: the body, after a
/// filter if there are two.
fn loop_of<'a>(name: &str, args: &'a [IdedExpr]) -> Option<(LoopKind, &'a [IdedExpr], &'a [IdedExpr])> {
    let (kind, bound) = match (name, args.len()) {
        ("all", 2 | 3) => (LoopKind::All, args.len() - 1),
        ("exists", 2 | 3) => (LoopKind::Exists, args.len() - 1),
        ("exists_one" | "existsOne", 2 | 3) => (LoopKind::ExistsOne, args.len() - 1),
        ("filter", 2) => (LoopKind::Filter, 1),
        ("map", 2 | 3) => (LoopKind::Map, 1),
        ("transformList", 3 | 4) => (LoopKind::Map, 2),
        ("transformMap", 3 | 4) => (LoopKind::Entries, 2),
        _ => return None,
    };
    let (names, rest) = args.split_at(bound);
    Some((kind, names, rest))
}

/// What stands before the dot in the name of a function such as `math.greatest`.
fn namespace(call: &CallExpr) -> Option<&str> {
    match &call.target.as_ref()?.expr {
        Expr::Ident(name) if name == "math" || name == "strings" => Some(name),
        _ => None,
    }
}

/// A chain of `&&` or `||`. It takes over the operands of operands with the same operator, so one node has
/// all of them in order.
fn chain(name: &str, args: &mut Vec<Term>) -> Option<TermKind> {
    let and = match name {
        operators::LOGICAL_AND => true,
        operators::LOGICAL_OR => false,
        _ => return None,
    };
    let mut operands = Vec::with_capacity(args.len());
    for arg in args.drain(..) {
        match arg.kind {
            TermKind::And(inner) if and => operands.extend(inner),
            TermKind::Or(inner) if !and => operands.extend(inner),
            _ => operands.push(arg),
        }
    }
    Some(if and { TermKind::And(operands) } else { TermKind::Or(operands) })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Modulo,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::input::cursor::Cursor;
    use crate::input::document::{Input, InputValue};
    use crate::input::problem::Source;

    /// The problems of parsing the scalar at key `when`, as `line:column text-under-caret detail`.
    fn problems(yaml: &str) -> Vec<String> {
        let source = Arc::new(Source { name: "t".into(), text: yaml.into() });
        let input = Input::from_yaml(&source).unwrap();
        let root = Cursor::root(&input, Some(&source));
        let mut none = Problems::new();
        let entries = root.entries(&mut none).unwrap();
        let cursor = &entries.iter().find(|(name, _)| *name == "when").unwrap().1;
        let InputValue::Text(text) = &cursor.input.value else { panic!() };
        let Err(problems) = Syntax::parse(text, Origin::of(cursor)) else { return Vec::new() };
        let show = |p: &Problem| {
            let place = p.place.unwrap();
            let under = &yaml[place.offset as usize..(place.offset + place.length) as usize];
            format!("{}:{} {under:?} {}", place.line, place.column, p.detail)
        };
        problems.iter().map(show).collect()
    }

    #[test]
    fn problems_point_into_plain_quoted_folded_and_block_scalars() {
        for (yaml, expected) in [
            ("when: age = 3\n", "1:11 \"=\" `=` was not expected here"),
            ("when: 'tier == ''a'' & x'\n", "1:22 \"&\" `&` was not expected here"),
            ("when: \"tier == 'a' & x\"\n", "1:20 \"&\" `&` was not expected here"),
            ("when: |\n  age > 3\n    && & x\n", "3:8 \"&\" `&` was not expected here"),
            ("when: >\n  age > 3\n  && & x\n", "3:6 \"&\" `&` was not expected here"),
            ("when: age >\n   3 & x\n", "2:6 \"&\" `&` was not expected here"),
            ("when: age >\n", "1:11 \">\" the expression ends where a value was expected"),
            ("when: \"age > 3 &&\\n agee = 4\"\n", "1:7 \"\\\"age > 3"),
            ("when: has(age)\n", "1:11 \"age\" has() asks for a field"),
            ("when: tier == 'abc\n", "1:15 \"'abc\" this text has no closing quote"),
        ] {
            let found = problems(yaml);
            assert!(found.first().is_some_and(|f| f.starts_with(expected)), "{yaml:?}: {found:?}");
        }
    }

    #[test]
    fn what_is_written_elsewhere_is_one_problem_with_what_to_write() {
        for (text, expected) in [
            ("not vip", "write `!` for not: `!vip`"),
            ("NOT vip && age > 3", "write `!` for not: `!vip`"),
            ("not age > 3 and vip", "write `!` for not: `!(age > 3)`"),
            ("not 'fx' in likes", "write `!` for not: `!('fx' in likes)`"),
            ("vip AND age > 3", "write `&&` for and"),
            ("vip or age > 3", "write `||` for or"),
            ("vip && and age > 3", "leave it out: there is nothing before it that it could join"),
            ("vip xor age > 3", "write `(vip) != (age > 3)`"),
            ("vip unless age > 3", "write `&& !(age > 3)`"),
            ("age <> 3", "write `!=` for unequal"),
            ("age => 3", "write `>=`"),
            ("age =< 3", "write `<=`"),
            ("age ≥ 3", "write `>=`"),
            ("age === 3", "compare with `==`"),
            ("age !== 3", "compare with `!=`"),
            ("age = 3", "compare with `==`"),
            ("age = = 3", "write `==`, without a blank inside"),
            ("age ! = 3", "write `!=`, without a blank inside"),
            ("tier = 'gold'", "compare with `==`"),
            ("age := 3", "a condition sets nothing; compare with `==`"),
            ("age eq 3", "write `age == 3`"),
            ("'fx' not in likes", "write `!('fx' in likes)`"),
            ("tier !in ['a']", "write `!(tier in ['a'])`"),
            ("tier in ('a', 'b')", "write values in a list: `['a', 'b']`"),
            ("age > 1,000", "write numbers with a point and without separators: `18.5`, `1000`"),
            ("age > 1_000", "write numbers without separators"),
            ("age > 1 000", "write numbers without separators"),
            ("age > 10k", "write the number in full: 10000"),
            ("age >= 18%", "write the number alone, as the feature has it: 18, or 0.18"),
            ("aum > $500", "write the number alone, without a currency"),
            ("aum > 500€", "write the number alone, without a currency"),
            ("age between 1 and 2 && vip", "write `age >= 1 && age <= 2`"),
            ("age in 18..65", "write `x >= 18 && x <= 65` for a range"),
            ("age is null", "write `age == null`"),
            ("age is not null", "write `age != null`"),
            ("vip is false", "write `!vip`"),
            ("context.page is 'home'", "write `context.page == 'home'`"),
            ("now - seen < 30d", "write `duration('720h')` for 30 days"),
            ("now - seen < 2 weeks", "write `duration('336h')` for 2 weeks"),
            ("vip ? 1", "`condition ? value : other` needs all three"),
            ("if vip then 1 else 2", "write `condition ? value : other`"),
            ("tier == ‘gold’", "write the text in plain quotes: 'gold'"),
            ("tier == “new gold” && vip", "write the text in plain quotes: 'new gold'"),
            ("tier == `gold`", "write a text in plain quotes: 'gold'"),
            ("tier =~ 'g.*'", "write `tier.matches('g.*')`"),
            ("likes contains 'fx'", "ask a set with `'fx' in likes`, a text with `likes.contains('fx')`"),
            ("${age} > 3", "write the name alone: `age`"),
            ("age > 18 && < 65", "each side of `&&` is a whole condition: write `age < 65`"),
            ("vip || || age > 3", "it stands here twice: leave one out"),
            (
                "age >= 18 vip",
                "an operator is missing before it: `&&` or `||` joins conditions, `==` compares",
            ),
            ("age >= 18, vip", "join conditions with `&&` or `||`"),
            ("age >= 18; vip", "write one condition, whose parts are joined by `&&` or `||`"),
            ("age == 18 # adults", "write a comment above the condition, on a line that begins with `#`"),
            ("(age > 18 && vip", "write the closing bracket"),
            ("age > 18) && vip", "take it out, or write the opening bracket"),
            ("tier in ['a', 'b'", "write the closing bracket"),
        ] {
            let problems = Syntax::parse(text, Origin::default()).unwrap_err();
            let hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.as_deref()).collect();
            assert_eq!(hints.first(), Some(&expected), "{text}: {hints:?}");
            let more = text.matches(" and ").count() + text.matches("not ").count() > 1;
            assert!(more || problems.count() == 1, "{text}: {problems}");
            assert!(!problems.to_string().contains("<EOF>"), "{problems}");
        }
    }

    #[test]
    fn bombs_are_refused_without_harm() {
        for text in [
            "(".repeat(500),
            "[".repeat(500),
            "!".repeat(500) + "a",
            "-".repeat(500) + "1",
            "a?".repeat(300),
            "a".repeat(MAX_EXPRESSION_BYTES + 1),
            vec!["1"; 2_000].join("+"),
        ] {
            let problems = Syntax::parse(&text, Origin::default()).unwrap_err();
            assert!(problems.iter().any(|p| p.detail.contains("at most")), "{problems}");
        }
        let onion = (0..12_u8).fold("a".to_owned(), |inner, _| format!("(a && {inner}{})", "+1".repeat(200)));
        assert!(Syntax::parse(&onion, Origin::default()).is_err());
        assert!(Syntax::parse(&vec!["a == 1.5"; 600].join(" && "), Origin::default()).is_ok());
        assert!(Syntax::parse(&vec!["a"; 1_000].join(" && "), Origin::default()).is_ok());
    }
}
