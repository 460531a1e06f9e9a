//! The languages of a request, by the text that names them. Nearly all requests name them in one of a few
//! texts, so each thread keeps what it read of some.

use std::cell::RefCell;

use crate::rules::rule_set::Languages;

/// How many texts a thread keeps.
const MAX_KEPT: usize = 8;
/// A longer text is read each time.
const MAX_BYTES: usize = 64;

#[derive(Default)]
struct Kept {
    texts: Vec<(Box<str>, Languages)>,
    /// Which one makes place for the next.
    next: usize,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// What [`Languages::read`] reads.
pub(super) fn languages(text: &str) -> Languages {
    if text.is_empty() || text.len() > MAX_BYTES {
        return Languages::read(text);
    }
    KEPT.with_borrow_mut(|kept| kept.languages(text))
}

impl Kept {
    fn languages(&mut self, text: &str) -> Languages {
        if let Some((_, languages)) = self.texts.iter().find(|(known, _)| **known == *text) {
            return languages.clone();
        }
        let languages = Languages::read(text);
        let one = (text.into(), languages.clone());
        if self.texts.len() < MAX_KEPT {
            self.texts.push(one);
        } else {
            self.texts[self.next] = one;
            self.next = (self.next + 1) % MAX_KEPT;
        }
        languages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_is_read() {
        let long = format!("zh-{}", "x".repeat(MAX_BYTES));
        let texts = ["zh-CN", "zh", "en", "", "ZH-cn", "de, en;q=0.5", "中文", &long];
        let others: Vec<String> = (b'a'..=b'z').map(|letter| format!("{}x", char::from(letter))).collect();
        for round in 0..3 {
            for text in texts.into_iter().chain(others.iter().map(String::as_str)) {
                let found = (languages(text).to_string(), languages(text).to_string());
                let expected = Languages::read(text).to_string();
                assert_eq!(found, (expected.clone(), expected), "{text} in round {round}");
            }
        }
        KEPT.with_borrow(|kept| assert_eq!(kept.texts.len(), MAX_KEPT));
    }
}
