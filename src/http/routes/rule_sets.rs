//! `/v1/rule-sets`: publishes, activates, rolls back and retires versions of rule sets.

use std::borrow::Cow;

use bytes::Bytes;
use bytes::BytesMut;
use hyper::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, StatusCode};

use super::check::write_warnings;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::{Encode, Json, Out};
use crate::http::wire::media;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::tag;
use crate::http::wire::tag::{EntityTag, Named};
use crate::http::wire::{answer, query};
use crate::input::document::{Input, InputValue};
use crate::input::invisible::named;
use crate::input::problem::{Problem, Problems, nearest, quoted};
use crate::node::define::{Define, DefineError, Defined};
use crate::schema::MAX_NAME_BYTES;
use crate::schema::value::Time;
use crate::state::definitions::{Definitions, History};
use crate::state::record::{MAX_AUTHOR_BYTES, MAX_MESSAGE_BYTES, Note};

/// `GET /v1/rule-sets`: a list of all rule sets.
pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let live = call.node.live();
    let all: Vec<_> = live.definitions.rule_sets().collect();
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("rule_sets");
        out.list();
        for (name, history) in &all {
            out.map();
            out.key("name");
            out.text(name);
            write_active(out, history);
            out.key("latest");
            out.unsigned(u64::from(history.versions().next_back().map_or(0, |(version, _)| version)));
            out.key("versions");
            out.unsigned(history.versions().count() as u64);
            out.end_map();
        }
        out.end_list();
        out.end_map();
    }))
}

fn write_active(out: &mut dyn Encode, history: &History) {
    out.key("active");
    match history.active() {
        Some(version) => out.unsigned(u64::from(version)),
        None => out.null(),
    }
}

/// `GET /v1/rule-sets/{name}`: the text of the active version.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?;
    query::known(call.head.target.query(), [])?;
    let live = call.node.live();
    let history = history_of(&live.definitions, &name)?;
    let Some(version) = history.active() else {
        let detail = format!("no version of rule set `{name}` is active; GET …/versions lists all");
        return Err(Refusal::new(ProblemKind::NotFound, detail));
    };
    text(call, &name, history, version)
}

/// `GET /v1/rule-sets/{name}/versions`: a list of all versions.
pub(crate) fn versions(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?;
    query::known(call.head.target.query(), [])?;
    let live = call.node.live();
    let history = history_of(&live.definitions, &name)?;
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("name");
        out.text(&name);
        write_active(out, history);
        out.key("previous");
        match history.previous() {
            Some(version) => out.unsigned(u64::from(version)),
            None => out.null(),
        }
        out.key("versions");
        out.list();
        for (version, text) in history.versions() {
            out.map();
            out.key("version");
            out.unsigned(u64::from(version));
            out.key("active");
            out.boolean(history.active() == Some(version));
            out.key("bytes");
            out.unsigned(text.len() as u64);
            if let Some(note) = history.note(version) {
                write_note(out, note);
            }
            out.end_map();
        }
        out.end_list();
        out.end_map();
    }))
}

fn write_note(out: &mut dyn Encode, Note { at, author, message }: &Note) {
    out.key("published");
    out.text(&Time::from_seconds(i64::from(*at)).to_string());
    for (key, text) in [("author", author), ("message", message)] {
        if !text.is_empty() {
            out.key(key);
            out.text(text);
        }
    }
}

/// Who makes a change and why, from the query; `None` if neither is said.
pub(crate) fn read_note(
    author: Option<Cow<'_, str>>,
    message: Option<Cow<'_, str>>,
    problems: &mut Problems,
) -> Option<Note> {
    let given = author.is_some() || message.is_some();
    let mut read = |name: &str, text: Option<Cow<'_, str>>, most: usize| {
        let text = text.map(|text| text.trim().to_owned()).unwrap_or_default();
        let odd = text.chars().find(|c| c.is_control() && !(name == "message" && *c == '\n'));
        if text.len() > most {
            let detail = format!("expected at most {most} bytes, found {}", text.len());
            problems.push(query::problem(name, detail));
        } else if let Some(c) = odd {
            problems.push(query::problem(name, format!("it has the character {}", named(c))));
        }
        text
    };
    let author = read("author", author, MAX_AUTHOR_BYTES);
    let message = read("message", message, MAX_MESSAGE_BYTES);
    given.then_some(Note { at: 0, author, message })
}

/// A change with its note, if it has one.
pub(crate) fn noted(change: Define, note: Option<Note>) -> Define {
    match note {
        Some(note) => Define::Noted { change: Box::new(change), note },
        None => change,
    }
}

/// `GET /v1/rule-sets/{name}/versions/{version}`: the text of this version.
pub(crate) fn version(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, version] = call.variables;
    let (name, version) = (decode(name)?, number(version)?);
    query::known(call.head.target.query(), [])?;
    let live = call.node.live();
    text(call, &name, history_of(&live.definitions, &name)?, version)
}

fn text(call: &Call<'_>, name: &str, history: &History, version: u32) -> Result<Answer, Refusal> {
    let Some(text) = history.text(version) else {
        return Err(Refusal::new(
            ProblemKind::NotFound,
            format!("rule set `{name}` has no version {version}"),
        ));
    };
    tag::read_conditionally(call.head, |form| represented(form, name, version, text))
}

/// The text of a version in one of its forms.
fn represented(form: Option<Format>, name: &str, version: u32, text: &str) -> Bytes {
    let Some(format) = form else { return Bytes::copy_from_slice(text.as_bytes()) };
    answer::render(format, |out| {
        out.map();
        out.key("name");
        out.text(name);
        out.key("version");
        out.unsigned(u64::from(version));
        out.key("text");
        out.text(text);
        out.end_map();
    })
}

/// `PUT /v1/rule-sets/{name}`: publishes a text, as a new version unless it is there already.
pub(crate) async fn put(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?;
    let [activate, author, message] =
        query::known(call.head.target.query(), ["activate", "author", "message"])?;
    let mut problems = Problems::new();
    let activate = query::boolean("activate", activate.as_deref(), true, &mut problems);
    let note = read_note(author, message, &mut problems);
    problems.or(())?;
    let if_active = if_active(call, &name)?;
    let Pushed { text, as_sent } = read_text(call, body).await?;
    let name = name.into_owned();
    let format = format(call);
    let tag = EntityTag::of_text(&text);
    let change = Define::Publish { name: name.clone(), text, activate, if_active };
    let defined = define(call, noted(change, note)).await?;
    let mut answer = described(format, &name, &defined, true);
    if defined.is_new {
        answer.status = StatusCode::CREATED;
    }
    // The tag promises that reading would give what was sent.
    Ok(if as_sent && defined.active { tag.on(answer) } else { answer })
}

/// `POST …/versions/{version}/activate`: makes this version the active one.
pub(crate) async fn activate(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, version] = call.variables;
    let (name, version) = (decode(name)?.into_owned(), number(version)?);
    query::known(call.head.target.query(), [])?;
    let if_active = if_active(call, &name)?;
    let defined = define(call, Define::Activate { name: name.clone(), version, if_active }).await?;
    Ok(now_active(call, &name, &defined))
}

/// `POST …/rollback`: makes the previously active version the active one again.
pub(crate) async fn rollback(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?.into_owned();
    query::known(call.head.target.query(), [])?;
    let if_active = if_active(call, &name)?;
    let defined = define(call, Define::Rollback { name: name.clone(), if_active }).await?;
    Ok(now_active(call, &name, &defined))
}

/// `DELETE /v1/rule-sets/{name}`: leaves no version active.
pub(crate) async fn retire(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?.into_owned();
    query::known(call.head.target.query(), [])?;
    let format = format(call);
    let if_active = if_active(call, &name)?;
    let defined = define(call, Define::Retire { name: name.clone(), if_active }).await?;
    Ok(answer::document(format, |out| {
        out.map();
        out.key("name");
        out.text(&name);
        out.key("active");
        out.boolean(false);
        out.key("sequence");
        out.unsigned(defined.sequence);
        out.end_map();
    }))
}

/// The format of an answer to a change. It is a document, even where the resource itself is a text.
fn format(call: &Call<'_>) -> Format {
    media::format_or_json(call.head)
}

/// The answer to a change of which version is active, with the tag of that version's text.
fn now_active(call: &Call<'_>, name: &str, defined: &Defined) -> Answer {
    let answer = described(call.format, name, defined, false);
    match tag_of(call, name, defined.version) {
        Some(tag) => tag.on(answer),
        None => answer,
    }
}

fn described(format: Format, name: &str, defined: &Defined, published: bool) -> Answer {
    answer::document(format, |out| {
        out.map();
        out.key("name");
        out.text(name);
        out.key("version");
        out.unsigned(u64::from(defined.version));
        out.key("active");
        out.boolean(defined.active);
        if published {
            out.key("new");
            out.boolean(defined.is_new);
            write_warnings(out, &defined.warnings);
        }
        out.key("compiled_in_us");
        out.unsigned(defined.compiled_in_us);
        out.key("sequence");
        out.unsigned(defined.sequence);
        out.end_map();
    })
}

/// The tag of a version's text, if it is kept.
fn tag_of(call: &Call<'_>, name: &str, version: u32) -> Option<EntityTag> {
    let live = call.node.live();
    live.definitions.history(name)?.text(version).map(|text| EntityTag::of_text(text))
}

pub(crate) async fn define(call: &Call<'_>, change: Define) -> Result<Defined, Refusal> {
    call.node.define(change).await.map_err(|e| refused(call, e))
}

/// The refusal of a change or a trial.
pub(crate) fn refused(call: &Call<'_>, why: DefineError) -> Refusal {
    match why {
        DefineError::Invalid(problems) => Refusal::problems(ProblemKind::Unprocessable, problems),
        DefineError::Conflict(problems) => Refusal::problems(ProblemKind::Conflict, problems),
        DefineError::OtherActive(active) => other_active(call, active),
        DefineError::OtherSchema => super::schema::other_schema(call),
        DefineError::NotFound(what) => Refusal::new(ProblemKind::NotFound, what),
        DefineError::Internal(why) => {
            call.worker.counters().panics.add(1);
            Refusal::new(ProblemKind::Internal, why)
        }
        DefineError::Unavailable(why) => Refusal::unavailable(why),
    }
}

fn other_active(call: &Call<'_>, active: Option<u32>) -> Refusal {
    let Some(version) = active else {
        return Refusal::new(ProblemKind::Precondition, "no version is active");
    };
    let [name, _] = call.variables;
    let tag = decode(name).ok().and_then(|name| tag_of(call, &name, version));
    let detail =
        format!("version {version} is active; read it, put your change on top, and send its tag in If-Match");
    let refusal = Refusal::new(ProblemKind::Precondition, detail);
    match tag.and_then(|tag| tag.as_str().parse().ok()) {
        Some(value) => refusal.header(ETAG, value),
        None => refusal,
    }
}

/// The version that must be active for the change, from `If-Match` and `If-None-Match`; 0 means that none may
/// be.
fn if_active(call: &Call<'_>, name: &str) -> Result<Option<u32>, Refusal> {
    let head = call.head;
    let live = call.node.live();
    let history = live.definitions.history(name);
    let active = history.and_then(|history| Some((history, history.active()?)));
    if let Some(given) = head.first(&IF_NONE_MATCH) {
        let wrong = "If-None-Match can only be * in a write, which means that no version may be active";
        return if given == b"*" && call.head.method == Method::PUT && !head.has(&IF_MATCH) {
            Ok(Some(0))
        } else {
            Err(Refusal::new(ProblemKind::Invalid, wrong))
        };
    }
    match (Named::read(head, &IF_MATCH)?, active) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(other_active(call, None)),
        (Some(Named::Any), Some(_)) => Ok(None),
        (Some(named), Some((history, version))) => {
            let text = history.text(version).map_or("", |text| text);
            match named.has_any_form(|form| represented(form, name, version, text)) {
                true => Ok(Some(version)),
                false => Err(other_active(call, Some(version))),
            }
        }
    }
}

pub(crate) fn decode(name: &str) -> Result<Cow<'_, str>, Refusal> {
    let name = query::decode(name).map_err(|why| Refusal::problem(Problem::new(why)))?;
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(name);
    }
    let detail = format!("a rule set's name has 1 to {MAX_NAME_BYTES} bytes; this one has {}", name.len());
    Err(Refusal::problem(Problem::new(detail)))
}

fn number(text: &str) -> Result<u32, Refusal> {
    let mut problems = Problems::new();
    let number = query::integer("version", text, 1, u64::from(u32::MAX), &mut problems);
    Ok(problems.or(number.unwrap_or_default() as u32)?)
}

fn history_of<'d>(definitions: &'d Definitions, name: &str) -> Result<&'d History, Refusal> {
    definitions.history(name).ok_or_else(|| {
        let near = nearest(name, definitions.rule_sets().map(|(name, _)| &**name));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Refusal::new(ProblemKind::NotFound, format!("there is no rule set {}{hint}", quoted(name)))
    })
}

/// The text of a rule set or schema, as it is kept.
pub(crate) struct Pushed {
    pub(crate) text: String,
    /// Whether it is what was sent, byte for byte.
    pub(crate) as_sent: bool,
}

/// Reads the text of a rule set or schema: YAML and JSON as they are, MessagePack as JSON.
pub(crate) async fn read_text(call: &Call<'_>, body: Body<'_>) -> Result<Pushed, Refusal> {
    let media = media::of_body(call.head, &[Media::Yaml, Media::Json, Media::MessagePack])?;
    let content = call.body(body).await?;
    if media == Media::MessagePack {
        let bytes = content.bytes.clone();
        let text = tokio::task::spawn_blocking(move || {
            Ok(Pushed { text: json_text(&Input::from_msgpack(&bytes)?), as_sent: false })
        });
        return text
            .await
            .unwrap_or_else(|_| Err(Refusal::new(ProblemKind::Internal, "reading the body failed")));
    }
    match std::str::from_utf8(&content.bytes) {
        Ok(text) => Ok(Pushed { text: text.to_owned(), as_sent: true }),
        Err(e) => {
            let detail = format!("the body is not UTF-8 at byte {}", e.valid_up_to());
            Err(Refusal::problem(Problem::new(detail)))
        }
    }
}

fn json_text(input: &Input<'_>) -> String {
    let mut out = Out(BytesMut::new());
    write_input(&mut Json::new(&mut out), input);
    String::from_utf8_lossy(&out.0).into_owned()
}

fn write_input(out: &mut Json<'_>, input: &Input<'_>) {
    match &input.value {
        InputValue::Null => out.null(),
        InputValue::Bool(b) => out.boolean(*b),
        InputValue::Int(i) => out.integer(*i),
        InputValue::Float(x) => out.number(*x),
        InputValue::Text(text) => out.text(text),
        InputValue::List(items) => {
            out.list();
            items.iter().for_each(|item| write_input(out, item));
            out.end_list();
        }
        InputValue::Map(entries) => {
            out.map();
            for (key, value) in entries {
                out.any_key(&key.text);
                write_input(out, value);
            }
            out.end_map();
        }
    }
}
