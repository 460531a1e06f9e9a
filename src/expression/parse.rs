//! An expression's text as a tree with places. The only module that knows the `cel` crate: its parser is used, its tree is
//! turned into ours, its messages into plain words.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::{Comparison, MAX_BRACKETS, MAX_DEPTH, MAX_EXPRESSION_BYTES, Operator};
use crate::input::Cursor;
use crate::problem::{Place, Problem, Problems, Source};

/// A parsed expression, names and types not yet resolved.
#[derive(Debug, Clone)]
pub struct Syntax {
    /// The text it was parsed from.
    pub text: Arc<str>,
    /// Where that text stands.
    pub origin: Origin,
    pub(crate) root: Term,
}

/// Where an expression's text stands in its document.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    source: Option<Arc<Source>>,
    place: Option<Place>,
    pointer: String,
}

/// A node with the bytes of the expression it covers.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) kind: TermKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum TermKind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    Select(Box<Term>, String),
    Has(Box<Term>, String),
    Not(Box<Term>),
    Negate(Box<Term>),
    /// Operands of a chain of `&&`, flattened.
    And(Vec<Term>),
    Or(Vec<Term>),
    If(Box<[Term; 3]>),
    Compare(Comparison, Box<[Term; 2]>),
    Arithmetic(Operator, Box<[Term; 2]>),
    In(Box<[Term; 2]>),
    Index(Box<[Term; 2]>),
    List(Vec<Term>),
    /// A function, or a method with its target as the first argument.
    Call(String, Vec<Term>, bool),
    Loop(Box<LoopTerm>),
}

#[derive(Debug, Clone)]
pub(crate) struct LoopTerm {
    pub(crate) range: Term,
    pub(crate) item: String,
    pub(crate) so_far: String,
    pub(crate) start: Term,
    pub(crate) condition: Term,
    pub(crate) step: Term,
    pub(crate) result: Term,
}

impl Syntax {
    /// Parses an expression.
    ///
    /// # Errors
    /// Everything the grammar does not allow, each with its place.
    pub fn parse(text: &str, origin: Origin) -> Result<Syntax, Problems> {
        if text.len() > MAX_EXPRESSION_BYTES {
            let detail =
                format!("an expression has at most {MAX_EXPRESSION_BYTES} bytes, this one {}", text.len());
            return Err(of_one(origin.problem(text, 0, 1, detail)));
        }
        // Refused before the parser sees it: its own tree would be as deep, and dropping it recurses.
        if let Some(at) = too_deep(text) {
            return Err(of_one(origin.problem(text, at, at + 1, depth_message())));
        }
        let parser = cel::parser::Parser::new().max_recursion_depth(MAX_BRACKETS as u16 * 4);
        let (tree, info) = parser.parse_with_source_info(text).map_err(|errors| {
            let mut problems = Problems::new();
            for error in &errors.errors {
                problems.push(plain(&error.msg, byte_of(text, error.pos), text, &origin));
            }
            problems
        })?;
        let mut convert = Convert { info: &info, text, origin: &origin, problems: Problems::new() };
        let root = convert.term(&tree, 0);
        let problems = convert.problems;
        problems.or(Syntax { text: text.into(), origin, root })
    }
}

impl Syntax {
    /// The names `x` of all `offer.x` in it, each once.
    pub(crate) fn offer_fields(&self) -> Vec<Box<str>> {
        let mut fields: Vec<Box<str>> = Vec::new();
        let mut open = vec![&self.root];
        while let Some(term) = open.pop() {
            if let TermKind::Select(root, field) | TermKind::Has(root, field) = &term.kind
                && matches!(&root.kind, TermKind::Name(name) if name == "offer")
                && !fields.iter().any(|known| **known == **field)
            {
                fields.push(field.as_str().into());
            }
            open.extend(term.kind.operands());
        }
        fields
    }
}

impl Syntax {
    /// A problem for every field of `root` (`context`, `tag`) in it about which `why` has something to say.
    pub(crate) fn refuse_fields(&self, root: &str, why: impl Fn(&str) -> Option<String>) -> Problems {
        let mut problems = Problems::new();
        let mut open = vec![&self.root];
        while let Some(term) = open.pop() {
            if let TermKind::Select(of, field) | TermKind::Has(of, field) = &term.kind
                && matches!(&of.kind, TermKind::Name(name) if name == root)
                && let Some(why) = why(field)
            {
                problems.push(self.origin.problem(&self.text, term.start, term.end, why));
            }
            open.extend(term.kind.operands());
        }
        problems
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

/// The bytes of an expression that are not inside a text.
pub(super) fn outside_texts(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut quote = None;
    let mut escaped = false;
    text.bytes().enumerate().filter(move |(_, byte)| {
        match (quote, *byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(end), byte) if byte == end => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(*byte),
            (None, _) => return true,
        }
        false
    })
}

/// The byte where operators first nest too deep. Counts an upper bound: a chain such as `1+1+1` nests one level per operator,
/// what stands in brackets adds to the chain around it, and `&&`, `||` and `,` begin a new chain.
fn too_deep(text: &str) -> Option<usize> {
    let mut open: Vec<(usize, usize)> = Vec::new(); // per bracket: chain before it, longest chain in it
    let (mut chain, mut longest) = (0_usize, 0_usize);
    for (at, byte) in outside_texts(text) {
        match byte {
            b'(' | b'[' | b'{' => {
                open.push((chain, longest));
                longest = chain;
            }
            b')' | b']' | b'}' => {
                let (_, before) = open.pop().unwrap_or((0, 0));
                chain = longest;
                longest = longest.max(before);
            }
            b'&' | b'|' | b',' => chain = open.last().map_or(0, |(before, _)| *before),
            b'!' | b'-' | b'+' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'?' | b':' | b'.' => chain += 1,
            _ => {}
        }
        longest = longest.max(chain);
        if open.len() > MAX_BRACKETS || chain > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// The byte of a position given as line and column from 1.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    (before + usize::try_from(column - 1).unwrap_or(0)).min(text.len())
}

/// The parser's message in plain words.
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
    if message.contains("'<EOF>' expecting") {
        let end = text.trim_end().len();
        return origin.problem(
            text,
            end.saturating_sub(1),
            end,
            "the expression ends where a value was expected",
        );
    }
    if message.contains("invalid argument to has()") {
        let problem =
            origin.problem(text, at, at + 1, "has() asks for a field: has(customer.age), has(context.page)");
        return problem.hint("or compare with null: age != null");
    }
    let found = [
        "token recognition error at",
        "extraneous input ",
        "mismatched input ",
        "no viable alternative at input ",
    ];
    for after in found {
        let Some(found) = quoted(after) else { continue };
        if found.starts_with(['\'', '"']) {
            return origin.problem(text, at, at + found.len(), "this text has no closing quote");
        }
        let problem =
            origin.problem(text, at, at + found.len().max(1), format!("`{found}` was not expected here"));
        return match found.as_str() {
            "=" => problem.hint("compare with `==`"),
            "&" => problem.hint("and is `&&`"),
            "|" => problem.hint("or is `||`"),
            "and" => problem.hint("and is `&&`"),
            "or" => problem.hint("or is `||`"),
            "not" => problem.hint("not is `!`"),
            _ => problem,
        };
    }
    origin.problem(text, at, at + 1, message.trim_start_matches("Syntax error: ").to_owned())
}

impl Origin {
    /// At the text that `cursor` stands on.
    pub fn of(cursor: &Cursor<'_, '_>) -> Origin {
        Origin { source: cursor.source().cloned(), place: cursor.input.place, pointer: cursor.pointer() }
    }

    /// The whole of a text, for an expression that has one to itself.
    pub fn whole(source: Arc<Source>) -> Origin {
        let place = Some(Place { line: 1, column: 1, ..Place::default() });
        Origin { source: Some(source), place, pointer: String::new() }
    }

    /// The line on which the expression begins; 0 if unknown.
    pub fn line(&self) -> u32 {
        self.place.map_or(0, |place| place.line)
    }

    /// A problem with the bytes `start..end` of the expression `text`.
    pub(crate) fn problem(&self, text: &str, start: usize, end: usize, detail: impl Into<String>) -> Problem {
        let place = match (&self.source, self.place) {
            (Some(source), Some(place)) => Some(within(source, place, text, start, end)),
            _ => Some(Place {
                line: 1,
                column: text[..floor(text, start)].chars().count() as u32 + 1,
                offset: start as u32,
                length: end.saturating_sub(start) as u32,
            }),
        };
        Problem { place, source: self.source.clone(), pointer: self.pointer.clone(), ..Problem::new(detail) }
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// Where bytes `start..end` of a scalar's value stand in the document. The value is aligned with what was written, which may
/// have quotes, folded lines and indentation more. Where that cannot be told (escapes, an alias) it is the scalar itself.
fn within(source: &Source, place: Place, value: &str, start: usize, end: usize) -> Place {
    let from = place.offset as usize;
    let to = if place.length > 0 { from + place.length as usize } else { source.text.len() };
    let written = source.text.get(from..to).unwrap_or("");
    if written.starts_with(['*', '&']) || (written.starts_with('"') && written.contains('\\')) {
        return place;
    }
    let last = floor(value, end).max(1) - 1;
    let (Some(from), Some(to)) =
        (aligned(written, value, floor(value, start)), aligned(written, value, last))
    else {
        return place;
    };
    let before = &written[..floor(written, from)];
    let lines = before.matches('\n').count() as u32;
    let column = match before.rfind('\n') {
        Some(newline) => before[newline + 1..].chars().count() as u32 + 1,
        None => place.column + before.chars().count() as u32,
    };
    let offset = place.offset + from as u32;
    Place { line: place.line + lines, column, offset, length: (to + 1).saturating_sub(from).max(1) as u32 }
}

/// The byte of `written` that is the byte `target` of `value`: each character of the value is looked for behind the last.
fn aligned(written: &str, value: &str, target: usize) -> Option<usize> {
    let mut at = 0;
    for (i, wanted) in value.char_indices() {
        let same = |c: char| c == wanted || (c.is_whitespace() && wanted.is_whitespace());
        at += written[at..].find(same)?;
        if i >= target {
            return Some(at);
        }
        at += written[at..].chars().next().map_or(0, char::len_utf8);
    }
    Some(at)
}

struct Convert<'a> {
    info: &'a SourceInfo,
    text: &'a str,
    origin: &'a Origin,
    problems: Problems,
}

impl Convert<'_> {
    fn term(&mut self, tree: &IdedExpr, depth: usize) -> Term {
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
            Expr::Literal(literal) => self.literal(literal, start, end),
            Expr::Ident(name) => TermKind::Name(name.trim_start_matches('.').to_owned()),
            Expr::Select(select) => {
                let operand = Box::new(self.term(&select.operand, depth + 1));
                end = end.max(self.end_of_name(end, &select.field));
                let field = select.field.clone();
                if select.test { TermKind::Has(operand, field) } else { TermKind::Select(operand, field) }
            }
            Expr::List(list) => {
                end = self.closing(start).map_or(end, |close| close + 1);
                TermKind::List(list.elements.iter().map(|e| self.term(e, depth + 1)).collect())
            }
            Expr::Call(call) => {
                // A function's place is its opening bracket.
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
            Expr::Comprehension(c) => TermKind::Loop(Box::new(LoopTerm {
                range: self.term(&c.iter_range, depth + 1),
                item: c.iter_var.clone(),
                so_far: c.accu_var.clone(),
                start: self.term(&c.accu_init, depth + 1),
                condition: self.term(&c.loop_cond, depth + 1),
                step: self.term(&c.loop_step, depth + 1),
                result: self.term(&c.result, depth + 1),
            })),
            Expr::Map(_) | Expr::Struct(_) => {
                self.refuse(start, end, "maps and messages are not part of conditions")
            }
            Expr::Unspecified => self.refuse(start, end, "a value was expected"),
        };
        let (first, last) = kind.extent();
        Term { start: start.min(first), end: end.max(last), kind }
    }

    /// The bracket that closes the one at `open`, if there is one.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_i32;
        for (at, byte) in outside_texts(self.text).skip_while(|(at, _)| *at < open) {
            depth += match byte {
                b'(' | b'[' => 1,
                b')' | b']' => -1,
                _ => 0,
            };
            if depth == 0 {
                return (at > open).then_some(at);
            }
        }
        None
    }

    /// The end of `.field` behind the dot at `from`.
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

    fn literal(&mut self, literal: &LiteralValue, start: usize, end: usize) -> TermKind {
        match literal {
            LiteralValue::Null => TermKind::Null,
            LiteralValue::Boolean(b) => TermKind::Bool(*b.inner()),
            LiteralValue::Int(i) => TermKind::Int(*i.inner()),
            LiteralValue::Double(x) => TermKind::Double(*x.inner()),
            LiteralValue::String(s) => TermKind::Text(s.inner().to_owned()),
            LiteralValue::UInt(_) => {
                self.refuse(start, end, "unsigned numbers are not part of conditions; leave out the `u`")
            }
            LiteralValue::Bytes(_) => {
                self.refuse(start, end, "bytes are not part of conditions; leave out the `b`")
            }
        }
    }

    fn call(&mut self, call: &CallExpr, depth: usize, start: usize, end: usize) -> TermKind {
        let mut args: Vec<Term> = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.term(target, depth + 1));
        }
        for arg in &call.args {
            args.push(self.term(arg, depth + 1));
        }
        let name = call.func_name.as_str();
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

/// `&&` and `||` chains: operands of the same operator are taken up, so that one node has all of them in order.
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

impl TermKind {
    /// The terms directly below.
    fn operands(&self) -> Vec<&Term> {
        match self {
            TermKind::Select(inner, _)
            | TermKind::Has(inner, _)
            | TermKind::Not(inner)
            | TermKind::Negate(inner) => {
                vec![inner]
            }
            TermKind::And(terms)
            | TermKind::Or(terms)
            | TermKind::List(terms)
            | TermKind::Call(_, terms, _) => terms.iter().collect(),
            TermKind::If(three) => three.iter().collect(),
            TermKind::Compare(_, two)
            | TermKind::Arithmetic(_, two)
            | TermKind::In(two)
            | TermKind::Index(two) => two.iter().collect(),
            TermKind::Loop(l) => vec![&l.range, &l.start, &l.condition, &l.step, &l.result],
            TermKind::Null
            | TermKind::Bool(_)
            | TermKind::Int(_)
            | TermKind::Double(_)
            | TermKind::Text(_)
            | TermKind::Name(_) => Vec::new(),
        }
    }

    /// The bytes that the operands cover; an operator's own place is only its sign.
    fn extent(&self) -> (usize, usize) {
        let operands = self.operands();
        let start = operands.iter().map(|term| term.start).min().unwrap_or(usize::MAX);
        (start, operands.iter().map(|term| term.end).max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Input, InputValue};

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
            ("when: has(age)\n", "1:11 \"a\" has() asks for a field"),
            ("when: tier == 'abc\n", "1:15 \"'abc\" this text has no closing quote"),
        ] {
            let found = problems(yaml);
            assert!(found.first().is_some_and(|f| f.starts_with(expected)), "{yaml:?}: {found:?}");
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
