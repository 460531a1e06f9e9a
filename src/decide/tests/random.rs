//! The index against the straightforward evaluator, over random schemas, rule sets, customers and requests,
//! with missing and extreme values. Both must name the same offers and show the same.

use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;

use super::*;
use crate::decide::eligible;
use crate::decide::obstacle::obstacle;
use crate::expression::TagMemo;
use crate::expression::arm::slot;
use crate::rules::rule_set::{Languages, RuleSet};
use crate::schema::value::Value;
use crate::schema::{ChannelId, Kind};
use crate::testing::rounds;

/// Ints that conditions and customers share, so that they meet.
const INTS: [i64; 10] = [-3, -1, 0, 1, 2, 3, 7, 9, 10, 12];
const DOUBLES: [&str; 12] = [
    "-2.5",
    "-0.0",
    "0.0",
    "0.1",
    "0.7",
    "1.0",
    "2.5",
    "3.0",
    "1e30",
    "-1e300",
    "9007199254740993.0",
    "1e-40",
];
const WORDS: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 3] = ["home", "fx", ""];

/// Writes random expressions over a schema.
struct Writer<'w> {
    rng: &'w mut Rng,
    kinds: &'w [Form],
    tags: usize,
}

/// The kind of a feature, as far as a writer must know it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Form {
    Bool,
    Int,
    Wide,
    Single,
    Double,
    Decimal,
    Enum,
    Ordered,
    Set,
    Time,
    Count,
}

const FORMS: [(Form, &str); 11] = [
    (Form::Bool, "{kind: bool}"),
    (Form::Int, "{kind: int, min: -3, max: 12}"),
    (Form::Wide, "{kind: int, min: -9223372036854775807, max: 9223372036854775807}"),
    (Form::Single, "{kind: float}"),
    (Form::Double, "{kind: float, precision: double}"),
    (Form::Decimal, "{kind: decimal, scale: 1, min: -100, max: 1000}"),
    (Form::Enum, "{kind: enum, values: [a, b, c, d]}"),
    (Form::Ordered, "{kind: enum, values: [a, b, c, d], ordered: true}"),
    (Form::Set, "{kind: set, values: [a, b, c, d]}"),
    (Form::Time, "{kind: time}"),
    (Form::Count, "{kind: count, event: seen, window: 7d}"),
];

impl Writer<'_> {
    fn condition(&mut self, depth: usize) -> String {
        let leaf = depth == 0 || self.rng.u8(0..4) == 0;
        if leaf {
            return self.atom();
        }
        match self.rng.u8(0..10) {
            0..=3 => self.chain(" && ", depth),
            4..=6 => self.chain(" || ", depth),
            7 => format!("!({})", self.condition(depth - 1)),
            8 => {
                let (a, b, c) =
                    (self.condition(depth - 1), self.condition(depth - 1), self.condition(depth - 1));
                format!("({a} ? {b} : {c})")
            }
            _ => format!("({}) == ({})", self.condition(depth - 1), self.condition(depth - 1)),
        }
    }

    fn chain(&mut self, operator: &str, depth: usize) -> String {
        let parts: Vec<String> = (0..self.rng.usize(2..5)).map(|_| self.condition(depth - 1)).collect();
        format!("({})", parts.join(operator))
    }

    fn atom(&mut self) -> String {
        if self.rng.u8(0..8) == 0 {
            return self.of_the_request();
        }
        let i = self.rng.usize(0..self.kinds.len());
        let (feature, word) = (format!("f{i}"), self.one(&WORDS));
        match (self.rng.u8(0..8), self.kinds[i]) {
            (0, _) => format!("{feature} == null"),
            (1, _) => format!("has(customer.{feature})"),
            (_, Form::Bool) => feature,
            (2, Form::Int | Form::Wide) => {
                format!("{feature} in [{}, {}, {}]", self.int(), self.int(), self.int())
            }
            (3, Form::Int | Form::Wide) => {
                let operator = self.one(&["+", "-", "*", "/", "%"]);
                format!("{feature} {operator} {} {} {}", self.int(), self.comparison(), self.int())
            }
            (4, Form::Int | Form::Wide) => format!("{feature} {} {}", self.comparison(), self.double()),
            (_, Form::Int | Form::Wide) => format!("{feature} {} {}", self.comparison(), self.int()),
            (2, Form::Single | Form::Double | Form::Decimal) => {
                let operator = self.one(&["+", "-", "*", "/"]);
                format!("{feature} {operator} {} {} {}", self.double(), self.comparison(), self.double())
            }
            (3, Form::Single | Form::Double | Form::Decimal) => {
                format!("{feature} in [{}, {}]", self.double(), self.int())
            }
            (4, Form::Single | Form::Double | Form::Decimal) => {
                format!("{} {} {feature}", self.int(), self.comparison())
            }
            (_, Form::Single | Form::Double | Form::Decimal) => {
                format!("{feature} {} {}", self.comparison(), self.double())
            }
            (2 | 3, Form::Enum | Form::Ordered) => format!("{feature} in ['{word}', '{}']", self.one(&WORDS)),
            (_, Form::Ordered) => format!("{feature} {} '{word}'", self.comparison()),
            (4, Form::Enum) => format!("{feature}.startsWith('{word}')"),
            (_, Form::Enum) => format!("{feature} {} '{word}'", self.one(&["==", "!="])),
            (2, Form::Set) => format!("size({feature}) {} {}", self.comparison(), self.int()),
            (3, Form::Set) => format!("{feature}.exists(w, w == '{word}')"),
            (4, Form::Set) => format!("('{word}' in {feature} || '{}' in {feature})", self.one(&WORDS)),
            (_, Form::Set) => format!("'{word}' in {feature}"),
            (2, Form::Time) => {
                let days = self.rng.u32(0..60) * 24;
                format!("now - {feature} {} duration('{days}h')", self.comparison())
            }
            (_, Form::Time) => {
                let day = self.rng.u32(1..29);
                format!("{feature} {} timestamp('2026-11-{day:02}T00:00:00Z')", self.comparison())
            }
            (_, Form::Count) => format!("{feature} {} {}", self.comparison(), self.int()),
        }
    }

    fn of_the_request(&mut self) -> String {
        let word = self.one(&WORDS);
        match self.rng.u8(0..7) {
            0 if self.tags > 0 => format!("tag.t{}", self.rng.usize(0..self.tags)),
            1 => format!("context.page {} '{}'", self.one(&["==", "!=", "<"]), self.one(&TEXTS)),
            2 => format!("context.page in ['{}', 'x']", self.one(&TEXTS)),
            3 => format!("context.amount {} {}", self.comparison(), self.double()),
            4 => format!("context.level {} '{word}'", self.comparison()),
            5 => format!("context.channel {} 'app'", self.one(&["==", "!="])),
            _ => "true".to_owned(),
        }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(0..of.len())]
    }

    fn int(&mut self) -> String {
        match self.rng.u8(0..12) {
            0 => self.one(&[i64::MIN + 1, i64::MAX, 1 << 53]).to_string(),
            1 => "param.int".to_owned(),
            _ => self.one(&INTS).to_string(),
        }
    }

    fn double(&mut self) -> &'static str {
        if self.rng.u8(0..12) == 0 { "param.double" } else { self.one(&DOUBLES) }
    }

    fn comparison(&mut self) -> &'static str {
        self.one(&["==", "!=", "<", "<=", ">", ">="])
    }
}

pub(super) fn schema(rng: &mut Rng) -> (Arc<Schema>, Vec<Form>) {
    let mut text = String::from("schema: t\nevents: {seen: {properties: {}}}\nfeatures:\n");
    let mut kinds = Vec::new();
    for i in 0..rng.usize(1..9) {
        let (form, kind) = FORMS[rng.usize(0..FORMS.len())];
        writeln!(text, "  f{i}: {kind}").unwrap();
        kinds.push(form);
    }
    text.push_str(
        "context:\n  page: {kind: string}\n  amount: {kind: float, precision: double}\n  level: {kind: enum, values: [a, b, c, d], ordered: true}\noffer_attributes:\n  risk: {kind: int}\n",
    );
    (Arc::new(Schema::parse("schema.yaml", &text).unwrap()), kinds)
}

const EXPERIMENTS: &str = "
experiments:
  style: {variants: {plain: 40, photo: 40}, salt: s}
  rate: {variants: {a: 50, b: 50}, exclusion: home}
parameters:
  int: {default: 2, style.photo: 7, style.plain: 9}
  double: {default: 0.7, rate.a: 2.5}
";

/// The variants of the customers of an id: of `style` and `rate`.
fn variants(customer: &str) -> [&'static str; 2] {
    let style = match slot("s", customer) {
        0..4_000 => "plain",
        4_000..8_000 => "photo",
        _ => "none",
    };
    [style, if slot("home", customer) < 5_000 { "a" } else { "b" }]
}

/// The text of a rule set. Most are small; some fill several blocks of the index.
pub(super) fn rule_set(rng: &mut Rng, kinds: &[Form], offers: usize) -> String {
    let tags = rng.usize(0..3);
    let mut text = format!("rule_set: r\n{EXPERIMENTS}");
    for i in 0..tags {
        // A tag may use those before it.
        let condition = Writer { rng, kinds, tags: i }.condition(2);
        writeln!(text, "{}  t{i}: \"{condition}\"", if i == 0 { "tags:\n" } else { "" }).unwrap();
    }
    for i in 0..rng.usize(0..3) {
        let condition = Writer { rng, kinds, tags }.condition(1);
        let head = if i == 0 { "guardrails:\n" } else { "" };
        writeln!(text, "{head}  g{i}: \"offer.risk == {} || {condition}\"", rng.u8(0..3)).unwrap();
    }
    text.push_str("placements: {slot: {channels: [app, web]}, other: {channels: [app, web]}}\ngroups: {few: {max: 2}}\noffers:\n");
    for i in 0..offers {
        let mut offer =
            format!("placements: {}, ", rng.choice(["[slot]", "[slot]", "[slot, other]"]).unwrap());
        let group = if rng.u8(0..4) == 0 { ", group: few" } else { "" };
        write!(offer, "attributes: {{risk: {}, value: {}{group}}}, ", rng.u8(0..3), rng.u8(1..4)).unwrap();
        if rng.u8(0..6) > 0 {
            let depth = rng.usize(0..4);
            write!(offer, "when: \"{}\", ", Writer { rng, kinds, tags }.condition(depth)).unwrap();
        }
        match rng.u8(0..12) {
            0 => offer.push_str("schedule: {from: 2026-11-10, until: 2026-11-20}, "),
            1 => offer
                .push_str("schedule: {hours: '22:00-06:00', days: [sat, mon], timezone: Asia/Shanghai}, "),
            2 => offer.push_str("schedule: {days: [sun], from: 2026-11-02}, "),
            _ => {}
        }
        write!(offer, "priority: {}, ", rng.u8(1..4)).unwrap();
        if rng.u8(0..6) == 0 {
            write!(offer, "boost: \"({}) ? 2.0 : 1.0\", ", Writer { rng, kinds, tags }.condition(1)).unwrap();
        }
        if rng.u8(0..8) == 0 {
            write!(offer, "variant: {}, ", rng.choice(["style.plain", "style.photo", "rate.b"]).unwrap())
                .unwrap();
        }
        let locale = if rng.u8(0..8) == 0 { ", locale: zh" } else { "" };
        // Only variants that no offer is for, because otherwise the treatment could never be chosen.
        let own = match rng.u8(0..12) {
            0 => {
                "{placement: slot, variant: rate.b, content: 3}, {placement: slot, locale: zh, variant: rate.b, content: 4}, "
            }
            1 => "{placement: slot, locale: zh, variant: rate.b, content: 3}, ",
            2 if !offer.contains("variant") => {
                "{placement: slot, locale: zh, variant: style.photo, content: 3}, \
                {placement: slot, variant: style.plain, content: 4}, "
            }
            _ => "",
        };
        let other = if offer.contains("other") { ", {placement: other, content: 2}" } else { "" };
        writeln!(
            text,
            "  o{i}: {{{offer}treatments: [{own}{{placement: slot{locale}, content: 1}}{other}]}}"
        )
        .unwrap();
    }
    text
}

pub(super) fn row(schema: &Schema, rng: &mut Rng) -> Vec<u64> {
    let mut row = vec![0; schema.row_words()];
    for feature in schema.features() {
        let Some(field) = feature.field.filter(|_| rng.u8(0..4) > 0) else { continue };
        let value = match &feature.kind {
            Kind::Bool => Value::Bool(rng.bool()),
            Kind::Int { min, max } => match rng.u8(0..8) {
                0 => Value::Int(if rng.bool() { *min } else { *max }),
                1 => Value::Int(rng.i64(*min..=*max)),
                _ => Value::Int(INTS[rng.usize(0..INTS.len())]),
            },
            Kind::Float { double } => {
                let x: f64 = DOUBLES[rng.usize(0..DOUBLES.len())].parse().unwrap();
                Value::Double(if *double { x } else { f64::from((x as f32).clamp(f32::MIN, f32::MAX)) })
            }
            Kind::Decimal { .. } => Value::Double([-2.5, 0.0, 0.7, 1.0, 2.5, 3.0, 100.0][rng.usize(0..7)]),
            Kind::Enum(_) => Value::Text(WORDS[rng.usize(0..4)].into()),
            Kind::Set(words) => Value::Set(rng.u64(0..16), words),
            Kind::Time => Value::Time(Time::from_seconds(1_793_491_200 + rng.i64(-90..90) * 43_200)),
            _ => continue,
        };
        field.write(&mut row, feature.kind.encode(&value));
    }
    row
}

pub(super) fn context(schema: &Schema, rng: &mut Rng) -> Context<'static> {
    let mut context = Context::default();
    for (name, value) in [
        ("page", Value::Text(TEXTS[rng.usize(0..3)].into())),
        ("amount", Value::Double(DOUBLES[rng.usize(0..12)].parse().unwrap())),
        ("level", Value::Text(WORDS[rng.usize(0..4)].into())),
    ] {
        if rng.bool() {
            context.set(schema.context_id(name).unwrap(), value);
        }
    }
    context
}

/// The treatment for these variants: by language first, then by variant.
fn treatment(offer: &Offer, placement: &str, request: &Request<'_>) -> Option<String> {
    let [style, rate] = variants(request.customer);
    let own = |name: &String| offer.treatments.iter().any(|treatment| *treatment.name == **name);
    let locales = [request.locale.map(|_| format!("{placement}.zh")), Some(placement.to_owned())];
    let names = locales
        .into_iter()
        .flatten()
        .flat_map(|locale| [format!("{locale}.{style}"), format!("{locale}.{rate}"), locale]);
    names.into_iter().find(own)
}

/// What the request gets, by evaluating every condition and sorting everything.
pub(super) fn straightforward(
    engine: &Engine,
    row: &[u64],
    request: &Request<'_>,
    now: Time,
) -> (Vec<String>, Vec<String>) {
    let memos: Vec<TagMemo> = engine.tags.iter().map(|tags| TagMemo::new(tags.len())).collect();
    let held = vec![Cell::new(None); engine.guardrails.len()];
    let seen = Seen { held, ..Seen::new(engine, FeatureVector::new(row), request, now, &memos) };
    let in_variant = |offer: &Offer| {
        let variant = offer.variant.as_ref();
        variant.is_none_or(|variant| variants(request.customer).contains(&variant.variant_name()))
    };
    let (mut may, mut shown) = (Vec::new(), Vec::new());
    let (mut taken, mut few) = (Vec::new(), 0);
    for (placement, count) in request.placements {
        let offers = engine.placement(*placement).offers.iter().map(|id| engine.offer(*id));
        let mut eligible: Vec<&Offer> =
            offers.filter(|offer| obstacle(&seen, *placement, offer).is_ok()).collect();
        assert!(eligible.iter().all(|offer| in_variant(offer)), "{}", request.customer);
        eligible.sort_by(|a, b| {
            let of = |offer| seen.score(engine.placement(*placement), offer).score;
            let score = || of(b).total_cmp(&of(a));
            a.priority.cmp(&b.priority).then_with(score).then_with(|| a.name.cmp(&b.name))
        });
        may.extend(eligible.iter().map(|offer| offer.name.to_string()));
        let mut here = 0;
        for offer in eligible {
            if here == *count || taken.contains(&&offer.name) || (offer.group.is_some() && few == 2) {
                continue;
            }
            (here, few) = (here + 1, few + usize::from(offer.group.is_some()));
            taken.push(&offer.name);
            let treatment = treatment(offer, &engine.placement(*placement).name, request).unwrap();
            shown.push(format!("{} as {treatment}", offer.name));
        }
    }
    may.sort();
    (may, shown)
}

pub(super) fn indexed(
    engine: &Engine,
    row: &[u64],
    request: &Request<'_>,
    now: Time,
) -> (Vec<String>, Vec<String>) {
    let vector = FeatureVector::new(row);
    let mut found = Vec::new();
    for (placement, _) in request.placements {
        eligible(engine, *placement, vector, request, now, &mut found);
    }
    let mut may: Vec<String> = found.iter().map(|id| engine.offer(*id).name.to_string()).collect();
    may.sort();
    let decision = decide(engine, vector, request, now);
    let shown = decision.placements.iter().flat_map(|shown| &shown.propositions);
    (may, shown.map(|shown| format!("{} as {}", shown.offer.name, shown.treatment.name)).collect())
}

/// Runs rule sets `first`, `first + step` … and counts the offers that passed and that did not.
fn run(first: usize, step: usize) -> (usize, usize) {
    let (mut eligible, mut looked_at) = (0, 0);
    let (rule_sets, customers) = rounds((200, 50), (2_500, 400)); // customers of each rule set
    for seed in (first..rule_sets).step_by(step) {
        let mut rng = Rng::with_seed(seed as u64);
        let (schema, kinds) = schema(&mut rng);
        let offers = if seed % 500 == 7 { rng.usize(500..1_100) } else { rng.usize(1..8) };
        let text = rule_set(&mut rng, &kinds, offers);
        let set = RuleSet::parse("r.yaml", &text, &schema);
        let set = set.unwrap_or_else(|problems| panic!("seed {seed}: {problems}\n{text}"));
        let engine = Engine::compile(&schema, &[(Arc::new(set), 1)]);
        let engine = engine.unwrap_or_else(|problems| panic!("seed {seed}: {problems}\n{text}"));
        let locale = Languages::read("zh");
        let placements = ["slot", "other"].map(|name| (engine.placement_id(name).unwrap(), rng.usize(1..5)));
        for _ in 0..customers {
            let row = row(&schema, &mut rng);
            let customer = format!("c-{}", rng.u16(..));
            let request = Request {
                customer: &customer,
                channel: ChannelId(rng.u16(0..3)),
                placements: &placements,
                locale: rng.bool().then_some(&locale),
                context: context(&schema, &mut rng),
                past: Past::default(),
                budgets: &NoBudgets,
                lessons: &NoLessons,
                seed: 0,
                explain: false,
                overdue: None,
            };
            let now = Time::from_seconds(1_793_491_200 + rng.i64(-20..40) * 43_200);
            let expected = straightforward(&engine, &row, &request, now);
            let found = indexed(&engine, &row, &request, now);
            assert_eq!(
                found, expected,
                "seed {seed}, {customer}, row {row:?}, {:?}, {now}\n{text}",
                request.context
            );
            eligible += expected.0.len();
            looked_at += engine.placements().iter().map(|placement| placement.offers.len()).sum::<usize>();
        }
    }
    (eligible, looked_at)
}

// Two tests, so that two cores share the cases.
#[test]
fn the_index_finds_what_evaluating_finds_for_even_rule_sets() {
    let (eligible, looked_at) = run(0, 2);
    assert!(eligible * 10 > looked_at && eligible * 10 < looked_at * 9, "{eligible} of {looked_at}");
}

#[test]
fn the_index_finds_what_evaluating_finds_for_odd_rule_sets() {
    let (eligible, looked_at) = run(1, 2);
    assert!(eligible * 10 > looked_at && eligible * 10 < looked_at * 9, "{eligible} of {looked_at}");
}
