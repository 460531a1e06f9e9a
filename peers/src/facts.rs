//! What is known of a customer, as name and value: the input of the other engines.

use crate::synthetic::customer::Customer;
use crate::synthetic::{BRANCHES, ENUMS, FLAGS, FLOATS, INTS};

/// The value of a feature that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fact {
    Flag(bool),
    /// The index of the word in [`words`].
    Word(usize),
    Int(i64),
    /// A float, in steps of 1/1,024.
    Float(u32),
}

/// The kind of a feature.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Flag,
    Word,
    Int,
    Float,
}

/// All features in a fixed order.
pub(crate) fn features() -> Vec<(String, Kind)> {
    let named = |prefix: char, count: usize, kind| (0..count).map(move |i| (format!("{prefix}{i}"), kind));
    named('b', FLAGS, Kind::Flag)
        .chain(named('e', ENUMS, Kind::Word))
        .chain(named('i', INTS, Kind::Int))
        .chain(named('f', FLOATS, Kind::Float))
        .collect()
}

/// All words of all enums.
pub(crate) fn words() -> Vec<String> {
    (0..BRANCHES).map(|word| format!("w{word}")).collect()
}

/// The customer's known features, by their index in [`features`], with their values.
pub(crate) fn facts(customer: &Customer) -> impl Iterator<Item = (usize, Fact)> + '_ {
    let flags = customer.flags.iter().map(|flag| flag.map(Fact::Flag));
    let words = customer.words.iter().map(|word| word.map(Fact::Word));
    let ints = customer.ints.iter().map(|int| int.map(Fact::Int));
    let floats = customer.floats.iter().map(|steps| steps.map(Fact::Float));
    let all = flags.chain(words).chain(ints).chain(floats);
    all.enumerate().filter_map(|(feature, fact)| Some((feature, fact?)))
}
