//! Terms: what atoms look at. A term has one key for a customer and request, and a condition on it is a set
//! of keys. So a whole index of conditions needs each term only once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use jiff::tz::TimeZone;

use super::evaluate::Facts;
use super::keys::Keys;
use super::{Comparison, Node};
use crate::schema::value::{Time, Value};
use crate::schema::{FeatureId, Field, Kind, Schema, widened};

/// The number of a term among [`Terms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TermId(pub(crate) u32);

/// What an atom looks at, and what its keys are.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    /// A stored feature. Its keys are its codes less one, in the order of its values; an enum's words are in
    /// their own order.
    Feature(FeatureId, Field, Order),
    /// Whether a set feature has one of these words: key 1 if it has, else 0.
    Bits(FeatureId, Field, u64),
    /// A computed number, time or duration. Its keys are in the order of the values.
    Computed(Scoped, Number),
    /// A text. Its key is its place, from 1, among the texts that it is compared with; 0 for every other
    /// text.
    Text(Scoped, Texts),
    /// A condition that does not compare with constants: key 1 if it is true, 0 if it is false.
    Truth(Scoped),
    /// The minute of the week; key 0 is Monday 00:00 in this zone.
    WeekMinute(TimeZone),
}

/// The texts that a term is compared with, each with its key. There are thousands if every offer asks for a
/// page of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    texts: Vec<Box<str>>,
    keys: HashMap<Box<str>, u64, FixedState>,
}

impl Texts {
    /// The text of a key; `None` for key 0, which all other texts have.
    pub(crate) fn get(&self, key: u64) -> Option<&str> {
        self.texts.get(usize::try_from(key.checked_sub(1)?).ok()?).map(|text| &**text)
    }

    /// How many texts have a key of their own.
    pub(crate) fn len(&self) -> u64 {
        self.texts.len() as u64
    }

    /// The key of a text; 0 if it is not among them.
    fn key(&self, text: &str) -> u64 {
        self.keys.get(text).copied().unwrap_or(0)
    }

    fn add(&mut self, text: &str) -> u64 {
        if !self.keys.contains_key(text) {
            self.texts.push(text.into());
            self.keys.insert(text.into(), self.texts.len() as u64);
        }
        self.key(text)
    }
}

/// An expression, with the number of the rule set whose tags and experiments it reads; 0 if it reads none.
#[derive(Debug, Clone)]
pub(crate) struct Scoped {
    pub(crate) node: Node,
    pub(crate) tags: usize,
}

impl Scoped {
    /// A node of the rule set with these tags. A node that reads no tag and no experiment is shared by all
    /// rule sets.
    pub(crate) fn new(node: &Node, tags: usize) -> Scoped {
        let mut is_own = false;
        node.walk(&mut |node| is_own |= matches!(node, Node::Tag(_) | Node::Variant(_)));
        Scoped { node: node.clone(), tags: if is_own { tags } else { 0 } }
    }
}

impl PartialEq for Scoped {
    fn eq(&self, other: &Scoped) -> bool {
        self.tags == other.tags && self.node.is_same(&other.node)
    }
}

/// How the codes of a feature are brought into the order of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The codes are in order already.
    Plain,
    /// Bits of IEEE 754 in single or double precision, XORed with those of the NaN that stands for missing.
    Single,
    Double,
}

/// The type of a computed number, which decides its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    Int,
    Double,
    Time,
    Duration,
}

/// All terms of an engine, an audience or an analysis; each is there once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    terms: Vec<Term>,
    /// Numbers of terms by a hash of what they look at.
    ids: HashMap<u64, Vec<TermId>, FixedState>,
}

/// How many minutes a week has.
pub(crate) const WEEK_MINUTES: u64 = 7 * 24 * 60;

// Negative and positive infinity as ordered bits. Anything beyond them is NaN.
const SINGLE_FIRST: u32 = ordered_single(f32::NEG_INFINITY);
const SINGLE_LAST: u32 = ordered_single(f32::INFINITY);
const DOUBLE_FIRST: u64 = ordered_double(f64::NEG_INFINITY);
const DOUBLE_LAST: u64 = ordered_double(f64::INFINITY);

/// Bits in the order of the numbers. Negative numbers count down, so all their bits are inverted.
const fn ordered_single(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

const fn ordered_double(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn from_ordered_single(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

fn from_ordered_double(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

fn signed(key: u64) -> i64 {
    (key ^ 1 << 63) as i64
}

impl Term {
    /// The term of a stored feature; `None` for a computed feature.
    pub(crate) fn feature(schema: &Schema, id: FeatureId) -> Option<Term> {
        let feature = schema.feature(id);
        let order = match feature.kind {
            Kind::Float { double: false } => Order::Single,
            Kind::Float { double: true } => Order::Double,
            _ => Order::Plain,
        };
        feature.field.map(|field| Term::Feature(id, field, order))
    }

    /// The key of the term; `None` if it has no answer. `facts` gives what the tags of a rule set see.
    #[inline]
    pub(crate) fn key<'a>(&'a self, facts: &impl Fn(usize) -> Facts<'a>, row: &[u64]) -> Option<u64> {
        match self {
            Term::Feature(_, field, order) => order.key(field.read(row)),
            Term::Bits(_, field, mask) => bits_key(field.read(row), *mask),
            _ => self.computed_key(facts),
        }
    }

    fn computed_key<'a>(&'a self, facts: &impl Fn(usize) -> Facts<'a>) -> Option<u64> {
        match self {
            Term::Computed(scoped, _) => number_key(&scoped.node.evaluate(&facts(scoped.tags))),
            Term::Text(scoped, texts) => match scoped.node.evaluate(&facts(scoped.tags)) {
                Value::Text(text) => Some(texts.key(&text)),
                _ => None,
            },
            Term::Truth(scoped) => match scoped.node.evaluate(&facts(scoped.tags)) {
                Value::Bool(b) => Some(u64::from(b)),
                _ => None,
            },
            Term::WeekMinute(zone) => week_minute(zone, facts(0).now),
            Term::Feature(..) | Term::Bits(..) => None,
        }
    }

    /// The largest key that the term can have.
    pub(crate) fn last(&self, schema: &Schema) -> u64 {
        match self {
            Term::Feature(_, _, Order::Single) => u64::from(SINGLE_LAST - SINGLE_FIRST),
            Term::Feature(_, _, Order::Double) => DOUBLE_LAST - DOUBLE_FIRST,
            Term::Feature(id, field, Order::Plain) => match &schema.feature(*id).kind {
                Kind::Bool => 1,
                Kind::Int { min, max } | Kind::Decimal { min, max, .. } => max.wrapping_sub(*min) as u64,
                Kind::Enum(words) => (words.words().len() as u64).saturating_sub(1),
                Kind::Time => u64::from(u32::MAX) - 1,
                _ => u64::MAX >> (64 - field.bits()),
            },
            Term::Bits(..) | Term::Truth(_) => 1,
            // The key beyond infinity is NaN.
            Term::Computed(_, Number::Double) => DOUBLE_LAST - DOUBLE_FIRST + 1,
            Term::Computed(..) | Term::Text(..) => u64::MAX,
            Term::WeekMinute(_) => WEEK_MINUTES - 1,
        }
    }

    /// The value that a key stands for, as conditions compare it; an enum's is its place. `None` for texts
    /// and truths.
    pub(crate) fn value<'s>(&self, schema: &'s Schema, key: u64) -> Option<Value<'s>> {
        Some(match self {
            Term::Feature(_, _, Order::Single) => {
                Value::Double(widened(from_ordered_single(key as u32 + SINGLE_FIRST)))
            }
            Term::Feature(_, _, Order::Double) => Value::Double(from_ordered_double(key + DOUBLE_FIRST)),
            Term::Feature(id, _, Order::Plain) => match &schema.feature(*id).kind {
                Kind::Enum(_) => Value::Int(key as i64),
                kind => kind.decode(key.wrapping_add(1)),
            },
            Term::Computed(_, Number::Int) => Value::Int(signed(key)),
            Term::Computed(_, Number::Time) => Value::Time(Time(signed(key))),
            Term::Computed(_, Number::Duration) => Value::Duration(signed(key)),
            Term::Computed(_, Number::Double) if key > DOUBLE_LAST - DOUBLE_FIRST => Value::Double(f64::NAN),
            Term::Computed(_, Number::Double) => Value::Double(from_ordered_double(key + DOUBLE_FIRST)),
            Term::Bits(..) | Term::Text(..) | Term::Truth(_) | Term::WeekMinute(_) => return None,
        })
    }

    /// The keys with which `term <comparison> constant` is true; `None` if keys do not tell that.
    pub(crate) fn compared(
        &self,
        schema: &Schema,
        comparison: Comparison,
        constant: &Value<'_>,
    ) -> Option<Keys> {
        let last = self.last(schema);
        if !alike(&self.value(schema, 0)?, constant) {
            return None;
        }
        let is = |key: u64, comparison| {
            let value = self.value(schema, key).unwrap_or(Value::Missing);
            super::evaluate::compare(comparison, &value, constant) == Value::Bool(true)
        };
        // NaN is neither less nor greater than a number, and equal to none.
        let has_nan = matches!(self, Term::Computed(_, Number::Double));
        let ordered = if has_nan { last - 1 } else { last };
        let at_least = first(0, ordered, |key| is(key, Comparison::GreaterOrEqual));
        // At most a few keys have values that compare equal, such as both zeros.
        let above = at_least.and_then(|key| {
            let near = (key..=ordered.min(key.saturating_add(2))).find(|key| is(*key, Comparison::Greater));
            near.or_else(|| first(key, ordered, |key| is(key, Comparison::Greater)))
        });
        let before = |key: Option<u64>| match key {
            None => Keys::range(0, ordered),
            Some(0) => Keys::nothing(),
            Some(key) => Keys::range(0, key - 1),
        };
        let onward = |key: Option<u64>| key.map_or(Keys::nothing(), |key| Keys::range(key, ordered));
        let is_nan = matches!(constant, Value::Double(x) if x.is_nan());
        Some(match comparison {
            Comparison::NotEqual if is_nan => Keys::range(0, last),
            _ if is_nan => Keys::nothing(),
            Comparison::Less => before(at_least),
            Comparison::LessOrEqual => before(above),
            Comparison::GreaterOrEqual => onward(at_least),
            Comparison::Greater => onward(above),
            Comparison::Equal => onward(at_least).intersection(&before(above)),
            Comparison::NotEqual => onward(at_least).intersection(&before(above)).others(last),
        })
    }
}

impl Order {
    /// The key of a code; `None` for code 0, and for a NaN.
    #[inline]
    pub(crate) fn key(self, code: u64) -> Option<u64> {
        if code == 0 {
            return None;
        }
        match self {
            Order::Plain => Some(code - 1),
            Order::Single => {
                let bits = ordered_single(crate::schema::single_of_code(code));
                (SINGLE_FIRST..=SINGLE_LAST).contains(&bits).then(|| u64::from(bits - SINGLE_FIRST))
            }
            Order::Double => {
                let bits = ordered_double(crate::schema::double_of_code(code));
                (DOUBLE_FIRST..=DOUBLE_LAST).contains(&bits).then(|| bits - DOUBLE_FIRST)
            }
        }
    }
}

/// The places of all codes of up to 32 bits, in the order of their keys, those without a key first.
impl Order {
    /// How many places have no key; `None` if codes have more bits.
    pub(crate) fn places_without_key(self) -> Option<u32> {
        match self {
            Order::Plain => Some(1), // where the place is the code
            Order::Single => Some(u32::MAX - (SINGLE_LAST - SINGLE_FIRST)),
            Order::Double => None,
        }
    }

    /// The place of a code in single precision. NaNs stand beyond both infinities: behind the greatest number
    /// the count goes on with them, so they come first if it begins there.
    #[inline]
    pub(crate) fn place_of_single(code: u32) -> u32 {
        ordered_single(crate::schema::single_of_code(code.into())).wrapping_sub(SINGLE_LAST + 1)
    }
}

impl Order {
    /// What is stored for a feature with one of these keys, once its bits are XORed with the first number.
    pub(crate) fn stored(self, keys: &Keys) -> (u64, Keys) {
        let (missing, infinity, width) = match self {
            Order::Plain => {
                let codes = keys.ranges().iter().map(|(first, last)| (first + 1, last.saturating_add(1)));
                return (0, Keys::of(codes.chain(keys.has_none().then_some((0, 0)))));
            }
            Order::Single => {
                let missing = crate::schema::single_of_code(0).to_bits();
                (u64::from(missing), u64::from(f32::INFINITY.to_bits()), 32)
            }
            Order::Double => (crate::schema::double_of_code(0).to_bits(), f64::INFINITY.to_bits(), 64),
        };
        let (sign, all) = (1_u64 << (width - 1), u64::MAX >> (64 - width));
        let zero = !(infinity | sign) & all; // the ordered bits of key 0, negative infinity
        let mut ranges = Vec::new();
        for (first, last) in keys.ranges().iter().map(|(first, last)| (first + zero, last + zero)) {
            if first < sign {
                ranges.push((!last.min(sign - 1) & all, !first & all));
            }
            if last >= sign {
                ranges.push((first.max(sign) ^ sign, last ^ sign));
            }
        }
        if keys.has_none() {
            // Every NaN counts as missing: only missing is stored as one, and no key stands for one.
            ranges.extend([(infinity + 1, sign - 1), ((infinity | sign) + 1, all)]);
        }
        (missing, Keys::of(ranges))
    }
}

/// The key of a set's code: whether the set has one of these bits.
#[inline]
pub(crate) fn bits_key(code: u64, mask: u64) -> Option<u64> {
    if code == 0 { None } else { Some(u64::from(code >> 1 & mask != 0)) }
}

/// Whether two values can be put in order.
fn alike(a: &Value<'_>, b: &Value<'_>) -> bool {
    let number = |value: &Value<'_>| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Double(_));
    number(a) && number(b)
        || matches!(
            (a, b),
            (Value::Bool(_), Value::Bool(_))
                | (Value::Time(_), Value::Time(_))
                | (Value::Duration(_), Value::Duration(_))
        )
}

/// The first key from `low` up to `last` for which `is` holds, if `is` holds for all keys from there on.
fn first(low: u64, last: u64, is: impl Fn(u64) -> bool) -> Option<u64> {
    if !is(last) {
        return None;
    }
    let (mut low, mut high) = (low, last);
    while low < high {
        let middle = low + (high - low) / 2;
        if is(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// The key of a computed int.
pub(crate) fn int_key(int: i64) -> u64 {
    int as u64 ^ 1 << 63
}

fn number_key(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Int(i) | Value::Duration(i) | Value::Time(Time(i)) => Some(int_key(*i)),
        Value::Double(x) if x.is_nan() => Some(DOUBLE_LAST - DOUBLE_FIRST + 1),
        Value::Double(x) => Some(ordered_double(*x) - DOUBLE_FIRST),
        _ => None,
    }
}

pub(super) fn week_minute(zone: &TimeZone, now: Time) -> Option<u64> {
    let local = zone.to_datetime(jiff::Timestamp::from_microsecond(now.0).ok()?);
    let day = u64::from(local.weekday().to_monday_zero_offset().unsigned_abs());
    Some((day * 24 + u64::from(local.hour().unsigned_abs())) * 60 + u64::from(local.minute().unsigned_abs()))
}

impl Terms {
    /// The term of this number.
    pub(crate) fn get(&self, id: TermId) -> &Term {
        &self.terms[id.0 as usize]
    }

    /// All terms, in the order of their [`TermId`].
    pub(crate) fn all(&self) -> &[Term] {
        &self.terms
    }

    /// The number of a term; a term that looks at the same has the same number.
    pub(crate) fn intern(&mut self, term: Term) -> TermId {
        let mut hasher = std::hash::BuildHasher::build_hasher(&FixedState::default());
        term.hash_into(&mut hasher);
        let same = self.ids.entry(hasher.finish()).or_default();
        if let Some(id) = same.iter().find(|id| self.terms[id.0 as usize].looks_at_the_same(&term)) {
            return *id;
        }
        let id = TermId(self.terms.len() as u32);
        same.push(id);
        self.terms.push(term);
        id
    }

    /// The key of a text in a [`Term::Text`].
    pub(crate) fn text_key(&mut self, id: TermId, text: &str) -> Option<u64> {
        let Term::Text(_, texts) = &mut self.terms[id.0 as usize] else { return None };
        Some(texts.add(text))
    }
}

impl Term {
    fn looks_at_the_same(&self, other: &Term) -> bool {
        match (self, other) {
            (Term::Feature(a, ..), Term::Feature(b, ..)) => a == b,
            (Term::Bits(a, _, mask), Term::Bits(b, _, other)) => a == b && mask == other,
            (Term::Computed(a, _), Term::Computed(b, _))
            | (Term::Text(a, _), Term::Text(b, _))
            | (Term::Truth(a), Term::Truth(b)) => a == b,
            (Term::WeekMinute(a), Term::WeekMinute(b)) => a == b,
            _ => false,
        }
    }

    /// Hashes what the term looks at, so that equal terms have the same hash.
    fn hash_into(&self, hasher: &mut impl Hasher) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Term::Feature(id, ..) => id.hash(hasher),
            Term::Bits(id, _, mask) => (id, mask).hash(hasher),
            Term::Computed(scoped, _) | Term::Text(scoped, _) | Term::Truth(scoped) => {
                scoped.tags.hash(hasher);
                scoped.node.walk(&mut |node| hash_node(node, hasher));
            }
            Term::WeekMinute(zone) => zone.iana_name().hash(hasher),
        }
    }
}

/// Hashes enough to tell most expressions apart; those with the same hash are compared.
fn hash_node(node: &Node, hasher: &mut impl Hasher) {
    std::mem::discriminant(node).hash(hasher);
    match node {
        Node::Feature(id) | Node::Code(id) => id.hash(hasher),
        Node::Context(id) => id.hash(hasher),
        Node::Tag(i) | Node::Local(i) | Node::Variable(i) => i.hash(hasher),
        Node::Variant(experiment) => experiment.name.hash(hasher),
        Node::HasBit(_, mask) => mask.hash(hasher),
        Node::Compare(comparison, _) => (*comparison as u8).hash(hasher),
        Node::Arithmetic(operator, _) => (*operator as u8).hash(hasher),
        Node::Call(function, _) => std::mem::discriminant(function).hash(hasher),
        Node::Matches(matches) => matches.1.text().hash(hasher),
        Node::Constant(value) => hash_value(value, hasher),
        _ => {}
    }
}

/// Hashes doubles by their bits, because 0.0 and -0.0 are equal and not the same.
fn hash_value(value: &Value<'_>, hasher: &mut impl Hasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Bool(b) => b.hash(hasher),
        Value::Int(i) | Value::Duration(i) | Value::Time(Time(i)) => i.hash(hasher),
        Value::UInt(u) => u.hash(hasher),
        Value::Double(x) => x.to_bits().hash(hasher),
        Value::Text(text) => text.hash(hasher),
        Value::List(items) => items.iter().for_each(|item| hash_value(item, hasher)),
        _ => {}
    }
}
