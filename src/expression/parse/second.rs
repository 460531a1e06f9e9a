//! A second opinion on the parser: the tree of the `cel` crate's, turned into ours, for many texts.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SourceInfo, operators};

use super::crate_parser;
use super::parser::{Refusal, Tree, tree};
use crate::expression::scan::{behind, readable, too_deep};
use crate::expression::syntax::{LoopTerm, Term, TermKind};
use crate::expression::{Comparison, LoopKind, MAX_ITEMS, Operator};
use crate::testing::rounds;

/// The tree of a text as the crate's parser has it; `None` if that refuses the text.
fn second(text: &str) -> Option<Tree> {
    let (tree, info) = crate_parser().parse_with_source_info(text).ok()?;
    let brackets = brackets(text);
    let mut convert = Convert { info: &info, text, brackets, nodes: 0, refusals: Vec::new() };
    let root = convert.term(&tree);
    Some(Tree { root, nodes: convert.nodes, refusals: convert.refusals })
}

/// Each opening bracket with the bracket that closes it, in order.
fn brackets(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut pairs, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let after = behind(text, at).unwrap();
        match byte {
            _ if after > at => {}
            b'(' | b'[' | b'{' => open.push(at),
            b')' | b']' | b'}' => pairs.extend(open.pop().map(|opened| (opened, at))),
            _ => {}
        }
        at = after.max(at + 1);
    }
    pairs.sort_unstable();
    pairs
}

struct Convert<'a> {
    info: &'a SourceInfo,
    text: &'a str,
    /// Each opening bracket with the bracket that closes it, in order.
    brackets: Vec<(usize, usize)>,
    nodes: usize,
    refusals: Vec<Refusal>,
}

impl Convert<'_> {
    fn term(&mut self, tree: &IdedExpr) -> Term {
        self.nodes += 1;
        let (mut start, mut end) = match self.info.offset_for(tree.id) {
            Some((start, stop)) => (start as usize, stop as usize + 1),
            None => (0, self.text.len()),
        };
        end = end.min(self.text.len());
        start = start.min(end);
        let kind = match &tree.expr {
            Expr::Literal(literal) => literal_of(literal),
            Expr::Ident(name) => TermKind::Name(name.trim_start_matches('.').to_owned()),
            Expr::Select(select) => {
                let operand = Box::new(self.term(&select.operand));
                end = end.max(self.end_of_name(end, &select.field));
                let field = select.field.clone();
                if select.test { TermKind::Has(operand, field) } else { TermKind::Select(operand, field) }
            }
            Expr::List(list) => {
                end = self.closing(start).map_or(end, |close| close + 1);
                self.list(&list.elements, start, end)
            }
            Expr::Map(map) => {
                end = self.closing(start).map_or(end, |close| close + 1);
                self.map(map, start, end)
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
                self.call(call, start, end)
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

    fn list(&mut self, items: &[IdedExpr], start: usize, end: usize) -> TermKind {
        if items.len() > MAX_ITEMS {
            let why = format!("a list has at most {MAX_ITEMS} items, this one has {}", items.len());
            return self.refuse(start, end, &why);
        }
        TermKind::List(items.iter().map(|item| self.term(item)).collect())
    }

    fn map(&mut self, map: &MapExpr, start: usize, end: usize) -> TermKind {
        if map.entries.len() > MAX_ITEMS {
            let why = format!("a map has at most {MAX_ITEMS} entries, this one has {}", map.entries.len());
            return self.refuse(start, end, &why);
        }
        let mut terms = Vec::with_capacity(map.entries.len() * 2);
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                terms.push(self.term(&entry.key));
                terms.push(self.term(&entry.value));
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
        self.refusals.push(Refusal { start, end, detail: why.to_owned(), hint: None });
        TermKind::Null
    }

    fn call(&mut self, call: &CallExpr, start: usize, end: usize) -> TermKind {
        if let Some(kind) = self.expand(call, start, end) {
            return kind;
        }
        let mut args: Vec<Term> = Vec::with_capacity(call.args.len() + 1);
        if let Some(target) = &call.target {
            args.push(self.term(target));
        }
        for arg in &call.args {
            args.push(self.term(arg));
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
    fn expand(&mut self, call: &CallExpr, start: usize, end: usize) -> Option<TermKind> {
        let Some(target) = &call.target else {
            return match (call.func_name.as_str(), &call.args[..]) {
                (operators::HAS, [arg]) => Some(self.has(arg)),
                _ => None,
            };
        };
        if let ("bind", Expr::Ident(cel), [name, value, body]) =
            (call.func_name.as_str(), &target.expr, &call.args[..])
            && cel == "cel"
        {
            return Some(self.bind(name, value, body));
        }
        let (kind, names, rest) = loop_of(&call.func_name, &call.args)?;
        let mut simple = Vec::with_capacity(names.len());
        for name in names {
            match &name.expr {
                Expr::Ident(name) if !name.starts_with('.') => simple.push(name.clone()),
                _ => {
                    let term = self.term(name);
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
        let range = self.term(target);
        let mut rest: Vec<Term> = rest.iter().map(|term| self.term(term)).collect();
        let body = rest.pop()?;
        Some(TermKind::Loop(Box::new(LoopTerm { kind, range, names: simple, filter: rest.pop(), body })))
    }

    /// `cel.bind(name, value, body)` is `[value].map(name, body)[0]`.
    fn bind(&mut self, name: &IdedExpr, value: &IdedExpr, body: &IdedExpr) -> TermKind {
        let Expr::Ident(name) = &name.expr else {
            let term = self.term(name);
            return self.refuse(term.start, term.end, "write a name here: cel.bind(name, value, expression)");
        };
        let (value, body) = (self.term(value), self.term(body));
        let (start, end) = (value.start, body.end);
        let at = |kind| Term { kind, start, end };
        let range = at(TermKind::List(vec![value]));
        let names = vec![name.clone()];
        let l = LoopTerm { kind: LoopKind::Map, range, names, filter: None, body };
        TermKind::Index(Box::new([at(TermKind::Loop(Box::new(l))), at(TermKind::Int(0))]))
    }

    fn has(&mut self, arg: &IdedExpr) -> TermKind {
        let term = self.term(arg);
        match term.kind {
            TermKind::Select(operand, field) => TermKind::Has(operand, field),
            _ => {
                let why = "has() asks for a field: has(customer.age), has(context.page)";
                let hint = Some("or compare with null: `age != null`");
                self.refusals.push(Refusal {
                    start: term.start,
                    end: term.end,
                    detail: why.to_owned(),
                    hint,
                });
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

#[track_caller]
fn check(text: &str) -> bool {
    if readable(text).is_err() || too_deep(text).is_some() {
        return false;
    }
    let told = |tree: Option<Tree>| {
        // The count of nodes is a limit on what is right.
        tree.map(|Tree { root, nodes, refusals }| {
            (format!("{root:?}"), refusals.is_empty().then_some(nodes), refusals)
        })
    };
    let (ours, theirs) = (told(tree(text)), told(second(text)));
    assert_eq!(ours, theirs, "{text:?}");
    ours.is_some()
}

/// Parts of expressions, right and wrong, as they may follow each other.
const PARTS: &str = r#"
a b age tier .c .`d-e` .in if .if in null true false 0 1 7u 0x1F 0xfU 1.5 2e3 .5 1. 5e 1e999 9223372036854775808
-9223372036854775808 0xFFFFFFFFFFFFFFFF 18446744073709551616u - -- ! !! + * / % == != < <= > >= && || ? : , . ( ) [ ]
{ } () [] {} [,] {,} 'x' "y" 'ü€' r'\d' b'z' bR"q" '\n\x41\u00e9\101' b'\xff\377' '\ud800' b'\u0041' '\U00110000'
'''t"''' """'""" = & | $ ä # has(a.b) has(a) has( math.greatest( math .math.least(1,2) strings.quote( cel.bind(x,1,x)
cel.bind( .cel.bind(x,1,x) .all(x,x>0) .all((x),x) .all(.x,x) .exists(x, .map(x,y, .filter(x,x) .exists_one(x,y,x==y)
.all(x,x,true) .map(1,2) .map(has(1),2) .transformList(i,v,v) .transformMap(k,v,k,v) .size() size( size(a) f(1,2,3) .f(
_g(1) for let(1) a.b{c:1} M{} .M{`d`:1,} {'k':1} {1:2,3:4,} [1,2,] [?a] .?a [?0] (a) ((b)) (a&&b) (a||b) -1 -1.5 -a !a
-(1) in[1] a?b:c 2.size() 1.e5 x.y.z .`a` `a` "#;

const BLANKS: [&str; 8] = ["", "", "", " ", "  ", "\n", "\t", " // note\n"];

/// A text whose parts mostly fit together.
fn written(rng: &mut fastrand::Rng, depth: u32) -> String {
    const VALUES: [&str; 20] = [
        "age",
        "tier",
        "context.page",
        "offer . risk",
        "now",
        "1",
        "-1",
        "- 2.5",
        "7u",
        "'ü'",
        "b'x'",
        "null",
        "true",
        "[]",
        "{}",
        ".name",
        "a.`b-c`",
        "0x2a",
        "1e3",
        "\"it's\"",
    ];
    const SIGNS: [&str; 14] =
        [" && ", " || ", " == ", " != ", "<", " <= ", ">", ">=", " in ", " + ", "-", " * ", "/", " % "];
    const LOOPS: [&str; 8] =
        ["all", "exists", "exists_one", "existsOne", "filter", "map", "transformList", "transformMap"];
    const CALLS: [&str; 7] = ["f", "math.greatest", "a.size", "cel.bind", "has", ".f", "_f"];
    if depth == 0 {
        return VALUES[rng.usize(0..VALUES.len())].to_owned();
    }
    let kind = rng.u32(0..14);
    let count = if kind < 5 { rng.usize(2..5) } else { 3 };
    let inner: Vec<String> = (0..count).map(|_| written(rng, depth - 1)).collect();
    let [a, b, c] = [&inner[0], &inner[1], inner.last().unwrap()];
    match kind {
        0..5 => {
            let mut text = a.clone();
            for next in &inner[1..] {
                text = text + SIGNS[rng.usize(0..SIGNS.len())] + next;
            }
            text
        }
        5 => format!("({a})"),
        6 => format!("{a} ? {b} : {c}"),
        7 => format!("{}({a})", ["!", "-", "!!", "--", "!-"][rng.usize(0..5)]),
        8 => format!("[{a}, {b}]"),
        9 => format!("{{{a}: {b}}}"),
        10 => format!("{a}[{b}].c"),
        11 => format!("({a}).{}(x, {b})", LOOPS[rng.usize(0..LOOPS.len())]),
        12 => format!("[{a}].{}(x, y, {b})", LOOPS[rng.usize(0..LOOPS.len())]),
        _ => format!("{}({a}, {b})", CALLS[rng.usize(0..CALLS.len())]),
    }
}

#[test]
fn both_parsers_take_the_same_texts_and_make_the_same_trees_with_the_same_places() {
    let parts: Vec<&str> = PARTS.split_whitespace().collect();
    let mut rng = fastrand::Rng::with_seed(20);
    let mut taken = 0;
    for part in &parts {
        taken += usize::from(check(part));
    }
    for _ in 0..rounds(2_000, 200_000) {
        let mut part = || parts[rng.usize(0..parts.len())];
        let texts = [part(), part(), part(), part()];
        let text =
            texts.iter().fold(String::new(), |text, part| text + BLANKS[rng.usize(0..BLANKS.len())] + part);
        taken += usize::from(check(&text));
        let mut text = written(&mut rng, 3);
        taken += usize::from(check(&text));
        let at = rng.usize(0..=text.len());
        if text.is_char_boundary(at) {
            text.insert_str(at, texts[0]);
            taken += usize::from(check(&text));
        }
    }
    assert!(taken > 1_500, "{taken}");
}

#[test]
fn both_parsers_have_the_same_limits() {
    let choices = |count: usize| "a ? b : ".repeat(count) + &"(".repeat(39) + "c" + &")".repeat(39);
    assert!(
        (119..124).map(|count| check(&choices(count))).any(|taken| !taken),
        "or the limit is not reached"
    );
    for text in [
        vec!["a == 1.5"; 600].join(" && "),
        format!("x in [{}]", vec!["1"; MAX_ITEMS].join(", ")),
        format!("has(y) || x in [{}]", vec!["has(1)"; MAX_ITEMS + 1].join(", ")),
        format!("{{{}}}", vec!["1: 2"; MAX_ITEMS].join(", ")),
        format!("{{{}}}", vec!["1: 2"; MAX_ITEMS + 1].join(", ")),
        "a".to_owned() + &"[0]".repeat(250),
    ] {
        assert!(check(&text), "{text}");
    }
}
