//! Calls: the macros become terms of their own, all others are functions and methods.

use super::parser::{Found, Parser};
use crate::expression::LoopKind;
use crate::expression::syntax::{LoopTerm, Term, TermKind};

impl Parser<'_> {
    /// A call of a function, or of a method of what stands before its dot, with what was found before that.
    /// `place` is that of the name and its arguments.
    pub(super) fn call(
        &mut self,
        name: &str,
        of: Option<(Term, Found)>,
        mut arguments: Vec<Term>,
        place: (usize, usize),
    ) -> TermKind {
        let Some((of, before)) = of else {
            if name == "has" && arguments.len() == 1 {
                return arguments.pop().map_or(TermKind::Null, |argument| self.has(argument));
            }
            return self.function(name, arguments, false, place);
        };
        if name == "bind" && arguments.len() == 3 && self.is_word(&of, &["cel"]) {
            return self.bind(before, arguments);
        }
        if let Some((kind, bound)) = loop_of(name, arguments.len()) {
            return self.comprehension(kind, (of, before), bound, arguments, place);
        }
        if self.is_word(&of, &["math", "strings"])
            && let TermKind::Name(space) = &of.kind
        {
            return self.function(&format!("{space}.{name}"), arguments, false, place);
        }
        arguments.insert(0, of);
        self.function(name, arguments, true, place)
    }

    fn function(
        &mut self,
        name: &str,
        arguments: Vec<Term>,
        method: bool,
        (start, end): (usize, usize),
    ) -> TermKind {
        if name.starts_with('_') {
            return self.refuse(start, end, "this operator is not part of conditions", None);
        }
        TermKind::Call(name.to_owned(), arguments, method)
    }

    /// Whether a term is one of these names, without a dot before it.
    fn is_word(&self, term: &Term, words: &[&str]) -> bool {
        matches!(&term.kind, TermKind::Name(name) if words.contains(&name.as_str())) && !self.is_rooted(term)
    }

    fn has(&mut self, argument: Term) -> TermKind {
        match argument.kind {
            TermKind::Select(operand, field) => TermKind::Has(operand, field),
            _ => {
                let why = "has() asks for a field: has(customer.age), has(context.page)";
                let hint = "or compare with null: `age != null`";
                self.refuse(argument.start, argument.end, why, Some(hint))
            }
        }
    }

    /// `cel.bind(name, value, body)` is `[value].map(name, body)[0]`. `before` is what was found before
    /// `cel`.
    fn bind(&mut self, before: Found, arguments: Vec<Term>) -> TermKind {
        let Ok([name, value, body]) = <[Term; 3]>::try_from(arguments) else { return TermKind::Null };
        let TermKind::Name(bound) = &name.kind else {
            self.forget(before, Some(&name));
            return self.refuse(
                name.start,
                name.end,
                "write a name here: cel.bind(name, value, expression)",
                None,
            );
        };
        self.uncount(2); // `cel` and the name
        let (start, end) = (value.start, body.end);
        let at = |kind| Term { kind, start, end };
        let range = at(TermKind::List(vec![value]));
        let l = LoopTerm { kind: LoopKind::Map, range, names: vec![bound.clone()], filter: None, body };
        TermKind::Index(Box::new([at(TermKind::Loop(Box::new(l))), at(TermKind::Int(0))]))
    }

    /// A loop over the range `of`. The first `bound` arguments are the names of its items.
    fn comprehension(
        &mut self,
        kind: LoopKind,
        (range, before): (Term, Found),
        bound: usize,
        mut arguments: Vec<Term>,
        (start, end): (usize, usize),
    ) -> TermKind {
        let rest = arguments.split_off(bound);
        let mut names = Vec::with_capacity(bound);
        for argument in arguments {
            match argument.kind {
                TermKind::Name(ref name) if !self.is_rooted(&argument) => names.push(name.clone()),
                _ => {
                    self.forget(before, Some(&argument));
                    let why = "write a name for each item here, as in `list.all(item, item > 0)`";
                    return self.refuse(argument.start, argument.end, why, None);
                }
            }
        }
        if let [first, second] = &names[..]
            && first == second
        {
            self.forget(before, None);
            return self.refuse(start, end, "the two names of a loop must differ", None);
        }
        self.uncount(bound);
        let mut rest = rest;
        let Some(body) = rest.pop() else { return TermKind::Null };
        TermKind::Loop(Box::new(LoopTerm { kind, range, names, filter: rest.pop(), body }))
    }
}

/// The loop that a macro with this many arguments stands for, and how many names it binds. Behind them
/// stands the body, after a filter if there are two.
fn loop_of(name: &str, arguments: usize) -> Option<(LoopKind, usize)> {
    Some(match (name, arguments) {
        ("all", 2 | 3) => (LoopKind::All, arguments - 1),
        ("exists", 2 | 3) => (LoopKind::Exists, arguments - 1),
        ("exists_one" | "existsOne", 2 | 3) => (LoopKind::ExistsOne, arguments - 1),
        ("filter", 2) => (LoopKind::Filter, 1),
        ("map", 2 | 3) => (LoopKind::Map, 1),
        ("transformList", 3 | 4) => (LoopKind::Map, 2),
        ("transformMap", 3 | 4) => (LoopKind::Entries, 2),
        _ => return None,
    })
}
