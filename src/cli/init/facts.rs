//! What the texts of one column have in common.

use std::collections::{BTreeSet, HashSet};

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use xxhash_rust::xxh3::xxh3_64;

use crate::bundle::import::Signs;
use crate::schema::value::Time;
use crate::schema::{MAX_SET_VALUES, told};

/// The most different texts of a column that are kept.
pub(super) const MAX_WORDS: usize = 300;
/// The most bytes of a text that may be a word of a vocabulary.
const MAX_WORD_BYTES: usize = 64;
/// The most rows up to which it is looked whether all texts differ.
const MAX_DIFFERENT: usize = 5_000_000;
/// How numbers are written with a comma before decimals, and with one between thousands.
const COMMAS: Signs = Signs { decimal: Some(','), thousands: Some('.') };
const GROUPED: Signs = Signs { decimal: None, thousands: Some(',') };

/// Patterns of times that are tried, the most likely first.
const PATTERNS: [&str; 6] = ["%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y", "%d-%b-%y", "%Y%m%d"];
/// What may stand behind the day: the clock of Europe, of America and of Oracle.
const CLOCKS: [&str; 7] =
    ["", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I.%M.%S.%f %p", " %I.%M.%S.%f %p %:z"];

/// What is known of a column so far.
pub(super) struct Facts {
    pub(super) name: String,
    /// Whether a cell has blanks around its text.
    pub(super) padded: bool,
    /// Texts that say something, and cells that say nothing.
    pub(super) given: u64,
    pub(super) empty: u64,
    /// Words such as `NaN` that the column has.
    pub(super) nothing: BTreeSet<String>,
    /// Different texts in the order in which they came, up to [`MAX_WORDS`] and one more.
    pub(super) words: Vec<String>,
    known: HashSet<String>,
    /// Hashes of all texts, as long as they all differ.
    hashes: Option<HashSet<u64>>,
    pub(super) truths: bool,
    pub(super) numbers: Numbers,
    /// How numbers have a comma before decimals, and a point between thousands.
    pub(super) commas: Numbers,
    /// The same the other way round.
    pub(super) grouped: Numbers,
    /// Ways to write a time in which all texts are one.
    times: Vec<TimeForm>,
    /// Different words of a list, by what stands between them; `None` if there are too many.
    lists: Vec<(&'static str, Option<BTreeSet<String>>, bool)>,
    /// Whether all texts can be words of a vocabulary.
    pub(super) are_words: bool,
}

/// What numbers have in common.
#[derive(Clone)]
pub(super) struct Numbers {
    /// Whether all texts are numbers.
    pub(super) all: bool,
    /// Whether all texts are whole numbers.
    whole: bool,
    /// Whether one has a sign that tells the notation.
    pub(super) told: bool,
    pub(super) decimals: usize,
    /// The most digits from the first that is not 0.
    pub(super) digits: usize,
    /// Whether one has an exponent, or more digits than a decimal may have.
    pub(super) wide: bool,
    /// Whether one begins with a zero that a number would not have.
    pub(super) zeros: bool,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// A way to write a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TimeForm {
    /// As data may have it anyway.
    Told,
    /// As that, but without an offset.
    Naive,
    /// By a pattern; whether it has a time of day without its offset.
    Pattern(String, bool),
}

impl Facts {
    pub(super) fn new(name: &str) -> Facts {
        let patterns = PATTERNS.iter().flat_map(|day| CLOCKS.iter().map(move |clock| (day, clock)));
        let patterns = patterns.map(|(day, clock)| {
            let local = !clock.is_empty() && !clock.ends_with('z');
            TimeForm::Pattern(format!("{day}{clock}"), local)
        });
        let lists = ["|", "[]", ",", ";"].map(|separator| (separator, Some(BTreeSet::new()), false));
        Facts {
            name: name.to_owned(),
            padded: false,
            given: 0,
            empty: 0,
            nothing: BTreeSet::new(),
            words: Vec::new(),
            known: HashSet::new(),
            hashes: Some(HashSet::new()),
            truths: true,
            numbers: Numbers::new(),
            commas: Numbers::new(),
            grouped: Numbers::new(),
            times: [TimeForm::Told, TimeForm::Naive].into_iter().chain(patterns).collect(),
            lists: lists.into(),
            are_words: true,
        }
    }

    /// Takes one cell.
    pub(super) fn take(&mut self, text: &str) {
        self.padded |= text.trim().len() < text.len();
        let text = text.trim();
        if text.is_empty() || told::clears(text) {
            self.empty += 1;
            return;
        }
        if told::may_clear(text) {
            self.empty += 1;
            self.nothing.insert(text.to_owned());
            return;
        }
        self.given += 1;
        if let Some(hashes) = &mut self.hashes
            && (hashes.len() > MAX_DIFFERENT || !hashes.insert(xxh3_64(text.as_bytes())))
        {
            self.hashes = None;
        }
        if self.words.len() <= MAX_WORDS && self.known.insert(text.to_owned()) {
            self.words.push(text.to_owned());
        }
        self.are_words &= text.len() <= MAX_WORD_BYTES && !text.chars().any(|c| c.is_control() || c == '|');
        self.truths &= told::truth(text).is_some();
        self.numbers.take(text, Some(text), false);
        self.commas.take(text, COMMAS.plain(text).ok().as_deref(), text.contains(','));
        self.grouped.take(text, GROUPED.plain(text).ok().as_deref(), text.contains(','));
        self.times.retain(|form| form.read(text).is_some());
        for (separator, words, several) in &mut self.lists {
            let parts = parts_of(text, separator);
            *several |= parts.as_ref().is_some_and(|parts| parts.len() > 1 || *separator == "[]");
            *words = match (words.take(), parts) {
                (Some(mut words), Some(parts)) => {
                    words.extend(parts.into_iter().map(str::to_owned));
                    Some(words).filter(|words| words.len() <= MAX_SET_VALUES)
                }
                _ => None,
            };
        }
    }

    /// Whether there are at least so many texts, and all differ.
    pub(super) fn are_different(&self, least: u64) -> bool {
        self.given >= least && self.hashes.is_some()
    }

    /// The first way to write a time in which all texts are one, and whether a second one reads them, too.
    pub(super) fn time(&self) -> Option<(&TimeForm, bool)> {
        let first = self.times.first().filter(|_| self.given > 0)?;
        let second = matches!(first, TimeForm::Pattern(..)) && self.times.len() > 1;
        Some((first, second))
    }

    /// The words of a list with the sign between them, if all texts are such lists and one has several words.
    pub(super) fn list(&self) -> Option<(&'static str, &BTreeSet<String>)> {
        self.lists.iter().find_map(|(separator, words, several)| {
            let words = words.as_ref().filter(|words| *several && !words.is_empty())?;
            let short = words.iter().all(|word| word.len() <= 30 && word.split(' ').count() <= 3);
            // A comma may also stand within a name.
            let few = matches!(*separator, "|" | "[]") || words.len() <= self.words.len();
            (short && few).then_some((*separator, words))
        })
    }
}

fn parts_of<'t>(text: &'t str, separator: &str) -> Option<Vec<&'t str>> {
    let parts = match separator {
        "[]" => told::items(text)?,
        _ if text.starts_with(['[', '{', '(']) => return None,
        separator => text.split(separator).map(str::trim).filter(|part| !part.is_empty()).collect(),
    };
    parts.iter().all(|part| !part.contains('|')).then_some(parts)
}

impl Numbers {
    fn new() -> Numbers {
        Numbers {
            all: true,
            whole: true,
            told: false,
            decimals: 0,
            digits: 0,
            wide: false,
            zeros: false,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }

    /// Takes a text; `plain` is the same number with a point before decimals and nothing between thousands.
    fn take(&mut self, text: &str, plain: Option<&str>, told: bool) {
        if !self.all {
            return;
        }
        let read = plain.and_then(|plain| plain.parse::<f64>().ok().map(|x| (plain, x)));
        let Some((plain, x)) = read else {
            self.all = false;
            return;
        };
        self.all = x.is_finite();
        self.whole &= told::scaled(plain, 0).is_some();
        self.told |= told;
        (self.least, self.most) = (self.least.min(x), self.most.max(x));
        let fraction = plain.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
        self.decimals = self.decimals.max(fraction.len());
        let mantissa = plain.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        self.digits = self.digits.max(digits.trim_start_matches('0').len());
        self.wide |= plain.len() > mantissa.len() || digits.len() > 15;
        let unsigned = text.trim_start_matches(['+', '-']).as_bytes();
        self.zeros |= unsigned.first() == Some(&b'0') && unsigned.get(1).is_some_and(u8::is_ascii_digit);
    }

    /// Whether all are whole.
    pub(super) fn are_whole(&self) -> bool {
        self.all && self.whole && self.least.abs().max(self.most.abs()) < 9.0e15
    }
}

impl TimeForm {
    fn read(&self, text: &str) -> Option<Time> {
        let utc = TimeZone::UTC;
        let time = match self {
            TimeForm::Told => told::time(text, &utc, None).ok()?,
            TimeForm::Naive => told::time(text, &utc, Some(&utc)).ok()?,
            TimeForm::Pattern(pattern, _) => {
                let local = BrokenDownTime::parse(pattern, text).ok()?.to_datetime().ok()?;
                Time(local.to_zoned(utc).ok()?.timestamp().as_microsecond())
            }
        };
        // Twelve hours more or less depend on the zone. A feature may have no other time.
        (Time::from_seconds(-86_400)..Time::from_seconds(i64::from(u32::MAX))).contains(&time).then_some(time)
    }
}
