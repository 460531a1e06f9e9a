//! How features are computed from events, as a schema declares it.

use super::Kind;
use super::kind::TOO_WIDE;
use crate::input::origin::Origin;

/// What a feature computes, and from which events.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed {
    /// How the events are put together.
    pub function: Function,
    /// The name of the event type that it is computed from.
    pub event: Box<str>,
    /// The property that it is computed from, with its kind; `None` if it needs only the event itself.
    pub property: Option<(Box<str>, Box<Kind>)>,
    /// Only events for which this condition over their properties is true count.
    pub when: Option<When>,
    /// How many seconds it looks back; `None` for ever.
    pub window_seconds: Option<u32>,
    /// How many buckets a window is cut into, where it is cut.
    pub buckets: u8,
    /// The period that a streak counts. For distinct values it says that days are counted.
    pub per: Option<Period>,
    /// The kind of the values that it gives.
    pub result: Box<Kind>,
}

/// A condition over an event's properties, as written. It is compiled where events are taken in. Two are
/// equal if their texts are.
#[derive(Debug, Clone)]
pub struct When {
    /// The condition's text, in CEL.
    pub text: Box<str>,
    /// Where the text stands in the schema.
    pub origin: Origin,
}

impl PartialEq for When {
    fn eq(&self, other: &When) -> bool {
        self.text == other.text
    }
}

/// A period of the calendar, in the schema's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day, from midnight to midnight.
    Day,
    /// A week, from Monday to Sunday.
    Week,
}

/// How events are put together into one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How many events there were.
    Count,
    /// The sum of a property.
    Sum,
    /// The largest value of a property.
    Max,
    /// The smallest value of a property.
    Min,
    /// The number of different values of a property, or of days.
    Distinct,
    /// The newest event: its time, or its property.
    Last,
    /// The oldest event: its time, or its property.
    First,
    /// The number of consecutive days or weeks with at least one event.
    Streak,
    /// The number of days since the newest event.
    Recency,
}

impl Computed {
    /// The same over a property that has grown. Nothing else may change, because what was counted cannot be
    /// counted again.
    pub(super) fn grown(&self, newer: &Computed) -> Result<Computed, String> {
        let property = match (&self.property, &newer.property) {
            (Some((name, old)), Some((_, new))) => {
                let kind = old.grown(new, Some(64)).map_err(|why| format!("property `{name}`: {why}"))?;
                Some((name.clone(), Box::new(kind)))
            }
            _ => self.property.clone(),
        };
        let grown = Computed { property, result: newer.result.clone(), ..self.clone() };
        if grown != *newer {
            Err("how it is computed cannot change".into())
        } else if (grown.words(), grown.is_exact()) != (self.words(), self.is_exact()) {
            Err(TOO_WIDE.into())
        } else {
            Ok(grown)
        }
    }
}

impl Function {
    /// All functions, with their names in a schema.
    pub const ALL: [(&'static str, Function); 9] = [
        ("count", Function::Count),
        ("sum", Function::Sum),
        ("max", Function::Max),
        ("min", Function::Min),
        ("distinct", Function::Distinct),
        ("last", Function::Last),
        ("first", Function::First),
        ("streak", Function::Streak),
        ("recency", Function::Recency),
    ];

    /// Its name in a schema.
    pub fn name(self) -> &'static str {
        Function::ALL.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }
}
