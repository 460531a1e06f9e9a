//! What keeps a schema from growing to another text, each problem with its place in that text.

use std::sync::Arc;

use super::Declared;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problem, Problems, Source};

/// The problems of growing to the schema with this text.
pub(super) struct GrowthProblems<'t> {
    pub(super) text: &'t str,
    pub(super) problems: Problems,
}

impl GrowthProblems<'_> {
    /// Notes that the declaration at `path` changes in a way that it may not.
    pub(super) fn changed(&mut self, path: &[&str], detail: String) {
        self.note(path, Problem::new(detail));
    }

    /// Notes that the new text has nothing at `path`. The place is the section that it stood in.
    pub(super) fn removed(&mut self, path: &[&str], detail: String) {
        let hint =
            "a schema only grows, because rows and rule sets may use what it has: declare it as before";
        self.note(path, Problem::new(detail).hint(hint));
    }

    /// Notes what `new` removes from the declarations `old`, or changes so that they would be read
    /// differently.
    pub(super) fn declared(&mut self, path: &[&str], old: &[Declared], new: &[Declared], what: &str) {
        for old in old {
            let path = [path, &[&*old.name]].concat();
            match new.iter().find(|new| new.name == old.name) {
                None => self.removed(&path, format!("{what} `{}` would be removed", old.name)),
                Some(new) => {
                    if let Err(why) = old.kind.grown(&new.kind, None) {
                        self.changed(&path, format!("{what} `{}`: {why}", old.name));
                    }
                }
            }
        }
    }

    fn note(&mut self, path: &[&str], problem: Problem) {
        let source = Arc::new(Source { name: "schema".into(), text: self.text.to_owned() });
        let placed = Input::from_yaml(&source).ok().map(|input| {
            let place = nearest(&Cursor::root(&input, Some(&source)), path);
            Problem { detail: String::new(), hint: None, ..place }
        });
        self.problems.push(match placed {
            Some(place) => Problem { detail: problem.detail, hint: problem.hint, ..place },
            None => problem,
        });
    }
}

/// The place of a path in a text, or of as much of it as there is. No path has more than four names.
fn nearest(cursor: &Cursor<'_, '_>, path: &[&str]) -> Problem {
    let next = path.split_first().and_then(|(name, rest)| Some((cursor.entry(name)?, rest)));
    match next {
        Some((entry, rest)) => nearest(&entry, rest),
        None => cursor.key_problem(""),
    }
}
