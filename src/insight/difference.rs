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
    compare(one, other, &mut Vec::new(), &mut fields);
    if fields.is_empty() && kind == DifferenceKind::Changed {
        return None;
    }
    Some(Difference { section: section.to_owned(), name: name.map(str::to_owned), kind, fields })
}

/// Adds what two values at a path say differently.
fn compare(
    one: Option<&Input<'_>>,
    other: Option<&Input<'_>>,
    path: &mut Vec<String>,
    found: &mut Vec<FieldDifference>,
) {
    let by_key = |input: Option<&Input<'_>>| input.is_none_or(|input| parts(input).is_some());
    let any = |input: Option<&Input<'_>>| input.and_then(parts).is_some_and(|parts| !parts.is_empty());
    if by_key(one) && by_key(other) && (any(one) || any(other)) {
        let (one, other) =
            (one.and_then(parts).unwrap_or_default(), other.and_then(parts).unwrap_or_default());
        let added = other.iter().filter(|(key, _)| !one.iter().any(|(known, _)| known == key));
        let keys: Vec<&String> = one.iter().chain(added).map(|(key, _)| key).collect();
        let at =
            |parts: &[(String, &Input<'_>)], key: &String| parts.iter().position(|(known, _)| known == key);
        for key in keys {
            path.push(key.clone());
            let (before, after) = (at(&one, key), at(&other, key));
            compare(before.map(|i| one[i].1), after.map(|i| other[i].1), path, found);
            path.pop();
        }
        return;
    }
    if let (Some(one), Some(other)) = (one, other)
        && says_the_same(one, other, path)
    {
        return;
    }
    let shown = |input: Option<&Input<'_>>| input.map(shown);
    found.push(FieldDifference { field: path.join("."), before: shown(one), after: shown(other) });
}

/// The parts of a value that have keys: the entries of a map, or the items of a list of maps by what tells
/// them apart. `None` for other values.
fn parts<'i>(input: &'i Input<'_>) -> Option<Vec<(String, &'i Input<'i>)>> {
    match &input.value {
        InputValue::Map(entries) => {
            Some(entries.iter().map(|(key, value)| (key.text.to_string(), value)).collect())
        }
        InputValue::List(items) if items.iter().any(|item| matches!(item.value, InputValue::Map(_))) => {
            let mut parts: Vec<(String, &Input<'_>)> = Vec::with_capacity(items.len());
            for item in items {
                let key = key_of(item);
                let same = parts.iter().filter(|(known, _)| known.split('#').next() == Some(&*key)).count();
                parts.push((if same > 0 { format!("{key}#{}", same + 1) } else { key }, item));
            }
            Some(parts)
        }
        _ => None,
    }
}

/// What tells a map in a list from its neighbours: a treatment's name, or what a cap counts.
fn key_of(item: &Input<'_>) -> String {
    let text = |field: &str| entry(item, field).map(shown);
    if let Some(id) = text("id") {
        return id;
    }
    let named = ["placement", "locale", "variant", "warning", "at", "on", "scope", "per"];
    let parts: Vec<String> = named.into_iter().filter_map(text).collect();
    if parts.is_empty() { shown(item) } else { parts.join(".") }
}

/// Whether two values that have no parts say the same. Conditions may be laid out differently; texts for
/// people may not.
fn says_the_same(one: &Input<'_>, other: &Input<'_>, path: &[String]) -> bool {
    match (&one.value, &other.value) {
        (InputValue::Text(one), InputValue::Text(other)) => {
            let for_people = path.iter().any(|part| ["content", "reason", "description"].contains(&&**part));
            one == other || (!for_people && reads_the_same(one, other))
        }
        (InputValue::Int(one), InputValue::Float(other))
        | (InputValue::Float(other), InputValue::Int(one)) => *one as f64 == *other,
        (InputValue::List(one), InputValue::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| says_the_same(one, other, path))
        }
        (one, other) => one == other,
    }
}

/// A value in one line.
fn shown(input: &Input<'_>) -> String {
    match &input.value {
        InputValue::Null => "null".to_owned(),
        InputValue::Bool(b) => b.to_string(),
        InputValue::Int(i) => i.to_string(),
        InputValue::Float(x) => x.to_string(),
        InputValue::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        InputValue::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        InputValue::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", key.text, shown(value)));
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

    #[test]
    fn what_was_added_is_gone_or_changed_is_told_by_name() {
        for (part, replaced, expected) in [
            ("age > 3 && vip", "age > 4 && vip", "changed offers a: when: age > 3 && vip → age > 4 && vip"),
            (
                "Hello  you",
                "Hello you",
                "changed offers a: treatments.home.en.content.title: Hello you → Hello you",
            ),
            ("    when: age > 3 && vip # adults\n", "", "changed offers a: when: age > 3 && vip → -"),
            (", rich: aum > 5", "", "gone tags rich: : aum > 5 → -"),
            (", rich: aum > 5", ", rich: aum > 5, old: age > 60", "added tags old: : - → age > 60"),
            ("rule_set: r\n", "rule_set: r\ndescription: new\n", "added description : : - → new"),
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
