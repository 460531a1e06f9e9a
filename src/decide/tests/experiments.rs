//! Experiments, parameters and the holdout in decisions.

use std::collections::BTreeMap;

use super::*;
use crate::decide::eligible;
use crate::expression::arm::{Arm, slot};

const HEAD: &str = "rule_set: r
placements: {slot: {channels: [app], fallback: brand}, other: {channels: [app]}}
experiments:
  style: {variants: {plain: 40, photo: 40}, salt: s}
";
const BRAND: &str = "  brand: {treatments: [{placement: slot, content: 1}]}\n";

/// A customer whose slot for this salt is in this range.
fn customer(salt: &str, slots: std::ops::Range<u16>) -> String {
    (0..).map(|i| format!("c-{i}")).find(|customer| slots.contains(&slot(salt, customer))).unwrap()
}

/// One customer in `style.plain`, one in `style.photo`, one in neither.
fn customers() -> [String; 3] {
    [customer("s", 0..4_000), customer("s", 4_000..8_000), customer("s", 8_000..10_000)]
}

fn engine(offers: &str) -> Engine {
    compile(&[&format!("{HEAD}{offers}")]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Hands on what a customer of this age gets on `slot`.
fn decided<A>(
    engine: &Engine,
    customer: &str,
    age: i64,
    locale: Option<&str>,
    look: impl FnOnce(&Decision<'_>) -> A,
) -> A {
    let locale = locale.map(Languages::read);
    let mut row = vec![0; engine.schema.row_words()];
    let feature = engine.schema.feature(engine.schema.feature_id("age").unwrap());
    feature.field.unwrap().write(&mut row, feature.kind.encode(&Value::Int(age)));
    let placements = &[(engine.placement_id("slot").unwrap(), 3)];
    let request = Request { customer, locale: locale.as_ref(), explain: true, ..asked(engine, placements) };
    let decision = decide(engine, FeatureVector::new(&row), &request, Time(0));
    let quiet = Request { explain: false, ..request };
    let plain = decide(engine, FeatureVector::new(&row), &quiet, Time(0));
    assert_eq!(shown(engine, &plain), shown(engine, &decision), "explaining changes nothing");
    let mut found = Vec::new();
    eligible(engine, quiet.placements[0].0, FeatureVector::new(&row), &quiet, Time(0), &mut found);
    let may = decision.placements[0].explanations.iter().filter(|explanation| explanation.eligible).count();
    assert_eq!(found.len(), may);
    look(&decision)
}

/// `TREATMENT [ARM …]` of each proposition.
fn shown(engine: &Engine, decision: &Decision<'_>) -> Vec<String> {
    let arms = |arms: &Arms| {
        let names: Vec<&str> = arms.iter().map(|arm| &*engine.arm(*arm).name).collect();
        names.join(" ")
    };
    let propositions = &decision.placements[0].propositions;
    propositions
        .iter()
        .map(|p| format!("{} {} [{}]", p.offer.name, p.treatment.name, arms(&p.arms)))
        .collect()
}

fn for_each(engine: &Engine, age: i64, locale: Option<&str>) -> [String; 3] {
    customers().map(|customer| decided(engine, &customer, age, locale, |d| shown(engine, d).join(", ")))
}

#[test]
fn an_offer_of_a_variant_is_for_its_customers_alone() {
    let engine = engine(&format!(
        "offers:\n{BRAND}  a: {{placements: [slot], variant: style.photo, when: age > 3, treatments: [{{placement: slot, content: 1}}]}}\n"
    ));
    assert_eq!(
        for_each(&engine, 4, None),
        ["brand slot [style.plain]", "a slot [style.photo]", "brand slot []"]
    );
    assert_eq!(for_each(&engine, 3, None)[1], "brand slot [style.photo]");
    let [plain, photo, none] = customers();
    for (customer, age, expected) in [
        (&plain, 4, "variant style.photo, experiment.style 'plain', needs photo"),
        (&none, 4, "variant style.photo, experiment.style missing, needs photo"),
        (&photo, 3, "when , age 3, needs at least 4"),
    ] {
        let why = decided(&engine, customer, age, None, |decision| {
            let stop = decision.placements[0].explanations[0].stopped_by.as_ref().unwrap();
            let (read, value) = &stop.values[0];
            let needs = stop.lacks[0][0].needs(&engine);
            format!("{} {}, {read} {value}, needs {needs}", stop.kind.name(), stop.name)
        });
        assert_eq!(why, expected);
    }
}

#[test]
fn the_language_of_a_treatment_comes_first_then_the_variant() {
    let of = |treatments: &str| {
        engine(&format!("offers:\n{BRAND}  a: {{placements: [slot], treatments: [{treatments}]}}\n"))
    };
    let all = of("{placement: slot, content: 1}, {placement: slot, variant: style.photo, content: 2}, \
         {placement: slot, locale: zh, content: 3}, {placement: slot, locale: zh, variant: style.photo, content: 4}");
    let treatments = |engine: &Engine, locale| {
        for_each(engine, 9, locale).map(|shown| shown.split(' ').nth(1).unwrap_or("nothing").to_owned())
    };
    assert_eq!(treatments(&all, None), ["slot", "slot.photo", "slot"]);
    assert_eq!(treatments(&all, Some("zh-CN")), ["slot.zh", "slot.zh.photo", "slot.zh"]);
    let half = of(
        "{placement: slot, variant: style.photo, content: 2}, {placement: slot, locale: zh, content: 3}, {placement: slot, content: 1}",
    );
    assert_eq!(treatments(&half, Some("zh")), ["slot.zh", "slot.zh", "slot.zh"]);
    assert_eq!(treatments(&half, Some("en")), ["slot", "slot.photo", "slot"]);
    let chinese =
        of("{placement: slot, locale: zh, variant: style.photo, content: 2}, {placement: slot, content: 1}");
    assert_eq!(treatments(&chinese, Some("zh")), ["slot", "slot.zh.photo", "slot"]);
}

#[test]
fn parameters_change_conditions_and_scores_by_variant() {
    let engine = engine(&format!(
        "parameters: {{least: {{default: 30, style.photo: 20}}, factor: {{default: 1, style.plain: 2.5}}, name: {{default: old}}}}\n\
         tags: {{grown: age >= param.least}}\n\
         offers:\n{BRAND}  a: {{placements: [slot], when: tag.grown && param.name == 'old', boost: param.factor, treatments: [{{placement: slot, content: 1}}]}}\n"
    ));
    let score = |customer: &String, age| {
        decided(&engine, customer, age, None, |d| {
            let first = &d.placements[0].propositions[0];
            (first.offer.name.to_string(), first.score)
        })
    };
    let scores = |age| customers().map(|customer| score(&customer, age));
    let named = |name: &str, score: f64| (name.to_owned(), score);
    assert_eq!(scores(20), [named("brand", 0.0), named("a", 1.0), named("brand", 0.0)]);
    assert_eq!(scores(30), [named("a", 2.5), named("a", 1.0), named("a", 1.0)]);
    let why = decided(&engine, &customers()[0], 25, None, |decision| {
        let stop = decision.placements[0].explanations[0].stopped_by.as_ref().unwrap();
        let lack = |lack: &Lack<'_>| format!("{} {}", lack.term(&engine), lack.needs(&engine));
        let ways = stop.lacks.iter().map(|way| way.iter().map(lack).collect::<Vec<_>>().join(" and "));
        let read: Vec<String> =
            stop.values.iter().map(|(read, value)| format!("{read} is {value}")).collect();
        format!("{}; needs {}", read.join(", "), ways.collect::<Vec<_>>().join(" or "))
    });
    assert_eq!(
        why,
        "tag.grown is false, age is 25, experiment.style is 'plain'; needs experiment.style photo or age at least 30"
    );
}

#[test]
fn a_parameter_that_is_compared_with_a_feature_keeps_its_column() {
    let parameter = "parameters: {least: {default: 30, style.photo: 20}}\n";
    let engine = engine(&format!(
        "{parameter}offers:\n{BRAND}  a: {{placements: [slot], when: age >= param.least, treatments: [{{placement: slot, content: 1}}]}}\n"
    ));
    let words = engine.words();
    let form = &engine.offers().iter().find(|offer| &*offer.name == "a").unwrap().when_form;
    let ways = form.0.iter().map(|way| {
        let atom = |atom: &crate::expression::alternatives::Atom| {
            format!("{}: {}", words.term(atom.term), words.needs(atom.term, &atom.keys))
        };
        way.0.iter().map(atom).collect::<Vec<_>>().join(", ")
    });
    assert_eq!(
        ways.collect::<Vec<_>>(),
        [
            "experiment.style: photo, age: at least 20",
            "experiment.style: plain or no variant, age: at least 30"
        ]
    );
}

#[test]
fn who_is_held_out_gets_fallbacks_alone() {
    let engine = engine(
        "holdout: {percent: 5, salt: 2026}\noffers:\n  brand: {treatments: [{placement: slot, variant: style.photo, content: 2}, {placement: slot, content: 1}]}\n  \
         a: {placements: [slot], treatments: [{placement: slot, content: 1}]}\n  b: {placements: [other], treatments: [{placement: other, content: 1}]}\n",
    );
    let held = (0..).map(|i| format!("c-{i}"));
    let held =
        held.filter(|c| slot("2026", c) < 500).find(|c| (4_000..8_000).contains(&slot("s", c))).unwrap();
    decided(&engine, &held, 9, None, |decision| {
        assert!(decision.holdout);
        assert_eq!(shown(&engine, decision), ["brand slot [holdout.in]"], "and no variant of it");
        let stops = decision.placements[0].explanations.iter().map(|e| e.stopped_by.as_ref().unwrap().kind);
        assert_eq!(stops.collect::<Vec<_>>(), [StopKind::Holdout]);
    });
    decided(&engine, &customer("2026", 500..10_000), 9, None, |decision| {
        assert!(!decision.holdout);
        assert!(shown(&engine, decision)[0].contains("[holdout.out"), "{:?}", shown(&engine, decision));
    });
    let held_out = (0..10_000).filter(|i| engine.holdout.as_ref().unwrap().0.contains(&format!("c-{i}")));
    assert!((440..560).contains(&held_out.count()), "5 % of 10,000");
    let arms: Vec<(&str, u16)> = engine.arms().iter().map(|arm| (&*arm.name, arm.share)).collect();
    assert_eq!(
        arms,
        [("style.plain", 4_000), ("style.photo", 4_000), ("holdout.in", 500), ("holdout.out", 9_500)]
    );
    let numbered = |arm: &Arm| engine.catalogue.arms.number(&arm.name) == Some(arm.number.0);
    assert!(engine.arms().iter().all(numbered), "{:?}", engine.arms());
    let other = "rule_set: q\nholdout: {percent: 1, salt: x}\n";
    let one = "rule_set: r\nholdout: {percent: 1, salt: y}\n";
    assert_eq!(details(&[one, other]), ["2: rule set `q` has a holdout already, and there can be only one"]);
}

#[test]
fn arms_stay_when_rule_sets_change() {
    let offer = "  a: {placements: [slot], treatments: [{placement: slot, content: 1}]}\n";
    let before = engine(&format!("offers:\n{BRAND}{offer}"));
    let text = format!(
        "{}offers:\n{BRAND}{offer}",
        HEAD.replace("experiments:\n", "experiments:\n  other: {variants: {x: 12.34, y: 0.5}}\n")
    );
    let after = compile(&[&text, "rule_set: a\nexperiments: {first: {variants: {one: 100}}}\n"]).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for i in 0..3_000 {
        let customer = format!("c-{i}");
        let style = |engine: &Engine| {
            decided(engine, &customer, 9, None, |decision| {
                let arms = decision.placements[0].propositions[0].arms.iter();
                arms.map(|arm| engine.arm(*arm).name.to_string()).find(|name| name.starts_with("style."))
            })
        };
        assert_eq!(style(&before), style(&after), "{customer}");
        *counts.entry(style(&before).unwrap_or_default()).or_default() += 1;
    }
    let counts: Vec<usize> = counts.into_values().collect();
    let [none, photo, plain] = counts[..] else { panic!("{counts:?}") };
    assert!((500..700).contains(&none) && (1_100..1_300).contains(&photo), "{counts:?}");
    assert!((1_100..1_300).contains(&plain), "{counts:?}");
}

#[test]
fn no_customer_is_in_two_experiments_of_an_exclusion_group() {
    let one = "rule_set: a\nexperiments: {x: {variants: {one: 25, two: 25}, exclusion: home}}\n";
    let other = "rule_set: b\nexperiments: {y: {variants: {one: 30}, exclusion: home, from: 50}}\n";
    let engine = compile(&[one, other]).unwrap();
    let mut both = [0; 3];
    for i in 0..5_000 {
        let customer = format!("c-{i}");
        let in_one = |set: usize| {
            let experiment = &engine.experiments[set][0].experiment;
            usize::from(experiment.variant_at(slot(&experiment.salt, &customer)).is_some())
        };
        both[in_one(0) + in_one(1)] += 1;
    }
    assert!(both[2] == 0 && (850..1_150).contains(&both[0]), "{both:?}");
    let near = other.replace("from: 50", "from: 49.99");
    assert_eq!(
        details(&[one, &near]),
        [
            "2: experiment `y` has 49.99 % to 79.99 % of exclusion group `home`, and `x` (rule set `a`) has 0 % to 50 %"
        ]
    );
    let problems = compile(&[one, &near]).unwrap_err().to_string();
    assert!(problems.contains("begin after it: `from: 50`"), "{problems}");
    assert_eq!(
        details(&[one, &one.replace("rule_set: a", "rule_set: c").replace("home", "page")]),
        ["2: experiment `x` is also in rule set `a`"]
    );
}

#[test]
fn more_arms_than_an_engine_can_number_are_refused() {
    let variants: Vec<String> = (0..16).map(|i| format!("v{i}: 1")).collect();
    let set = |n: usize| {
        let experiment = |i: usize| format!("  e{n}_{i}: {{variants: {{{}}}}}\n", variants.join(", "));
        let experiments: String = (0..15).map(experiment).collect();
        format!("rule_set: r{n}\nexperiments:\n{experiments}")
    };
    let texts: Vec<String> = (0..5).map(set).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(compile(&texts[..4]).unwrap().arms().len(), 960);
    assert_eq!(details(&texts), ["7: with this one, the active rule sets have more than 1024 variants"]);
}

/// The problems of a rule set that begins like this, as `line:column "what is marked" detail`.
fn problems(text: &str) -> Vec<String> {
    let schema = Schema::parse("schema.yaml", SCHEMA).unwrap();
    let text = format!("rule_set: r\n{text}");
    let Err(problems) = RuleSet::parse("r.yaml", &text, &schema) else { return Vec::new() };
    let show = |problem: &crate::input::problem::Problem| {
        let place = problem.place.unwrap();
        let marked = &text[place.offset as usize..(place.offset + place.length) as usize];
        format!("{}:{} {marked:?} {}", place.line, place.column, problem.detail)
    };
    problems.iter().map(show).collect()
}

#[test]
fn what_is_wrong_with_an_experiment_is_said_where_it_stands() {
    let style = "experiments: {style: {variants: {plain: 40, photo: 40}, salt: s}}\n";
    let offer = |fields: &str| format!("{style}offers: {{a: {{{fields}}}}}\n");
    let treated = |treatments: &str| offer(&format!("placements: [slot], treatments: [{treatments}]"));
    let experiment = |fields: &str| format!("experiments: {{x: {{{fields}}}}}\n");
    for (text, expected) in [
        (style.to_owned(), vec![]),
        (experiment("variants: {a: 33.33, b: 33.33, c: 33.34}"), vec![]),
        (experiment("variants: {a: 60, b: 40.01}"), vec!["2:40 \"40.01\" with this one, the variants add up to 100.01 %, more than 100 %"]),
        (
            experiment("variants: {a: 60}, exclusion: g, from: 40.5"),
            vec!["2:33 \"60\" with this one, the variants from 40.5 % on end at 100.5 %, beyond 100 %"],
        ),
        (
            experiment("variants: {a: 0.005}"),
            vec!["2:33 \"0.005\" expected a percentage from 0 to 100 with at most two decimals, found 0.005"],
        ),
        (experiment("variants: {}"), vec!["2:29 \"{\" an experiment has 1 to 16 variants; this one has 0"]),
        (experiment("salt: x"), vec!["2:18 \"{\" `variants` is missing"]),
        (
            experiment("variants: {a: 5}, salt: 'a b'"),
            vec!["2:43 \"'a b'\" \"a b\" is not a salt: letters, digits, `_`, `-`, `.`"],
        ),
        (
            experiment("variants: {a: 5}, salt: y, exclusion: g"),
            vec!["2:43 \"y\" experiments of an exclusion group use its name, `g`, as their salt"],
        ),
        (
            experiment("variants: {a: 5}, from: 50"),
            vec!["2:43 \"50\" `from` is for experiments that share an exclusion group"],
        ),
        (
            experiment("variants: {A: 5}"),
            vec!["2:30 \"A\" \"A\" is not a name for a variant: lower case letters, digits and `_`, beginning with a letter"],
        ),
        (
            "experiments: {holdout: {variants: {in: 5}}}\n".to_owned(),
            vec!["2:15 \"holdout\" an experiment cannot be called `holdout`"],
        ),
        ("holdout: {percent: 5}\n".to_owned(), vec!["2:10 \"{\" `salt` is missing"]),
        (
            "holdout: {percent: 0, salt: 2026}\n".to_owned(),
            vec!["2:20 \"0\" expected a percentage from 0.01 to 100 with at most two decimals, found 0"],
        ),
        ("parameters: {p: {default: 1, style.photo: 2}}\n".to_owned(), vec!["2:30 \"style.photo\" this rule set has no experiment \"style\""]),
        (
            format!("{style}parameters: {{p: {{default: 1, style.foto: 2}}}}\n"),
            vec!["3:30 \"style.foto\" experiment `style` has no variant \"foto\""],
        ),
        (
            format!("{style}parameters: {{p: {{default: 1, photo: 2}}}}\n"),
            vec!["3:30 \"photo\" expected EXPERIMENT.VARIANT, found \"photo\""],
        ),
        (
            format!("{style}parameters: {{p: {{default: 1, style.photo: two}}}}\n"),
            vec!["3:17 \"{\" all values of a parameter must be of one type"],
        ),
        (
            format!("{style}parameters: {{p: {{style.photo: 2}}}}\n"),
            vec!["3:17 \"{\" `default` is missing"],
        ),
        (
            "experiments: {x: {variants: {a: 5}}, y: {variants: {a: 5}}}\nparameters: {p: {default: 1, x.a: 2, y.a: 3}}\n".to_owned(),
            vec!["3:38 \"y.a\" experiment `x` already changes this parameter"],
        ),
        ("tags: {t: age > param.leest}\nparameters: {least: {default: 1}}\n".to_owned(), vec!["2:17 \"param.leest\" there is no `param.leest`"]),
        ("tags: {t: age > least}\nparameters: {least: {default: 1}}\n".to_owned(), vec!["2:17 \"least\" there is no feature `least`"]),
        (
            "tags: {t: age > param.least}\nparameters: {least: {default: many}}\n".to_owned(),
            vec!["2:11 \"age > param.least\" an int and a text cannot be compared"],
        ),
        (
            offer("treatments: [{placement: slot, content: 1}], variant: style.foto"),
            vec!["3:68 \"style.foto\" experiment `style` has no variant \"foto\""],
        ),
        (
            treated("{placement: slot, variant: style.photo, content: 1}"),
            vec!["3:10 \"a\" offer `a` has no treatment for placement `slot` that serves customers in every variant"],
        ),
        (
            treated("{placement: slot, variant: style.photo, content: 1}, {placement: slot, variant: style.plain, content: 2}"),
            vec!["3:10 \"a\" offer `a` has no treatment for placement `slot` that serves customers in every variant"],
        ),
        (treated("{placement: slot, variant: style.photo, content: 1}], variant: style.photo, boost: 1, schedule: {days: [mon]}, x: [").replace(", x: []", ""), vec![]),
        (
            treated("{placement: slot, variant: style.photo, content: 1}, {placement: slot, id: b, variant: style.photo, content: 2}, {placement: slot, content: 3}"),
            vec!["3:100 \"{\" a second treatment for placement `slot` and no locale in `style.photo`"],
        ),
        (
            treated("{placement: slot, variant: style.plain, content: 1}, {placement: slot, content: 2}], variant: style.photo, attributes: {}, x: [").replace(", x: []", ""),
            vec!["3:74 \"style.plain\" this treatment is never chosen: the offer is for `style.photo` only"],
        ),
    ] {
        assert_eq!(problems(&text), expected, "{text}");
    }
    let all = "experiments: {x: {variants: {a: 50, b: 50}}}\noffers: {o: {placements: [slot], treatments: [{placement: slot, variant: x.a, content: 1}, {placement: slot, variant: x.b, content: 2}]}}\n";
    assert_eq!(problems(all), [""; 0], "its variants are everybody");
}

#[test]
fn a_fallback_must_do_in_any_variant() {
    let slot = "rule_set: r\nplacements: {slot: {channels: [app], fallback: brand}}\nexperiments: {x: {variants: {a: 50, b: 50}}}\n";
    let both = "{placement: slot, variant: x.a, content: 1}, {placement: slot, variant: x.b, content: 2}";
    for (fields, why) in [
        (format!("treatments: [{both}]"), "it has no treatment without a variant there"),
        (
            "variant: x.a, treatments: [{placement: slot, content: 1}]".to_owned(),
            "it may have no `when`, `schedule` or `variant`",
        ),
    ] {
        let found = details(&[&format!("{slot}offers:\n  brand: {{{fields}}}\n")]);
        assert_eq!(found, [format!("5: offer `brand` is the fallback of placement `slot`: {why}")]);
    }
}

#[test]
fn an_offer_says_something_else_once_its_variant_or_parameter_does() {
    let schema = Schema::parse("schema.yaml", SCHEMA).unwrap();
    let text = "rule_set: r\nexperiments: {x: {variants: {a: 50, b: 50}}, y: {variants: {a: 1}}}\nparameters: {p: {default: 1, x.a: 2}, q: {default: 1}, zero: {default: 0.0}, of: {default: 7}}\n\
        offers: {o: {when: age > param.p, boost: 'double(age) / param.zero > 1.0 ? 1 : 2', propensity: {learned: thompson, by: [age > param.of]}, \
        variant: x.a, treatments: [{placement: slot, variant: y.a, content: 1}, {placement: slot, content: 2}]}}\n";
    let read = |text: &str| RuleSet::parse("r.yaml", text, &schema).unwrap_or_else(|e| panic!("{e}"));
    let same = |from: &str, to: &str| {
        assert!(text.contains(from));
        read(text).offers[0].says_the_same(&read(&text.replace(from, to)).offers[0])
    };
    assert!(
        same("q: {default: 1}", "q: {default: 2}")
            && same("experiments: {", "experiments: {w: {variants: {a: 1}}, ")
    );
    let changes = [
        ("x.a: 2}", "x.a: 3}"),
        ("zero: {default: 0.0}", "zero: {default: -0.0}"),
        ("of: {default: 7}", "of: {default: 8}"),
        ("variant: x.a", "variant: x.b"),
        ("{a: 50, b: 50}", "{a: 50, b: 40}"),
        ("{a: 1}", "{a: 2}"),
    ];
    let unseen: Vec<_> = changes.into_iter().filter(|(from, to)| same(from, to)).collect();
    assert_eq!(unseen, []);
}
