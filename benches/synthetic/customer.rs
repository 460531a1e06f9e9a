//! A customer as plain numbers.

use usher::schema::value::Value;
use usher::schema::{FeatureId, Schema};

use super::{BRANCH, BRANCHES, ENUMS, FLAGS, FLOAT_STEPS, FLOATS, INTS, WORDS, float_of, int_max};

/// Of a hundred features this many are unknown.
const MISSING_PERCENT: u32 = 4;

/// A customer; `None` is what the bank does not know.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) flags: [Option<bool>; FLAGS],
    /// For each enum the index of its word.
    pub(crate) words: [Option<usize>; ENUMS],
    pub(crate) ints: [Option<i64>; INTS],
    /// Floats, in steps of one over [`FLOAT_STEPS`].
    pub(crate) floats: [Option<u32>; FLOATS],
}

impl Customer {
    /// This many customers, the same each time.
    pub(crate) fn many(count: usize) -> Vec<Customer> {
        Customer::all().take(count).collect()
    }

    /// Customers without end, the same each time.
    pub(crate) fn all() -> impl Iterator<Item = Customer> {
        let mut rng = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(move || Customer::random(&mut rng, MISSING_PERCENT))
    }

    /// A customer with all features known.
    pub(crate) fn complete() -> Customer {
        Customer::random(&mut fastrand::Rng::with_seed(7), 0)
    }

    fn random(rng: &mut fastrand::Rng, missing_percent: u32) -> Customer {
        let known = |rng: &mut fastrand::Rng| rng.u32(0..100) >= missing_percent;
        Customer {
            flags: std::array::from_fn(|_| known(rng).then(|| rng.bool())),
            words: std::array::from_fn(|i| {
                known(rng).then(|| rng.usize(0..if i == BRANCH { BRANCHES } else { WORDS }))
            }),
            ints: std::array::from_fn(|i| known(rng).then(|| rng.i64(0..=int_max(i)))),
            floats: std::array::from_fn(|_| known(rng).then(|| rng.u32(0..FLOAT_STEPS))),
        }
    }

    /// The customer as a row of the store.
    pub(crate) fn row(&self, schema: &Schema) -> Vec<u64> {
        let mut row = vec![0; schema.row_words()];
        for (feature, code) in self.codes(schema) {
            schema.feature(feature).field.expect("it is stored").write(&mut row, code);
        }
        row
    }

    /// The code of each feature; 0 for what is unknown.
    pub(crate) fn codes(&self, schema: &Schema) -> Vec<(FeatureId, u64)> {
        let mut codes = Vec::new();
        let mut set = |name: String, value: Option<Value<'_>>| {
            let id = schema.feature_id(&name).expect("it is declared");
            codes.push((id, value.map_or(0, |value| schema.feature(id).kind.encode(&value))));
        };
        for (i, flag) in self.flags.iter().enumerate() {
            set(format!("b{i}"), flag.map(Value::Bool));
        }
        for (i, word) in self.words.iter().enumerate() {
            set(format!("e{i}"), word.map(|word| Value::Text(format!("w{word}").into())));
        }
        for (i, int) in self.ints.iter().enumerate() {
            set(format!("i{i}"), int.map(Value::Int));
        }
        for (i, steps) in self.floats.iter().enumerate() {
            set(format!("f{i}"), steps.map(|steps| Value::Double(float_of(steps))));
        }
        codes
    }
}
