//! A file that defines a schema or a rule set.

use std::path::Path;
use std::sync::Arc;

use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problems, Source};

/// The file, with what decides where it is pushed.
pub(super) struct Definition {
    /// The rule set's name; `None` for the schema.
    pub(super) rule_set: Option<String>,
    pub(super) source: Arc<Source>,
}

impl Definition {
    /// Reads only as much as pushing needs. The server checks the rest.
    pub(super) fn of(source: Source) -> Result<Definition, Problems> {
        let source = Arc::new(source);
        let input = Input::from_yaml(&source)?;
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let entries = root.entries(&mut problems).unwrap_or_default();
        let field = |name: &str| entries.iter().find(|(field, _)| *field == name).map(|(_, cursor)| cursor);
        problems.or(())?;
        if field("schema").is_some() {
            return Ok(Definition { rule_set: None, source });
        }
        let mut problems = Problems::new();
        let Some(name) = field("rule_set").and_then(|cursor| cursor.text(&mut problems)) else {
            problems.push(
                root.problem(format!("{} is neither a schema nor a rule set", base_name(&source.name)))
                    .hint("a rule set begins with `rule_set: NAME`, a schema with `schema: NAME`"),
            );
            return Err(problems);
        };
        Ok(Definition { rule_set: Some(name.to_owned()), source: Arc::clone(&source) })
    }

    /// The name of the file without its folders.
    pub(super) fn file_name(&self) -> &str {
        base_name(&self.source.name)
    }

    /// Whether a server may call this file `name`: by its file name, its path, or what it defines.
    pub(super) fn is_called(&self, name: &str) -> bool {
        name == self.source.name
            || name == self.file_name()
            || name == self.rule_set.as_deref().unwrap_or("schema")
    }
}

fn base_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_where_its_first_words_say() {
        let look = |text: &str| Definition::of(Source { name: "a/f.yaml".into(), text: text.into() });
        for (text, name) in [
            ("schema: s\nfeatures: {}", None),
            ("rule_set: g\nguardrails: {a: 'true'}\nplacements: {}", Some("g")),
            ("{\"rule_set\": \"o\"}", Some("o")),
        ] {
            let file = look(text).unwrap();
            assert_eq!((file.rule_set.as_deref(), file.file_name()), (name, "f.yaml"), "{text}");
        }
        assert!(look("offers: {}").err().unwrap().to_string().contains("neither a schema nor a rule set"));
        assert!(look("a: [").is_err() && look("- 1").is_err() && look("").is_err());
    }
}
