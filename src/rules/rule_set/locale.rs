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

    /// What is odd about a tag that requests hardly use, such as `english` or `en-uk`: what to write instead.
    ///
    /// ```
    /// use usher::rules::rule_set::Locale;
    /// let oddity = |text| Locale::new(text).unwrap().oddity();
    /// assert_eq!(oddity("english").unwrap(), "did you mean `en`?");
    /// assert_eq!(oddity("pt-BR"), None);
    /// ```
    pub fn oddity(&self) -> Option<String> {
        let mut parts = self.0.split('-');
        let language = parts.next().unwrap_or_default();
        if let Some((_, meant)) = MISTAKEN.iter().find(|(name, _)| *name == language) {
            return Some(match *meant {
                "" => "leave the locale out: then it serves all languages".into(),
                meant => format!("did you mean `{meant}`?"),
            });
        }
        let known = match language.len() {
            2 => LANGUAGES.split(' ').any(|known| known == language),
            3 => true,
            _ => false,
        };
        if !known {
            return Some("write the language as two or three letters, as in `en` or `zh-CN`".into());
        }
        let rest: Vec<&str> = parts.collect();
        let is_region = |part: &str| match part.len() {
            2 => part.bytes().all(|b| b.is_ascii_alphabetic()),
            3 => part.bytes().all(|b| b.is_ascii_digit()),
            _ => false,
        };
        let is_script = |part: &str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_alphabetic());
        if rest.contains(&"uk") {
            return Some("the region of the United Kingdom is `GB`".into());
        }
        match rest[..] {
            [part, ..] if !is_region(part) && !is_script(part) => {
                Some("behind the language comes a script such as `Hans`, or a region such as `CN`".into())
            }
            [region, script, ..] if is_region(region) && is_script(script) => {
                Some("the script comes before the region, as in `zh-Hans-CN`".into())
            }
            _ => None,
        }
    }

    /// This tag, then the tag without its last part, and so on: `zh-hans-cn`, `zh-hans`, `zh`.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(&*self.0), |tag| tag.rsplit_once('-').map(|(wider, _)| wider))
    }
}

/// The languages of ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de \
     dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io \
     is it iu iw ja ji jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr \
     ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl \
     sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// What people write for a language, with what requests name it. Empty: it means no language.
const MISTAKEN: [(&str, &str); 33] = [
    ("all", ""),
    ("any", ""),
    ("default", ""),
    ("none", ""),
    ("arabic", "ar"),
    ("chinese", "zh"),
    ("cn", "zh"),
    ("chn", "zh"),
    ("czech", "cs"),
    ("cz", "cs"),
    ("danish", "da"),
    ("dk", "da"),
    ("dutch", "nl"),
    ("english", "en"),
    ("us", "en"),
    ("gb", "en"),
    ("french", "fr"),
    ("german", "de"),
    ("greek", "el"),
    ("gr", "el"),
    ("hindi", "hi"),
    ("italian", "it"),
    ("japanese", "ja"),
    ("jp", "ja"),
    ("korean", "ko"),
    ("mandarin", "zh"),
    ("polish", "pl"),
    ("russian", "ru"),
    ("spanish", "es"),
    ("swedish", "sv"),
    ("turkish", "tr"),
    ("thai", "th"),
    ("ua", "uk"),
];

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

    /// The locales that have a value of their own.
    pub fn locales(&self) -> impl Iterator<Item = &Locale> {
        self.values.iter().filter_map(|(locale, _)| locale.as_ref())
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
