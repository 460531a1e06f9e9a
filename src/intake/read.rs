//! An event as it was sent, checked: names become numbers, the schema types the properties, and a token is
//! believed only if it was signed here.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::computed::Intake;
use super::token::{Proposed, Token, Tokens};
use crate::customer::event::{Event, MAX_AHEAD_S, MAX_LATE_S};
use crate::customer::id::CustomerId;
use crate::customer::numbers::{ArmNumber, OfferNumber, PlaceNumber};
use crate::customer::outcome::Outcome;
use crate::customer::outcome::OutcomeKind;
use crate::customer::update::{Change, Update};
use crate::engine::{Engine, Offer};
use crate::input::cursor::{Cursor, Object};
use crate::input::problem::{Problem, Problems, quoted};
use crate::schema::span;
use crate::schema::value::{Time, Value};

const FIELDS: [&str; 9] =
    ["id", "type", "customer", "token", "offer", "placement", "channel", "at", "properties"];
/// The most bytes that an event's id may have.
const MAX_ID_BYTES: usize = 64;
/// The largest amount that an outcome may be worth, gained or lost.
const MAX_VALUE: f64 = 1e12;

/// Reads events against one engine.
pub struct EventReader<'r> {
    /// The engine whose names count.
    pub engine: &'r Engine,
    /// What computed features take from events, from the same schema.
    pub intake: &'r Intake,
    /// What checks tokens, and how long a token is accepted.
    pub tokens: &'r Tokens,
    /// The time at which the event was received.
    pub now: Time,
}

/// What an outcome belongs to, as far as the sender says.
struct Subject {
    offer: OfferNumber,
    place: PlaceNumber,
    arms: Vec<ArmNumber>,
    nonce: u64,
    decided: u32,
    segment: u8,
}

impl EventReader<'_> {
    /// The event at this place, as a change to its customer.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn event(&self, at: &Cursor<'_, '_>) -> Result<Update, Problems> {
        let mut problems = Problems::new();
        let update = self.read(at, &mut problems);
        match update {
            Some(update) => problems.or(update),
            None => Err(problems),
        }
    }

    fn read(&self, at: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Update> {
        let object = at.object(&FIELDS, problems)?;
        let customer = customer(&object, problems);
        let id = id(&object, customer.as_ref(), problems)?;
        let received = self.now.stored_seconds();
        let when = self.when(&object, received, problems)?;
        let type_name = object.required("type", problems)?;
        let name = type_name.text(problems)?;
        let schema = &self.engine.schema;
        let found = schema.find_event(name).map_err(|problem| problems.push(type_name.placed(problem)));
        let event_type = found.ok()?;
        let mut properties = self.properties(&object, event_type, problems);
        let outcome = match OutcomeKind::of_name(name) {
            Some(kind) => {
                let subject = self.subject(&object, customer.as_ref(), when, problems)?;
                self.describe(event_type, &subject, &mut properties, problems)?;
                Some(Box::new(self.outcome(kind, subject, when, &properties, event_type, problems)?))
            }
            None => {
                for field in ["token", "offer", "placement", "channel"] {
                    if let Some(at) = object.given(field) {
                        let detail = format!("`{field}` belongs to outcomes, and `{name}` is not one");
                        let outcomes = OutcomeKind::ALL.map(OutcomeKind::name).join(", ");
                        problems.push(at.key_problem(detail).hint(format!("outcomes: {outcomes}")));
                    }
                }
                None
            }
        };
        let at = outcome.as_ref().map_or(when, |outcome| self.happened(when, outcome.decided));
        let facts = self.intake.facts(event_type, at, &properties);
        let event = Event { at, received, id, facts, outcome };
        Some(Update { customer: customer?, change: Change::Event(Box::new(event)) })
    }

    /// When the event happened: now, unless it says otherwise. A clock that is a little ahead counts as
    /// now.
    fn when(&self, object: &Object<'_, '_>, received: u32, problems: &mut Problems) -> Option<u32> {
        let Some(at) = object.get("at") else { return Some(received) };
        let text = at.text(problems)?;
        let read = Time::told(text, self.engine.schema.zone());
        let time = read.map_err(|why| {
            problems.push(at.problem(format!("expected a time, found {}: {why}", quoted(text))));
        });
        let time = time.ok()?;
        let ahead = time.seconds() - i64::from(received);
        if ahead > i64::from(MAX_AHEAD_S) {
            let (ahead, most) = (span::told(ahead), span::told(i64::from(MAX_AHEAD_S)));
            let detail = format!("{text} is {ahead} ahead of the server, more than the {most} allowed");
            problems.push(at.problem(detail).hint("set the sender's clock, or leave `at` out"));
            return None;
        }
        if -ahead > i64::from(MAX_LATE_S) {
            let days = MAX_LATE_S / 86_400;
            problems.push(
                at.problem(format!("{text} is more than {days} days ago: no window looks back that far")),
            );
            return None;
        }
        Some((i64::from(received) + ahead.min(0)).max(0) as u32)
    }

    /// The properties that are given, by their index in the declaration.
    fn properties<'n>(
        &self,
        object: &Object<'_, 'n>,
        event_type: usize,
        problems: &mut Problems,
    ) -> Vec<(usize, Value<'n>)> {
        let declared = &self.engine.schema.events()[event_type];
        let mut found = Vec::new();
        let Some(at) = object.get("properties") else { return found };
        for (name, at) in at.entries(problems).unwrap_or_default() {
            if problems.omitted > 0 {
                break; // enough was said, and hints cost time
            }
            let place = match declared.find_property(name) {
                Ok(place) => place,
                Err(problem) => {
                    problems.push(at.key_placed(problem));
                    continue;
                }
            };
            if at.is_null() {
                continue;
            }
            match declared.properties[place].kind.read(&at.input.value, self.engine.schema.zone()) {
                Ok(value) => found.push((place, value)),
                Err(why) => problems.push(at.problem(format!("`{name}`: {why}"))),
            }
        }
        found
    }

    /// What the outcome belongs to: what the token says, or else offer, placement and channel.
    fn subject(
        &self,
        object: &Object<'_, '_>,
        customer: Option<&CustomerId>,
        when: u32,
        problems: &mut Problems,
    ) -> Option<Subject> {
        let Some(at) = object.get("token") else { return self.named(object, when, problems) };
        for field in ["offer", "placement", "channel"] {
            if let Some(at) = object.given(field) {
                problems.push(at.key_problem(format!("the token already says the `{field}`: leave it out")));
            }
        }
        let text = at.text(problems)?;
        let Tokens { keys, life } = self.tokens;
        let checked = keys.check(text, customer?.as_str(), self.now.stored_seconds(), *life);
        let checked = checked.map_err(|wrong| problems.push(at.problem(wrong.to_string())));
        let Token { decided, nonce, proposed } = checked.ok()?;
        let Proposed { offer, place, arms, segment, .. } = proposed;
        let catalogue = &self.engine.catalogue;
        let (offer, place) = (OfferNumber(offer), PlaceNumber(place));
        if catalogue.offer(offer).is_none() || catalogue.place(place).is_none() {
            problems.push(at.problem("the token names an offer or place that this server never had"));
            return None;
        }
        Some(Subject {
            offer,
            place,
            arms: arms.into_iter().map(ArmNumber).collect(),
            nonce,
            decided,
            segment,
        })
    }

    fn named(&self, object: &Object<'_, '_>, when: u32, problems: &mut Problems) -> Option<Subject> {
        let mut text =
            |field: &str| {
                let Some(at) = object.get(field) else {
                    let detail = format!("`{field}` is missing");
                    let problem = object.cursor().problem(detail);
                    problems.push(problem.hint(
                        "an outcome has the proposition's `token`, or `offer`, `placement` and `channel`",
                    ));
                    return None;
                };
                Some((at, at.text(problems)?))
            };
        let (offer, placement, channel) = (text("offer"), text("placement"), text("channel"));
        let ((offer_at, offer), (placement_at, placement), (channel_at, channel)) =
            (offer?, placement?, channel?);
        let offer = self.offer_named(offer).map_err(|problem| problems.push(offer_at.placed(problem)));
        let on = self.engine.schema.find_channel(channel);
        let on = on.map_err(|problem| problems.push(channel_at.placed(problem))).ok()?;
        let here = self.engine.placement_on(placement, Some(on));
        let here = here.map_err(|problem| problems.push(placement_at.placed(problem))).ok()?;
        let (offer, place) = (offer.ok()?, self.engine.placement(here).place(on)?);
        if !offer.treatments.iter().any(|treatment| treatment.placement == here) {
            let problem = Problem::new(format!(
                "offer `{}` is never shown on placement `{placement}`: it has no treatment there",
                offer.name
            ));
            let shown: BTreeSet<&str> =
                offer.treatments.iter().map(|at| &*self.engine.placement(at.placement).name).collect();
            let shown: Vec<&str> = shown.into_iter().collect();
            problems.push(placement_at.placed(problem.hint(format!("it is shown on {}", shown.join(", ")))));
            return None;
        }
        let offer = offer.number;
        Some(Subject { offer, place, arms: Vec::new(), nonce: 0, decided: when, segment: 0 })
    }

    /// The offer of this name, which an active rule set must have: without a token nothing else tells that it
    /// was ever shown.
    fn offer_named(&self, name: &str) -> Result<&Offer, Problem> {
        let engine = self.engine;
        match engine.catalogue.offer_number(name) {
            Some(number) => engine.offer_id(number).map(|id| engine.offer(id)).ok_or_else(|| {
                let problem = Problem::new(format!("no active rule set has offer {} any more", quoted(name)));
                problem
                    .hint("send the proposition's `token` instead of names: it is taken as long as it lives")
            }),
            None => {
                let problem = Problem::new(format!("unknown offer {}", quoted(name)));
                Err(problem.nearest(name, engine.offers().iter().map(|offer| &*offer.name)))
            }
        }
    }

    /// Gives an outcome the properties that every outcome has, for computed features. What the sender says of
    /// them must be what the outcome belongs to.
    fn describe(
        &self,
        event_type: usize,
        subject: &Subject,
        properties: &mut Vec<(usize, Value<'_>)>,
        problems: &mut Problems,
    ) -> Option<()> {
        let Engine { schema, catalogue, .. } = self.engine;
        let declared = &schema.events()[event_type];
        let place = catalogue.place(subject.place);
        let offer = catalogue.offer(subject.offer).map(|offer| &*offer.name);
        let placement = place.and_then(|place| catalogue.placements.name(place.placement));
        let channel = place.and_then(|place| catalogue.channels.name(place.channel));
        for (name, known) in [("offer", offer), ("placement", placement), ("channel", channel)] {
            let (Some(property), Some(known)) = (declared.property_id(name), known) else { continue };
            match properties.iter().find(|(given, _)| *given == property).map(|(_, value)| value) {
                None => properties.push((property, Value::Text(known.to_owned().into()))),
                Some(Value::Text(said)) if *said == *known => {}
                Some(_) => {
                    let detail = format!("`{name}`: the outcome is of {}", quoted(known));
                    let pointer = format!("/properties/{name}");
                    let problem = Problem { pointer, ..Problem::new(detail) };
                    problems.push(problem.hint("leave it out of `properties`: Usher knows it"));
                    return None;
                }
            }
        }
        Some(())
    }

    /// When an outcome happened that says so itself: not before it was decided, and not in the future, where
    /// the clock of another node may be.
    fn happened(&self, when: u32, decided: u32) -> u32 {
        when.max(decided).min(self.now.stored_seconds())
    }

    fn outcome(
        &self,
        kind: OutcomeKind,
        subject: Subject,
        when: u32,
        properties: &[(usize, Value<'_>)],
        event_type: usize,
        problems: &mut Problems,
    ) -> Option<Outcome> {
        let Subject { offer, place, arms, nonce, decided, segment } = subject;
        let declared = &self.engine.schema.events()[event_type].properties;
        let worth = declared.iter().position(|property| &*property.name == "value");
        let worth = properties.iter().find(|(place, _)| Some(*place) == worth);
        let value = worth.and_then(|(_, value)| value.number()).unwrap_or(0.0);
        if value.abs() > MAX_VALUE {
            problems.push(Problem::new(format!(
                "`value`: expected a number from -{MAX_VALUE:e} to {MAX_VALUE:e}, found {value}"
            )));
            return None;
        }
        // An impression uses up the place that the decision held, any other outcome one of its own day.
        let held = nonce != 0 && kind == OutcomeKind::Impression;
        let day_of = if held { decided } else { self.happened(when, decided) };
        let day_of = Time::from_seconds(i64::from(day_of));
        let budgets = self.engine.budget_uses(offer, kind, day_of, self.now).to_vec();
        let known = self.engine.offer_id(offer).map(|id| self.engine.offer(id));
        // Without a token, nobody can tell a second click from a first.
        let lesson = known.filter(|_| nonce != 0).and_then(|offer| offer.lesson(segment));
        let value = (value * 1_000.0).round() as i64;
        Some(Outcome { kind, offer, place, arms, nonce, decided, value, budgets, lesson })
    }
}

fn customer(object: &Object<'_, '_>, problems: &mut Problems) -> Option<CustomerId> {
    let at = object.required("customer", problems)?;
    let text = at.text(problems)?;
    CustomerId::new(text).map_err(|why| problems.push(at.problem(why))).ok()
}

/// The hash of the event's id; 0 without an id. It includes the customer, because devices may number their
/// events alike.
fn id(object: &Object<'_, '_>, customer: Option<&CustomerId>, problems: &mut Problems) -> Option<u64> {
    let Some(at) = object.get("id") else { return Some(0) };
    let text = at.text(problems)?;
    if text.is_empty() || text.len() > MAX_ID_BYTES {
        problems.push(
            at.problem(format!("an event's id has 1 to {MAX_ID_BYTES} bytes; this one has {}", text.len())),
        );
        return None;
    }
    let of = customer.map_or(0, |customer| xxh3_64_with_seed(customer.as_str().as_bytes(), 0));
    Some(xxh3_64_with_seed(text.as_bytes(), of).max(1))
}
