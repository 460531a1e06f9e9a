//! What two texts of a rule set say differently. They are compared as trees and by name: order of names,
//! layout and comments mean nothing, and neither do blanks inside conditions.

use std::collections::{HashMap, HashSet};

use crate::expression::reads_the_same;
use crate::input::document::{Input, InputValue};

/// The most differences that are listed; further ones are only counted.
pub const MAX_DIFFERENCES: usize = 1_000;
/// The sections whose entries have names of their own.
const NAMED: [&str; 9] =
    ["experiments", "parameters", "tags", "placements", "groups", "caps", "budgets", "offers", "guardrails"];

/// Fields and sections that hold no conditions: of their texts every character counts.
const PLAIN: [&str; 6] = ["content", "reason", "description", "because", "attributes", "parameters"];

/// One thing that is not as it was: an offer, a tag, the description.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The section of the rule set, such as `offers`.
    pub section: String,
    /// The name of the entry; `None` for a section without names.
    pub name: Option<String>,
    /// What became of it.
    pub kind: DifferenceKind,
    /// What differs inside it: for an entry that was added or is gone, its fields.
    pub fields: Vec<FieldDifference>,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// Only the second text has it.
    Added,
    /// Only the first text has it.
    Gone,
    /// Both have it, and say something else about it.
    Changed,
}

/// A field of an entry before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDifference {
    /// The way to the field inside its entry: `when`, `treatments.home_banner.content.title`. Empty for the
    /// entry itself.
    pub field: String,
    /// What the first text says; `None` if it has no such field.
    pub before: Option<String>,
    /// What the second text says; `None` if it has no such field.
    pub after: Option<String>,
}

impl DifferenceKind {
    /// The kind's name in answers.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Added => "added",
            DifferenceKind::Gone => "gone",
            DifferenceKind::Changed => "changed",
        }
    }
}

/// What the second text says otherwise than the first, in the order of the sections and names in the texts;
/// and how many differences beyond [`MAX_DIFFERENCES`] were left out.
pub fn differences(before: &Input<'_>, after: &Input<'_>) -> (Vec<Difference>, usize) {
    let mut found = Vec::new();
    for section in union(before, after) {
        let (one, other) = (entry(before, section), entry(after, section));
        let has_names = NAMED.contains(&section);
        if !has_names {
            found.extend(difference(section, None, one, other));
            continue;
        }
        let nothing = Input { value: InputValue::Map(Vec::new()), place: None };
        let (one, other) = (one.unwrap_or(&nothing), other.unwrap_or(&nothing));
        let (before, after) = (by_name(one), by_name(other));
        for name in union(one, other) {
            let sides = (before.get(name).copied(), after.get(name).copied());
            found.extend(difference(section, Some(name), sides.0, sides.1));
        }
    }
    let omitted = found.len().saturating_sub(MAX_DIFFERENCES);
    found.truncate(MAX_DIFFERENCES);
    (found, omitted)
}

fn difference(
    section: &str,
    name: Option<&str>,
    one: Option<&Input<'_>>,
    other: Option<&Input<'_>>,
) -> Option<Difference> {
    let kind = match (one, other) {
        (None, _) => DifferenceKind::Added,
        (_, None) => DifferenceKind::Gone,
        _ => DifferenceKind::Changed,
    };
    let mut fields = Vec::new();
    compare(one, other, PLAIN.contains(&section), &mut Vec::new(), &mut fields);
    if fields.is_empty() && kind == DifferenceKind::Changed {
        return None;
    }
    Some(Difference { section: section.to_owned(), name: name.map(str::to_owned), kind, fields })
}

/// Adds what two values at a path say differently; `plain` says that they hold no conditions.
fn compare<'i>(
    one: Option<&'i Input<'i>>,
    other: Option<&'i Input<'i>>,
    plain: bool,
    path: &mut Vec<String>,
    found: &mut Vec<FieldDifference>,
) {
    let plain = plain || path.last().is_some_and(|field| PLAIN.contains(&&**field));
    let in_order = path.iter().any(|field| field == "content");
    let parts = |input: Option<&'i Input<'i>>| input.map_or(Some(Vec::new()), |input| parts(input, in_order));
    let is_list = |input: &Input<'_>| matches!(input.value, InputValue::List(_));
    let alike = one.zip(other).is_none_or(|(one, other)| is_list(one) == is_list(other));
    if alike
        && let (Some(ones), Some(others)) = (parts(one), parts(other))
        && !(ones.is_empty() && others.is_empty())
    {
        let added = others.iter().filter(|(key, _)| !ones.iter().any(|(known, _)| known == key));
        let keys: Vec<&Key> = ones.iter().chain(added).map(|(key, _)| key).collect();
        let at = |parts: &Parts<'i>, key: &Key| {
            parts.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
        };
        for key in keys {
            path.push(if key.1 == 0 { key.0.clone() } else { format!("{}#{}", key.0, key.1 + 1) });
            compare(at(&ones, key), at(&others, key), plain, path, found);
            path.pop();
        }
        return;
    }
    if one.zip(other).is_some_and(|(one, other)| says_the_same(one, other, plain)) {
        return;
    }
    let shown = |input: Option<&Input<'_>>| input.map(|input| shown(input, plain));
    found.push(FieldDifference { field: path.join("."), before: shown(one), after: shown(other) });
}

/// What tells a part from its neighbours, and how many before it have the same.
type Key = (String, usize);
type Parts<'i> = Vec<(Key, &'i Input<'i>)>;

/// The parts of a value that have keys: the entries of a map, or the items of a list of maps by what tells
/// them apart, or by their place from 0 if their order counts. `None` for other values.
fn parts<'i>(input: &'i Input<'i>, in_order: bool) -> Option<Parts<'i>> {
    match &input.value {
        InputValue::Map(entries) => {
            Some(entries.iter().map(|(key, value)| ((key.text.to_string(), 0), value)).collect())
        }
        InputValue::List(items) if items.iter().any(|item| matches!(item.value, InputValue::Map(_))) => {
            let mut parts: Parts<'_> = Vec::with_capacity(items.len());
            for (place, item) in items.iter().enumerate() {
                let key = if in_order { place.to_string() } else { key_of(item) };
                let same = parts.iter().filter(|((known, _), _)| *known == key).count();
                parts.push(((key, same), item));
            }
            Some(parts)
        }
        _ => None,
    }
}

/// What tells a map in a list from its neighbours: a treatment's name, or what a cap counts.
fn key_of(item: &Input<'_>) -> String {
    let text = |field: &str| entry(item, field).map(|value| shown(value, false));
    if let Some(id) = text("id") {
        return id;
    }
    let named = ["placement", "locale", "variant", "warning", "at", "on", "scope", "per"];
    let parts: Vec<String> = named.into_iter().filter_map(text).collect();
    if parts.is_empty() { shown(item, false) } else { parts.join(".") }
}

/// Whether two values that have no parts say the same. Conditions may be laid out differently; other texts
/// may not.
fn says_the_same(one: &Input<'_>, other: &Input<'_>, plain: bool) -> bool {
    match (&one.value, &other.value) {
        (InputValue::Text(one), InputValue::Text(other)) => {
            one == other || (!plain && reads_the_same(one, other))
        }
        (InputValue::Int(one), InputValue::Float(other))
        | (InputValue::Float(other), InputValue::Int(one)) => *one as f64 == *other,
        (InputValue::List(one), InputValue::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| says_the_same(one, other, plain))
        }
        (InputValue::Map(one), InputValue::Map(others)) => {
            one.len() == others.len()
                && one.iter().all(|(key, value)| {
                    entry(other, &key.text).is_some_and(|other| says_the_same(value, other, plain))
                })
        }
        (one, other) => one == other,
    }
}

/// A value in one line. Of a `plain` text every character is shown, and line breaks as `\n`.
fn shown(input: &Input<'_>, plain: bool) -> String {
    let control = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    match &input.value {
        InputValue::Null => "null".to_owned(),
        InputValue::Bool(b) => b.to_string(),
        InputValue::Int(i) => i.to_string(),
        InputValue::Float(x) => x.to_string(),
        InputValue::Text(text) if plain => text.chars().map(control).collect(),
        InputValue::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        InputValue::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(item, plain)).collect();
            format!("[{}]", items.join(", "))
        }
        InputValue::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let plain = plain || PLAIN.contains(&&*key.text);
                format!("{}: {}", key.text, shown(value, plain))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The keys of two maps, each once, in the order of the first and then of the second.
fn union<'i>(one: &'i Input<'_>, other: &'i Input<'_>) -> Vec<&'i str> {
    let keys = |input: &'i Input<'_>| match &input.value {
        InputValue::Map(entries) => entries.iter().map(|(key, _)| &*key.text).collect(),
        _ => Vec::new(),
    };
    let mut all = keys(one);
    let known: HashSet<&str> = all.iter().copied().collect();
    all.extend(keys(other).into_iter().filter(|key| !known.contains(key)));
    all
}

/// The entries of a map by name: a rule set may have 20,000 offers.
fn by_name<'i>(input: &'i Input<'_>) -> HashMap<&'i str, &'i Input<'i>> {
    match &input.value {
        InputValue::Map(entries) => entries.iter().map(|(key, value)| (&*key.text, value)).collect(),
        _ => HashMap::new(),
    }
}

fn entry<'i>(input: &'i Input<'_>, key: &str) -> Option<&'i Input<'i>> {
    match &input.value {
        InputValue::Map(entries) => {
            entries.iter().find(|(known, _)| *known.text == *key).map(|(_, value)| value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::input::problem::Source;

    const BEFORE: &str = "
rule_set: r
tags: {young: age < 30, rich: aum > 5}
offers:
  a:
    placements: [home]
    when: age > 3 && vip # adults
    treatments:
      - {placement: home, locale: en, content: {title: Hello  you}}
      - {placement: home, content: {title: Hi}}
  b: {placements: [home], treatments: [{placement: home, content: 1}]}
";

    /// The differences to [`BEFORE`] with one part replaced, each in one line.
    fn with(part: &str, replaced: &str) -> Vec<String> {
        assert!(BEFORE.contains(part), "{part}");
        let source = |text: String| Arc::new(Source { name: "r".into(), text });
        let (one, other) = (source(BEFORE.into()), source(BEFORE.replace(part, replaced)));
        let (one, other) = (Input::from_yaml(&one).unwrap(), Input::from_yaml(&other).unwrap());
        let (found, omitted) = differences(&one, &other);
        assert_eq!(omitted, 0);
        let line = |difference: &Difference| {
            let fields = difference.fields.iter().map(|field| {
                let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
                format!("{}: {} → {}", field.field, side(&field.before), side(&field.after))
            });
            let fields: Vec<String> = fields.collect();
            let name = difference.name.as_deref().unwrap_or("");
            format!("{} {} {name}: {}", difference.kind.name(), difference.section, fields.join("; "))
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn what_means_the_same_is_no_difference() {
        for (part, replaced) in [
            ("age > 3 && vip # adults", "\"age>3  &&  vip\""),
            ("age > 3 && vip # adults", ">-\n      age > 3\n      && vip"),
            ("tags: {young: age < 30, rich: aum > 5}", "tags:\n  rich: aum > 5\n  young: age < 30"),
            ("content: 1}", "content: 1.0}"),
            (
                "      - {placement: home, locale: en, content: {title: Hello  you}}\n      - {placement: home, content: {title: Hi}}\n",
                "      - {content: {title: Hi}, placement: home}\n      - {placement: home, locale: en, content: {title: Hello  you}}\n",
            ),
        ] {
            assert_eq!(with(part, replaced), [""; 0], "{replaced}");
        }
    }

    /// The fields that differ between two texts.
    fn fields(before: String, after: String) -> Vec<String> {
        let source = |text| Arc::new(Source { name: "r".into(), text });
        let (one, other) = (source(before), source(after));
        let (one, other) = (Input::from_yaml(&one).unwrap(), Input::from_yaml(&other).unwrap());
        let (found, _) = differences(&one, &other);
        found.iter().flat_map(|found| found.fields.iter().map(|field| field.field.clone())).collect()
    }

    #[test]
    fn in_content_the_order_and_every_character_count() {
        let text =
            |content| format!("offers: {{a: {{treatments: [{{placement: home, content: {content}}}]}}}}");
        for (before, after, expected) in [
            ("[{t: A}, {t: B}]", "[{t: B}, {t: A}]", &[".0.t", ".1.t"][..]),
            ("{b: [{id: x}, {id: y}]}", "{b: [{id: y}, {id: x}]}", &[".b.0.id", ".b.1.id"]),
            ("[{t: '#1'}, {t: '#1'}]", "[{t: '#1'}, {t: '#2'}]", &[".1.t"]),
            ("[{t: A}]", "[{t: A}, {t: A}]", &[".1.t"]),
            ("[{t: A}]", "{'0': {t: A}}", &[""]),
            ("[[{t: A, u: B}]]", "[ [ {u: B, t: A} ] ]", &[]),
            ("[[{t: A}]]", "[[{t: B}]]", &[""]),
            ("[A, B]", "[B, A]", &[""]),
            ("{t: 'a > 1'}", "{t: 'a  >  1'}", &[".t"]),
        ] {
            let expected: Vec<String> =
                expected.iter().map(|field| format!("treatments.home.content{field}")).collect();
            assert_eq!(fields(text(before), text(after)), expected, "{before}, {after}");
        }
    }

    #[test]
    fn entries_of_the_same_key_and_texts_without_conditions_are_compared_whole() {
        for (before, after, expected) in [
            (
                "caps: {c: [{at: 'a#b', max: 1}, {at: 'a#b', max: 2}]}",
                "caps: {c: [{at: 'a#b', max: 1}, {at: 'a#b', max: 3}]}",
                "a#b#2.max",
            ),
            (
                "caps: {c: [{at: a, max: 1}, {at: a, max: 2}, {at: 'a#2', max: 3}]}",
                "caps: {c: [{at: a, max: 1}, {at: a, max: 2}, {at: 'a#2', max: 4}]}",
                "a#2.max",
            ),
            (
                "offers: {o: {attributes: {site: 'https://a'}}}",
                "offers: {o: {attributes: {site: 'https://b'}}}",
                "attributes.site",
            ),
            ("parameters: {p: {default: 'a b'}}", "parameters: {p: {default: 'a  b'}}", "default"),
            ("accept: [{at: x, because: 'a b'}]", "accept: [{at: x, because: 'a  b'}]", "x.because"),
        ] {
            assert_eq!(fields(before.into(), after.into()), [expected], "{before}, {after}");
        }
    }

    #[test]
    fn what_was_added_is_gone_or_changed_is_told_by_name() {
        for (part, replaced, expected) in [
            ("age > 3 && vip", "age > 4 && vip", "changed offers a: when: age > 3 && vip → age > 4 && vip"),
            (
                "Hello  you",
                "Hello you",
                "changed offers a: treatments.home.en.content.title: Hello  you → Hello you",
            ),
            ("    when: age > 3 && vip # adults\n", "", "changed offers a: when: age > 3 && vip → -"),
            (", rich: aum > 5", "", "gone tags rich: : aum > 5 → -"),
            (", rich: aum > 5", ", rich: aum > 5, old: age > 60", "added tags old: : - → age > 60"),
            ("rule_set: r\n", "rule_set: r\ndescription: new\n", "added description : : - → new"),
            (
                "rule_set: r\n",
                "rule_set: r\ndescription: \"a  b\\n\\tc\"\n",
                "added description : : - → a  b\\n\\tc",
            ),
            (
                "{title: Hi}",
                "[Hi, {a: 'b  c'}]",
                "changed offers a: treatments.home.content: {title: Hi} → [Hi, {a: b  c}]",
            ),
            (
                "content: 1}]}\n",
                "content: 1}]}\n  c: {treatments: [{content: 'a  b'}], when: age  >  3}\n",
                "added offers c: treatments.{content: a  b}.content: - → a  b; when: - → age > 3",
            ),
            (
                "  b: {placements: [home], treatments: [{placement: home, content: 1}]}\n",
                "",
                "gone offers b: placements: [home] → -; treatments.home.placement: home → -; treatments.home.content: 1 → -",
            ),
            (
                "placements: [home]\n",
                "placements: [home, chat]\n",
                "changed offers a: placements: [home] → [home, chat]",
            ),
        ] {
            assert_eq!(with(part, replaced), [expected], "{replaced}");
        }
    }
}
