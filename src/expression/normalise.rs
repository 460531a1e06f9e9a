//! Brings conditions into normal form: a disjunction of conjunctions of atoms. An atom is a term with the
//! keys for which it holds. The index of thousands of conditions, their analysis and the scan of an audience
//! all work on this form.
//!
//! A condition is true, false or without an answer. One recursion (de Morgan) finds both the form of "is
//! true" and the form of "is false"; neither includes the cases without an answer. A part that does not
//! compare one term with constants becomes a term of its own, so every condition has a normal form.

use std::collections::HashMap;

use super::alternatives::Alternatives;
use super::keys::Keys;
use super::schedule::Schedule;
use super::term::{Number, Scoped, Term, TermId, Terms, Texts};
use super::{Comparison, Expression, Function, Node, Operator, Tag};
use crate::schema::value::{Time, Value};
use crate::schema::{FeatureId, Kind, Schema};

/// The most conjunctions of one condition. A part of it that would bring more is evaluated instead.
pub(crate) const MAX_CONJUNCTIONS: usize = 32;

/// The most visits of nodes for one condition. A ternary's condition is visited once for true and once for
/// false, so ternaries inside each other double the work. Past the bound, what is left is evaluated instead.
const MAX_VISITS: usize = 20_000;
/// The most visits of nodes for all conditions of one engine.
const MAX_ALL_VISITS: usize = 5_000_000;
/// The most ranges of keys in the forms of one engine, 16 bytes each. Further conditions are evaluated
/// instead.
pub(crate) const MAX_RANGES: usize = 1_000_000;
/// The most ranges that may replace a tag or guardrail where it is used. If it has more, it is evaluated once
/// for all who use it.
pub(crate) const MAX_SHARED_RANGES: usize = 32;

/// Brings conditions into normal form, over terms that they share.
pub(crate) struct Normaliser<'s> {
    schema: &'s Schema,
    /// The tags of each rule set, by the rule set's number.
    tags: Vec<&'s [Tag]>,
    pub(crate) terms: Terms,
    /// Tags that were visited, by rule set, tag, and whether the tag must be true. `None`: the tag stays a
    /// term of its own.
    known_tags: HashMap<(usize, usize, bool), Option<Alternatives>>,
    /// What is left of [`MAX_VISITS`], [`MAX_ALL_VISITS`] and [`MAX_RANGES`].
    visits: usize,
    all_visits: usize,
    ranges: usize,
}

/// What the conditions of an engine left of [`MAX_ALL_VISITS`] and [`MAX_RANGES`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FormsLeft {
    visits: usize,
    ranges: usize,
}

impl FormsLeft {
    /// Whether so much is left that no bound on all conditions together came near.
    pub(crate) fn is_ample(self) -> bool {
        self.visits >= MAX_ALL_VISITS / 2 && self.ranges >= MAX_RANGES / 2
    }
}

impl<'s> Normaliser<'s> {
    /// For conditions over this schema. `tags` has the tags of each rule set by number.
    pub(crate) fn new(schema: &'s Schema, tags: Vec<&'s [Tag]>) -> Normaliser<'s> {
        Normaliser {
            schema,
            tags,
            terms: Terms::default(),
            known_tags: HashMap::new(),
            visits: 0,
            all_visits: MAX_ALL_VISITS,
            ranges: MAX_RANGES,
        }
    }

    /// The same over terms that are known already, so that new forms can be compared with older ones.
    pub(crate) fn over(schema: &'s Schema, tags: Vec<&'s [Tag]>, terms: Terms) -> Normaliser<'s> {
        Normaliser { terms, ..Normaliser::new(schema, tags) }
    }

    /// Goes on with the terms of an engine, some of whose forms will be [taken
    /// over](Normaliser::take_over), and with the visits that it left.
    pub(crate) fn go_on(&mut self, terms: Terms, left: FormsLeft) {
        (self.terms, self.all_visits) = (terms, left.visits);
    }

    /// Counts a form that was found before over the same terms.
    pub(crate) fn take_over(&mut self, form: &Alternatives) {
        self.ranges = self.ranges.saturating_sub(form.ranges());
    }

    /// What is left of the bounds on all conditions together.
    pub(crate) fn left(&self) -> FormsLeft {
        FormsLeft { visits: self.all_visits, ranges: self.ranges }
    }

    /// When a condition of the rule set with these tags is true.
    pub(crate) fn condition(&mut self, condition: &Expression, tags: usize) -> Alternatives {
        self.alternatives(&condition.node, tags, true)
    }

    /// When a condition is false, and not just without an answer.
    pub(crate) fn negation(&mut self, condition: &Expression, tags: usize) -> Alternatives {
        self.alternatives(&condition.node, tags, false)
    }

    /// When it is this time or later.
    pub(crate) fn onwards(&mut self, now: Time) -> Alternatives {
        let id = self.terms.intern(Term::Computed(Scoped { node: Node::Now, tags: 0 }, Number::Time));
        let keys = self.terms.get(id).compared(self.schema, Comparison::GreaterOrEqual, &Value::Time(now));
        keys.map_or_else(Alternatives::always, |keys| Alternatives::of(id, keys))
    }

    /// When a schedule is open.
    pub(crate) fn schedule(&mut self, schedule: &Schedule) -> Alternatives {
        let mut open = Alternatives::never();
        let (zone, stretches) = schedule.stretches();
        for stretch in stretches {
            let mut form = Alternatives::always();
            if stretch.times != Keys::range(0, u64::MAX) {
                let now = self.terms.intern(Term::Computed(Scoped::new(&Node::Now, 0), Number::Time));
                form = form.and(&Alternatives::of(now, stretch.times.clone()));
            }
            if let Some(minutes) = &stretch.minutes {
                let minute = self.terms.intern(Term::WeekMinute(zone.clone()));
                form = form.and(&Alternatives::of(minute, minutes.clone()));
            }
            form.0.into_iter().for_each(|conjunction| open.add(conjunction));
        }
        open
    }

    /// When a node comes out as `wanted`.
    pub(crate) fn alternatives(&mut self, node: &Node, tags: usize, wanted: bool) -> Alternatives {
        let visits = MAX_VISITS.min(self.all_visits);
        self.visits = visits;
        let form = self.form(node, tags, wanted);
        self.all_visits -= visits - self.visits;
        match self.ranges.checked_sub(form.ranges()) {
            Some(left) => {
                self.ranges = left;
                form
            }
            None => self.truth(node, tags, wanted),
        }
    }

    fn form(&mut self, node: &Node, tags: usize, wanted: bool) -> Alternatives {
        match node {
            Node::Constant(Value::Bool(b)) if *b == wanted => return Alternatives::always(),
            Node::Constant(_) => return Alternatives::never(),
            _ => {}
        }
        let Some(left) = self.visits.checked_sub(1) else { return self.truth(node, tags, wanted) };
        self.visits = left;
        let found = match node {
            Node::Not(inner) => return self.form(inner, tags, !wanted),
            Node::And(nodes) if wanted => Some(self.all(nodes, tags, true)),
            Node::Or(nodes) if !wanted => Some(self.all(nodes, tags, false)),
            Node::And(nodes) | Node::Or(nodes) => self.any(nodes, tags, wanted),
            Node::If(nodes) => self.choice(nodes, tags, wanted),
            Node::Tag(tag) => self.tag(*tag, tags, wanted),
            Node::Compare(comparison, sides) => match compared_by_choice(*comparison, sides) {
                Some(choice) => return self.form(&choice, tags, wanted),
                None => self.atom(node, tags, wanted),
            },
            _ => self.atom(node, tags, wanted),
        };
        found
            .filter(|found| found.0.len() <= MAX_CONJUNCTIONS)
            .unwrap_or_else(|| self.truth(node, tags, wanted))
    }

    /// When all nodes come out as `wanted`. Nodes with several alternatives are multiplied out as far as the
    /// bound allows.
    fn all(&mut self, nodes: &[Node], tags: usize, wanted: bool) -> Alternatives {
        let mut forms: Vec<(&Node, Alternatives)> =
            nodes.iter().map(|node| (node, self.form(node, tags, wanted))).collect();
        forms.sort_by_key(|(_, form)| form.0.len()); // stable, so the form depends on nothing else
        let mut all = Alternatives::always();
        for (node, form) in forms {
            let fits = all.0.len() * form.0.len() <= MAX_CONJUNCTIONS;
            let form = if fits { form } else { self.truth(node, tags, wanted) };
            all = all.and(&form);
        }
        all
    }

    /// When one node comes out as `wanted`; `None` if that takes too many alternatives.
    fn any(&mut self, nodes: &[Node], tags: usize, wanted: bool) -> Option<Alternatives> {
        let mut any = Alternatives::never();
        for node in nodes {
            for conjunction in self.form(node, tags, wanted).0 {
                any.add(conjunction);
            }
            if any.0.len() > MAX_CONJUNCTIONS {
                return None;
            }
        }
        Some(any)
    }

    fn choice(
        &mut self,
        [condition, yes, no]: &[Node; 3],
        tags: usize,
        wanted: bool,
    ) -> Option<Alternatives> {
        let mut any = Alternatives::never();
        for (met, branch) in [(true, yes), (false, no)] {
            let (condition, branch) = (self.form(condition, tags, met), self.form(branch, tags, wanted));
            if condition.0.len() * branch.0.len() > MAX_CONJUNCTIONS {
                return None;
            }
            condition.and(&branch).0.into_iter().for_each(|conjunction| any.add(conjunction));
        }
        Some(any)
    }

    /// The form of a tag if it is a single conjunction. Other tags are evaluated once for all who use them.
    fn tag(&mut self, tag: usize, tags: usize, wanted: bool) -> Option<Alternatives> {
        if let Some(known) = self.known_tags.get(&(tags, tag, wanted)) {
            return known.clone();
        }
        let condition = &self.tags.get(tags)?.get(tag)?.condition;
        let form = Some(self.form(&condition.node, tags, wanted))
            .filter(|form| form.0.len() <= 1 && form.ranges() <= MAX_SHARED_RANGES);
        self.known_tags.insert((tags, tag, wanted), form.clone());
        form
    }

    /// The form of a single comparison with constants.
    fn atom(&mut self, node: &Node, tags: usize, wanted: bool) -> Option<Alternatives> {
        match node {
            Node::Feature(id) => self.feature(*id, |_| Some(Keys::one(u64::from(wanted)))),
            Node::Has(inner) => match &**inner {
                Node::Feature(id) | Node::Code(id) => {
                    self.feature(*id, |last| Some(if wanted { Keys::range(0, last) } else { Keys::none() }))
                }
                _ => None,
            },
            Node::HasBit(set, mask) => match &**set {
                Node::Feature(id) => {
                    let field = self.schema.feature(*id).field?;
                    let term = self.terms.intern(Term::Bits(*id, field, *mask));
                    Some(Alternatives::of(term, Keys::one(u64::from(wanted))))
                }
                _ => None,
            },
            Node::Compare(comparison, nodes) => match &**nodes {
                [Node::Constant(_), Node::Constant(_)] => None,
                [term, Node::Constant(constant)] => self.compared(*comparison, term, constant, tags, wanted),
                [Node::Constant(constant), term] => {
                    self.compared(comparison.mirrored(), term, constant, tags, wanted)
                }
                _ => None,
            },
            Node::In(nodes) => match &**nodes {
                [term, Node::Constant(Value::List(items))] => self.listed(term, items, tags, wanted),
                _ => None,
            },
            _ => None,
        }
    }

    /// A stored feature with these of its keys. Computed features are evaluated instead.
    fn feature(&mut self, id: FeatureId, keys: impl Fn(u64) -> Option<Keys>) -> Option<Alternatives> {
        let term = Term::feature(self.schema, id)?;
        let keys = keys(term.last(self.schema))?;
        Some(Alternatives::of(self.terms.intern(term), keys))
    }

    fn compared(
        &mut self,
        comparison: Comparison,
        node: &Node,
        constant: &Value<'static>,
        tags: usize,
        wanted: bool,
    ) -> Option<Alternatives> {
        let in_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if !constant.is_answer() || in_order && *constant == Value::Null {
            return Some(Alternatives::never()); // it has no answer, whatever the other side is
        }
        let id = self.operand(node, tags)?;
        let keys = match (constant, comparison) {
            (Value::Text(text), Comparison::Equal) => Keys::one(self.terms.text_key(id, text)?),
            (Value::Text(text), Comparison::NotEqual) => {
                Keys::one(self.terms.text_key(id, text)?).others(u64::MAX)
            }
            _ => self.terms.get(id).compared(self.schema, comparison, constant)?,
        };
        Some(Alternatives::of(id, self.as_wanted(id, keys, wanted)))
    }

    fn listed(
        &mut self,
        node: &Node,
        items: &[Value<'static>],
        tags: usize,
        wanted: bool,
    ) -> Option<Alternatives> {
        let id = self.operand(node, tags)?;
        let mut ranges = Vec::with_capacity(items.len());
        for item in items {
            let keys = match item {
                Value::Text(text) => Keys::one(self.terms.text_key(id, text)?),
                item => self.terms.get(id).compared(self.schema, Comparison::Equal, item)?,
            };
            ranges.extend_from_slice(keys.ranges());
        }
        Some(Alternatives::of(id, self.as_wanted(id, Keys::of(ranges), wanted)))
    }

    fn as_wanted(&self, id: TermId, keys: Keys, wanted: bool) -> Keys {
        if wanted { keys } else { keys.others(self.terms.get(id).last(self.schema)) }
    }

    /// The term on one side of a comparison, if its keys are known.
    fn operand(&mut self, node: &Node, tags: usize) -> Option<TermId> {
        let term = match node {
            // A word that is compared as a text has no place in the order.
            Node::Feature(id)
                if matches!(self.schema.feature(*id).kind.result(), Kind::Enum(_) | Kind::Set(_)) =>
            {
                return None;
            }
            Node::Feature(id) | Node::Code(id) => match Term::feature(self.schema, *id) {
                Some(term) => term,
                None => Term::Computed(Scoped::new(node, tags), self.number(node)?),
            },
            Node::Context(id) if self.schema.context()[usize::from(id.0)].kind == Kind::Text => {
                Term::Text(Scoped::new(node, tags), Texts::default())
            }
            _ => Term::Computed(Scoped::new(node, tags), self.number(node)?),
        };
        Some(self.terms.intern(term))
    }

    /// The type of number that a node has; `None` if it may have another type.
    fn number(&self, node: &Node) -> Option<Number> {
        use Operator::{Add, Subtract};
        Some(match node {
            Node::Constant(Value::Int(_)) | Node::Code(_) | Node::Rank(..) | Node::Variant(_) => Number::Int,
            Node::Constant(Value::Double(_)) => Number::Double,
            Node::Constant(Value::Time(_)) | Node::Now => Number::Time,
            Node::Constant(Value::Duration(_)) => Number::Duration,
            Node::Feature(id) => number_of(self.schema.feature(*id).kind.result())?,
            Node::Context(id) => number_of(&self.schema.context()[usize::from(id.0)].kind)?,
            Node::Negate(inner) => self.number(inner).filter(|number| *number != Number::Time)?,
            Node::If(nodes) => {
                let (yes, no) = (self.number(&nodes[1])?, self.number(&nodes[2])?);
                (yes == no).then_some(yes)?
            }
            Node::Arithmetic(operator, nodes) => {
                let (left, right) = (self.number(&nodes[0])?, self.number(&nodes[1])?);
                match (operator, left, right) {
                    (_, Number::Int, Number::Int) => Number::Int,
                    (_, Number::Double, Number::Double) => Number::Double,
                    (Subtract, Number::Time, Number::Time)
                    | (Add | Subtract, Number::Duration, Number::Duration) => Number::Duration,
                    (Add | Subtract, Number::Time, Number::Duration)
                    | (Add, Number::Duration, Number::Time) => Number::Time,
                    _ => return None,
                }
            }
            Node::Call(Function::Size | Function::ToInt, _) => Number::Int,
            Node::Call(Function::ToDouble, _) => Number::Double,
            _ => return None,
        })
    }

    fn truth(&mut self, node: &Node, tags: usize, wanted: bool) -> Alternatives {
        let term = Term::Truth(Scoped::new(node, tags));
        Alternatives::of(self.terms.intern(term), Keys::one(u64::from(wanted)))
    }
}

/// Turns `x < (c ? 1 : 2)` into `c ? x < 1 : x < 2`, which has atoms. A parameter that an experiment changes
/// is compared this way.
fn compared_by_choice(comparison: Comparison, sides: &[Node; 2]) -> Option<Node> {
    let is_term = |side: &Node| {
        matches!(side, Node::Feature(_) | Node::Code(_) | Node::Context(_) | Node::Channel | Node::Now)
    };
    let (term, choice, comparison) = match sides {
        [term, Node::If(choice)] if is_term(term) => (term, choice, comparison),
        [Node::If(choice), term] if is_term(term) => (term, choice, comparison.mirrored()),
        _ => return None,
    };
    let [condition, yes, no] = &**choice;
    let of = |branch: &Node| {
        let is_constant = matches!(branch, Node::Constant(_) | Node::If(_));
        is_constant.then(|| Node::Compare(comparison, Box::new([term.clone(), branch.clone()])))
    };
    Some(Node::If(Box::new([condition.clone(), of(yes)?, of(no)?])))
}

fn number_of(kind: &Kind) -> Option<Number> {
    Some(match kind {
        Kind::Int { .. } => Number::Int,
        Kind::Float { .. } | Kind::Decimal { .. } => Number::Double,
        Kind::Time => Number::Time,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Facts, Scope, Syntax, TagMemo, TagNames};
    use super::*;
    use crate::input::origin::Origin;
    use crate::schema::context::Context;
    use crate::schema::vector::FeatureVector;
    use crate::schema::{ChannelId, Moment};

    const SCHEMA: &str = "
schema: t
features:
  age: {kind: int, min: -5, max: 120}
  big: {kind: int, min: -9223372036854775807, max: 9223372036854775807}
  aum: {kind: decimal, scale: 2, min: 0, max: 1000}
  score: {kind: float}
  exact: {kind: float, precision: double}
  tier: {kind: enum, values: [mass, gold, private], ordered: true}
  consent: {kind: bool}
  likes: {kind: set, values: [fx, fund, card]}
  seen: {kind: time}
  views: {kind: count, event: view, window: 7d}
  spent: {kind: sum, event: view, property: price, window: 7d, buckets: 3}
  least: {kind: min, event: view, property: price}
  place: {kind: last, event: view, property: level, window: 7d}
  viewed: {kind: last, event: view}
events:
  view:
    properties:
      price: {kind: decimal, scale: 1, min: 0, max: 9}
      level: {kind: enum, values: [low, mid, high], ordered: true}
context:
  page: {kind: string}
  amount: {kind: float}
  level: {kind: enum, values: [low, high], ordered: true}
";

    const CONDITIONS: [&str; 56] = [
        "views >= 3",
        "views == 0 || place == 'low'",
        "spent > 0.1 && age > 30 || least < 0.1",
        "place >= 'mid'",
        "place in ['low', 'high'] || has(customer.viewed)",
        "now - viewed < duration('48h')",
        "least == null || views > age",
        "age > 30",
        "30 >= age",
        "age == 30 || age == 31 || age == 50",
        "age != 30",
        "!(age > 30 && age < 60)",
        "age > 30.5",
        "age in [1, 2, 30, 31]",
        "!(age in [1, 2, 30, 31])",
        "big > 9223372036854775806",
        "big < 0 || big == 0",
        "big >= -9223372036854775807",
        "aum >= 500.25 && aum < 700.5",
        "aum == 500.25",
        "score >= 0.7",
        "score != 0.7",
        "score in [0.7, -0.7, 2.5]",
        "!(score in [0.7, 1])",
        "[0.7, 2.5].exists(x, x == score) || cel.bind(x, 0.1, x == score)",
        "math.least(score, 0.7) == 0.7",
        "score * 10.0 == 7.0 || score + 0.0 == 0.1",
        "score < -0.0",
        "score < 0.0 || score > 0.0",
        "exact > 1e300 || exact < -1e300",
        "exact in [0.1, 1, 2.5]",
        "tier >= 'gold'",
        "tier in ['mass', 'private']",
        "!(tier == 'gold')",
        "tier > 'private'",
        "consent",
        "!consent",
        "consent == false",
        "consent != null",
        "consent == null || age > 30",
        "has(customer.tier) && has(customer.likes)",
        "'fx' in likes || 'card' in likes",
        "!('fx' in likes)",
        "size(likes) >= 2",
        "now - seen < duration('720h')",
        "seen > timestamp('2026-06-01T00:00:00Z')",
        "context.page == 'home' || context.page in ['fx', 'home']",
        "context.page != 'home'",
        "context.amount * 2.0 > 100.0 && context.amount / 0.0 > 1.0",
        "context.level == 'high' || context.level < 'high'",
        "context.channel == 'app'",
        "consent ? age > 30 : age < 30",
        "age * 2 > 60 && age * 100000000000000000 > 0",
        "tag.rich && !tag.loose",
        "(age > 1 || consent) && (aum > 2.0 || consent) && (score > 0.0 || tier == 'gold')",
        "likes.exists(l, l == 'fx') != consent",
    ];

    struct World {
        schema: Schema,
        names: TagNames,
        tags: Vec<Tag>,
    }

    fn world() -> World {
        let schema = Schema::parse("s", SCHEMA).unwrap();
        let names = TagNames::new(["rich", "loose"]);
        let tag = |name: &str, text: &str| Tag { name: name.into(), condition: read(&schema, &names, text) };
        let tags = vec![tag("rich", "aum > 500.0 && tier > 'mass'"), tag("loose", "age < 20 || consent")];
        World { schema, names, tags }
    }

    fn read(schema: &Schema, tags: &TagNames, text: &str) -> Expression {
        let syntax = Syntax::parse(text, Origin::default()).unwrap();
        Scope { tags, ..Scope::of(schema) }.condition(&syntax).unwrap()
    }

    /// A row whose features are missing, extreme, near the constants of the conditions, or anything.
    fn row(schema: &Schema, rng: &mut fastrand::Rng) -> Vec<u64> {
        let mut row = vec![0; schema.row_words()];
        let doubles = [0.0, -0.0, 0.1, 0.7, 1.0, 2.5, 1e301, -1e301, f64::MAX, f64::MIN_POSITIVE, -0.7];
        let ints = [-5, 0, 1, 2, 19, 20, 29, 30, 31, 50, 59, 60, 120, i64::MIN + 1, i64::MAX];
        for (id, feature) in schema.features().iter().enumerate() {
            let value = match &feature.kind {
                _ if rng.u8(0..4) == 0 => continue,
                Kind::Int { min, max } => {
                    let near = rng.choice(ints).unwrap().clamp(*min, *max);
                    Value::Int(if rng.bool() { near } else { rng.i64(*min..=*max) })
                }
                Kind::Decimal { .. } => {
                    let near = rng.choice([0.0, 2.0, 500.0, 500.25, 500.26, 700.49, 700.5, 1000.0]);
                    Value::Double(near.unwrap())
                }
                Kind::Float { double: false } => {
                    Value::Double(f64::from(*rng.choice(doubles.iter()).unwrap() as f32).clamp(-3e38, 3e38))
                }
                Kind::Float { .. } => Value::Double(*rng.choice(doubles.iter()).unwrap()),
                Kind::Enum(words) => {
                    Value::Text(words.word(rng.u32(0..words.words().len() as u32)).unwrap().into())
                }
                Kind::Bool => Value::Bool(rng.bool()),
                Kind::Set(words) => Value::Set(rng.u64(0..8), words),
                Kind::Time => Value::Time(Time::from_seconds(rng.i64(1_780_000_000..1_800_000_000))),
                Kind::Computed(_) => {
                    for _ in 0..rng.u8(0..6) {
                        let at = 1_790_000_000 - rng.u32(0..900_000);
                        schema.take(FeatureId(id as u16), &mut row, Moment::told(at), rng.u64(1..=3));
                    }
                    continue;
                }
                Kind::Text => continue,
            };
            feature.field.unwrap().write(&mut row, feature.kind.encode(&value));
        }
        row
    }

    fn context(schema: &Schema, rng: &mut fastrand::Rng) -> Context<'static> {
        let mut context = Context::default();
        let values = [
            ("page", Value::Text((*rng.choice(["home", "fx", "other"].iter()).unwrap()).into())),
            ("amount", Value::Double(*rng.choice([0.0, 50.0, 51.0, -1.0].iter()).unwrap())),
            ("level", Value::Text((*rng.choice(["low", "high"].iter()).unwrap()).into())),
        ];
        for (name, value) in values {
            if rng.bool() {
                context.set(schema.context_id(name).unwrap(), value);
            }
        }
        context
    }

    /// The form of "true" must hold exactly where the evaluator says true; the form of "false", where it says
    /// false.
    #[test]
    fn normal_forms_say_what_the_evaluator_says() {
        let World { schema, names, tags } = world();
        let schema = Arc::new(schema);
        let mut rng = fastrand::Rng::with_seed(4);
        let mut normaliser = Normaliser::new(&schema, vec![&tags]);
        let conditions = CONDITIONS.map(|text| read(&schema, &names, text));
        let forms: Vec<_> = conditions
            .iter()
            .map(|condition| (normaliser.condition(condition, 0), normaliser.negation(condition, 0)))
            .collect();
        let mut seen = vec![[0; 3]; CONDITIONS.len()];
        for _ in 0..3_000 {
            let (row, context) = (row(&schema, &mut rng), context(&schema, &mut rng));
            let (memo, channel) = (TagMemo::new(tags.len()), ChannelId(rng.u16(0..7)));
            let facts = Facts {
                schema: &schema,
                vector: FeatureVector::new(&row),
                customer: None,
                context: &context,
                channel,
                now: Time::from_seconds(1_790_000_000),
                tags: &tags,
                memo: &memo,
                variables: &[],
            };
            for (i, (condition, (yes, no))) in conditions.iter().zip(&forms).enumerate() {
                let value = condition.evaluate(&facts);
                let mut key = |id: TermId| normaliser.terms.get(id).key(&|_| facts, &row);
                let found = (yes.holds(&mut key), no.holds(&mut key));
                let expected = (value == Value::Bool(true), value == Value::Bool(false));
                assert_eq!(found, expected, "{} is {value:?}", CONDITIONS[i]);
                seen[i][usize::from(expected.0) + 2 * usize::from(expected.1)] += 1;
            }
        }
        for (text, [open, yes, no]) in CONDITIONS.iter().zip(&seen) {
            let open_only = text.contains("> 'private'") || text.contains("> 9223372036854775806");
            assert!(*yes > 0 || open_only, "never true: {text} {open} {no}");
        }
    }

    #[test]
    fn forms_are_as_small_as_they_can_be_told() {
        let World { schema, names, tags } = world();
        let mut normaliser = Normaliser::new(&schema, vec![&tags]);
        for (text, ways, atoms) in [
            ("age > 30 && age <= 40 && consent", 1, 2),
            ("age == 1 || age == 2 || age == 7", 1, 1),
            ("age > 30 || age <= 30", 1, 1),
            ("age > 30 && age < 30", 0, 0),
            ("age > 30 || consent", 2, 2),
            ("(age > 30 && consent) || age > 20", 1, 1),
            ("tag.rich && consent", 1, 3),
            ("tag.loose && consent", 1, 2),
            ("age + 1 > 30 && age + 1 < 40", 1, 1),
            ("true || age > 30", 1, 0),
        ] {
            let form = normaliser.condition(&read(&schema, &names, text), 0);
            let found = (form.0.len(), form.0.iter().map(|conjunction| conjunction.0.len()).sum::<usize>());
            assert_eq!(found, (ways, atoms), "{text}: {form:?}");
        }
        let pairs: Vec<String> = (0..12).map(|i| format!("(age == {i} || aum == {i}.0)")).collect();
        let form = normaliser.condition(&read(&schema, &names, &pairs.join(" && ")), 0);
        assert!(form.0.len() <= MAX_CONJUNCTIONS, "what would explode is evaluated: {}", form.0.len());
    }

    #[test]
    fn ternaries_inside_each_other_are_given_up_in_time() {
        let World { schema, names, tags } = world();
        let mut normaliser = Normaliser::new(&schema, vec![&tags]);
        let deep =
            (0..38).fold("consent".to_owned(), |inner, i| format!("({inner} ? age > {i} : big > {i})"));
        let form = normaliser.condition(&read(&schema, &names, &deep), 0);
        assert!(form.0.len() <= MAX_CONJUNCTIONS && normaliser.all_visits >= MAX_ALL_VISITS - MAX_VISITS);
    }

    #[test]
    fn forms_of_all_conditions_together_are_bounded() {
        let World { schema, names, tags } = world();
        let mut normaliser = Normaliser::new(&schema, vec![&tags]);
        let many: Vec<String> = (0..1_000).map(|i| (3 * i).to_string()).collect();
        let condition = read(&schema, &names, &format!("big in [{}]", many.join(", ")));
        assert_eq!(normaliser.ranges, MAX_RANGES);
        let most = crate::testing::rounds(100_000, MAX_RANGES);
        normaliser.ranges = most;
        let ranges: usize = (0..most / 1_000 + 5).map(|_| normaliser.condition(&condition, 0).ranges()).sum();
        assert_eq!(ranges, most + 5, "the last five are evaluated");
    }
}
