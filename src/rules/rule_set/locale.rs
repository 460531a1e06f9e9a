//! The language of a treatment or a reason, as a data team writes it.

use super::cldr::{CLDR, LANGUAGES, NAMES, REGIONS, SCRIPTS, packed, pairs};
use super::language_tag::LanguageTag;
use super::languages::Languages;
use crate::input::problem::{nearest, quoted};

/// A language tag in the form of BCP 47, in lower case: `zh-cn`.
#[derive(Debug, Clone)]
pub struct Locale {
    text: Box<str>,
    /// What requests are compared with.
    pub(super) tag: LanguageTag,
}

/// Two locales are the same if they are written alike.
impl PartialEq for Locale {
    fn eq(&self, other: &Locale) -> bool {
        self.text == other.text
    }
}

impl Eq for Locale {}

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
    /// assert_eq!(Locale::new("zh_Hans-CN").unwrap().as_str(), "zh-hans-cn");
    /// assert!(Locale::new("中文").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Locale, String> {
        let tag = text.replace('_', "-").to_ascii_lowercase();
        let part =
            |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let first = tag.split('-').next().is_some_and(|first| first.bytes().all(|b| b.is_ascii_alphabetic()));
        if tag.len() <= Locale::MAX_BYTES && first && tag.split('-').all(part) {
            let read = LanguageTag::read(&tag).unwrap_or_else(|| LanguageTag::verbatim(&tag));
            Ok(Locale { text: tag.into(), tag: read })
        } else {
            let expected = format!("expected a locale such as zh, zh-CN or en, found {}", quoted(text));
            Err(meant(text).map_or(expected.clone(), |tag| format!("{expected}; did you mean `{tag}`?")))
        }
    }

    /// The language tag in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
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
        let mut parts = self.text.split('-');
        let language = parts.next().unwrap_or_default();
        if let Some(oddity) = oddity_of_language(language) {
            return Some(oddity);
        }
        let rest: Vec<&str> = parts.collect();
        if rest.contains(&"uk") {
            return Some("the region of the United Kingdom is `GB`".into());
        }
        if let [region, script, ..] = rest[..]
            && is_region(region)
            && is_script(script)
        {
            return Some("the script comes before the region, as in `zh-Hans-CN`".into());
        }
        let first = rest.first()?;
        if !is_region(first) && !is_script(first) {
            return Some(
                "behind the language comes a script such as `Hans`, or a region such as `CN`".into(),
            );
        }
        rest.iter().find_map(|part| oddity_of_part(part))
    }
}

/// The tag that a text in another form means, such as `en_US.UTF-8` or `Portuguese`.
fn meant(text: &str) -> Option<String> {
    let first = text.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty())?;
    let known = |code: &str| LANGUAGES.split(' ').any(|known| known == code);
    match LanguageTag::read(text).filter(|_| known(&first.to_ascii_lowercase())) {
        Some(tag) => Some(tag.usually_written()),
        None => code_of_name(&first.to_lowercase()).map(str::to_owned),
    }
}

/// The code of the language with this name, or with the name that is nearest.
fn code_of_name(name: &str) -> Option<&'static str> {
    let names = || pairs(NAMES).chain(MISTAKEN);
    let near = nearest(name, names().map(|(name, _)| name)).filter(|_| name.len() > 3)?;
    names().find(|(name, _)| *name == near).map(|(_, code)| code)
}

fn is_region(part: &str) -> bool {
    match part.len() {
        2 => part.bytes().all(|b| b.is_ascii_alphabetic()),
        3 => part.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

fn is_script(part: &str) -> bool {
    part.len() == 4 && part.bytes().all(|b| b.is_ascii_alphabetic())
}

/// What is odd about a code or name of a language in lower case.
fn oddity_of_language(language: &str) -> Option<String> {
    if NO_LANGUAGES.contains(&language) {
        return Some("leave the locale out: then it serves all languages".into());
    }
    let meant = |code: &str| Some(format!("did you mean `{code}`?"));
    if let Some((_, code)) = MISTAKEN.iter().find(|(name, _)| *name == language) {
        return meant(code);
    }
    let usual = CLDR.usual(packed(language));
    if (2..=3).contains(&language.len()) && LANGUAGES.split(' ').any(|code| code == language) {
        return None;
    }
    if let Some(code) = LANGUAGES.split(' ').find(|code| language.len() <= 3 && packed(code) == usual) {
        return meant(code);
    }
    match code_of_name(language) {
        Some(code) => meant(code),
        None => Some("write the language as two or three letters, as in `en` or `zh-CN`".into()),
    }
}

/// What is odd about a script or region that does not exist.
fn oddity_of_part(part: &str) -> Option<String> {
    let (what, codes) = match part {
        part if is_region(part) => ("region", REGIONS),
        part if is_script(part) => ("script", SCRIPTS),
        _ => return None,
    };
    if codes.split(' ').any(|code| code.eq_ignore_ascii_case(part)) {
        return None;
    }
    let lower = codes.to_ascii_lowercase();
    let near = nearest(part, lower.split(' ')).filter(|_| what == "script");
    let near = near.and_then(|near| codes.split(' ').find(|code| code.eq_ignore_ascii_case(near)));
    Some(match near {
        Some(near) => format!("there is no {what} `{part}`; did you mean `{near}`?"),
        None => format!(
            "there is no {what} `{part}`: regions are such as `CN`, `GB` and `419`, scripts such as `Hans`"
        ),
    })
}

/// What people write where no language is meant.
const NO_LANGUAGES: [&str; 4] = ["all", "any", "default", "none"];

/// What people write for a language besides its name, with what requests name it: mostly codes of countries.
const MISTAKEN: [(&str, &str); 15] = [
    ("cn", "zh"),
    ("chn", "zh"),
    ("mandarin", "zh"),
    ("norwegian", "nb"),
    ("cz", "cs"),
    ("dk", "da"),
    ("us", "en"),
    ("usa", "en"),
    ("gb", "en"),
    ("gr", "el"),
    ("jp", "ja"),
    ("kr", "ko"),
    ("ua", "uk"),
    ("vn", "vi"),
    ("my", "ms"),
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

    /// Another value in the place of each.
    pub(crate) fn map<U>(&self, other: impl Fn(&T) -> U) -> Localized<U> {
        Localized {
            values: self.values.iter().map(|(locale, value)| (locale.clone(), other(value))).collect(),
        }
    }

    /// The locales that have a value of their own.
    pub fn locales(&self) -> impl Iterator<Item = &Locale> {
        self.values.iter().filter_map(|(locale, _)| locale.as_ref())
    }

    /// The value for these languages that [`best`] finds; without one, the first value.
    pub fn for_languages(&self, languages: Option<&Languages>) -> Option<&T> {
        let found = best(languages, self.values.iter(), |(own, _)| own.as_ref(), |_| true);
        found.or_else(|| self.values.first()).map(|(_, value)| value)
    }
}

/// From items that are each for one locale or for none, picks the best for these languages: see
/// [`Languages::rank`]. Of equals it is the first.
pub(crate) fn best<T>(
    languages: Option<&Languages>,
    all: impl Iterator<Item = T>,
    locale_of: impl Fn(&T) -> Option<&Locale>,
    fits: impl Fn(&T) -> bool,
) -> Option<T> {
    let mut best: Option<(usize, T)> = None;
    for thing in all {
        let locale = locale_of(&thing);
        let rank = match languages {
            Some(languages) => languages.rank(locale),
            None => locale.is_none().then_some(0),
        };
        let Some(rank) = rank.filter(|rank| best.as_ref().is_none_or(|(best, _)| rank < best)) else {
            continue;
        };
        if fits(&thing) {
            best = Some((rank, thing));
            if rank == 0 {
                break;
            }
        }
    }
    best.map(|(_, thing)| thing)
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
            let found = texts.for_languages(wanted.map(Languages::read).as_ref());
            assert_eq!(found.map(String::as_str), expected, "{names:?} {wanted:?}");
        }
    }
}
