//! `PUT /v1/bundle`: a schema and rule sets at once, all or nothing.

use std::borrow::Cow;

use bytes::Bytes;

use super::check::write_warnings;
use super::rule_sets::{define, noted, read_note};
use crate::http::call::Call;
use crate::http::wire::answer::Answer;
use crate::http::wire::media;
use crate::http::wire::media::Media;
use crate::http::wire::reading::Body;
use crate::http::wire::refusal::{ProblemKind, Refusal};
use crate::http::wire::tag;
use crate::http::wire::{answer, query};
use crate::input::cursor::Cursor;
use crate::input::problem::Problems;
use crate::node::define::MAX_RULE_SETS;
use crate::node::define::{Define, RuleSetVersion};
use crate::state::record::Note;

/// Checks and compiles the bundle, then swaps it in.
pub(crate) async fn put(call: &Call<'_>, body: Body<'_>) -> Result<Answer, Refusal> {
    tag::no_conditions(call.head, "a bundle has no tag; push its rule sets one by one")?;
    let (asked, note) = Asked::read(call.head.target.query())?;
    let media = media::of_body(call.head, &[Media::Json, Media::MessagePack])?;
    let content = call.body(body).await?;
    let bytes = content.bytes.clone();
    // Off the request thread, so that decisions on other connections go on.
    let change = tokio::task::spawn_blocking(move || read(&bytes, media, asked));
    let change =
        change.await.map_err(|_| Refusal::new(ProblemKind::Internal, "reading the body failed"))??;
    let defined = define(call, noted(change, note)).await?;
    Ok(answer::document(call.format, |out| {
        out.map();
        out.key("sequence");
        out.unsigned(defined.sequence);
        out.key("compiled_in_us");
        out.unsigned(defined.compiled_in_us);
        write_warnings(out, &defined.warnings);
        out.key("rule_sets");
        out.list();
        for RuleSetVersion { name, version, active, is_new } in &defined.rule_sets {
            out.map();
            out.key("name");
            out.text(name);
            out.key("version");
            out.unsigned(u64::from(*version));
            out.key("active");
            out.boolean(*active);
            out.key("new");
            out.boolean(*is_new);
            out.end_map();
        }
        out.end_list();
        for (key, is_this) in [("still_active", !asked.prune), ("retired", asked.prune)] {
            out.key(key);
            out.list();
            defined.others.iter().filter(|_| is_this).for_each(|name| out.text(name));
            out.end_list();
        }
        out.end_map();
    }))
}

/// The parameters of the query.
#[derive(Clone, Copy)]
struct Asked {
    activate: bool,
    rename: bool,
    prune: bool,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<(Asked, Option<Note>), Refusal> {
        let known = ["activate", "rename_schema", "prune", "author", "message"];
        let [activate, rename, prune, author, message] = query::known(query, known)?;
        let mut problems = Problems::new();
        let mut read = |name, text: Option<Cow<'_, str>>, usual| {
            query::boolean(name, text.as_deref(), usual, &mut problems)
        };
        let (activate, rename) = (read("activate", activate, true), read("rename_schema", rename, false));
        let prune = read("prune", prune, false);
        let note = read_note(author, message, &mut problems);
        Ok(problems.or((Asked { activate, rename, prune }, note))?)
    }
}

fn read(bytes: &Bytes, media: Media, asked: Asked) -> Result<Define, Refusal> {
    let input = media.document(bytes)?;
    let mut problems = Problems::new();
    let read = read_document(Cursor::root(&input, None), &mut problems);
    let (schema, rule_sets) = problems.or(read.unwrap_or_default())?;
    let Asked { activate, rename, prune } = asked;
    Ok(Define::Bundle { schema, rule_sets, activate, rename, prune })
}

/// The schema's text, and the file name and text of each rule set.
fn read_document(root: Cursor<'_, '_>, problems: &mut Problems) -> Option<(String, Vec<(String, String)>)> {
    let object = root.object(&["schema", "rule_sets"], problems)?;
    let schema = object.required("schema", problems).and_then(|at| at.text(problems));
    let list = object.required("rule_sets", problems)?;
    let items = list.items(problems)?;
    if items.len() > MAX_RULE_SETS {
        let detail = format!("expected at most {MAX_RULE_SETS} rule sets, found {}", items.len());
        problems.push(list.problem(detail));
        return None;
    }
    let rule_sets = items.filter_map(|item| read_rule_set(item, problems)).collect();
    Some((schema?.to_owned(), rule_sets))
}

fn read_rule_set(item: Cursor<'_, '_>, problems: &mut Problems) -> Option<(String, String)> {
    let object = item.object(&["file", "text"], problems)?;
    let file = object.required("file", problems).and_then(|at| at.text(problems));
    let text = object.required("text", problems).and_then(|at| at.text(problems));
    Some((file?.to_owned(), text?.to_owned()))
}
