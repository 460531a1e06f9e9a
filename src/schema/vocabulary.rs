//! Closed lists of words: the values of enums and sets, and the channels.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::input::problem::{nearest, quoted};

/// A closed list of words. A word's code is its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    words: Vec<Box<str>>,
    codes: HashMap<Box<str>, u32, FixedState>,
    /// Whether the order of the words means something (`<`, `>=`).
    pub ordered: bool,
}

impl Vocabulary {
    /// The words in this order. The caller has refused duplicates.
    pub fn new(words: Vec<Box<str>>, ordered: bool) -> Vocabulary {
        let codes = words.iter().enumerate().map(|(i, word)| (word.clone(), i as u32)).collect();
        Vocabulary { words, codes, ordered }
    }

    /// The channels of a schema that declares none.
    pub fn channels() -> Vocabulary {
        let words = ["app", "chatbot", "web", "sms", "push", "branch", "rm"];
        Vocabulary::new(words.map(Box::from).to_vec(), false)
    }

    /// All words, in the order of their codes.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// The word's place in the order, from 0.
    pub fn code(&self, word: &str) -> Option<u32> {
        self.codes.get(word).copied()
    }

    /// The word that a text means: itself, or what is left of it without the blanks at its ends.
    ///
    /// # Errors
    /// It is none of the words; with the nearest, or with all of them if they are few.
    pub fn find<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, String> {
        let found = [text, text.trim()].into_iter().find(|word| self.codes.contains_key(*word));
        found.map(Cow::Borrowed).ok_or_else(|| self.refusal(text))
    }

    /// The word at this place.
    pub fn word(&self, code: u32) -> Option<&str> {
        self.words.get(code as usize).map(|word| &**word)
    }

    /// The words whose bits are set; bit 0 is the first word.
    pub fn of_bits(&self, bits: u64) -> impl Iterator<Item = &str> {
        self.words
            .iter()
            .enumerate()
            .filter(move |(i, _)| *i < 64 && bits >> i & 1 == 1)
            .map(|(_, word)| &**word)
    }

    /// Whether `longer` begins with these words, and both agree on whether words are in order.
    pub fn is_prefix_of(&self, longer: &Vocabulary) -> bool {
        longer.words.starts_with(&self.words) && longer.ordered == self.ordered
    }

    /// Says that `found` is none of the words, with the nearest word, or with all of them if they are few.
    fn refusal(&self, found: &str) -> String {
        let mut text = format!("{} is not one of its {} values", quoted(found), self.words.len());
        if let Some(near) = nearest(found, self.words.iter().map(|w| &**w)) {
            text.push_str(&format!("; did you mean `{near}`?"));
        } else if self.words.len() <= 12 {
            text.push_str(&format!(": {}", self.words.join(", ")));
        }
        text
    }
}
