//! The languages that a request asks for, and which of several things is in the best of them.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::language_tag::{LanguageTag, NO_LANGUAGE};
use super::locale::Locale;
use crate::input::cursor::Cursor;
use crate::input::problem::{Problems, quoted};

/// Languages in the order of preference, each followed by what serves it as well: `zh-Hant-TW`, `zh-TW`,
/// `zh-Hant`, `zh`.
#[derive(Debug, Clone, Default)]
pub struct Languages {
    /// `None` if there are none. Requests that ask for the same share them.
    wanted: Option<Arc<[Wanted]>>,
}

#[derive(Debug)]
struct Wanted {
    tag: LanguageTag,
    /// Whether the request itself names the tag.
    is_named: bool,
}

impl Languages {
    /// The most tags of a request that are read; the others are left out.
    pub const MAX_TAGS: usize = 16;
    /// The most bytes of a text that are read.
    const MAX_LIST_BYTES: usize = 1024;

    /// Reads one tag, or a list as in `Accept-Language`: `zh-TW,zh;q=0.9,en;q=0.8`. A tag in another form is
    /// read as far as it goes, and one that names no language is left out.
    ///
    /// ```
    /// use usher::rules::rule_set::Languages;
    /// assert_eq!(Languages::read("en_US.UTF-8").to_string(), "en-us");
    /// assert_eq!(Languages::read("fr;q=0.5, *;q=0.1, de").to_string(), "de, fr");
    /// assert!(Languages::read("*").is_empty());
    /// ```
    pub fn read(text: &str) -> Languages {
        Self::read_all([text])
    }

    /// Reads several texts, each as [`read`](Languages::read) does.
    pub fn read_all<'t>(texts: impl IntoIterator<Item = &'t str>) -> Languages {
        let tags = texts.into_iter().flat_map(tags_of).take(Self::MAX_TAGS);
        let (mut tags, refused): (Tags, Tags) = tags.partition(|(quality, _)| *quality > 0);
        tags.sort_by_key(|(quality, _)| u16::MAX - quality);
        let mut wanted = Vec::new();
        for (_, tag) in &tags {
            add(&mut wanted, tag, &refused);
        }
        Languages::of(wanted)
    }

    fn of(wanted: Vec<Wanted>) -> Languages {
        Languages { wanted: (!wanted.is_empty()).then(|| wanted.into()) }
    }

    fn wanted(&self) -> &[Wanted] {
        self.wanted.as_deref().unwrap_or_default()
    }

    /// Reads a request's languages from a document: one text as [`read`](Languages::read) takes it, or a list
    /// of such texts. What names no language is a problem, and is left out.
    pub fn of_document(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Languages {
        if !cursor.is_list() {
            let text = cursor.text(problems).unwrap_or_default();
            let languages = Languages::read(text);
            if languages.is_empty()
                && let Some(why) = Languages::doubt(text)
            {
                problems.push(cursor.problem(why));
            }
            return languages;
        }
        let mut texts: SmallVec<[&str; 4]> = SmallVec::new();
        let mut found = Problems::new();
        for item in cursor.items(problems).into_iter().flatten() {
            texts.extend(text_of(&item, &mut found));
        }
        problems.extend(found);
        Languages::read_all(texts)
    }

    /// Whether no language is asked for.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_none()
    }

    /// What is wrong with a text that should name languages: it names none, and does not say so either, as
    /// `*` and `C` do.
    pub fn doubt(text: &str) -> Option<String> {
        let says_none = |text: &str| {
            let name = text.split(['.', '@', ';']).next().unwrap_or_default().trim();
            name.is_empty() || name == "*" || NO_LANGUAGE.iter().any(|none| name.eq_ignore_ascii_case(none))
        };
        let names_one =
            |text: &str| text.split(',').any(|range| LanguageTag::read(before_quality(range)).is_some());
        let doubtful = !text.split(',').all(says_none) && !names_one(text);
        doubtful.then(|| format!("expected a locale such as zh, zh-CN or en, found {}", quoted(text)))
    }

    /// How well a locale serves: 0 is best. What has no locale serves last, and `None` does not serve.
    pub(crate) fn rank(&self, locale: Option<&Locale>) -> Option<usize> {
        match locale {
            None => Some(self.wanted().len()),
            Some(locale) => self.wanted().iter().position(|wanted| wanted.tag == locale.tag),
        }
    }
}

/// The languages of a request for this locale alone.
impl From<&Locale> for Languages {
    fn from(locale: &Locale) -> Languages {
        let mut wanted = Vec::new();
        add(&mut wanted, &locale.tag, &[]);
        Languages::of(wanted)
    }
}

/// The tags that the request names, the best first.
impl fmt::Display for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, wanted) in self.wanted().iter().filter(|wanted| wanted.is_named).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, wanted.tag)?;
        }
        Ok(())
    }
}

/// Adds a tag that the request names, and what serves it as well, but nothing that it refuses.
fn add(all: &mut Vec<Wanted>, tag: &LanguageTag, refused: &[(u16, LanguageTag)]) {
    let mut is_named = true;
    tag.wider(|tag| {
        let is_refused = refused.iter().any(|(_, other)| *other == tag);
        if !is_refused && !all.iter().any(|other| other.tag == tag) {
            all.push(Wanted { tag, is_named });
        }
        is_named = false;
    });
}

/// Tags, each with its quality in thousandths.
type Tags = SmallVec<[(u16, LanguageTag); 4]>;

/// The tags of a list, each with its quality in thousandths.
fn tags_of(text: &str) -> impl Iterator<Item = (u16, LanguageTag)> {
    let end = text.floor_char_boundary(Languages::MAX_LIST_BYTES);
    text[..end].split(',').filter_map(|range| {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        Some((thousandths(parameters), LanguageTag::read(tag)?))
    })
}

/// A text that names languages, or says that none is asked for.
fn text_of<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let text = cursor.text(problems)?;
    let doubt = Languages::doubt(text);
    doubt.map_or(Some(text), |why| {
        problems.push(cursor.problem(why));
        None
    })
}

fn before_quality(range: &str) -> &str {
    range.split(';').next().unwrap_or_default()
}

/// The quality of `;q=0.8` in thousandths: 1,000 unless it is said, or if it is not a number.
fn thousandths(parameters: &str) -> u16 {
    let q = parameters.split(';').map(str::trim).find_map(|p| p.strip_prefix("q=").or(p.strip_prefix("Q=")));
    let q = q.and_then(|q| q.trim().parse::<f32>().ok()).filter(|q| q.is_finite());
    q.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0).ceil() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> String {
        let languages = Languages::read(text);
        languages.wanted().iter().map(|wanted| wanted.tag.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_tag_is_served_by_what_means_the_same_and_by_what_is_wider() {
        for (text, expected) in [
            ("zh-Hant-TW", "zh-hant-tw zh-tw zh-hant zh"),
            ("zh-TW", "zh-tw zh-hant-tw zh-hant zh"),
            ("zh-Hans-CN", "zh-hans-cn zh-cn zh-hans zh"),
            ("zh-CN", "zh-cn zh-hans-cn zh-hans zh"),
            ("zh-HK", "zh-hk zh-hant-hk zh-hant zh"),
            ("zh-Hant", "zh-hant zh-hant-tw zh-tw zh"),
            ("zh", "zh zh-hans-cn zh-cn zh-hans"),
            ("en-GB", "en-gb en-latn-gb en-latn en"),
            ("sr-Latn-RS", "sr-latn-rs sr-latn sr"),
            ("sr-ME", "sr-me sr-latn-me sr-latn sr"),
            ("es-419", "es-419 es-latn-419 es-latn es"),
            ("nn", "nn nn-latn-no nn-no nn-latn nb"),
            ("tlh-Latn-XX", "tlh-latn-xx tlh-latn tlh"),
            ("de-DE-1996-x-foo", "de-de-1996-x-foo de-de-1996 de-de de-latn-de de-latn de"),
            ("ca-ES-valencia", "ca-es-valencia ca-es ca-latn-es ca-latn ca"),
            ("de-a-b-c-d-e-f", "de-a-b-c-d de-a-b de de-latn-de de-de de-latn"),
            ("english", "english"),
            ("x-bank-a", "x-bank-a x-bank"),
        ] {
            assert_eq!(all(text), expected, "{text}");
        }
    }

    #[test]
    fn a_locale_serves_if_its_whole_tag_is_wanted() {
        for (wanted, locale, expected) in [
            ("zh-TW", "zh-Hant", Some(2)),
            ("zh-TW", "zh-CN", None),
            ("ca-ES-valencia", "ca-ES-valencia", Some(0)),
            ("ca-ES-valencia", "ca-ES", Some(1)),
            ("ca-ES-valencia", "ca-ES-other", None),
            ("ca-ES", "ca-ES-valencia", None),
            ("x-bank-a", "x-bank", Some(1)),
            ("x-bank-a", "x-bank-b", None),
        ] {
            let locale = Locale::new(locale).unwrap();
            assert_eq!(Languages::read(wanted).rank(Some(&locale)), expected, "{wanted}, {locale:?}");
        }
        assert_eq!(Languages::read("ca-ES-valencia").rank(None), Some(5));
    }

    #[test]
    fn other_spellings_mean_the_same() {
        for (text, same) in [
            ("ZH_hant-tw", "zh-Hant-TW"),
            (" en-GB ", "en-GB"),
            ("en_US.UTF-8", "en-US"),
            ("de_DE@euro", "de-DE"),
            ("sr_RS.UTF-8@latin", "sr-Latn-RS"),
            ("zh_TW_#Hant", "zh-Hant-TW"),
            ("zh__#Hans", "zh-Hans"),
            ("zh-CN-Hans", "zh-Hans-CN"),
            ("zh-cmn-Hans-CN", "zh-Hans-CN"),
            ("cmn-TW", "zh-TW"),
            ("zh-yue-HK", "yue-HK"),
            ("eng", "en"),
            ("zho-TW", "zh-TW"),
            ("iw_IL", "he-IL"),
            ("in", "id"),
            ("no-NO", "nb-NO"),
            ("sh", "sr-Latn"),
            ("en-UK", "en-GB"),
            ("en-US-💥", "en-US"),
            ("en US", "en US"),
        ] {
            assert_eq!(all(text), all(same), "{text}");
        }
    }

    #[test]
    fn what_names_no_language_asks_for_none() {
        for (text, is_doubtful) in [
            ("", false),
            ("*", false),
            (" , *;q=0.5", false),
            ("C", false),
            ("POSIX", false),
            ("C.UTF-8", false),
            ("中文", true),
            ("-", true),
            ("123", true),
            ("en US", true),
            (";;q=,", false),
        ] {
            assert!(Languages::read(text).is_empty(), "{text}");
            assert_eq!(Languages::doubt(text).is_some(), is_doubtful, "{text}");
        }
        assert_eq!(Languages::doubt("💥, en"), None);
    }

    #[test]
    fn a_list_is_in_the_order_of_preference() {
        for (text, expected) in [
            ("fr;q=0.2, de;q=0.8, en", "en, de, fr"),
            ("fr, de", "fr, de"),
            ("fr ; q=0.1 , de ;Q=0.3", "de, fr"),
            ("fr;q=abc, de;q=0.9", "fr, de"),
            ("fr;q=0, de", "de"),
            ("zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7", "zh-tw, en-us"),
        ] {
            assert_eq!(Languages::read(text).to_string(), expected, "{text}");
        }
        assert_eq!(all("zh-TW, zh;q=0"), "zh-tw zh-hant-tw zh-hant");
        let many = (0..200).map(|i| format!("a{}", char::from(b'a' + i % 26))).collect::<Vec<_>>().join(",");
        assert!(Languages::read(&many).to_string().split(", ").count() <= Languages::MAX_TAGS);
        assert!(Languages::read(&"é".repeat(5_000)).is_empty());
        // The bound is on all texts together, and what is refused counts.
        let fifteen = (0..15).map(|i| format!("a{}", char::from(b'a' + i))).collect::<Vec<_>>().join(",");
        for (last, expected) in [("fr, de", 16), ("fr;q=0, de", 15)] {
            let read = Languages::read_all([&*fifteen, last, "en, nl"]).to_string();
            assert_eq!(read.split(", ").count(), expected, "{read}");
        }
    }
}
