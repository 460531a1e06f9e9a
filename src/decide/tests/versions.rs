//! Random versions of a rule set that follow each other, with several blocks of the index each: what is taken
//! over from the version before, against the straightforward evaluator and against what is compiled anew.

use std::sync::Arc;

use fastrand::Rng;

use super::again::told;
use super::random::{context, indexed, row, rule_set, schema, straightforward};
use super::*;
use crate::rules::catalogue::Catalogue;
use crate::testing::rounds;

const OFFERS: usize = 500;

/// A rule set in parts that may change.
struct Version {
    /// All in front of its offers.
    head: String,
    /// The lines of its offers.
    offers: Vec<String>,
    /// Offers that it may have instead, without their names.
    others: Vec<String>,
    /// How many names were given so far.
    names: usize,
}

impl Version {
    fn new(text: &str) -> Version {
        let (head, offers) = text.split_once("offers:\n").unwrap();
        let mut offers: Vec<String> = offers.lines().map(|line| format!("{line}\n")).collect();
        let others = offers.split_off(OFFERS);
        let others = others.iter().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect();
        Version { head: head.to_owned(), offers, others, names: 2 * OFFERS }
    }

    fn text(&self) -> String {
        format!("{}offers:\n{}", self.head, self.offers.concat())
    }

    fn change(&mut self, rng: &mut Rng) {
        let at = rng.usize(1..self.offers.len());
        let other = with_own_constants(rng.choice(&self.others).unwrap(), rng);
        let (name, said) = self.offers[at].split_once(": ").unwrap();
        let same_name = format!("{name}: {other}");
        let another_tier = said.replace("priority: 1", "priority: 4").replace("priority: 2", "priority: 1");
        let another_tier = format!("{name}: {another_tier}");
        match rng.u8(0..16) {
            0..4 => self.offers[at] = same_name,
            4..6 => drop(self.offers.remove(at)),
            6..9 => {
                self.names += 1;
                self.offers.insert(at, format!("  o{}: {other}", self.names));
            }
            9..11 => self.offers[at] = another_tier,
            11 => {
                let moved = self.offers.remove(at);
                self.offers.insert(rng.usize(1..self.offers.len()), moved);
            }
            12 => self.offers[at] = self.offers[at].replace("content: 1}", "content: {many: words}}"),
            13 => self.offers[at].insert_str(0, "  # said about it\n"),
            14 => self.head = self.head.replacen("\n", "\n# another line\n", 1),
            _ => {
                let (from, to) = [("int: {default: 2", "int: {default: 3"), ("rate.a: 2.5", "rate.a: 1.0")]
                    [rng.usize(0..2)];
                let (from, to) = if self.head.contains(from) { (from, to) } else { (to, from) };
                self.head = self.head.replace(from, to);
            }
        }
    }
}

/// The same with constants that no other offer has, so that keys are cut into other buckets.
fn with_own_constants(offer: &str, rng: &mut Rng) -> String {
    let mut offer = offer.to_owned();
    for (operator, first, last) in [(">", 3, 1_000), ("<", 7, 10_000), (">=", 9, 100), ("<=", 2, 50)] {
        let own = rng.i64(first..last);
        offer = offer.replace(&format!(" {operator} {first} "), &format!(" {operator} {own} "));
        offer = offer.replace(&format!(" {operator} {first})"), &format!(" {operator} {own})"));
    }
    for (operator, known) in [(">", "0.7"), ("<", "2.5"), ("<=", "0.1"), (">=", "1.0"), ("<", "3.0")] {
        let own = format!("{operator} {known}{}", rng.u16(1..));
        offer = offer.replace(&format!("{operator} {known}"), &own);
    }
    offer
}

/// The versions so far, and the engine of the last one.
struct World {
    schema: Arc<Schema>,
    catalogue: Arc<Catalogue>,
    before: Option<(Arc<RuleSet>, Engine)>,
}

impl World {
    /// Goes on to the next version. Returns whether its index has a block that only copying leaves.
    fn go_on(&mut self, text: &str, rng: &mut Rng) -> bool {
        let (earlier, known) = (self.before.as_ref().map(|(set, _)| &**set), self.before.as_ref());
        let set = Arc::new(RuleSet::parse_after("r.yaml", text, &self.schema, earlier).unwrap());
        let sets = [(Arc::clone(&set), 1)];
        let known = known.map(|(_, engine)| engine);
        let (engine, _) = Engine::compile_after(&self.schema, &sets, &self.catalogue, known).unwrap();
        self.catalogue = Arc::clone(&engine.catalogue);
        let set_anew = Arc::new(RuleSet::parse("r.yaml", text, &self.schema).unwrap());
        let sets_anew = [(Arc::clone(&set_anew), 1)];
        let (anew, _) = Engine::compile_after(&self.schema, &sets_anew, &self.catalogue, None).unwrap();
        // A term that nothing looks at any more may stay in place of another such term.
        assert_eq!(engine.index_size().conjunctions, anew.index_size().conjunctions);
        self.compare(&engine, &anew, rng);
        let skipped = rng.usize(..);
        let problems = misplaced(&self.schema, &set, skipped);
        assert!(problems.contains("r.yaml:"), "{problems}");
        assert_eq!(problems, misplaced(&self.schema, &set_anew, skipped));
        let is_uneven = engine.index.has_uneven_blocks();
        self.before = Some((set, engine));
        is_uneven
    }

    fn compare(&self, engine: &Engine, anew: &Engine, rng: &mut Rng) {
        let placements = ["slot", "other"].map(|name| (engine.placement_id(name).unwrap(), rng.usize(1..5)));
        for nth in 0..12 {
            let (row, customer) = (row(&self.schema, rng), format!("c-{}", rng.u16(..)));
            let asked = asked(engine, &placements);
            let context = context(&self.schema, rng);
            let request = Request { customer: &customer, context, explain: nth == 0, ..asked };
            let now = Time::from_seconds(1_793_491_200 + rng.i64(-20..40) * 43_200);
            let expected = straightforward(engine, &row, &request, now);
            assert_eq!(indexed(engine, &row, &request, now), expected, "{customer}, {row:?}, {now}");
            assert_eq!(indexed(anew, &row, &request, now), expected, "{customer}, {row:?}, {now}");
            if request.explain {
                let told = |engine| told(&decide(engine, FeatureVector::new(&row), &request, now), engine);
                let (told, told_anew) = (told(engine), told(anew));
                assert_eq!(told.len(), told_anew.len());
                told.iter().zip(&told_anew).for_each(|(one, other)| assert_eq!(one, other));
            }
        }
    }
}

/// The problems of a rule set, with their places, beside one that has a seventh of its offers already.
fn misplaced(schema: &Arc<Schema>, set: &Arc<RuleSet>, skipped: usize) -> String {
    let some = set.offers.iter().skip(skipped % 7).step_by(7);
    let offer = |name: &str| format!("  {name}: {{treatments: [{{placement: nowhere, content: 1}}]}}\n");
    let offers: String = some.map(|rule| offer(&rule.name.name)).collect();
    let twin = RuleSet::parse("a.yaml", &format!("rule_set: a\noffers:\n{offers}"), schema).unwrap();
    let both = [(Arc::new(twin), 1), (Arc::clone(set), 1)];
    let problems = Engine::compile(schema, &both).map(|_| ()).unwrap_err();
    problems
        .iter()
        .filter(|problem| problem.detail.contains("is also in"))
        .map(|of| format!("{of}\n"))
        .collect()
}

#[test]
fn versions_that_follow_each_other_decide_as_if_each_were_alone() {
    let (worlds, versions) = rounds((2, 12), (8, 60));
    let (mut uneven, mut all) = (0, 0);
    for seed in 0..worlds {
        let mut rng = Rng::with_seed(seed);
        let (schema, kinds) = schema(&mut rng);
        let mut version = Version::new(&rule_set(&mut rng, &kinds, OFFERS + 60));
        let mut world = World { schema, catalogue: Arc::new(Catalogue::new()), before: None };
        for _ in 0..versions {
            (0..rng.usize(1..3)).for_each(|_| version.change(&mut rng));
            uneven += usize::from(world.go_on(&version.text(), &mut rng));
            all += 1;
        }
    }
    assert!(uneven * 3 > all, "{uneven} of {all}");
}
