//! Golden decisions: requests with the answers that must come out, kept beside the rule sets they are about.

use std::sync::Arc;

use crate::customer::contact::{Contact, MAX_CONTACTS};
use crate::customer::id;
use crate::customer::outcome::OutcomeKind;
use crate::customer::row::Row;
use crate::customer::update::{Change, read_fields};
use crate::decide::{Decision, MAX_PLACEMENTS, NoBudgets, NoLessons, Request, Shown, Stop, decide};
use crate::engine::{Engine, PlacementId};
use crate::input::cursor::Cursor;
use crate::input::document::Input;
use crate::input::problem::{Place, Problem, Problems, Source, quoted};
use crate::intake::computed::Intake;
use crate::rules::rule_set::Locale;
use crate::rules::rule_set::MAX_COUNT;
use crate::schema::context::Context;
use crate::schema::value::{Time, Value};
use crate::schema::vector::FeatureVector;
use crate::schema::{ChannelId, ContextId, Kind, Schema};

/// The decisions of one `golden.yaml`.
#[derive(Debug, Default)]
pub struct Golden {
    /// In the order written.
    pub cases: Vec<Case>,
}

/// One decision that must come out.
#[derive(Debug)]
pub struct Case {
    /// What it shows, for people.
    pub name: Box<str>,
    /// When it is decided.
    pub now: Time,
    /// The customer's id, which tells the arms of experiments; the case's name unless it says one.
    pub id: Box<str>,
    /// The customer's features, what happened included; empty for an unknown customer.
    pub row: Row,
    /// What the customer was shown and did before.
    pub contacts: Vec<PastContact>,
    /// On which channel.
    pub channel: ChannelId,
    /// Placement names, with the count if the request says one.
    pub placements: Vec<(Box<str>, Option<usize>)>,
    /// The request's locale.
    pub locale: Option<Locale>,
    /// The request's context.
    pub context: Vec<(ContextId, Value<'static>)>,
    /// What must come out.
    pub expected: Vec<Expected>,
    source: Arc<Source>,
    place: Option<Place>,
}

/// What a customer was shown or did before a decision.
#[derive(Debug)]
pub struct PastContact {
    /// Which offer.
    pub offer: Box<str>,
    /// Where.
    pub placement: Box<str>,
    /// On which channel.
    pub channel: Box<str>,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// When.
    pub at: Time,
    place: Option<Place>,
}

/// What one placement must show.
#[derive(Debug)]
pub struct Expected {
    /// Its name.
    pub placement: Box<str>,
    /// The fallback, or offers that survived.
    pub fallback: bool,
    /// Offers, best first.
    pub offers: Vec<Box<str>>,
    /// Their treatments, if they matter.
    pub treatments: Option<Vec<Box<str>>>,
    place: Option<Place>,
}

impl Golden {
    /// Reads `golden.yaml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line and column.
    pub fn parse(file: &str, text: &str, schema: &Arc<Schema>) -> Result<Golden, Problems> {
        let source = Arc::new(Source { name: file.into(), text: text.into() });
        let input = Input::from_yaml(&source)?;
        let intake = Intake::compile(schema)?;
        let mut problems = Problems::new();
        let root = Cursor::root(&input, Some(&source));
        let items = root.items(&mut problems);
        let mut cases = Vec::new();
        for item in items.into_iter().flatten() {
            cases.extend(read_case(&item, &source, schema, &intake, &mut problems));
        }
        problems.or(Golden { cases })
    }

    /// Decides every case and compares; a problem for each that came out otherwise.
    pub fn check(&self, engine: &Engine) -> Problems {
        let mut problems = Problems::new();
        for case in &self.cases {
            case.check(engine, &mut problems);
        }
        problems
    }
}

impl Case {
    /// The number and count of each placement asked for.
    ///
    /// # Errors
    /// The first placement that the engine does not have, or not on this channel.
    pub fn resolve(&self, engine: &Engine) -> Result<Vec<(PlacementId, usize)>, Problem> {
        let resolve = |(name, count): &(Box<str>, Option<usize>)| {
            let id = engine.placement_on(name, Some(self.channel)).map_err(|problem| Problem {
                hint: problem.hint,
                ..self.problem(self.place, format!("{}: {}", self.name, problem.detail))
            })?;
            Ok((id, count.unwrap_or(engine.placements()[id.0 as usize].count)))
        };
        self.placements.iter().map(resolve).collect()
    }

    /// The contacts as an engine numbers them, oldest first.
    ///
    /// # Errors
    /// The first one whose offer or place the engine does not know.
    pub fn history(&self, engine: &Engine) -> Result<Vec<u64>, Problem> {
        let catalogue = &engine.catalogue;
        let unknown = |past: &PastContact, what: String| {
            self.problem(past.place, format!("{}: no active rule set knows {what}", self.name))
        };
        let number = |past: &PastContact| {
            let offer = catalogue.offer_number(&past.offer);
            let offer = offer.ok_or_else(|| unknown(past, format!("an offer `{}`", past.offer)))?;
            let place = catalogue.place_number(&past.placement, &past.channel).ok_or_else(|| {
                unknown(past, format!("a placement `{}` on channel `{}`", past.placement, past.channel))
            })?;
            Ok(Contact::new(offer, place, past.outcome, past.at.stored_seconds()).word())
        };
        let mut contacts: Vec<u64> = self.contacts.iter().map(number).collect::<Result<_, Problem>>()?;
        contacts.sort_unstable();
        Ok(contacts)
    }

    /// The request, for placements that [`Case::resolve`] and contacts that [`Case::history`] found.
    pub fn request<'a>(
        &'a self,
        placements: &'a [(PlacementId, usize)],
        contacts: &'a [u64],
        explain: bool,
    ) -> Request<'a> {
        let mut context = Context::default();
        for (field, value) in &self.context {
            context.set(*field, value.clone());
        }
        Request {
            customer: &self.id,
            channel: self.channel,
            placements,
            locale: self.locale.as_ref(),
            context,
            contacts,
            budgets: &NoBudgets,
            lessons: &NoLessons,
            seed: 0,
            explain,
            overdue: None,
        }
    }

    /// Decides.
    ///
    /// # Errors
    /// As [`Case::resolve`] and [`Case::history`].
    pub fn decide<'e>(&self, engine: &'e Engine, explain: bool) -> Result<Decision<'e>, Problem> {
        let placements = self.resolve(engine)?;
        let contacts = self.history(engine)?;
        let request = self.request(&placements, &contacts, explain);
        Ok(decide(engine, FeatureVector::new(&self.row), &request, self.now))
    }

    fn check(&self, engine: &Engine, problems: &mut Problems) {
        let decision = match self.decide(engine, true) {
            Ok(decision) => decision,
            Err(problem) => return problems.push(problem),
        };
        for expected in &self.expected {
            let shown = decision.placements.iter().find(|shown| *shown.placement.name == *expected.placement);
            match shown {
                Some(shown) if expected.is_met_by(shown) => {}
                Some(shown) => problems.push(self.mismatch(expected, shown)),
                None => problems.push(self.problem(
                    expected.place,
                    format!("{}: `{}` is expected but not asked for", self.name, expected.placement),
                )),
            }
        }
    }

    fn mismatch(&self, expected: &Expected, shown: &Shown<'_>) -> Problem {
        let detail =
            format!("{}: expected {}, got {}", self.name, expected.describe(), describe(shown, expected));
        let problem = self.problem(expected.place, detail);
        let reasons: Vec<String> = expected.offers.iter().filter_map(|offer| why_not(offer, shown)).collect();
        if reasons.is_empty() { problem } else { problem.hint(reasons.join("\n  = ")) }
    }

    fn problem(&self, place: Option<Place>, detail: String) -> Problem {
        Problem { place, source: Some(Arc::clone(&self.source)), ..Problem::new(detail) }
    }
}

impl Expected {
    fn is_met_by(&self, shown: &Shown<'_>) -> bool {
        let offers = shown.propositions.iter().map(|p| &*p.offer.name).eq(self.offers.iter().map(|o| &**o));
        let treatments = self.treatments.as_ref();
        let treatments = treatments.is_none_or(|wanted| {
            shown.propositions.iter().map(|p| &*p.treatment.name).eq(wanted.iter().map(|t| &**t))
        });
        shown.fallback == self.fallback && offers && treatments
    }

    fn describe(&self) -> String {
        let treatments = self.treatments.as_ref().map(|t| t.iter().map(|t| &**t).collect::<Vec<_>>());
        describe_list(
            self.fallback,
            &self.offers.iter().map(|o| &**o).collect::<Vec<_>>(),
            treatments.as_deref(),
        )
    }
}

fn describe(shown: &Shown<'_>, expected: &Expected) -> String {
    let offers: Vec<&str> = shown.propositions.iter().map(|p| &*p.offer.name).collect();
    let treatments: Vec<&str> = shown.propositions.iter().map(|p| &*p.treatment.name).collect();
    describe_list(shown.fallback, &offers, expected.treatments.as_ref().map(|_| &treatments[..]))
}

fn describe_list(fallback: bool, offers: &[&str], treatments: Option<&[&str]>) -> String {
    let kind = if fallback { "the fallback " } else { "" };
    let offers = if offers.is_empty() { "nothing".to_owned() } else { offers.join(", ") };
    match treatments {
        Some(treatments) => format!("{kind}{offers} as {}", treatments.join(", ")),
        None => format!("{kind}{offers}"),
    }
}

/// Why an expected offer is not shown, in one line.
fn why_not(offer: &str, shown: &Shown<'_>) -> Option<String> {
    if shown.propositions.iter().any(|p| &*p.offer.name == offer) {
        return None;
    }
    match shown.explanations.iter().find(|e| &*e.offer.name == offer) {
        Some(explanation) => {
            explanation.stopped_by.as_ref().map(|stop| format!("{offer}: {}", describe_stop(stop)))
        }
        None => Some(format!("{offer} is not an offer of {}", shown.placement.name)),
    }
}

/// What stopped an offer, in one line: the kind, the condition with its line, the values it saw.
fn describe_stop(stop: &Stop<'_>) -> String {
    let mut text = format!("stopped by {}", stop.kind.name());
    if !stop.name.is_empty() {
        text.push_str(&format!(" {}", stop.name));
    }
    if let Some(condition) = stop.condition {
        text.push_str(&format!(": {condition}"));
    }
    if let Some(count) = stop.count {
        text.push_str(&format!(": counted {count}, at most {}", stop.max.unwrap_or(0)));
    }
    if let Some(line) = stop.line {
        text.push_str(&format!(" (line {line})"));
    }
    let values: Vec<String> =
        stop.values.iter().map(|(read, value)| format!("{read} is {}", read.given(value))).collect();
    if !values.is_empty() {
        text.push_str(&format!(" with {}", values.join(", ")));
    }
    text
}

fn read_case(
    cursor: &Cursor<'_, '_>,
    source: &Arc<Source>,
    schema: &Schema,
    intake: &Intake,
    problems: &mut Problems,
) -> Option<Case> {
    let known = ["name", "now", "id", "customer", "events", "contacts", "request", "expect"];
    let object = cursor.object(&known, problems)?;
    let name = object.required("name", problems).and_then(|c| c.text(problems));
    let id = object.get("id").and_then(|c| read_id(c, problems));
    let now = object.required("now", problems).and_then(|c| read_time(c, problems));
    let features = match object.given("customer") {
        Some(cursor) if cursor.is_null() => Some(None),
        Some(cursor) => Some(Some(read_fields(cursor, schema, None, problems))),
        None => {
            object.required("customer", problems);
            None
        }
    };
    let mut events = Vec::new();
    for item in object.get("events").and_then(|cursor| cursor.items(problems)).into_iter().flatten() {
        events.extend(read_event(&item, schema, now, problems));
    }
    let request = object.required("request", problems).and_then(|c| read_request(c, schema, problems));
    let expected = object.required("expect", problems).and_then(|c| read_expected(c, problems));
    let contacts = object.get("contacts").map(|c| read_contacts(c, now, problems)).unwrap_or_default();
    let ((channel, placements, locale, context), expected) = (request?, expected?);
    let mut row = Row::new();
    if let Some(features) = features? {
        Change::Replace(features).apply(schema, &mut row);
    }
    for (event, at, properties) in events {
        row.resize(row.len().max(schema.row_words()), 0);
        for (feature, code) in intake.facts(event, at, &properties) {
            schema.take(feature, &mut row, at, code);
        }
    }
    let name = name?;
    Some(Case {
        name: name.into(),
        id: id.unwrap_or(name).into(),
        now: now?,
        row,
        contacts,
        channel,
        placements,
        locale,
        context,
        expected,
        source: Arc::clone(source),
        place: cursor.input.place,
    })
}

fn read_id<'n>(cursor: &Cursor<'_, 'n>, problems: &mut Problems) -> Option<&'n str> {
    let id = cursor.text(problems)?;
    id::check(id).map_err(|why| problems.push(cursor.problem(why))).ok()?;
    Some(id)
}

fn read_contacts(cursor: &Cursor<'_, '_>, now: Option<Time>, problems: &mut Problems) -> Vec<PastContact> {
    let mut contacts = Vec::new();
    let Some(items) = cursor.items(problems) else { return contacts };
    if items.len() > MAX_CONTACTS {
        let detail = format!("expected at most {MAX_CONTACTS} contacts, found {}", items.len());
        problems.push(cursor.problem(detail));
        return contacts;
    }
    for item in items {
        contacts.extend(read_contact(&item, now, problems));
    }
    contacts
}

fn read_contact(cursor: &Cursor<'_, '_>, now: Option<Time>, problems: &mut Problems) -> Option<PastContact> {
    let object = cursor.object(&["offer", "placement", "channel", "outcome", "at"], problems)?;
    let mut name = |field: &str| object.required(field, problems).and_then(|c| c.text(problems));
    let (offer, placement, channel) = (name("offer"), name("placement"), name("channel"));
    let outcome = object.required("outcome", problems).and_then(|c| {
        let text = c.text(problems)?;
        let found = OutcomeKind::of_name(text);
        if found.is_none() {
            let names = OutcomeKind::ALL.map(OutcomeKind::name).join(", ");
            problems.push(c.problem(format!("expected one of {names}, found {}", quoted(text))));
        }
        found
    });
    let at = object.required("at", problems).and_then(|c| {
        let at = read_time(c, problems)?;
        if now.is_some_and(|now| at > now) {
            problems.push(c.problem("it is after the decision: `at` is later than `now`"));
        }
        Some(at)
    });
    Some(PastContact {
        offer: offer?.into(),
        placement: placement?.into(),
        channel: channel?.into(),
        outcome: outcome?,
        at: at?,
        place: cursor.input.place,
    })
}

/// Its type, when it was in seconds since 1970, its properties.
type Happened = (usize, u32, Vec<(usize, Value<'static>)>);

fn read_event(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    now: Option<Time>,
    problems: &mut Problems,
) -> Option<Happened> {
    let object = cursor.object(&["type", "at", "properties"], problems)?;
    let event = object.required("type", problems).and_then(|c| read_type(c, schema, problems));
    let at = object.required("at", problems).and_then(|c| read_moment(c, now, problems));
    let event = event?;
    let mut properties = Vec::new();
    let given = object.get("properties").and_then(|cursor| cursor.entries(problems));
    for (name, cursor) in given.into_iter().flatten() {
        let declared = &schema.events()[event];
        let id = match declared.find_property(name) {
            Ok(id) => id,
            Err(problem) => {
                problems.push(cursor.key_placed(problem));
                continue;
            }
        };
        match declared.properties[id].kind.read(&cursor.input.value) {
            Ok(value) => properties.push((id, value.into_owned())),
            Err(why) => problems.push(cursor.problem(format!("`{name}`: {why}"))),
        }
    }
    Some((event, at?, properties))
}

fn read_type(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<usize> {
    let found = schema.find_event(cursor.text(problems)?);
    found.map_err(|problem| problems.push(cursor.placed(problem))).ok()
}

/// When an event was: before it is decided.
fn read_moment(cursor: &Cursor<'_, '_>, now: Option<Time>, problems: &mut Problems) -> Option<u32> {
    let at = match Kind::Time.read(&cursor.input.value) {
        Ok(Value::Time(at)) => at,
        Ok(_) => return None,
        Err(why) => {
            problems.push(cursor.problem(why));
            return None;
        }
    };
    if now.is_some_and(|now| at > now) {
        problems.push(cursor.problem("this event is after `now`"));
    }
    u32::try_from(at.seconds()).ok()
}

fn read_time(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Time> {
    let text = cursor.text(problems)?;
    let time = Time::parse(text);
    if time.is_none() {
        let expected = "a time such as 2026-11-21T10:00:00+08:00";
        problems.push(cursor.problem(format!("expected {expected}, found {}", quoted(text))));
    }
    time
}

type ReadRequest =
    (ChannelId, Vec<(Box<str>, Option<usize>)>, Option<Locale>, Vec<(ContextId, Value<'static>)>);

fn read_request(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<ReadRequest> {
    let object = cursor.object(&["channel", "placements", "locale", "context"], problems)?;
    let channel = object.required("channel", problems).and_then(|c| read_channel(c, schema, problems));
    let placements = object.required("placements", problems).and_then(|c| read_placements(c, problems));
    let locale = object.get("locale").and_then(|c| read_locale(c, problems));
    let context = match object.get("context") {
        Some(cursor) => read_context(cursor, schema, problems)?,
        None => Vec::new(),
    };
    Some((channel?, placements?, locale, context))
}

fn read_locale(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Locale> {
    Locale::new(cursor.text(problems)?).map_err(|why| problems.push(cursor.problem(why))).ok()
}

fn read_channel(cursor: &Cursor<'_, '_>, schema: &Schema, problems: &mut Problems) -> Option<ChannelId> {
    let found = schema.find_channel(cursor.text(problems)?);
    found.map_err(|problem| problems.push(cursor.placed(problem))).ok()
}

fn read_placements(
    cursor: &Cursor<'_, '_>,
    problems: &mut Problems,
) -> Option<Vec<(Box<str>, Option<usize>)>> {
    let mut placements = Vec::new();
    for item in cursor.items(problems)? {
        let Some(object) = item.object(&["id", "count"], problems) else { continue };
        let Some(id) = object.required("id", problems).and_then(|c| c.text(problems)) else { continue };
        let count = object.get("count").and_then(|c| c.integer(1, MAX_COUNT as i64, problems));
        placements.push((id.into(), count.map(|count| count as usize)));
    }
    if placements.is_empty() || placements.len() > MAX_PLACEMENTS {
        problems.push(
            cursor.problem(format!("expected 1 to {MAX_PLACEMENTS} placements, found {}", placements.len())),
        );
    }
    Some(placements)
}

fn read_context(
    cursor: &Cursor<'_, '_>,
    schema: &Schema,
    problems: &mut Problems,
) -> Option<Vec<(ContextId, Value<'static>)>> {
    let mut context = Vec::new();
    for (name, cursor) in cursor.entries(problems)? {
        let found = schema.find_context(name);
        let Some(id) = found.map_err(|problem| problems.push(cursor.key_placed(problem))).ok() else {
            continue;
        };
        match schema.context()[usize::from(id.0)].kind.read(&cursor.input.value) {
            Ok(value) => context.push((id, value.into_owned())),
            Err(why) => problems.push(cursor.problem(format!("`{name}`: {why}"))),
        }
    }
    Some(context)
}

fn read_expected(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Option<Vec<Expected>> {
    let mut expected = Vec::new();
    for (placement, cursor) in cursor.entries(problems)? {
        let Some(object) = cursor.object(&["offers", "treatments", "fallback"], problems) else { continue };
        let fallback = object.get("fallback").and_then(|c| c.text(problems));
        let offers = match (fallback, object.get("offers")) {
            (Some(fallback), None) => vec![fallback.into()],
            (None, Some(offers)) => read_names(offers, problems),
            _ => {
                problems.push(cursor.problem("expected either `offers` or `fallback`"));
                continue;
            }
        };
        let treatments = object.get("treatments").map(|c| read_names(c, problems));
        let place = cursor.input.place;
        expected.push(Expected {
            placement: placement.into(),
            fallback: fallback.is_some(),
            offers,
            treatments,
            place,
        });
    }
    Some(expected)
}

fn read_names(cursor: &Cursor<'_, '_>, problems: &mut Problems) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for item in cursor.items(problems).into_iter().flatten() {
        names.extend(item.text(problems).map(Box::from));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "
schema: s
features:
  age: {kind: int, min: 0, max: 120}
  views: {kind: count, event: view, when: page == 'fx', window: 7d}
events:
  view: {properties: {page: {kind: string}, seconds: {kind: int, min: 0, max: 9}}}
";

    fn parse(customer: &str, events: &str) -> Result<Golden, Problems> {
        let schema = Arc::new(Schema::parse("schema.yaml", SCHEMA).unwrap());
        let text = format!(
            "- name: n\n  now: 2026-11-21T10:00:00Z\n  customer: {customer}\n  events: {events}\n  \
             request: {{channel: app, placements: [{{id: slot}}]}}\n  expect: {{slot: {{offers: [a]}}}}\n"
        );
        Golden::parse("golden.yaml", &text, &schema)
    }

    #[test]
    fn what_happened_is_in_the_row_of_a_case() {
        let schema = Schema::parse("schema.yaml", SCHEMA).unwrap();
        let events = "[{type: view, at: 2026-11-20, properties: {page: fx}}, {type: view, at: 2026-11-20, properties: {page: fund}}, \
                      {type: click, at: 2026-11-20}]";
        for (customer, age) in [("null", "missing"), ("{age: 7}", "7")] {
            let golden = parse(customer, events).unwrap();
            let case = &golden.cases[0];
            let vector = FeatureVector::new(&case.row);
            let read = |name| vector.get(&schema, schema.feature_id(name).unwrap(), case.now).to_string();
            assert_eq!([read("age"), read("views")], [age, "1"]);
        }
        assert!(parse("null", "[]").unwrap().cases[0].row.is_empty(), "nobody");
    }

    #[test]
    fn what_cannot_have_happened_is_pointed_at() {
        for (customer, events, expected) in [
            ("null", "[{type: vew, at: 2026-11-20}]", "golden.yaml:4:19: unknown event \"vew\""),
            ("null", "[{type: view, at: 2026-11-22}]", "4:29: this event is after `now`"),
            ("null", "[{type: view, at: soon}]", "4:29: expected a time from 1970 to 2106"),
            ("null", "[{type: view}]", "`at` is missing"),
            ("null", "[{type: view, at: 2026-11-20, properties: {pge: fx}}]", "did you mean `page`?"),
            (
                "null",
                "[{type: view, at: 2026-11-20, properties: {seconds: 10}}]",
                "`seconds`: expected a whole number",
            ),
            ("{views: 3}", "[]", "`views` is computed from events and cannot be set"),
        ] {
            let problems = parse(customer, events).unwrap_err().to_string();
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
