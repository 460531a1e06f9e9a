//! `/v1/customers/{id}`: the features, tags and contacts of one customer.

use crate::customer::budget_place::BudgetPlace;
use crate::customer::contact::Contact;
use crate::customer::earlier::EarlierContacts;
use crate::customer::id;
use crate::customer::id::CustomerId;
use crate::customer::row::{Past, Row};
use crate::customer::update::{Change, Erasure, Update, read_fields};
use crate::engine::Engine;
use crate::expression::{Facts, TagMemo};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode;
use crate::http::wire::encode::Encode;
use crate::http::wire::media;
use crate::http::wire::media::Media;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::input::cursor::Cursor;
use crate::input::problem::{Problem, Problems, quoted};
use crate::rules::catalogue::Catalogue;
use crate::schema::FeatureId;
use crate::schema::context::Context;
use crate::schema::value::{DAY_SECONDS, Time, Value};
use crate::schema::vector::FeatureVector;
use crate::state::store;

/// `GET /v1/customers`: the ids of one part of the customers.
pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [part] = query::known(call.head.target.query(), ["part"])?;
    let mut problems = Problems::new();
    let last = store::PARTS as u64 - 1;
    let part = part.map_or(Some(0), |text| query::integer("part", &text, 0, last, &mut problems));
    let part = problems.or(part)?.unwrap_or(0);
    let ids = call.node.customers().ids(part as usize);
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("part");
        out.unsigned(part);
        out.key("parts");
        out.unsigned(store::PARTS as u64);
        out.key("customers");
        out.list();
        ids.iter().for_each(|id| out.text(id.as_str()));
        out.end_list();
        out.end_map();
    }))
}

/// `GET`: everything that is known of the customer.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [id, _] = call.variables;
    let id = read_known(id)?;
    query::known(call.head.target.query(), [])?;
    let node = call.node;
    let live = node.live();
    let mut row = Row::new();
    if !node.customers().read(id.as_str(), &mut row) {
        return Err(unknown(&id));
    }
    let schema = &live.engine.schema;
    let (vector, now) = (FeatureVector::new(&row), node.now());
    let features = schema
        .features()
        .iter()
        .enumerate()
        .map(|(i, feature)| (&*feature.name, vector.get(schema, FeatureId(i as u16), now)));
    let given: Vec<_> = features.filter(|(_, value)| *value != Value::Missing).collect();
    let tags = tags_of(&live.engine, &row, id.as_str(), now);
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("customer");
        out.text(id.as_str());
        out.key("features");
        out.map();
        for (name, value) in &given {
            out.any_key(name);
            encode::value(out, value);
        }
        out.end_map();
        out.key("tags");
        out.map();
        for (rule_set, names) in &tags {
            out.any_key(rule_set);
            out.list();
            names.iter().for_each(|name| out.text(name));
            out.end_list();
        }
        out.end_map();
        let (past, engine) = (Past::of(&row), &live.engine);
        out.key("contacts");
        write_contacts(out, &engine.catalogue, past.contacts);
        if !past.earlier.is_empty() {
            out.key("earlier_contacts");
            write_earlier(out, &engine.catalogue, past.earlier);
        }
        if !past.budget_places.is_empty() {
            out.key("places");
            write_places(out, engine, past.budget_places);
        }
        out.end_map();
    }))
}

/// The customer's tags by rule set, except those that depend on a request.
fn tags_of<'e>(engine: &'e Engine, row: &[u64], customer: &str, now: Time) -> Vec<(&'e str, Vec<&'e str>)> {
    let context = Context::default();
    let holding = |set: usize| {
        let tags = &engine.tags[set];
        let mut memo = TagMemo::default();
        memo.clear(tags.len(), engine.experiments.get(set).map_or(0, Vec::len));
        let bare = Facts::of_context(&engine.schema, &context, &memo);
        let facts = Facts { vector: FeatureVector::new(row), customer: Some(customer), now, tags, ..bare };
        tags.iter().filter(|tag| tag.condition.holds(&facts)).map(|tag| &*tag.name).collect::<Vec<_>>()
    };
    let sets = engine.versions.iter().enumerate().map(|(set, (name, _))| (&**name, holding(set)));
    sets.filter(|(_, tags)| !tags.is_empty()).collect()
}

/// Writes contacts by name, oldest first.
fn write_contacts(out: &mut dyn Encode, catalogue: &Catalogue, contacts: &[u64]) {
    out.list();
    for contact in contacts.iter().map(|word| Contact::of_word(*word)) {
        out.map();
        write_subject(out, catalogue, contact);
        write_outcome(out, contact);
        out.end_map();
    }
    out.end_list();
}

/// Writes earlier contacts: those of one offer, place and outcome together, with their number and the time
/// of the latest. Where offer and place are not known any more they are left out.
fn write_earlier(out: &mut dyn Encode, catalogue: &Catalogue, earlier: &[u64]) {
    out.list();
    for EarlierContacts { latest, count, of_any } in EarlierContacts::all(earlier) {
        out.map();
        if !of_any {
            write_subject(out, catalogue, latest);
        }
        write_outcome(out, latest);
        out.key("count");
        out.unsigned(u64::from(count));
        out.end_map();
    }
    out.end_list();
}

/// Writes offer, placement and channel of a contact.
fn write_subject(out: &mut dyn Encode, catalogue: &Catalogue, contact: Contact) {
    let place = catalogue.place(contact.place());
    let placement = place.and_then(|place| catalogue.placements.name(place.placement));
    let channel = place.and_then(|place| catalogue.channels.name(place.channel));
    out.key("offer");
    out.text(catalogue.offer(contact.offer()).map_or("", |offer| &*offer.name));
    out.key("placement");
    out.text(placement.unwrap_or_default());
    out.key("channel");
    out.text(channel.unwrap_or_default());
}

fn write_outcome(out: &mut dyn Encode, contact: Contact) {
    out.key("outcome");
    out.text(contact.kind().name());
    out.key("at");
    out.text(&Time::from_seconds(i64::from(contact.at())).to_string());
}

/// Writes the customer's places in budgets. The names of a budget that no active rule set has are empty.
fn write_places(out: &mut dyn Encode, engine: &Engine, places: &[u64]) {
    out.list();
    for place in BudgetPlace::all(places) {
        let budget = engine.caps.budget_of(place);
        out.map();
        out.key("rule_set");
        out.text(budget.map_or("", |budget| &*budget.rule_set));
        out.key("budget");
        out.text(budget.map_or("", |budget| &*budget.name));
        if place.day != 0 {
            let day = Time::from_seconds(i64::from(place.day) * i64::from(DAY_SECONDS)).to_string();
            out.key("day");
            out.text(day.split('T').next().unwrap_or_default());
        }
        out.end_map();
    }
    out.end_list();
}

/// `PUT`: sets these features and clears the others.
pub(crate) async fn put(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let [id, _] = call.variables;
    write(call, id, body, Change::Replace).await
}

/// `PATCH`: sets these features and keeps the others; `null` clears one.
pub(crate) async fn patch(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let [id, _] = call.variables;
    write(call, id, body, Change::Merge).await
}

async fn write(
    call: &Call<'_>,
    id: &str,
    body: Body<'_>,
    change: fn(Vec<(FeatureId, u64)>) -> Change,
) -> Result<Answer, Refusal> {
    let id = read_id(id)?;
    query::known(call.head.target.query(), [])?;
    let media = media::of_body(call.head, &[Media::Json, Media::MessagePack])?;
    let content = call.body(body).await?;
    let fields = {
        let input = media.document(&content.bytes)?;
        let mut problems = Problems::new();
        let schema = call.node.live().engine.schema.clone();
        let fields = read_fields(&Cursor::root(&input, None), &schema, None, &mut problems);
        problems.or(fields)?
    };
    applied(call, Update { customer: id, change: change(fields) }).await
}

/// `DELETE`: erases the customer. Files keep them until two snapshots are taken.
pub(crate) async fn delete(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [id, _] = call.variables;
    let id = read_known(id)?;
    query::known(call.head.target.query(), [])?;
    if !call.node.customers().contains(id.as_str()) {
        return Err(unknown(&id));
    }
    applied(call, Update { customer: id, change: Change::Erase(Erasure::default()) }).await
}

async fn applied(call: &Call<'_>, update: Update) -> Result<Answer, Refusal> {
    let id = update.customer.clone();
    let sequence = call.node.write(vec![update]).await.map_err(Refusal::unavailable)?;
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("customer");
        out.text(id.as_str());
        out.key("sequence");
        out.unsigned(sequence);
        out.end_map();
    }))
}

fn unknown(id: &CustomerId) -> Refusal {
    if let Err(why) = id::check(id.as_str()) {
        return Refusal::problem(Problem::new(why));
    }
    Refusal::new(ProblemKind::NotFound, format!("there is no customer {}", quoted(id.as_str())))
}

/// Reads the id of a customer who is read or erased. Such a request makes nobody, so an id that earlier
/// releases took will do.
fn read_known(sent: &str) -> Result<CustomerId, Refusal> {
    let id = query::decode(sent).and_then(|text| CustomerId::known(&text));
    id.map_err(|why| Refusal::problem(Problem::new(why)))
}

fn read_id(sent: &str) -> Result<CustomerId, Refusal> {
    let id = query::decode(sent).and_then(|text| CustomerId::new(&text));
    id.map_err(|why| Refusal::problem(Problem::new(why)))
}
