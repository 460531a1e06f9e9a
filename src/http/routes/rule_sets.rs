//! `/v1/rule-sets`: publishes, activates, rolls back and retires versions of rule sets.

use std::borrow::Cow;

use bytes::BytesMut;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use hyper::{Method, StatusCode};

use super::check::write_warnings;
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::{Encode, Json, Out};
use crate::http::wire::media;
use crate::http::wire::media::{Format, Media};
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::input::document::{Input, InputValue};
use crate::input::problem::{Problem, Problems, nearest, quoted};
use crate::node::define::{Define, DefineError, Defined};
use crate::schema::MAX_NAME_BYTES;
use crate::state::definitions::{Definitions, History};

/// `GET /v1/rule-sets`: a list of all rule sets.
pub(crate) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.parts.uri.query(), [])?;
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
    query::known(call.parts.uri.query(), [])?;
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
    query::known(call.parts.uri.query(), [])?;
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
            out.end_map();
        }
        out.end_list();
        out.end_map();
    }))
}

/// `GET /v1/rule-sets/{name}/versions/{version}`: the text of this version.
pub(crate) fn version(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, version] = call.variables;
    let (name, version) = (decode(name)?, number(version)?);
    query::known(call.parts.uri.query(), [])?;
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
    let tag = tag(version);
    if matches_any(&call.parts.headers, IF_NONE_MATCH.as_str(), &tag) {
        return Ok(answer::varying(answer::tagged(not_modified(), &tag)));
    }
    let answer = match media::text_or_document(&call.parts.headers)? {
        None => answer::with(StatusCode::OK, media::YAML, Bytes::copy_from_slice(text.as_bytes())),
        Some(format) => answer::document(format, |out| {
            out.map();
            out.key("name");
            out.text(name);
            out.key("version");
            out.unsigned(u64::from(version));
            out.key("text");
            out.text(text);
            out.end_map();
        }),
    };
    Ok(answer::varying(answer::tagged(answer, &tag)))
}

/// 304, which has no body.
pub(crate) fn not_modified() -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

/// `PUT /v1/rule-sets/{name}`: publishes a new version.
pub(crate) async fn put(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?;
    let [activate] = query::known(call.parts.uri.query(), ["activate"])?;
    let mut problems = Problems::new();
    let activate = query::boolean("activate", activate.as_deref(), true, &mut problems);
    problems.or(())?;
    let if_active = if_active(call, &name)?;
    let text = read_text(call, body).await?;
    let name = name.into_owned();
    let format = format(call);
    let change = Define::Publish { name: name.clone(), text, activate, if_active };
    let defined = define(call, change).await?;
    let mut answer = described(call, format, &name, &defined, true);
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

/// `POST …/versions/{version}/activate`: makes this version the active one.
pub(crate) async fn activate(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, version] = call.variables;
    let (name, version) = (decode(name)?.into_owned(), number(version)?);
    query::known(call.parts.uri.query(), [])?;
    let if_active = if_active(call, &name)?;
    let defined = define(call, Define::Activate { name: name.clone(), version, if_active }).await?;
    Ok(described(call, call.format, &name, &defined, false))
}

/// `POST …/rollback`: makes the previously active version the active one again.
pub(crate) async fn rollback(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?.into_owned();
    query::known(call.parts.uri.query(), [])?;
    let if_active = if_active(call, &name)?;
    let defined = define(call, Define::Rollback { name: name.clone(), if_active }).await?;
    Ok(described(call, call.format, &name, &defined, false))
}

/// `DELETE /v1/rule-sets/{name}`: leaves no version active.
pub(crate) async fn retire(call: &Call<'_>) -> Result<Answer, Refusal> {
    let [name, _] = call.variables;
    let name = decode(name)?.into_owned();
    query::known(call.parts.uri.query(), [])?;
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
    media::format_or_json(&call.parts.headers)
}

fn described(call: &Call<'_>, format: Format, name: &str, defined: &Defined, published: bool) -> Answer {
    let answer = answer::document(format, |out| {
        out.map();
        out.key("name");
        out.text(name);
        out.key("version");
        out.unsigned(u64::from(defined.version));
        out.key("active");
        out.boolean(defined.active);
        if published {
            write_warnings(out, &defined.warnings);
        }
        out.key("compiled_in_us");
        out.unsigned(defined.compiled_in_us);
        out.key("sequence");
        out.unsigned(defined.sequence);
        out.end_map();
    });
    // The tag stands for the active version. A version that is only published does not change it.
    let active = if defined.active {
        Some(defined.version)
    } else {
        call.node.live().definitions.history(name).and_then(History::active)
    };
    match active {
        Some(version) => answer::tagged(answer, &tag(version)),
        None => answer,
    }
}

pub(crate) async fn define(call: &Call<'_>, change: Define) -> Result<Defined, Refusal> {
    call.node.define(change).await.map_err(|e| refused(call, e))
}

/// The refusal of a change or a trial.
pub(crate) fn refused(call: &Call<'_>, why: DefineError) -> Refusal {
    let about = format!("{} {}", call.parts.method, call.parts.uri.path());
    match why {
        DefineError::Invalid(problems) => Refusal::problems(ProblemKind::Unprocessable, problems),
        DefineError::Conflict(problems) => Refusal::problems(ProblemKind::Conflict, problems),
        DefineError::OtherActive(active) => other_active(active),
        DefineError::NotFound(what) => Refusal::new(ProblemKind::NotFound, format!("{about}: {what}")),
        DefineError::Internal(why) => {
            call.worker.counters().panics.add(1);
            Refusal::new(ProblemKind::Internal, why)
        }
        DefineError::Unavailable(why) => Refusal::unavailable(why),
    }
}

fn other_active(active: Option<u32>) -> Refusal {
    match active {
        None => Refusal::new(ProblemKind::Precondition, "no version is active"),
        Some(version) => {
            let tag = tag(version);
            let refusal = Refusal::new(
                ProblemKind::Precondition,
                format!(
                    "version {version} is active; read it, put your change on top, and send If-Match: {tag}"
                ),
            );
            match tag.parse() {
                Ok(value) => refusal.header(ETAG, value),
                Err(_) => refusal,
            }
        }
    }
}

fn tag(version: u32) -> String {
    format!("\"{version}\"")
}

/// The version that must be active for the change, from `If-Match` and `If-None-Match`; 0 means that none may
/// be.
fn if_active(call: &Call<'_>, name: &str) -> Result<Option<u32>, Refusal> {
    let headers = &call.parts.headers;
    let active = call.node.live().definitions.history(name).and_then(History::active);
    if let Some(given) = headers.get(IF_NONE_MATCH) {
        let wrong = "If-None-Match can only be * in a write, which means that no version may be active";
        return if given == "*" && call.parts.method == Method::PUT && !headers.contains_key(IF_MATCH) {
            Ok(Some(0))
        } else {
            Err(Refusal::new(ProblemKind::Invalid, wrong))
        };
    }
    if !headers.contains_key(IF_MATCH) {
        return Ok(None);
    }
    let Some(active) = active else { return Err(other_active(None)) };
    let tags = tags(headers, IF_MATCH.as_str());
    match tags.iter().any(|given| given == "*") {
        true if tags.len() == 1 => Ok(None),
        false if tags.iter().any(|given| *given == tag(active)) => Ok(Some(active)),
        false if tags.iter().all(|given| is_tag(given)) => Err(other_active(Some(active))),
        _ => Err(Refusal::new(
            ProblemKind::Invalid,
            "If-Match: expected * or an entity tag such as \"7\", in its quotes",
        )),
    }
}

fn tags(headers: &HeaderMap, name: &str) -> Vec<String> {
    let all = headers.get_all(name).iter().flat_map(|value| value.to_str().unwrap_or("?").split(','));
    all.map(|tag| tag.trim().to_owned()).collect()
}

fn is_tag(text: &str) -> bool {
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
}

/// Whether the header holds `tag` or `*`. Weak tags count, as they do for `If-None-Match`.
pub(crate) fn matches_any(headers: &HeaderMap, name: &str, tag: &str) -> bool {
    tags(headers, name).iter().any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
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

/// Reads the text of a rule set or schema: YAML and JSON as they are, MessagePack as JSON.
pub(crate) async fn read_text(call: &Call<'_>, body: Incoming) -> Result<String, Refusal> {
    let media = media::of_body(&call.parts.headers, &[Media::Yaml, Media::Json, Media::MessagePack])?;
    let content = call.body(body).await?;
    if media == Media::MessagePack {
        let bytes = content.bytes.clone();
        let text = tokio::task::spawn_blocking(move || Ok(json_text(&Input::from_msgpack(&bytes)?)));
        return text
            .await
            .unwrap_or_else(|_| Err(Refusal::new(ProblemKind::Internal, "reading the body failed")));
    }
    match std::str::from_utf8(&content.bytes) {
        Ok(text) => Ok(text.to_owned()),
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
