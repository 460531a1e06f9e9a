//! Languages: `zh-CN` is served by `zh-CN`, else by `zh`, else by what has no locale.

use crate::input::problem::quoted;

/// A language tag in the form of BCP 47, in lower case: `zh-cn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale(Box<str>);

impl Locale {
    /// The most bytes that a locale may have.
    pub const MAX_BYTES: usize = 35;

    /// Reads `zh`, `zh-CN`, `zh_cn`.
    ///
    /// # Errors
    /// A sentence that says what a locale looks like.
    ///
    /// ```
    /// use usher::rules::rule_set::Locale;
    /// let wider: Vec<_> = Locale::new("zh_Hans-CN").unwrap().chain().map(str::to_owned).collect();
    /// assert_eq!(wider, ["zh-hans-cn", "zh-hans", "zh"]);
    /// assert!(Locale::new("中文").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Locale, String> {
        let tag = text.replace('_', "-").to_ascii_lowercase();
        let part =
            |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let first = tag.split('-').next().is_some_and(|first| first.bytes().all(|b| b.is_ascii_alphabetic()));
        if tag.len() <= Locale::MAX_BYTES && first && tag.split('-').all(part) {
            Ok(Locale(tag.into()))
        } else {
            Err(format!("expected a locale such as zh, zh-CN or en, found {}", quoted(text)))
        }
    }

    /// The language tag in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This tag, then the tag without its last part, and so on: `zh-hans-cn`, `zh-hans`, `zh`.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(&*self.0), |tag| tag.rsplit_once('-').map(|(wider, _)| wider))
    }
}

/// One value for each locale, and perhaps one for all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Localized<T> {
    values: Vec<(Option<Locale>, T)>,
}

impl<T> Localized<T> {
    /// Takes these values; `None` stands for all locales without a value of their own.
    pub fn new(values: Vec<(Option<Locale>, T)>) -> Localized<T> {
        Localized { values }
    }

    /// The value for `locale` that [`best`] finds; without one, the first value.
    pub fn for_locale(&self, locale: Option<&Locale>) -> Option<&T> {
        let found = best(locale, || self.values.iter(), |(own, _)| own.as_ref());
        found.or_else(|| self.values.first()).map(|(_, value)| value)
    }
}

/// From items that are each for one locale or for none, picks the best for `locale`: its own, else a wider
/// one's, else the one for none.
pub(crate) fn best<T, I: Iterator<Item = T>>(
    locale: Option<&Locale>,
    all: impl Fn() -> I,
    locale_of: impl Fn(&T) -> Option<&Locale>,
) -> Option<T> {
    let exact = |tag: &str| all().find(|thing| locale_of(thing).is_some_and(|own| own.as_str() == tag));
    let own = locale.and_then(|locale| locale.chain().find_map(exact));
    own.or_else(|| all().find(|thing| locale_of(thing).is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_falls_back_to_wider_ones_then_the_default_then_the_first() {
        let locale = |text: &str| Locale::new(text).unwrap();
        let texts = |names: &[&str]| {
            let value = |name: &&str| ((*name != "default").then(|| locale(name)), name.to_string());
            Localized::new(names.iter().map(value).collect())
        };
        for (names, wanted, expected) in [
            (&["en", "zh"][..], Some("zh-CN"), Some("zh")),
            (&["zh-cn", "zh"], Some("zh-CN"), Some("zh-cn")),
            (&["zh", "default"], Some("fr"), Some("default")),
            (&["en", "zh"], Some("fr"), Some("en")),
            (&["en", "zh"], None, Some("en")),
            (&[], Some("zh"), None),
        ] {
            let texts = texts(names);
            let found = texts.for_locale(wanted.map(locale).as_ref());
            assert_eq!(found.map(String::as_str), expected, "{names:?} {wanted:?}");
        }
    }
}
