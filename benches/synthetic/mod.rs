//! Seeded rule sets and customers of any size, with the answer worked out a second time without the engine: every offer asks
//! for four features within a range, as a mid-sized bank's segments do. 64 features, 20 bool, 16 enum, 16 int, 12 float.

use std::fmt::Write as _;
use std::sync::Arc;

use usher::engine::Engine;
use usher::rule_set::RuleSet;
use usher::schema::Schema;

/// A condition of one offer: (int feature, lowest, highest) twice, (enum feature, value), (bool feature).
#[derive(Debug, Clone)]
pub(crate) struct Asks {
    ints: [(usize, u64, u64); 2],
    word: (usize, u64),
    flag: usize,
}

/// A customer as plain numbers.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    ints: [u64; 16],
    words: [u64; 16],
    flags: [bool; 20],
}

/// A rule set of some size and everything to check it by.
pub(crate) struct Synthetic {
    pub(crate) schema: Arc<Schema>,
    pub(crate) text: String,
    pub(crate) engine: Engine,
    asks: Vec<Asks>,
}

/// Word `w7` of eight.
const WORDS: u64 = 8;

impl Synthetic {
    pub(crate) fn new(offers: usize) -> Synthetic {
        let mut rng = fastrand::Rng::with_seed(2026);
        let schema = Arc::new(Schema::parse("schema.yaml", &schema_text()).expect("the schema is right"));
        let asks: Vec<Asks> = (0..offers).map(|_| Asks::random(&mut rng)).collect();
        let mut text =
            String::from("rule_set: synthetic\nplacements: {slot: {channels: [app], count: 3}}\noffers:\n");
        for (i, asks) in asks.iter().enumerate() {
            let when = asks.text();
            writeln!(
                text,
                "  o{i:05}: {{placements: [slot], priority: {}, when: \"{when}\", treatments: [{{placement: slot, content: {{n: {i}}}}}]}}",
                1 + i * 9 / offers
            )
            .expect("a string takes it");
        }
        let set = RuleSet::parse("synthetic.yaml", &text, &schema).expect("the rule set is right");
        let engine = Engine::compile(&schema, &[(Arc::new(set), 1)]).expect("it compiles");
        Synthetic { schema, text, engine, asks }
    }

    /// The first three offers by tier and name, without the engine.
    pub(crate) fn expected(&self, customer: &Customer) -> Vec<String> {
        let eligible = self.asks.iter().enumerate().filter(|(_, asks)| asks.fit(customer));
        eligible.take(3).map(|(i, _)| format!("o{i:05}")).collect()
    }

    pub(crate) fn row(&self, customer: &Customer) -> Vec<u64> {
        let mut row = vec![0; self.schema.row_words()];
        let mut set = |name: String, code: u64| {
            let id = self.schema.feature_id(&name).expect("it is declared");
            self.schema.feature(id).field.expect("it is stored").write(&mut row, code);
        };
        for (i, value) in customer.ints.iter().enumerate() {
            set(format!("i{i}"), value + 1);
        }
        for (i, value) in customer.words.iter().enumerate() {
            set(format!("e{i}"), value + 1);
        }
        for (i, value) in customer.flags.iter().enumerate() {
            set(format!("b{i}"), 1 + u64::from(*value));
        }
        row
    }
}

impl Customer {
    pub(crate) fn random(rng: &mut fastrand::Rng) -> Customer {
        Customer {
            ints: std::array::from_fn(|_| rng.u64(0..=255)),
            words: std::array::from_fn(|_| rng.u64(0..WORDS)),
            flags: std::array::from_fn(|_| rng.bool()),
        }
    }
}

impl Asks {
    fn random(rng: &mut fastrand::Rng) -> Asks {
        let mut range = || {
            let low = rng.u64(0..128);
            (rng.usize(0..16), low, low + 127)
        };
        let ints = [range(), range()];
        Asks { ints, word: (rng.usize(0..16), rng.u64(0..WORDS)), flag: rng.usize(0..20) }
    }

    fn text(&self) -> String {
        let [(a, a_low, a_high), (b, b_low, b_high)] = self.ints;
        let (word, value) = self.word;
        format!(
            "e{word} == 'w{value}' && i{a} >= {a_low} && i{a} <= {a_high} && i{b} >= {b_low} && i{b} <= {b_high} && b{}",
            self.flag
        )
    }

    fn fit(&self, customer: &Customer) -> bool {
        let within = |(i, low, high): (usize, u64, u64)| (low..=high).contains(&customer.ints[i]);
        self.ints.into_iter().all(within)
            && customer.words[self.word.0] == self.word.1
            && customer.flags[self.flag]
    }
}

fn schema_text() -> String {
    let mut text = String::from("schema: synthetic\nfeatures:\n");
    let words: Vec<String> = (0..WORDS).map(|w| format!("w{w}")).collect();
    for (count, prefix, kind) in [
        (20, 'b', "{kind: bool}".to_owned()),
        (16, 'e', format!("{{kind: enum, values: [{}]}}", words.join(", "))),
        (16, 'i', "{kind: int, min: 0, max: 255}".to_owned()),
        (12, 'f', "{kind: float}".to_owned()),
    ] {
        for i in 0..count {
            writeln!(text, "  {prefix}{i}: {kind}").expect("a string takes it");
        }
    }
    text
}
