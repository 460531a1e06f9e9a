//! `/v1/schema`: declares what customers, requests and events may hold.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{ETAG, IF_MATCH, IF_NONE_MATCH};

use super::rule_sets::{Pushed, define, read_text};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::encode::Encode;
use crate::http::wire::media;
use crate::http::wire::media::Format;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::tag;
use crate::http::wire::tag::{EntityTag, Named};
use crate::http::wire::{answer, query};
use crate::input::problem::Problems;
use crate::node::define::Define;
use crate::schema::Schema;

/// `GET`: the text of the schema, or a document about it.
pub(crate) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    query::known(call.head.target.query(), [])?;
    let schema = call.node.live().definitions.schema.clone();
    tag::read_conditionally(call.head, |form| represented(form, &schema))
}

/// The schema in one of its forms.
fn represented(form: Option<Format>, schema: &Schema) -> Bytes {
    match form {
        None => Bytes::copy_from_slice(schema.text.as_bytes()),
        Some(format) => answer::render(format, |out| write(out, schema)),
    }
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

/// `PUT`: grows the schema.
pub(crate) async fn put(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    let [rename] = query::known(call.head.target.query(), ["rename_schema"])?;
    let mut problems = Problems::new();
    let rename = query::boolean("rename_schema", rename.as_deref(), false, &mut problems);
    problems.or(())?;
    let if_text = if_text(call)?;
    let Pushed { text, as_sent } = read_text(call, body).await?;
    let tag = EntityTag::of_text(&text);
    let defined = define(call, Define::Schema { text, rename, if_text }).await?;
    let schema = call.node.live().definitions.schema.clone();
    let answer = answer::document(media::format_or_json(call.head), |out| {
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
    // The tag promises that reading would give what was sent.
    Ok(if as_sent { tag.on(answer) } else { answer })
}

/// The text that must be in force for the change, from `If-Match` and `If-None-Match`.
fn if_text(call: &Call<'_>) -> Result<Option<Arc<str>>, Refusal> {
    let head = call.head;
    let schema = call.node.live().definitions.schema.clone();
    let empty = Schema::empty().text;
    if let Some(given) = head.first(&IF_NONE_MATCH) {
        let wrong = "If-None-Match can only be * in a write, which means that no schema was pushed yet";
        return if given == b"*" && !head.has(&IF_MATCH) {
            Ok(Some(empty))
        } else {
            Err(Refusal::new(ProblemKind::Invalid, wrong))
        };
    }
    match Named::read(head, &IF_MATCH)? {
        None => Ok(None),
        Some(Named::Any) if schema.text != empty => Ok(None),
        Some(named @ Named::These(_)) if named.has_any_form(|form| represented(form, &schema)) => {
            Ok(Some(Arc::clone(&schema.text)))
        }
        Some(_) => Err(other_schema(call)),
    }
}

/// The refusal of a change that expects another schema.
pub(crate) fn other_schema(call: &Call<'_>) -> Refusal {
    let tag = EntityTag::of_text(&call.node.live().definitions.schema.text);
    let detail = format!("another schema is in force than the request expects; its tag is {}", tag.as_str());
    let refusal = Refusal::new(ProblemKind::Precondition, detail);
    match tag.as_str().parse() {
        Ok(value) => refusal.header(ETAG, value),
        Err(_) => refusal,
    }
}
