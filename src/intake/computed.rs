//! What computed features take from an event, compiled from a schema: for each event type, the features
//! that compute from it, with their conditions.
//!
//! An event is looked at once, when it comes in. Its record carries everything that the fold needs, so the
//! fold evaluates no condition and needs no time zone.

use std::sync::Arc;

use crate::expression::{Expression, Facts, Scope, Syntax, TagMemo};
use crate::input::problem::Problems;
use crate::schema::context::Context;
use crate::schema::value::Value;
use crate::schema::{ContextId, EventCondition, EventType, FeatureId, Kind, Schema, When};

/// Reads a schema together with the conditions on events in it.
///
/// # Errors
/// Everything that is wrong with either, each problem with line and column.
pub fn read_schema(file: &str, text: &str) -> Result<Arc<Schema>, Problems> {
    let (schema, conditions) = Schema::read_with_conditions(file, text);
    let (schema, mut problems) = match schema {
        Ok(schema) => (Some(schema), Problems::new()),
        Err(problems) => (None, problems),
    };
    let empty = Schema::empty();
    for EventCondition { event, when } in &conditions {
        let mut taken = TakenEvent::new(event, schema.as_ref().unwrap_or(&empty));
        let checked = taken.condition(event, when);
        let _ = checked.map_err(|found| problems.extend(found));
    }
    problems.sort();
    match schema {
        Some(schema) => problems.or(Arc::new(schema)),
        None => Err(problems),
    }
}

/// What the computed features of one schema take from events.
#[derive(Debug, Clone)]
pub struct Intake {
    schema: Arc<Schema>,
    /// One entry per event type, in the schema's order.
    events: Vec<TakenEvent>,
}

/// What is computed from events of one type.
#[derive(Debug, Clone)]
struct TakenEvent {
    /// A schema whose context is what such an event carries.
    carried: Schema,
    /// Each condition once, however many features have it.
    conditions: Vec<Expression>,
    features: Vec<TakenFeature>,
}

/// A feature that is computed from these events.
#[derive(Debug, Clone)]
struct TakenFeature {
    feature: FeatureId,
    property: Option<usize>,
    condition: Option<usize>,
}

impl Intake {
    /// The intake of a schema without events.
    pub fn empty() -> Intake {
        Intake { schema: Arc::new(Schema::empty()), events: Vec::new() }
    }

    /// What the computed features of a schema take from its events.
    ///
    /// # Errors
    /// Every condition that does not compile, with its place in the schema.
    pub fn compile(schema: &Arc<Schema>) -> Result<Intake, Problems> {
        let mut problems = Problems::new();
        let mut events: Vec<TakenEvent> =
            schema.events().iter().map(|event| TakenEvent::new(event, schema)).collect();
        for (number, feature) in schema.features().iter().enumerate() {
            let Kind::Computed(computed) = &feature.kind else { continue };
            let Some(id) = schema.event_id(&computed.event) else { continue };
            let (event, taken) = (&schema.events()[id], &mut events[id]);
            let condition = match &computed.when {
                Some(when) => match taken.condition(event, when) {
                    Ok(condition) => Some(condition),
                    Err(found) => {
                        problems.extend(found);
                        continue;
                    }
                },
                None => None,
            };
            let property = computed.property.as_ref().and_then(|(name, _)| event.property_id(name));
            taken.features.push(TakenFeature { feature: FeatureId(number as u16), property, condition });
        }
        problems.or(Intake { schema: Arc::clone(schema), events })
    }

    /// What features take from an event, each with the code for [`Schema::take`]. `event` is the index in the
    /// schema's [`events`](Schema::events), and `at` is in seconds since 1970. Properties come by their
    /// index, each at most once, read as their kinds say. An index that is not an event of this schema gives
    /// nothing.
    pub fn facts(&self, event: usize, at: u32, properties: &[(usize, Value<'_>)]) -> Vec<(FeatureId, u64)> {
        let Some(taken) = self.events.get(event).filter(|taken| !taken.features.is_empty()) else {
            return Vec::new();
        };
        let held = taken.held(properties);
        let fact = |taking: &TakenFeature| {
            let Kind::Computed(computed) = &self.schema.feature(taking.feature).kind else { return None };
            if taking.condition.is_some_and(|condition| !held[condition]) {
                return None;
            }
            let carried =
                |id: usize| properties.iter().find(|(known, _)| *known == id).map(|(_, value)| value);
            let code = computed.code(at, taking.property.and_then(carried), self.schema.zone())?;
            Some((taking.feature, code))
        };
        taken.features.iter().filter_map(fact).collect()
    }
}

impl TakenEvent {
    fn new(event: &EventType, schema: &Schema) -> TakenEvent {
        TakenEvent { carried: event.as_context(schema), conditions: Vec::new(), features: Vec::new() }
    }

    /// The number of a condition on such events, which is compiled if it is new.
    fn condition(&mut self, event: &EventType, when: &When) -> Result<usize, Problems> {
        if let Some(known) = self.conditions.iter().position(|condition| *condition.text == *when.text) {
            return Ok(known);
        }
        let scope = Scope { event: Some(&event.name), ..Scope::of(&self.carried) };
        let condition = scope.condition(&Syntax::parse(&when.text, when.origin.clone())?)?;
        self.conditions.push(condition);
        Ok(self.conditions.len() - 1)
    }

    /// For each condition, whether it holds.
    fn held(&self, properties: &[(usize, Value<'_>)]) -> Vec<bool> {
        if self.conditions.is_empty() {
            return Vec::new();
        }
        let (mut context, memo) = (Context::default(), TagMemo::default());
        for (id, value) in properties {
            context.set(ContextId(*id as u16), value.borrowed());
        }
        let facts = Facts::of_context(&self.carried, &context, &memo);
        self.conditions.iter().map(|condition| condition.holds(&facts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::document::{Input, InputValue};

    const SCHEMA: &str = "
schema: s
timezone: Asia/Shanghai
features:
  age: {kind: int, min: 0, max: 120}
  views: {kind: count, event: page_view}
  fx: {kind: count, event: page_view, when: page == 'fx' && seconds >= 5, window: 7d}
  fx_seconds: {kind: sum, event: page_view, when: page == 'fx' && seconds >= 5, property: seconds}
  pages: {kind: distinct, event: page_view, property: page}
  days: {kind: streak, event: page_view, per: day}
  high: {kind: count, event: page_view, when: level >= 'mid'}
  unlevelled: {kind: count, event: page_view, when: level == null || !has(event.page)}
  won: {kind: sum, event: convert, property: value, when: \"offer.startsWith('fx_')\"}
events:
  page_view:
    properties:
      page: {kind: string}
      seconds: {kind: int, min: -1, max: 86400}
      level: {kind: enum, values: [low, mid, high], ordered: true}
";

    /// What is taken from an event with these properties, in JSON: `feature code` each, without those that
    /// are hashes.
    fn facts(event: &str, properties: &str) -> Vec<String> {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let intake = Intake::compile(&schema).unwrap();
        let id = schema.event_id(event).unwrap();
        let input = Input::from_json(properties.as_bytes()).unwrap();
        let InputValue::Map(entries) = &input.value else { panic!("{properties}") };
        let declared = &schema.events()[id];
        let read = entries.iter().map(|(key, input)| {
            let property = declared.property_id(&key.text).unwrap();
            (property, declared.properties[property].kind.read(&input.value, schema.zone()).unwrap())
        });
        let facts = intake.facts(id, 1_000_000_000, &read.collect::<Vec<_>>());
        let named = facts.iter().map(|(id, code)| match &*schema.feature(*id).name {
            "pages" => "pages".to_owned(),
            name => format!("{name} {code}"),
        });
        named.collect()
    }

    #[test]
    fn mistakes_in_conditions_are_reported_with_all_others() {
        let text = "schema: s
features:
  fee:   {kind: decimal, min: 0, max: 500}
  views: {kind: count, event: view, when: pag == 'x', window: 7d}
  deep:  {kind: count, event: view, when: page > 1, window: 7y}
events:
  view: {properties: {page: {kind: string}}}
";
        let problems = read_schema("schema.yaml", text).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.place.unwrap().line).collect();
        assert_eq!(places, [3, 4, 5, 5], "{problems}");
    }

    #[test]
    fn features_take_their_code_where_their_condition_holds() {
        // In Shanghai it is the 11,574th day after the first of 1970. One more stands for everything
        // before, one for nothing.
        const DAY: &str = "days 11576";
        let viewed = |properties: &str| facts("page_view", properties);
        assert_eq!(viewed("{}"), ["views 1", DAY, "unlevelled 1"]);
        assert_eq!(viewed(r#"{"seconds": 7}"#), ["views 1", DAY, "unlevelled 1"]);
        let all = ["views 1", "fx 1", "fx_seconds 9", "pages", DAY, "high 1"];
        assert_eq!(viewed(r#"{"page": "fx", "seconds": 7, "level": "mid"}"#), all);
        let some = ["views 1", "pages", DAY];
        assert_eq!(viewed(r#"{"page": "fx", "seconds": 4, "level": "low"}"#), some);
        assert_eq!(facts("convert", r#"{"offer": "cards", "value": 2}"#), [""; 0]);
        assert_eq!(
            facts("convert", r#"{"offer": "fx_exchange"}"#),
            [""; 0],
            "without a value there is none to add"
        );
        assert_eq!(facts("convert", r#"{"offer": "fx_exchange", "value": 2}"#).len(), 1);
        assert_eq!(facts("click", r#"{"offer": "fx_exchange"}"#), [""; 0]);
    }

    #[test]
    fn the_same_page_has_the_same_code_on_any_machine() {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let intake = Intake::compile(&schema).unwrap();
        let pages = schema.feature_id("pages").unwrap();
        let facts = intake.facts(0, 5, &[(0, Value::Text("fx".into()))]);
        assert!(facts.contains(&(pages, 17_392_007_123_876_259_967)), "{facts:?}");
        assert!(intake.facts(usize::MAX, 5, &[]).is_empty(), "what is no event");
    }

    #[test]
    fn a_condition_that_features_share_is_looked_at_once() {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let intake = Intake::compile(&schema).unwrap();
        assert_eq!(intake.events[0].conditions.len(), 3);
    }
}
