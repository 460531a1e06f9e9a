//! Caps and suppressions: what rule sets say about them, and random ones over random histories, compared
//! with a model that looks at one contact after another.

use std::collections::HashMap;
use std::fmt::Write as _;

use fastrand::Rng;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::*;
use crate::customer::contact::Contact;
use crate::customer::outcome::BudgetUse;
use crate::customer::outcome::OutcomeKind;
use crate::customer::row;
use crate::rules::catalogue::Catalogue;

/// Customers of each rule set.
const CUSTOMERS: usize = 30;

const DAY: i64 = 86_400;
const ZONES: [&str; 4] = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "UTC"];
const SCOPES: [&str; 6] = ["offer", "group", "rule_set", "placement", "channel", "all"];
const OFFERS: [(&str, &str, Option<&str>); 8] = [
    ("a0", "a", None),
    ("a1", "a", Some("few")),
    ("a2", "a", Some("gold")),
    ("a3", "a", Some("few")),
    ("b0", "b", Some("few")),
    ("b1", "b", None),
    ("brand", "a", None), // only a fallback
    ("gone", "a", Some("few")),
];
const PLACES: [(&str, &str); 4] = [("slot", "app"), ("slot", "web"), ("other", "app"), ("other", "chatbot")];

/// What a cap is written in.
#[derive(Clone, PartialEq, Debug)]
enum Stands {
    Offer(&'static str),
    Group(&'static str),
    Placement(&'static str),
    RuleSet(&'static str),
    Everywhere,
}

/// The contacts that stopped an offer, by placement and offer.
type Stopped = HashMap<(&'static str, &'static str), Vec<Past>>;

#[derive(Clone, Debug)]
struct Cap {
    stands: Stands,
    scope: &'static str,
    max: usize,
    on: OutcomeKind,
    /// Seconds; `None` for ever.
    per: Option<i64>,
    zone: Option<&'static str>,
}

/// A contact with names for numbers.
#[derive(Clone, Copy, Debug)]
struct Past {
    offer: &'static str,
    place: (&'static str, &'static str),
    kind: OutcomeKind,
    at: i64,
}

impl Cap {
    fn random(rng: &mut Rng, stands: Stands) -> Cap {
        let grouped = !matches!(stands, Stands::Offer(name) if group_of(name).is_none());
        let scope = loop {
            let scope = SCOPES[rng.usize(0..SCOPES.len())];
            if scope != "group" || grouped {
                break scope;
            }
        };
        let on = OutcomeKind::ALL[[0, 0, 0, 1, 2, 3][rng.usize(0..6)]];
        let zone = rng.bool().then(|| ZONES[rng.usize(0..ZONES.len())]);
        let days = rng.i64(1..5) * DAY;
        let per = match (zone, rng.u8(0..6)) {
            (Some(_), _) => Some(days),
            (None, 0) => None,
            (None, 1) => Some(rng.i64(1..90) * 60),
            (None, 2) => Some(rng.i64(1..50) * 3_600),
            (None, _) => Some(days),
        };
        Cap { stands, scope, max: rng.usize(1..4), on, per, zone }
    }

    fn per(&self) -> String {
        match self.per {
            None => "forever".into(),
            Some(per) if per % DAY == 0 => format!("{}d", per / DAY),
            Some(per) if per % 3_600 == 0 => format!("{}h", per / 3_600),
            Some(per) => format!("{}m", per / 60),
        }
    }

    /// The cap as a rule set says it.
    fn yaml(&self) -> String {
        let zone = self.zone.map_or(String::new(), |zone| format!(", timezone: {zone}"));
        format!(
            "{{max: {}, per: {}, scope: {}, on: {}{zone}}}",
            self.max,
            self.per(),
            self.scope,
            self.on.name()
        )
    }

    /// The cap as an explanation says it.
    fn text(&self) -> String {
        if self.max == 0 {
            return format!("{} {}", self.on.name(), self.per());
        }
        let on = if self.on == OutcomeKind::Impression {
            String::new()
        } else {
            format!(", on {}", self.on.name())
        };
        let zone = self.zone.map_or(String::new(), |zone| format!(", {zone}"));
        format!("{} per {}{on}{zone}, scope {}", self.max, self.per(), self.scope)
    }

    fn binds(&self, offer: &str, placement: &str) -> bool {
        match self.stands {
            Stands::Offer(name) => name == offer,
            Stands::Group(name) => group_of(offer) == Some(name),
            Stands::Placement(name) => name == placement,
            Stands::RuleSet(name) => set_of(offer) == name,
            Stands::Everywhere => true,
        }
    }

    /// Whether a contact counts when `offer` would be shown `here` at `now`.
    fn counts(&self, past: &Past, offer: &str, here: (&str, &str), now: i64) -> bool {
        let same_group = || group_of(offer).is_some() && group_of(past.offer) == group_of(offer);
        let same_set = || set_of(past.offer) == set_of(offer);
        let whose = match self.scope {
            "offer" => past.offer == offer,
            "group" => same_group(),
            "rule_set" => same_set(),
            "all" => true,
            _ => match self.stands {
                Stands::Offer(_) => past.offer == offer,
                Stands::Group(_) => same_group(),
                Stands::RuleSet(_) => same_set(),
                Stands::Placement(_) | Stands::Everywhere => true,
            },
        };
        let there = match (self.scope, &self.stands) {
            ("channel", Stands::Placement(_)) => past.place == here,
            ("placement", _) => past.place.0 == here.0,
            ("channel", _) => past.place.1 == here.1,
            _ => true,
        };
        let when = match (self.per, self.zone) {
            (None, _) => true,
            (Some(per), None) => now - past.at < per,
            (Some(per), Some(zone)) => {
                let first = date(now, zone).checked_sub(jiff::Span::new().days(per / DAY - 1)).unwrap();
                date(past.at, zone) >= first
            }
        };
        past.offer != "brand" && past.kind == self.on && whose && there && when
    }

    fn count(&self, history: &[Past], offer: &str, here: (&str, &str), now: i64) -> usize {
        history.iter().filter(|past| self.counts(past, offer, here, now)).count()
    }

    fn stops(&self, history: &[Past], offer: &str, here: (&str, &str), now: i64) -> bool {
        self.count(history, offer, here, now) >= self.max.max(1)
    }
}

fn date(at: i64, zone: &str) -> Date {
    TimeZone::get(zone).unwrap().to_datetime(Timestamp::from_second(at).unwrap()).date()
}

fn group_of(offer: &str) -> Option<&'static str> {
    OFFERS.iter().find(|(name, ..)| *name == offer).unwrap().2
}

fn set_of(offer: &str) -> &'static str {
    OFFERS.iter().find(|(name, ..)| *name == offer).unwrap().1
}

/// Rule sets with caps.
struct World {
    caps: Vec<Cap>,
    /// How many offers of each group one decision shows.
    group_max: usize,
    engine: Engine,
}

impl World {
    fn random(rng: &mut Rng) -> World {
        let mut caps = Vec::new();
        for (offer, ..) in &OFFERS[..6] {
            caps.extend((0..rng.usize(0..3)).map(|_| Cap::random(rng, Stands::Offer(offer))));
            for on in [OutcomeKind::Dismiss, OutcomeKind::Click, OutcomeKind::Convert] {
                if rng.u8(0..5) == 0 {
                    let cap = Cap::random(rng, Stands::Offer(offer));
                    let per = Cap { zone: None, ..cap };
                    caps.push(Cap { max: 0, scope: "offer", on, ..per });
                }
            }
        }
        for stands in [
            Stands::Group("few"),
            Stands::Group("gold"),
            Stands::Placement("slot"),
            Stands::Placement("other"),
            Stands::RuleSet("a"),
            Stands::RuleSet("b"),
            Stands::Everywhere,
        ] {
            let many = if rng.u8(0..3) == 0 { rng.usize(1..3) } else { 0 };
            caps.extend((0..many).map(|_| Cap::random(rng, stands.clone())));
        }
        let group_max = rng.usize(1..4);
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let mut catalogue = Arc::new(Catalogue::new());
        let mut engine = Engine::empty(&schema);
        for gone in [false, true] {
            let texts = texts(&caps, group_max, gone);
            let read = |text: &String| {
                let set = RuleSet::parse("r.yaml", text, &schema);
                (Arc::new(set.unwrap_or_else(|problems| panic!("{problems}\n{text}"))), 1)
            };
            let sets: Vec<_> = texts.iter().map(read).collect();
            engine = Engine::compile_with(&schema, &sets, &catalogue).unwrap().0;
            catalogue = Arc::clone(&engine.catalogue);
        }
        World { caps, group_max, engine }
    }

    /// What is shown, and which contacts let caps stop which offer on which placement, looked at one by
    /// one.
    fn straightforward(
        &self,
        history: &mut Vec<Past>,
        asked: &[(&'static str, usize)],
        channel: &'static str,
        now: i64,
    ) -> (Vec<Vec<String>>, Stopped) {
        let (mut all, mut stopped) = (Vec::new(), HashMap::new());
        let mut taken: Vec<&str> = Vec::new();
        for (placement, count) in asked {
            let here = (*placement, channel);
            let mut shown = Vec::new();
            for (offer, _, group) in &OFFERS[..6] {
                let of_group = taken.iter().filter(|other| group.is_some() && group_of(other) == *group);
                if taken.contains(offer) || of_group.count() >= self.group_max {
                    continue;
                }
                let mut binding = self.caps.iter().filter(|cap| cap.binds(offer, placement));
                if binding.any(|cap| cap.stops(history, offer, here, now)) {
                    stopped.insert((*placement, *offer), history.clone());
                } else if shown.len() < *count {
                    shown.push((*offer).to_owned());
                    taken.push(offer);
                    history.push(Past { offer, place: here, kind: OutcomeKind::Impression, at: now });
                }
            }
            if shown.is_empty() {
                let offer = if *placement == "slot" { "brand" } else { "b1" };
                shown.push(offer.to_owned());
                history.push(Past { offer, place: here, kind: OutcomeKind::Impression, at: now });
            }
            all.push(shown);
        }
        (all, stopped)
    }

    /// Checks what an explanation says about a cap: what was counted, and that it would end exactly then.
    fn check_stop(
        &self,
        stop: &Stop<'_>,
        offer: &str,
        here: (&str, &str),
        history: &[Past],
        now: i64,
    ) -> bool {
        let stops = |cap: &&Cap, at: i64| cap.stops(history, offer, here, at);
        let told = self
            .caps
            .iter()
            .filter(|cap| stop.name == cap.text() || stop.name.contains(&format!(" ({})", cap.text())));
        let mut told = told.filter(|cap| cap.binds(offer, here.0) && stops(cap, now));
        told.any(|cap| {
            let count = cap.count(history, offer, here, now);
            let kind = if cap.max == 0 { StopKind::Suppression } else { StopKind::Cap };
            let ends = match stop.ends.map(Time::seconds) {
                None => cap.per.is_none(),
                Some(ends) => stops(&cap, ends - 1) && !stops(&cap, ends),
            };
            stop.kind == kind && (stop.count, stop.max) == (Some(count as u32), Some(cap.max as u32)) && ends
        })
    }
}

/// Rule sets with these caps. With `gone`, none of them has one of the offers any more.
fn texts(caps: &[Cap], group_max: usize, gone: bool) -> [String; 3] {
    let list = |stands: &Stands| {
        let caps: Vec<String> =
            caps.iter().filter(|c| c.stands == *stands && c.max > 0).map(Cap::yaml).collect();
        format!("[{}]", caps.join(", "))
    };
    let named = |stands: &Stands| {
        let caps = caps.iter().filter(|cap| cap.stands == *stands).enumerate();
        let caps: Vec<String> = caps.map(|(i, cap)| format!("c{i}: {}", cap.yaml())).collect();
        format!("caps: {{{}}}\n", caps.join(", "))
    };
    let mut a = format!(
        "rule_set: a\nplacements:\n  slot: {{channels: [app, web], fallback: brand, caps: {}}}\n  other: {{channels: [app, chatbot], fallback: b1, caps: {}}}\n",
        list(&Stands::Placement("slot")),
        list(&Stands::Placement("other"))
    );
    let few = list(&Stands::Group("few"));
    writeln!(a, "groups:\n  few: {{max: {group_max}, caps: {few}}}").unwrap();
    writeln!(a, "  gold: {{max: {group_max}, caps: {}}}", list(&Stands::Group("gold"))).unwrap();
    a.push_str(&named(&Stands::RuleSet("a")));
    a.push_str("offers:\n  brand: {treatments: [{placement: slot, content: 1}]}\n");
    let mut b = format!("rule_set: b\n{}offers:\n", named(&Stands::RuleSet("b")));
    for (offer, set, group) in
        OFFERS.iter().filter(|(name, ..)| *name != "brand" && !(gone && *name == "gone"))
    {
        let text = if *set == "a" { &mut a } else { &mut b };
        write!(text, "  {offer}: {{placements: [slot, other], treatments: [{{placement: slot, content: 1}}, {{placement: other, content: 1}}]").unwrap();
        if let Some(group) = group {
            write!(text, ", attributes: {{group: {group}}}").unwrap();
        }
        let suppress = caps.iter().filter(|cap| cap.stands == Stands::Offer(offer) && cap.max == 0);
        let suppress: Vec<String> = suppress.map(|cap| format!("{}: {}", cap.on.name(), cap.per())).collect();
        writeln!(text, ", caps: {}, suppress: {{{}}}}}", list(&Stands::Offer(offer)), suppress.join(", "))
            .unwrap();
    }
    [a, b, format!("rule_set: law\nguardrails: {{ok: 'true'}}\n{}", named(&Stands::Everywhere))]
}

/// Times around the ends of days, so that they meet.
fn moment(rng: &mut Rng, days: i64) -> i64 {
    let midnight = 1_793_491_200 - rng.i64(0..days) * DAY; // 2026-11-01, when New York puts its clocks back
    midnight + [0, -8 * 3_600, 5 * 3_600, 4 * 3_600, -3_600][rng.usize(0..5)] + rng.i64(-2..3)
}

#[test]
fn caps_count_what_looking_at_every_contact_counts() {
    let (mut stopped_offers, mut shown_offers) = (0, 0);
    let rule_sets = crate::testing::rounds(12, 5_000);
    for seed in 0..rule_sets {
        let mut rng = Rng::with_seed(seed);
        let world = World::random(&mut rng);
        let engine = &world.engine;
        for _ in 0..CUSTOMERS {
            let now = moment(&mut rng, 2);
            let most = [3, 12, 40][rng.usize(0..3)];
            let many = rng.usize(0..most);
            let mut history: Vec<Past> = (0..many)
                .map(|_| Past {
                    offer: OFFERS[rng.usize(0..OFFERS.len())].0,
                    place: PLACES[rng.usize(0..PLACES.len())],
                    kind: OutcomeKind::ALL[[0, 0, 0, 1, 2, 3][rng.usize(0..6)]],
                    at: (now - [0, 1, 60, 3_600, DAY][rng.usize(0..5)] * rng.i64(0..5))
                        .min(moment(&mut rng, 5)),
                })
                .map(|past| Past { at: past.at.min(now), ..past })
                .collect();
            history.sort_by_key(|past| past.at);
            let number = |past: &Past| {
                let place = engine.catalogue.place_number(past.place.0, past.place.1).unwrap();
                let offer = engine.catalogue.offer_number(past.offer).unwrap();
                Contact::new(offer, place, past.kind, past.at as u32).word()
            };
            let contacts: Vec<u64> = history.iter().map(number).collect();
            // Some of the oldest are known as earlier contacts.
            let (before, contacts) = contacts.split_at(rng.usize(0..=contacts.len()));
            let earlier: Vec<u64> = before
                .chunk_by(|one, other| one == other)
                .flat_map(|alike| match alike.len() {
                    1 => vec![alike[0]],
                    more => vec![alike[0], more as u64],
                })
                .collect();
            let channel = ["app", "web", "chatbot"][rng.usize(0..3)];
            let mut asked = vec![("slot", rng.usize(1..4)), ("other", rng.usize(1..4))];
            if rng.bool() {
                asked.reverse();
            }
            let placements: Vec<_> =
                asked.iter().map(|(name, count)| (engine.placement_id(name).unwrap(), *count)).collect();
            let before = history.clone();
            let (expected, stopped) = world.straightforward(&mut history, &asked, channel, now);
            for explain in [false, true] {
                let request = Request {
                    customer: "c",
                    channel: engine.schema.channel_id(channel).unwrap(),
                    placements: &placements,
                    locale: None,
                    context: Context::default(),
                    past: row::Past { contacts, earlier: &earlier, ..row::Past::default() },
                    budgets: &NoBudgets,
                    lessons: &NoLessons,
                    seed: 0,
                    explain,
                    overdue: None,
                };
                let now = Time(now * 1_000_000 + rng.i64(0..1_000_000));
                let decision = decide(engine, FeatureVector::unknown(), &request, now);
                let names = |shown: &Shown<'_>| -> Vec<String> {
                    shown.propositions.iter().map(|p| p.offer.name.to_string()).collect()
                };
                let found: Vec<Vec<String>> = decision.placements.iter().map(names).collect();
                assert_eq!(found, expected, "seed {seed}, {channel}, {now}, {before:?}\n{:?}", world.caps);
                shown_offers += found.iter().flatten().count();
                for shown in decision.placements.iter().filter(|_| explain) {
                    for told in &shown.explanations {
                        let here = (&*shown.placement.name, channel);
                        let history =
                            stopped.iter().find(|((p, o), _)| *p == here.0 && **o == *told.offer.name);
                        let by_cap = told.stopped_by.as_ref().filter(|stop| stop.count.is_some());
                        assert_eq!(by_cap.is_some(), history.is_some(), "seed {seed}: {told:?}");
                        let (Some(stop), Some((_, history))) = (by_cap, history) else { continue };
                        let right = world.check_stop(stop, &told.offer.name, here, history, now.seconds());
                        assert!(
                            right,
                            "seed {seed}, {now}: {stop:?} of {} on {here:?}\n{history:?}",
                            told.offer.name
                        );
                        stopped_offers += 1;
                    }
                }
            }
        }
    }
    let least = 33 * rule_sets as usize;
    assert!(stopped_offers > least && shown_offers > least, "{stopped_offers} stopped, {shown_offers} shown");
}

#[test]
fn what_is_summed_up_counts_at_least_and_what_is_of_any_offer_stops_all_that_look_so_far_back() {
    let engine = compile(&["rule_set: r
placements: {slot: {channels: [app], count: 9}}
offers:
  twice: {placements: [slot], caps: [{max: 2, per: 7d}], treatments: [{placement: slot, content: 1}]}
  ever: {placements: [slot], caps: [{max: 3, per: forever}], treatments: [{placement: slot, content: 1}]}
  hidden: {placements: [slot], suppress: {dismiss: 30d}, treatments: [{placement: slot, content: 1}]}
  free: {placements: [slot], treatments: [{placement: slot, content: 1}]}
"])
    .unwrap();
    let now = 1_800_000_000;
    let place = engine.catalogue.place_number("slot", "app").unwrap();
    let contact = |offer: &str, kind, days: u32| {
        let offer = engine.catalogue.offer_number(offer).unwrap();
        Contact::new(offer, place, kind, now - days * DAY as u32).word()
    };
    let (seen, dismissed) = (OutcomeKind::Impression, OutcomeKind::Dismiss);
    let of_any = |count: u64| 1 << 32 | count;
    let all = ["ever", "free", "hidden", "twice"];
    for (earlier, shown) in [
        (vec![], &all[..]),
        (vec![contact("twice", seen, 6), 5], &["ever", "free", "hidden"]),
        (vec![contact("twice", seen, 8), 5], &all),
        (vec![contact("ever", seen, 900), 2], &all),
        (vec![contact("ever", seen, 900), 3], &["free", "hidden", "twice"]),
        (vec![contact("hidden", dismissed, 29), 7], &["ever", "free", "twice"]),
        (vec![contact("hidden", dismissed, 31), 7], &all),
        (vec![contact("free", seen, 900), of_any(1)], &["free", "hidden", "twice"]),
        (vec![contact("free", seen, 6), of_any(1)], &["free", "hidden"]),
        (vec![contact("free", dismissed, 29), of_any(1)], &["ever", "free", "twice"]),
        (vec![contact("free", dismissed, 31), of_any(1)], &all),
    ] {
        for explain in [false, true] {
            let placements = &[(engine.placement_id("slot").unwrap(), 9)];
            let past = row::Past { earlier: &earlier, ..row::Past::default() };
            let request = Request { past, explain, ..asked(&engine, placements) };
            let decision =
                decide(&engine, FeatureVector::unknown(), &request, Time::from_seconds(now.into()));
            let names = decision.placements[0].propositions.iter().map(|p| &*p.offer.name);
            assert_eq!(names.collect::<Vec<_>>(), shown, "{earlier:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_caps_is_said_with_its_place() {
    let offer = |fields: &str| {
        format!(
            "rule_set: r\nplacements: {{slot: {{channels: [app]}}}}\nbudgets: {{gift: {{max: 2, on: convert}}}}\noffers:\n  o: {{placements: [slot], treatments: [{{placement: slot, content: 1}}], {fields}}}\n"
        )
    };
    let top = |fields: &str| format!("rule_set: r\n{fields}\n");
    let many = "{max: 1, per: 1d}, ".repeat(17);
    for (text, expected) in [
        (offer("caps: [{max: 200, per: 400d}, {max: 1, per: forever, on: click, scope: all}]"), ""),
        (offer("suppress: {dismiss: 30d, click: 12h, convert: forever}, budgets: [gift]"), ""),
        (offer("caps: [{max: 0, per: 1d}]"), "5: expected a whole number from 1 to 200, found 0"),
        (offer("caps: [{max: 201, per: 1d}]"), "5: expected a whole number from 1 to 200, found 201"),
        (offer("caps: [{max: 1}]"), "5: `per` is missing"),
        (offer("caps: [{max: 1, per: 401d}]"), "5: expected a time such as 30m, 12h or 7d, or forever, found \"401d\""),
        (offer("caps: [{max: 1, per: soon}]"), "5: expected a time such as 30m, 12h or 7d, or forever, found \"soon\""),
        (offer("caps: [{max: 1, per: +1d}]"), "5: expected a time such as 30m, 12h or 7d, or forever, found \"+1d\""),
        (
            offer("caps: [{max: 1, per: 36h, timezone: UTC}]"),
            "5: `timezone` makes a cap count calendar days, but `36h` is not a number of whole days",
        ),
        (
            offer("caps: [{max: 1, per: forever, timezone: UTC}]"),
            "5: `timezone` makes a cap count calendar days, but this one counts for ever",
        ),
        (offer("caps: [{max: 1, per: 1d, timezone: Berlin}]"), "5: unknown time zone \"Berlin\""),
        (
            offer("caps: [{max: 1, per: 1d, scope: group}]"),
            "5: the offer has no group whose contacts could be counted",
        ),
        (offer("attributes: {group: g}, caps: [{max: 1, per: 1d, scope: group}]"), ""),
        (offer("caps: [{max: 1, per: 1d, scope: offers}]"), "5: unknown scope \"offers\""),
        (offer("caps: [{max: 1, per: 1d, on: view}]"), "5: unknown outcome \"view\""),
        (offer("caps: [{max: 1, pro: 1d}]"), "5: `per` is missing, 5: unknown field \"pro\""),
        (offer(&format!("caps: [{many}]")), "5: expected at most 16 caps, found 17"),
        (offer("suppress: {impression: 1d}"), "5: unknown field \"impression\""),
        (offer("budgets: [gitf]"), "5: this rule set has no budget `gitf`"),
        (offer("budgets: [gift, gift]"), "5: budget `gift` is listed twice"),
        (top("caps: {policy: {max: 5, per: 7d, scope: all}}"), ""),
        (top("caps: [{max: 5, per: 7d}]"), "2: expected a map, found a list of 1"),
        (top("groups: {g: {max: 2, caps: [{max: 2, per: 1d}]}, h: {caps: [{max: 1, per: 1d}]}}"), ""),
        (top("groups: {g: {}}"), "2: `max` is missing"),
        (top("placements: {p: {channels: [app], caps: [{max: 2, per: 1d}]}}"), ""),
        (top("budgets: {b: {max: 1000000000, on: impression, per: 1d, timezone: Asia/Shanghai, hold: 5m}}"), ""),
        (top("budgets: {b: {max: 1000000001, on: click}}"), "2: expected a whole number from 1 to 1000000000, found 1000000001"),
        (top("budgets: {b: {max: 1}}"), "2: `on` is missing"),
        (top("budgets: {b: {max: 1, on: click, per: 7d}}"), "2: a budget is per 1d or forever, found \"7d\""),
        (top("budgets: {b: {max: 1, on: click, hold: 5m}}"), "2: places are only held for impressions"),
        (top("budgets: {b: {max: 1, on: impression, hold: 2h}}"), "2: expected a time such as 5m, up to 1h, found \"2h\""),
        (top("budgets: {b: {max: 1, on: click, timezone: UTC}}"), "2: `timezone` says when a day begins, but this budget never begins anew"),
        (top("budgets: {b: {max: 1, on: click, per: 1d, customers: true}}"), ""),
        (
            "rule_set: r\nplacements: {slot: {channels: [app], fallback: f}}\noffers:\n  f: {suppress: {click: 1d}, treatments: [{placement: slot, content: 1}]}\n".to_owned(),
            "4: offer `f` is only a fallback, which is shown whatever caps say",
        ),
    ] {
        assert_eq!(details(&[&text]).join(", "), expected, "{text}");
    }
}

#[test]
fn budgets_of_customers_leave_room_for_the_places_of_a_customer() {
    let set = |name: &str, budgets: usize, per: &str| {
        let budget = |nth| format!("b{nth}: {{max: 1, on: click, customers: true, per: {per}}}");
        let budgets: Vec<String> = (0..budgets).map(budget).collect();
        format!("rule_set: {name}\nbudgets: {{{}}}\n", budgets.join(", "))
    };
    let three = |last| [set("a", 200, "forever"), set("b", 200, "forever"), set("c", last, "forever")];
    let (full, more) = (three(200), set("d", 1, "forever"));
    let mut texts: Vec<&str> = full.iter().map(String::as_str).collect();
    assert_eq!(details(&texts), Vec::<String>::new());
    assert_eq!(details(&[&set("a", 200, "1d")]), Vec::<String>::new());
    texts.push(&more);
    let told = "budget `b0` is one more budget of customers than there may be: with those of all active rule \
                sets before it a customer may need 601 places, more than the 600 allowed";
    assert_eq!(details(&texts), [format!("2: {told}")]);
    let daily = [set("a", 200, "1d"), set("b", 1, "1d")];
    assert!(details(&[&daily[0], &daily[1]])[0].contains("may need 603 places"));
}

/// Budgets that are used up to some extent, and what was asked of them.
#[derive(Default)]
struct Spent {
    used: Vec<(u64, u32)>,
    asked: Cell<Vec<(BudgetUse, u32)>>,
}

impl Budgets for Spent {
    fn take(&self, _: &str, budget: &BudgetUse, hold_s: u32, _: Time) -> bool {
        let mut asked = self.asked.take();
        asked.push((*budget, hold_s));
        self.asked.set(asked);
        self.used.iter().find(|(key, _)| *key == budget.key).is_none_or(|(_, used)| *used < budget.max)
    }
}

#[test]
fn a_late_outcome_counts_on_its_own_day_in_the_zone_of_the_budget() {
    let engine = compile(&["rule_set: r
placements: {slot: {channels: [app]}}
budgets: {gift: {max: 3, on: convert, customers: true, per: 1d, timezone: Asia/Shanghai}}
offers: {a: {placements: [slot], budgets: [gift], treatments: [{placement: slot, content: 1}]}}
"])
    .unwrap();
    let number = engine.catalogue.offer_number("a").unwrap();
    let now = Time::parse("1970-01-10T17:00:00Z").unwrap(); // the eleventh in Shanghai
    for (at, expected) in [
        ("1970-01-10T17:00:00Z", (10, 3, true)),
        ("1970-01-10T16:00:00Z", (10, 3, true)),
        ("1970-01-10T15:59:59Z", (9, 3, true)),
        ("1970-01-09T16:00:00Z", (9, 3, true)),
        ("1970-01-09T15:59:59Z", (8, 0, false)), // nothing is left, not even for who has a place
    ] {
        let uses = engine.budget_uses(number, OutcomeKind::Convert, Time::parse(at).unwrap(), now);
        assert_eq!((uses[0].day, uses[0].max, uses[0].once), expected, "{at}");
    }
}

#[test]
fn an_offer_whose_budget_is_used_up_makes_room_for_the_next() {
    let engine = compile(&["rule_set: r
placements: {slot: {channels: [app]}}
budgets:
  seen: {max: 3, on: impression, per: 1d, timezone: Asia/Shanghai, hold: 5m}
  gift: {max: 2, on: convert, customers: true}
offers:
  a: {placements: [slot], budgets: [seen, gift], treatments: [{placement: slot, content: 1}]}
  b: {placements: [slot], treatments: [{placement: slot, content: 1}]}
"])
    .unwrap();
    let number = engine.catalogue.offer_number("a").unwrap();
    let now = Time::parse("1970-01-03T17:00:00Z").unwrap(); // the fourth in Shanghai
    let [seen] = engine.budget_uses(number, OutcomeKind::Impression, now, now)[..] else { panic!("one") };
    let [gift] = engine.budget_uses(number, OutcomeKind::Convert, now, now)[..] else { panic!("one") };
    assert_eq!((seen.day, seen.max, seen.once, gift.day, gift.max, gift.once), (3, 3, false, 0, 2, true));
    assert!(engine.budget_uses(number, OutcomeKind::Click, now, now).is_empty() && seen.key != gift.key);
    assert_eq!(engine.keep_s(), [0; 4], "places are kept by themselves");
    assert_eq!(engine.catalogue.keep_s(), engine.keep_s());
    let place = engine.catalogue.place_number("slot", "app").unwrap();
    let converted = [Contact::new(number, place, OutcomeKind::Convert, 2_000_000_000).word()];
    let past = row::Past { contacts: &converted, ..row::Past::default() };
    let has_it = row::Past { budget_places: &[0, gift.key], ..past };
    let of_other_day = row::Past { budget_places: &[9, gift.key], ..past };
    let nothing = row::Past::default();
    for (used, past, shown, looked_at, stop) in [
        (vec![], nothing, "a", vec![gift, seen], "shown"),
        (vec![(gift.key, 2)], nothing, "b", vec![gift], "gift of 2, ends None"),
        (vec![(gift.key, 2)], past, "b", vec![gift], "gift of 2, ends None"),
        (vec![(gift.key, 2)], of_other_day, "b", vec![gift], "gift of 2, ends None"),
        (
            vec![(seen.key, 3)],
            nothing,
            "b",
            vec![gift, seen],
            "seen of 3, ends Some(\"1970-01-04T16:00:00Z\")",
        ),
        (vec![(gift.key, 2)], has_it, "a", vec![seen], "shown"),
    ] {
        for explain in [false, true] {
            let budgets = Spent { used: used.clone(), asked: Cell::default() };
            let placements = &[(engine.placement_id("slot").unwrap(), 1)];
            let request = Request { past, budgets: &budgets, explain, ..asked(&engine, placements) };
            let decision = decide(&engine, FeatureVector::unknown(), &request, now);
            let placement = &decision.placements[0];
            assert_eq!(&*placement.propositions[0].offer.name, shown);
            let looks = looked_at.iter().map(|budget| (*budget, 0));
            let holds =
                looked_at.iter().map(|budget| (*budget, if budget.key == seen.key { 300 } else { 0 }));
            let held = shown == "a" && !explain;
            let asked: Vec<_> = looks.chain(holds.filter(|_| held)).collect();
            assert_eq!(budgets.asked.take(), asked, "places are held only where there is one in each budget");
            let Some(a) = placement.explanations.iter().find(|told| &*told.offer.name == "a") else {
                continue;
            };
            let told = a.stopped_by.as_ref().map_or("shown".into(), |stop| {
                assert_eq!(stop.kind, StopKind::Budget);
                format!(
                    "{} of {}, ends {:?}",
                    stop.name,
                    stop.max.unwrap(),
                    stop.ends.map(|ends| ends.to_string())
                )
            });
            assert_eq!((told.as_str(), a.eligible), (stop, stop == "shown"));
            let places: &[&str] = if past == has_it { &["gift"] } else { &[] };
            assert_eq!(a.places, places);
        }
    }
}
