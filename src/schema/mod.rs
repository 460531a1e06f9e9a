//! What can be known about customers, requests, events and offers: names, kinds, bounds, and where each
//! feature lies in a row. A schema only grows, so rows and rule sets outlive its versions.

pub mod value;
mod vocabulary;
mod calendar;
mod written;
pub mod told;
mod single;
mod kind;
mod computed;
pub mod span;
mod parse;
mod doubts;
mod growth;
mod layout;
mod bounds;
mod cells;
pub mod vector;
pub mod context;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use self::bounds::{HEADER_WORDS, MAX_FEATURES, MAX_LINK_SCHEMES, MAX_NAME_BYTES, MAX_ROW_WORDS};
pub(crate) use self::calendar::{begins, edges};
pub use self::cells::{Cells, DEFAULT_BUCKETS, MAX_BUCKETS, Moment};
pub use self::computed::{Computed, Function, Period, When};
pub use self::kind::Kind;
pub(crate) use self::kind::{MAX_SET_VALUES, double_of_code, single_of_code};
pub use self::layout::{Field, RowPlace};
pub use self::parse::is_feature_name;
pub(crate) use self::parse::{check_thing_key, is_name, name_of_thing, read_zone};
pub(crate) use self::single::{in_single, widened};
pub use self::vocabulary::Vocabulary;
pub(crate) use self::written::{DAY, day};

use self::growth::GrowthProblems;
use self::value::{Time, Value};
use crate::input::problem::{Problem, Problems, quoted};

/// The number of a feature: its place in the order of declaration, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureId(pub u16);

/// The number of a context field: its place in the order of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(pub u16);

/// The number of a channel: its place among the schema's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// All declarations of one schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The schema's name, as written behind `schema:`.
    pub name: Box<str>,
    /// The text that it was read from.
    pub text: Arc<str>,
    zone: TimeZone,
    features: Vec<Feature>,
    feature_ids: HashMap<Box<str>, FeatureId>,
    context: Vec<Declared>,
    context_ids: HashMap<Box<str>, ContextId>,
    events: Vec<EventType>,
    event_ids: HashMap<Box<str>, usize>,
    attributes: Vec<Declared>,
    channels: Vocabulary,
    link_schemes: Vec<Box<str>>,
    row_words: usize,
}

/// A declared fact about a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Its name, unique among features.
    pub name: Box<str>,
    /// What it means, for people.
    pub description: Box<str>,
    /// What values it may have, and how they are packed.
    pub kind: Kind,
    /// Where its value lies in a row; `None` if it is computed from events.
    pub field: Option<Field>,
    /// Where its counters lie in a row, if it is computed from events.
    pub cells: Option<Cells>,
}

/// A name with a kind: a context field, an event's property, an offer's attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name, unique among its like.
    pub name: Box<str>,
    /// What it means, for people.
    pub description: Box<str>,
    /// What values it may have.
    pub kind: Kind,
}

/// A kind of event that may happen to customers.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// Its name, unique among event types.
    pub name: Box<str>,
    /// What it means, for people.
    pub description: Box<str>,
    /// The properties that such an event may carry.
    pub properties: Vec<Declared>,
}

/// A condition on events together with the type of event that it is about.
#[derive(Debug, Clone)]
pub struct EventCondition {
    /// The type, with the properties that the condition may name.
    pub event: EventType,
    /// The condition as it is written.
    pub when: When,
}

impl EventType {
    /// The event types that every schema has, in the order of [`OUTCOMES`]: what became of an offer that was
    /// shown.
    pub fn outcomes() -> [EventType; OUTCOMES.len()] {
        let named = |name: &str, kind| Declared { name: name.into(), description: "".into(), kind };
        let texts = ["offer", "placement", "channel"].map(|name| named(name, Kind::Text));
        let value = named("value", Kind::Float { double: true });
        let properties: Vec<Declared> = texts.into_iter().chain([value]).collect();
        OUTCOMES.map(|(name, description)| EventType {
            name: name.into(),
            description: description.into(),
            properties: properties.clone(),
        })
    }

    /// The place of the property of this name, from 0.
    pub fn property_id(&self, name: &str) -> Option<usize> {
        self.properties.iter().position(|property| &*property.name == name)
    }

    /// The place of the property of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest name. The caller adds where the name stands.
    pub fn find_property(&self, name: &str) -> Result<usize, Problem> {
        self.property_id(name).ok_or_else(|| {
            let names = self.properties.iter().map(|property| &*property.name);
            Problem::new(format!("event `{}` has no property {}", self.name, quoted(name)))
                .nearest(name, names)
        })
    }

    /// A schema whose context is what such an event carries. Conditions on events are checked against it, and
    /// evaluated with it.
    pub(crate) fn as_context(&self, schema: &Schema) -> Schema {
        let ids = self.properties.iter().enumerate();
        let context_ids = ids.map(|(i, property)| (property.name.clone(), ContextId(i as u16))).collect();
        let (context, zone) = (self.properties.clone(), schema.zone.clone());
        Schema { context, context_ids, zone, ..Schema::empty() }
    }
}

/// The names of the [outcomes](EventType::outcomes), each with its meaning. They are in the order of
/// [`OutcomeKind`](crate::customer::outcome::OutcomeKind), which takes its names from here.
pub const OUTCOMES: [(&str, &str); 4] = [
    ("impression", "an offer was shown"),
    ("click", "an offer was opened"),
    ("dismiss", "an offer was closed or refused"),
    ("convert", "an offer was taken up; `value` is what that is worth"),
];

impl Schema {
    /// What a server has before it is given a schema: no features, no context, the usual channels.
    pub fn empty() -> Schema {
        Schema {
            name: "empty".into(),
            text: "schema: empty\n".into(),
            zone: TimeZone::UTC,
            features: Vec::new(),
            feature_ids: HashMap::new(),
            context: Vec::new(),
            context_ids: HashMap::new(),
            events: Vec::new(),
            event_ids: HashMap::new(),
            attributes: Vec::new(),
            channels: Vocabulary::channels(),
            link_schemes: Vec::new(),
            row_words: HEADER_WORDS,
        }
        .with_events(EventType::outcomes().into())
    }

    fn with_events(self, events: Vec<EventType>) -> Schema {
        let event_ids = events.iter().enumerate().map(|(i, event)| (event.name.clone(), i)).collect();
        Schema { events, event_ids, ..self }
    }

    /// The schemes of links that the bank's channels open, besides those that every channel opens.
    pub fn link_schemes(&self) -> &[Box<str>] {
        &self.link_schemes
    }

    /// All features, in the order of their [`FeatureId`].
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The feature of this number.
    pub fn feature(&self, id: FeatureId) -> &Feature {
        &self.features[usize::from(id.0)]
    }

    /// The number of the feature of this name.
    pub fn feature_id(&self, name: &str) -> Option<FeatureId> {
        self.feature_ids.get(name).copied()
    }

    /// All context fields, in the order of their [`ContextId`].
    pub fn context(&self) -> &[Declared] {
        &self.context
    }

    /// The number of the context field of this name.
    pub fn context_id(&self, name: &str) -> Option<ContextId> {
        self.context_ids.get(name).copied()
    }

    /// Event types: the declared ones, then the [outcomes](EventType::outcomes) that every schema has.
    pub fn events(&self) -> &[EventType] {
        &self.events
    }

    /// The place of the event type of this name among [`events`](Schema::events). In another schema it may
    /// differ.
    pub fn event_id(&self, name: &str) -> Option<usize> {
        self.event_ids.get(name).copied()
    }

    /// The time zone in which the days and weeks begin that features count.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Adds an event to a computed feature of this row, which must have the schema's length. `code` comes
    /// from [`Intake::facts`](crate::intake::computed::Intake::facts). Events may come in any order. A
    /// number that is not a computed feature of this schema changes nothing.
    pub fn take(&self, feature: FeatureId, row: &mut [u64], when: Moment, code: u64) {
        let feature = self.features.get(usize::from(feature.0));
        if let Some(Feature { kind: Kind::Computed(computed), cells: Some(cells), .. }) = feature {
            computed.update(*cells, row, when, code, &self.zone);
        }
    }

    /// How many words a row has up to the end of a feature, the header among them; 0 if there is none.
    pub fn words_up_to(&self, feature: FeatureId) -> usize {
        let Some(Feature { field, cells, .. }) = self.features.get(usize::from(feature.0)) else { return 0 };
        let of_field = field.map(|field| usize::from(field.place().0) + 1);
        of_field.or_else(|| cells.map(|cells| cells.range().end)).unwrap_or_default()
    }

    /// The value of a feature in this row at this time.
    #[inline]
    pub fn read<'s>(&'s self, feature: FeatureId, row: &[u64], now: Time) -> Value<'s> {
        self.feature(feature).read(row, now, &self.zone)
    }

    /// The code of that value; 0 if there is none. Values that are counted have no codes.
    #[inline]
    pub fn read_code(&self, feature: FeatureId, row: &[u64], now: Time) -> u64 {
        self.feature(feature).read_code(row, now)
    }

    /// The attributes that offers may have, in the order of declaration.
    pub fn attributes(&self) -> &[Declared] {
        &self.attributes
    }

    /// The offer attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Declared> {
        self.attributes.iter().find(|attribute| &*attribute.name == name)
    }

    /// The channels; a word's code is the number of its [`ChannelId`].
    pub fn channels(&self) -> &Vocabulary {
        &self.channels
    }

    /// The number of the channel of this name.
    pub fn channel_id(&self, name: &str) -> Option<ChannelId> {
        self.channels.code(name).map(|code| ChannelId(code as u16))
    }

    /// How many words of 8 bytes a row of this schema takes.
    pub fn row_words(&self) -> usize {
        self.row_words
    }

    /// The number of the feature of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest name. The caller adds where the name stands, here and below.
    pub fn find_feature(&self, name: &str) -> Result<FeatureId, Problem> {
        self.feature_id(name).ok_or_else(|| {
            let names = self.features.iter().map(|feature| &*feature.name);
            let problem = Problem::new(format!("unknown feature {}", quoted(name))).nearest(name, names);
            if self.features.is_empty() { problem.hint("no schema was pushed yet") } else { problem }
        })
    }

    /// The number of the context field of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest name.
    pub fn find_context(&self, name: &str) -> Result<ContextId, Problem> {
        self.context_id(name).ok_or_else(|| {
            let names = self.context.iter().map(|field| &*field.name);
            Problem::new(format!("unknown context field {}", quoted(name))).nearest(name, names)
        })
    }

    /// The place of the event type of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest name.
    pub fn find_event(&self, name: &str) -> Result<usize, Problem> {
        self.event_id(name).ok_or_else(|| {
            let names = self.events.iter().map(|event| &*event.name);
            Problem::new(format!("unknown event {}", quoted(name))).nearest(name, names)
        })
    }

    /// The number of the channel of this name.
    ///
    /// # Errors
    /// That there is none, with the nearest name, or all names if none is near.
    pub fn find_channel(&self, name: &str) -> Result<ChannelId, Problem> {
        self.channel_id(name).ok_or_else(|| {
            let words = self.channels.words();
            let problem = Problem::new(format!("unknown channel {}", quoted(name)));
            let problem = problem.nearest(name, words.iter().map(|word| &**word));
            if problem.hint.is_some() {
                problem
            } else {
                problem.hint(format!("channels: {}", words.join(", ")))
            }
        })
    }

    /// The schema that has grown to this text. `order` has its features in the order of their numbers, each
    /// with its place. The text alone does not tell these: what was declared first keeps its number and
    /// place.
    ///
    /// # Errors
    /// What is wrong with the text, or with a number or place.
    pub fn restore(text: &str, order: &[(&str, Option<RowPlace>)]) -> Result<Schema, Problems> {
        let empty = Schema::empty();
        if order.is_empty() && text == &*empty.text {
            return Ok(empty); // no schema was defined yet
        }
        let mut schema = Schema::parse("schema", text)?;
        let mut problems = Problems::new();
        let mut given: Vec<Option<Feature>> = schema.features.drain(..).map(Some).collect();
        for (name, place) in order {
            let (field, cells) = match place {
                Some(RowPlace::Field(field)) => (Some(*field), None),
                Some(RowPlace::Cells(cells)) => (None, Some(*cells)),
                None => (None, None),
            };
            let id = schema.feature_ids.get(*name).map(|id| usize::from(id.0));
            match id.and_then(|id| given[id].take()) {
                Some(feature) => schema.features.push(Feature { field, cells, ..feature }),
                None => problems
                    .push(Problem::new(format!("feature {} is not declared exactly once", quoted(name)))),
            }
        }
        for feature in given.iter().flatten() {
            problems.push(Problem::new(format!("feature `{}` has no number", feature.name)));
        }
        if let Err(problem) = schema.laid_out() {
            problems.push(problem);
        }
        problems.or(schema)
    }

    /// This schema, grown to what `newer` declares: known features keep their number and place, new ones
    /// follow.
    ///
    /// # Errors
    /// Everything that `newer` removes, or changes so that rows or rule sets would be read differently, each
    /// problem with its place in the text of `newer`. Channels may change: nothing stored refers to them, and
    /// a rule set that uses one is compiled again.
    pub fn grow(&self, newer: &Schema) -> Result<Schema, Problems> {
        let mut problems = GrowthProblems::default();
        let mut grown = newer.clone();
        grown.features = self.features.clone();
        for feature in &mut grown.features {
            let path = ["features", &*feature.name];
            let Some(id) = newer.feature_id(&feature.name) else {
                problems.removed(&path, format!("feature `{}` would be removed", feature.name));
                continue;
            };
            let newer = newer.feature(id);
            match feature.kind.grown(&newer.kind, feature.field.map(Field::bits)) {
                Ok(kind) => feature.kind = kind,
                Err(why) => problems.changed(&path, format!("feature `{}`: {why}", feature.name)),
            }
            feature.description.clone_from(&newer.description);
        }
        let added = newer.features.iter().filter(|f| self.feature_id(&f.name).is_none());
        grown.features.extend(added.map(|f| Feature { field: None, cells: None, ..f.clone() }));
        if let Err(problem) = grown.lay_out() {
            problems.note(&[], problem);
        }
        if let Some(feature) = self.features.iter().find(|feature| feature.cells.is_some())
            && self.zone != newer.zone
        {
            let zone = |schema: &Schema| schema.zone.iana_name().unwrap_or("UTC").to_owned();
            let detail = format!(
                "`timezone` cannot change from {} to {}: `{}` and other features computed from events may depend on it",
                zone(self),
                zone(newer),
                feature.name
            );
            problems.changed(&["timezone"], detail);
        }
        problems.declared(&["context"], &self.context, &newer.context, "context field");
        problems.declared(&["offer_attributes"], &self.attributes, &newer.attributes, "offer attribute");
        for old in &self.events {
            match newer.events.iter().find(|new| new.name == old.name) {
                None => {
                    problems
                        .removed(&["events", &old.name], format!("event `{}` would be removed", old.name));
                }
                Some(new) => {
                    let what = format!("event `{}`, property", old.name);
                    let path = ["events", &*old.name, "properties"];
                    problems.declared(&path, &old.properties, &new.properties, &what);
                }
            }
        }
        problems.placed(&newer.text).or(grown)
    }
}
