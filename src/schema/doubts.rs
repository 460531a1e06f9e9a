//! Words of a schema that look like other words.

use super::kind::Kind;
use super::{Schema, Vocabulary};
use crate::input::invisible::{invisible, named};
use crate::input::problem::{Problem, quoted};

impl Schema {
    /// A problem for each word of a vocabulary that has a space at an end or a character that nobody sees.
    /// They are no errors, because a schema that is in force can take no word back.
    pub fn doubts(&self) -> Vec<Problem> {
        let declared = |name: &str, kind: &Kind| (name.to_owned(), kind.clone());
        let features = self.features().iter().map(|feature| declared(&feature.name, &feature.kind));
        let context =
            self.context().iter().map(|field| declared(&format!("context.{}", field.name), &field.kind));
        let attributes =
            self.attributes().iter().map(|field| declared(&format!("offer.{}", field.name), &field.kind));
        let properties = self.events().iter().flat_map(|event| {
            event
                .properties
                .iter()
                .map(|property| declared(&format!("{}.{}", event.name, property.name), &property.kind))
        });
        let mut found = odd("channels", &self.channels);
        for (name, kind) in features.chain(context).chain(attributes).chain(properties) {
            if let Kind::Enum(words) | Kind::Set(words) = &kind {
                found.extend(odd(&name, words));
            }
        }
        found
    }
}

fn odd(name: &str, words: &Vocabulary) -> Vec<Problem> {
    let what = |word: &str| match invisible(word) {
        Some(c) => Some(named(c)),
        None => (word.trim() != word).then(|| "a space at an end".to_owned()),
    };
    let told = |word: &str| {
        let what = what(word)?;
        let problem = Problem::new(format!("schema: the value {} of `{name}` has {what}", quoted(word)));
        Some(problem.hint("type it again: a value that looks the same is another one"))
    };
    words.words().iter().filter_map(|word| told(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_look_like_others_are_named() {
        let text = "schema: s\nchannels: [app, 'web ']\nfeatures:\n  tier: {kind: enum, values: [gold, \"gold\\u200b\"]}\n\
                    context:\n  page: {kind: set, values: [home, \"a\\u00a0b\"]}\n";
        let schema = Schema::parse("s", text).unwrap();
        let found: Vec<String> = schema.doubts().iter().map(|problem| problem.detail.clone()).collect();
        assert_eq!(
            found,
            [
                "schema: the value \"web \" of `channels` has a space at an end",
                "schema: the value \"gold\\u{200b}\" of `tier` has U+200B zero width space",
                "schema: the value \"a\\u{a0}b\" of `context.page` has U+00A0 no-break space",
            ]
        );
    }
}
