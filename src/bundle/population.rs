//! A synthetic population: customers drawn from segments. The same seed gives the same customers on every
//! machine. `docs/reference/mapping.md` describes the file.

use std::sync::Arc;

use fastrand::Rng;
use jiff::tz::TimeZone;

use crate::customer::id::CustomerId;
use crate::customer::row::Row;
use crate::customer::update::{Change, Update, read_fields};
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Problems, Source, quoted};
use crate::schema::value::{SECOND, Time, Value};
use crate::schema::{FeatureId, Kind, Schema, Vocabulary};
use crate::state::store;
use crate::state::store::Customers;

const DAY: i64 = 86_400 * SECOND;

/// A recipe for customers, checked against a schema.
#[derive(Debug)]
pub struct Population {
    /// The population's name, as its file gives it.
    pub name: Box<str>,
    seed: u64,
    schema: Arc<Schema>,
    segments: Vec<Segment>,
    named: Vec<Update>,
}

/// A kind of customer: how frequent it is, and how its features are drawn.
#[derive(Debug)]
struct Segment {
    weight: f64,
    recipes: Vec<(FeatureId, Recipe)>,
}

/// How one feature is drawn.
#[derive(Debug, Clone)]
struct Recipe {
    draw: Draw,
    /// How customers with a value get it. Share of customers without a value, from 0 to 1.
    missing: f64,
}

#[derive(Debug, Clone)]
enum Draw {
    /// One of these codes, by weight.
    Choose(Vec<(u64, f64)>),
    /// A whole number, uniform between the two bounds, both included.
    Whole(i64, i64),
    /// A number, uniform between the bounds; with `log`, its logarithm is uniform.
    Number { low: f64, high: f64, log: bool },
    /// A set to which each word belongs with its own chance.
    Each(Vec<(u32, f64)>),
    /// A time this many days ago, uniform between the two bounds.
    DaysAgo(f64, f64),
}

impl Population {
    /// Reads the text of a `population.yaml` against the schema.
    ///
    /// # Errors
    /// All errors in the text, each with line and column.
    pub fn parse(file: &str, text: &str, schema: &Arc<Schema>) -> Result<Population, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = Input::from_yaml(&source)?;
        let mut problems = Problems::new();
        let population = read_population(Cursor::root(&input, Some(&source)), schema, &mut problems);
        problems.sort();
        match population {
            Some(population) => problems.or(population),
            None => Err(problems),
        }
    }

    /// The customers with fixed ids.
    pub fn named(&self) -> &[Update] {
        &self.named
    }

    /// The first `count` customers of the seed, from `c-000001` upwards. They are made one at a time, so
    /// memory stays bounded. Times count back from the start of `now`'s day, so the population stays the same
    /// all day.
    pub fn customers(&self, count: usize, now: Time) -> impl Iterator<Item = Update> + '_ {
        let mut rng = Rng::with_seed(self.seed);
        let today = Time(now.0.div_euclid(DAY) * DAY);
        (1..=count).filter_map(move |number| {
            let change = Change::Replace(self.features(&mut rng, today));
            Some(Update { customer: CustomerId::new(&format!("c-{number:06}")).ok()?, change })
        })
    }

    /// The named customers and the first `count` others, in a store of their own. Customers for whom there is
    /// no memory are left out.
    pub fn store(&self, count: usize, now: Time) -> Arc<Customers> {
        let (mut writer, customers) = store::with_room_for(count + self.named.len());
        writer.set_row_words(self.schema.row_words());
        let mut row = Row::new();
        for Update { customer, change } in self.customers(count, now).chain(self.named.iter().cloned()) {
            row.clear();
            change.apply(&self.schema, &mut row);
            if writer.put(&customer, &row).is_err() {
                break;
            }
        }
        customers
    }

    fn features(&self, rng: &mut Rng, now: Time) -> Vec<(FeatureId, u64)> {
        let Some(segment) = pick(rng, &self.segments, |segment| segment.weight) else { return Vec::new() };
        let mut features = Vec::with_capacity(segment.recipes.len());
        for (id, recipe) in &segment.recipes {
            // Drawn even if missing, so that a change of one share leaves all other features as they were.
            let missing = rng.f64() < recipe.missing;
            let code = recipe.draw.code(rng, &self.schema.feature(*id).kind, now);
            if !missing && code != 0 {
                features.push((*id, code));
            }
        }
        features
    }
}

impl Draw {
    fn code(&self, rng: &mut Rng, kind: &Kind, now: Time) -> u64 {
        let value = match self {
            Draw::Choose(codes) => {
                return pick(rng, codes, |(_, weight)| *weight).map_or(0, |(code, _)| *code);
            }
            Draw::Whole(low, high) => Value::Int(rng.i64(*low..=*high)),
            Draw::Number { low, high, log } => number(rng, *low, *high, *log, kind),
            Draw::Each(words) => {
                let bits = words
                    .iter()
                    .fold(0, |bits, (word, chance)| bits | (u64::from(rng.f64() < *chance) << word));
                return set_code(kind, bits);
            }
            Draw::DaysAgo(low, high) => {
                Value::Time(Time(now.0 - ((low + rng.f64() * (high - low)) * DAY as f64) as i64))
            }
        };
        kind.encode(&value)
    }
}

fn number(rng: &mut Rng, low: f64, high: f64, log: bool, kind: &Kind) -> Value<'static> {
    let share = rng.f64();
    let x = if log { (low.ln() + share * (high.ln() - low.ln())).exp() } else { low + share * (high - low) };
    let x = x.clamp(low, high); // logarithm and exponential may end slightly outside
    match kind {
        Kind::Int { .. } => Value::Int(x.round() as i64),
        _ => Value::Double(x),
    }
}

fn set_code(kind: &Kind, bits: u64) -> u64 {
    match kind {
        Kind::Set(words) => kind.encode(&Value::Set(bits, words)),
        _ => 0,
    }
}

/// Picks one of `items` by weight.
fn pick<'i, T>(rng: &mut Rng, items: &'i [T], weight: impl Fn(&T) -> f64) -> Option<&'i T> {
    let mut rest = rng.f64() * items.iter().map(&weight).sum::<f64>();
    let found = items.iter().find(|item| {
        rest -= weight(item);
        rest < 0.0
    });
    found.or(items.last()) // rounding may leave a small rest
}

fn read_population(
    root: Cursor<'_, '_>,
    schema: &Arc<Schema>,
    problems: &mut Problems,
) -> Option<Population> {
    let object =
        root.object(&["population", "description", "seed", "everyone", "segments", "named"], problems)?;
    let name = object.required("population", problems).and_then(|c| c.text(problems));
    let seed = object.required("seed", problems).and_then(|c| c.integer(0, i64::MAX, problems));
    let everyone = object.get("everyone").and_then(|c| read_recipes(c, schema, problems)).unwrap_or_default();
    let segments =
        object.required("segments", problems).and_then(|c| read_segments(c, &everyone, schema, problems));
    let mut named = Vec::new();
    if let Some(cursor) = object.get("named") {
        for (id, cursor) in cursor.entries(problems).unwrap_or_default() {
            let features = read_fields(&cursor, schema, None, problems);
            match CustomerId::new(id) {
                Ok(customer) => named.push(Update { customer, change: Change::Replace(features) }),
                Err(why) => problems.push(cursor.key_problem(why)),
            }
        }
    }
    Some(Population {
        name: name?.into(),
        seed: seed? as u64,
        schema: Arc::clone(schema),
        segments: segments?,
        named,
    })
}

fn read_segments(
    cursor: &Cursor<'_, '_>,
    everyone: &[(FeatureId, Recipe)],
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for (_, cursor) in cursor.entries(problems)? {
        let Some(object) = cursor.object(&["weight", "description", "features"], problems) else { continue };
        let weight =
            object.required("weight", problems).and_then(|c| read_weight(c, problems)).unwrap_or(1.0);
        let mut recipes = everyone.to_vec();
        let own = object.get("features").and_then(|c| read_recipes(c, schema, problems)).unwrap_or_default();
        recipes.retain(|(id, _)| own.iter().all(|(own, _)| own != id));
        recipes.extend(own);
        recipes.sort_by_key(|(id, _)| *id); // drawn in the schema's order, whatever the file's order
        segments.push(Segment { weight, recipes });
    }
    if segments.iter().map(|segment| segment.weight).sum::<f64>() <= 0.0 {
        problems.push(cursor.problem("expected a segment with a weight above 0"));
    }
    Some(segments)
}

fn read_weight(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<f64> {
    let weight = cursor.number(problems)?;
    if weight < 0.0 {
        problems.push(cursor.problem(format!("expected a weight of 0 or more, found {weight}")));
    }
    Some(weight.max(0.0))
}

fn read_chance(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<f64> {
    let chance = cursor.number(problems)?;
    if !(0.0..=1.0).contains(&chance) {
        problems.push(cursor.problem(format!("expected a share from 0 to 1, found {chance}")));
    }
    Some(chance)
}

fn read_recipes(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Vec<(FeatureId, Recipe)>> {
    let mut recipes = Vec::new();
    for (name, cursor) in cursor.entries(problems)? {
        let found = schema.find_feature(name);
        let Some(id) = found.map_err(|problem| problems.push(cursor.key_placed(problem))).ok() else {
            continue;
        };
        recipes.extend(
            read_recipe(&cursor, &schema.feature(id).kind, schema.zone(), problems)
                .map(|recipe| (id, recipe)),
        );
    }
    Some(recipes)
}

/// The furthest time in the past, in days: about a century.
const MAX_DAYS_AGO: f64 = 36_500.0;

const WAYS: [&str; 7] = ["between", "log_between", "choose", "each", "days_ago", "chance", "is"];

fn read_recipe(
    cursor: &Cursor<'_, '_>,
    kind: &Kind,
    zone: &TimeZone,
    problems: &mut Problems,
) -> Option<Recipe> {
    let known = ["between", "log_between", "choose", "each", "days_ago", "chance", "is", "missing"];
    let object = cursor.object(&known, problems)?;
    let missing = object.get("missing").and_then(|c| read_chance(c, problems)).unwrap_or(0.0);
    let mut ways = WAYS.iter().filter_map(|way| Some((*way, object.get(way)?)));
    let (Some((way, found)), None) = (ways.next(), ways.next()) else {
        problems.push(cursor.problem(format!("expected one of {}", WAYS.join(", "))));
        return None;
    };
    let draw = match (way, kind) {
        ("between", Kind::Int { .. }) => {
            let (low, high) = read_bounds(found, kind, zone, problems)?;
            Draw::Whole(low as i64, high as i64)
        }
        ("between" | "log_between", Kind::Int { .. } | Kind::Float { .. } | Kind::Decimal { .. }) => {
            let (low, high) = read_bounds(found, kind, zone, problems)?;
            let log = way == "log_between";
            if log && low <= 0.0 {
                problems.push(found.problem("a logarithm needs a lower bound above 0"));
                return None;
            }
            Draw::Number { low, high, log }
        }
        ("choose", _) => Draw::Choose(read_choice(found, kind, zone, problems)?),
        ("each", Kind::Set(words)) => Draw::Each(read_each(found, words, problems)?),
        ("days_ago", Kind::Time) => {
            let (low, high) = read_pair(found, problems)?;
            if low < 0.0 || high > MAX_DAYS_AGO {
                return refuse(found, format!("expected days from 0 to {MAX_DAYS_AGO}"), problems);
            }
            Draw::DaysAgo(low, high)
        }
        ("chance", Kind::Bool) => {
            let chance = read_chance(found, problems)?;
            let code = |b| kind.encode(&Value::Bool(b));
            Draw::Choose(vec![(code(true), chance), (code(false), 1.0 - chance)])
        }
        ("is", _) => match kind.read(&found.input.value, zone) {
            Ok(value) => Draw::Choose(vec![(kind.encode(&value), 1.0)]),
            Err(why) => return refuse(found, why, problems),
        },
        _ => {
            return refuse(
                found,
                format!("`{way}` does not go with a feature of kind {}", kind.name()),
                problems,
            );
        }
    };
    Some(Recipe { draw, missing })
}

fn refuse<T>(cursor: &Cursor<'_, '_>, why: String, problems: &mut Problems) -> Option<T> {
    problems.push(cursor.problem(why));
    None
}

/// Reads `[low, high]`, both values of the kind.
fn read_bounds(
    cursor: &Cursor<'_, '_>,
    kind: &Kind,
    zone: &TimeZone,
    problems: &mut Problems,
) -> Option<(f64, f64)> {
    for item in cursor.items(problems)? {
        if let Err(why) = kind.read(&item.input.value, zone) {
            return refuse(&item, why, problems);
        }
    }
    read_pair(cursor, problems)
}

fn read_pair(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<(f64, f64)> {
    let mut numbers = Vec::new();
    for item in cursor.items(problems)? {
        numbers.push(item.number(problems)?);
    }
    match numbers[..] {
        [low, high] if low <= high => Some((low, high)),
        _ => refuse(cursor, "expected [low, high]".into(), problems),
    }
}

/// Reads `{value: weight, …}`. The values are texts, as in a CSV cell.
fn read_choice(
    cursor: &Cursor<'_, '_>,
    kind: &Kind,
    zone: &TimeZone,
    problems: &mut Problems,
) -> Option<Vec<(u64, f64)>> {
    let mut codes = Vec::new();
    let mut total = 0.0;
    for (text, cursor) in cursor.entries(problems)? {
        let weight = read_weight(&cursor, problems)?;
        total += weight;
        match kind.read_text(text, zone) {
            Ok(value) => codes.push((kind.encode(&value), weight)),
            Err(why) => problems.push(cursor.key_problem(why)),
        }
    }
    if total <= 0.0 {
        return refuse(cursor, "expected a value with a weight above 0".into(), problems);
    }
    Some(codes)
}

fn read_each(
    cursor: &Cursor<'_, '_>,
    words: &Vocabulary,
    problems: &mut Problems,
) -> Option<Vec<(u32, f64)>> {
    let mut chances = Vec::new();
    for (word, cursor) in cursor.entries(problems)? {
        let chance = read_chance(&cursor, problems)?;
        match words.code(word) {
            Some(code) => chances.push((code, chance)),
            None => {
                let problem = cursor.key_problem(format!("{} is not one of its values", quoted(word)));
                problems.push(problem.nearest(word, words.words().iter().map(|w| &**w)));
            }
        }
    }
    Some(chances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::vector::FeatureVector;
    use proptest::prelude::*;

    const SCHEMA: &str = "
schema: s
features:
  age: {kind: int, min: 0, max: 120}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000000000}
  risk: {kind: enum, values: [steady, balanced], ordered: true}
  interests: {kind: set, values: [funds, travel]}
  login: {kind: time}
  consent: {kind: bool}
  score: {kind: float}
";

    const POPULATION: &str = "
population: p
seed: 7
everyone: {consent: {chance: 0.5}, age: {between: [18, 80]}}
segments:
  rich:
    weight: 1
    features:
      aum: {log_between: [1000000, 50000000]}
      risk: {choose: {steady: 1, balanced: 3}, missing: 0.1}
      interests: {each: {funds: 1.0, travel: 0.5}}
      login: {days_ago: [1, 2]}
  young: {weight: 3, features: {age: {between: [18, 25]}, score: {between: [0, 1]}, aum: {is: 10.5}}}
named:
  c-1001: {age: 41, risk: steady, aum: 600000}
";

    fn population(text: &str) -> Result<Population, Problems> {
        Population::parse("population.yaml", text, &Arc::new(Schema::parse("s", SCHEMA).unwrap()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_same_seed_makes_the_same_customers_and_values_keep_their_bounds(seed in 0..=i64::MAX, count in 1..200usize) {
            let text = POPULATION.replace("seed: 7", &format!("seed: {seed}"));
            let now = Time::parse("2026-11-21T10:00:00Z").unwrap();
            let later = Time(now.0 + 3_600 * SECOND);
            let (one, other) = (population(&text).unwrap(), population(&text).unwrap());
            let first: Vec<Update> = one.customers(count, now).collect();
            prop_assert_eq!(&first, &other.customers(count, later).collect::<Vec<_>>());
            // A larger population begins with the smaller one.
            prop_assert_eq!(&first, &one.customers(count + 50, now).take(count).collect::<Vec<_>>());
            for update in &first {
                let mut row = Row::new();
                update.change.apply(&one.schema, &mut row);
                let vector = FeatureVector::new(&row);
                let value = |name| vector.get(&one.schema, one.schema.feature_id(name).unwrap(), now);
                let Value::Int(age) = value("age") else { panic!("no age") };
                let aum = value("aum").number().unwrap();
                prop_assert!((18..=80).contains(&age));
                prop_assert!(aum == 10.5 && age <= 25 || (1e6..=5e7).contains(&aum));
                prop_assert!(value("consent").is_answer());
                if let Value::Set(bits, _) = value("interests") {
                    prop_assert_eq!(bits & 1, 1);
                }
            }
        }
    }

    #[test]
    fn named_customers_are_what_was_written() {
        let population = population(POPULATION).unwrap();
        assert_eq!(population.named().len(), 1);
        assert_eq!(population.named()[0].customer.as_str(), "c-1001");
    }

    #[test]
    fn everything_wrong_is_reported_with_its_place() {
        let text = "
population: p
seed: 1
segments:
  a:
    weight: 1
    features:
      agee: {between: [1, 2]}
      age: {between: [1, 200]}
      aum: {log_between: [0, 5]}
      risk: {choose: {stedy: 1}}
      interests: {each: {travle: 0.5}}
      login: {chance: 0.5}
      consent: {chance: 1.5}
      score: {is: 1, between: [0, 1]}
named: {c-1: {risk: bold}}
";
        let text = population(text).unwrap_err().to_string();
        for (line, detail) in [
            (8, "unknown feature \"agee\""),
            (9, "a whole number from 0 to 120"),
            (10, "lower bound above 0"),
            (11, "\"stedy\" is not one of"),
            (12, "\"travle\" is not one of"),
            (13, "does not go with a feature of kind time"),
            (14, "a share from 0 to 1"),
            (15, "expected one of between"),
            (16, "\"bold\" is not one of"),
        ] {
            let found = text.lines().find(|l| l.starts_with(&format!("population.yaml:{line}:")));
            assert!(found.is_some_and(|l| l.contains(detail)), "{line} {detail}:\n{text}");
        }
    }
}
