//! What keeps a schema from growing to another text, each problem with its place in that text.

use std::sync::Arc;

use super::Declared;
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{MAX_PROBLEMS, Problem, Problems, Source};

/// The problems of growing to another schema.
#[derive(Default)]
pub(super) struct GrowthProblems {
    /// Each with its path in the text of the other schema. An empty path has no place.
    found: Vec<(Vec<String>, Problem)>,
    /// How many more there were.
    omitted: usize,
}

impl GrowthProblems {
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

    /// Notes a problem that has no place if the path is empty.
    pub(super) fn note(&mut self, path: &[&str], problem: Problem) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push((path.iter().map(|name| (*name).to_owned()).collect(), problem));
        } else {
            self.omitted += 1;
        }
    }

    /// All problems, each with its place in `text`. The text is read once, and only if something is wrong.
    pub(super) fn placed(self, text: &str) -> Problems {
        let mut problems = Problems::new();
        if self.found.is_empty() {
            return problems;
        }
        let source = Arc::new(Source { name: "schema".into(), text: text.to_owned() });
        let input = Input::from_yaml(&source).ok();
        let root = input.as_ref().map(|input| Cursor::root(input, Some(&source)));
        for (path, problem) in self.found {
            let place = root.as_ref().filter(|_| !path.is_empty()).map(|root| nearest(root, &path));
            problems.push(match place {
                Some(place) => Problem { detail: problem.detail, hint: problem.hint, ..place },
                None => problem,
            });
        }
        problems.omitted += self.omitted;
        problems
    }
}

/// The place of a path in a text, or of as much of it as there is. No path has more than four names.
fn nearest(cursor: &Cursor<'_, '_>, path: &[String]) -> Problem {
    let next = path.split_first().and_then(|(name, rest)| Some((cursor.entry(name)?, rest)));
    match next {
        Some((entry, rest)) => nearest(&entry, rest),
        None => cursor.key_problem(""),
    }
}
