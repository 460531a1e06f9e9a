//! `/v1/schema`: declares what customers, requests and events may hold.

use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::{IF_MATCH, IF_NONE_MATCH};

use super::rule_sets::{define, matches_any, not_modified, read_text};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::media;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::{answer, query};
use crate::node::define::Define;
use crate::schema::Schema;
use crate::state::digest::Fnv;

/// `GET`: the text of the schema, or a document about it.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.parts.uri.query(), [])?;
    let schema = call.node.live().definitions.schema.clone();
    let tag = tag(&schema);
    if matches_any(&call.parts.headers, IF_NONE_MATCH.as_str(), &tag) {
        return Ok(answer::varying(answer::tagged(not_modified(), &tag)));
    }
    let answer = match media::text_or_document(&call.parts.headers)? {
        None => answer::with(StatusCode::OK, media::YAML, Bytes::copy_from_slice(schema.text.as_bytes())),
        Some(format) => answer::document(format, |out| write(out, &schema)),
    };
    Ok(answer::varying(answer::tagged(answer, &tag)))
}

fn write(out: &mut dyn Encode, schema: &Schema) {
    let features = schema.features().iter().map(|f| (&*f.name, f.kind.name(), &*f.description)).collect();
    let context = schema.context().iter().map(|c| (&*c.name, c.kind.name(), &*c.description)).collect();
    out.map();
    out.key("schema");
    out.text(&schema.name);
    out.key("channels");
    out.list();
    schema.channels().words().iter().for_each(|word| out.text(word));
    out.end_list();
    out.key("features");
    write_declared(out, features);
    out.key("context");
    write_declared(out, context);
    out.key("text");
    out.text(&schema.text);
    out.end_map();
}

fn write_declared(out: &mut dyn Encode, declared: Vec<(&str, &str, &str)>) {
    out.list();
    for (name, kind, description) in declared {
        out.map();
        out.key("name");
        out.text(name);
        out.key("kind");
        out.text(kind);
        out.key("description");
        out.text(description);
        out.end_map();
    }
    out.end_list();
}

/// `PUT`: grows the schema. `If-Match` is checked here, and not again when the change is made. That is
/// enough, because a schema that takes away what somebody else just added is a conflict anyway.
pub(crate) async fn put(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    query::known(call.parts.uri.query(), [])?;
    let node = call.node;
    let current = tag(&node.live().definitions.schema);
    if call.parts.headers.contains_key(IF_MATCH)
        && !matches_any(&call.parts.headers, IF_MATCH.as_str(), &current)
    {
        return Err(Refusal::new(
            ProblemKind::Precondition,
            format!("the schema has changed; its tag is now {current}"),
        ));
    }
    let text = read_text(call, body).await?;
    let defined = define(call, Define::Schema { text }).await?;
    let schema = node.live().definitions.schema.clone();
    let answer = answer::document(media::format_or_json(&call.parts.headers), |out| {
        out.map();
        out.key("schema");
        out.text(&schema.name);
        out.key("features");
        out.unsigned(schema.features().len() as u64);
        out.key("compiled_in_us");
        out.unsigned(defined.compiled_in_us);
        out.key("sequence");
        out.unsigned(defined.sequence);
        out.end_map();
    });
    Ok(answer::tagged(answer, &tag(&schema)))
}

/// The entity tag: a hash of the text, the same on every node.
fn tag(schema: &Schema) -> String {
    let mut hash = Fnv::new();
    hash.text(&schema.text);
    format!("\"{:016x}\"", hash.finish())
}
