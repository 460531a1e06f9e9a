//! Finds where in a rule set's text something stands. Engines keep no places of conditions, so a warning
//! reads the text once more.

use std::cell::OnceCell;

use crate::expression::Syntax;
use crate::expression::faults::Way;
use crate::input::cursor::Cursor;
use crate::input::document::{Input, InputValue};
use crate::input::origin::Origin;
use crate::input::problem::Problem;
use crate::rules::rule_set::RuleSet;

/// A rule set's text, read as a tree when the first place in it is asked for.
pub(super) struct Text<'a> {
    set: &'a RuleSet,
    tree: OnceCell<Option<Input<'a>>>,
}

impl<'a> Text<'a> {
    pub(super) fn new(set: &'a RuleSet) -> Text<'a> {
        Text { set, tree: OnceCell::new() }
    }

    /// A problem at the key of the entry at `path`; with the whole text, if there is no such entry.
    pub(super) fn key(&self, path: &[&str]) -> Problem {
        let found = self.at(path, &|cursor| cursor.key_problem(""));
        found.unwrap_or_else(|| self.set.problem(&crate::rules::rule_set::Spot::default(), ""))
    }

    /// Whether the text has a section of this name at its top.
    pub(super) fn has(&self, section: &str) -> bool {
        self.set.source.text.contains(section) && self.at(&[section], &|_| ()).is_some()
    }

    /// A problem at a part of the condition at `path`; its detail is the text of the part.
    pub(super) fn part(&self, path: &[&str], way: &Way) -> Option<Problem> {
        self.expression(path, &|syntax| syntax.part(way))
    }

    /// A problem at the first place where a name stands in the expression at `path`.
    pub(super) fn name(&self, path: &[&str], name: &str) -> Option<Problem> {
        self.expression(path, &|syntax| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let stands = |at: &usize| {
                let (before, after) = (&syntax.text[..*at], &syntax.text[at + name.len()..]);
                !before.ends_with(is_part) && !after.starts_with(is_part)
            };
            let at = syntax.text.match_indices(name).map(|(at, _)| at).find(stands);
            at.map_or_else(|| syntax.part(&Way::new()), |at| (at, at + name.len()))
        })
    }

    /// The attributes of the offer that the expression at `path` reads.
    pub(super) fn offer_fields(&self, path: &[&str]) -> Vec<Box<str>> {
        let found = self.at(path, &|cursor| {
            let InputValue::Text(text) = &cursor.input.value else { return Vec::new() };
            Syntax::parse(text, Origin::of(cursor)).map(|syntax| syntax.offer_fields()).unwrap_or_default()
        });
        found.unwrap_or_default()
    }

    fn expression(&self, path: &[&str], part: &dyn Fn(&Syntax) -> (usize, usize)) -> Option<Problem> {
        self.at(path, &|cursor| {
            let text = match &cursor.input.value {
                InputValue::Text(text) => text,
                other => return Some(cursor.problem(other.describe())),
            };
            let syntax = Syntax::parse(text, Origin::of(cursor)).ok()?;
            let (start, end) = part(&syntax);
            let shown = text.get(start..end).unwrap_or(text);
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            Some(syntax.origin.problem(text, start, end, shown))
        })?
    }

    /// What `found` finds in the whole text.
    pub(super) fn root<T>(&self, found: &dyn Fn(&Cursor<'_, '_>) -> T) -> Option<T> {
        self.at(&[], found)
    }

    fn at<T>(&self, path: &[&str], found: &dyn Fn(&Cursor<'_, '_>) -> T) -> Option<T> {
        let tree = self.tree.get_or_init(|| Input::from_yaml(&self.set.source).ok()).as_ref()?;
        descend(&Cursor::root(tree, Some(&self.set.source)), path, found)
    }
}

/// Cursors are linked on the stack, so this is a recursion. No path has more than four names.
fn descend<T>(cursor: &Cursor<'_, '_>, path: &[&str], found: &dyn Fn(&Cursor<'_, '_>) -> T) -> Option<T> {
    match path {
        [] => Some(found(cursor)),
        [name, rest @ ..] => descend(&cursor.entry(name)?, rest, found),
    }
}
