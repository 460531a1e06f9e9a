//! `POST /v1/decisions/preview`: a decision as it would be, at another time, with other features and
//! contacts, or with a draft of a rule set. It holds nothing, counts nothing, signs no token and changes
//! nothing.

use std::sync::Arc;

use bytes::Bytes;

use super::decisions::document;
use super::decisions::document::FIELDS;
use super::decisions::request::DecisionRequest;
use super::decisions::{accepted_languages, no_parameters};
use super::render;
use super::render::Rendered;
use super::rule_sets::refused;
use crate::customer::contact::Contact;
use crate::customer::earlier::EarlierContacts;
use crate::customer::row::{Past, Row};
use crate::customer::update::{Change, read_fields};
use crate::decide::{Request, decide};
use crate::engine::Engine;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::decision_id::DecisionId;
use crate::http::wire::media;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::input::cursor::{Cursor, Object};
use crate::input::document::Input;
use crate::input::problem::Problems;
use crate::intake::past::{Happened, PastContact, read_contacts, read_happened, read_time};
use crate::node::Node;
use crate::node::live::Live;
use crate::rules::rule_set::Languages;
use crate::schema::Schema;
use crate::schema::value::Time;
use crate::schema::vector::FeatureVector;

/// The fields of a preview: its own, and those of a decision request but the last. A preview has no deadline.
const PREVIEW_FIELDS: [&str; OWN_FIELDS.len() + FIELDS.len() - 1] = {
    let mut all = [""; OWN_FIELDS.len() + FIELDS.len() - 1];
    let mut i = 0;
    while i < all.len() {
        all[i] = if i < OWN_FIELDS.len() { OWN_FIELDS[i] } else { FIELDS[i - OWN_FIELDS.len()] };
        i += 1;
    }
    all
};
const OWN_FIELDS: [&str; 5] = ["as_of", "features", "events", "contacts", "rule_set"];

/// What a preview needs on the thread that makes it.
struct Preview {
    node: Arc<Node>,
    body: Bytes,
    media: Media,
    format: Format,
    /// Those of the header.
    languages: Languages,
}

/// A draft that stands for the rule set of its name.
struct DraftRuleSet {
    name: String,
    text: String,
}

/// What is supposed of the customer.
struct Supposed {
    at: Time,
    features: Option<Change>,
    events: Vec<Happened>,
    /// Instead of those that are kept.
    contacts: Option<Vec<PastContact>>,
}

/// Reads the body, has a draft compiled, and decides, all off the threads that answer requests.
pub(crate) async fn post(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let media = media::of_body(call.head, &[Media::Json, Media::MessagePack])?;
    no_parameters(call)?;
    let content = call.body(body).await?;
    let preview = Preview {
        node: Arc::clone(call.node),
        body: content.bytes.clone(),
        media,
        format: call.format,
        languages: accepted_languages(call),
    };
    let failed = |_| Refusal::new(ProblemKind::Internal, "making the preview failed");
    let begun = tokio::task::spawn_blocking(move || preview.begin()).await.map_err(failed)?;
    let (preview, DraftRuleSet { name, text }) = match begun? {
        Begun::Made(answer) => return Ok(answer),
        Begun::Needs(preview, draft) => (preview, draft),
    };
    let before = Arc::clone(&call.node.live().engine.schema);
    // Compiled engines wait for their turn, so this bounds them, as it bounds checks.
    let turn = call.worker.shared.audiences.turn().await?;
    let tried = call.node.try_out(name, text).await.map_err(|e| refused(call, e))?;
    let (engine, _) =
        tried.engine.ok_or_else(|| Refusal::problems(ProblemKind::Unprocessable, tried.errors))?;
    let made = tokio::task::spawn_blocking(move || {
        preview.made(&preview.media.document(&preview.body)?, Some(&engine), &before)
    });
    let answer = made.await.map_err(failed)?;
    drop(turn);
    answer
}

/// How far a preview came without an engine of its own.
enum Begun {
    Made(Answer),
    /// The draft must be compiled first.
    Needs(Box<Preview>, DraftRuleSet),
}

impl DraftRuleSet {
    /// The draft in the body of a preview, if there is one.
    fn read(input: &Input<'_>) -> Result<Option<DraftRuleSet>, Problems> {
        let mut problems = Problems::new();
        let root = Cursor::root(input, None);
        let Some(at) = root.entry("rule_set") else { return Ok(None) };
        let draft = at.object(&["name", "text"], &mut problems).and_then(|object| {
            let mut field =
                |name| object.required(name, &mut problems)?.text(&mut problems).map(str::to_owned);
            let (name, text) = (field("name"), field("text"));
            Some(DraftRuleSet { name: name?, text: text? })
        });
        problems.or(draft)
    }
}

impl Preview {
    /// Makes the preview, unless it has a draft.
    fn begin(self) -> Result<Begun, Refusal> {
        let input = self.media.document(&self.body)?;
        let Some(draft) = DraftRuleSet::read(&input)? else {
            return self.made(&input, None, &Arc::clone(&self.node.live().engine.schema)).map(Begun::Made);
        };
        drop(input); // it borrows from the body
        Ok(Begun::Needs(Box::new(self), draft))
    }

    /// Decides with the draft's engine or that in force, whose schema must be `schema` still.
    fn made(
        &self,
        input: &Input<'_>,
        draft: Option<&Engine>,
        schema: &Arc<Schema>,
    ) -> Result<Answer, Refusal> {
        let live = self.node.live();
        let engine = draft.unwrap_or(&live.engine);
        let mut problems = Problems::new();
        let root = Cursor::root(input, None);
        let Some(object) = root.object(&PREVIEW_FIELDS, &mut problems) else { return Err(problems.into()) };
        let supposed = Supposed::read(&object, engine, self.node.now(), &mut problems);
        let mut asked = document::read(&object, engine, problems)?;
        if asked.languages.is_empty() {
            asked.languages = self.languages.clone();
        }
        let mut row = Row::new();
        let known = self.node.customers().read(asked.customer, &mut row);
        if !Arc::ptr_eq(&self.node.live().engine.schema, schema) {
            return Err(Refusal::new(ProblemKind::Conflict, "the schema changed in the meantime: ask again"));
        }
        let (contacts, earlier) = supposed.apply(&mut row, &live, engine)?;
        let places = Past::of(&row).budget_places;
        let past = Past { contacts: &contacts, earlier: &earlier, budget_places: places };
        Ok(self.decided(engine, &mut asked, &row, past, known, supposed.at))
    }

    fn decided(
        &self,
        engine: &Engine,
        asked: &mut DecisionRequest<'_>,
        row: &Row,
        past: Past<'_>,
        known: bool,
        now: Time,
    ) -> Answer {
        let id = DecisionId::next();
        let context = asked.take_context();
        let request = Request {
            customer: asked.customer,
            channel: asked.channel,
            placements: &asked.placements,
            locale: Some(&asked.languages),
            context,
            past,
            budgets: &self.node.budgets(false),
            lessons: &**self.node.figures(),
            seed: id.seed(),
            explain: asked.explain,
            overdue: None,
        };
        let vector = if row.is_empty() { FeatureVector::unknown() } else { FeatureVector::new(row) };
        let decision = decide(engine, vector, &request, now);
        let rendered =
            Rendered { decision: &decision, asked, known, engine, id, node: &self.node, keys: None, now };
        render::answer(self.format, &rendered)
    }
}

impl Supposed {
    fn read(object: &Object<'_, '_>, engine: &Engine, now: Time, problems: &mut Problems) -> Supposed {
        let schema = &engine.schema;
        let as_of = object.get("as_of").and_then(|at| read_time(at, schema, problems));
        let at = as_of.unwrap_or(now);
        let now = Some(at);
        let features = object.get("features").map(|at| read_fields(at, schema, None, problems));
        let events = object.get("events").map(|at| read_happened(at, schema, now, problems));
        let contacts = object.get("contacts").map(|at| read_contacts(at, schema, now, problems));
        Supposed { at, features: features.map(Change::Merge), events: events.unwrap_or_default(), contacts }
    }

    /// Changes the row as is supposed, and gives the contacts and the earlier contacts that count.
    fn apply(&self, row: &mut Row, live: &Live, engine: &Engine) -> Result<(Vec<u64>, Vec<u64>), Refusal> {
        if let Some(features) = &self.features {
            features.apply(&engine.schema, row);
        }
        for event in &self.events {
            event.apply(&engine.schema, &live.definitions.intake, row);
        }
        let Some(given) = &self.contacts else {
            let Past { contacts, earlier, .. } = Past::of(row);
            let is_past = |contact: Contact| i64::from(contact.at()) <= self.at.seconds();
            let contacts = contacts.iter().copied().filter(|word| is_past(Contact::of_word(*word)));
            let earlier = EarlierContacts::all(earlier).filter(|of| is_past(of.latest));
            return Ok((contacts.collect(), earlier.flat_map(EarlierContacts::words).collect()));
        };
        let mut contacts = Vec::with_capacity(given.len());
        for contact in given {
            let word = contact.numbered(&engine.catalogue);
            contacts
                .push(word.map_err(|why| Refusal::new(ProblemKind::Invalid, format!("`contacts`: {why}")))?);
        }
        contacts.sort_unstable();
        Ok((contacts, Vec::new()))
    }
}
