//! Parsing an expression. The parser is our own, because a rule set has many thousand expressions: that of
//! the `cel` crate took most of the way from a text to an engine. It is asked only why a text is not of the
//! language. Nothing else knows the crate. The tests compare the two parsers: what they take, and every node
//! and place.

mod call;
mod hints;
mod lexer;
mod literal;
mod parser;
mod tokens;
mod value;
mod written;
#[cfg(test)]
mod second;

use self::hints::{Foreign, foreign};
use self::parser::{Refusal, Tree, tree};
pub use self::tokens::reads_the_same;
use super::scan::{Flaw, comment, readable, too_deep};
use super::syntax::Syntax;
use super::{MAX_BRACKETS, MAX_DEPTH, MAX_EXPRESSION_BYTES, MAX_NODES};
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
        if let Err(Flaw { start, end, why }) = readable(text) {
            return Err(of_one(origin.problem(text, start, end, why)));
        }
        if let Some(at) = comment(text).filter(|_| origin.joins_lines(text)) {
            let detail = "a `//` comment goes on to the end, because YAML joins the lines of this text";
            let problem = origin.problem(text, at, at + 2, detail);
            return Err(of_one(problem.hint("leave the comment out, or write the condition after `|`")));
        }
        if let Some(at) = too_deep(text) {
            return Err(of_one(origin.problem(text, at, at + 1, depth_message())));
        }
        let Some(Tree { root, nodes, refusals }) = tree(text) else { return Err(refused(text, &origin)) };
        if nodes > MAX_NODES {
            let detail =
                format!("an expression has at most {MAX_NODES} values and operators, this one has {nodes}");
            return Err(of_one(origin.problem(text, 0, text.len(), detail)));
        }
        let mut problems = Problems::new();
        for Refusal { start, end, detail, hint } in refusals {
            let hint = hint.map(str::to_owned);
            problems.push(Problem { hint, ..origin.problem(text, start, end, detail) });
        }
        problems.or(Syntax { text: text.into(), origin, root })
    }
}

/// The parser of the `cel` crate, as our language has it: its own macros are off, because ours keep the
/// places of what was written.
fn crate_parser() -> cel::parser::Parser {
    let parser = cel::Env::default().with_optional_support(false).parser();
    parser.max_recursion_depth(MAX_BRACKETS as u16 * 4).enable_ident_escape_syntax(true)
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

/// Why a text is not of the language: what in it is of another one, or else the first message of the crate's
/// parser. Later messages mostly follow from the first.
fn refused(text: &str, origin: &Origin) -> Problems {
    let errors = crate_parser().parse(text).err().map(|errors| errors.errors).unwrap_or_default();
    let first = errors.first().map(|error| (&*error.msg, byte_of(text, error.pos)));
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
