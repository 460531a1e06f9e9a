//! Engines that take over what is the same in the one before, against engines that are compiled anew.

use super::*;
use crate::decide::eligible;
use crate::rules::catalogue::Catalogue;
use crate::schema::vector::FeatureVector;
use crate::testing::rounds;

const OFFERS: usize = 80;

/// A rule set, part by part.
#[derive(Clone)]
struct Parts {
    tag: &'static str,
    guardrail: &'static str,
    /// Names of experiments that halve the customers into `x` and `y`.
    experiments: Vec<&'static str>,
    /// For each offer its condition, which may be empty, its priority and its content.
    offers: Vec<(String, u8, usize)>,
    /// The offer that has another name than usual.
    renamed: usize,
    /// Fields of the first offer, and its treatments that come before the usual one.
    first: [&'static str; 2],
}

impl Parts {
    fn new() -> Parts {
        Parts::of(OFFERS)
    }

    fn of(offers: usize) -> Parts {
        let offers = (0..offers).map(|nth| (format!("age > {}", nth % 40), 1 + (nth % 9) as u8, nth));
        Parts {
            tag: "age > 10",
            guardrail: "consent",
            experiments: Vec::new(),
            offers: offers.collect(),
            renamed: usize::MAX,
            first: [""; 2],
        }
    }

    fn text(&self) -> String {
        let offer = |(nth, (when, priority, content)): (usize, &(String, u8, usize))| {
            let [field, treatment] = if nth == 0 { self.first } else { [""; 2] };
            let when = if when.is_empty() { String::new() } else { format!("    when: {when}\n") };
            format!(
                "  {}{nth}:\n    placements: [slot]\n{field}{when}    priority: {priority}\n    treatments:\n{treatment}      \
                 - {{placement: slot, content: {content}}}\n",
                if nth == self.renamed { "n" } else { "o" }
            )
        };
        let offers: String = self.offers.iter().enumerate().map(offer).collect();
        let halves = |name: &&str| format!("{name}: {{variants: {{x: 50, y: 50}}}}");
        let experiments: Vec<String> = self.experiments.iter().map(halves).collect();
        format!(
            "rule_set: r\nplacements: {{slot: {{channels: [app], count: 5}}}}\ntags: {{t: {}}}\nguardrails: {{g: {}}}\n\
             experiments: {{{}}}\noffers:\n{offers}",
            self.tag,
            self.guardrail,
            experiments.join(", ")
        )
    }
}

struct World {
    schema: Arc<Schema>,
    /// How often the schema has grown.
    grown: usize,
    earlier: Option<Arc<RuleSet>>,
    engine: Option<Engine>,
}

impl World {
    fn new() -> World {
        World { schema: World::schema(0), grown: 0, earlier: None, engine: None }
    }

    fn schema(grown: usize) -> Arc<Schema> {
        let more: String = (0..grown).map(|nth| format!("  more_{nth}: {{kind: bool}}\n")).collect();
        let schema = SCHEMA
            .replace("offer_attributes:", &(more + "context: {page: {kind: string}}\noffer_attributes:"));
        Arc::new(Schema::parse("s", &schema).unwrap())
    }

    /// Goes on to a schema with one more feature. What was read against the one before is no help.
    fn grow(&mut self) {
        self.grown += 1;
        (self.schema, self.earlier) = (World::schema(self.grown), None);
    }

    /// Goes on to a version, and compares its engine with one that knows no version before. Returns whether
    /// it has the very index of the one before.
    fn go_on(&mut self, parts: &Parts) -> bool {
        let (text, catalogue) = (parts.text(), Arc::new(Catalogue::new()));
        let set = RuleSet::parse_after("r", &text, &self.schema, self.earlier.as_deref()).unwrap();
        let sets = [(Arc::new(set), 1)];
        let known = self.engine.as_ref();
        let engine = Engine::compile_after(&self.schema, &sets, &catalogue, known).unwrap().0;
        let sets_anew = [(Arc::new(RuleSet::parse("r", &text, &self.schema).unwrap()), 1)];
        let anew = Engine::compile(&self.schema, &sets_anew).unwrap();
        let size = |engine: &Engine| (engine.index_size().terms, engine.index_size().conjunctions);
        assert_eq!(size(&engine), size(&anew));
        let texts = |engine: &Engine| format!("{:?}", engine.terms.all()).matches("page-").count();
        assert_eq!(texts(&engine), texts(&anew), "no text is kept that no condition has");
        for age in (0..50).map(Value::Int) {
            for (consent, page) in [(true, "page-1"), (true, "page-2"), (false, "page-1")] {
                let seen = |engine: &Engine| shown(engine, age.clone(), consent, page);
                assert_eq!(seen(&engine), seen(&anew), "{text}");
            }
        }
        for (age, consent) in [(8, true), (31, true), (47, true), (47, false)] {
            assert_eq!(explained(&engine, age, consent), explained(&anew, age, consent), "{text}");
        }
        let customers = if parts.experiments.is_empty() { 1 } else { 50 };
        for customer in (0..customers).map(|nth| format!("c-{nth}")) {
            assert_eq!(drawn(&engine, &customer), drawn(&anew, &customer), "{customer}: {text}");
        }
        let same = known.is_some_and(|known| Arc::ptr_eq(&known.index, &engine.index));
        (self.earlier, self.engine) = (Some(Arc::clone(&sets[0].0)), Some(engine));
        same
    }
}

/// What a customer of 50 with consent gets: each offer with its content and its arms.
fn drawn(engine: &Engine, customer: &str) -> Vec<String> {
    let row = row(&engine.schema, Value::Int(50), true);
    let placements = [(engine.placement_id("slot").unwrap(), 100)];
    let request = Request { customer, ..asked(engine, &placements) };
    let decision = decide(engine, FeatureVector::new(&row), &request, Time(0));
    let told = |of: &Proposition<'_>| {
        let arms: Vec<&str> = of.arms.iter().map(|arm| &*engine.arm(*arm).name).collect();
        format!("{} {} {arms:?}", of.offer.name, String::from_utf8_lossy(&of.treatment.json))
    };
    decision.placements[0].propositions.iter().map(told).collect()
}

/// All that is said of each offer: what it shows, in which bytes, and why it is not shown.
fn explained(engine: &Engine, age: i64, consent: bool) -> Vec<String> {
    let row = row(&engine.schema, Value::Int(age), consent);
    let placements = [(engine.placement_id("slot").unwrap(), 7)];
    let request = Request { explain: true, ..asked(engine, &placements) };
    told(&decide(engine, FeatureVector::new(&row), &request, Time(0)), engine)
}

/// All that a decision says of each offer that its first placement may show.
pub(super) fn told(decision: &Decision<'_>, engine: &Engine) -> Vec<String> {
    let told = |of: &Explanation<'_>| {
        let Offer { name, line, numbers, treatments, .. } = of.offer;
        let contents = treatments.iter().map(|of| (&of.name, of.number, &of.json, &of.msgpack, &of.head));
        let contents: Vec<_> = contents.collect();
        let stop = of.stopped_by.as_ref().map(|stop| {
            // Texts come in the order in which versions before have numbered them, as terms do.
            let lack = |lack: &Lack<'_>| {
                let needs = lack.needs(engine).to_string();
                let mut words: Vec<&str> = needs.split([' ', ',']).collect();
                words.sort_unstable();
                format!("{} {:?} {words:?}", lack.term(engine), lack.value)
            };
            let mut lacks: Vec<Vec<String>> =
                stop.lacks.iter().map(|way| way.iter().map(lack).collect()).collect();
            lacks.iter_mut().for_each(|way| way.sort());
            (stop.kind, &stop.name, stop.condition, stop.line, lacks, stop.opens())
        });
        format!("{name} {line} {:?} {:?} {numbers:?} {contents:?} {stop:?}", of.rank, of.score)
    };
    decision.placements[0].explanations.iter().map(told).collect()
}

fn row(schema: &Schema, age: Value<'static>, consent: bool) -> Vec<u64> {
    let mut row = vec![0; schema.row_words()];
    for (name, value) in [("age", age), ("consent", Value::Bool(consent))] {
        let feature = schema.feature(schema.feature_id(name).unwrap());
        feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
    }
    row
}

/// The offers that a customer may see on that page, with their contents.
fn shown(
    engine: &Engine,
    age: Value<'static>,
    consent: bool,
    page: &'static str,
) -> Vec<(Box<str>, Vec<u8>)> {
    let schema = &engine.schema;
    let row = row(schema, age, consent);
    let mut context = Context::default();
    context.set(schema.context_id("page").unwrap(), Value::Text(page.into()));
    let place = engine.placement_id("slot").unwrap();
    let placements = [(place, 5)];
    let request = Request { context, ..asked(engine, &placements) };
    let mut found = Vec::new();
    eligible(engine, place, FeatureVector::new(&row), &request, Time(0), &mut found);
    let offers = found.iter().map(|id| engine.offer(*id));
    offers.map(|offer| (offer.name.clone(), offer.treatments[0].json.to_vec())).collect()
}

#[test]
fn an_engine_that_takes_over_what_is_the_same_decides_as_one_that_is_compiled_anew() {
    let (mut world, mut rng) = (World::new(), fastrand::Rng::with_seed(14));
    let mut parts = Parts::new();
    world.go_on(&parts);
    let conditions = [
        "tag.t && age > 7",
        "context.page == 'page-1'",
        "context.page == 'page-2' || age > 45",
        "age * 2 > 31",
        "age > 7\n    schedule: {from: 2020-01-01}",
        "age > 8\n    schedule: {until: 2020-01-01}",
        "age > 9\n    attributes: {value: 7}",
        "age > 9\n    attributes: {value: 7}\n    boost: 1 + age",
        "",
    ];
    let mut same = 0;
    for round in 0..rounds(60, 2_000) {
        let at = rng.usize(0..parts.offers.len());
        let offer = &mut parts.offers[at];
        match rng.u32(0..12) {
            0..3 => offer.2 = round,
            3 => offer.0 = format!("age > {}", rng.u32(0..60)),
            4 => offer.0 = (*rng.choice(conditions.iter()).unwrap()).to_owned(),
            5 => offer.1 = rng.u8(1..=9),
            6 if round % 2 == 0 => drop(parts.offers.remove(at)),
            6 => parts.offers.insert(at, ("age > 11".into(), 3, round)),
            7 => parts.renamed = at,
            11 => world.grow(),
            8 => parts.tag = rng.choice(["age > 10", "age > 20"]).unwrap(),
            _ => parts.guardrail = rng.choice(["consent", "consent || age > 40", "age > 2"]).unwrap(),
        }
        same += usize::from(world.go_on(&parts));
    }
    assert!(same > 10, "{same}");
}

#[test]
fn another_content_leaves_the_index_as_it_is_and_another_condition_does_not() {
    for (offers, always) in [(OFFERS, None), (OFFERS, Some(7)), (10, None), (10, Some(7))] {
        let (mut world, mut parts) = (World::new(), Parts::of(offers));
        if let Some(nth) = always {
            parts.offers[nth].0 = String::new();
        }
        let nth = offers / 2;
        assert!(!world.go_on(&parts));
        parts.offers[nth].2 = 1_000;
        assert!(world.go_on(&parts), "{offers} offers, {always:?}");
        parts.offers[nth].0 = "age > 77".into();
        assert!(!world.go_on(&parts));
        parts.offers[nth].2 = 2_000;
        assert!(world.go_on(&parts), "{offers} offers, {always:?}");
    }
}

#[test]
fn blocks_of_the_index_are_kept_when_constants_come_and_go_elsewhere() {
    let (mut world, mut parts) = (World::new(), Parts::of(1_100));
    for (nth, offer) in parts.offers.iter_mut().enumerate() {
        offer.0 = format!("age > {}", 4 * (nth % 10));
    }
    world.go_on(&parts);
    // Tiers rank offers: the first block is that of the first tiers.
    for (nth, when) in [(9, "age > 5"), (9, "age > 6 && age < 11"), (10, "age > 22"), (9, "age > 4")] {
        parts.offers[nth].0 = when.to_owned();
        world.go_on(&parts);
    }
}

#[test]
fn a_zero_of_another_sign_is_another_condition() {
    for offers in [10, OFFERS] {
        let (mut world, mut parts) = (World::new(), Parts::of(offers));
        parts.offers[5].0 = "tag.t && age > 3".into();
        for (tag, guardrail, when) in [
            ("double(age) / 0.0 > 1.0", "consent", "age > 3"),
            ("double(age) / -0.0 > 1.0", "consent", "age > 3"),
            ("age > 10", "double(age) / 0.0 > 1.0", "age > 3"),
            ("age > 10", "double(age) / -0.0 > 1.0", "age > 3"),
            ("age > 10", "consent", "double(age) / 0.0 > 1.0"),
            ("age > 10", "consent", "double(age) / -0.0 > 1.0"),
        ] {
            (parts.tag, parts.guardrail, parts.offers[6].0) = (tag, guardrail, when.into());
            world.go_on(&parts);
        }
    }
}

#[test]
fn customers_stay_in_their_arms_whatever_becomes_of_other_experiments() {
    let (mut world, mut parts) = (World::new(), Parts::new());
    parts.first = ["    variant: b.x\n", "      - {placement: slot, variant: b.x, content: {title: of x}}\n"];
    for experiments in [
        &["b"][..],
        &["a", "b"],
        &["b", "a"],
        &["c", "b", "a"],
        &["c", "a", "b"],
        &["a", "b"],
        &["b"],
        &["d", "e", "b"],
    ] {
        parts.experiments = experiments.to_vec();
        world.go_on(&parts);
    }
}
