//! Terms and their keys in words that people understand: `aum`, `at least 500000`.

mod written;

use super::experiment::Experiment;
use super::keys::Keys;
use super::term::{Number, Term, TermId, Terms, Texts, WEEK_MINUTES};
use super::{NO_VARIANT, Node, Tag};
use crate::schema::value::{SECOND, Value};
use crate::schema::{Kind, Schema, Vocabulary};

/// The most values, or ranges, that are listed one by one.
const MAX_LISTED: u64 = 5;
/// The most bytes of a computed term's text; beyond them it is cut.
const MAX_TERM_BYTES: usize = 200;

/// What naming terms needs: the schema, the terms, and the tags of each rule set.
#[derive(Clone, Copy)]
pub(crate) struct Words<'w> {
    pub(crate) schema: &'w Schema,
    pub(crate) terms: &'w Terms,
    pub(crate) tags: &'w [Vec<Tag>],
}

impl Words<'_> {
    /// The term as a condition would write it.
    pub(crate) fn term(&self, id: TermId) -> String {
        match self.terms.get(id) {
            Term::Feature(feature, ..) | Term::Bits(feature, ..) => {
                self.schema.feature(*feature).name.to_string()
            }
            Term::Computed(scoped, _) | Term::Text(scoped, _) | Term::Truth(scoped) => {
                let mut text = String::new();
                self.write(&scoped.node, scoped.tags, &mut text);
                if text.len() > MAX_TERM_BYTES {
                    let end = (0..MAX_TERM_BYTES).rev().find(|at| text.is_char_boundary(*at));
                    text.truncate(end.unwrap_or(0));
                    text.push('…');
                }
                text
            }
            Term::WeekMinute(zone) => {
                format!("time of the week in {}", zone.iana_name().unwrap_or("its time zone"))
            }
        }
    }

    /// What a term has to be so that its key is one of these. The text can follow "would have to be" and
    /// "needs".
    pub(crate) fn needs(&self, id: TermId, keys: &Keys) -> String {
        let term = self.terms.get(id);
        let mut text = match term {
            _ if keys.ranges().is_empty() => String::new(),
            Term::Bits(feature, _, mask) => match &self.schema.feature(*feature).kind {
                Kind::Set(words) if keys.ranges().len() == 1 => bits(words, *mask, keys),
                _ => String::new(),
            },
            Term::Text(_, words) => texts(words, keys),
            Term::WeekMinute(_) => ranges(keys, |first, last| {
                format!("{} to {}", week_minute(first), week_minute((last + 1) % WEEK_MINUTES))
            }),
            Term::Feature(feature, ..) => match &self.schema.feature(*feature).kind {
                Kind::Enum(words) => enumerated(words, keys),
                _ => self.ordered(id, keys),
            },
            Term::Computed(scoped, _) => match &scoped.node {
                Node::Rank(_, words) => enumerated(words, &places(words, keys)),
                Node::Variant(experiment) => variants(experiment, keys),
                Node::Code(feature) => match self.schema.feature(*feature).kind.result() {
                    Kind::Enum(words) => enumerated(words, &places(words, keys)),
                    _ => self.ordered(id, keys),
                },
                _ => self.ordered(id, keys),
            },
            Term::Truth(_) => self.ordered(id, keys),
        };
        if keys.has_none() {
            text.push_str(if text.is_empty() { "missing" } else { " or missing" });
        }
        text
    }

    /// Keys in the order of their values, such as `at least 18 and at most 29`.
    fn ordered(&self, id: TermId, keys: &Keys) -> String {
        let term = self.terms.get(id);
        let last = match term {
            Term::Computed(_, Number::Double) => term.last(self.schema) - 1, // the last key is NaN
            _ => term.last(self.schema),
        };
        let others = keys.others(last);
        if others.ranges().is_empty() {
            return "known".into();
        }
        let value = |key| self.key(id, key);
        let to_the_end =
            matches!(keys.ranges(), [(first, end)] if first < end && (*first == 0 || *end == last));
        if count(keys) <= MAX_LISTED && !to_the_end {
            return joined(listed(keys).map(value), " or ");
        }
        if count(&others) <= 2 && keys.ranges().len() > 1 {
            return format!("anything but {}", joined(listed(&others).map(value), " and "));
        }
        if self.is_time(id) {
            return ranges(keys, |first, end| match (first > 0, end < last) {
                (true, true) => format!("from {} on and before {}", value(first), value(end + 1)),
                (true, false) => format!("from {} on", value(first)),
                _ => format!("before {}", value(end + 1)),
            });
        }
        ranges(keys, |first, end| match (first > 0, end < last) {
            (true, true) => {
                format!("{} and {}", self.lower(&value, first), self.upper(&value, end))
            }
            (true, false) => self.lower(&value, first),
            _ => self.upper(&value, end),
        })
    }

    fn is_time(&self, id: TermId) -> bool {
        match self.terms.get(id) {
            Term::Feature(feature, ..) => self.schema.feature(*feature).kind == Kind::Time,
            Term::Computed(_, number) => *number == Number::Time,
            _ => false,
        }
    }

    /// "At least" or "above", whichever has the shorter number. Nobody would say the number after 0.7 in
    /// single precision.
    fn lower(&self, value: &impl Fn(u64) -> String, first: u64) -> String {
        let (at_least, above) = (value(first), value(first - 1));
        if above.len() < at_least.len() { format!("above {above}") } else { format!("at least {at_least}") }
    }

    fn upper(&self, value: &impl Fn(u64) -> String, end: u64) -> String {
        let (at_most, below) = (value(end), value(end + 1));
        if below.len() < at_most.len() { format!("below {below}") } else { format!("at most {at_most}") }
    }

    /// The value that a key stands for.
    pub(crate) fn key(&self, id: TermId, key: u64) -> String {
        match self.terms.get(id).value(self.schema, key) {
            Some(value) => plain(&value),
            None => if key == 1 { "true" } else { "false" }.into(),
        }
    }
}

/// A value as people write it, not programs: `gold` without quotes, `30 days` instead of seconds.
pub(crate) fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Duration(d) => duration(*d),
        other => other.to_string(),
    }
}

fn duration(microseconds: i64) -> String {
    for (unit, name) in [(86_400 * SECOND, "days"), (3_600 * SECOND, "hours"), (60 * SECOND, "minutes")] {
        if microseconds != 0 && microseconds % unit == 0 {
            return format!("{} {name}", microseconds / unit);
        }
    }
    format!("{} s", microseconds as f64 / SECOND as f64)
}

fn count(keys: &Keys) -> u64 {
    keys.ranges().iter().fold(0_u64, |sum, (first, last)| sum.saturating_add(last - first).saturating_add(1))
}

fn listed(keys: &Keys) -> impl Iterator<Item = u64> {
    keys.ranges().iter().flat_map(|(first, last)| *first..=*last).take(MAX_LISTED as usize)
}

fn joined(items: impl Iterator<Item = String>, between_last: &str) -> String {
    let mut items: Vec<String> = items.collect();
    match items.pop() {
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{}{between_last}{last}", items.join(", ")),
        None => String::new(),
    }
}

fn ranges(keys: &Keys, name: impl Fn(u64, u64) -> String) -> String {
    let shown = keys.ranges().iter().take(MAX_LISTED as usize).map(|(first, last)| name(*first, *last));
    let text = joined(shown, ", or ");
    if keys.ranges().len() > MAX_LISTED as usize { text + " …" } else { text }
}

fn enumerated(words: &Vocabulary, keys: &Keys) -> String {
    let last = (words.words().len() as u64).saturating_sub(1);
    let word = |key: u64| words.word(key as u32).unwrap_or("?").to_owned();
    let others = keys.others(last);
    match keys.ranges() {
        _ if others.ranges().is_empty() => "known".into(),
        [(first, end)] if words.ordered && *end == last && first < end => {
            format!("at least {}", word(*first))
        }
        [(0, end)] if words.ordered && *end > 0 => format!("at most {}", word(*end)),
        _ if count(&others) < count(keys) && count(&others) <= MAX_LISTED => {
            format!("anything but {}", joined(listed(&others).map(word), " and "))
        }
        _ if count(keys) <= MAX_LISTED => joined(listed(keys).map(word), " or "),
        _ => format!("one of {} words, such as {}", count(keys), joined(listed(keys).map(word), " or ")),
    }
}

/// Turns keys of ints into the places of words that they stand for.
fn places(words: &Vocabulary, keys: &Keys) -> Keys {
    const ZERO: u64 = 1 << 63; // the keys of negative ints come first
    let last = ZERO + (words.words().len() as u64).saturating_sub(1);
    let within = keys.intersection(&Keys::range(ZERO, last));
    Keys::of(within.ranges().iter().map(|(first, end)| (first - ZERO, end - ZERO)))
}

/// The variants with these keys. No customer has any other key.
fn variants(experiment: &Experiment, keys: &Keys) -> String {
    let has = |place: i64| keys.contains(Some(super::term::int_key(place)));
    let names = experiment.variants.iter().enumerate().filter(|(place, _)| has(*place as i64));
    let none = has(NO_VARIANT).then(|| "no variant".to_owned());
    joined(names.map(|(_, variant)| variant.name.to_string()).chain(none), " or ")
}

fn bits(words: &Vocabulary, mask: u64, keys: &Keys) -> String {
    let names = || words.of_bits(mask).map(str::to_owned);
    match keys.ranges() {
        [(1, 1)] => format!("one that has {}", joined(names(), " or ")),
        [(0, 0)] => format!("one without {}", joined(names(), " and ")),
        _ => "known".into(),
    }
}

fn texts(words: &Texts, keys: &Keys) -> String {
    let text = |key: u64| match words.get(key) {
        Some(word) => format!("'{word}'"),
        None => "another text".into(),
    };
    let others = keys.others(u64::MAX);
    if others.ranges().is_empty() {
        "known".into()
    } else if count(keys) > words.len() {
        format!("anything but {}", joined(listed(&others).map(text), " and "))
    } else {
        joined(listed(keys).map(text), " or ")
    }
}

fn week_minute(minute: u64) -> String {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let (day, minute) = (minute / (24 * 60) % 7, minute % (24 * 60));
    format!("{} {:02}:{:02}", DAYS[day as usize], minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::super::normalise::Normaliser;
    use super::super::{Scope, Syntax, TagNames};
    use super::*;
    use crate::input::origin::Origin;

    const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: 0, max: 120}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000000}
  score: {kind: float}
  tier: {kind: enum, values: [mass, silver, gold, private], ordered: true}
  job: {kind: enum, values: [a, b, c, d, e, f, g]}
  consent: {kind: bool}
  likes: {kind: set, values: [fx, fund, card]}
  seen: {kind: time}
context:
  page: {kind: string}
  level: {kind: enum, values: [low, mid, high], ordered: true}
";

    /// The atoms of a condition in words, alternatives separated by `|`.
    fn words(text: &str) -> String {
        let schema = Schema::parse("s", SCHEMA).unwrap();
        let scope = Scope { tags: &TagNames::new(["rich"]), ..Scope::of(&schema) };
        let read = |text: &str| scope.condition(&Syntax::parse(text, Origin::default()).unwrap()).unwrap();
        let tags = vec![vec![Tag { name: "rich".into(), condition: read("age > 3 || consent") }]];
        let mut normaliser = Normaliser::new(&schema, tags.iter().map(Vec::as_slice).collect());
        let form = normaliser.condition(&read(text), 0);
        let words = Words { schema: &schema, terms: &normaliser.terms, tags: &tags };
        let conjunctions = form.0.iter().map(|conjunction| {
            let atoms = conjunction.0.iter();
            let atoms =
                atoms.map(|atom| format!("{} {}", words.term(atom.term), words.needs(atom.term, &atom.keys)));
            atoms.collect::<Vec<_>>().join(" & ")
        });
        conjunctions.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn atoms_read_as_people_would_say_them() {
        for (condition, expected) in [
            ("age > 60", "age at least 61"),
            ("age >= 18 && age < 30", "age at least 18 and at most 29"),
            ("age >= 0", "age known"),
            ("age < 2", "age at most 1"),
            ("age > 3 && age < 6", "age 4 or 5"),
            ("age == null", "age missing"),
            ("age == null || age < 18", "age at most 17 or missing"),
            ("age in [1, 2, 30]", "age 1, 2 or 30"),
            ("age != 30", "age anything but 30"),
            ("aum >= 500000", "aum at least 500000"),
            ("aum > 500000", "aum above 500000"),
            ("aum < 0.5", "aum below 0.5"),
            ("score > 0.5", "score above 0.5"),
            ("tier >= 'gold'", "tier at least gold"),
            ("tier == 'gold'", "tier gold"),
            ("job != 'c'", "job anything but c"),
            ("job in ['a', 'c']", "job a or c"),
            ("consent", "consent true"),
            ("!consent", "consent false"),
            ("'fx' in likes", "likes one that has fx"),
            ("!('fx' in likes || 'card' in likes)", "likes one without fx & likes one without card"),
            ("now - seen < duration('720h')", "now - seen below 30 days"),
            ("now >= timestamp('2026-12-01T00:00:00Z')", "now from 2026-12-01T00:00:00Z on"),
            ("now < timestamp('2026-12-01T00:00:00Z')", "now before 2026-12-01T00:00:00Z"),
            ("context.page == 'home' || context.page == 'fx'", "context.page 'home' or 'fx'"),
            ("context.page != 'home'", "context.page anything but 'home'"),
            ("age * 2 + 1 > 50", "(age * 2) + 1 at least 51"),
            ("tag.rich", "tag.rich true"),
            ("aum > score", "aum > score true"),
            ("size(likes) >= 2", "size(likes) at least 2"),
            ("likes.exists(l, l == 'fx' && age > 3)", "likes.exists(x, (x == 'fx') && (age > 3)) true"),
            ("[1, 2].all(n, n < age)", "[1, 2].all(x, x < age) true"),
            (
                "likes.exists(a, likes.exists_one(b, a != b))",
                "likes.exists(x, likes.exists_one(y, x != y)) true",
            ),
            ("likes.exists(i, l, i > 0 && l == 'fx')", "likes.exists(x, y, (x > 0) && (y == 'fx')) true"),
            ("context.page.lowerAscii() == 'fx'", "context.page.lowerAscii() == 'fx' true"),
            ("context.page.matches('^fx[0-9]')", "context.page.matches('^fx[0-9]') true"),
            ("now.getHours('Asia/Shanghai') < 8", "now.getHours('Asia/Shanghai') < 8 true"),
            ("math.greatest(age, 3) > 5", "math.greatest(age, 3) > 5 true"),
            ("[1, 2][age] == 2", "[1, 2][age] == 2 true"),
            ("{'a': age}.a > 3", "{'a': age}.a > 3 true"),
            ("(consent ? age : age + 1) > 9", "consent ? age : (age + 1) above 9"),
            ("context.level >= 'mid'", "context.level at least mid"),
            ("context.channel in ['app', 'sms']", "context.channel app or sms"),
            ("context.channel == 'app'", "context.channel app"),
        ] {
            assert_eq!(words(condition), expected, "{condition}");
        }
    }
}
